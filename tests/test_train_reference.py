"""The loss without context, against slow counts; the lowest loss, against every way to fill the masks in."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import do, ragged_task, tiny_training
from selfpretrain.data.feed import Feed
from selfpretrain.data.load import load_task
from selfpretrain.data.task import shuffled
from selfpretrain.train import reference
from selfpretrain.train.objectives import Causal, Masked, make_objective
from selfpretrain.train.reference import loss_without_context, lowest_loss

CPU = torch.device("cpu")


def feed_of(task):
    return Feed(task, "pretrain", seed=3, batch_size=8, device=CPU)


def asked(task, objective):
    """Every entry that validation asks for: position, truth."""
    for batch in feed_of(task).validation():
        chosen = objective.choose(batch, batch.draws.keys("validation-masks"))
        for row, t in chosen.nonzero().tolist():
            yield t, batch.x[row, t + 1 if objective.name == "causal" else t]


def masked(task, **settings):
    return Masked(inputs=task.inputs, loss_name=settings.pop("loss_name", "l1"), **settings)


@pytest.mark.parametrize("name", ["masked", "causal"])
def test_frequencies_by_counting(name):
    task = load_task("proximity", symbols=4, length=9, sequences=80)
    objective = make_objective(name, {}, task.inputs)
    x, size = task.train.x.astype(int), 5
    overall = [(1 + (x == symbol).sum()) / (size + x.size) for symbol in range(size)]
    here = [
        [(size * overall[s] + (x[:, t] == s).sum()) / (size + len(x)) for s in range(size)] for t in range(x.shape[1])
    ]
    entries = list(asked(task, objective))
    shift = 1 if name == "causal" else 0
    pooled = np.mean([-np.log(overall[truth]) for _, truth in entries])
    placed = np.mean([-np.log(here[t + shift][truth]) for t, truth in entries])
    found = loss_without_context(objective, feed_of(task))
    assert found == pytest.approx(min(pooled, placed), rel=1e-5)


def test_by_position_wins_where_positions_differ():
    task = load_task("noise", symbols=4, length=8, sequences=400)
    fixed = replace(task, train=placed(task.train), val=placed(task.val))
    found = [loss_without_context(masked(each), feed_of(each)) for each in (task, fixed)]
    assert found[0] == pytest.approx(np.log(4), abs=0.05)
    assert found[1] < 0.3


def placed(split):
    """Every position has its own symbol."""
    return replace(split, x=np.broadcast_to(np.arange(split.x.shape[1]) % 4, split.x.shape).astype(split.x.dtype))


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_medians_and_means_of_ragged_values_by_loops(loss):
    task = ragged_task("values")
    objective = masked(task, loss_name=loss)
    real = np.concatenate([x[:n] for x, n in zip(task.train.x, task.train.lengths, strict=True)]).astype(np.float64)
    best = np.median(real, axis=0) if loss == "l1" else real.mean(axis=0)
    errors = [truth.numpy() - best for _, truth in asked(task, objective)]
    expected = np.mean(np.abs(errors) if loss == "l1" else np.square(errors))
    assert loss_without_context(objective, feed_of(task)) == pytest.approx(expected, rel=1e-5)


def test_a_training_says_both_losses_and_label_training_neither(tmp_path, tiny_task):
    label = tiny_training(tiny_task, "spt")
    found = do(label.source, tiny_task, tmp_path).result
    assert found.val_reconstruction > 0
    feed = Feed(tiny_task, "pretrain", seed=0, batch_size=1, device=CPU)
    expected = loss_without_context(masked(tiny_task, **label.source.settings), feed)
    assert found.val_without_context == pytest.approx(expected)
    assert found.val_lowest < expected
    after = do(label, tiny_task, tmp_path).result
    assert (after.val_reconstruction, after.val_without_context, after.val_lowest) == (None, None, None)


LAWS = {
    "mirror": lambda p: [(1, p, 1), (-1, p, 1)],
    "steps": lambda p: [(1, p, 1), (2, p, 1)],
    "strength": lambda p: [(1, p, 1), (1, 0.4 * p, 1)],
    "lag": lambda p: [(1, p, 1), (1, p, 2)],
}
"""Step, probability and lag of each class."""


def probability_by_hand(x, symbols, classes):
    """Of a whole sequence, both classes alike."""
    found = 0.0
    for step, p, lag in classes:
        chance = 1.0
        for t in range(len(x)):
            chance *= 1 / symbols if t < lag else p * (x[t] == (x[t - lag] + step) % symbols) + (1 - p) / symbols
        found += chance / 2
    return found


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("p", [0.0, 0.5, 0.9, 1.0])
def test_what_the_chain_says_of_hidden_symbols_is_what_counting_all_of_them_says(p, law):
    symbols, seen = 3, np.array([[0, -1, -1, 0, -1], [-1, 1, -1, -1, 0], [-1, -1, -1, -1, -1]])
    options = {"symbols": symbols, "probability": p, "length": 5, "sequences": 90, "law": law}
    found = np.exp(load_task("proximity", **options).posterior(seen))
    for row, filled in zip(seen, found, strict=True):
        expected = np.zeros((5, symbols))
        for whole in itertools.product(range(symbols), repeat=5):
            if all(s in (-1, w) for s, w in zip(row, whole, strict=True)):
                expected[np.arange(5), whole] += probability_by_hand(whole, symbols, LAWS[law](p))
        if expected.any():  # at p = 1 the first two cannot be
            np.testing.assert_allclose(filled, expected / expected.sum(1, keepdims=True), atol=1e-12)


def test_long_chains_neither_vanish_nor_overflow():
    task = load_task("proximity", length=3000, max_length=3000, sequences=20)
    x = task.train.x.astype(int)
    x[:, ::2] = -1
    found = np.exp(task.posterior(x))
    np.testing.assert_allclose(found.sum(-1), 1.0)
    assert found.max(-1)[x < 0].mean() > 0.4  # neighbours say something


def test_the_lowest_loss_lies_below_that_without_context_and_is_of_this_task_alone():
    task = load_task("proximity", sequences=400)
    objective = masked(task)
    lowest = lowest_loss(objective, feed_of(task), task.posterior)
    truths = []
    for batch in feed_of(task).validation():
        chosen = objective.choose(batch, batch.draws.keys("validation-masks")).numpy()
        x = batch.x.long().numpy()
        known = task.posterior(np.where(chosen, -1, x))
        truths += [-known[row, t, x[row, t]] for row, t in np.argwhere(chosen)]
    assert lowest == pytest.approx(np.mean(truths), rel=1e-6)
    assert lowest < loss_without_context(objective, feed_of(task)) - 0.3
    assert lowest_loss(Causal(inputs=task.inputs), feed_of(task), task.posterior) is None
    for other in (shuffled(task, 0), load_task("noise"), load_task("digits")):
        assert other.posterior is None


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_of_very_many_positions_some_rows_are_taken_at_even_distances(monkeypatch, kind):
    """torch takes no median of more than 2**24 numbers, which images of the Long Range Arena have."""
    task = ragged_task(kind)
    few = replace(task, train=task.train.rows(np.array([0, 9, 19, 29])))
    monkeypatch.setattr(reference, "TABLE_POSITIONS", 4 * task.length + 3)
    found = loss_without_context(masked(task), feed_of(task))
    monkeypatch.undo()
    assert found == loss_without_context(masked(task), feed_of(few))
    assert found != loss_without_context(masked(task), feed_of(task))


def test_the_limit_is_what_torch_takes():
    assert torch.zeros(reference.TABLE_POSITIONS, dtype=torch.float64).quantile(0.5) == 0
    with pytest.raises(RuntimeError, match="too large"):
        torch.zeros(reference.TABLE_POSITIONS + 1).quantile(0.5)
