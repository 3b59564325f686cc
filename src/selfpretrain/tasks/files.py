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

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.tasks import checks
from selfpretrain.tasks.checks import refuse
from selfpretrain.tasks.parsing import Sequences, guess_kind, parse_cells
from selfpretrain.tasks.tables import Rows, read_rows, some
from selfpretrain.tasks.task import SHARES, UNLABELLED, Split, Task, pad, standardised, stratified_split

BYTES = tuple(map(str, range(256)))


def load_file(path: Path, config: TaskConfig) -> Task:
    """Read a file, and a second one with the test rows where ``config.test`` names it.

    Raises:
        RequestError: something in the file or the options cannot be used.
    """
    rows = read_rows(path, config)
    kind = config.kind or guess_kind(rows.cells)
    sequences = parse_cells(path, rows.cells, kind)
    labels, split = rows.labels, rows.split and checks.check_split_names(path, rows.split)
    if config.test is not None:
        if split is not None and "test" in split:
            refuse(path, None, "--test names a test file and the split column has test rows too; give one of them")
        test = read_rows(config.test, config)
        if None in test.labels:
            refuse(
                config.test, test.labels.index(None), "no label in the test split; only training rows may go without"
            )
        test_sequences = parse_cells(config.test, test.cells, kind)
        _check_sequences(config.test, test_sequences, kind, config)
        if test_sequences[0].shape[1:] != sequences[0].shape[1:]:
            refuse(config.test, None, "its sequences have other channels than the training file's")
        split = split or ["train"] * len(sequences)
    notes = [_guess_note(path, rows, kind, config), *_check_sequences(path, sequences, kind, config)]
    checks.check_classes(path, labels, split)
    if config.test is not None:
        trained = {label for label, part in zip(labels, split or [], strict=True) if part == "train"}
        for row, label in enumerate(test.labels):
            if label not in trained:
                refuse(config.test, row, f"class '{label}' never occurs in training; add or remove its rows")
        sequences, labels = sequences + test_sequences, labels + test.labels
        split = (split or []) + ["test"] * len(test_sequences)

    cut = sum(len(sequence) > config.max_length for sequence in sequences)
    if cut:
        sequences = [sequence[: config.max_length] for sequence in sequences]
        notes.append(f"{cut} sequences were longer than --max-length {config.max_length} and were cut")
    classes = tuple(sorted({label for label in labels if label is not None}, key=_numbers_first))
    y = np.array([UNLABELLED if label is None else classes.index(label) for label in labels])
    parts = _parts(sequences, y, split, config.data_seed)
    vocabulary: tuple[str, ...] = BYTES if kind == "bytes" else ()
    if kind == "symbols":
        sequences, vocabulary, unseen = _to_ids(sequences, parts)
        if unseen:
            notes.append(f"{unseen} symbols outside training never occur in it and count as unknown")
    x, lengths = pad(sequences, max(map(len, sequences)))
    everything = Split(x, lengths, y)
    leaks = checks.leaks(everything, parts)
    if count := int(leaks[y != UNLABELLED].sum()):
        notes.append(f"warning: {count} training sequences stand in validation or test too, exactly equal")
    train = everything.rows(np.flatnonzero((parts == 0) & (y != UNLABELLED)))
    hidden = (parts == 0) & (y == UNLABELLED)
    if count := int((hidden & leaks).sum()):
        notes.append(f"{count} rows without a label are left out: their sequences stand in validation or test")
    unlabelled = np.flatnonzero(hidden & ~leaks)
    if len(unlabelled):
        notes.append(f"{len(unlabelled)} training rows have no label; self-pretraining alone sees them")
    task = Task(
        name=path.stem,
        kind=kind,
        classes=classes,
        vocabulary=vocabulary,
        train=train,
        val=everything.rows(np.flatnonzero(parts == 1)),
        test=everything.rows(np.flatnonzero(parts == 2)),
        unlabelled=everything.rows(unlabelled) if len(unlabelled) else None,
        notes=tuple(notes),
    )
    return standardised(task) if kind == "values" else task


def _numbers_first(name: str) -> tuple[bool, float, str]:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (False, number, name) if math.isfinite(number) else (True, 0.0, name)


def _check_sequences(path: Path, sequences: Sequences, kind: Kind, config: TaskConfig) -> list[str]:
    """Refuse what cannot be used, and give notes on what was mended."""
    checks.check_lengths(path, sequences)
    if kind != "values":
        return []
    checks.check_channels(path, sequences)
    missing = checks.check_finite(path, sequences, allow_missing=config.allow_missing)
    return [f"{missing} missing or infinite values become their channel's training mean"] if missing else []


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


def _parts(sequences: Sequences, y: NDArray[np.int64], split: list[str] | None, data_seed: int) -> NDArray[np.int64]:
    """0 train, 1 val or 2 test for each row; what no one gave is cut from the training rows by ``stratified_split``."""
    if split is None:
        parts = np.zeros(len(sequences), dtype=np.int64)
    else:
        parts = np.array([("train", "val", "test").index(name) for name in split])
    _, codes = np.unique(np.concatenate(sequences).reshape(-1), return_inverse=True)
    ends = np.cumsum([sequence.size for sequence in sequences])
    coded = [codes[end - sequence.size : end] for end, sequence in zip(ends, sequences, strict=True)]
    x, lengths = pad(coded, max(map(len, coded)))
    everything = Split(x, lengths, y)
    wanted = [part for part in (0, 1, 2) if part == 0 or not (parts == part).any()]
    shares = tuple(SHARES[part] / sum(SHARES[p] for p in wanted) for part in wanted)
    labelled = np.flatnonzero((parts == 0) & (y != UNLABELLED))
    if len(wanted) > 1:
        for part, index in zip(wanted, stratified_split(everything.rows(labelled), shares, data_seed), strict=True):
            parts[labelled[index]] = part
    return parts


def _to_ids(sequences: Sequences, parts: NDArray[np.int64]) -> tuple[Sequences, tuple[str, ...], int]:
    """Symbols as ids of the vocabulary, which training alone defines; and how many others there are."""
    seen = {str(symbol) for sequence, part in zip(sequences, parts, strict=True) if part == 0 for symbol in sequence}
    vocabulary = tuple(sorted(seen, key=_numbers_first))
    ids = {symbol: index for index, symbol in enumerate(vocabulary)}
    unknown = len(vocabulary)
    coded = [np.array([ids.get(str(s), unknown) for s in sequence], dtype=np.int64) for sequence in sequences]
    return coded, vocabulary, sum(int((sequence == unknown).sum()) for sequence in coded)
