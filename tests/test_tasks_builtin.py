"""Built-in tasks: what they promise about their data."""

import numpy as np
import pytest

from selfpretrain.config import BUILTIN_TASKS
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks import load_task
from selfpretrain.tasks.builtin import MAKERS, proximity, skew


def test_every_built_in_task_has_its_maker_and_loads():
    assert set(MAKERS) == set(BUILTIN_TASKS)
    for name in MAKERS:
        task = load_task(name)
        assert min(len(task.train), len(task.val), len(task.test)) > 200
        assert 0 < task.majority < 0.6


def test_proximity_has_the_stated_transition_law():
    """Next = previous + s with probability p + (1-p)/K, any other step (1-p)/K; marginals uniform."""
    _, _, x, y = proximity(numpy_stream(0, "data"), symbols=5, length=200, probability=0.4, sequences=2000)
    for label, step in ((0, 1), (1, -1)):
        rows = x[y == label]
        steps = np.bincount(((rows[:, 1:] - rows[:, :-1]) % 5).ravel(), minlength=5) / rows[:, 1:].size
        expected = np.full(5, 0.6 / 5)
        expected[step % 5] += 0.4
        assert np.abs(steps - expected).max() < 0.005  # about four standard errors
        assert np.abs(np.bincount(rows.ravel()) / rows.size - 0.2).max() < 0.005


def test_skew_classes_agree_in_pairs_and_differ_in_threes():
    _, _, x, y = skew(numpy_stream(0, "data"), length=32, sequences=20_000, correlation=0.7)
    x = x[..., 0].astype(np.float64)
    lags = {c: np.array([(x[y == c] * np.roll(x[y == c], k, 1)).mean() for k in range(8)]) for c in (0, 1)}
    assert np.abs(lags[0] - lags[1]).max() < 0.02
    kernel = 0.7 ** np.arange(32)
    kernel /= np.linalg.norm(kernel)
    circular = [(kernel * np.roll(kernel, k)).sum() for k in range(8)]
    assert np.abs(lags[0] - circular).max() < 0.02
    third = 2 * (kernel**3).sum()  # the third cumulant of Exp(1) is 2
    assert (x[y == 0] ** 3).mean() == pytest.approx(third, abs=0.05)
    assert (x[y == 1] ** 3).mean() == pytest.approx(-third, abs=0.05)


def test_noise_labels_do_not_depend_on_the_sequences():
    task = load_task("noise", sequences=4000)
    counts = [np.bincount(task.train.x[task.train.y == c].ravel(), minlength=8) for c in (0, 1)]
    shares = [c / c.sum() for c in counts]
    assert np.abs(shares[0] - shares[1]).max() < 0.01


def test_digits_are_scikit_learns():
    task = load_task("digits")
    assert (task.kind, task.length, task.channels, len(task.classes)) == ("values", 64, 1, 10)
    assert len(task.train) + len(task.val) + len(task.test) == 1797


def test_data_depend_on_the_data_seed_alone():
    first, again, other = (load_task("proximity", sequences=100, data_seed=s) for s in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
