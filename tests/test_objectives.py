"""Losses against explicit loops in float64, and what they must not depend on."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import LENGTH, TINY_MODEL, ragged_task
from selfpretrain import feed as feeding
from selfpretrain.config import ObjectiveConfig
from selfpretrain.feed import Feed, evaluation_batches, make_batch
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.objectives.joint import JointObjective
from selfpretrain.objectives.labels import LabelObjective, label_losses, label_metrics, predict_logits
from selfpretrain.objectives.masking import draw_mask
from selfpretrain.objectives.reconstruction import ReconstructionObjective, entry_losses, reconstruction_losses
from selfpretrain.streams import torch_stream

CPU = torch.device("cpu")


def model_of(task, **settings):
    config = replace(TINY_MODEL, **settings)
    return SequenceModel(config, task.inputs, generator=torch_stream(1, "init")).double().eval()


def batch_of(task, step=0, seed=3):
    batch = make_batch(task.train, CPU, seed=seed, step=step)
    return replace(batch, x=batch.x.double() if batch.x.is_floating_point() else batch.x)


def mask_of(batch, ratio=0.5):
    return draw_mask(batch.draws.keys("masks"), batch.keep_mask, LENGTH, ratio)


def feed_of(task):
    return Feed(task, "label", seed=3, batch_size=8, device=CPU)


def test_cross_entropy_of_masked_symbols_by_loops():
    task = ragged_task()
    model, batch = model_of(task), batch_of(task, step=5)
    mask = mask_of(batch, 0.4)
    hidden = batch.x.clone()
    hidden[mask] = 6
    everywhere = model(hidden, batch.keep_mask, torch.ones_like(mask)).view(len(batch.x), LENGTH, -1)
    total, count = 0.0, 0
    for b in range(len(batch.x)):
        for t in range(LENGTH):
            if mask[b, t]:
                logits = everywhere[b, t].tolist()
                total += math.log(sum(map(math.exp, logits))) - logits[batch.x[b, t]]
                count += 1
    objective = ReconstructionObjective(ObjectiveConfig(mask_ratio=0.4), task.inputs)
    assert objective.loss(model, batch).item() == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_value_losses_by_loops(name, power):
    task = ragged_task("values")
    model, batch = model_of(task), batch_of(task)
    mask = mask_of(batch)
    flag = mask[..., None].double()
    out = model(torch.cat((batch.x * (1 - flag), flag), -1), batch.keep_mask, torch.ones_like(mask))
    out = out.view(*batch.x.shape)
    errors = [
        abs(out[b, t, c].item() - batch.x[b, t, c].item()) ** power
        for b in range(len(batch.x))
        for t in range(LENGTH)
        for c in range(2)
        if mask[b, t]
    ]
    objective = ReconstructionObjective(ObjectiveConfig(value_loss=name), task.inputs)
    assert objective.loss(model, batch).item() == pytest.approx(float(np.mean(errors)), rel=1e-9)


def test_causal_loss_predicts_the_next_real_position():
    task = ragged_task()
    model, batch = model_of(task, causal=True), batch_of(task)
    everywhere = model(batch.x, batch.keep_mask, torch.ones_like(batch.keep_mask))
    log_p = everywhere.log_softmax(-1).view(len(batch.x), LENGTH, -1)
    losses = [
        -log_p[b, t, batch.x[b, t + 1]].item()
        for b, n in enumerate(batch.keep_mask.sum(1).tolist())
        for t in range(n - 1)
    ]
    objective = ReconstructionObjective(ObjectiveConfig(objective="causal"), task.inputs)
    assert objective.loss(model, batch).item() == pytest.approx(float(np.mean(losses)), rel=1e-9)


def test_label_loss_and_metrics_by_loops():
    task = ragged_task()
    model, batch = model_of(task), batch_of(task)
    logits = model(batch.x, batch.keep_mask).tolist()
    losses = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(logits, batch.y.tolist(), strict=True)]
    hits = [row.index(max(row)) == y for row, y in zip(logits, batch.y.tolist(), strict=True)]
    assert LabelObjective(task.inputs).loss(model, batch).item() == pytest.approx(float(np.mean(losses)), rel=1e-9)
    assert label_losses(model, batch, task.inputs).tolist() == pytest.approx(losses, rel=1e-9)
    metrics = label_metrics(model, evaluation_batches(task.train, CPU), task.inputs)
    assert (metrics.loss, metrics.acc) == pytest.approx((float(np.mean(losses)), float(np.mean(hits))), rel=1e-9)


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_the_mean_of_each_sequence_is_its_own_loss(kind):
    task = ragged_task(kind)
    model, batch = model_of(task), batch_of(task)
    chosen = mask_of(batch)
    each = reconstruction_losses(model, batch, chosen, ObjectiveConfig(), task.inputs)
    for b in (0, 4, 9):
        alone = entry_losses(model, batch, chosen, ObjectiveConfig(), task.inputs)[chosen.nonzero()[:, 0] == b]
        assert each[b].item() == pytest.approx(alone.mean().item(), rel=1e-9)


def test_joint_is_the_weighted_sum():
    task, config = ragged_task(), ObjectiveConfig(joint_weight=0.25)
    model, batch = model_of(task), batch_of(task)
    label = LabelObjective(task.inputs).loss(model, batch).item()
    masked = ReconstructionObjective(config, task.inputs).loss(model, batch).item()
    assert JointObjective(config, task.inputs).loss(model, batch).item() == pytest.approx(label + 0.25 * masked)


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_leaks_into_no_loss(kind, causal):
    """What stands in the padding changes nothing."""
    task = ragged_task(kind)
    model, batch = model_of(task, causal=causal), batch_of(task)
    keep = batch.keep_mask[..., None].expand_as(batch.x) if batch.x.ndim == 3 else batch.keep_mask
    other = replace(batch, x=torch.where(keep, batch.x, torch.full_like(batch.x, 3)))
    config = ObjectiveConfig(objective="causal" if causal else "masked")
    for objective in (LabelObjective(task.inputs), ReconstructionObjective(config, task.inputs)):
        assert objective.loss(model, batch).item() == objective.loss(model, other).item()


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "last"])
@torch.inference_mode()
def test_evaluation_does_not_depend_on_the_batches_or_the_order(kind, pooling, monkeypatch):
    """Sorted, packed otherwise, in batches of another size: the same numbers to rounding."""
    task = ragged_task(kind)
    model = model_of(task, pooling=pooling).float()
    masked = ReconstructionObjective(ObjectiveConfig(), task.inputs)

    def numbers():
        rows = task.val.rows(np.argsort(task.val.lengths, kind="stable"))
        by_length = feed_of(replace(task, val=rows))
        logits = predict_logits(model, by_length.validation(), task.inputs)
        in_order = logits[np.argsort(np.argsort(task.val.lengths, kind="stable"))]
        return in_order, masked.validate(model, by_length)["val_loss"]

    whole = predict_logits(model, evaluation_batches(task.val, CPU), task.inputs)
    loss = masked.validate(model, feed_of(task))["val_loss"]
    for positions in (1, 20, 10_000):
        monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", positions)
        found, other_loss = numbers()
        torch.testing.assert_close(found.float(), whole.float())
        assert other_loss == pytest.approx(loss, rel=1e-6)


@torch.inference_mode()
def test_validation_masks_stay_and_training_masks_change():
    task = ragged_task()
    model, objective = model_of(task), ReconstructionObjective(ObjectiveConfig(), task.inputs)
    assert objective.validate(model, feed_of(task)) == objective.validate(model, feed_of(task))
    losses = [objective.loss(model, batch_of(task, step)).item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
