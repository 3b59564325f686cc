"""Sequences end to end: the same as lists of lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.data.sequences import Sequences, interleaved

LISTS = st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=5), min_size=1, max_size=8)
ALIKE = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from("ab"), min_size=n, max_size=n), min_size=1)
)


def coded(rows):
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Sequences.of([np.array([names.index(name) for name in row], dtype=np.uint8) for row in rows], names)


def decoded(sequences):
    return [[sequences.names[code] for code in row] for row in sequences]


@given(LISTS | ALIKE, st.data())
def test_rows_and_cuts(rows, data):
    sequences = coded(rows)
    index = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    assert decoded(sequences.rows(np.array(index, dtype=np.int64))) == [rows[k] for k in index]
    assert decoded(sequences.cut(2)) == [row[:2] for row in rows]
    padded = sequences.padded(5)
    for row, codes in zip(rows, padded, strict=True):
        assert [sequences.names[code] for code in codes[: len(row)]] == row
        assert (codes[len(row) :] == 0).all()


@given(LISTS, LISTS)
def test_joined_sequences_keep_their_symbols(one, two):
    assert decoded(Sequences.joined([coded(one), coded(two)])) == one + two
    n = min(len(one), len(two))
    both = interleaved([coded(one[:n]), coded(two[:n])])
    assert decoded(both) == [row for pair in zip(one[:n], two[:n], strict=True) for row in pair]


def test_channels_stay_together():
    sequences = Sequences.of([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])])
    assert [row.tolist() for row in sequences.rows(np.array([1, 1, 0]))] == [[[3, 4], [5, 6]]] * 2 + [[[1, 2]]]
    assert sequences.padded(2)[0].tolist() == [[1, 2], [0, 0]]
