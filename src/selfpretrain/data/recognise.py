"""Which columns of a table hold what: the ``Reading`` of its rows.

What is not told is guessed, in this order: a table with a row for each time step, the label, the sequence, and the
columns that are no steps. What can be taken two ways is refused, with the option that decides.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import codes_of, family, listed, numbers_of, some
from selfpretrain.data.guess import SAMPLE_ROWS
from selfpretrain.data.reading import Reading
from selfpretrain.data.spelling import NUMERIC_SHARE, as_number, is_list, one_comma, refuse, tokens
from selfpretrain.data.table import Table
from selfpretrain.data.times import date_order, sort_keys
from selfpretrain.errors import RequestError

SEQUENCE_NAMES = ("sequence", "seq", "text", "x", "values", "tokens")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
AXES_NAMES = ({"x", "y", "z"}, {"x", "z"})
"""Names of axes of space; where all of a set are columns, none of them is a sequence or a class."""
INDEX_NAMES = re.compile(r"|Unnamed: \d+|__index_level_\d+__")
"""Columns that pandas writes for its index; never taken for a step unless asked for."""
WHO = re.compile(
    r"(?:.*[_ .-])?(?:id|ids|uuid|guid|key|index|idx|name|subject|patient|participant|person|user|recording|session"
    r"|trial)",
    re.IGNORECASE,
)
WHEN = re.compile(
    r"(?:.*[_ .-])?(?:time|date|datetime|timestamp|recorded|recorded_at|created_at|updated_at)", re.IGNORECASE
)
"""Names of identifiers and of persons, and of times of recording; never taken for a step unless asked for."""
SAMPLED_CELLS = 2**17
"""Cells that are looked at to see what columns hold, of each column at least ``FEWEST_ROWS`` (ours)."""
FEWEST_ROWS = 32
LONG_RECURRENCE = 3
"""In a table with a row for each time step, a series has at least so many rows on average (ours)."""
RISING_SHARE = 0.5
"""Of the steps of a series at least this share is later than the one before, and none earlier (ours)."""
MOST_ROLES = 64
"""Columns that are looked at for series, time and label of such a table (ours)."""
FEWEST_STEPS = 3
"""From so many numbered columns on they are the steps, and no other column is (ours)."""
ONE_WORD = re.compile(
    r"\s*(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}[ T]\S+|\d{1,2}:\d{2}\S*\s*[ap]m|-?\d+ days? \S+)\s*", re.I
)
"""A time that is written with a blank."""


def told(config: TaskConfig) -> Reading:
    """What the request says of the reading."""
    axes = config.axes or "ntc"
    return Reading(decimal=config.decimal, axes=axes, dates=config.dates, fold_case=config.fold_case)


def recognised(where: Path | str, table: Table, config: TaskConfig, notes: list[str]) -> Reading:
    """The reading of a table, as told or else as its names and cells say.

    Args:
        where: for refusals.
        table: columns by name.
        config: what was told.
        notes: get what a reader should know.

    Raises:
        RequestError: a column that was asked for is not there, or columns can be taken two ways.
    """
    names, columns = table.names, table.columns
    known = {*names, *getattr(columns, "unreadable", ())}
    for role in ("series", "time", "label", "split", "pair"):
        if (asked := getattr(config, role)) and asked not in known:
            refuse(where, None, f"no column '{asked}' (--{role}); the columns are {some(names)}")
    for name in (config.series, config.time, config.split):
        if name and codes_of(columns[name]) is None:
            refuse(where, 0, f"column '{name}' holds a list; it needs one word or number a row")
    reading, look = told(config), _Look(columns, told(config))
    split = config.split or {name.lower(): name for name in reversed(names)}.get("split")
    if config.series is None and config.sequence is None and config.pair is None and not any(map(look.whole, names)):
        _refuse_long(where, table, config, {split})
    label = config.label or _label(where, table, config, split, notes)
    taken = {name for name in (label, split, config.pair) if name}
    if config.pair in (label, split) and config.pair:
        refuse(where, None, f"--pair names the column '{config.pair}', which is taken for something else already")
    if config.time is not None and config.dates is None:
        reading = replace(reading, dates=_dates(where, config.time, columns[config.time]))
    others = [name for name in names if name not in (*taken, config.series, config.time)]
    if config.sequence is not None:
        sequence = _asked(where, config.sequence, names, others, taken)
    elif config.series is not None:
        channels = [name for name in others if not INDEX_NAMES.fullmatch(name)]
        sequence = [name for members in (*family(channels),) for name in members if name in channels]
        sequence += sorted(name for name in channels if name not in sequence)  # in one order whatever the table's
    else:
        sequence = _guessed(where, look, others, notes)
    if not sequence:
        for reason in getattr(columns, "unreadable", {}).values():
            raise RequestError(reason)
        refuse(where, None, f"there is no column beside the label; name the sequence with --sequence ({some(names)})")
    if config.pair and len(sequence) > 1:
        several = f"there are {len(sequence)} columns for the first"
        refuse(where, None, f"--pair names one column for the second sequence, and {several}; name it with --sequence")
    if config.series is None and len(sequence) == 1:
        _refuse_number(where, sequence[0], look, config)
    if config.series is None and len(sequence) > 1:
        _refuse_mixture(where, look, sequence)
    steps = len(sequence) > 1 and config.series is None
    return replace(
        reading,
        sequence=tuple(sequence),
        pair=config.pair,
        form="channels" if config.series else "steps" if steps else "whole",
        label=label,
        split=split,
        series=config.series,
        time=config.time,
        reordered=steps and sequence != [name for name in names if name in sequence],
    )


class _Look:
    """What the first cells of the columns hold."""

    def __init__(self, columns: Mapping[str, Any], reading: Reading) -> None:
        self._columns, self._decimal = columns, reading.decimal
        self._rows = min(SAMPLE_ROWS, max(FEWEST_ROWS, SAMPLED_CELLS // max(1, len(columns))))
        self._whole: dict[str, bool] = {}
        self._numeric: dict[str, bool] = {}

    def column(self, name: str) -> Any:
        return self._columns[name]

    def cells(self, name: str) -> list[Any]:
        """The first cells that are not empty."""
        return [cell for cell in listed(self._columns[name][: self._rows]) if cell is not None]

    def whole(self, name: str) -> bool:
        """Whether most cells are whole sequences: lists, or texts of several entries."""
        if name not in self._whole:
            cells = self._columns[name]
            is_array = isinstance(cells, np.ndarray) and cells.ndim > 1
            several = [] if is_array else [self._several(cell) for cell in self.cells(name)]
            self._whole[name] = is_array or 2 * sum(several) > len(several)
        return self._whole[name]

    def _several(self, cell: Any) -> bool:
        if not isinstance(cell, str):
            return isinstance(cell, list | tuple | np.ndarray)
        if as_number(cell) is not None or one_comma(cell) or ONE_WORD.fullmatch(cell):
            return False
        return is_list(cell) or len(tokens(cell, self._decimal)) > 1

    def numeric(self, name: str) -> bool:
        """Whether all but a few cells are plain numbers; codes such as 007 are none."""
        if name not in self._numeric:
            cells = self._columns[name]
            is_array = isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf"
            self._numeric[name] = is_array or self._numbers(self.cells(name))
        return self._numeric[name]

    def _numbers(self, cells: list[Any]) -> bool:
        texts = [cell.replace(self._decimal, ".") if isinstance(cell, str) else cell for cell in cells]
        if any(isinstance(cell, str) and re.match(r"\s*0\d", cell) for cell in texts):
            return False
        fitting = [as_number(cell) is not None or one_comma(cell) for cell in texts]
        return sum(fitting) >= NUMERIC_SHARE * len(cells)

    def named(self, name: str) -> bool:
        """Whether the cells are the names of rows, such as s001."""
        cells = self.cells(name)
        return len(set(map(str, cells))) == len(cells) and all(re.fullmatch(r"\D{0,20}\d+", str(c)) for c in cells)


def _refuse_number(where: Path | str, name: str, look: _Look, config: TaskConfig) -> None:
    if config.kind != "bytes" and not look.whole(name) and look.numeric(name):
        cells = look.cells(name)
        if cells and all(map(one_comma, cells)):
            return  # the comma is what is wrong with it
        cure = "name the steps with --sequence, or give --kind bytes if its digits are the sequence"
        refuse(where, None, f"column '{name}' has one number a row, which is no sequence; {cure}")


def _refuse_mixture(where: Path | str, look: _Look, steps: Sequence[str]) -> None:
    """Refuse numbers beside words, and texts, as steps of one sequence."""
    numeric: dict[bool, str] = {}
    for name in steps:
        numeric.setdefault(look.numeric(name), name)
    if len(numeric) > 1:
        problem = f"column '{numeric[False]}' holds words and '{numeric[True]}' numbers"
        refuse(where, None, f"{problem}, so they are no steps of one sequence; name the sequence with --sequence")
    if True in numeric or len(look.cells(steps[0])) <= 2 * FEWEST_STEPS:
        return
    if all(2 * len(set(map(str, look.cells(name)))) > len(look.cells(name)) for name in steps):  # no word recurs
        cell = look.cells(steps[0])[0]
        if re.search(r"\d", str(cell)) and len(steps) >= FEWEST_STEPS:
            refuse(where, 0, f"'{cell}' in column '{steps[0]}' is no number; write plain numbers")
        refuse(where, None, f"{' and '.join(steps[:2])} could both be the sequence; name it with --sequence")


def _label(where: Path | str, table: Table, config: TaskConfig, split: str | None, notes: list[str]) -> str:
    """The label column, by its name; without a header the first or the last column; of series the one that fits."""
    names = table.names
    if table.headless:
        return _label_without_header(where, table, config, notes)
    axes = axes_among(names)
    by_lower = {name.lower(): name for name in reversed(names)}
    candidates = [by_lower[name] for name in LABEL_NAMES if name in by_lower and by_lower[name] not in axes]
    if config.series is not None:
        fitting = _constant(table, config.series, [name for name in names if name not in (config.time, split)])
        candidates = [name for name in candidates if name in fitting] or candidates or fitting
    if len(candidates) > 1:
        refuse(where, None, f"{' and '.join(candidates[:2])} could both be the class; name it with --label")
    if not candidates:
        cure = "" if table.typed else ", or give --header no if the first row is data"
        problem = f"no column is called label; name it with --label (the columns are {some(names)})"
        refuse(where, None, f"{problem}{cure}")
    return candidates[0]


def axes_among(names: Sequence[str]) -> set[str]:
    """Columns that are axes of space, and so no sequence and no class."""
    lower = {name.lower() for name in names}
    axes = {axis for axes in AXES_NAMES if axes <= lower for axis in axes}
    return {name for name in names if name.lower() in axes}


def _label_without_header(where: Path | str, table: Table, config: TaskConfig, notes: list[str]) -> str:
    first, last = table.names[0], table.names[-1]

    def like_classes(name: str) -> bool:
        codes, numbers = codes_of(table.columns[name]), numbers_of(where, name, table.columns[name], told(config))
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


def _asked(where: Path | str, patterns: str, names: Sequence[str], others: Sequence[str], taken: set[str]) -> list[str]:
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
    return list(dict.fromkeys(sequence))


def _guessed(where: Path | str, look: _Look, others: Sequence[str], notes: list[str]) -> list[str]:
    """The columns of the sequence that nobody named."""
    others = [name for name in others if not INDEX_NAMES.fullmatch(name)]
    axes, families = axes_among(others), family(others)
    numbered = {name for members in families for name in members}
    named = [name for known in SEQUENCE_NAMES for name in others if name.lower() == known and name not in axes]
    whole = [name for name in others if look.whole(name) and not WHO.fullmatch(name)]
    texts = [
        name for name in named if not (look.whole(name) or name in numbered or look.numeric(name) or look.named(name))
    ]
    fitting = [name for name in named if look.whole(name)] or texts or whole
    if not any(look.whole(name) for name in named):  # a name alone says little beside numbered columns
        fitting = fitting + [
            f"{members[0]} .. {members[-1]}" for members in families if fitting and len(members) >= FEWEST_STEPS
        ]
    if len(fitting) > 1:
        refuse(where, None, f"{' and '.join(fitting[:2])} could both be the sequence; name it with --sequence")
    if fitting or len(others) == 1:
        return fitting or others
    return _steps(where, look, others, families, notes)


def _steps(where: Path | str, look: _Look, others: list[str], families: list[list[str]], notes: list[str]) -> list[str]:
    """The columns that are steps: a numbered family, or all that are no identifiers, persons and times of recording."""
    if len(families) > 1 and 4 * len(families[1]) > len(families[0]) >= FEWEST_STEPS:
        both = f"{families[0][0]}, {families[0][1]} .. and {families[1][0]}, {families[1][1]} .."
        refuse(
            where, None, f"{both} are columns of two kinds; name the steps with --sequence, or write channels as lists"
        )
    if families and len(families[0]) >= FEWEST_STEPS:
        steps = families[0]
    else:
        no_step = {name for name in others if WHO.fullmatch(name) or WHEN.fullmatch(name) or _is_counter(look, name)}
        steps = [name for name in others if name not in no_step] or others
        if steps and set(steps) == axes_among(steps):
            problem = f"{', '.join(steps)} are channels of one time step"
            refuse(
                where, None, f"{problem}; name the recording of each row with --series, or the steps with --sequence"
            )
    if out := [name for name in others if name not in steps]:
        what = "is no step" if len(out) == 1 else "are no steps"
        notes.append(f"{some(out)} {what}, and left out of training and test (--sequence names the steps)")
    if steps != [name for name in others if name in steps]:
        notes.append(f"the steps are put in the order of their numbers, {steps[0]} to {steps[-1]}")
    return steps


def _is_counter(look: _Look, name: str) -> bool:
    """Whether a column numbers its rows, or names each by another word: an identifier whatever it is called."""
    codes = codes_of(look.column(name))
    if codes is None or len(codes) < 3 or int(codes.max()) + 1 < len(codes):
        return False
    numbers = [as_number(cell) for cell in listed(look.column(name))]
    if any(number is None for number in numbers):
        return all(number is None for number in numbers) and look.named(name)
    ordered = np.sort(np.array(numbers, dtype=np.float64))
    return bool((np.diff(ordered) == 1).all())


# A row for each time step.


def _constant(table: Table, series: str, names: Sequence[str]) -> list[str]:
    """Columns with one value in all rows of a series, and fewer values than there are series."""
    groups = codes_of(table.columns[series])
    assert groups is not None, "the cells of a series are plain"
    codes = {name: own for name in names if name != series and (own := codes_of(table.columns[name])) is not None}
    return _constant_in(groups, codes)


def _constant_in(groups: NDArray[np.int64], codes: Mapping[str, NDArray[np.int64]]) -> list[str]:
    constant: list[str] = []
    for name, own in codes.items():
        value = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.int64)
        value[groups] = own
        if 1 < int(own.max(initial=-1)) + 1 < len(value) and (value[groups] == own).all():
            constant.append(name)
    return constant


def _refuse_long(where: Path | str, table: Table, config: TaskConfig, taken: set[str | None]) -> None:
    """Refuse a table with a row for each time step, and say how to read it.

    In such a table every value of one column, or of two, stands in several rows of a single class, while another column
    counts or rises within these rows.
    """
    names = [name for name in table.names if name not in taken and not INDEX_NAMES.fullmatch(name)]
    families = family(names)
    numbered = set(families[0]) if families and len(families[0]) >= FEWEST_STEPS else set()
    roles = [name for name in names if name not in numbered][:MOST_ROLES]
    codes = {name: own for name in roles if (own := codes_of(table.columns[name])) is not None}
    labels = {name: codes[name] for name in ([config.label] if config.label else roles) if name in codes}
    keys: dict[str, NDArray[np.float64] | None] = {}
    for series, groups in _series_candidates(codes, {name for name in (config.label, *LABEL_NAMES) if name}):
        constant = [name for name in _constant_in(groups, labels) if name not in series]
        constant += [name for name in series[1:] if name in (config.label, *LABEL_NAMES)]
        if not constant:
            continue
        time = None
        for name in (name for name in codes if name not in (*series, *constant) and not WHO.fullmatch(name)):
            if name not in keys:
                keys[name] = _keys_of(where, name, table.columns[name], config)
            if (key := keys[name]) is not None and _counts_within(key, groups):
                time = name
                break
        is_block = len(series) == 1 and np.count_nonzero(np.diff(groups)) == groups.max()
        if time is None and (numbered or not is_block):
            continue
        rest = [name for name in names if name not in (*series, time, *constant)]
        if not rest:
            continue
        known = [name for name in constant if name.lower() in LABEL_NAMES] or constant
        label = known[0] if len(known) == 1 else f"(one of {some(known)})"
        name = series[0] if len(series) == 1 else f"(one column made of {' and '.join(series)})"
        read = f"read it with --series {name}{f' --time {time}' if time else ''} --label {label}"
        problem = "it looks like a table with a row for each time step"
        refuse(where, None, f"{problem}; {read}, or name the steps with --sequence if a row is a sequence")


def _series_candidates(
    codes: Mapping[str, NDArray[np.int64]], labels: set[str]
) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Columns whose values stand in several rows, and pairs of such: persons with recordings or with labels."""
    single = {
        name: groups
        for name, groups in codes.items()
        if 2 <= int(groups.max(initial=-1)) + 1 <= len(groups) / LONG_RECURRENCE and (groups >= 0).all()
    }
    yield from (((name,), groups) for name, groups in single.items())
    for one, two in combinations([name for name in single if WHO.fullmatch(name) or name in labels], 2):
        both = single[one] * (single[two].max() + 1) + single[two]
        groups = np.unique(both, return_inverse=True)[1]
        if groups.max() + 1 <= len(groups) / LONG_RECURRENCE:
            yield (one, two), groups


def _counts_within(key: NDArray[np.float64], groups: NDArray[np.int64]) -> bool:
    """Whether times rise or fall within each group in the order of the table, or count in every group alike."""
    order = np.argsort(groups, kind="stable")
    within = np.diff(groups[order]) == 0
    steps = np.diff(key[order])[within]
    for sign in (1, -1):
        if (sign * steps >= 0).all() and (sign * steps > 0).mean() >= RISING_SHARE:
            return True
    pairs = np.unique(np.stack([groups.astype(np.float64), key]), axis=1).shape[1]
    return pairs == len(key) and 2 * len(np.unique(key)) <= len(key)


def _keys_of(where: Path | str, name: str, cells: Any, config: TaskConfig) -> NDArray[np.float64] | None:
    """What a column says of time; None where it does not."""
    reading = told(config)
    try:
        numbers = numbers_of(where, name, cells, reading)
        if numbers is None:
            numbers = sort_keys(where, name, listed(cells), replace(reading, dates=reading.dates or "dmy"))
    except RequestError:
        return None
    return None if np.isnan(numbers).any() else numbers.astype(np.float64)


def _dates(where: Path | str, name: str, cells: Any) -> Any:
    """The order of day and month in a column of dates, for later files, too; None where it holds none."""
    texts = [cell for cell in listed(cells) if isinstance(cell, str)]
    has_dates = any(re.match(r"\s*\d{1,2}[/.-]\d{1,2}[/.-]\d", text) for text in texts)
    return date_order(where, name, texts) if has_dates else None
