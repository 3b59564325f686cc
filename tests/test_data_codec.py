"""The codec: fitted on training rows, small, and the same for raw rows as for a task."""

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.data import kinds
from selfpretrain.data.cells import symbols, values
from selfpretrain.data.codec import Codec
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
        (TEXT(), [[1, 2]], "row 1: --kind bytes reads text"),
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
