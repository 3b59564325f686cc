"""Cells: what kind of data they hold, and that a column parsed as a whole is the same as cell by cell."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfpretrain.data import cells
from selfpretrain.data.columns import family
from selfpretrain.data.guess import guess
from selfpretrain.data.spelling import as_number, can_be_two, list_of_text, tokens
from selfpretrain.errors import RequestError


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["1 2 3", "2 2 1"], "symbols"),
        (["0.1 2 3", "2 2 1"], "values"),
        (["a b a b", "b a b a"], "symbols"),
        (["a quick brown fox jumps", "over some lazy dogs"], "bytes"),
        (["ACGT", "GGCA"], "bytes"),
        (["[1, 2]", "[2, 2]"], "symbols"),
        (["[[1, 2], [2, 2]]", "[[1, 1]]"], "values"),
        ([["x", "y"], ["y"]], "symbols"),
        (["1 2 3 x " + "4 " * 40, "2 " * 40], "symbols"),
        (["1.5 2.5 x " + "4.25 " * 40, "2 " * 40], "values"),
        (np.arange(64).reshape(8, 8), "symbols"),
        (np.arange(65).reshape(5, 13), "values"),
        (np.zeros((5, 4, 1)), "values"),
    ],
)
def test_the_kind_is_guessed(column, kind):
    assert guess("f", column).kind == kind


SPACES = st.sampled_from([" ", ",", ", ", "  ", "\t", "\xa0", ",\xa0", "\x0b", "\x1c", "\x85", "\u2028"])
ROWS = st.lists(st.lists(st.sampled_from(["0", "1", "01", "-2", "1.5", "x"]), min_size=1, max_size=5), min_size=1)


@given(ROWS, SPACES, st.sampled_from(["", " ", ","]))
@settings(deadline=None)  # the first example imports Arrow
def test_a_column_of_texts_is_read_as_its_cells_are(rows, space, end):
    texts = [space.join(row) + end for row in rows]
    column = pa.chunked_array([pa.array(texts[:2]), pa.array(texts[2:], pa.string())])
    whole, single = cells.symbols("f", column), cells.symbols("f", texts)
    for sequences in (whole, single):
        assert [[sequences.names[code] for code in sequence] for sequence in sequences] == rows
    if all("x" not in row for row in rows):
        for numbers in (cells.values("f", column), cells.values("f", texts)):
            assert [row[:, 0].tolist() for row in numbers] == [[float(token) for token in row] for row in rows]


@pytest.mark.parametrize("numbers", [[[1.5, None], [2.0]], [[2**60 + 1], [3, 4]], [[True], [False, True]]])
def test_a_column_of_lists_is_read_as_its_cells_are(numbers):
    whole, single = cells.values("f", pa.chunked_array([numbers])), cells.values("f", numbers)
    assert np.array_equal(whole.entries, single.entries, equal_nan=True)
    assert whole.lengths.tolist() == single.lengths.tolist() == [len(row) for row in numbers]


def test_symbols_are_named_by_their_text_and_whole_numbers_have_no_point():
    sequences = cells.symbols("f", [[1, 2.0, "2"], np.array([2, 1]), "[1, 2]", "2 01"])
    assert [[sequences.names[code] for code in row] for row in sequences] == [
        ["1", "2", "2"],
        ["2", "1"],
        ["1", "2"],
        ["2", "01"],
    ]


def test_grey_values_stay_bytes():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert cells.values("f", image).entries.dtype == cells.values("f", list(image)).entries.dtype == np.uint8
    assert cells.values("f", image.astype(np.int64)).entries.dtype == np.float64


@pytest.mark.parametrize(
    ("read", "cell", "message"),
    [
        (cells.symbols, "[1, ", "row 2: not a list: a bracket is not closed"),
        (cells.values, [[[1.0]]], "row 2: lists within lists"),
        (cells.values, [10**400], "row 2: a number is too large"),
    ],
)
def test_a_cell_that_cannot_be_read_is_refused_with_its_row(read, cell, message):
    with pytest.raises(RequestError, match=message):
        read("f", ["1 2", cell])


def test_text_that_means_harm_is_read_in_linear_time():
    """Each of these would take hours if its pattern tried every way to cut it."""
    many = 300_000
    assert as_number("1" * many + "x") is None
    assert family(["_" * many + "x", *(f"g{n}" for n in range(20_000))])[0][:2] == ["g0", "g1"]
    assert not can_be_two("1" * many + " x")
    assert tokens(" " * many + "x") == ["x"]
    with pytest.raises(RequestError, match="not a list"):
        list_of_text("f", 0, "array(" * many)
