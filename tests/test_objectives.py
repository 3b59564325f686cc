"""Masking, and losses against explicit loops in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conftest import LENGTH, TINY_MODEL, ragged_task, spec, tiny_model
from selfpretrain.arms import input_spec
from selfpretrain.config import ObjectiveConfig
from selfpretrain.model import SequenceModel
from selfpretrain.objectives import (
    JointObjective,
    LabelObjective,
    ReconstructionObjective,
    draw_mask,
    make_batch,
    model_inputs,
)
from selfpretrain.streams import torch_stream
from selfpretrain.tasks import Split, Task

CPU = torch.device("cpu")


def model_of(task, causal=False):
    return SequenceModel(TINY_MODEL, input_spec(task), causal=causal, generator=torch_stream(1, "init")).double()


def double(batch):
    return replace(batch, x=batch.x.double() if batch.x.is_floating_point() else batch.x)


@given(
    ratio=st.floats(0.01, 0.99),
    span=st.integers(1, 6),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
def test_a_mask_stays_inside_and_is_never_empty(ratio, span, lengths, seed):
    keep = torch.arange(9) < torch.tensor(lengths)[:, None]
    mask = draw_mask(keep, ratio, span, torch.Generator().manual_seed(seed))
    assert not (mask & ~keep).any()
    assert mask.any(1).all()


@pytest.mark.parametrize("span", [1, 4])
def test_the_masked_share_is_the_ratio(span):
    keep = torch.ones(400, 100, dtype=torch.bool)
    mask = draw_mask(keep, 0.3, span, torch.Generator().manual_seed(0))[:, span:]
    # 400 independent rows: five standard errors of their mean.
    shares = mask.double().mean(1)
    assert abs(shares.mean() - 0.3) < 5 * shares.std() / math.sqrt(400)


def test_independent_masks_are_independent_and_spans_are_not():
    keep = torch.ones(2000, 50, dtype=torch.bool)
    for span, dependent in ((1, False), (5, True)):
        mask = draw_mask(keep, 0.5, span, torch.Generator().manual_seed(0)).numpy()
        p = stats.pearsonr(mask[:, 20], mask[:, 21]).pvalue
        assert (p < 1e-6) == dependent


def test_masks_differ_by_step_and_not_by_call():
    task = ragged_task()
    objective = ReconstructionObjective(task, ObjectiveConfig(), seed=0)
    model, batch = tiny_model(), make_batch(task.train, CPU)
    first, again, second = (objective.loss(model, batch, step).item() for step in (0, 0, 1))
    assert first == again != second


def test_model_inputs_hide_what_is_masked():
    mask = torch.tensor([[True, False, True]])
    symbols = model_inputs(torch.tensor([[1, 2, 3]]), mask, spec())
    assert symbols.tolist() == [[6, 2, 6]]
    values = model_inputs(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]), mask, spec("values"))
    assert values.tolist() == [[[0, 0, 1], [3, 4, 0], [0, 0, 1]]]
    assert model_inputs(torch.ones(1, 3, 2), None, spec("values"))[..., 2].tolist() == [[0, 0, 0]]


def test_cross_entropy_of_masked_symbols_by_loops():
    task = ragged_task()
    model, batch = model_of(task).eval(), make_batch(task.train, CPU)
    objective = ReconstructionObjective(task, ObjectiveConfig(mask_ratio=0.4), seed=3)
    mask = draw_mask(batch.keep_mask, 0.4, 1, torch_stream(3, "masks", 5))
    hidden = batch.x.clone()
    hidden[mask] = 6
    everywhere = model.reconstruct(hidden, batch.keep_mask, torch.ones_like(mask)).view(len(batch.x), LENGTH, -1)
    total, count = 0.0, 0
    for b in range(len(batch.x)):
        for t in range(LENGTH):
            if mask[b, t]:
                logits = everywhere[b, t].tolist()
                total += math.log(sum(map(math.exp, logits))) - logits[batch.x[b, t]]
                count += 1
    assert objective.loss(model, batch, 5).item() == pytest.approx(total / count, rel=1e-6)


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_value_losses_by_loops(name, power):
    task = ragged_task("values")
    model, batch = model_of(task).eval(), double(make_batch(task.train, CPU))
    objective = ReconstructionObjective(task, ObjectiveConfig(value_loss=name), seed=3)
    mask = draw_mask(batch.keep_mask, 0.5, 1, torch_stream(3, "masks", 2))
    flag = mask[..., None].double()
    out = model.reconstruct(torch.cat((batch.x * (1 - flag), flag), -1), batch.keep_mask, torch.ones_like(mask))
    out = out.view(*batch.x.shape)
    errors = [
        abs(out[b, t, c].item() - batch.x[b, t, c].item()) ** power
        for b in range(len(batch.x))
        for t in range(LENGTH)
        for c in range(2)
        if mask[b, t]
    ]
    assert objective.loss(model, batch, 2).item() == pytest.approx(float(np.mean(errors)), rel=1e-6)


def test_causal_loss_predicts_the_next_real_position():
    task = ragged_task()
    model, batch = model_of(task, causal=True).eval(), make_batch(task.train, CPU)
    objective = ReconstructionObjective(task, ObjectiveConfig(objective="causal"), seed=0)
    everywhere = model.reconstruct(batch.x, batch.keep_mask, torch.ones_like(batch.keep_mask))
    log_p = everywhere.log_softmax(-1).view(len(batch.x), LENGTH, -1)
    losses = [
        -log_p[b, t, batch.x[b, t + 1]].item()
        for b, n in enumerate(batch.keep_mask.sum(1).tolist())
        for t in range(n - 1)
    ]
    assert objective.loss(model, batch, 0).item() == pytest.approx(float(np.mean(losses)), rel=1e-6)


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_padding_leaks_into_no_loss(kind):
    """What stands in the padding, and how much of it there is, changes nothing."""
    task = ragged_task(kind)
    model, batch = model_of(task).eval(), double(make_batch(task.train, CPU))
    other = replace(batch, x=torch.where(_like(batch.keep_mask, batch.x), batch.x, torch.full_like(batch.x, 3)))
    for objective in (LabelObjective(task), ReconstructionObjective(task, ObjectiveConfig(), seed=0)):
        assert objective.loss(model, batch, 0).item() == objective.loss(model, other, 0).item()


def _like(mask, x):
    return mask[..., None].expand_as(x) if x.ndim == 3 else mask


def test_label_loss_by_loops():
    task = ragged_task()
    model, batch = model_of(task).eval(), make_batch(task.train, CPU)
    logits = model.classify(batch.x, batch.keep_mask).tolist()
    losses = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(logits, batch.y.tolist(), strict=True)]
    assert LabelObjective(task).loss(model, batch, 0).item() == pytest.approx(float(np.mean(losses)), rel=1e-6)


def test_joint_is_the_weighted_sum():
    task = ragged_task()
    model, batch = tiny_model().eval(), make_batch(task.train, CPU)
    config = ObjectiveConfig(joint_weight=0.25)
    parts = [LabelObjective(task), ReconstructionObjective(task, config, seed=0)]
    label, masked = (part.loss(model, batch, 4).item() for part in parts)
    assert JointObjective(task, config, seed=0).loss(model, batch, 4).item() == pytest.approx(label + 0.25 * masked)


def test_self_pretraining_never_sees_validation_or_test_rows():
    task = ragged_task()
    extra = replace(task.train, y=np.full(len(task.train), -1))
    task = replace(task, unlabelled=extra)
    rows = ReconstructionObjective(task, ObjectiveConfig(), seed=0).rows
    assert len(rows) == 2 * len(task.train)
    assert np.array_equal(rows.x, np.concatenate([task.train.x, extra.x]))
    assert len(LabelObjective(task).rows) == len(task.train)


def test_a_batch_is_trimmed_to_its_longest_sequence():
    task = ragged_task()
    short = task.train.rows(np.flatnonzero(task.train.lengths == 3))
    batch = make_batch(short, CPU)
    assert batch.x.shape[1] == 3
    assert batch.keep_mask is None


def test_the_training_probe_holds_every_class_whatever_the_order_of_the_rows():
    n = 2048
    rows = Split(np.arange(n)[:, None] % 5, np.ones(n, dtype=np.int64), np.arange(n) % 2)
    task = Task("alternating", "symbols", ("a", "b"), tuple("01234"), rows, rows, rows)
    counts = np.bincount(LabelObjective(task).probe.y)
    assert len(counts) == 2
    assert abs(counts[0] - counts[1]) < 100
    assert LabelObjective(task).probe.x.tolist() == LabelObjective(task).probe.x.tolist()
