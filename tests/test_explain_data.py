"""What training sequences show of their classes: planted order is seen, shuffled order and chance are not."""

import functools
import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from conftest import TINY_DIAGNOSIS, ragged_task
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task, shuffled
from selfpretrain.diagnostics.data import lag_statistics, pair_features
from selfpretrain.diagnostics.representation import linear_probe
from selfpretrain.explain import data as module
from selfpretrain.explain.table import pick, tidy
from stand_in import measured, numbers

LENGTH = 24


@dataclass(eq=False)
class Looked:
    """All of a subject that is looked at: no weights, no samples."""

    task: Task
    max_lag: int = 2

    @property
    def config(self):
        return replace(TINY_DIAGNOSIS, max_lag=self.max_lag)


TASKS = {
    "planted": load_task("proximity", length=LENGTH, sequences=400),  # the class is the direction of steps
    "null": load_task("noise", symbols=4, length=LENGTH, sequences=400),  # and here drawn without looking
    "ragged": ragged_task(n=200),
}
SUBJECTS = {name: Looked(task) for name, task in TASKS.items()}


@pytest.fixture(params=SUBJECTS)
def subject(request):
    return SUBJECTS[request.param]


@pytest.fixture
def planted():
    return SUBJECTS["planted"]


@functools.cache
def table(subject):
    return measured(subject, "data")


def pairs(rows, labels, lag):
    """Shares of pairs ``lag`` apart, inside the sequences, for every class."""
    size = int(rows.x.max()) + 1
    found = []
    for c in np.unique(rows.y):
        mine, there = rows.x[labels == c], np.arange(lag, rows.x.shape[1]) < rows.lengths[labels == c, None]
        counts = np.zeros((size, size))
        np.add.at(counts, (mine[:, :-lag][there], mine[:, lag:][there]), 1)
        found.append(counts / max(counts.sum(), 1))
    return found


def difference(per_class):
    norm = np.linalg.norm
    return max(norm(a - b) / (norm(a) + norm(b)) for i, a in enumerate(per_class) for b in per_class[:i])


def test_differences_are_those_of_the_training_sequences_in_order_shuffled_and_with_labels_dealt_out(subject):
    train, mixed = subject.task.train, shuffled(subject.task, 0).train
    lags = range(1, min(8, subject.task.length - 1) + 1)
    generator = np.random.default_rng(0)
    dealt = [generator.permutation(train.y) for _ in range(10)]
    expected = {
        "beta": [difference(pairs(train, train.y, lag)) for lag in lags],
        "beta_symmetric": [difference([(r + r.T) / 2 for r in pairs(train, train.y, lag)]) for lag in lags],
        "beta_centred": lag_statistics(train.x, train.y, len(lags), lengths=train.lengths).beta_centred,
        "beta_chance": [np.mean([difference(pairs(train, labels, lag)) for labels in dealt]) for lag in lags],
        "beta_shuffled": [difference(pairs(mixed, mixed.y, lag)) for lag in lags],
    }
    for name, by_lag in expected.items():
        rows = pick(table(subject), name, n=len(train))
        assert list(rows["lag"]) == list(lags)
        np.testing.assert_allclose(rows["value"], by_lag, rtol=1e-8, err_msg=name)
    # Shuffled within its own length, every sequence keeps its symbols.
    assert all(sorted(a[:n]) == sorted(b[:n]) for a, b, n in zip(mixed.x, train.x, train.lengths, strict=True))
    assert not np.array_equal(mixed.x, train.x)


@pytest.mark.parametrize("mix", [False, True])
def test_pairs_are_classified_in_validation_sequences(mix, subject):
    task = shuffled(subject.task, 0) if mix else subject.task
    both, n = task.train + task.val, len(task.train)
    features = pair_features(both.x, min(8, task.length - 1), both.lengths, alphabet=16)
    expected = linear_probe(features[:n], task.train.y, features[n:], task.val.y)
    name = "pair_classifier_shuffled" if mix else "pair_classifier"
    assert numbers(table(subject), name, n=len(task.val)) == expected


def test_planted_order_is_seen_and_shuffled_order_is_not(planted):
    of = functools.partial(numbers, table(planted))
    assert of("pair_classifier") > 0.95
    assert 0.3 < of("pair_classifier_shuffled") < 0.7
    # Neighbours tell the classes apart; neither without order nor with labels at random do they.
    assert of("beta", lag=1) > 0.5
    assert of("beta_shuffled", lag=1) < 0.15 and of("beta_chance", lag=1) < 0.15
    # Up and down are mirror images: a distance alone cannot tell them apart.
    assert of("beta_symmetric", lag=1) < 0.15


def test_nothing_is_seen_where_there_is_nothing():
    of = functools.partial(numbers, table(SUBJECTS["null"]))
    assert all(0.3 < of(name) < 0.7 for name in ("pair_classifier", "pair_classifier_shuffled"))
    assert (of("beta", "lag") < 1.5 * of("beta_chance", "lag")).all()


def test_validation_labels_that_contradict_training_are_all_missed(planted):
    """Known answer: near 0, where fitting to or scoring on anything but training and validation gives near 1."""
    val = planted.task.val
    contrary = Looked(replace(planted.task, val=replace(val, y=1 - val.y)))
    assert numbers(table(contrary), "pair_classifier") < 0.05


def test_lags_reach_as_far_as_is_asked_for_and_never_past_the_end(planted):
    for asked, reach in ((2, 8), (11, 11), (LENGTH + 5, LENGTH - 1)):
        differences = itertools.islice(module.measure(Looked(planted.task, asked), ()), 5)  # classifiers take long
        assert set(tidy("data", differences)["lag"]) == set(range(1, reach + 1))


def test_a_file_sorted_by_class_is_no_obstacle(planted, monkeypatch):
    """The classifier sees some of the sequences: any, not the first."""
    order = np.argsort(planted.task.train.y, kind="stable")
    ordered = replace(planted.task, train=planted.task.train.rows(order))
    monkeypatch.setattr(module, "LARGE_SAMPLE", 100)
    assert len(set(ordered.train.y[:100])) == 1
    assert numbers(table(Looked(ordered)), "pair_classifier") > 0.9
