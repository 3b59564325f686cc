"""Splits: partitions in proportion, duplicates together."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from selfpretrain.data.sequences import Sequences
from selfpretrain.data.split import (
    SHARES,
    balanced_split,
    duplicate_groups,
    leaks,
    linked,
    parts_of,
    row_groups,
    share_of_training,
    stratified_split,
)


def groups_of(*rows):
    return duplicate_groups(Sequences.of([np.array(row) for row in rows])).tolist()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=80), st.integers(0, 3))
def test_a_split_is_a_partition_that_keeps_duplicates_together(rows, seed):
    x, y = (np.array(column) for column in zip(*rows, strict=True))
    parts = stratified_split(np.array(groups_of(*x[:, None])), y, SHARES, seed)
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
    assert groups_of([1, 0], [1], [1, 0], [0, 1]) == [0, 1, 0, 2]
    assert groups_of([[3.0], [200.0]], [[3.0], [200.5]], [[3.0], [200.0]]) == [0, 1, 0]
    assert groups_of(*np.array([[[3]], [[200]], [[3]]], dtype=np.uint8)) == [0, 1, 0]


def test_a_pair_equals_itself_the_other_way_round():
    pairs = Sequences.of([np.array([k]) for k in (5, 6, 6, 5, 5, 5, 6, 7)])
    assert row_groups(pairs, 2).tolist() == [0, 0, 1, 2]


def test_given_parts_stay_and_missing_ones_are_cut_from_labelled_training_rows():
    y = np.array([0, 1] * 20)
    y[:4] = -1
    given = ["train"] * 30 + ["test"] * 10
    parts = parts_of(np.arange(40), y, given, 0)
    assert (parts[30:] == 2).all()
    assert (parts[:4] == 0).all()
    assert (parts == 1).sum() == 4  # 15/85 of 13 a class is 2.3
    assert parts_of(np.arange(40), y, ["train", "val", "test", "train"] * 10, 0).tolist() == [0, 1, 2, 0] * 10


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=60), st.integers(0, 3))
def test_groups_of_several_classes_stay_whole_and_reach_every_part(rows, seed):
    groups, y = (np.array(column) for column in zip(*rows, strict=True))
    groups = np.unique(groups, return_inverse=True)[1]
    parts = balanced_split(groups, y, SHARES, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    held = [set(groups[part]) for part in parts]
    assert sum(map(len, held)) == len(set(groups))
    spread = min(len(set(groups[y == label])) for label in set(y))
    assert sum(map(bool, held)) == min(3, len(set(groups))) or spread < 3  # training gets every class first


def test_groups_of_several_classes_are_cut_in_proportion_and_a_class_of_one_group_is_for_training():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 20)
    for seed in range(5):
        y = (generator.random(1200) < np.repeat(generator.random(60), 20)).astype(int)
        y[groups == 7] = 2
        train, val, test = balanced_split(groups, y, SHARES, seed)
        assert {len(train), len(val), len(test)} <= {820, 840, 860, 160, 180, 200}
        assert 7 in groups[train]
        gaps = []
        for _ in range(100):  # as many groups in each part, by chance
            order = generator.permutation(60)[groups]
            parts = order < 43, (order >= 43) & (order < 51), order >= 51
            gaps.append(np.ptp([(y[part] == 1).mean() for part in parts]))
        assert np.ptp([(y[part] == 1).mean() for part in (train, val, test)]) < np.quantile(gaps, 0.4)


@given(st.data())
def test_a_class_of_two_groups_or_more_is_always_trained_on(data):
    n = data.draw(st.integers(4, 9))
    groups = np.repeat(np.arange(n), 6)
    y = np.array(data.draw(st.lists(st.integers(0, 2), min_size=6 * n, max_size=6 * n)))
    train, *_ = balanced_split(groups, y, SHARES, data.draw(st.integers(0, 3)))
    assert set(y[train]) == set(y)


def test_links_are_followed_through_other_rows():
    assert linked(np.array([0, 1, 2, 2, 3]), np.array([5, 5, 5, 6, 7])).tolist() == [0, 0, 0, 0, 1]
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 40, (2, 60))
    same = (a[:, None] == a) | (b[:, None] == b)
    for _ in range(6):
        same = same @ same
    got = linked(a, b)
    assert ((got[:, None] == got) == same).all()


def test_leaks_are_training_rows_that_stand_elsewhere_too():
    assert leaks(np.array([0, 1, 0, 2, 2]), np.array([0, 0, 2, 0, 0])).tolist() == [True, False, False, False, False]
    pairs = np.array([[0, 1], [2, 3], [1, 4]])
    assert leaks(pairs, np.array([0, 0, 1])).tolist() == [True, False, False]


@given(st.integers(0, 5), st.lists(st.floats(0.05, 1.0), min_size=2, max_size=2))
@settings(max_examples=30, deadline=None)
def test_a_smaller_share_is_part_of_a_larger_one_and_every_class_and_split_stays(seed, fractions):
    small, large = sorted(fractions)
    generator = np.random.default_rng(seed)
    y, parts = generator.integers(-1, 3, 90), generator.integers(0, 3, 90)
    groups = generator.integers(0, 60, 90)
    stay = [share_of_training(groups, y, parts, fraction, seed) for fraction in (small, large, 1.0)]
    assert (stay[0] <= stay[1]).all() and (stay[1] <= stay[2]).all() and stay[2].all()
    for chosen in stay:
        assert chosen[parts != 0].all()
        assert set(y[(parts == 0) & chosen]) == set(y[parts == 0])
