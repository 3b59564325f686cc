"""What a column says of time, as numbers that sort: numbers, clock times, dates. Anything else is refused."""

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.data.schema import DateOrder, Schema
from selfpretrain.data.spelling import as_number, refuse

_CLOCK = r"(\d{1,3}):(\d{2})(?::(\d{2}(?:\.\d+)?))?(?:\s*([AaPp])[Mm])?"
_DAY = r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})"
_YEAR_FIRST = r"(\d{4})[/.-](\d{1,2})(?:[/.-](\d{1,2}))?"
_DAYS = r"(-?\d+) days?(?: \+?(\d+):(\d+):(\d+(?:\.\d+)?))?"
"""A span of time as pandas writes it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sort_keys(where: Path | str, name: str, column: Sequence[Any], schema: Schema) -> NDArray[np.float64]:
    """A number for each cell (N,), which rises with time; nothing but the order is meant.

    Cells are numbers, texts, or what Python has for dates and times. Where the schema has no order of day and month,
    it is seen from a day beyond 12.

    Raises:
        RequestError: a cell that is none of these; dates that can be read two ways; cells of several sorts.

    >>> sort_keys("f", "t", ["10:00", "9:05"], Schema()).tolist()
    [36000.0, 32700.0]
    """
    if all(isinstance(cell, int) for cell in column):  # also beyond what float64 can tell apart
        return np.unique(np.array(column, dtype=object), return_inverse=True)[1].astype(np.float64)
    if schema.decimal == ",":
        column = [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in column]
    order = schema.dates or date_order(where, name, column) or "dmy"
    keys = np.empty(len(column))
    sort_of_row: dict[str, int] = {}
    seen: dict[Any, tuple[str, float]] = {}
    for row, cell in enumerate(column):
        marked = cell if isinstance(cell, str) else (type(cell), cell)
        if marked not in seen:
            seen[marked] = _key(where, name, row, cell, order)
        sort, keys[row] = seen[marked]
        sort_of_row.setdefault(sort, row)
    if len(sort_of_row) > 1:
        (one, _), (other, row) = list(sort_of_row.items())[:2]
        refuse(where, row, f"column '{name}' holds a {one} before and a {other} here; write all of them alike")
    return keys


def _key(where: Path | str, name: str, row: int, cell: Any, order: DateOrder) -> tuple[str, float]:
    """Whether a cell is a number, a clock time or a date, and its key."""
    if isinstance(cell, datetime):
        aware = cell if cell.tzinfo else cell.replace(tzinfo=UTC)
        return ("date with a time zone" if cell.tzinfo else "date"), (aware - _EPOCH) / timedelta(seconds=1)
    if isinstance(cell, date):
        return "date", (cell - _EPOCH.date()) / timedelta(seconds=1)
    if isinstance(cell, time):
        return "clock time", cell.hour * 3600.0 + cell.minute * 60 + cell.second + cell.microsecond / 1e6
    if isinstance(cell, timedelta):
        return "number", cell.total_seconds()
    number = as_number(cell)
    if number is not None and not np.isnan(number):
        return "number", number
    text = str(cell).strip()
    if span := re.fullmatch(_DAYS, text):
        days, *clock_of_day = span.groups()
        return "span", 86400.0 * int(days) + (_seconds(*clock_of_day) if clock_of_day[0] else 0.0)
    if clock := re.fullmatch(_CLOCK, text):
        return "clock time", _seconds(*clock.groups())
    try:
        return _key(where, name, row, _date(text, order), order)
    except ValueError:
        problem = f"'{text}' in column '{name}' is no time; times are numbers, clock times such as 9:05, and dates"
        refuse(where, row, f"{problem} such as 2024-03-02; mend it")


def _date(text: str, order: DateOrder) -> datetime:
    """A date with or without a clock time; anything else raises a ``ValueError``."""
    for pattern, places in ((_DAY, (4, 3, 1) if order == "dmy" else (4, 1, 3)), (_YEAR_FIRST, (1, 2, 3))):
        if match := re.fullmatch(f"{pattern}(?:[T ]+{_CLOCK})?", text):
            year, month, day = (int(match[place] or 1) for place in places)
            century = 2000 if year < 70 else 1900 if year < 100 else 0
            clock = match.groups()[-4:]
            return datetime(century + year, month, day) + timedelta(seconds=_seconds(*clock) if clock[0] else 0.0)
    for form in ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y"):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form)
    return datetime.fromisoformat(text)


def _seconds(hours: str, minutes: str, seconds: str | None, half: str | None = None) -> float:
    hour = int(hours) % 12 + 12 * (half in "Pp") if half else int(hours)
    return hour * 3600.0 + int(minutes) * 60 + float(seconds or 0)


def date_order(where: Path | str, name: str, column: Sequence[Any]) -> DateOrder | None:
    """Whether the day or the month comes first, by a number beyond 12; None where no date begins with either."""
    texts = sorted({cell for cell in column if isinstance(cell, str)})
    dates = [match for text in texts if (match := re.match(f"\\s*{_DAY}", text))]
    if not dates:
        return None
    first, second = (max(int(match[place]) for match in dates) for place in (1, 3))
    if (first > 12) == (second > 12):
        day, month = dates[0][1], dates[0][3]
        both = f"'{dates[0].group().strip()}' in column '{name}' can be day {day} of month {month} or the reverse"
        refuse(where, None, f"{both}; give --dates dmy or --dates mdy")
    return "mdy" if second > 12 else "dmy"
