"""The classical baseline finds what is planted and nothing where nothing is."""

import numpy as np
import pytest

from selfpretrain.baseline import linear_baseline
from selfpretrain.tasks import load_task


def test_pairs_of_neighbours_give_proximity_away():
    result, predicted = linear_baseline(load_task("proximity", sequences=600), n_trials=3)
    assert result["test_acc"] > 0.95
    assert len(predicted) == 90


def test_noise_stays_noise():
    task = load_task("noise")
    result, _ = linear_baseline(task, n_trials=3)
    assert abs(result["test_acc"] - 0.5) < 4 * np.sqrt(0.25 / len(task.test))


def test_digits_are_easy():
    result, _ = linear_baseline(load_task("digits"), n_trials=3)
    assert result["test_acc"] > 0.93
    assert result["C"] in (pytest.approx(0.01), pytest.approx(1.0), pytest.approx(100.0))


def test_nothing_in_it_is_random():
    task = load_task("skew", sequences=200)
    (first, a), (second, b) = linear_baseline(task, 1), linear_baseline(task, 1)
    assert first == second
    assert np.array_equal(a, b)
