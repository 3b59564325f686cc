"""What a task must satisfy before anything is trained; each refusal names the file, the row and the remedy.

Rows are counted from 1, without the header.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind
from selfpretrain.errors import RequestError

LARGEST = 1e30
"""Numbers beyond count as infinite: float32 ends at 3e38."""

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What a split column may say, and what it means."""


def refuse(path: Path | str, row: int | None, problem: str) -> NoReturn:
    """Raise a ``RequestError`` about a file, or about a zero-based row of it."""
    where = f"{path}" if row is None else f"{path}: row {row + 1}"
    raise RequestError(f"{where}: {problem}")


def check_readable(path: Path) -> None:
    """The file is there, is a file, may be read, and holds something."""
    try:
        if not path.exists():
            refuse(path, None, "no such file; check the path")
        if not path.is_file():
            refuse(path, None, "not a file; DATA is one file of sequences")
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        refuse(path, None, f"cannot be read ({error.strerror}); check its permissions")
    if not first:
        refuse(path, None, "the file is empty; it needs a header and rows")


def check_split_names(path: Path | str, names: Sequence[str]) -> list[str]:
    """The meaning of each entry of a split column."""
    for row, name in enumerate(names):
        if name.strip().lower() not in SPLIT_NAMES:
            refuse(path, row, f"the split column says '{name}'; write train, val or test")
    return [SPLIT_NAMES[name.strip().lower()] for name in names]


def check_sequences(path: Path | str, sequences: Sequence[NDArray[Any]], kind: Kind, *, allow_missing: bool) -> int:
    """Refuse sequences that cannot be used; how many values are missing, where those are allowed."""
    check_lengths(path, sequences)
    if kind != "values":
        return 0
    check_channels(path, sequences)
    return check_finite(path, sequences, allow_missing=allow_missing)


def check_lengths(path: Path | str, sequences: Sequence[NDArray[Any]]) -> None:
    """No sequence is empty."""
    for row, sequence in enumerate(sequences):
        if len(sequence) == 0:
            refuse(path, row, "the sequence is empty; fill it in or remove the row")


def check_finite(path: Path | str, sequences: Sequence[NDArray[Any]], *, allow_missing: bool) -> int:
    """How many values are missing or infinite; any is refused unless ``allow_missing``."""
    count = 0
    for row, sequence in enumerate(sequences):
        fine = np.abs(sequence) < LARGEST  # NaN is not
        bad = int(sequence.size - fine.sum())
        if bad and not allow_missing:
            position = int(np.argwhere(~fine)[0][0]) + 1
            problem = f"position {position} is missing, NaN or infinite (beyond {LARGEST:g})"
            refuse(path, row, f"{problem}; mend it, or give --allow-missing to impute it")
        count += bad
    return count


def check_channels(path: Path | str, sequences: Sequence[NDArray[Any]]) -> None:
    """All sequences have the same number of channels."""
    shapes = [sequence.shape[1:] for sequence in sequences]
    for row, shape in enumerate(shapes):
        if shape != shapes[0]:
            refuse(
                path,
                row,
                f"{_channels(shape)} where row 1 has {_channels(shapes[0])}; give every row the same channels",
            )


def _channels(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} channels" if shape else "one channel"


def check_classes(path: Path | str, labels: Sequence[str | None], split: Sequence[str] | None) -> None:
    """At least two classes; each with enough members; every class of val and test also in train.

    Args:
        labels: None where a row has no label.
        split: the given split of each row; None splits later.
    """
    counts = Counter(label for label in labels if label is not None)
    if not counts:
        refuse(path, None, "no row has a label; name the label column with --label")
    if len(counts) == 1:
        refuse(path, None, f"all labels are '{next(iter(counts))}'; a classifier needs two classes or more")
    least, members = min(counts.items(), key=lambda item: item[1])
    needed = 2 if split is not None else 3
    if members < needed:
        row = list(labels).index(least)
        has = "one member" if members == 1 else f"{members} members"
        refuse(
            path,
            row,
            f"class '{least}' has {has}; add rows of it (at least {needed}, one a split), or remove the class",
        )
    if split is not None:
        _check_given_classes(path, labels, split)


def _check_given_classes(path: Path | str, labels: Sequence[str | None], split: Sequence[str]) -> None:
    trained = {label for label, part in zip(labels, split, strict=True) if part == "train" and label is not None}
    if len(trained) < 2:
        refuse(path, None, f"the training split has {len(trained)} class(es); it needs two or more")
    for row, (label, part) in enumerate(zip(labels, split, strict=True)):
        if part != "train" and label is None:
            refuse(path, row, f"no label in the {part} split; only training rows may go without")
        if part != "train" and label not in trained:
            refuse(path, row, f"class '{label}' of the {part} split never occurs in training; add or remove its rows")
