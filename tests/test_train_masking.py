"""Masking: inside, never empty, of the stated share, and a row's own affair."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import ragged_task
from selfpretrain.data.feed import make_batch
from selfpretrain.draws import Draws, below, bernoulli
from selfpretrain.train.objectives import draw_mask, make_objective

CPU = torch.device("cpu")


def keys_of(n, seed=0):
    return Draws(seed, 0, torch.arange(n)).keys("masks")


@given(
    ratio=st.floats(0.01, 0.99),
    span=st.integers(1, 12),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
def test_a_mask_stays_inside_and_is_never_empty(ratio, span, lengths, seed):
    keep = torch.arange(9) < torch.tensor(lengths)[:, None]
    mask = draw_mask(keys_of(len(lengths), seed), keep, 9, ratio, span)
    assert not (mask & ~keep).any()
    assert mask.any(1).all()


@pytest.mark.parametrize("span", [1, 4])
def test_the_masked_share_is_the_ratio(span):
    mask = draw_mask(keys_of(400), None, 100, 0.3, span)[:, span:]
    # 400 independent rows: five standard errors of their mean.
    shares = mask.double().mean(1)
    assert abs(shares.mean() - 0.3) < 5 * shares.std() / math.sqrt(400)


def test_independent_masks_are_independent_and_spans_are_not():
    for span, dependent in ((1, False), (5, True)):
        mask = draw_mask(keys_of(2000), None, 50, 0.5, span).numpy()
        p = stats.pearsonr(mask[:, 20], mask[:, 21]).pvalue
        assert (p < 1e-6) == dependent


def test_spans_by_loops():
    starts = bernoulli(keys_of(30), 20, 1 - (1 - 0.4) ** (1 / 3))
    spans = draw_mask(keys_of(30), None, 20, 0.4, 3)
    for b in starts.any(1).nonzero()[:, 0].tolist():
        for t in range(20):
            assert spans[b, t] == any(starts[b, s] for s in range(max(0, t - 2), t + 1))


def test_a_bare_sequence_gets_one_position_drawn_uniformly():
    keep = torch.arange(6) < torch.tensor([[5]] * 3000)
    mask = draw_mask(keys_of(3000), keep, 6, 1e-9)
    assert (mask.sum(1) == 1).all()
    assert mask.int().argmax(1).tolist() == below(keys_of(3000), 5).tolist()
    assert stats.chisquare(np.bincount(mask.int().argmax(1), minlength=5)[:5]).pvalue > 1e-3


@pytest.mark.parametrize(("name", "settings"), [("masked", {}), ("span", {"span_length": 3})])
def test_a_rows_mask_depends_on_seed_step_and_row_alone(name, settings):
    task = ragged_task()
    objective = make_objective(name, {"mask_ratio": 0.3, **settings}, task.inputs)

    def mask_of(rows, seed=1, step=4):
        batch = make_batch(rows, CPU, seed=seed, step=step)
        return objective.choose(batch, batch.draws.keys("masks"))

    whole = mask_of(task.train)
    order = np.random.default_rng(0).permutation(len(task.train))[:11]
    some = mask_of(task.train.rows(order))  # others beside it, in another order, with other padding
    assert torch.equal(some, whole[order][:, : some.shape[1]])
    for row in (0, 7):
        alone = mask_of(task.train.rows(np.array([row])))
        assert torch.equal(alone[0], whole[row, : alone.shape[1]])
    for other in ({"seed": 2}, {"step": 5}):
        assert not torch.equal(mask_of(task.train, **other), whole)
    renumbered = replace(task.train, numbers=task.train.numbers + 1000)
    assert not torch.equal(mask_of(renumbered), whole)
