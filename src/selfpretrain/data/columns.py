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

from selfpretrain.data.cells import Cells, unpacked
from selfpretrain.data.schema import AS_USUAL, Schema
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
    where: Path | str, table: Mapping[str, Any], schema: Schema
) -> tuple[list[Cells], NDArray[np.int64]]:
    """The cells of the sequence, or of both of a pair, and the first row of each sequence (N,).

    Raises:
        RequestError: a column is missing, or a cell of ``series`` or ``time``.
    """
    needed = [*schema.cells, *(name for name in (schema.series, schema.time) if name)]
    if not needed:
        cure = "give the values alone, such as frame.to_numpy()"
        refuse(where, None, f"the model was trained on sequences without column names; {cure}")
    there = {*table, *getattr(table, "unreadable", ())}
    if missing := [name for name in needed if name not in there]:
        what = f"column '{missing[0]}' is" if len(missing) == 1 else f"columns {some(missing)} are"
        refuse(where, None, f"{what} missing, which training has; the columns are {some(list(table))}")
    by_rows = sorted(needed, key=lambda name: len(table[name]))
    few, many = len(table[by_rows[0]]), len(table[by_rows[-1]])
    if few < many:
        refuse(where, None, f"{by_rows[0]} has {few} rows and {by_rows[-1]} {many}; all columns need the same")
    if not few:
        refuse(where, None, "there are no rows; give one or more")
    columns = [table[name] for name in schema.cells]
    if schema.form == "whole":
        return [cells.tolist() if getattr(cells, "ndim", 0) == 1 else cells for cells in columns], np.arange(few)
    steps = _stacked(where, columns, schema)
    if schema.form == "steps":
        return [steps], np.arange(few)
    groups = _series(where, table, schema)
    first = np.array([rows.min() for rows in groups])
    if len(columns) == 1:
        steps = steps[:, 0] if isinstance(steps, np.ndarray) else [row[0] for row in steps]
    if isinstance(steps, np.ndarray):
        return [[steps[rows] for rows in groups]], first
    return [[[steps[row] for row in rows] for rows in groups]], first


def _stacked(where: Path | str, columns: Sequence[Any], schema: Schema) -> NDArray[Any] | list[list[Any]]:
    """Columns side by side: numbers (N, columns), NaN where a cell is empty; or a list a row where there are words."""
    if (numbers := _numbers_at_once(columns, schema)) is not None:
        return numbers
    numeric = []
    for name, column in zip(schema.sequence, columns, strict=True):
        own = numbers_of(where, name, column, schema)
        if own is None:
            return [list(row) for row in zip(*map(listed, columns), strict=True)]
        numeric.append(own)
    return np.column_stack(numeric)


def _numbers_at_once(columns: Sequence[Any], schema: Schema) -> NDArray[Any] | None:
    """Many columns of texts side by side, read as one long column; None where they are none, or hold words."""
    if not all(hasattr(column, "chunks") and types.is_string(column.type) for column in columns):
        return None
    rows = len(columns[0])
    matrix = np.empty((rows, len(columns)))
    width = max(1, AT_ONCE // rows)
    for start in range(0, len(columns), width):
        part = columns[start : start + width]
        one = pyarrow.chunked_array([chunk for column in part for chunk in column.chunks], pyarrow.string())
        try:
            numbers = numbers_of("", "", one, schema)
        except RequestError:
            return None  # column by column, to name the row
        if numbers is None:
            return None
        matrix[:, start : start + width] = numbers.reshape(len(part), -1).T
    return matrix


def listed(column: Any) -> list[Any]:
    """A column as a list."""
    cells = unpacked(column)
    return cells.tolist() if isinstance(cells, np.ndarray) else list(cells)


def are_numbers(column: Any) -> bool:
    """Whether every cell is a single number, and so no sequence."""
    return all(isinstance(cell, int | float | np.generic) for cell in listed(column))


def numbers_of(where: Path | str, name: str, column: Any, schema: Schema) -> NDArray[Any] | None:
    """A column of plain cells as numbers (N,), NaN where a cell is empty; None where it holds words or lists.

    Raises:
        RequestError: a comma in a cell could be a decimal sign.
    """
    if isinstance(column, np.ndarray):
        return column if column.ndim == 1 and column.dtype.kind in "iuf" else None
    if not hasattr(column, "chunks"):
        if not any(isinstance(cell, str) for cell in column):
            entries = [as_number(cell) for cell in column]
            odd = (isinstance(cell, bool) or (isinstance(cell, int) and abs(cell) > LARGEST_EXACT) for cell in column)
            return None if any(odd) or None in entries else np.array(entries, dtype=np.float64)
        if not all(cell is None or isinstance(cell, str | int | float) for cell in column):
            return None
        column = pyarrow.chunked_array([[None if cell is None else str(cell) for cell in column]], pyarrow.string())
    if types.is_floating(column.type) or types.is_integer(column.type):
        numbers: NDArray[Any] = (column if column.null_count == 0 else column.cast(pyarrow.float64())).to_numpy()
        return numbers.astype(np.float64) if numbers.dtype.kind == "O" else numbers
    if not types.is_string(column.type):
        return None
    text = pc.utf8_trim_whitespace(column)
    comma = pc.match_substring_regex(text, r"^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")
    if pc.any(comma).as_py():
        if schema.decimal == ".":
            row = pc.index(comma, True).as_py()
            refuse(where, row, f"column '{name}': {two_ways(text[row].as_py())}")
        text = pc.replace_substring(text, ",", ".")
    absent = pc.is_in(pc.utf8_lower(text), value_set=pyarrow.array(sorted(NO_NUMBER)))
    text = pc.if_else(absent, pyarrow.scalar(None, pyarrow.string()), text)
    plain = pc.and_not(pc.match_substring_regex(text, f"^{NUMBER}$"), pc.match_substring_regex(text, f"^{CODE}"))
    if not pc.all(plain, min_count=0).as_py():
        return None
    numbers = pc.replace_substring_regex(text, r"^\+", "").cast(pyarrow.float64()).to_numpy()
    return numbers


def codes_of(column: Any) -> NDArray[np.int64] | None:
    """The number of each cell's value (N,) in order of first sight, -1 for an empty one; None where cells are lists."""
    if hasattr(column, "chunks"):
        if types.is_nested(column.type):
            return None
        coded = column.dictionary_encode().combine_chunks()
        numbers = plain_codes("", "", coded.dictionary)
        codes: NDArray[np.int64] = np.append(numbers, -1)[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        return codes
    cells = listed(column)
    if not all(map(is_plain, cells)):
        return None
    names = [spelling(cell) if isinstance(cell, str | int | float) else cell for cell in cells]
    number_of: dict[Any, int] = {}
    return np.array([-1 if name is None else number_of.setdefault(name, len(number_of)) for name in names], np.int64)


def is_plain(cell: Any) -> bool:
    """Whether a cell is a single word, number or time."""
    return not isinstance(cell, list | tuple | dict | np.ndarray)


def plain_codes(where: Path | str, name: str, column: Any) -> NDArray[np.int64]:
    """``codes_of`` a column that needs one word or number a row; one of lists is refused."""
    codes = codes_of(column)
    if codes is None:
        refuse(where, 0, f"column '{name}' holds a list; it needs one word or number a row")
    return codes


LONGEST_NAME = 200
"""Longer names are numbered by nobody, and would take their time to look at (ours)."""
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<between>[\[( _.+-]*)(?P<number>\d{1,9})(?P<close>[\])]*)")
_GRID = re.compile(r"([A-Za-z]*[_ ]?)(\d{1,9})[xX_,:Q](\d{1,9})")
"""The place of a pixel, or a quarter of a year."""


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
    names = [name for name in names if len(name) <= LONGEST_NAME]
    present, place = set(names), {name: number for number, name in enumerate(names)}
    grid = {name: match for name in names if (match := _GRID.fullmatch(name))}
    stems, rows = ({match[part] for match in grid.values()} for part in (1, 2))
    if len(stems) == 1 and len(rows) > 1 and len(grid) > 3:
        cells = sorted(grid, key=lambda name: (int(grid[name][2]), int(grid[name][3])))
        return sorted([cells, *family([name for name in names if name not in grid])], key=len, reverse=True)
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
        if "+" in match["between"] or f"{stem}+{match['number']}{match['close']}" in present or f"{stem}+1" in present:
            families.setdefault(f"{stem}+", []).append((-number if "-" in match["between"] else number, name))
        elif "-" in match["between"]:
            lags, now = families.setdefault(f"{stem}-", []), (0, str(stem + match["close"]))  # x(t) beside x(t-1)
            lags += [(0, name), now] if now[1] in present and now not in lags else [(0, name)]
        else:
            families.setdefault(stem, []).append((number, name))
    for name in names:  # pandas writes a repeated name as x, x.1, x.2
        if name in families and f"{name}.1" in present:
            families[name].append((-1, name))
    ordered = [sorted(members, key=lambda member: (member[0], place[member[1]])) for members in families.values()]
    plain = [[name for _, name in members] for members in ordered if len(members) > 1]
    return sorted(plain, key=len, reverse=True)


def _is_value(name: str) -> bool:
    """Whether a name is itself a number, a date or a clock time."""
    return (as_number(name) is not None and name.strip() != "") or re.match(r"\d{1,4}[-/.:]\d", name) is not None


def _series(where: Path | str, table: Mapping[str, Any], schema: Schema) -> list[NDArray[np.int64]]:
    """The rows of each series, in order of time; the series in order of their first rows."""
    codes = []
    for name in (name for name in (schema.series, schema.time) if name is not None):
        codes.append(plain_codes(where, name, table[name]))
        if len(empty := np.flatnonzero(codes[-1] < 0)):
            refuse(where, int(empty[0]), f"column '{name}' is empty; fill it in or remove the row")
    series = codes[0]
    order = np.argsort(series, kind="stable")
    if schema.time is not None:
        order = np.lexsort((sort_keys(where, schema.time, listed(table[schema.time]), schema), series))
    return np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
