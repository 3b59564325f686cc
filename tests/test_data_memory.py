"""What Python has in memory is taken as what it is, or refused by the name of its type."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from selfpretrain.data.columns import listed
from selfpretrain.data.memory import column, columns_of
from selfpretrain.errors import RequestError


def plain(cells):
    return [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in listed(column("x", cells))]


@pytest.mark.parametrize(
    "cells",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        (n for n in (1, 2, 3)),
        map(int, "123"),
        np.array([1, 2, 3], dtype=np.int8),
        np.array([1, 2, 3], dtype=object),
        np.ma.masked_array([1, 2, 3]),
        torch.tensor([1, 2, 3]),
        [torch.tensor(n) for n in (1, 2, 3)],
        [np.int64(n) for n in (1, 2, 3)],
        pd.Series([1, 2, 3]),
        pd.Series([1, 2, 3], dtype="Int16"),
        pd.Series([1, 2, 3], dtype="category"),
        pd.Index([1, 2, 3]),
        pl.Series([1, 2, 3]),
        pa.array([1, 2, 3]),
        pa.chunked_array([[1], [2, 3]]),
        pa.array([1, 2, 3]).dictionary_encode(),
        [pa.scalar(n) for n in (1, 2, 3)],
    ],
)
def test_a_column_of_numbers_is_the_same_from_every_holder(cells):
    assert plain(cells) == [1, 2, 3]


@pytest.mark.parametrize(
    "cells",
    [
        [[1, 2], [3]],
        [np.array([1, 2]), np.array([3])],
        [torch.tensor([1, 2]), torch.tensor([3])],
        [pd.Series([1, 2]), pd.Series([3])],
        pd.Series([[1, 2], [3]]),
        pd.Series([np.array([1, 2]), np.array([3])]),
        pl.Series([[1, 2], [3]]),
        pa.array([[1, 2], [3]]),
        np.array([np.array([1, 2]), np.array([3])], dtype=object),
    ],
)
def test_a_column_of_sequences_is_the_same_from_every_holder(cells):
    assert plain(cells) == [[1, 2], [3]]


@pytest.mark.parametrize(
    "cells",
    [
        ["a", None],
        pd.Series(["a", None]),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", pd.NA], dtype=object),
        pd.Series(["a", None], dtype="category"),
        ["a", pd.NA],
        [b"a", pd.NaT],
        pl.Series(["a", None]),
        pa.array([b"a", None]),
        np.ma.masked_array(["a", "b"], mask=[False, True]),
    ],
)
def test_nothing_is_none_whoever_wrote_it(cells):
    assert plain(cells) == ["a", None]


def test_masked_numbers_and_rare_float_types_keep_their_values():
    assert np.isnan(plain(np.ma.masked_array([1, 2], mask=[False, True]))[1])
    assert plain(torch.tensor([0.5, 2.0], dtype=torch.bfloat16, requires_grad=True)) == [0.5, 2.0]
    assert plain(pa.array([0.5, 2.0], pa.float16())) == [0.5, 2.0]
    assert plain([dt.date(2024, 3, 2)]) == [dt.date(2024, 3, 2)]


FRAME = {"t0": [1.0, 2.0], "label": ["a", "b"]}


@pytest.mark.parametrize(
    "frame",
    [FRAME, pd.DataFrame(FRAME), pl.DataFrame(FRAME), pa.table(FRAME), pa.RecordBatch.from_pydict(FRAME)],
)
def test_a_frame_is_its_columns(frame):
    assert {name: listed(cells) for name, cells in columns_of(frame).items()} == FRAME


def test_what_is_no_frame_has_no_columns():
    for other in (np.zeros((2, 2)), torch.zeros(2, 2), [[1, 2]], "a", pd.Series([1]), None):
        assert columns_of(other) is None
    assert list(columns_of(pd.DataFrame(np.zeros((2, 2))))) == ["0", "1"]
    with pytest.raises(RequestError, match="column 'a' of the frame occurs twice"):
        columns_of(pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]))["a"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("0 1 2", r"x is one text; give a list of rows, \[text\]"),
        (b"abc", "x is one text"),
        (7, "x is a int, which holds no rows; give a NumPy array"),
        (None, "x is a NoneType"),
        ({1, 2}, "x is a set, which has no order"),
        (np.array(3.0), "x is the single value 3.0"),
        (torch.tensor(3), "x is the single value 3"),
        (scipy.sparse.eye(2), r"x is a scipy\.sparse\..*; give x\.toarray\(\)"),
        ([SimpleNamespace()], "x: row 1: is a types.SimpleNamespace; give a text, a list or an array"),
        ([b"\xff"], "x: row 1: bytes that are no UTF-8 text"),
    ],
)
def test_anything_else_is_refused_by_name(cells, message):
    with pytest.raises(RequestError, match=message):
        column("x", cells)
