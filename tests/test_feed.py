"""Batches: a function of the step, trimmed, and small on their way."""

from dataclasses import replace

import numpy as np
import torch

from conftest import ragged_task
from selfpretrain import feed as feeding
from selfpretrain.feed import Feed, evaluation_batches, make_batch
from selfpretrain.streams import batch_indices
from selfpretrain.tasks.task import Split

CPU = torch.device("cpu")


def feed_of(task, **settings):
    return Feed(task, "label", seed=3, batch_size=8, device=CPU, **settings)


def test_batch_t_holds_the_rows_of_step_t():
    task = ragged_task()
    for step in (0, 5, 2):
        batch = feed_of(task).batch(step)
        rows = task.train.rows(batch_indices(3, "label-batches", step, 8, len(task.train)))
        assert batch.y.tolist() == rows.y.tolist()
        assert batch.draws.rows.tolist() == rows.numbers.tolist()
        assert (batch.draws.seed, batch.draws.step) == (3, step)


def test_a_batch_is_trimmed_to_its_longest_sequence():
    task = ragged_task()
    batch = make_batch(task.train.rows(np.flatnonzero(task.train.lengths == 3)), CPU)
    assert batch.x.shape[1] == 3
    assert batch.keep_mask is None
    ragged = make_batch(task.train, CPU)
    assert ragged.keep_mask.sum(1).tolist() == task.train.lengths.tolist()


def test_symbols_are_small_in_the_task_and_indices_in_the_batch():
    task = ragged_task()
    assert task.train.x.dtype == np.uint8
    assert make_batch(task.train, CPU).x.dtype == torch.int64
    assert make_batch(ragged_task("values").train, CPU).x.dtype == torch.float32


def test_evaluation_batches_hold_so_many_positions_whatever_the_lengths(monkeypatch):
    task = ragged_task()
    monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", 21)
    sizes = [len(batch.y) for batch in evaluation_batches(task.val, CPU)]
    assert sizes == [3] * 5
    monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", 2)  # less than one sequence
    assert [len(batch.y) for batch in evaluation_batches(task.val, CPU)] == [1] * 15


def test_dropout_keys_are_there_where_something_is_dropped():
    assert feed_of(ragged_task()).batch(0).dropout_keys is None
    keys = feed_of(ragged_task(), dropout=True).batch(0).dropout_keys
    assert len(set(keys.tolist())) == 8


def test_the_training_sample_holds_every_class_whatever_the_order_of_the_rows():
    n = 2048
    rows = Split(np.arange(n)[:, None] % 5, np.ones(n, dtype=np.int64), np.arange(n) % 2)
    task = replace(ragged_task(), train=rows)
    y = [torch.cat([batch.y for batch in feed_of(task).train_sample()]) for _ in range(2)]
    counts = torch.bincount(y[0])
    assert int(counts.sum()) == feeding.TRAIN_SAMPLE
    assert abs(int(counts[0]) - int(counts[1])) < 100
    assert y[0].tolist() == y[1].tolist()
