"""Splits: partitions in proportion, duplicates together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfpretrain.errors import SettingError
from selfpretrain.tasks.load import load_task
from selfpretrain.tasks.splitting import (
    SHARES,
    duplicate_groups,
    leaks,
    parts_of,
    share_of_training,
    stratified_split,
)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 3))
def test_a_split_is_a_partition_that_keeps_duplicates_together(rows, seed):
    x, y = (np.array(column) for column in zip(*rows, strict=True))
    parts = stratified_split(duplicate_groups([np.array([value]) for value in x]), y, SHARES, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    values = [set(x[part]) for part in parts]
    assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])


@given(st.integers(3, 60), st.integers(3, 60), st.integers(0, 3))
def test_each_class_stands_in_each_part_in_proportion(n_a, n_b, seed):
    y = np.array([0] * n_a + [1] * n_b)
    for part, share in zip(stratified_split(np.arange(n_a + n_b), y, SHARES, seed), SHARES, strict=True):
        counts = Counter(y[part].tolist())
        for label, n in ((0, n_a), (1, n_b)):
            assert counts[label] >= 1
            assert abs(counts[label] - share * n) <= (1 if n >= 10 else 2)  # below 10 the small parts get one anyway


def test_duplicates_are_exactly_equal_sequences_in_order_of_first_sight():
    rows = [np.array([1, 0]), np.array([1]), np.array([1, 0]), np.array([0, 1])]
    assert duplicate_groups(rows).tolist() == [0, 1, 0, 2]


def test_given_parts_stay_and_missing_ones_are_cut_from_labelled_training_rows():
    y = np.array([0, 1] * 20)
    y[:4] = -1
    given = ["train"] * 30 + ["test"] * 10
    parts = parts_of(np.arange(40), y, given, 0)
    assert (parts[30:] == 2).all()
    assert (parts[:4] == 0).all()
    assert (parts == 1).sum() == 4  # 15/85 of 13 a class is 2.3
    assert parts_of(np.arange(40), y, ["train", "val", "test", "train"] * 10, 0).tolist() == [0, 1, 2, 0] * 10


def test_leaks_are_training_rows_that_stand_elsewhere_too():
    assert leaks(np.array([0, 1, 0, 2, 2]), np.array([0, 0, 2, 0, 0])).tolist() == [True, False, False, False, False]


# A share of training, and labels at random.


@given(st.integers(0, 5), st.lists(st.floats(0.05, 1.0), min_size=2, max_size=2))
@settings(max_examples=30, deadline=None)
def test_a_smaller_share_is_part_of_a_larger_one_and_every_class_and_split_stays(seed, fractions):
    small, large = sorted(fractions)
    generator = np.random.default_rng(seed)
    y, parts = generator.integers(-1, 3, 90), generator.integers(0, 3, 90)
    groups = generator.integers(0, 60, 90)
    stay = [share_of_training(groups, y, parts, fraction, seed) for fraction in (small, large, 1.0)]
    assert (stay[0] <= stay[1]).all() and (stay[1] <= stay[2]).all() and stay[2].all()
    for each in stay:
        assert each[parts != 0].all()
        assert set(y[(parts == 0) & each]) == set(y[parts == 0])


def test_a_share_has_so_many_of_each_class_and_test_data_stay_the_same():
    whole, part = (load_task("proximity", sequences=400, fraction=fraction) for fraction in (1.0, 0.25))
    assert len(part.train) == pytest.approx(len(whole.train) / 4, abs=1)
    assert abs(int((part.train.y == 0).sum()) - int((part.train.y == 1).sum())) <= 1
    assert set(part.train.numbers) < set(whole.train.numbers)
    for split in ("val", "test"):
        assert np.array_equal(getattr(part, split).x, getattr(whole, split).x)
    assert any("70 of 280 training sequences are used (--fraction 0.25)" in note for note in part.notes)
    with pytest.raises(SettingError, match="lies between"):
        load_task("proximity", fraction=1.5)


def test_random_labels_are_as_many_of_each_class_and_say_nothing():
    true, random = (load_task("digits", random_labels=mixed) for mixed in (False, True))
    for split in ("train", "val", "test"):
        one, other = getattr(true, split), getattr(random, split)
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(np.bincount(one.y), np.bincount(other.y))
        assert np.mean(one.y == other.y) < 0.2
    assert true.fingerprint != random.fingerprint
    assert any("learnt by heart" in note for note in random.notes)
