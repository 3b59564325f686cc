"""What a task is: padded sequences with their lengths, labels and splits. Knows nothing of models or arms."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName, TaskConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.columns import some
from selfpretrain.data.kinds import InputSpec
from selfpretrain.data.sequences import consecutive
from selfpretrain.streams import Stream, numpy_stream

CLASSES_SHOWN = 8
"""Classes whose counts the first line names."""
Posterior = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Log probabilities (N, T, V) of every symbol at every position, given those of ids (N, T) that are not hidden (-1)."""


@dataclass(frozen=True)
class Split:
    """Some rows of a task: a sequence each, or a pair of them. The sequences of all rows stand one after the other.

    Shapes: N rows, S sequences of a row (1 or 2), T positions, C channels.

    Attributes:
        x: symbols and bytes (N S, T), small unsigned integers; values (N S, T, C) float32. Padded at the end; the
            padding is never read.
        lengths: (N S,) positions of each sequence, at least 1.
        y: (N,) class indices, or ``split.UNLABELLED``.
        numbers: (N,) where each row stands in its file, from 0; masks are drawn by it. By default 0 to N - 1.
        per_row: S.
        groups: (N,) rows with the same number belong together, such as those of a person; None: each is by itself.
    """

    x: NDArray[Any]
    lengths: NDArray[np.int64]
    y: NDArray[np.int64]
    numbers: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below
    per_row: int = 1
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.numbers is None:
            object.__setattr__(self, "numbers", np.arange(len(self.y), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, index: NDArray[Any]) -> "Split":
        """The rows of ``index``, in its order; a view where they follow each other."""
        rows, places = consecutive(index), consecutive(sequences_of(index, self.per_row))
        groups = None if self.groups is None else self.groups[rows]
        return Split(self.x[places], self.lengths[places], self.y[rows], self.numbers[rows], self.per_row, groups)

    def sample(self, most: int, stream: Stream = "train-sample") -> "Split":
        """At most so many rows, at random (files may be sorted by class), in their order; always the same ones."""
        if len(self) <= most:
            return self
        return self.rows(np.sort(numpy_stream(0, stream).permutation(len(self))[:most]))

    @property
    def sequence_numbers(self) -> NDArray[np.int64]:
        """A number for each sequence (N S,), by which it is masked: the row's own, where a row has one sequence."""
        return sequences_of(self.numbers, self.per_row)

    def __add__(self, other: "Split") -> "Split":
        """The rows of both, each by itself."""
        x, lengths, y, numbers = (
            np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("x", "lengths", "y", "numbers")
        )
        return Split(x, lengths, y, numbers, self.per_row)

    @property
    def n_groups(self) -> int:
        """How many rows, or groups of rows, are independent of each other."""
        return len(self) if self.groups is None else len(np.unique(self.groups))


def sequences_of(rows: NDArray[Any], per_row: int) -> NDArray[Any]:
    """Numbers of the sequences of these rows, (N,) to (N S,).

    >>> sequences_of(np.array([3, 0]), 2).tolist()
    [6, 7, 0, 1]
    """
    return rows if per_row == 1 else (rows[:, None] * per_row + np.arange(per_row)).ravel()


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """What a file, a frame or sequences in memory were taken for; ``task.data`` of summary.json.

    Attributes:
        file: what they came from.
        source: the columns of the sequence, in words.
        rows: with a sequence each, or a pair of them; of all splits.
        steps: positions of the shortest and the longest sequence.
        channels: of values; else 0.
        symbols: different ones; 0 for other kinds.
        label: the column of the classes.
        classes: rows of each class.
        unlabelled: rows without a class.
        splits: which were given, and which were cut.
        group: the column of what rows share; empty where none was named.
        groups: different values of it.
        unused: columns that are not used.
        guessed: options that would override what was guessed, without their dashes.
        perhaps_group: columns of which nobody said so, whose names and repeats make them look like it.
    """

    file: str
    source: str
    kind: KindName
    rows: int
    steps: tuple[int, int]
    channels: int
    symbols: int
    label: str
    classes: dict[str, int]
    unlabelled: int
    splits: str
    unused: tuple[str, ...]
    guessed: tuple[str, ...]
    group: str = ""
    groups: int = 0
    perhaps_group: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All of it in one line, the first that a command prints of its data."""
        size = {"values": f"{self.channels} channels" if self.channels > 1 else "1 channel", "bytes": "text"}
        steps = " to ".join(dict.fromkeys(map(str, self.steps)))
        counts = ", ".join(f"{name} {count}" for name, count in list(self.classes.items())[:CLASSES_SHOWN])
        more = f", ... ({len(self.classes)} classes in all)" if len(self.classes) > CLASSES_SHOWN else ""
        hidden = f", {self.unlabelled} without" if self.unlabelled else ""
        groups = f"; {self.groups} groups from {self.group}" if self.group else ""
        unused = f"; not used: {some(self.unused)}" if self.unused else ""
        guessed = f"; guessed; to change: {', '.join(f'--{option}' for option in self.guessed)}"
        return (
            f"{self.file}: {self.rows} rows, {self.source} as {self.kind} "
            f"({size.get(self.kind, f'{self.symbols} different')}), {steps} steps, "
            f"classes from {self.label}: {counts}{more}{hidden}{groups}; splits: {self.splits}"
            f"{unused}{guessed if self.guessed else ''}"
        )


@dataclass(frozen=True)
class Check:
    """One look at the data.

    Attributes:
        what: was looked at.
        result: what was seen.
        cure: what to do; empty where nothing is wrong.
    """

    what: str
    result: str
    cure: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """A task in figures: the entry ``task`` of summary.json.

    Attributes:
        majority: share of the most common class of the test split.
        per_row: sequences of a row: 1, or the 2 of a pair.
        data: what a file was taken for; None for a built-in task.
        notes: the lines that are printed of it.
        checks: of a file (see ``data.check``).
    """

    name: str
    kind: KindName
    n_train: int
    n_val: int
    n_test: int
    n_unlabelled: int
    length: int
    classes: int
    majority: float
    fingerprint: str
    per_row: int = 1
    data: DataSummary | None = None
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def rows(self) -> str:
        return "sequences" if self.per_row == 1 else "pairs"

    @property
    def group(self) -> str:
        """The column of what rows share; empty where none was named."""
        return "" if self.data is None else self.data.group

    def tested(self, n: int) -> str:
        """What an interval rests on: so many test sequences, or groups of them."""
        if self.group:
            return f"{n} test group{'s' if n > 1 else ''} ({self.group})"
        return f"{n} test {self.rows}"


@dataclass(frozen=True)
class Task:
    """Sequences, labels and splits. Depends on its own configuration and data seed only.

    Attributes:
        codec: how its raw rows became numbers, and its class names, which ``Split.y`` indexes.
        unlabelled: training sequences without a label, which self-pretraining alone may see.
        notes: what was guessed, cut, mapped or imputed while reading; for the reader's eyes.
        source: where it came from, to load it again; None for a task that was made by hand.
        grid: height and width of sequences that are images read row by row.
        data: what a file or sequences in memory were taken for; None for a built-in task.
        checks: what ``data.check`` saw; empty where nobody looked.
        posterior: what the law by which the sequences were made says of hidden symbols; None where nobody knows it.
    """

    name: str
    codec: Codec
    train: Split = field(repr=False)
    val: Split = field(repr=False)
    test: Split = field(repr=False)
    unlabelled: Split | None = field(default=None, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    source: TaskConfig | None = field(default=None, compare=False)
    grid: tuple[int, int] | None = field(default=None, compare=False)
    data: DataSummary | None = field(default=None, compare=False)
    checks: tuple[Check, ...] = field(default=(), compare=False)
    posterior: Posterior | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """What was recognised, guessed and left out, a line each."""
        return "\n".join(self.notes) or repr(self)

    @property
    def kind(self) -> KindName:
        return self.codec.kind

    @property
    def classes(self) -> tuple[str, ...]:
        return self.codec.classes

    @property
    def inputs(self) -> InputSpec:
        return self.codec.inputs

    @property
    def length(self) -> int:
        return self.codec.length

    @cached_property
    def pretrain_rows(self) -> Split:
        """What self-pretraining sees: the training sequences, and training rows without a label."""
        return self.train if self.unlabelled is None else self.train + self.unlabelled

    @property
    def majority(self) -> float:
        """Share of the commonest class of the test split, which is the accuracy of always answering it."""
        return float(np.bincount(self.test.y).max() / len(self.test.y))

    @cached_property
    def fingerprint(self) -> str:
        """Short SHA-256 of every number of the task; equal for all arms of a comparison."""
        digest = hashlib.sha256(repr(self.codec).encode())
        for split in (self.train, self.val, self.test, self.unlabelled):
            arrays = () if split is None else (split.x, split.lengths, split.y, split.numbers, split.groups)
            for array in (array for array in arrays if array is not None):
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def describe(self) -> TaskSummary:
        """The ``task`` entry of summary.json."""
        return TaskSummary(
            name=self.name,
            kind=self.kind,
            n_train=len(self.train),
            n_val=len(self.val),
            n_test=len(self.test),
            n_unlabelled=0 if self.unlabelled is None else len(self.unlabelled),
            length=self.length,
            classes=len(self.classes),
            class_names=self.classes,
            majority=self.majority,
            fingerprint=self.fingerprint,
            per_row=self.codec.per_row,
            data=self.data,
            notes=self.notes,
            checks=self.checks,
        )


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
        posterior=None,  # it is of sequences in their order
    )
