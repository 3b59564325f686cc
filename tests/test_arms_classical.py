"""Classical models find what is planted, and nothing where nothing is."""

import pickle
import sys
import types
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import clone

from conftest import ragged_task
from selfpretrain.arms import classical
from selfpretrain.arms.classical import LEAVES, STRENGTHS, fit_classical
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.load import load_task
from selfpretrain.registry import ARMS


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(classical, "TREES", 50)


def accuracy(fitted, task):
    return np.mean(fitted.probabilities(task.test).argmax(1) == task.test.y)


def test_pairs_of_neighbours_give_proximity_away():
    task = load_task("proximity", sequences=600)
    fitted = fit_classical(task)
    assert accuracy(fitted, task) > 0.95
    assert fitted.choice.startswith("1-5-gram tf-idf")
    assert fitted.probabilities(task.test).shape == (90, 2)
    assert fitted.probabilities(task.test).sum(axis=1) == pytest.approx(1)


def test_positions_give_away_what_n_grams_cannot_see():
    """The class is whether one far position agrees with a fixed pattern: the same symbols everywhere else."""
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 4, (400, 30)), np.arange(400) % 2
    x[:, 7] = y
    task = load_task(x, y.tolist(), kind="symbols")
    fitted = fit_classical(task)
    assert fitted.choice.startswith("one-hot positions")
    assert accuracy(fitted, task) == 1.0


def test_of_many_rows_some_pick_the_model_and_all_or_many_fit_it(monkeypatch):
    """The penalty is that of a fit to a part; the weights are those of a fit to so many rows, and rare classes stay."""
    x = np.random.default_rng(0).integers(0, 4, (600, 12))
    y = [("rare", *"ab")[0 if row in (0, 450, 550) else 1 + int(cells[3] > 1)] for row, cells in enumerate(x)]
    split = ["train"] * 400 + ["val"] * 100 + ["test"] * 100
    task = load_task(x, y, kind="symbols", split=split)
    whole = fit_classical(task)
    monkeypatch.setattr(classical, "TUNING_ROWS", 100)
    tuned = fit_classical(task)
    strength = tuned.model.estimator.C
    again = clone(tuned.model.estimator)
    seen = tuned.model.transformer.transform(KINDS["symbols"].views[tuned.model.features](task.train))
    assert again.fit(seen, task.train.y).coef_ == pytest.approx(tuned.model.estimator.coef_)  # of all 400 rows
    assert "fitted on" not in whole.choice + tuned.choice and accuracy(tuned, task) > 0.95
    monkeypatch.setattr(classical, "FITTING_ROWS", 200)
    fewer = fit_classical(task)
    assert fewer.choice.endswith("fitted on 200 rows") or fewer.choice.endswith("fitted on 201 rows")
    assert strength == fewer.model.estimator.C and len(fewer.model.estimator.classes_) == 3
    assert accuracy(fewer, task) > 0.95


def test_noise_stays_noise():
    task = load_task("noise", sequences=600, length=32)
    assert abs(accuracy(fit_classical(task), task) - 0.5) < 4 * (0.25 / len(task.test)) ** 0.5


def test_digits_are_easy():
    task = load_task("digits")
    fitted = fit_classical(task)
    assert accuracy(fitted, task) > 0.95
    assert fitted.choice.startswith("summaries and raw values")


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_sequences_of_all_lengths_and_kinds_are_taken(kind):
    task = ragged_task(kind)
    fitted = fit_classical(task)
    assert np.isfinite(fitted.probabilities(task.test)).all()
    assert "raw" not in fitted.choice and "one-hot" not in fitted.choice


def test_rows_without_a_label_tell_which_words_go_together():
    """Each class has 60 words of its own; six labelled rows hold few of them, and the others link the rest to these."""
    generator = np.random.default_rng(0)
    words = np.array([[f"w{generator.integers(1e6)}" for _ in range(60)] for _ in range(2)])
    y = np.arange(700) % 2
    x = [" ".join(generator.choice(words[c], 5)) for c in y]
    split = ["train"] * 500 + ["val"] * 100 + ["test"] * 100
    labels = [None if 6 <= k < 500 else int(c) for k, c in enumerate(y)]
    fitted = fit_classical(task := load_task(x, labels, split=split, kind="bytes"))
    alone = fit_classical(replace(task, unlabelled=None))
    assert "self-trained naive Bayes" in fitted.choice
    assert accuracy(fitted, task) > accuracy(alone, task) + 0.05


def test_self_training_of_values_is_a_model_like_others():
    task = ragged_task("values")
    more = replace(task, unlabelled=task.test)
    names = [one.name for features in KINDS["values"].features(more) for one in classical._candidates(features, more)]
    assert names[-1] in {f"self-trained {name}" for name in names[:-1]}
    assert len(names) == len(STRENGTHS) + len(LEAVES) + 1


def test_nothing_in_it_is_random():
    task = load_task("skew", sequences=200)
    first, second = fit_classical(task), fit_classical(task)
    assert (first.choice, first.train, first.val) == (second.choice, second.train, second.val)
    assert (first.probabilities(task.test) == second.probabilities(task.test)).all()


# Classifiers of time series, from the package aeon.


class NearestMean:
    """A stand-in with aeon's interface."""

    seen: ClassVar[list] = []

    def __init__(self, random_state):
        assert random_state == 0

    def fit(self, x, y):
        self.seen.append(x)
        self.means = np.stack([x[y == c].mean(0) for c in range(3)])

    def predict_proba(self, x):
        return np.eye(3)[((x[:, None] - self.means) ** 2).sum((2, 3)).argmin(1)]


@pytest.mark.parametrize(
    ("arm", "module", "name"),
    [
        ("quant", "interval_based", "QUANTClassifier"),
        ("rocket", "convolution_based", "MultiRocketHydraClassifier"),
        ("minirocket", "convolution_based", "MiniRocketClassifier"),
    ],
)
def test_a_classifier_of_aeon_is_given_series_by_channel_with_padding_at_the_mean(arm, module, name, monkeypatch):
    monkeypatch.setitem(sys.modules, f"aeon.classification.{module}", types.SimpleNamespace(**{name: NearestMean}))
    monkeypatch.setattr(NearestMean, "seen", [])
    task = ragged_task("values")
    fit = pickle.loads(pickle.dumps(ARMS[arm].fit))  # as it is sent to another process
    fitted, train = fit(task, "accuracy", "none"), task.train
    (given,) = NearestMean.seen
    assert given.shape == (len(train), 2, train.x.shape[1])
    for row, length in enumerate(train.lengths):
        np.testing.assert_array_equal(given[row, :, :length], train.x[row, :length].T)
        assert not given[row, :, length:].any()
    assert fitted.choice == f"{name} of aeon"
    assert fitted.probabilities(task.test).shape == (len(task.test), 3)
    for split, metrics in ((task.train, fitted.train), (task.val, fitted.val)):
        x = np.where(np.arange(7) < split.lengths[:, None, None], split.x.transpose(0, 2, 1), 0)
        model = NearestMean(0)
        model.means = np.stack([given[train.y == c].mean(0) for c in range(3)])
        assert metrics.acc == np.mean(model.predict_proba(x).argmax(1) == split.y)


def test_of_pairs_the_features_say_how_far_the_two_are_apart():
    """The class of a pair is whether both of its texts have the same letters; of one text alone nothing can be told."""
    generator = np.random.default_rng(0)
    letters = list("abcdefgh")
    words = ["".join(generator.permutation(letters)[:4]) for _ in range(300)]
    pairs = [(word, word[::-1] if k % 2 else words[k - 7]) for k, word in enumerate(words)]
    task = load_task(pairs, [k % 2 for k in range(300)])
    assert accuracy(fit_classical(task), task) > 0.75
