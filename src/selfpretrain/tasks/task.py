"""What a task is: padded sequences with their lengths, labels and splits. Knows nothing of models or arms."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream

SHARES = (0.70, 0.15, 0.15)
"""Train, validation and test shares of a split made here (ours)."""
LARGEST = 1e30
"""Numbers beyond count as infinite: float32 ends at 3e38."""
UNLABELLED = -1
"""The class of a row without a label."""


@dataclass(frozen=True)
class Split:
    """Some sequences of a task.

    Attributes:
        x: symbols and bytes (N, T) int64; values (N, T, C) float32. Padded at the end; the padding is never read.
        lengths: (N,) positions of each sequence, at least 1.
        y: (N,) class indices, or ``UNLABELLED``.
    """

    x: NDArray[Any]
    lengths: NDArray[np.int64]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: NDArray[Any]) -> "Split":
        """The rows of ``index``, in its order."""
        return Split(self.x[index], self.lengths[index], self.y[index])

    def __add__(self, other: "Split") -> "Split":
        return Split(*(np.concatenate([getattr(self, f), getattr(other, f)]) for f in ("x", "lengths", "y")))


@dataclass(frozen=True)
class Task:
    """Sequences, labels and splits. Depends on its own configuration and data seed only.

    Attributes:
        classes: class names; ``Split.y`` indexes them.
        vocabulary: the symbols; ids in ``Split.x`` index it, and ``len(vocabulary)`` is the unknown symbol. For
            bytes all 256; empty for values.
        unlabelled: training sequences without a label, which self-pretraining alone may see.
        notes: what was guessed, cut, mapped or imputed while reading; for the reader's eyes.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    unlabelled: Split | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    config: TaskConfig | None = field(default=None, compare=False)
    """Where it came from; None for a task that was made by hand."""

    @property
    def length(self) -> int:
        """Positions of the longest sequence."""
        return int(self.train.x.shape[1])

    @property
    def channels(self) -> int:
        """Channels of a position; 0 for symbols and bytes."""
        return int(self.train.x.shape[2]) if self.kind == "values" else 0

    @property
    def pretrain_rows(self) -> Split:
        """What self-pretraining sees: the training sequences, and training rows without a label."""
        return self.train if self.unlabelled is None else self.train + self.unlabelled

    @property
    def majority(self) -> float:
        """Test accuracy of always answering the commonest training class."""
        return float(np.mean(self.test.y == np.bincount(self.train.y).argmax()))

    @cached_property
    def fingerprint(self) -> str:
        """Short SHA-256 of every number of the task; equal for all arms of a comparison."""
        digest = hashlib.sha256(repr((self.kind, self.classes, self.vocabulary)).encode())
        for split in (self.train, self.val, self.test, self.unlabelled):
            for array in () if split is None else (split.x, split.lengths, split.y):
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """The ``task`` entry of summary.json."""
        return {
            "name": self.name,
            "kind": self.kind,
            "n_train": len(self.train),
            "n_val": len(self.val),
            "n_test": len(self.test),
            "n_unlabelled": 0 if self.unlabelled is None else len(self.unlabelled),
            "length": self.length,
            "classes": len(self.classes),
            "majority": self.majority,
            "fingerprint": self.fingerprint,
        }


def shuffled(task: Task, seed: int) -> Task:
    """The task with the positions of every sequence in random order, each sequence in its own.

    What symbols a sequence has stays; which stand near each other is lost. Test sequences are left as they are.
    """

    def shuffle(split: Split, part: int) -> Split:
        generator, x = numpy_stream(seed, "shuffle", part), split.x.copy()
        for row, length in zip(x, split.lengths, strict=True):
            row[:length] = row[generator.permutation(length)]
        return replace(split, x=x)

    return replace(
        task,
        train=shuffle(task.train, 0),
        val=shuffle(task.val, 1),
        unlabelled=None if task.unlabelled is None else shuffle(task.unlabelled, 2),
    )


def pad(sequences: list[NDArray[Any]], length: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sequences (T_i,) or (T_i, C) as one zero-padded array (N, length, ...), and their lengths."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    x = np.zeros((len(sequences), length, *sequences[0].shape[1:]), dtype=sequences[0].dtype)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x, lengths


def duplicate_groups(rows: Split) -> NDArray[np.int64]:
    """A group number for each row (N,): equal numbers for exactly equal sequences, in order of first sight."""
    seen: dict[bytes, int] = {}
    groups = [
        seen.setdefault(np.ascontiguousarray(x[:n]).tobytes(), len(seen))
        for x, n in zip(rows.x, rows.lengths, strict=True)
    ]
    return np.array(groups, dtype=np.int64)


def stratified_split(rows: Split, shares: tuple[float, ...], data_seed: int) -> tuple[NDArray[np.int64], ...]:
    """Row numbers of each part: classes in equal proportion, exact duplicates all in one part.

    A set of duplicates counts for the class of its first row. Every part gets at least one set of each class that
    has as many sets as there are parts.

    >>> y = np.array([0] * 10 + [1] * 10)
    >>> rows = Split(np.arange(20)[:, None], np.ones(20, dtype=np.int64), y)
    >>> [len(part) for part in stratified_split(rows, (0.8, 0.2), data_seed=0)]
    [16, 4]
    """
    groups = duplicate_groups(rows)
    _, first_rows, sizes = np.unique(groups, return_index=True, return_counts=True)
    part_of_group = np.zeros(len(first_rows), dtype=np.int64)
    generator = numpy_stream(data_seed, "split")
    for label in np.unique(rows.y[first_rows]):
        members = generator.permutation(np.flatnonzero(rows.y[first_rows] == label))
        # A set goes where its middle row falls on the scale of cumulated shares.
        middle = np.cumsum(sizes[members]) - sizes[members] / 2
        part = np.searchsorted(np.cumsum(shares)[:-1] * sizes[members].sum(), middle, side="right")
        # With few sets rounding may leave a part empty: the k-th set from either end goes no further than it must.
        k = np.arange(len(members))
        part = np.minimum(np.maximum(part, len(shares) - len(members) + k), k)
        part_of_group[members] = part
    parts = part_of_group[groups]
    return tuple(np.flatnonzero(parts == part) for part in range(len(shares)))


def standardised(task: Task) -> Task:
    """Values minus the training mean over the training standard deviation, channel by channel.

    Statistics are over the real (present, unpadded) positions of the labelled training sequences. A channel that
    does not vary is only centred. What is missing or beyond ``LARGEST`` becomes the mean, which is 0.
    """
    inside = np.arange(task.length) < task.train.lengths[:, None]
    observed = task.train.x[inside].astype(np.float64)  # (positions, C)
    observed = np.where(np.abs(observed) < LARGEST, observed, np.nan)
    for channel in np.flatnonzero(np.isnan(observed).all(axis=0)):
        raise RequestError(f"{task.name}: channel {channel + 1} has no value at all in training; leave it out")
    mean, std = np.nanmean(observed, axis=0), np.nanstd(observed, axis=0)
    std = np.where(std > 0, std, 1.0)

    def scale(split: Split) -> Split:
        z = np.where(np.abs(split.x) < LARGEST, (split.x - mean) / std, 0.0)
        z[np.arange(task.length) >= split.lengths[:, None]] = 0.0
        return replace(split, x=z.astype(np.float32))

    return replace(
        task,
        train=scale(task.train),
        val=scale(task.val),
        test=scale(task.test),
        unlabelled=None if task.unlabelled is None else scale(task.unlabelled),
    )
