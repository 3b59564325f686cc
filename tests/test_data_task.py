"""What a task is: fingerprints, rows with their numbers, shuffling."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from conftest import ragged_task
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Split, shuffled


def test_a_task_is_printed_as_what_was_read():
    task = load_task([[1, 2], [2, 1], [1, 1], [2, 2], [3, 1], [1, 3], [3, 3], [2, 3]], list("abababab"))
    assert str(task).splitlines() == list(task.notes)
    assert str(task).startswith(
        "in memory: 8 rows, sequences as symbols (3 different), 2 steps, classes from y: a 4, b 4"
    )
    assert "array(" not in repr(task)


def test_the_fingerprint_sees_data_labels_splits_and_the_codec():
    task = ragged_task()
    others = [
        replace(task, train=task.val),
        replace(task, codec=replace(task.codec, classes=("x", "y", "w"))),
        replace(task, unlabelled=task.val),
        replace(task, test=replace(task.test, y=task.test.y[::-1].copy())),
        replace(task, train=replace(task.train, numbers=task.train.numbers + 1)),
    ]
    assert len({t.fingerprint for t in [task, *others]}) == 6
    assert replace(task, notes=("read",)).fingerprint == task.fingerprint


def test_a_task_is_freed_with_its_last_name_whatever_was_asked_of_it():
    """One that held itself would outlive the memory that it shares with other processes."""
    task = replace(ragged_task(), posterior=None)
    for name in dir(type(task)):
        if not name.startswith("__") and not callable(getattr(type(task), name)):
            getattr(task, name)
    task.describe()
    seen = weakref.ref(task)
    gc.disable()
    try:
        del task
        assert seen() is None
    finally:
        gc.enable()


def test_rows_carry_their_numbers():
    task = ragged_task()
    some = task.train.rows(np.array([5, 2]))
    assert some.numbers.tolist() == [task.train.numbers[5], task.train.numbers[2]]
    assert np.array_equal((task.train + task.val).numbers, [*task.train.numbers, *task.val.numbers])


def test_self_pretraining_sees_training_rows_and_unlabelled_ones_and_copies_them_once():
    task = ragged_task()
    assert task.pretrain_rows is task.train
    extra = replace(task.train, y=np.full(len(task.train), -1))
    task = replace(task, unlabelled=extra)
    assert np.array_equal(task.pretrain_rows.x, np.concatenate([task.train.x, extra.x]))
    assert task.pretrain_rows is task.pretrain_rows


def test_shuffling_keeps_the_symbols_of_each_sequence_and_the_test_split():
    task = ragged_task()
    mixed = shuffled(task, 0)
    assert mixed.test is task.test
    assert mixed.fingerprint != task.fingerprint
    assert mixed.fingerprint == shuffled(task, 0).fingerprint != shuffled(task, 1).fingerprint
    for before, after, n in zip(task.train.x, mixed.train.x, task.train.lengths, strict=True):
        assert sorted(before[:n]) == sorted(after[:n])
        assert (after[n:] == before[n:]).all()


@pytest.mark.parametrize("per_row", [1, 2])
@pytest.mark.parametrize("index", [[0, 1, 2], [3, 4], [7], [0, 2, 5], [0, 2, 1, 3], [6, 7]])
def test_rows_are_taken_in_order_and_are_a_view_where_they_follow_each_other(per_row, index):
    generator = np.random.default_rng(0)
    x, lengths = generator.normal(size=(8 * per_row, 3, 2)), generator.integers(1, 4, size=8 * per_row)
    whole = Split(x, lengths, np.arange(8) % 3, generator.permutation(8), per_row)
    rows = whole.rows(np.array(index, dtype=np.int64))
    assert rows.x.tolist() == [x[per_row * row + s].tolist() for row in index for s in range(per_row)]
    assert rows.lengths.tolist() == [lengths[per_row * row + s] for row in index for s in range(per_row)]
    assert (rows.y.tolist(), rows.numbers.tolist()) == ([row % 3 for row in index], whole.numbers[index].tolist())
    assert rows.per_row == per_row
    assert np.shares_memory(rows.x, whole.x) == (index in ([0, 1, 2], [3, 4], [7], [6, 7]))
