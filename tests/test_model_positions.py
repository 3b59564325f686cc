"""Position codes against arithmetic by hand."""

import math

import pytest
import torch

from selfpretrain.model.positions import alibi_slopes, distance_bias, rotate, sinusoidal


def test_sinusoidal_entries_by_hand():
    code = sinusoidal(11, 6)
    for t in range(11):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert code[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert code[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)


def test_rotary_scores_depend_on_the_difference_of_positions_alone():
    q, k = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotated_q, rotated_k = (rotate(v.expand(1, 1, 9, 6)) for v in (q, k))
    scores = (rotated_q @ rotated_k.transpose(-1, -2))[0, 0]
    for lag in range(-8, 9):
        band = torch.diagonal(scores, lag)
        assert (band - band[0]).abs().max() < 1e-12
    assert (scores[0, 0] - q @ k).abs() < 1e-12
    assert (scores[0, 5] - scores[0, 0]).abs() > 1e-3


def test_alibi_by_hand():
    bias = distance_bias(4, alibi_slopes(2))
    assert bias.shape == (2, 4, 4)
    assert bias[0, 3, 1].item() == pytest.approx(-(2**-4) * 2)
    assert bias[1, 0, 3].item() == pytest.approx(-(2**-8) * 3)
