"""Times sort by value: numbers, clock times, dates; two readings and other text are refused."""

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.data.schema import Schema
from selfpretrain.data.times import sort_keys
from selfpretrain.errors import RequestError


def order(column, dates=None):
    keys = sort_keys("f", "t", column, Schema(dates=dates))
    return [column[place] for place in sorted(range(len(column)), key=keys.__getitem__)]


@pytest.mark.parametrize(
    "column",
    [
        ["9", "10", "1e2", "-3"],
        [9, 10, 100.0, -3],
        ["9:05", "10:00", "9:05:30.5", "100:00"],
        ["9:05 am", "1:00 PM", "12:30 AM"],
        ["2024-03-02", "2023-12-31", "2024-03-02T01:00:00"],
        ["2024-03-02T00:00:00+02:00", "2024-03-02T00:00:00Z"],
        ["2024/3/2", "2024/12/1", "2024/3/10"],
        ["13/3/2024", "2/3/2024", "1/12/2023"],
        ["3/13/2024", "3/2/2024 9:00", "12/1/2023"],
        ["31.12.23", "1.2.99"],
        [dt.date(2024, 3, 2), dt.date(2023, 1, 1)],
        [dt.time(9, 5), dt.time(10), dt.time(0, 0, 1)],
        [pd.Timestamp("2024-03-02"), pd.Timestamp("2023-03-02")],
        [dt.timedelta(seconds=90), dt.timedelta(seconds=5)],
    ],
)
def test_order_is_that_of_pandas_and_python(column):
    """An independent reading of each: pandas for dates, Python for numbers and what it has for times."""
    if not isinstance(column[0], str):
        expected = sorted(column)
    elif ":" in column[0] and "-" not in column[0]:
        half = any(text.lower().endswith("m") for text in column)
        padded = {text: text if half or text.count(":") == 2 else f"{text}:00" for text in column}
        read = pd.to_datetime if half else pd.to_timedelta
        expected = sorted(column, key=lambda text: read(padded[text]))
    elif column[0].replace(".", "").replace("e", "").lstrip("-").isdigit() and "." not in column[0]:
        expected = sorted(column, key=float)
    else:
        day_first = column[0].startswith(("13", "31"))
        expected = sorted(
            column, key=lambda text: pd.to_datetime(text, dayfirst=day_first, yearfirst=text[4:5] in "-/")
        )
    assert order(column) == expected


def test_the_order_of_day_and_month_is_seen_told_or_refused():
    with pytest.raises(RequestError, match=r"'1/3/2024' in column 't' can be day 1 of month 3 .* --dates dmy"):
        order(["2/3/2024", "1/3/2024"])
    both = ["2/3/2024", "1/4/2024"]
    assert order(both, "dmy") == both
    assert order(both, "mdy") == both[::-1]
    with pytest.raises(RequestError, match="--dates"):
        order(["13/3/2024", "3/13/2024"])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["9:05", "noon"], "row 2: 'noon' in column 't' is no time"),
        (["1", "9:05"], "row 2: column 't' holds a number before and a clock time here"),
        (["2024-03-02", "1"], "row 2: column 't' holds a date before and a number here"),
        (["2024-03-02T01:00Z", "2024-03-02T01:00"], "holds a date with a time zone before and a date here"),
        (["48_5", "1"], "'48_5' in column 't' is no time"),
    ],
)
def test_what_has_no_order_is_refused_with_its_row(column, message):
    with pytest.raises(RequestError, match=message):
        order(column)


@given(st.lists(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2069, 1, 1)), min_size=2, max_size=5, unique=True))
def test_any_spelling_of_the_same_times_has_one_order(times):
    rounded = sorted({time.replace(microsecond=0) for time in times})
    for spell, dates in (
        (lambda t: t.isoformat(), None),
        (lambda t: f"{t.day}/{t.month}/{t.year} {t:%H:%M:%S}", "dmy"),
        (lambda t: f"{t.month}/{t.day}/{t.year} {t:%I:%M:%S %p}", "mdy"),
        (lambda t: f"{t.timestamp()}", None),
    ):
        spelt = [spell(time) for time in rounded]
        assert order(spelt[::-1], dates) == spelt
