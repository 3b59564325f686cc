"""Intervals and p-values against scipy, by hand, and by simulated coverage."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfpretrain.diagnostics.gradients import gradient_snr
from selfpretrain.stats import chance_snr, example_interval, holm, t_interval


def test_the_paired_interval_equals_scipys():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 7))
    ours = t_interval(a - b)
    theirs = stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.p) == pytest.approx((low, high, theirs.pvalue), rel=1e-12)
    assert ours.mean == pytest.approx((a - b).mean())


def test_edges():
    assert t_interval([0.3]).low is t_interval([0.3]).p is None
    same = t_interval([0.5, 0.5, 0.5])
    assert (same.low, same.high, same.p) == (0.5, 0.5, 0.0)
    assert t_interval([0.0, 0.0]).p == 1.0
    assert not t_interval([0.3]).above(0)
    assert not t_interval([0.3]).within(1)


def test_the_interval_covers_what_it_says():
    """2000 experiments of five normal seeds: 95 % +- four standard errors."""
    samples = np.random.default_rng(1).normal(0.3, 1.0, size=(2000, 5))
    covered = np.mean([i.low <= 0.3 <= i.high for i in map(t_interval, samples)])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_holm_by_hand():
    assert holm([]) == []
    assert holm([0.02]) == [0.02]
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.5]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(a >= b - 1e-12 and a <= 1 for a, b in zip(adjusted, p, strict=True))
    assert all(adjusted[i] <= adjusted[j] + 1e-12 for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])


def test_the_example_interval_sees_what_seeds_share():
    """Five seeds with the same hits: no spread over seeds, all of it over examples."""
    generator = np.random.default_rng(0)
    a, b = (np.tile(generator.random(200) < 0.5, (5, 1)) for _ in range(2))
    over_seeds = t_interval(a.mean(1) - b.mean(1))
    over_examples = example_interval(a, b)
    assert over_seeds.low == over_seeds.high
    difference = a[0].astype(float) - b[0]
    low, high = stats.ttest_1samp(difference, 0).confidence_interval()
    assert (over_examples.low, over_examples.high) == pytest.approx((low, high))


@pytest.mark.parametrize("directions", [1, 8])
def test_chance_is_twice_the_most_that_an_estimate_without_signal_scatters(directions):
    """The estimate's standard deviation is sqrt(2 / directions) / n: for a single one half of what is called chance."""
    n, repeats = 50, 4000
    shape = (n, repeats, directions)
    found = gradient_snr(torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert found.std().item() == pytest.approx(chance_snr(n) / 2 / math.sqrt(directions), rel=0.1)
    assert (found > chance_snr(n)).double().mean() < 0.06
