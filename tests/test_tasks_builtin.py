"""Built-in tasks: what they promise about their data."""

import numpy as np
import pytest

from selfpretrain.errors import RequestError
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.builtin import FiledTask, Proximity, Skew, builtin_tasks
from selfpretrain.tasks.load import load_task


def test_every_built_in_task_loads_and_says_what_it_was_made_from():
    fewer = {"lra-listops": {"sequences": 2000}, "lra-pathfinder": {"sequences": 60}}
    fewer["lra-pathfinder-small"] = fewer["lra-pathfinder"]
    for name in builtin_tasks():
        if issubclass(builtin_tasks()[name], FiledTask) or "pathx" in name:  # no file, and ten seconds an image
            continue
        task = load_task(name, **fewer.get(name, {}))
        assert load_task(task.source).fingerprint == task.fingerprint
        assert min(len(task.train), len(task.val), len(task.test)) > 200 or name in fewer
        assert 0 < task.majority < 0.6 or name in fewer


def test_proximity_has_the_stated_transition_law():
    """Next = previous + s with probability p + (1-p)/K, any other step (1-p)/K; marginals uniform."""
    rule = Proximity(symbols=5, length=200, probability=0.4, sequences=2000)
    _, _, x, y, *_ = rule.build(numpy_stream(0, "data"))
    for label, step in ((0, 1), (1, -1)):
        rows = x[y == label]
        steps = np.bincount(((rows[:, 1:] - rows[:, :-1]) % 5).ravel(), minlength=5) / rows[:, 1:].size
        expected = np.full(5, 0.6 / 5)
        expected[step % 5] += 0.4
        assert np.abs(steps - expected).max() < 0.005  # about four standard errors
        assert np.abs(np.bincount(rows.ravel()) / rows.size - 0.2).max() < 0.005


def test_skew_classes_agree_in_pairs_and_differ_in_threes():
    _, _, x, y, *_ = Skew(length=32, sequences=20_000, correlation=0.7).build(numpy_stream(0, "data"))
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
    assert (task.kind, task.length, task.inputs.channels, len(task.classes)) == ("values", 64, 1, 10)
    assert task.grid == (8, 8)
    assert len(task.train) + len(task.val) + len(task.test) == 1797


def test_data_depend_on_the_data_seed_alone():
    first, again, other = (load_task("proximity", sequences=100, data_seed=s) for s in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("noise", {"probability": 0.5}, "probability 0.5 does not apply to the task 'noise'"),
        ("noise", {"kind": "bytes"}, "kind bytes does not apply"),
        ("digits", {"length": 9}, "its options: none"),
        ("proximity", {"symbols": 2}, "3 or more"),
        ("proximity", {"symbols": 2.5}, "symbols cannot be"),
        ("nope", {}, "neither a built-in task"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, said):
    with pytest.raises(RequestError, match=said):
        load_task(name, **options)
