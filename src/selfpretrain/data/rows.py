"""Labelled rows on their way from a file or a rule to a task: parse, cut, split, fit the codec, encode."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName, TaskConfig
from selfpretrain.data.cells import Cells, check_channels
from selfpretrain.data.codec import Codec
from selfpretrain.data.columns import some
from selfpretrain.data.guess import guess
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.schema import AS_USUAL, Schema
from selfpretrain.data.sequences import Sequences, interleaved
from selfpretrain.data.spelling import MISSING, blanks_of, for_reader, numbers_first, refuse
from selfpretrain.data.split import (
    PARTS,
    UNLABELLED,
    duplicate_groups,
    leaks,
    linked,
    parts_of,
    row_groups,
    share_of_training,
)
from selfpretrain.data.table import SPLIT_NAMES
from selfpretrain.data.task import DataSummary, Split, Task, sequences_of
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream

LONGEST = 1024
"""Positions that are read of a sequence in a file (ours)."""


@dataclass(kw_only=True)
class Rows:
    """Labelled rows: N rows of one sequence, or of a pair of them.

    Attributes:
        columns: the cells of the sequence, or of both sequences of a pair; parsed, they become ``Sequences``.
        labels: (N,) class names; None where a row has none.
        split: train, val or test for each row; None leaves the cut to ``parts_of``.
        groups: what each row shares with others, such as a person; None where nothing is known.
        group_name: the column that says so.
        numbers: where each row stands in its file, from 0; by default 0 to N - 1.
        kind: None guesses it.
        classes: the order of the classes; None sorts the labels.
        grid: height and width of sequences that are images read row by row.
        longest: longer sequences are cut, unless ``--max-length`` says otherwise; None cuts none.
        file: what they came from, for the first note; empty for built-in tasks.
        source: the columns of the sequence, in words.
        ignored: columns that are not used.
        perhaps_group: those of them that look like ``group_name``.
        notes: what else a reader should know.
        schema: how they were read; it holds for later rows, too.
    """

    columns: Sequence[Any]
    labels: list[str | None]
    split: list[str] | None = None
    groups: list[str] | None = None
    group_name: str = ""
    numbers: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in below
    kind: KindName | None = None
    classes: tuple[str, ...] | None = None
    grid: tuple[int, int] | None = None
    longest: int | None = LONGEST
    file: str = ""
    source: str = ""
    ignored: Sequence[str] = ()
    perhaps_group: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)
    schema: Schema = AS_USUAL

    def __post_init__(self) -> None:
        if self.numbers is None:
            self.numbers = np.arange(len(self.labels))

    @property
    def per_row(self) -> int:
        return len(self.columns)

    @property
    def words(self) -> str:
        return "sequences" if self.per_row == 1 else "pairs"

    def numbered_classes(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The classes in their order, and the number of each row's class (N,)."""
        classes = self.classes or tuple(sorted({label for label in self.labels if label}, key=numbers_first))
        index = {label: number for number, label in enumerate(classes)}
        y = [UNLABELLED if label is None else index[label] for label in self.labels]
        return classes, np.array(y, dtype=np.int64)


def made(
    kind: KindName,
    classes: tuple[str, ...],
    x: Cells,
    y: NDArray[np.int64],
    split: list[str] | None = None,
    second: Cells | None = None,
    notes: Sequence[str] = (),
) -> Rows:
    """The rows of a built-in task; see ``Rows``.

    Args:
        x: (N, T) whole numbers for symbols, (N, T) or (N, T, C) numbers for values, N texts for bytes, N arrays or
            lists of any lengths, or ``Sequences``.
        y: (N,) indices of ``classes``.
        second: the second sequence of each row, where rows are pairs.
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
    """The rows with their cells as ``Sequences``.

    Raises:
        RequestError: a cell or a split name that cannot be used; names the row.
    """
    notes, schema = list(rows.notes), rows.schema
    name = config.kind or rows.kind
    if name is None:
        name, hint = guess(where, rows.columns[0], schema)
        notes += [hint] if hint else []
    kind, columns, missing, shorter = KINDS[name], [], 0, 0
    for column in rows.columns:
        sequences, absent, cut = kind.parse(where, column, schema, config.allow_missing)
        columns.append(sequences)
        missing, shorter = missing + absent, shorter + cut
        check_channels(where, sequences, columns[0].entries.shape[-1], "the first sequence of the pair")
    if shorter:
        notes.append(f"{shorter} sequences end in missing entries and are read as shorter ones")
    if missing:
        notes.append(f"{missing} {kind.filling(config.allow_missing)}")
    notes += kind.doubts(columns[0], config, schema)
    if schema.blanks is None and name == "symbols":
        schema = replace(schema, blanks=blanks_of(columns[0].names or ()))
    split = None
    if rows.split is not None:
        split = [SPLIT_NAMES.get(name.strip().lower(), "") for name in rows.split]
        if "" in split:
            row = split.index("")
            refuse(where, row, f"the split column says '{rows.split[row]}'; write train, val or test")
    return replace(rows, columns=columns, kind=name, split=split, notes=notes, schema=schema)


def with_test_rows(where: Path | str, rows: Rows, test_file: Path, test: Rows) -> Rows:
    """Parsed training rows with the parsed rows of a test file behind them.

    Raises:
        RequestError: both have test rows, or other channels.
    """
    split = rows.split or ["train"] * len(rows.labels)
    if "test" in split:
        refuse(where, None, "--test names a test file and the split column has test rows too; give one of them")
    check_channels(test_file, test.columns[0], rows.columns[0].entries.shape[-1], "the training file")
    unused = [f"not used of {test_file.name}: {some(test.ignored)}"] if set(test.ignored) - set(rows.ignored) else []
    of_test = [f"{test_file.name}: {note}" for note in test.notes if note not in rows.notes]
    return replace(
        rows,
        columns=[Sequences.joined(both) for both in zip(rows.columns, test.columns, strict=True)],
        labels=rows.labels + test.labels,
        split=split + ["test"] * len(test.labels),
        groups=None if rows.groups is None else rows.groups + (test.groups or []),
        numbers=np.concatenate([rows.numbers, test.numbers]),
        notes=[*rows.notes, *of_test, *unused],
        file=f"{rows.file} and {test.file}",
    )


def with_more_rows(where: Path | str, rows: Rows, more: Rows) -> Rows:
    """Parsed rows with parsed rows without labels behind them, which are for training.

    Raises:
        RequestError: they have other channels.
    """
    check_channels(where, more.columns[0], rows.columns[0].entries.shape[-1], "the first file")
    first = int(rows.numbers.max()) + 1  # masks are drawn by a row's number, so that no two may have the same
    return replace(
        rows,
        columns=[Sequences.joined(both) for both in zip(rows.columns, more.columns, strict=True)],
        labels=rows.labels + more.labels,
        split=None if rows.split is None else rows.split + ["train"] * len(more.labels),
        numbers=np.concatenate([rows.numbers, first + more.numbers]),
        notes=[*rows.notes, *(f"{Path(where).name}: {note}" for note in more.notes if note not in rows.notes)],
        file=f"{rows.file} and {Path(where).name}",
    )


def assemble(where: Path | str, name: str, rows: Rows, config: TaskConfig, codec: Codec | None = None) -> Task:
    """The task of parsed rows: check, cut, split, fit the codec on training rows, encode.

    Args:
        codec: takes the place of one that is fitted here; only its classes are those of the rows.

    Raises:
        RequestError: classes that cannot be used, an empty split, or a channel without a value.
    """
    _check_classes(where, rows, config)
    per_row, words = rows.per_row, rows.words
    sequences = interleaved(rows.columns)
    summary = summarised(rows, sequences, config) if rows.file else None
    notes = list(rows.notes) if summary is None else [summary.line, *rows.notes]
    longest = config.max_length or rows.longest
    if longest is not None and (long := int((sequences.lengths > longest).sum())):
        notes.append(f"{long} sequences were longer than --max-length {longest} and were cut")
        sequences = sequences.cut(longest)
    classes, y = rows.numbered_classes()
    numbers, duplicates, groups = rows.numbers, row_groups(sequences, per_row), None
    if rows.groups is None:
        parts = parts_of(duplicates, y, rows.split, config.data_seed)
    else:
        _check_groups(where, rows)
        groups = np.unique(rows.groups, return_inverse=True)[1]
        parts = parts_of(linked(duplicates, groups), y, rows.split, config.data_seed)
    if config.train_on_test:
        parts = np.where(parts == PARTS.index("test"), 0, parts)
        notes.append("test rows are trained on, too; validation rows pick the model, and are no test of it")
    if config.fraction < 1:
        stay = share_of_training(duplicates, y, parts, config.fraction, config.data_seed)
        kept = f"{(parts[stay] == 0).sum()} of {(parts == 0).sum()}"
        notes.append(f"{kept} training {words} are used (fraction {config.fraction:g})")
        sequences = sequences.rows(sequences_of(np.flatnonzero(stay), per_row))
        duplicates, y, parts, numbers = duplicates[stay], y[stay], parts[stay], numbers[stay]
        groups = None if groups is None else groups[stay]

    if config.label_fraction < 1:
        kept_labels = share_of_training(duplicates, y, parts, config.label_fraction, config.data_seed)
        labelled = (parts == 0) & (y != UNLABELLED)
        counts = f"{(kept_labels & labelled).sum()} of {labelled.sum()}"
        notes.append(f"{counts} training labels are used (label fraction {config.label_fraction:g})")
        y = np.where(kept_labels, y, UNLABELLED)

    places = [np.flatnonzero((parts == part) & (y != UNLABELLED)) for part in range(len(PARTS))]
    if config.train_on_test:
        places[PARTS.index("test")] = places[PARTS.index("val")]
    for part, members in zip(("training", "validation", "test"), places, strict=True):
        if not len(members):
            what = f"groups ({rows.group_name})" if rows.groups else "different sequences"
            refuse(where, None, f"the {part} split is empty: there are too few {what}; add rows")
    few = f"too few groups ({rows.group_name}) have rows of it"
    for absent in np.setdiff1d(np.arange(len(classes)), y[places[0]]):
        problem = f"class '{classes[absent]}' is not in training: "
        problem += few if rows.groups else "its sequences equal those of other rows"
        refuse(where, None, f"{problem}; add rows of it, or remove the class")
    if rows.groups and rows.split is None:
        for part, members in zip(PARTS[1:], places[1:], strict=True):
            lacking = np.setdiff1d(np.arange(len(classes)), y[members])
            notes += [f"warning: class '{classes[absent]}' is not in {part}: {few}" for absent in lacking]
    is_new = parts != 0 if codec is None else np.ones(len(parts), dtype=np.bool_)  # what the codec was not fitted on
    if codec is not None:
        if codec.per_row != per_row:
            refuse(where, None, f"rows have {per_row} sequence(s), and those of pretraining had {codec.per_row}")
        check_channels(where, sequences, len(codec.mean), "pretraining")
        codec = replace(codec, classes=classes, schema=rows.schema)
    else:
        try:
            codec = Codec.fit(
                rows.kind or "symbols",
                classes,
                sequences.rows(sequences_of(np.flatnonzero(parts == 0), per_row)),
                labelled=sequences.rows(sequences_of(places[0], per_row)),
                allow_missing=config.allow_missing,
                per_row=per_row,
                schema=rows.schema,
            )
        except RequestError as error:
            raise RequestError(f"{where}: {error}") from None
    x, lengths = codec.arrays(sequences)

    leaking = shared = leaks(duplicates, parts)
    if per_row > 1:
        shared = leaks(duplicate_groups(sequences).reshape(-1, per_row), parts)
    hidden, labelled = (parts == 0) & (y == UNLABELLED), y != UNLABELLED
    outside_too = shared if groups is None else shared | leaks(groups, parts)
    unlabelled = np.flatnonzero(hidden & ~outside_too)
    outside = sequences.rows(sequences_of(np.flatnonzero(is_new), per_row)).cut(codec.length)
    kept_whole = "sequences" if groups is None else f"sequences or groups ({rows.group_name})"
    counted = {
        f"{{}} sequences outside training are longer than any in it and were cut to {codec.length}": (
            sequences.lengths > codec.length
        ),
        "{} symbols occur only in validation or test, and are read as unknown": codec.unknown(outside),
        f"warning: {{}} training {words} stand in validation or test too, exactly equal": leaking & labelled,
        "warning: of {} training pairs one sequence stands in a pair of validation or test, too": (
            shared & ~leaking & labelled
        ),
        f"{{}} rows without a label are left out: their {kept_whole} stand in validation or test": hidden & outside_too,
        "{} training rows have no label; only self-pretraining uses them": unlabelled >= 0,
    }
    notes += [note.format(count) for note, which in counted.items() if (count := np.sum(which, dtype=int))]
    if config.random_labels:
        for number, members in enumerate(places):
            y[members] = numpy_stream(config.data_seed, "random-labels", number).permutation(y[members])
        notes.append("control: labels are permuted at random, so that they can only be memorised")
    everything = Split(x, lengths, y, numbers, per_row, groups)
    train, val, test = map(everything.rows, places)
    return Task(
        name,
        codec,
        train,
        val,
        test,
        everything.rows(unlabelled) if len(unlabelled) else None,
        notes=tuple(for_reader(where, note) for note in notes),
        source=config,
        grid=rows.grid if rows.grid is None or math.prod(rows.grid) == codec.length else None,
        data=summary,
    )


def _check_groups(where: Path | str, rows: Rows) -> None:
    """Given splits part no group."""
    split_of: dict[str, str] = {}
    for group, part in zip(rows.groups or (), rows.split or (), strict=False):
        if (other := split_of.setdefault(group, part)) != part:
            problem = f"the rows of '{group}' (column '{rows.group_name}') stand in {other} and in {part}"
            refuse(where, None, f"{problem}; give them one split, or leave out --group")


def _check_classes(where: Path | str, rows: Rows, config: TaskConfig) -> None:
    """At least two classes; each with enough members; every class of val and test also in train."""
    counts = Counter(label for label in rows.labels if label is not None)
    if not counts:
        refuse(where, None, "no row has a label; name the label column with --label")
    if len(counts) == 1:
        refuse(where, None, f"all labels are '{next(iter(counts))}', one class; a classifier needs two classes or more")
    trained = {label for label, part in zip(rows.labels, rows.split or (), strict=False) if part == "train"} - {None}
    if rows.split is not None and len(trained) < 2:
        refuse(where, None, f"the training split has {len(trained)} class(es); it needs two or more")
    for number, label, part in zip(rows.numbers.tolist(), rows.labels, rows.split or (), strict=False):
        file = config.test if config.test is not None and part == "test" else where
        if part != "train" and label is None:
            refuse(file, number, f"no label in the {part} split; only training rows may go without")
        if part != "train" and label not in trained:
            problem = f"class '{label}' of the {part} split never occurs in training"
            refuse(file, number, f"{problem}; add or remove its rows")
    least, members = min(counts.items(), key=lambda item: item[1])
    needed = 2 if rows.split is not None else 3
    if members < needed:  # if the splits are given, the member is a row for training
        has = "one member" if members == 1 else f"{members} members"
        cure = f"add rows of it (at least {needed}, one a split), or remove the class"
        refuse(where, rows.labels.index(least), f"class '{least}' has {has}; {cure}")


def summarised(rows: Rows, sequences: Sequences, config: TaskConfig) -> DataSummary:
    """What a file, a frame or sequences in memory were taken for; ``sequences`` are as long as they came."""
    counts = Counter(label for label in rows.labels if label is not None)
    cut = [part for part in PARTS[1:] if part not in (rows.split or ())]
    splits = " and ".join(part for part in PARTS if part in (rows.split or ())) + " given" if cut else "given"
    splits += f", {' and '.join(cut)} cut from train" if cut else ""
    asked = {"sequence": config.sequence or not rows.schema.sequence, "kind": config.kind}
    asked["label"] = config.label or not rows.schema.label
    by = f"by {rows.group_name}" if rows.groups else "stratified by class"
    is_values = rows.kind == "values"
    return DataSummary(
        file=rows.file,
        source=rows.source,
        kind=rows.kind or "symbols",
        rows=len(rows.labels),
        steps=(int(sequences.lengths.min()), int(sequences.lengths.max())),
        channels=sequences.entries.shape[1] if is_values else 0,
        symbols=len({*(sequences.names or ())} - {MISSING}) if rows.kind == "symbols" else 0,
        label=rows.schema.label or "y",
        classes={name: counts[name] for name in sorted(counts, key=numbers_first)},
        unlabelled=len(rows.labels) - sum(counts.values()),
        splits=splits if len(cut) < 2 else f"cut 70/15/15, {by}",
        group=rows.group_name,
        groups=len(set(rows.groups or ())),
        perhaps_group=tuple(rows.perhaps_group),
        unused=tuple(rows.ignored),
        guessed=tuple(option for option, value in asked.items() if not value),
    )
