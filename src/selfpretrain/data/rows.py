"""Labelled rows on their way from a file or a rule to a task: parse, cut, split, fit the codec, encode."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName, TaskConfig
from selfpretrain.data.cells import Cells, numbers_first, refuse
from selfpretrain.data.codec import Codec
from selfpretrain.data.kinds import KINDS, guess_kind
from selfpretrain.data.sequences import Sequences, interleaved
from selfpretrain.data.split import UNLABELLED, duplicate_groups, leaks, parts_of, row_groups, share_of_training
from selfpretrain.data.task import Split, Task, sequences_of
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream

LONGEST = 1024
"""Positions that are read of a sequence in a file (ours)."""
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Accepted entries of a split column, and what they mean."""


class Origin(NamedTuple):
    """What was recognised in a file or in memory: the source in words, the label column, unused columns."""

    source: str
    label: str = "y"
    ignored: Sequence[str] = ()


@dataclass(kw_only=True)
class Rows:
    """Labelled rows: N rows of one sequence, or of a pair of them.

    Attributes:
        columns: the cells of the sequence, or of both sequences of a pair; parsed, they become ``Sequences``.
        labels: (N,) class names; None where a row has none.
        split: train, val or test for each row; None leaves the cut to ``parts_of``.
        numbers: where each row stands in its file, from 0; None counts.
        kind: None guesses it.
        classes: the order of the classes; None sorts the labels.
        grid: height and width of sequences that are images read row by row.
        longest: longer sequences are cut, unless ``--max-length`` says otherwise; None cuts none.
        origin: what was recognised in a file, for the first note.
        notes: what else a reader should know.
    """

    columns: Sequence[Cells]
    labels: list[str | None]
    split: list[str] | None = None
    numbers: NDArray[np.int64] | None = None
    kind: KindName | None = None
    classes: tuple[str, ...] | None = None
    grid: tuple[int, int] | None = None
    longest: int | None = LONGEST
    origin: "Origin | None" = None
    notes: list[str] = field(default_factory=list)

    @property
    def per_row(self) -> int:
        """Sequences of a row: 1, or the 2 of a pair."""
        return len(self.columns)

    @property
    def words(self) -> str:
        """What the rows are called."""
        return "sequences" if self.per_row == 1 else "pairs"


def made(
    kind: KindName,
    classes: tuple[str, ...],
    x: Cells,
    y: NDArray[np.int64],
    split: list[str] | None = None,
    second: Cells | None = None,
    notes: Sequence[str] = (),
) -> Rows:
    """The rows of a built-in task.

    Args:
        kind: symbols, bytes or values.
        classes: class names, which ``y`` indexes.
        x: (N, T) whole numbers for symbols, (N, T) or (N, T, C) numbers for values, N texts for bytes, N arrays or
            lists of any lengths, or ``Sequences``.
        y: (N,) classes.
        split: train, val or test for each row; None leaves the cut to us.
        second: the second sequence of each row, where rows are pairs.
        notes: for the reader.
    """
    return Rows(
        columns=[x] if second is None else [x, second],
        labels=[classes[label] for label in y],
        split=split,
        kind=kind,
        classes=classes,
        longest=None,
        notes=list(notes),
    )


def parsed(where: Path | str, rows: Rows, config: TaskConfig) -> Rows:
    """The rows with their cells as ``Sequences``, and checked.

    Raises:
        RequestError: a cell, a split name or a class that cannot be used; names the row.
    """
    kind = KINDS[config.kind or rows.kind] if config.kind or rows.kind else guess_kind(rows.columns[0])  # type: ignore[index,arg-type]
    columns: list[Sequences] = []
    missing = 0
    for column in rows.columns:
        sequences, n = kind.parse(where, column, allow_missing=config.allow_missing)
        columns, missing = [*columns, sequences], missing + n
    for column in columns[1:]:
        kind.check_channels(where, column, columns[0].entries.shape[-1], "the first sequence of the pair")
    notes = list(rows.notes)
    if missing:
        notes.append(f"{missing} missing or infinite values are replaced by their channel's training mean")
    split = None if rows.split is None else _split_names(where, rows.split)
    _check_classes(where, rows.labels, split)
    return replace(rows, columns=columns, kind=kind.name, split=split, notes=notes)


def with_test_rows(train_file: Path, rows: Rows, test_file: Path, test: Rows, config: TaskConfig) -> Rows:
    """Parsed training rows with those of a test file behind them.

    Raises:
        RequestError: both have test rows, or the test rows do not fit the training rows.
    """
    if rows.split is not None and "test" in rows.split:
        refuse(train_file, None, "--test names a test file and the split column has test rows too; give one of them")
    kind = KINDS[rows.kind or "symbols"]
    columns = []
    for first, cells in zip(rows.columns, test.columns, strict=True):
        sequences, _ = kind.parse(test_file, cells, allow_missing=config.allow_missing)
        assert isinstance(first, Sequences), "training rows are parsed"
        kind.check_channels(test_file, sequences, first.entries.shape[-1], "the training file")
        columns.append(Sequences.joined([first, sequences]))
    n, more = len(rows.labels), len(test.labels)
    split = rows.split or ["train"] * n
    trained = {label for label, part in zip(rows.labels, split, strict=True) if part == "train"}
    for row, label in enumerate(test.labels):
        if label is None:
            refuse(test_file, row, "no label in the test split; only training rows may go without")
        if label not in trained:
            refuse(test_file, row, f"class '{label}' never occurs in training; add or remove its rows")
    numbers = [np.arange(len(r.labels)) if r.numbers is None else r.numbers for r in (rows, test)]
    return replace(
        rows,
        columns=columns,
        labels=rows.labels + test.labels,
        split=split + ["test"] * more,
        numbers=np.concatenate(numbers),
    )


def assemble(where: Path | str, rows: Rows, config: TaskConfig) -> Task:
    """The task of parsed rows: cut, split, fit the codec on training rows, encode.

    Raises:
        RequestError: a split is empty, a class is not in training, or a channel has no value.
    """
    notes, per_row, kind = list(rows.notes), rows.per_row, KINDS[rows.kind or "symbols"]
    sequences = interleaved([column for column in rows.columns if isinstance(column, Sequences)])
    longest = config.max_length or rows.longest
    if longest is not None and (long := int((sequences.lengths > longest).sum())):
        notes.append(f"{long} sequences were longer than --max-length {longest} and were cut")
        sequences = sequences.cut(longest)
    classes = rows.classes or tuple(sorted({name for name in rows.labels if name}, key=numbers_first))
    index = {name: number for number, name in enumerate(classes)}
    y = np.array([UNLABELLED if name is None else index[name] for name in rows.labels], dtype=np.int64)
    numbers = np.arange(len(y)) if rows.numbers is None else rows.numbers
    groups = row_groups(sequences, per_row)
    parts = parts_of(groups, y, rows.split, config.data_seed)
    if config.fraction < 1:
        stay = share_of_training(groups, y, parts, config.fraction, config.data_seed)
        kept, there = int((parts[stay] == 0).sum()), int((parts == 0).sum())
        notes.append(f"{kept} of {there} training {rows.words} are used (fraction {config.fraction:g})")
        sequences = sequences.rows(sequences_of(np.flatnonzero(stay), per_row))
        groups, y, parts, numbers = groups[stay], y[stay], parts[stay], numbers[stay]
    training = np.flatnonzero(parts == 0)
    labelled = training[y[training] != UNLABELLED]
    if not len(labelled):
        raise RequestError(f"{where}: the training split is empty: there are too few different sequences; add rows")
    try:
        codec = Codec.fit(
            kind.name,
            classes,
            sequences.rows(sequences_of(training, per_row)),
            labelled=sequences.rows(sequences_of(labelled, per_row)),
            allow_missing=config.allow_missing,
            per_row=per_row,
        )
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None
    if longer := int((sequences.lengths > codec.length).sum()):
        notes.append(f"{longer} sequences outside training are longer than any in it and were cut to {codec.length}")
    x, lengths = codec.arrays(sequences)
    everything = Split(x, lengths, y, numbers, per_row)
    if codec.vocabulary and (
        unseen := int((everything.rows(np.flatnonzero(parts != 0)).x == len(codec.vocabulary)).sum())
    ):
        notes.append(f"{unseen} symbols outside training never occur in it and count as unknown")
    unlabelled = np.flatnonzero(_left_unlabelled(sequences, groups, y, parts, rows, notes))
    task = Task(
        name="",
        codec=codec,
        train=everything.part(labelled),
        val=everything.part(np.flatnonzero(parts == 1)),
        test=everything.part(np.flatnonzero(parts == 2)),
        unlabelled=everything.part(unlabelled) if len(unlabelled) else None,
        grid=rows.grid,
    )
    _check_parts(where, task)
    if config.random_labels:
        task = with_random_labels(task, config.data_seed)
        notes.append("control: labels are permuted at random, so that they can only be memorised")
    return replace(task, notes=tuple(notes), source=config)


def _left_unlabelled(
    sequences: Sequences,
    groups: NDArray[np.int64],
    y: NDArray[np.int64],
    parts: NDArray[np.int64],
    rows: Rows,
    notes: list[str],
) -> NDArray[np.bool_]:
    """Which training rows have no label and are used; duplicates across splits are noted, or left out."""
    leaking = leaks(groups, parts)
    shared = leaking
    if rows.per_row > 1:
        shared = leaks(duplicate_groups(sequences).reshape(-1, rows.per_row), parts)
    if count := int(leaking[y != UNLABELLED].sum()):
        notes.append(f"warning: {count} training {rows.words} stand in validation or test too, exactly equal")
    if count := int((shared & ~leaking)[y != UNLABELLED].sum()):
        notes.append(f"warning: of {count} training pairs one sequence stands in a pair of validation or test, too")
    hidden = (parts == 0) & (y == UNLABELLED)
    if count := int((hidden & shared).sum()):
        notes.append(f"{count} rows without a label are left out: their sequences stand in validation or test")
    used: NDArray[np.bool_] = hidden & ~shared
    if count := int(used.sum()):
        notes.append(f"{count} training rows have no label; only self-pretraining uses them")
    return used


def with_random_labels(task: Task, data_seed: int) -> Task:
    """The task with the labels of each split permuted at random."""

    def permuted(split: Split, part: int) -> Split:
        return replace(split, y=numpy_stream(data_seed, "random-labels", part).permutation(split.y))

    return replace(task, train=permuted(task.train, 0), val=permuted(task.val, 1), test=permuted(task.test, 2))


def _split_names(where: Path | str, names: Sequence[str]) -> list[str]:
    for row, name in enumerate(names):
        if name.strip().lower() not in SPLIT_NAMES:
            refuse(where, row, f"the split column says '{name}'; write train, val or test")
    return [SPLIT_NAMES[name.strip().lower()] for name in names]


def _check_classes(where: Path | str, labels: Sequence[str | None], split: Sequence[str] | None) -> None:
    """At least two classes; each with enough members; every class of val and test also in train."""
    counts = Counter(label for label in labels if label is not None)
    if not counts:
        refuse(where, None, "no row has a label; name the label column with --label")
    if len(counts) == 1:
        refuse(where, None, f"all labels are '{next(iter(counts))}'; a classifier needs two classes or more")
    least, members = min(counts.items(), key=lambda item: item[1])
    needed = 2 if split is not None else 3
    if members < needed:
        has = "one member" if members == 1 else f"{members} members"
        cure = f"add rows of it (at least {needed}, one a split), or remove the class"
        refuse(where, list(labels).index(least), f"class '{least}' has {has}; {cure}")
    if split is None:
        return
    trained = {label for label, part in zip(labels, split, strict=True) if part == "train" and label is not None}
    if len(trained) < 2:
        refuse(where, None, f"the training split has {len(trained)} class(es); it needs two or more")
    for row, (label, part) in enumerate(zip(labels, split, strict=True)):
        if part != "train" and label is None:
            refuse(where, row, f"no label in the {part} split; only training rows may go without")
        if part != "train" and label not in trained:
            refuse(where, row, f"class '{label}' of the {part} split never occurs in training; add or remove its rows")


def _check_parts(where: Path | str, task: Task) -> None:
    """Every split has sequences, and training has every class."""
    for name, part in (("training", task.train), ("validation", task.val), ("test", task.test)):
        if len(part) == 0:
            raise RequestError(f"{where}: the {name} split is empty: there are too few different sequences; add rows")
    absent = sorted(set(range(len(task.classes))) - set(task.train.y.tolist()))
    if absent:
        problem = f"class '{task.classes[absent[0]]}' is not in training: its sequences equal those of other rows"
        raise RequestError(f"{where}: {problem}; add rows of it, or remove the class")


def first_note(rows: Rows, config: TaskConfig) -> str:
    """What everything was taken for, in one line."""
    how = "given" if config.kind else "guessed; --kind overrides"
    known = [label for label in rows.labels if label is not None]
    hidden = f", {len(rows.labels) - len(known)} without" if len(known) < len(rows.labels) else ""
    origin = rows.origin or Origin("rows")
    unused = f"; not used: {some(origin.ignored)}" if origin.ignored else ""
    classes = f"label from {origin.label} ({len(set(known))} classes{hidden})"
    return f"{origin.source} as {rows.kind} ({how}), {classes}, splits: {_splits_text(set(rows.split or ()))}{unused}"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def _splits_text(given: set[Any]) -> str:
    """Which splits were given, and which are cut from training."""
    if not given - {"train"}:
        return "cut 70/15/15, stratified by class"
    cut = [name for name in ("val", "test") if name not in given]
    named = " and ".join(name for name in ("train", "val", "test") if name in given)
    return f"{named} given" + (f", {' and '.join(cut)} cut from train" if cut else "")
