"""Plateaus: who left one by a rule that rarely errs, and exact counts against independent formulas."""

from math import comb

import numpy as np
import pytest

from made_up import made_up
from selfpretrain.comparison.plateau import FALSE_POSITIVE, Count, counted, difference_p, has_left
from selfpretrain.metrics import Metrics


def left(accuracy, rows=600, classes=2):
    run = made_up("scratch", 0, np.ones(4, dtype=bool), val=Metrics(acc=accuracy, loss=1.0))
    return has_left(run.result, np.arange(rows) % classes)


def test_a_run_that_only_guesses_is_called_a_learner_as_rarely_as_is_said():
    """The exact rate: the probabilities of all numbers of lucky guesses that the rule takes for learning."""
    for classes in (2, 10):
        p = 1 / classes
        rate = sum(comb(600, k) * p**k * (1 - p) ** (600 - k) for k in range(601) if left(k / 600, classes=classes))
        assert FALSE_POSITIVE / 5 < rate <= FALSE_POSITIVE
        assert left(p + 0.1, classes=classes)


@pytest.mark.parametrize(
    ("accuracy", "rows", "classes", "expected"),
    [(0.56, 600, 2, False), (0.6, 600, 2, True), (0.6, 40, 2, False), (1.0, 40, 2, True), (0.2, 600, 10, True)],
)
def test_a_plateau_is_left_by_more_than_chance_gives(accuracy, rows, classes, expected):
    assert left(accuracy, rows, classes) is expected


def test_the_plateau_of_skewed_classes_is_the_commonest_one_and_failed_runs_do_not_count():
    y = np.r_[np.zeros(970, dtype=np.int64), np.ones(30, dtype=np.int64)]
    run = made_up("scratch", 0, np.ones(4, dtype=bool), val=Metrics(acc=0.97, loss=1.0)).result
    assert has_left(run, y) is False
    assert has_left(made_up("scratch", 0, failure="loss", val=Metrics(acc=1.0, loss=1.0)).result, y) is None


def test_counts_are_exact():
    """Against the binomial and hypergeometric sums, written out."""
    for left_seeds, seeds in ((0, 3), (0, 5), (2, 5), (10, 10)):
        low, high = Count(left_seeds, seeds).ci95

        def at_least(p, k=left_seeds, n=seeds):
            return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))

        assert low == 0 or at_least(low) == pytest.approx(0.025, abs=1e-6)
        assert high == 1 or 1 - at_least(high, left_seeds + 1) == pytest.approx(0.025, abs=1e-6)
    for a, b in ((5, 0), (4, 1), (3, 3), (5, 4)):
        table = [comb(5, i) * comb(5, a + b - i) / comb(10, a + b) for i in range(max(0, a + b - 5), min(5, a + b) + 1)]
        observed = comb(5, a) * comb(5, b) / comb(10, a + b)
        p = sum(chance for chance in table if chance <= observed * (1 + 1e-7))
        assert difference_p(Count(a, 5), Count(b, 5)) == pytest.approx(p)
    assert counted((True, None, False)) == Count(1, 2)
    assert [Count(left_seeds, 3).differs for left_seeds in range(4)] == [False, True, True, False]
