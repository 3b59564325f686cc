"""Which columns of a table hold what, and its rows.

What is not told is guessed, in this order: a table with a row for each time step, the label, the sequence, and the
columns that are no steps. The guess is the first note of the task, and holds for test files and saved models too, whose
columns are found by name. What can be taken two ways is refused, with the option that decides.
"""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.cells import NUMERIC_SHARE, ONE_COMMA, SAMPLE_ROWS, as_number, is_list, refuse, tokens
from selfpretrain.data.codec import pair_columns
from selfpretrain.data.columns import codes_of, family, listed, numbers_of, sequence_columns, some
from selfpretrain.data.labels import CLASS_OPTION, read_labels
from selfpretrain.data.memory import TAKEN, column, columns_of
from selfpretrain.data.reading import Reading
from selfpretrain.data.rows import Rows
from selfpretrain.data.table import Table
from selfpretrain.data.times import sort_keys
from selfpretrain.errors import RequestError

SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
AXES_NAMES = ({"x", "y", "z"}, {"x", "z"})
"""Names of axes of space; where all of a set are columns, none of them is a sequence or a class."""
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
NO_STEP_NAMES = re.compile(
    r"(?:.*[_ .-])?(?:id|ids|uuid|guid|key|index|idx|subject|patient|participant|person|user|recording|session|trial"
    r"|time|date|datetime|timestamp|recorded|recorded_at|created_at|updated_at)",
    re.IGNORECASE,
)
"""Names of identifiers, of persons, and of times of recording; never taken for a step unless asked for."""
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""
MOST_ROLES = 64
"""Columns that are looked at for series, time and label of such a table (ours)."""
FEWEST_STEPS, MANY_STEPS = 3, 8
"""From so many numbered columns on they are the steps and no other column is, and a table is no long one (ours)."""


def rows_in_memory(x: Any, y: Any, split: Any, config: TaskConfig) -> Rows:
    """Rows of sequences and labels in memory, which get the checks that a file gets.

    Args:
        x: (N, T) or (N, T, C), or sequences of any lengths: strings, lists, arrays. Of pairs a list of tuples
            (first, second). Or a frame, whose columns are as those of a file.
        y: (N,) classes, of a frame without a label column too; None, and -1 among whole numbers, are rows without a
            label.
        split: train, val or test of each row; None cuts.
        config: how to read them.
    """
    frame = columns_of(x)
    if frame is not None and y is None:
        return rows_of_table("frame", Table(columns=frame), config)
    if y is None:
        raise RequestError("sequences in memory need their labels: load_task(x, y)")
    labels, parts = column("y", y), None if split is None else column("split", split)
    cells = column("x", x) if frame is None else []
    n = len(cells) if frame is None else len(Table(columns=frame))
    if n != len(labels) or (parts is not None and len(parts) != n):
        raise RequestError(f"{n} sequences, {len(labels)} labels; give one label, and one split, a sequence")
    if not n:
        raise RequestError("there are no sequences; give some")
    if frame is not None:
        given = {"label": labels} if parts is None else {"label": labels, "split": parts}
        asked = {role: next(name for name in (role, f"{role} of rows") if name not in frame) for role in given}
        table = Table(columns={**frame, **{asked[role]: given_cells for role, given_cells in given.items()}})
        return rows_of_table("frame", table, replace(config, label=asked["label"], split=asked.get("split")))
    if all(isinstance(cell, int | float | np.generic) for cell in listed(cells[:SAMPLE_ROWS])):
        raise RequestError(f"x has one number a row ({n} rows); a row is a sequence: give (N, T), {TAKEN}")
    read = read_labels("arrays", "y", labels, config.unlabelled, typed=True)
    rows = Rows(
        columns=pair_columns("arrays", cells) if any(isinstance(cell, tuple) for cell in cells) else [cells],
        labels=read.names,
        split=None if parts is None else [str(part) for part in listed(parts)],
        reading=replace(_told(config), unlabelled=read.unlabelled, label_type=read.label_type),
        notes=list(read.notes),
    )
    shape = f" {cells.shape}" if isinstance(cells, np.ndarray) else ""
    return replace(rows, file="in memory", source=f"{rows.words}{shape}")


def rows_of_table(where: Path | str, table: Table, config: TaskConfig, training: Rows | None = None) -> Rows:
    """The rows of a table, their cells as they stand there.

    Args:
        where: for refusals, and in the first note.
        table: columns by name.
        config: what was told of them.
        training: rows whose reading holds for these, too; None decides it.

    Raises:
        RequestError: the columns asked for cannot be used, are missing, or can be taken two ways.
    """
    notes = list(table.notes)
    if training is None:
        reading = _recognised(where, table, config, notes)
    else:
        reading = replace(training.reading, split=None)  # all rows of a test file are for testing
        if reading.label not in table.columns:
            refuse(where, None, f"no column '{reading.label}' for the class; the columns are {some(table.names)}")
    used = [name for name in table.names if name in _used(reading)]
    for name in used:
        if len(table.columns[name]) != len(table.columns[used[0]]):
            rows = f"{used[0]}{_shape(table, used[0])} and {name}{_shape(table, name)}"
            refuse(where, None, f"{rows} have not the same number of rows; a row is a sequence and its class")
    for name in (name for role, name in reading.roles.items() if role != "label"):
        if codes_of(table.columns[name]) is None:
            refuse(where, 0, f"column '{name}' holds a list; it needs one word or number a row")
    label_name = reading.roles["label"]
    columns, first = sequence_columns(where, table.columns, reading)
    plain = {role: table.columns[name] for role, name in reading.roles.items() if role in ("label", "split")}
    if reading.series is not None:
        plain = {role: _one_a_series(where, table, reading, role) for role in plain}
        notes.append(f"a row is a time step; {len(first)} sequences by column {reading.series}")
    asked = config.unlabelled if training is None else reading.unlabelled or CLASS_OPTION
    labels = read_labels(where, label_name, plain["label"], asked, typed=table.typed)
    if training is None:
        reading = replace(reading, unlabelled=labels.unlabelled, label_type=labels.label_type)
        notes += labels.notes
    words = "pairs" if reading.pair else "sequence"
    return Rows(
        columns=columns,
        labels=labels.names,
        split=[str(cell or "") for cell in listed(plain["split"])] if "split" in plain and training is None else None,
        numbers=np.arange(len(first)) if table.numbers is None or reading.series else table.numbers,
        file=str(getattr(where, "name", where)),
        source=f"{words} from {_named(table, reading)}",
        label_name=label_name,
        ignored=[name for name in table.names if name not in _used(reading) and not INDEX_NAMES.fullmatch(name)],
        notes=notes,
        reading=reading,
    )


def _used(reading: Reading) -> set[str]:
    return {*reading.sequence, *reading.roles.values(), *((reading.pair,) if reading.pair else ())}


def _named(table: Table, reading: Reading) -> str:
    """The columns of the sequence, in words."""
    if reading.form == "whole":
        both = " and ".join([*reading.sequence, *((reading.pair,) if reading.pair else ())])
        cells = table.columns[reading.sequence[0]]
        return f"array {both} {cells.shape}" if isinstance(cells, np.ndarray) else f"column {both}"
    if len(reading.sequence) < 3:
        return f"columns {' and '.join(reading.sequence)}"
    return f"columns {reading.sequence[0]} .. {reading.sequence[-1]}"


def _shape(table: Table, name: str) -> str:
    cells = table.columns[name]
    return f" {cells.shape}" if isinstance(cells, np.ndarray) else f" ({len(cells)},)"


def _one_a_series(where: Path | str, table: Table, reading: Reading, role: str) -> list[Any]:
    """The label or the split of each series, which is that of all of its rows."""
    assert reading.series is not None, "it was just looked at"
    name = reading.roles[role]
    cells, series = listed(table.columns[name]), codes_of(table.columns[reading.series])
    assert series is not None, "it was looked at before"
    one: dict[int, Any] = {}
    for row, number in enumerate(series.tolist()):
        if one.setdefault(number, cells[row]) != cells[row] and not (cells[row] is None or one[number] is None):
            both = " and ".join(sorted({str(one[number]), str(cells[row])}))
            which = listed(table.columns[reading.series])[row]
            refuse(where, row, f"series '{which}' has {both} in column '{name}'; give each series one")
        one[number] = cells[row] if one[number] is None else one[number]
    return list(one.values())


# What the columns are.


def _told(config: TaskConfig) -> Reading:
    """What the request says of the reading."""
    return Reading(decimal=config.decimal, axes=config.axes or "ntc", dates=config.dates, fold_case=config.fold_case)


def _recognised(where: Path | str, table: Table, config: TaskConfig, notes: list[str]) -> Reading:
    """The reading of a table, as told or else as its names and cells say."""
    names, columns = table.names, table.columns
    for role in ("series", "time", "label", "split", "pair"):
        if (asked := getattr(config, role)) and asked not in names:
            refuse(where, None, f"no column '{asked}' (--{role}); the columns are {some(names)}")
    lower = {name.strip().lower(): name for name in reversed(names)}
    told, split = _told(config), config.split or lower.get("split")
    whole = [name for name in names if _is_whole(columns[name], told)]
    if config.series is None and config.sequence is None and config.pair is None and not whole:
        _refuse_long(where, table, config, {split})
    label = config.label or _label(where, table, config, split, notes)
    taken = {name: option for name, option in ((label, "label"), (split, "split"), (config.pair, "pair")) if name}
    if config.pair in (label, split) and config.pair:
        refuse(where, None, f"--pair names the column '{config.pair}', which is taken for something else already")
    reading = replace(
        told, label=label, split=split, series=config.series, time=config.time, pair=config.pair,
        form="channels" if config.series else "whole",
    )  # fmt: skip
    others = [name for name in names if name not in (*taken, config.series, config.time)]
    if config.sequence is not None:
        sequence = _asked(where, config.sequence, names, others, taken)
    else:
        sequence = _guessed(where, columns, others, reading, whole, notes)
    if not sequence:
        refuse(where, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    if config.pair and len(sequence) > 1:
        asked = f"there are {len(sequence)} columns for the first"
        refuse(where, None, f"--pair names one column for the second sequence, and {asked}; name it with --sequence")
    if config.series is None and len(sequence) > 1:
        reading = replace(reading, form="steps")
    elif (
        config.series is None
        and config.kind != "bytes"
        and sequence[0] not in whole
        and _is_numeric(columns[sequence[0]])
    ):
        cure = "name the steps with --sequence, or give --kind bytes if its digits are the sequence"
        refuse(where, None, f"column '{sequence[0]}' has one number a row, which is no sequence; {cure}")
    return replace(reading, sequence=tuple(sequence))


def _is_whole(cells: Any, reading: Reading) -> bool:
    """Whether most cells of a column are whole sequences: lists, or texts of several entries."""
    if isinstance(cells, np.ndarray) and cells.ndim > 1:
        return True
    sample = [cell for cell in listed(cells[:SAMPLE_ROWS]) if cell is not None]
    several = [
        (is_list(cell) or (len(tokens(cell, reading.decimal)) > 1 and not re.fullmatch(ONE_COMMA, cell)))
        if isinstance(cell, str)
        else isinstance(cell, list | tuple | np.ndarray)
        for cell in sample
    ]
    return 2 * sum(several) > len(sample)


def _is_numeric(cells: Any) -> bool:
    """Whether the first cells that are not empty are plain numbers, but for a few; codes such as 007 are none."""
    sample = [cell for cell in listed(cells[:SAMPLE_ROWS]) if cell is not None]
    if any(isinstance(cell, str) and re.match(r"\s*0\d", cell) for cell in sample):
        return False
    return sum(as_number(cell) is not None for cell in sample) >= NUMERIC_SHARE * len(sample)


def _label(where: Path | str, table: Table, config: TaskConfig, split: str | None, notes: list[str]) -> str:
    """The label column, by its name; without a header the first or the last column; of series the one that fits."""
    names = table.names
    if table.headless:
        return _label_without_header(where, table, notes)
    axes = {name for axes in AXES_NAMES if axes <= {name.lower() for name in names} for name in axes}
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    candidates = [by_lower[name] for name in LABEL_NAMES if name in by_lower and name not in axes]
    if config.series is not None:
        fitting = _constant(table, config.series, [name for name in names if name not in (config.time, split)])
        candidates = [name for name in candidates if name in fitting] or candidates or fitting
    if len(candidates) > 1:
        refuse(where, None, f"{' and '.join(candidates[:2])} could both be the class; name it with --label")
    if not candidates:
        refuse(where, None, f"no column is called label; name it with --label (the columns are {some(names)})")
    return candidates[0]


def _label_without_header(where: Path | str, table: Table, notes: list[str]) -> str:
    first, last = table.names[0], table.names[-1]

    def like_classes(name: str) -> bool:
        codes, numbers = codes_of(table.columns[name]), numbers_of(where, name, table.columns[name])
        assert codes is not None, "cells of a CSV are plain"
        few = 2 * (int(codes.max()) + 1) <= len(codes)
        return few and (numbers is None or bool((numbers == np.round(numbers)).all()))

    fitting = [name for name in (first, last) if like_classes(name)]
    if len(fitting) != 1:
        which = "either" if fitting else "neither"
        problem = f"there is no header, and {which} of {first} and {last} looks like the class"
        refuse(where, None, f"{problem}; name it with --label, --label {first} say")
    notes.append(f"the class is taken from {fitting[0]}; --label overrides")
    return fitting[0]


def _constant(table: Table, series: str, names: Sequence[str]) -> list[str]:
    """Columns with one value in all rows of a series, and fewer values than there are series."""
    groups = codes_of(table.columns[series])
    constant: list[str] = []
    for name in names:
        codes = codes_of(table.columns[name]) if name != series else None
        if groups is None or codes is None or not len(codes):
            continue
        value = np.zeros(int(groups.max()) + 1, dtype=np.int64)
        value[groups] = codes
        if 1 < int(codes.max()) + 1 < len(value) and (value[groups] == codes).all():
            constant.append(name)
    return constant


def _asked(
    where: Path | str, patterns: str, names: Sequence[str], others: Sequence[str], taken: Mapping[str, str]
) -> list[str]:
    """The columns that ``--sequence`` names; those of a pattern in the order of their numbers."""
    sequence: list[str] = []
    for pattern in (part.strip() for part in patterns.split(",")):
        fitting = [pattern] if pattern in names else fnmatch.filter(others, pattern)
        if not fitting:
            refuse(where, None, f"no column '{pattern}' (--sequence); the columns are {some(names)}")
        numbered = family(fitting)
        sequence += numbered[0] if numbered and len(numbered[0]) == len(fitting) else fitting
    for name in sequence:
        if name in taken:
            refuse(where, None, f"--sequence names the column '{name}', which is taken for something else already")
    return sequence


def _guessed(
    where: Path | str,
    columns: Mapping[str, Any],
    others: Sequence[str],
    reading: Reading,
    whole: Sequence[str],
    notes: list[str],
) -> list[str]:
    """The columns of the sequence that nobody named."""
    others = [name for name in others if not INDEX_NAMES.fullmatch(name)]
    if reading.series is not None:
        return others
    families = family(others)
    in_families = {name for members in families for name in members}
    named = [name for known in SEQUENCE_NAMES for name in others if name.strip().lower() == known]
    axes = any(axes <= {name.lower() for name in columns} for axes in AXES_NAMES)
    fitting = [
        name for name in named if name in whole or not (name in in_families or axes or _is_numeric(columns[name]))
    ]
    if len(fitting) > 1:
        refuse(where, None, f"{' and '.join(fitting[:2])} could both be the sequence; name it with --sequence")
    if fitting:
        return fitting
    cells = [name for name in others if name in whole and not NO_STEP_NAMES.fullmatch(name)]
    rivals = cells + [
        f"{members[0]} .. {members[-1]}" for members in families if cells and len(members) >= FEWEST_STEPS
    ]
    if len(rivals) > 1:
        refuse(where, None, f"{' and '.join(rivals[:2])} could both be the sequence; name it with --sequence")
    if cells or len(others) == 1:
        return cells or others
    return _steps(where, columns, others, families, notes)


def _steps(
    where: Path | str,
    columns: Mapping[str, Any],
    others: list[str],
    families: list[list[str]],
    notes: list[str],
) -> list[str]:
    """The columns that are steps: a numbered family, or all that are no identifiers, persons and times of recording."""
    if len(families) > 1 and 4 * len(families[1]) > len(families[0]) >= FEWEST_STEPS:
        both = f"{families[0][0]}, {families[0][1]} .. and {families[1][0]}, {families[1][1]} .."
        refuse(
            where, None, f"{both} are columns of two kinds; name the steps with --sequence, or write channels as lists"
        )
    if families and len(families[0]) >= FEWEST_STEPS:
        steps = families[0]
    else:
        steps = [name for name in others if not (NO_STEP_NAMES.fullmatch(name) or _is_counter(columns[name]))]
        steps = steps or others
    out = [name for name in others if name not in steps]
    if out:
        what = "is no step" if len(out) == 1 else "are no steps"
        notes.append(f"{some(out)} {what}, and left out of training and test (--sequence names the steps)")
    if steps != [name for name in others if name in steps]:
        notes.append(f"the steps are put in the order of their numbers, {steps[0]} to {steps[-1]}")
    numeric: dict[bool, str] = {}
    for name in steps:
        numeric.setdefault(_is_numeric(columns[name]), name)
    if len(numeric) > 1:
        problem = f"column '{numeric[False]}' holds words and '{numeric[True]}' numbers"
        refuse(where, None, f"{problem}, so they are no steps of one sequence; name the sequence with --sequence")
    return steps


def _is_counter(cells: Any) -> bool:
    """Whether a column numbers its rows, or names each by another word: an identifier whatever it is called."""
    codes = codes_of(cells)
    if codes is None or len(codes) < 3 or int(codes.max()) + 1 < len(codes):
        return False
    numbers = [as_number(cell) for cell in listed(cells)]
    if any(number is None for number in numbers):
        return all(number is None for number in numbers)
    ordered = np.sort(np.array(numbers, dtype=np.float64))
    return bool((np.diff(ordered) == 1).all())


def _refuse_long(where: Path | str, table: Table, config: TaskConfig, taken: set[str | None]) -> None:
    """Refuse a table with a row for each time step, and say how to read it.

    In such a table every value of one column stands in several rows of a single class, while another column rises
    within those rows.
    """
    names = [name for name in table.names if name not in taken and not INDEX_NAMES.fullmatch(name)]
    families = family(names)
    many = set(families[0]) if families and len(families[0]) >= MANY_STEPS else set()
    candidates = [name for name in names if name not in many][:MOST_ROLES]
    codes = {name: found for name in candidates if (found := codes_of(table.columns[name])) is not None}
    keys: dict[str, NDArray[np.float64] | None] = {}
    for series, groups in codes.items():
        count = int(groups.max(initial=-1)) + 1
        if not 2 <= count <= len(groups) / LONG_RECURRENCE or (groups < 0).any():
            continue
        constant = _constant(table, series, [config.label] if config.label else candidates)
        if not constant:
            continue
        order = np.argsort(groups, kind="stable")
        same = np.diff(groups[order]) == 0
        for time in candidates:
            if time == series or time in constant:
                continue
            if time not in keys:
                keys[time] = _keys_of(where, time, table.columns[time], config)
            key = keys[time]
            if key is None or not (np.diff(key[order])[same] > 0).all():
                continue
            if many and (np.diff(key) > 0).all():
                continue  # it rises through the whole table: a time of recording, and the numbered columns are steps
            rest = [name for name in names if name not in (series, time, *constant)]
            if not rest:
                continue
            known = [name for name in constant if name.strip().lower() in LABEL_NAMES] or constant
            label = known[0] if len(known) == 1 else f"(one of {some(known)})"
            read = f"read it with --series {series} --time {time} --label {label}"
            problem = "it looks like a table with a row for each time step"
            refuse(where, None, f"{problem}; {read}, or name the steps with --sequence if a row is a sequence")


def _keys_of(where: Path | str, name: str, cells: Any, config: TaskConfig) -> NDArray[np.float64] | None:
    """What a column says of time; None where it does not."""
    try:
        numbers = numbers_of(where, name, cells)
        if numbers is not None:
            return numbers.astype(np.float64)
        return sort_keys(where, name, listed(cells), config.dates or "dmy")
    except RequestError:
        return None
