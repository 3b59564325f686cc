"""The columns of a table that hold its sequences, by the names that training had: for files and for saved models."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from selfpretrain.data.cells import Cells
from selfpretrain.data.reading import AS_USUAL, Reading
from selfpretrain.data.spelling import CODE, NO_NUMBER, NUMBER, as_number, refuse, spelling, two_ways
from selfpretrain.data.times import sort_keys
from selfpretrain.errors import RequestError

AT_ONCE = 2**20
"""Cells of columns of texts that are made numbers at a time, to save memory (ours)."""
LARGEST_EXACT = 2**53
"""Whole numbers beyond lose digits as float64, so they stay words."""


def some(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def sequence_columns(
    where: Path | str, table: Mapping[str, Any], reading: Reading
) -> tuple[list[Cells], NDArray[np.int64]]:
    """The cells of the sequence, or of both of a pair, and the first row of each sequence (N,).

    Args:
        where: for refusals.
        table: columns by name.
        reading: which of them hold what.

    Raises:
        RequestError: a column is missing, or a cell of ``series`` or ``time``.
    """
    needed = [*reading.sequence, *(name for name in (reading.pair, reading.series, reading.time) if name)]
    if not needed:
        cure = "give the values alone, such as frame.to_numpy()"
        refuse(where, None, f"the model was trained on sequences without column names; {cure}")
    there = {*table, *getattr(table, "unreadable", ())}
    if missing := [name for name in needed if name not in there]:
        what = f"column '{missing[0]}' is" if len(missing) == 1 else f"columns {some(missing)} are"
        refuse(where, None, f"{what} missing, which training has; the columns are {some(list(table))}")
    columns = [table[name] for name in reading.sequence]
    counts = {name: len(table[name]) for name in needed}
    if len({*counts.values()}) > 1:
        (one, n), (other, m) = sorted(counts.items(), key=lambda item: item[1])[:: len(counts) - 1]
        refuse(where, None, f"{one} has {n} rows and {other} {m}; all columns need the same")
    if not counts[needed[0]]:
        refuse(where, None, "there are no rows; give one or more")
    if reading.form == "whole":
        columns = [table[name] for name in needed]
        cells = [
            column.tolist() if isinstance(column, np.ndarray) and column.ndim == 1 else column for column in columns
        ]
        return cells, np.arange(len(cells[0]))
    steps = stacked(where, reading.sequence, columns, reading)
    if reading.form == "steps":
        return [steps], np.arange(len(steps))
    assert reading.series is not None, "channels come in series"
    groups = _series(where, table, reading)
    if isinstance(steps, np.ndarray):
        steps = steps[:, 0] if steps.shape[1] == 1 else steps
        return [[steps[rows] for rows in groups]], np.array([rows.min() for rows in groups])
    is_single = len(reading.sequence) == 1
    lists = [[steps[row][0] if is_single else steps[row] for row in rows] for rows in groups]
    return [lists], np.array([rows.min() for rows in groups])


def stacked(
    where: Path | str, names: Sequence[str], columns: Sequence[Any], reading: Reading
) -> NDArray[Any] | list[list[Any]]:
    """Columns side by side: numbers (N, columns), NaN where a cell is empty; or a list a row where there are words."""
    numbers = _numbers_at_once(where, columns, reading)
    if numbers is not None:
        return numbers
    numeric = []
    for name, column in zip(names, columns, strict=True):
        own = numbers_of(where, name, column, reading)
        if own is None:
            return [list(row) for row in zip(*map(listed, columns), strict=True)]
        numeric.append(own)
    return np.column_stack(numeric)


def _numbers_at_once(where: Path | str, columns: Sequence[Any], reading: Reading) -> NDArray[Any] | None:
    """``stacked`` of many columns of texts as one long column; None where they are not, or not all hold numbers."""
    if not all(hasattr(column, "chunks") and types.is_string(column.type) for column in columns):
        return None
    rows = len(columns[0])
    matrix = np.empty((rows, len(columns)))
    width = max(1, AT_ONCE // max(1, rows))
    for start in range(0, len(columns), width):
        part = columns[start : start + width]
        one = pyarrow.chunked_array([chunk for column in part for chunk in column.chunks], pyarrow.string())
        try:
            numbers = numbers_of(where, "", one, reading)
        except RequestError:
            return None  # column by column, to name the row
        if numbers is None:
            return None
        matrix[:, start : start + width] = numbers.reshape(len(part), -1).T
    return matrix


def listed(column: Any) -> list[Any]:
    """A column as a list."""
    if hasattr(column, "to_pylist"):
        cells: list[Any] = column.to_pylist()
        return cells
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def numbers_of(where: Path | str, name: str, column: Any, reading: Reading = AS_USUAL) -> NDArray[Any] | None:
    """A column of plain cells as numbers (N,), NaN where a cell is empty; None where it holds words or lists.

    Raises:
        RequestError: a comma in a cell could be a decimal sign.
    """
    if isinstance(column, np.ndarray):
        return column if column.ndim == 1 and column.dtype.kind in "iuf" else None
    if not hasattr(column, "chunks"):
        if any(isinstance(cell, str) for cell in column):
            if not all(cell is None or isinstance(cell, str | int | float) for cell in column):
                return None
            column = pyarrow.chunked_array([[None if cell is None else str(cell) for cell in column]], pyarrow.string())
        else:
            if any(isinstance(cell, bool) for cell in column):
                return None
            entries = [as_number(cell) for cell in column]
            large = any(isinstance(cell, int) and abs(cell) > LARGEST_EXACT for cell in column)
            return None if large or None in entries else np.array(entries, dtype=np.float64)
    if types.is_floating(column.type) or types.is_integer(column.type):
        numbers: NDArray[Any] = (column if column.null_count == 0 else column.cast(pyarrow.float64())).to_numpy()
        return numbers.astype(np.float64) if numbers.dtype.kind == "O" else numbers
    if not types.is_string(column.type):
        return None
    text = pc.utf8_trim_whitespace(column)
    comma = pc.match_substring_regex(text, r"^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")
    if pc.any(comma).as_py():
        if reading.decimal == ".":
            row = pc.index(comma, True).as_py()
            refuse(where, row, f"column '{name}': {two_ways(text[row].as_py())}")
        text = pc.replace_substring(text, ",", ".")
    absent = pc.is_in(pc.utf8_lower(text), value_set=pyarrow.array(sorted(NO_NUMBER)))
    text = pc.if_else(absent, pyarrow.scalar(None, pyarrow.string()), text)
    plain = pc.match_substring_regex(text, f"^{NUMBER}$")
    coded = pc.match_substring_regex(text, f"^{CODE}")
    if not pc.all(plain, min_count=0).as_py() or pc.any(coded).as_py():
        return None
    numbers = pc.replace_substring_regex(text, r"^\+", "").cast(pyarrow.float64()).to_numpy()
    return numbers


def codes_of(column: Any) -> NDArray[np.int64] | None:
    """The number of each cell's value (N,) in order of first sight, -1 for an empty one; None where cells are lists."""
    number_of: dict[Any, int] = {}
    if hasattr(column, "chunks"):
        if types.is_nested(column.type):
            return None
        chunks = column.dictionary_encode().unify_dictionaries().chunks
        if not chunks:
            return np.empty(0, np.int64)
        numbers = codes_of([_plainly(value) for value in chunks[0].dictionary.to_pylist()])
        assert numbers is not None, "values of plain cells are no lists"
        table = np.append(numbers, np.int64(-1))  # the last one is for empty cells
        pieces = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in chunks]
        codes: NDArray[np.int64] = table[np.concatenate(pieces)]
        return codes
    cells = listed(column)
    if any(isinstance(cell, list | tuple | dict | np.ndarray) for cell in cells):
        return None
    names = map(_plainly, cells)
    return np.array([-1 if name is None else number_of.setdefault(name, len(number_of)) for name in names], np.int64)


def _plainly(cell: Any) -> Any:
    """A cell by its one spelling; None for an empty one."""
    return spelling(cell) if isinstance(cell, str | int | float) else cell


_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<between>[\[( _.+-]*)(?P<number>\d{1,9})(?P<close>[\])]*)")


def family(names: Sequence[str]) -> list[list[str]]:
    """Names that differ by a number, a date or a clock time alone, in their order; the largest family first.

    Numbers behind a minus, as in lags, leave the names in the order of the table.

    >>> family(["t10", "t9", "id", "x.1", "x"])
    [['t9', 't10'], ['x', 'x.1']]
    >>> family(["-1", "0", "-2"]), family(["x(t-2)", "x(t-1)", "x(t)"])
    ([['-2', '-1', '0']], [['x(t-2)', 'x(t-1)', 'x(t)']])
    >>> family(["t-1", "t+0", "t+1"])
    [['t-1', 't+0', 't+1']]
    """
    own = [name for name in names if _is_value(name)]
    if len(own) > 2:
        with contextlib.suppress(RequestError):  # of several sorts
            keys = dict(zip(own, sort_keys("", "", own, AS_USUAL), strict=True))
            rest = [name for name in names if name not in keys]
            return sorted([sorted(own, key=keys.__getitem__), *family(rest)], key=len, reverse=True)
    families: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match is None:
            continue
        stem, number = match["stem"], int(match["number"])
        if "+" in match["between"] or f"{stem}+{match['number']}{match['close']}" in names or f"{stem}+1" in names:
            families.setdefault(f"{stem}+", []).append((-number if "-" in match["between"] else number, name))
        elif "-" in match["between"]:
            lags, now = families.setdefault(f"{stem}-", []), (0, str(stem + match["close"]))  # x(t) beside x(t-1)
            lags += [(0, name), now] if now[1] in names and now not in lags else [(0, name)]
        else:
            families.setdefault(stem, []).append((number, name))
    for name in names:  # pandas writes a repeated name as x, x.1, x.2
        if name in families and f"{name}.1" in names:
            families[name].append((-1, name))
    place = {name: number for number, name in enumerate(names)}
    ordered = [sorted(members, key=lambda member: (member[0], place[member[1]])) for members in families.values()]
    plain = [[name for _, name in members] for members in ordered if len(members) > 1]
    return sorted(plain, key=len, reverse=True)


def _is_value(name: str) -> bool:
    """Whether a name is itself a number, a date or a clock time."""
    return (as_number(name) is not None and name.strip() != "") or re.match(r"\d{1,4}[-/.:]\d", name) is not None


def _series(where: Path | str, table: Mapping[str, Any], reading: Reading) -> list[NDArray[np.int64]]:
    """The rows of each series, in order of time; the series in order of their first rows."""
    assert reading.series is not None, "a table of time steps has series"
    for name in (reading.series, reading.time):
        if name is None:
            continue
        codes = codes_of(table[name])
        if codes is None:
            refuse(where, 0, f"column '{name}' holds a list; it needs one word or number a row")
        if len(empty := np.flatnonzero(codes < 0)):
            refuse(where, int(empty[0]), f"column '{name}' is empty; fill it in or remove the row")
    series = codes_of(table[reading.series])
    assert series is not None, "it was just looked at"
    order = np.argsort(series, kind="stable")
    if reading.time is not None:
        keys = sort_keys(where, reading.time, listed(table[reading.time]), reading)
        order = np.lexsort((keys, series))
    return np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
