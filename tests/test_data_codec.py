"""The codec: fitted on training rows, small, and the same for raw rows as for a task."""

import json
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.data import kinds
from selfpretrain.data.cells import symbols, values
from selfpretrain.data.codec import Codec
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.files import from_dict, to_dict

RNG = np.random.default_rng(0)
VALUES = [RNG.normal(3, 2, size=(n, 2)) for n in (3, 5, 1, 4)]


def symbol_codec(*rows):
    sequences = symbols("rows", rows)
    return Codec.fit("symbols", ("a", "b"), sequences, labelled=sequences)


def value_codec(rows, labelled=None, **settings):
    labelled = values("rows", rows if labelled is None else labelled)
    return Codec.fit("values", ("a", "b"), values("rows", rows), labelled=labelled, **settings)


@pytest.mark.parametrize("at_once", [2, 2**20])
def test_values_are_standardised_by_loops(monkeypatch, at_once):
    monkeypatch.setattr(kinds, "AT_ONCE", at_once)
    x, lengths = value_codec(VALUES, VALUES[:3]).encode(VALUES)
    assert (x.shape, x.dtype, lengths.tolist()) == ((4, 5, 2), np.float32, [3, 5, 1, 4])
    for channel in range(2):
        seen = [VALUES[i][t, channel] for i in range(3) for t in range(len(VALUES[i]))]
        mean, std = np.mean(seen), np.std(seen)
        for i in range(4):
            for t in range(5):
                expected = (VALUES[i][t, channel] - mean) / std if t < len(VALUES[i]) else 0.0
                assert x[i, t, channel] == pytest.approx(expected, abs=1e-6)


def test_missing_values_become_the_mean_and_count_for_nothing():
    holed = [VALUES[0].copy(), *VALUES[1:]]
    holed[0][0] = [np.nan, np.inf]
    codec = value_codec(holed, allow_missing=True)
    assert (codec.encode(holed)[0][0, 0] == 0).all()
    rest = np.concatenate([holed[0][1:], *holed[1:]])
    assert codec.mean == pytest.approx(rest.mean(0))
    assert codec.std == pytest.approx(rest.std(0))
    with pytest.raises(RequestError, match="rows: row 1: position 1 is missing"):
        value_codec(VALUES).encode(holed)
    with pytest.raises(RequestError, match="rows: row 3: position 2 is missing"):
        value_codec([[1.0]]).encode([[1.0, 2.0], [3.0], [4.0, np.nan, 5.0]])


def test_a_constant_channel_is_only_centred_and_an_empty_one_refused():
    flat = [np.full((3, 1), 7.0), np.full((2, 1), 7.0)]
    assert (value_codec(flat).encode(flat)[0] == 0).all()
    with pytest.raises(RequestError, match="channel 1 has no value"):
        value_codec([np.full((3, 1), np.nan)])


def test_grey_values_come_out_as_floats_do():
    rows = [RNG.integers(256, size=(n, 2), dtype=np.uint8) for n in (5, 3, 7)]
    for row in rows:
        row[:, 1] = 9  # a channel that does not vary
    small, wide = value_codec(rows), value_codec([row.astype(float) for row in rows])
    assert small.mean == pytest.approx(wide.mean, rel=1e-12)
    assert small.std == pytest.approx(wide.std, rel=1e-12)
    np.testing.assert_allclose(small.encode(rows)[0], wide.encode(rows)[0], atol=1e-6)


def test_symbols_are_ids_of_training_and_others_are_unknown():
    codec = symbol_codec("10 2 b", "2 2")
    assert codec.vocabulary == ("2", "10", "b")
    x, lengths = codec.encode(["b 2", ["10", "x"], np.array([2, 10])])
    assert x.tolist() == [[2, 0, 0], [1, 3, 0], [0, 1, 0]]
    assert lengths.tolist() == [2, 2, 2]
    assert (codec.inputs.symbols, codec.inputs.mask_id, codec.inputs.length) == (3, 4, 3)


def test_rows_longer_than_any_in_training_are_cut():
    x, lengths = symbol_codec("1 2 3").encode(["3 2 1 1 1 1"])
    assert (x.tolist(), lengths.tolist()) == ([[2, 1, 0]], [3])


@given(st.integers(1, 700))
def test_entries_are_as_small_as_the_ids_allow(n):
    codec = Codec(kind="symbols", classes=("a", "b"), length=1, vocabulary=tuple(map(str, range(n))))
    x, _ = codec.encode([str(n - 1), "unknown"])
    assert x.dtype == (np.uint8 if n + 1 <= 256 else np.uint16)
    assert x.ravel().tolist() == [n - 1, n]


def test_bytes_are_uint8_and_come_back():
    codec = Codec(kind="bytes", classes=("a", "b"), length=9)
    x, lengths = codec.encode(["Ünïcode", "x"])
    assert (x.dtype, x.shape, codec.inputs.symbols) == (np.uint8, (2, 9), 256)
    assert bytes(x[0, : lengths[0]]).decode() == "Ünïcode"


TEXT = partial(Codec, kind="bytes", classes=("a", "b"), length=9)


@pytest.mark.parametrize(
    ("codec", "rows", "message"),
    [
        (symbol_codec("1 2"), [], "there are no rows"),
        (symbol_codec("1 2"), [""], "row 1: the sequence is empty"),
        (symbol_codec("1 2"), [[[1, 2]]], "row 1: position 1 is a list"),
        (TEXT(), [[1, 2]], 'row 1: kind="bytes" reads text'),
        (TEXT(per_row=2), [("a", "b"), "ab"], "row 2: is not a pair"),
        (value_codec(VALUES), [[1.0, 2.0]], "1 channels where training had 2"),
        (value_codec(VALUES), ["1 x"], "'x' at position 2 is not a number"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_with_their_number(codec, rows, message):
    with pytest.raises(RequestError, match=message):
        codec.encode(rows)


@pytest.mark.parametrize("codec", [symbol_codec("1 2 x"), value_codec(VALUES), TEXT(per_row=2)])
def test_a_codec_goes_round_bit_for_bit(codec):
    assert from_dict(Codec, json.loads(json.dumps(to_dict(codec)))) == codec


# Rows of a saved model.

FRAME = {"hr": RNG.normal(size=40), "temp": RNG.normal(size=40), "spo": RNG.normal(size=40)}
FRAME["label"] = np.arange(40) % 2
WIDE = load_task(pd.DataFrame(FRAME)).codec
ARRAY = load_task(RNG.normal(size=(40, 3)), np.arange(40) % 2).codec


def rows_of(holder):
    """The same rows with their columns in another order, and with more of them."""
    mixed = pd.DataFrame({name: FRAME[name] for name in ("label", "spo", "hr", "temp")}).assign(odd=object())
    plain = mixed.drop(columns="odd")
    return {
        "pandas": mixed,
        "polars": pl.from_pandas(plain),
        "arrow": pa.Table.from_pandas(plain),
        "columns": dict(plain),
        "records": plain.to_dict("records"),
        "rows": [plain.iloc[place] for place in range(40)],
        "row by row": (row for _, row in plain.iterrows()),
        "named tuples": plain.itertuples(index=False),
        "records of NumPy": plain.to_records(index=False),
    }[holder]


@pytest.mark.parametrize(
    "holder",
    ["pandas", "polars", "arrow", "columns", "records", "rows", "row by row", "named tuples", "records of NumPy"],
)
def test_columns_of_a_frame_are_found_by_the_names_of_training(holder):
    expected = WIDE.encode(np.column_stack([FRAME[name] for name in ("hr", "temp", "spo")]))[0]
    assert np.array_equal(WIDE.encode(rows_of(holder))[0], expected)


@pytest.mark.parametrize(
    ("codec", "rows", "message"),
    [
        (WIDE, pd.DataFrame(FRAME).drop(columns=["temp", "spo"]), "columns temp, spo are missing, which training has"),
        (WIDE, pd.DataFrame(FRAME).to_numpy(), r"4 entries a row, and training had 3 columns, hr to spo; give a frame"),
        (WIDE, {"hr": [1.0, 2.0], "temp": [1.0], "spo": [1.0, 2.0]}, "temp has 1 rows and spo 2"),
        (WIDE, pd.DataFrame(FRAME).iloc[:0], "there are no rows"),
        (WIDE, pd.DataFrame(FRAME).assign(hr=object()), "column 'hr': row 1: is a object"),
        (ARRAY, pd.DataFrame(FRAME), "trained on sequences without column names; give the values alone"),
        (
            ARRAY,
            np.zeros(16),
            r"16 rows of one number each, or one sequence. Reshape your data: for one row give \[row\]",
        ),
        (ARRAY, pd.Series(np.zeros(16)), "16 rows of one number each"),
        (ARRAY, torch.zeros(16), "16 rows of one number each"),
        (ARRAY, ["0.5", "1.5"], "every row has one entry, and those of training had 3 or more"),
        (ARRAY, "0.5 1.5", r"rows is one text; give a list of rows, \[text\]"),
        (ARRAY, [[1.0, np.inf, 2.0]], "row 1: position 2 is missing, NaN or infinite"),
        (ARRAY, 7, "rows is a int, which holds no rows"),
    ],
)
def test_rows_that_are_not_those_of_training_are_refused(codec, rows, message):
    with pytest.raises(RequestError, match=message):
        codec.encode(rows)


def test_what_rows_mean_does_not_hang_on_their_neighbours():
    words = [["1", "2", "K", "NA"], ["K", "2", "1", "1"]] * 12
    codec = load_task([*words, *[[str(n % 3), "NA", "K"] for n in range(24)]], np.arange(48) % 2).codec
    alone, beside = codec.encode([["1", "NA", "2"]])[0], codec.encode([["1", "NA", "2"], ["K"]])[0]
    assert np.array_equal(alone[0, :3], beside[0, :3])
    x = RNG.normal(size=(40, 3))
    for how in ("mean", "last", "mask"):
        codec = load_task(x, np.arange(40) % 2, allow_missing=how).codec
        holed = np.array([[1.0, np.inf, 2.0], [1.0, np.nan, 2.0], [np.nan, 1.0, np.nan]])
        together = codec.encode(holed)[0]
        for row in range(3):
            assert np.array_equal(codec.encode(holed[row : row + 1])[0][0], together[row])


def test_rows_without_names_are_refused_where_training_changed_the_order_of_columns():
    columns = {f"t{t}": RNG.normal(size=40) for t in (10, 9, 1)}
    codec = load_task(pd.DataFrame({**columns, "label": np.arange(40) % 2})).codec
    with pytest.raises(RequestError, match=r"put in the order t1, t9 .. t10, and rows without names may have another"):
        codec.encode(np.zeros((2, 3)))
    assert codec.encode(pd.DataFrame(columns))[0].shape == (40, 3, 1)


def test_a_frame_of_time_steps_gives_a_row_for_each_series():
    steps = pd.DataFrame({"who": np.repeat(range(20), 4), "at": list(range(4)) * 20, "pulse": RNG.normal(size=80)})
    steps["label"] = steps["who"] % 2
    codec = load_task(steps, series="who", time="at", label="label").codec
    mixed = steps.sample(frac=1, random_state=0)[["pulse", "at", "who"]]
    first = list(dict.fromkeys(mixed["who"]))
    assert np.array_equal(codec.encode(mixed)[0], codec.encode(steps)[0][first])


def test_the_reading_goes_round_with_the_codec():
    frame = pd.DataFrame({**FRAME, "label": ["0.0", "1.0"] * 20})
    codec = load_task(frame).codec
    again = from_dict(Codec, json.loads(json.dumps(to_dict(codec))))
    assert (again.schema, again.shortest) == (codec.schema, codec.shortest)
    assert again.schema.written == {"0": "0.0", "1": "1.0"}


def test_one_row_of_a_frame_is_refused_with_the_way_to_give_it():
    with pytest.raises(RequestError, match=r"one row of a frame; give frame\.iloc\[\[0\]\]"):
        WIDE.encode(pd.DataFrame(FRAME).iloc[0])
    assert WIDE.encode(pd.DataFrame(FRAME).iloc[[0]])[0].shape == (1, 3, 1)


def test_missing_values_of_channels_first_name_the_axes():
    x = RNG.normal(size=(40, 2, 30))
    x[3, :, 20:] = np.nan
    with pytest.raises(RequestError, match=r"the axes are \(N, C, T\), which axes=\"nct\" reads"):
        load_task(x, np.arange(40) % 2)
    assert load_task(x, np.arange(40) % 2, axes="nct").inputs.channels == 2
