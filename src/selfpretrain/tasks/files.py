"""From a file of labelled sequences to a Task.

| file               | a row                            | a sequence                                                |
|--------------------|----------------------------------|-----------------------------------------------------------|
| .csv .tsv .parquet | one line or record               | one column: text, symbols or numbers separated by commas  |
| .jsonl             | one JSON object                  | or spaces, or a list; or one column a step                |
| .npz               | first axis of x and y; or        | x (N, T), or (N, T, C) with C channels                    |
|                    | x_train, y_train, x_test, ...    |                                                           |

In a list of lists each inner list is one position, its entries the channels. What is not said is guessed, and the
guess is the first note of the task.
"""

from pathlib import Path

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.tasks import checks
from selfpretrain.tasks.assemble import Material, assemble
from selfpretrain.tasks.checks import refuse
from selfpretrain.tasks.parsing import Sequences, guess_kind, parse_cells
from selfpretrain.tasks.tables import Rows, read_rows, some
from selfpretrain.tasks.task import Task


def load_file(path: Path, config: TaskConfig) -> Task:
    """Read a file, and a second one with the test rows where ``config.test`` names it.

    Raises:
        RequestError: something in the file or the options cannot be used.
    """
    rows = read_rows(path, config)
    kind = config.kind or guess_kind(rows.cells)
    sequences, mended = _sequences(path, rows, kind, config)
    split = checks.check_split_names(path, rows.split) if rows.split else None
    checks.check_classes(path, rows.labels, split)
    material = Material(
        name=path.stem,
        kind=kind,
        sequences=sequences,
        labels=rows.labels,
        split=split,
        numbers=rows.numbers,
        notes=[_guess_note(path, rows, kind, config), *mended],
    )
    if config.test is not None:
        _add_test_rows(path, config.test, material, config)
    return assemble(path, material, config)


def _sequences(path: Path, rows: Rows, kind: Kind, config: TaskConfig) -> tuple[Sequences, list[str]]:
    """The sequences of a file, and notes on what was mended in them."""
    sequences = parse_cells(path, rows.cells, kind)
    missing = checks.check_sequences(path, sequences, kind, allow_missing=config.allow_missing)
    return sequences, [f"{missing} missing or infinite values become their channel's training mean"] if missing else []


def _add_test_rows(path: Path, test: Path, material: Material, config: TaskConfig) -> None:
    """Put the rows of the test file behind the others, in place."""
    if material.split is not None and "test" in material.split:
        refuse(path, None, "--test names a test file and the split column has test rows too; give one of them")
    rows = read_rows(test, config)
    sequences, _ = _sequences(test, rows, material.kind, config)
    if sequences[0].shape[1:] != material.sequences[0].shape[1:]:
        refuse(test, None, "its sequences have other channels than the training file's")
    n, here = len(material.sequences), len(sequences)
    split = material.split or ["train"] * n
    trained = {label for label, part in zip(material.labels, split, strict=True) if part == "train"}
    for row, label in enumerate(rows.labels):
        if label is None:
            refuse(test, row, "no label in the test split; only training rows may go without")
        if label not in trained:
            refuse(test, row, f"class '{label}' never occurs in training; add or remove its rows")
    material.sequences = material.sequences + sequences
    material.labels = material.labels + rows.labels
    material.split = split + ["test"] * here
    material.numbers = [*(material.numbers or range(n)), *(rows.numbers or range(here))]


def _guess_note(path: Path, rows: Rows, kind: Kind, config: TaskConfig) -> str:
    how = "given" if config.kind else "guessed; --kind overrides"
    where = f"column {rows.columns}" if path.suffix.lower() != ".npz" else f"array {rows.columns}"
    splits = "given" if rows.split or config.test else "70/15/15, stratified"
    classes = len({label for label in rows.labels if label is not None})
    ignored = f", not used: {some(rows.ignored)}" if rows.ignored else ""
    return (
        f"{path.name}: {len(rows.cells)} rows, sequence from {where} as {kind} ({how}), label from {rows.label} "
        f"({classes} classes), splits {splits}{ignored}"
    )
