"""The codec: fitted on training rows, small, and the same for raw rows as for a task."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.errors import RequestError
from selfpretrain.serial import from_dict, to_dict
from selfpretrain.tasks.codec import Codec, code_symbols
from selfpretrain.tasks.parsing import parse_cells
from selfpretrain.tasks.splitting import duplicate_groups

RNG = np.random.default_rng(0)
VALUES = [RNG.normal(3, 2, size=(n, 2)) for n in (3, 5, 1, 4)]


def symbol_codec(*rows):
    coded = code_symbols([np.array(row.split(), dtype=np.str_) for row in rows])
    return Codec.fit("symbols", ("a", "b"), coded.sequences, labelled=coded.sequences, table=coded.table)


def test_values_are_standardised_by_loops():
    codec = Codec.fit("values", ("a", "b"), VALUES, labelled=VALUES[:3])
    x, lengths = codec.encode(VALUES)
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
    codec = Codec.fit("values", ("a", "b"), holed, labelled=holed, allow_missing=True)
    assert (codec.encode(holed)[0][0, 0] == 0).all()
    rest = np.concatenate([holed[0][1:], *holed[1:]])
    assert codec.mean == pytest.approx(rest.mean(0))
    assert codec.std == pytest.approx(rest.std(0))
    strict = Codec.fit("values", ("a", "b"), VALUES, labelled=VALUES)
    with pytest.raises(RequestError, match="rows: row 1: position 1 is missing"):
        strict.encode(holed)


def test_a_constant_channel_is_only_centred_and_an_empty_one_refused():
    flat = [np.full((3, 1), 7.0), np.full((2, 1), 7.0)]
    assert (Codec.fit("values", ("a", "b"), flat, labelled=flat).encode(flat)[0] == 0).all()
    with pytest.raises(RequestError, match="channel 1 has no value"):
        Codec.fit("values", ("a", "b"), [np.full((3, 1), np.nan)], labelled=[np.full((3, 1), np.nan)])


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


@pytest.mark.parametrize(
    ("codec", "rows", "said"),
    [
        (symbol_codec("1 2"), [], "there are no rows"),
        (symbol_codec("1 2"), [""], "row 1: the sequence is empty"),
        (symbol_codec("1 2"), [[[1, 2]]], "row 1: position 1 is a list"),
        (Codec(kind="bytes", classes=("a", "b"), length=9), [[1, 2]], "row 1: --kind bytes reads text"),
        (Codec.fit("values", ("a", "b"), VALUES, labelled=VALUES), [[1.0, 2.0]], "1 channels where training had 2"),
        (Codec.fit("values", ("a", "b"), VALUES, labelled=VALUES), ["1 x"], "'x' at position 2 is not a number"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_with_their_number(codec, rows, said):
    with pytest.raises(RequestError, match=said):
        codec.encode(rows)


def test_a_codec_goes_round_bit_for_bit():
    for codec in (symbol_codec("1 2 x"), Codec.fit("values", ("a", "b"), VALUES, labelled=VALUES)):
        assert from_dict(Codec, json.loads(json.dumps(to_dict(codec)))) == codec


def test_grey_values_stay_bytes_until_they_are_standardised_and_come_out_the_same():
    rows = [RNG.integers(256, size=(n, 2), dtype=np.uint8) for n in (5, 3, 7)]
    rows[0][:, 1] = rows[1][:, 1] = rows[2][:, 1] = 9  # a channel that does not vary
    parsed = parse_cells("rows", rows, "values")
    assert all(sequence.dtype == np.uint8 for sequence in parsed)
    small, wide = (Codec.fit("values", ("a", "b"), x, labelled=x) for x in (parsed, [r.astype(float) for r in rows]))
    assert small.mean == pytest.approx(wide.mean, rel=1e-12)
    assert small.std == pytest.approx(wide.std, rel=1e-12)
    np.testing.assert_allclose(small.arrays(parsed)[0], wide.arrays(parsed)[0], atol=1e-6)


def test_values_of_other_types_are_equal_where_their_numbers_are():
    row = np.array([[3], [200]], dtype=np.uint8)
    assert duplicate_groups([row, row.astype(np.float64), row + 1]).tolist() == [0, 0, 1]
