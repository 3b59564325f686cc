"""Splits, duplicates, standardisation, fingerprints."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ragged_task
from selfpretrain.tasks.task import SHARES, Split, Task, duplicate_groups, pad, standardised, stratified_split


def split_of(x, y):
    x = np.asarray(x)
    return Split(x[:, None], np.ones(len(x), dtype=np.int64), np.asarray(y))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 3))
def test_a_split_is_a_partition_that_keeps_duplicates_together(rows, seed):
    rows = split_of([x for x, _ in rows], [y for _, y in rows])
    parts = stratified_split(rows, SHARES, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    values = [set(rows.x[part].ravel()) for part in parts]
    assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])


@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 3))
def test_each_class_stands_in_each_part_in_proportion(n_a, n_b, seed):
    rows = split_of(np.arange(n_a + n_b), [0] * n_a + [1] * n_b)
    for part, share in zip(stratified_split(rows, SHARES, seed), SHARES, strict=True):
        counts = Counter(rows.y[part].tolist())
        for label, n in ((0, n_a), (1, n_b)):
            assert counts[label] >= 1
            assert abs(counts[label] - share * n) <= (1 if n >= 10 else 2)  # below 10 the small parts get one anyway


def test_duplicates_are_equal_up_to_their_length():
    x, lengths = pad([np.array([1, 0]), np.array([1]), np.array([1, 0])], 2)
    assert duplicate_groups(Split(x, lengths, np.zeros(3, dtype=np.int64))).tolist() == [0, 1, 0]


def test_values_are_standardised_with_training_statistics_by_loops():
    raw = Task("t", "values", ("a", "b"), (), *(_values(seed) for seed in range(3)))
    done = standardised(raw)
    for channel in range(2):
        seen = [raw.train.x[i, t, channel] for i in range(20) for t in range(raw.train.lengths[i])]
        mean, std = np.mean(np.float64(seen)), np.std(np.float64(seen))
        for part in ("train", "val", "test"):
            before, after = getattr(raw, part), getattr(done, part)
            for i in range(20):
                for t in range(5):
                    inside = t < before.lengths[i]
                    expected = (before.x[i, t, channel] - mean) / std if inside else 0.0
                    assert after.x[i, t, channel] == pytest.approx(expected, abs=1e-5)


def _values(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 6, size=20)
    x = generator.normal(3 + seed, 2, size=(20, 5, 2)).astype(np.float32)
    x[np.arange(5) >= lengths[:, None]] = 99.0
    return Split(x, lengths, np.arange(20) % 2)


def test_missing_values_become_the_training_mean_and_count_for_nothing():
    raw = Task("t", "values", ("a", "b"), (), *(_values(seed) for seed in range(3)))
    holed = replace(raw, train=replace(raw.train, x=raw.train.x.copy()))
    holed.train.x[0, 0] = np.nan
    done = standardised(holed)
    assert (done.train.x[0, 0] == 0).all()
    inside = (np.arange(5) < done.train.lengths[:, None]) & ~((np.arange(20) == 0)[:, None] & (np.arange(5) == 0))
    assert np.abs(done.train.x[inside].mean(0)).max() < 1e-6


def test_a_constant_channel_is_only_centred():
    raw = Task("t", "values", ("a", "b"), (), *(_values(seed) for seed in range(3)))
    raw.train.x[..., 1] = 7.0
    assert (standardised(raw).train.x[..., 1] == 0).all()


def test_the_fingerprint_sees_data_labels_and_splits():
    task = ragged_task()
    others = [
        replace(task, train=task.val),
        replace(task, classes=("x", "y", "w")),
        replace(task, unlabelled=task.val),
        replace(task, test=replace(task.test, y=task.test.y[::-1].copy())),
    ]
    assert len({t.fingerprint for t in [task, *others]}) == 5
    assert replace(task, notes=("read",)).fingerprint == task.fingerprint
