"""From parsed sequences and labels to a Task: cut, split, fit the codec, code; the same way for files and rules."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind, TaskConfig
from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.codec import Codec, code_symbols
from selfpretrain.tasks.parsing import Sequences, numbers_first
from selfpretrain.tasks.splitting import UNLABELLED, duplicate_groups, leaks, parts_of, row_groups, share_of_training
from selfpretrain.tasks.task import Split, Task, sequences_of

LONGEST = 1024
"""Positions that are read of a sequence in a file (ours)."""


@dataclass
class Material:
    """What a task is made of.

    Attributes:
        sequences: parsed, ``per_row`` a row, one after the other.
        labels: class names; None where a row has none.
        split: train, val or test for each row; None cuts.
        numbers: where each row stands in its file; None counts.
        classes: their order; None sorts the labels.
        longest: positions to which longer sequences are cut unless ``--max-length`` says otherwise; None cuts none.
        per_row: sequences of a row: 1, or the 2 of a pair.
    """

    name: str
    kind: Kind
    sequences: Sequences
    labels: list[str | None]
    split: list[str] | None = None
    numbers: list[int] | None = None
    classes: tuple[str, ...] | None = None
    grid: tuple[int, int] | None = None
    longest: int | None = LONGEST
    per_row: int = 1
    notes: list[str] = field(default_factory=list)


def assemble(where: Path | str, material: Material, config: TaskConfig) -> Task:
    """Make the task.

    Raises:
        RequestError: a split is empty, a class is not in training, or a channel has no value.
    """
    notes, kind, per_row = material.notes, material.kind, material.per_row
    what = "sequences" if per_row == 1 else "pairs"
    sequences = _cut(material, config)
    classes = material.classes or tuple(sorted({name for name in material.labels if name}, key=numbers_first))
    index = {name: number for number, name in enumerate(classes)}
    y = np.array([UNLABELLED if name is None else index[name] for name in material.labels], dtype=np.int64)
    sequences, table = code_symbols(sequences) if kind == "symbols" else (sequences, None)
    groups = row_groups(sequences, per_row)
    parts = parts_of(groups, y, material.split, config.data_seed)
    numbers = np.arange(len(y)) if material.numbers is None else np.array(material.numbers, dtype=np.int64)
    if config.fraction < 1:
        stay = share_of_training(groups, y, parts, config.fraction, config.data_seed)
        of = int((parts[stay] == 0).sum()), int((parts == 0).sum())
        notes.append(f"{of[0]} of {of[1]} training {what} are used (--fraction {config.fraction:g})")
        sequences = _of_rows(np.flatnonzero(stay), sequences, per_row)
        groups, y, parts, numbers = groups[stay], y[stay], parts[stay], numbers[stay]
    training = np.flatnonzero(parts == 0)
    labelled = training[y[training] != UNLABELLED]
    if not len(labelled):
        raise RequestError(f"{where}: the training split is empty: there are too few different sequences; add rows")
    try:
        codec = Codec.fit(
            kind,
            classes,
            _of_rows(training, sequences, per_row),
            labelled=_of_rows(labelled, sequences, per_row),
            table=table,
            allow_missing=config.allow_missing,
            per_row=per_row,
        )
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None
    if longer := sum(len(sequence) > codec.length for sequence in sequences):
        notes.append(f"{longer} sequences outside training are longer than any in it and were cut to {codec.length}")
    x, lengths = codec.arrays(sequences, table)
    everything = Split(x, lengths, y, numbers, per_row)
    if kind == "symbols":
        unseen = int((everything.rows(np.flatnonzero(parts != 0)).x == len(codec.vocabulary)).sum())
        if unseen:
            notes.append(f"{unseen} symbols outside training never occur in it and count as unknown")
    leaking = leaks(groups, parts)
    shared = leaking if per_row == 1 else leaks(duplicate_groups(sequences).reshape(-1, per_row), parts)
    if count := int(leaking[y != UNLABELLED].sum()):
        notes.append(f"warning: {count} training {what} stand in validation or test too, exactly equal")
    if count := int((shared & ~leaking)[y != UNLABELLED].sum()):
        notes.append(f"warning: of {count} training pairs one sequence stands in a pair of validation or test, too")
    hidden = (parts == 0) & (y == UNLABELLED)
    if count := int((hidden & shared).sum()):
        notes.append(f"{count} rows without a label are left out: their sequences stand in validation or test")
    unlabelled = np.flatnonzero(hidden & ~shared)
    if len(unlabelled):
        notes.append(f"{len(unlabelled)} training rows have no label; self-pretraining alone sees them")
    task = Task(
        name=material.name,
        codec=codec,
        train=everything.part(labelled),
        val=everything.part(np.flatnonzero(parts == 1)),
        test=everything.part(np.flatnonzero(parts == 2)),
        unlabelled=everything.part(unlabelled) if len(unlabelled) else None,
        grid=material.grid,
    )
    _check_parts(where, task)
    if config.random_labels:
        task = with_random_labels(task, config.data_seed)
        notes.append("control: labels are exchanged at random, so that they can only be learnt by heart")
    return replace(task, notes=tuple(notes), source=config)


def _of_rows(rows: NDArray[np.int64], sequences: Sequences, per_row: int) -> Sequences:
    """The sequences of these rows."""
    return [sequences[number] for number in sequences_of(rows, per_row)]


def with_random_labels(task: Task, data_seed: int) -> Task:
    """The task with the labels of each split handed out anew at random: as many of each class, and nothing to find."""

    def shuffle(split: Split, part: int) -> Split:
        return replace(split, y=numpy_stream(data_seed, "random-labels", part).permutation(split.y))

    return replace(task, train=shuffle(task.train, 0), val=shuffle(task.val, 1), test=shuffle(task.test, 2))


def _cut(material: Material, config: TaskConfig) -> Sequences:
    """The sequences, no longer than they may be."""
    most = config.max_length or material.longest
    if most is not None and (long := sum(len(sequence) > most for sequence in material.sequences)):
        material.notes.append(f"{long} sequences were longer than --max-length {most} and were cut")
    return [sequence[:most] for sequence in material.sequences]


def _check_parts(where: Path | str, task: Task) -> None:
    """Every split has sequences, and training has every class."""
    for name, part in (("training", task.train), ("validation", task.val), ("test", task.test)):
        if len(part) == 0:
            raise RequestError(f"{where}: the {name} split is empty: there are too few different sequences; add rows")
    absent = sorted(set(range(len(task.classes))) - set(task.train.y.tolist()))
    if absent:
        raise RequestError(
            f"{where}: class '{task.classes[absent[0]]}' is not in training: its sequences equal those of other rows; "
            "add rows of it, or remove the class"
        )
