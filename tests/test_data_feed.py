"""Batches: a function of the step, trimmed, and small on their way; partners of rows; the training sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import ragged_task
from selfpretrain.data import feed as feeding
from selfpretrain.data.feed import Feed, evaluation_batches, make_batch
from selfpretrain.data.task import Split
from selfpretrain.draws import Draws, words
from selfpretrain.streams import batch_indices

CPU = torch.device("cpu")


def feed_of(task, batch_size=8, **settings):
    return Feed(task, "label", seed=3, batch_size=batch_size, device=CPU, **settings)


def test_batch_t_holds_the_rows_of_step_t():
    task = ragged_task()
    for step in (0, 5, 2):
        batch = feed_of(task).batch(step)
        rows = task.train.rows(batch_indices(3, "label-batches", step, 8, len(task.train)))
        assert batch.y.tolist() == rows.y.tolist()
        assert batch.draws.rows.tolist() == rows.numbers.tolist()
        assert (batch.draws.seed, batch.draws.step, batch.partner) == (3, step, None)


def test_a_batch_is_trimmed_to_its_longest_sequence():
    task = ragged_task()
    batch = make_batch(task.train.rows(np.flatnonzero(task.train.lengths == 3)), CPU)
    assert (batch.x.shape[1], batch.keep_mask, batch.real.all()) == (3, None, True)
    ragged = make_batch(task.train, CPU)
    assert ragged.real.sum(1).tolist() == ragged.lengths.tolist() == task.train.lengths.tolist()


def test_symbols_are_small_in_the_task_and_indices_in_the_batch():
    task = ragged_task()
    assert task.train.x.dtype == np.uint8
    assert make_batch(task.train, CPU).x.dtype == torch.int64
    assert make_batch(ragged_task("values").train, CPU).x.dtype == torch.float32


def test_evaluation_batches_hold_so_many_positions_whatever_the_lengths(monkeypatch):
    task = ragged_task()
    monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", 21)
    assert [len(batch.y) for batch in evaluation_batches(task.val, CPU)] == [3] * 5
    monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", 2)  # less than one sequence
    assert [len(batch.y) for batch in evaluation_batches(task.val, CPU)] == [1] * 15


def test_dropout_keys_are_there_where_something_is_dropped():
    assert feed_of(ragged_task()).batch(0).dropout_keys is None
    keys = feed_of(ragged_task(), dropout=True).batch(0).dropout_keys
    assert len(set(keys.tolist())) == 8


# Sequences that stay on the device.


@pytest.mark.parametrize("kind", ["symbols", "values", "pairs"])
def test_batches_of_sequences_that_stay_on_the_device_are_those_that_are_copied(monkeypatch, kind):
    task = pair_task() if kind == "pairs" else ragged_task(kind)
    copied = [feed_of(task, dropout=True).batch(step) for step in range(6)]
    monkeypatch.setattr(feeding, "resident", lambda x, device: torch.tensor(x))
    feed = feed_of(task, dropout=True)
    for step, batch in enumerate(copied):
        gathered = feed.batch(step)
        assert gathered.x.dtype == batch.x.dtype and torch.equal(gathered.x, batch.x)
        assert torch.equal(gathered.real, batch.real) and torch.equal(gathered.y, batch.y)
        assert torch.equal(gathered.draws.rows, batch.draws.rows)
        assert torch.equal(gathered.dropout_keys, batch.dropout_keys)


@pytest.mark.parametrize(("free", "stays"), [(4, True), (3, False)])
def test_sequences_stay_on_a_gpu_that_has_room(monkeypatch, free, stays):
    x = np.zeros((8, 16), np.float32)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * x.nbytes, 0))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)  # there is no GPU here
    assert (feeding.resident(x, torch.device("cuda")) is not None) == stays
    wide = feeding.resident(np.full((8, 8), 300, np.uint16), torch.device("cuda"))  # as many bytes on the device
    assert wide.tolist() == [[300] * 8] * 8 and wide.dtype == torch.int64 if stays else wide is None
    assert feeding.resident(x, CPU) is None and feeding.resident(x, torch.device("mps")) is None


# Partners.


def pair_task():
    """The same rows as pairs of sequences."""
    task = ragged_task(n=120)
    halves = [
        Split(split.x, split.lengths, split.y[::2], split.numbers[::2], per_row=2)
        for split in (task.train, task.val, task.test)
    ]
    return replace(task, codec=replace(task.codec, per_row=2), train=halves[0], val=halves[1], test=halves[2])


def partners(batch):
    """The number of each row's partner by (step, row number)."""
    rows, others = (b.draws.rows[:: b.per_row] // b.per_row for b in (batch, batch.partner))
    return {(batch.draws.step, row): other for row, other in zip(rows.tolist(), others.tolist(), strict=True)}


@pytest.mark.parametrize("make", [ragged_task, pair_task])
def test_a_partner_is_drawn_by_seed_step_and_row_and_not_by_the_batch(make):
    task = make()
    drawn = {}
    for batch_size in (len(task.train), 4, 7):  # the same step in batches of other sizes and orders
        for step in range(3):
            for key, partner in partners(feed_of(task, batch_size, partners=True).batch(step)).items():
                assert drawn.setdefault(key, partner) == partner
    numbers = task.train.numbers.tolist()
    for (step, row), partner in drawn.items():  # so many rows after the own one, round a ring
        key = Draws(3, step, torch.tensor([row])).keys("partner")
        share = (int(words(key, 1)[0, 0]) >> 32) % 2**32 / 2**32
        ahead = 1 + int(share * (len(numbers) - 1))
        assert partner == numbers[(numbers.index(row) + ahead) % len(numbers)] != row
    assert len(drawn) == 3 * len(numbers)
    assert len({drawn[step, numbers[0]] for step in range(3)}) > 1


@pytest.mark.parametrize("make", [ragged_task, pair_task])
def test_a_partner_comes_with_its_sequences_and_its_class(make):
    task = make()
    batches = [(feed_of(task, partners=True).batch(1), task.train)]
    batches += [(batch, task.val) for batch in feed_of(task, partners=True).validation()]
    for batch, split in batches:
        assert len(batch.partner.y) == len(batch.y)
        for k, number in enumerate(partners(batch).values()):
            (place,) = np.flatnonzero(split.numbers == number)
            assert batch.partner.y[k] == split.y[place]
            for s in range(split.per_row):
                x, n = batch.partner.x[split.per_row * k + s], split.lengths[split.per_row * place + s]
                assert x[:n].tolist() == split.x[split.per_row * place + s, :n].tolist()
                assert batch.partner.lengths[split.per_row * k + s] == n


def test_an_only_row_is_its_own_partner():
    task = ragged_task()
    only = replace(task, train=task.train.rows(np.array([2])))
    assert partners(feed_of(only, 1, partners=True).batch(0)) == {(0, task.train.numbers[2]): task.train.numbers[2]}


# The training sample.


def test_the_training_sample_is_drawn_at_random_once(monkeypatch):
    """Rows sorted by class, as a file may have them: its first rows would all be of one class."""
    draws = []
    monkeypatch.setattr(feeding, "numpy_stream", lambda *names: draws.append(names) or np.random.default_rng(names[0]))
    n = 2048
    rows = Split(np.arange(n)[:, None] % 5, np.ones(n, dtype=np.int64), np.sort(np.arange(n) % 2))
    feed = feed_of(replace(ragged_task(), train=rows))
    y = [torch.cat([batch.y for batch in feed.train_sample()]) for _ in range(3)]
    counts = torch.bincount(y[0])
    assert int(counts.sum()) == feeding.TRAIN_SAMPLE
    assert abs(int(counts[0]) - int(counts[1])) < 100
    assert y[0].tolist() == y[1].tolist() == y[2].tolist()
    assert draws == [(0, "train-sample")]
