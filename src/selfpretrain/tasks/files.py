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

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.errors import RequestError
from selfpretrain.tasks import checks
from selfpretrain.tasks.assemble import Material, assemble
from selfpretrain.tasks.checks import refuse
from selfpretrain.tasks.parsing import Sequences, guess_kind, interleaved, label_text, parse_cells
from selfpretrain.tasks.tables import Rows, labels_of, read_rows, some
from selfpretrain.tasks.task import Task


def load_file(path: Path, config: TaskConfig) -> Task:
    """Read a file, and a second one with the test rows where ``config.test`` names it.

    Raises:
        RequestError: something in the file or the options cannot be used.
    """
    rows = read_rows(path, config)
    material = _material(path, path.stem, rows, config)
    if config.test is not None:
        _add_test_rows(path, config.test, material, config)
    where = f"column {rows.columns}" if path.suffix.lower() != ".npz" else f"array {rows.columns}"
    what = "sequence" if rows.per_row == 1 else "pairs"
    return _assembled(path, f"{path.name}: {len(rows.labels)} rows, {what} from {where}", rows, material, config)


def task_of_arrays(x: Any, y: Any, config: TaskConfig, split: Sequence[str] | None = None) -> Task:
    """A task from sequences and labels in memory, with the checks that a file gets.

    Args:
        x: (N, T) or (N, T, C), or a list of sequences of any lengths: strings, lists, arrays. Of pairs a list of tuples
            (first, second).
        y: (N,) classes; None, and -1 among whole numbers, are rows without a label.
        split: train, val or test of each row; None cuts.
    """
    cells, labels = list(x), list(y)
    if len(cells) != len(labels) or (split is not None and len(split) != len(cells)):
        raise RequestError(f"{len(cells)} sequences, {len(labels)} labels; give one label, and one split, a sequence")
    if not cells:
        raise RequestError("there are no sequences; give some")
    names = [label_text(label) for label in labels] if None in labels else labels_of(np.asarray(labels))
    per_row = 2 if any(isinstance(cell, tuple) for cell in cells) else 1
    if per_row == 2:
        for row, cell in enumerate(cells):
            if not isinstance(cell, tuple) or len(cell) != 2:
                refuse("arrays", row, "is no pair; where one row is a tuple (first, second), all have to be")
        cells = list(chain.from_iterable(cells))
    rows = Rows(cells, names, None if split is None else list(split), "x", "y", per_row=per_row)
    material = _material("arrays", "arrays", rows, config)
    what = "sequences" if per_row == 1 else "pairs"
    task = _assembled("arrays", f"{len(labels)} rows in memory, {what}", rows, material, config)
    return replace(task, source=None)


def _material(where: Path | str, name: str, rows: Rows, config: TaskConfig) -> Material:
    kind = config.kind or guess_kind(rows.cells)
    sequences, mended = _sequences(where, rows, kind, config)
    split = checks.check_split_names(where, rows.split) if rows.split else None
    checks.check_classes(where, rows.labels, split)
    return Material(
        name=name,
        kind=kind,
        sequences=sequences,
        labels=rows.labels,
        split=split,
        numbers=rows.numbers,
        notes=[*rows.notes, *mended],
        per_row=rows.per_row,
    )


def _assembled(where: Path | str, said: str, rows: Rows, material: Material, config: TaskConfig) -> Task:
    """The task, whose first note says what everything was taken for."""
    how = "given" if config.kind else "guessed; --kind overrides"
    known = [label for label in rows.labels if label is not None]
    hidden = f", {len(rows.labels) - len(known)} without" if len(known) < len(rows.labels) else ""
    ignored = f"; not used: {some(rows.ignored)}" if rows.ignored else ""
    classes = f"label from {rows.label} ({len(set(known))} classes{hidden})"
    splits = _splits_text(set(material.split or ()))
    material.notes.insert(0, f"{said} as {material.kind} ({how}), {classes}, splits: {splits}{ignored}")
    return assemble(where, material, config)


def _splits_text(given: set[str]) -> str:
    """Which splits were given, and which are cut from training."""
    if not given - {"train"}:
        return "cut 70/15/15, stratified by class"
    cut = [name for name in ("val", "test") if name not in given]
    named = " and ".join(name for name in ("train", "val", "test") if name in given)
    return f"{named} given" + (f", {' and '.join(cut)} cut from train" if cut else "")


def _sequences(path: Path | str, rows: Rows, kind: Kind, config: TaskConfig) -> tuple[Sequences, list[str]]:
    """The sequences of a file, and notes on what was mended in them."""
    columns = [parse_cells(path, rows.cells[place :: rows.per_row], kind) for place in range(rows.per_row)]
    missing = sum(checks.check_sequences(path, each, kind, allow_missing=config.allow_missing) for each in columns)
    sequences = interleaved(columns)
    if sequences[0].shape[1:] != sequences[-1].shape[1:]:
        refuse(path, None, "the sequences of a pair have different channels; give both the same")
    return sequences, [f"{missing} missing or infinite values become their channel's training mean"] if missing else []


def _add_test_rows(path: Path, test: Path, material: Material, config: TaskConfig) -> None:
    """Put the rows of the test file behind the others, in place."""
    if material.split is not None and "test" in material.split:
        refuse(path, None, "--test names a test file and the split column has test rows too; give one of them")
    rows = read_rows(test, config)
    sequences, _ = _sequences(test, rows, material.kind, config)
    if sequences[0].shape[1:] != material.sequences[0].shape[1:]:
        refuse(test, None, "its sequences have other channels than the training file's")
    n, here = len(material.labels), len(rows.labels)
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
