"""Built-in tasks: what they promise about their data."""

import numpy as np
import pytest

from selfpretrain.data.builtin import Proximity, Skew
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.streams import numpy_stream


def drawn(rule):
    """The sequences of a rule, and their classes by number."""
    rows = rule.build(numpy_stream(0, "data"))
    return rows.columns[0], np.array([rows.classes.index(label) for label in rows.labels])


@pytest.mark.parametrize("name", ["proximity", "digits", "noise", "skew"])
def test_a_task_is_large_enough_balanced_and_says_what_it_was_made_from(name):
    task = load_task(name)
    assert load_task(task.source).fingerprint == task.fingerprint
    assert min(len(task.train), len(task.val), len(task.test)) > 200
    assert 0 < task.majority < 0.6


def test_proximity_has_the_stated_transition_law():
    """Next = previous + s with probability p + (1-p)/K, any other step (1-p)/K; marginals uniform."""
    x, y = drawn(Proximity(symbols=5, length=200, probability=0.4, sequences=2000))
    for label, step in ((0, 1), (1, -1)):
        rows = x[y == label]
        steps = np.bincount(((rows[:, 1:] - rows[:, :-1]) % 5).ravel(), minlength=5) / rows[:, 1:].size
        expected = np.full(5, 0.6 / 5)
        expected[step % 5] += 0.4
        assert np.abs(steps - expected).max() < 0.005  # about four standard errors
        assert np.abs(np.bincount(rows.ravel()) / rows.size - 0.2).max() < 0.005


@pytest.mark.parametrize(
    ("law", "chains"),
    [
        ("steps", [(1, 0.4, 1), (2, 0.4, 1)]),
        ("strength", [(1, 0.4, 1), (1, 0.16, 1)]),
        ("lag", [(1, 0.4, 1), (1, 0.4, 2)]),
    ],
)
def test_the_sister_laws_are_as_stated(law, chains):
    rule = Proximity(symbols=5, length=200, probability=0.4, sequences=2000, law=law)
    x, y = drawn(rule)
    for label, (step, probability, lag) in enumerate(chains):
        rows = x[y == label]
        for other in (1, 2):
            steps = np.bincount(((rows[:, other:] - rows[:, :-other]) % 5).ravel(), minlength=5) / rows[:, other:].size
            if other == lag:
                expected = np.full(5, (1 - probability) / 5)
                expected[step] += probability
                assert np.abs(steps - expected).max() < 0.005
            elif lag == 2:
                assert np.abs(steps - 0.2).max() < 0.005  # neighbours say nothing
        assert np.abs(np.bincount(rows.ravel()) / rows.size - 0.2).max() < 0.005


def test_a_step_that_both_classes_have_is_refused():
    with pytest.raises(SettingError, match="step 9 is the step of both classes"):
        Proximity(law="steps", step=9)
    with pytest.raises(RequestError, match="law"):
        load_task("proximity", law="sideways")


def test_skew_classes_agree_in_pairs_and_differ_in_threes():
    x, y = drawn(Skew(length=32, sequences=20_000, correlation=0.7))
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


@pytest.mark.parametrize(("name", "fingerprint"), [("proximity", "6a024703dc9764b8"), ("noise", "e81e83d53538416e")])
def test_the_sequences_are_those_of_all_published_numbers(name, fingerprint):
    assert load_task(name).fingerprint == fingerprint
