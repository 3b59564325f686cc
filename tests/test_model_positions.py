"""Position codes against arithmetic by hand."""

import cmath
import math
from itertools import product

import pytest
import torch

from selfpretrain.model.positions import alibi_slopes, distance_bias, rotate, sinusoidal


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_sinusoidal_entries_by_hand():
    code = sinusoidal(11, 6)
    assert code.shape == (11, 6) and code.dtype == torch.float64
    for t in range(11):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert code[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert code[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)


@pytest.mark.parametrize("longer", [0, 4])
def test_rotation_by_complex_numbers(longer):
    """A pair of entries is a complex number; position t multiplies it by ``exp(i t w)``."""
    x = normal(2, 3, 5, 6)
    found = rotate(x, sinusoidal(5 + longer, 6))
    assert found.shape == x.shape
    for b, h, t, i in product(range(2), range(3), range(5), range(3)):
        pair = complex(x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]) * cmath.exp(1j * t / 10_000 ** (2 * i / 6))
        assert complex(*found[b, h, t, 2 * i : 2 * i + 2]) == pytest.approx(pair, abs=1e-13)


def test_rotary_scores_depend_on_the_difference_of_positions_alone():
    q, k = normal(2, 6)
    rotated_q, rotated_k = (rotate(v.expand(1, 1, 9, 6), sinusoidal(9, 6)) for v in (q, k))
    scores = (rotated_q @ rotated_k.transpose(-1, -2))[0, 0]
    for lag in range(-8, 9):
        band = torch.diagonal(scores, lag)
        assert (band - band[0]).abs().max() < 1e-12
    assert (scores[0, 0] - q @ k).abs() < 1e-12
    assert (scores[0, 5] - scores[0, 0]).abs() > 1e-3


@pytest.mark.parametrize("heads", [1, 2, 3, 8])
def test_alibi_slopes_by_hand(heads):
    slopes = alibi_slopes(heads)
    assert slopes.dtype == torch.float64
    assert slopes.tolist() == pytest.approx([2 ** (-8 * h / heads) for h in range(1, heads + 1)], rel=1e-15)


def test_alibi_by_hand():
    bias = distance_bias(torch.arange(4), torch.arange(4), alibi_slopes(2))
    assert bias.shape == (2, 4, 4)
    assert bias[0, 3, 1].item() == pytest.approx(-(2**-4) * 2)
    assert bias[1, 0, 3].item() == pytest.approx(-(2**-8) * 3)


def test_the_bias_of_some_queries_entry_by_entry():
    """Row = query, wherever it stands; the sign does not matter, the distance does."""
    slopes, queries, keys = normal(3).abs(), torch.tensor([5, 0, 2]), torch.arange(7)
    found = distance_bias(queries, keys, slopes)
    assert found.shape == (3, 3, 7)
    for h, (row, i), j in product(range(3), enumerate(queries.tolist()), range(7)):
        assert found[h, row, j].item() == -slopes[h].item() * abs(i - j)
