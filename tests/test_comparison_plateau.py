"""Plateaus: who left one by a rule that rarely errs, and exact counts against independent formulas."""

from math import comb

import numpy as np
import pytest

from made_up import made_up
from selfpretrain.comparison.plateau import FALSE_POSITIVE, Count, counted, difference_p, has_left
from selfpretrain.data.feed import TRAIN_SAMPLE


def left(accuracy, rows=2000, classes=2):
    y = np.arange(rows) % classes
    return has_left(made_up("scratch", 0, np.ones(4, dtype=bool), best_train_sample_acc=accuracy).result, y)


def test_a_run_that_only_guesses_is_called_a_learner_as_rarely_as_is_said():
    generator = np.random.default_rng(0)
    for classes in (2, 10):
        guessed = generator.binomial(TRAIN_SAMPLE, 1 / classes, size=4000) / TRAIN_SAMPLE
        wrong = np.mean([left(accuracy, classes=classes) for accuracy in np.unique(guessed).repeat(1)])
        rate = np.mean([left(accuracy, classes=classes) for accuracy in guessed[:1000]])
        assert rate <= 4 * FALSE_POSITIVE
        assert 0 < wrong < 1  # the highest of them all is called so


@pytest.mark.parametrize(
    ("accuracy", "rows", "classes", "expected"),
    [(0.54, 2000, 2, False), (0.6, 2000, 2, True), (0.6, 40, 2, False), (1.0, 40, 2, True), (0.2, 2000, 10, True)],
)
def test_a_plateau_is_left_by_more_than_chance_gives(accuracy, rows, classes, expected):
    assert left(accuracy, rows, classes) is expected


def test_a_skewed_training_set_has_its_plateau_at_the_commonest_class():
    y = np.r_[np.zeros(970, dtype=np.int64), np.ones(30, dtype=np.int64)]
    run = made_up("scratch", 0, np.ones(4, dtype=bool), best_train_sample_acc=0.97).result
    assert has_left(run, y) is False
    assert has_left(made_up("scratch", 0, failure="loss").result, y) is None


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
