"""Losses against explicit loops in float64, what they must not depend on, and what holds for every objective."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chisquare

from conftest import LENGTH, TINY_MODEL, do, ragged_task, tiny_config, tiny_model
from selfpretrain.comparison.request import Request
from selfpretrain.config import ObjectiveConfig
from selfpretrain.data import feed as feeding
from selfpretrain.data.feed import Feed, evaluation_batches, make_batch
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.load import load_task
from selfpretrain.draws import permutation
from selfpretrain.errors import Interrupted
from selfpretrain.files import from_dict, to_dict
from selfpretrain.model.transformer import Outputs, fresh_model
from selfpretrain.registry import OBJECTIVES
from selfpretrain.train.objectives import (
    CORRUPTED,
    HIDDEN,
    REPLACED,
    SMOOTHING,
    Causal,
    CutMix,
    Joint,
    JointCorrupted,
    Labels,
    Masked,
    MaskedLabels,
    Smoothing,
    class_logits,
    corrupted,
    cut_and_mixed,
    draw_mask,
    label_losses,
    label_metrics,
    make_objective,
    predict_logits,
)
from selfpretrain.train.reference import lowest_loss
from selfpretrain.train.store import Store
from selfpretrain.train.training import Training
from selfpretrain.train.work import TrainJob, step_flops
from selfpretrain.watch import ignore

CPU = torch.device("cpu")
BOTH_KINDS = pytest.mark.parametrize("kind", ["symbols", "values"])


def model_of(task, **settings):
    return fresh_model(replace(TINY_MODEL, **settings), task.inputs, 1).double().eval()


def feed_of(task, *, partners=False, seed=3, size=8, phase="label"):
    return Feed(task, phase, seed=seed, batch_size=size, device=CPU, partners=partners)


def double(batch):
    return replace(batch, x=batch.x.double() if batch.x.is_floating_point() else batch.x)


def batch_of(task, step=0):
    """All training rows, in order."""
    return double(make_batch(task.train, CPU, seed=3, step=step))


def drawn_batch(kind, step=0, *, partners=True, size=16):
    return feed_of(ragged_task(kind), partners=partners, seed=1, size=size).batch(step)


def mask_of(batch, ratio=0.5):
    return draw_mask(batch.draws.keys("masks"), batch.keep_mask, LENGTH, ratio)


# Every objective.


def training_of(name, task, **objective):
    """A short training with an objective, whatever its phase."""
    config = tiny_config(objective=ObjectiveConfig(objective=name if name in PRETRAINING else "masked", **objective))
    request = Request(config, task)
    return request.pretraining(0, 1e-2) if name in PRETRAINING else request.labels(0, 1e-2, objective=name)


PRETRAINING = [name for name, objective in OBJECTIVES.items() if objective.phase == "pretrain"]


@pytest.mark.parametrize("name", OBJECTIVES)
@BOTH_KINDS
def test_every_objective_trains_costs_and_goes_on(name, kind, tmp_path):
    """Planned, trained and interrupted; one that recomputes activations and then goes on ends with the same bits."""
    task = ragged_task(kind)
    training = training_of(name, task)
    own = {field.name for field in fields(OBJECTIVES[name])} - {"inputs"}
    assert set(training.settings) <= own
    assert from_dict(Training, to_dict(training)).key == training.key
    assert step_flops(training, task) > 0
    whole, asked = do(training, task, tmp_path / "whole"), iter([False] * 5 + [True])
    with pytest.raises(Interrupted):
        store = Store(tmp_path / "stopped", {task.fingerprint: task})
        TrainJob(name=name, training=training, recompute=True).perform(store, ignore, lambda: next(asked))
    again = do(training, task, tmp_path / "stopped")
    assert whole.result.failure is None and whole.result.steps == training.plan.steps
    assert all(math.isfinite(value) for row in whole.rows for value in row.values() if isinstance(value, float))
    assert all(weight.isfinite().all() for weight in whole.weights.values())
    start = fresh_model(training.model, task.inputs, 0).state_dict()
    assert any(not torch.equal(weight, start[name]) for name, weight in whole.weights.items())
    assert all(torch.equal(weight, again.weights[name]) for name, weight in whole.weights.items())
    timeless = {"seconds": 0, "step_seconds": 0, "peak_memory_bytes": 0}
    assert replace(whole.result, **timeless) == replace(again.result, **timeless)


def test_an_objective_has_the_settings_that_it_uses_and_no_others():
    config = ObjectiveConfig(objective="span", span_length=3, value_loss="l2", joint_weight=2.0, mask_ratio=0.2)
    values, symbols = (
        {name: objective.settings(config, KINDS[kind]) for name, objective in OBJECTIVES.items()}
        for kind in ("values", "symbols")
    )
    assert values["labels"] == values["cutmix"] == values["smoothing"] == values["masked-labels"] == {}
    assert values["causal"] == {"loss_name": "l2", "control": "none"}
    assert values["masked"] == values["causal"] | {"mask_ratio": 0.2}
    assert values["span"] == values["masked"] | {"span_length": 3}
    assert values["joint"] == {"objective": "span", "reconstruction": values["span"], "joint_weight": 2.0}
    assert values["joint-corrupted"] == {"loss_name": "l2"}
    assert symbols["masked"] == {"loss_name": "cross-entropy", "control": "none", "mask_ratio": 0.2}


# Losses by loops.


def test_cross_entropy_of_masked_symbols_by_loops():
    task = ragged_task()
    model, batch = model_of(task), batch_of(task, step=5)
    mask = mask_of(batch, 0.4)
    hidden = batch.x.clone()
    hidden[mask] = 6
    everywhere = model(hidden, batch.keep_mask, torch.ones_like(mask)).predictions.view(len(batch.x), LENGTH, -1)
    total, count = 0.0, 0
    for b in range(len(batch.x)):
        for t in range(LENGTH):
            if mask[b, t]:
                logits = everywhere[b, t].tolist()
                total += math.log(sum(map(math.exp, logits))) - logits[batch.x[b, t]]
                count += 1
    objective = Masked(inputs=task.inputs, mask_ratio=0.4)
    assert objective.loss(model, batch).item() == pytest.approx(total / count, rel=1e-9)


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_value_losses_by_loops(name, power):
    task = ragged_task("values")
    model, batch = model_of(task), batch_of(task)
    mask = mask_of(batch)
    flag = mask[..., None].double()
    out = model(torch.cat((batch.x * (1 - flag), flag), -1), batch.keep_mask, torch.ones_like(mask)).predictions
    out = out.view(*batch.x.shape)
    errors = [
        abs(out[b, t, c].item() - batch.x[b, t, c].item()) ** power
        for b in range(len(batch.x))
        for t in range(LENGTH)
        for c in range(2)
        if mask[b, t]
    ]
    objective = Masked(inputs=task.inputs, loss_name=name)
    assert objective.loss(model, batch).item() == pytest.approx(float(np.mean(errors)), rel=1e-9)


def test_causal_loss_predicts_the_next_real_position():
    task = ragged_task()
    model, batch = model_of(task, causal=True), batch_of(task)
    everywhere = model(batch.x, batch.keep_mask, torch.ones_like(batch.keep_mask)).predictions
    log_p = everywhere.log_softmax(-1).view(len(batch.x), LENGTH, -1)
    losses = [
        -log_p[b, t, batch.x[b, t + 1]].item()
        for b, n in enumerate(batch.keep_mask.sum(1).tolist())
        for t in range(n - 1)
    ]
    assert Causal(inputs=task.inputs).loss(model, batch).item() == pytest.approx(float(np.mean(losses)), rel=1e-9)


def test_label_loss_and_metrics_by_loops():
    task = ragged_task()
    model, batch = model_of(task), batch_of(task)
    logits = model(batch.x, batch.keep_mask).logits.tolist()
    losses = [math.log(sum(map(math.exp, row))) - row[y] for row, y in zip(logits, batch.y.tolist(), strict=True)]
    hits = [row.index(max(row)) == y for row, y in zip(logits, batch.y.tolist(), strict=True)]
    assert Labels(inputs=task.inputs).loss(model, batch).item() == pytest.approx(float(np.mean(losses)), rel=1e-9)
    assert label_losses(model, batch, task.inputs).tolist() == pytest.approx(losses, rel=1e-9)
    metrics = label_metrics(model, evaluation_batches(task.train, CPU), task.inputs)
    assert (metrics.loss, metrics.acc) == pytest.approx((float(np.mean(losses)), float(np.mean(hits))), rel=1e-9)


def test_balanced_classes_count_alike_in_the_loss_by_loops():
    task = ragged_task()
    request = Request(tiny_config(class_weights="balanced", metric="auroc"), task)
    settings = request.labels(0, 1e-3).settings
    assert settings["metric"] == "auroc"
    counts = np.bincount(task.train.y)
    assert np.multiply(settings["class_weights"], counts) == pytest.approx([len(task.train) / 3] * 3)
    assert request.pretraining(0, 1e-3).settings.keys().isdisjoint({"metric", "class_weights"})
    model, batch = model_of(task).double().eval(), double(batch_of(task))
    logits = class_logits(model, batch, model.inputs).detach().numpy()
    weights = [settings["class_weights"][c] for c in batch.y]
    losses = [
        w * (math.log(sum(math.exp(v) for v in row)) - row[c])
        for w, row, c in zip(weights, logits, batch.y, strict=True)
    ]
    loss = Labels(inputs=model.inputs, **settings).loss(model, batch).item()
    assert loss == pytest.approx(sum(losses) / sum(weights))


@BOTH_KINDS
def test_the_mean_of_each_sequence_is_its_own_loss(kind):
    task = ragged_task(kind)
    model, batch = model_of(task), batch_of(task)
    chosen, objective = mask_of(batch), Masked(inputs=task.inputs, loss_name=KINDS[kind].losses[0])
    each, entries = (of(model, batch, chosen) for of in (objective.sequence_losses, objective.entry_losses))
    for b in (0, 4, 9):
        alone = entries[chosen.nonzero()[:, 0] == b]
        assert each[b].item() == pytest.approx(alone.mean().item(), rel=1e-9)


@BOTH_KINDS
def test_losses_of_tricks_are_those_of_their_formulas(kind):
    batch, model = drawn_batch(kind), tiny_model(kind=kind).eval()
    inputs = model.inputs
    log_p = class_logits(model, batch, inputs).double().log_softmax(1)
    plain, uniform = -log_p[torch.arange(16), batch.y].mean(), -log_p.mean()
    smoothed = (1 - SMOOTHING) * plain + SMOOTHING * uniform
    mixed, labels = cut_and_mixed(batch, 3)
    cut = -(labels * class_logits(model, mixed, inputs).double().log_softmax(1)).sum(1).mean()
    hidden = draw_mask(batch.draws.keys("label-masks"), batch.keep_mask, batch.x.shape[1], HIDDEN)
    masked = F.cross_entropy(class_logits(model, batch, inputs, hidden), batch.y)
    for objective, expected in ((Smoothing, smoothed), (CutMix, cut), (MaskedLabels, masked)):
        loss = objective(inputs=inputs).loss(model, batch).item()
        assert loss == pytest.approx(expected.item(), rel=1e-5) and loss != pytest.approx(plain.item())


def test_joint_is_the_weighted_sum():
    task = ragged_task()
    model, batch, settings = model_of(task), batch_of(task), {"mask_ratio": 0.3}
    label = Labels(inputs=task.inputs).loss(model, batch).item()
    masked = Masked(inputs=task.inputs, **settings).loss(model, batch).item()
    joint = Joint(inputs=task.inputs, reconstruction=settings, joint_weight=0.25)
    assert joint.loss(model, batch).item() == pytest.approx(label + 0.25 * masked)


# What losses do not depend on.


@BOTH_KINDS
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "cutmix"])
def test_padding_leaks_into_no_loss(kind, name):
    """What stands in the padding changes nothing."""
    task = ragged_task(kind)
    model, batch = model_of(task, causal=name == "causal"), batch_of(task)
    keep = batch.keep_mask[..., None].expand_as(batch.x) if batch.x.ndim == 3 else batch.keep_mask
    other = replace(batch, x=torch.where(keep, batch.x, torch.full_like(batch.x, 3)))
    objective = make_objective(name, training_of(name, task).settings, task.inputs)
    assert objective.loss(model, batch).item() == objective.loss(model, other).item()


@BOTH_KINDS
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "last"])
@torch.inference_mode()
def test_evaluation_does_not_depend_on_the_batches_or_the_order(kind, pooling, monkeypatch):
    """Sorted, packed otherwise, in batches of another size: the same numbers to rounding."""
    task = ragged_task(kind)
    model = model_of(task, pooling=pooling).float()
    masked = Masked(inputs=task.inputs, loss_name=KINDS[kind].losses[0])
    order = np.argsort(task.val.lengths, kind="stable")
    whole, _ = predict_logits(model, evaluation_batches(task.val, CPU), task.inputs)
    loss = masked.validate(model, feed_of(task))["val_loss"]
    for positions in (1, 20, 10_000):
        monkeypatch.setattr(feeding, "EVALUATION_POSITIONS", positions)
        by_length = feed_of(replace(task, val=task.val.rows(order)))
        logits, classes = predict_logits(model, by_length.validation(), task.inputs)
        torch.testing.assert_close(logits.float(), whole[order].float())
        assert classes.tolist() == task.val.y[order].tolist()
        assert masked.validate(model, by_length)["val_loss"] == pytest.approx(loss, rel=1e-6)


@torch.inference_mode()
def test_validation_masks_stay_and_training_masks_change():
    task = ragged_task()
    model, objective = model_of(task), Masked(inputs=task.inputs)
    assert objective.validate(model, feed_of(task)) == objective.validate(model, feed_of(task))
    losses = [objective.loss(model, batch_of(task, step)).item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("name", [name for name, objective in OBJECTIVES.items() if objective.phase == "label"])
def test_label_training_is_judged_by_clean_labels(name):
    task, model = ragged_task(), tiny_model().eval()
    objective = make_objective(name, training_of(name, task).settings, model.inputs)
    clean = Labels(inputs=model.inputs)
    metrics = objective.validate(model, feed_of(task))
    assert metrics == clean.validate(model, feed_of(task))
    assert objective.score(metrics) == clean.score(metrics) == (metrics["val_acc"], -metrics["val_loss"])


# CutMix.


@BOTH_KINDS
def test_cutmix_takes_one_stretch_of_the_partner_and_its_share_of_the_label(kind):
    """Position by position, and the label of each row from the count of its foreign positions."""
    batch = drawn_batch(kind)
    own, other = batch.lengths.tolist(), batch.partner.lengths.tolist()
    wide = [-1, *[1] * (batch.x.ndim - 1)]
    names = torch.arange(16, dtype=batch.x.dtype).view(wide)  # rows that can be told apart
    partner = replace(batch.partner, x=(100 + names).expand(batch.partner.x.shape).clone())
    mixed, labels = cut_and_mixed(replace(batch, x=names.expand(batch.x.shape).clone(), partner=partner), 3)
    sizes = set()
    for row, (length, shorter) in enumerate(zip(own, other, strict=True)):
        entries = (mixed.x[row] if kind == "symbols" else mixed.x[row, :, 0]).tolist()
        foreign = [t for t, entry in enumerate(entries) if entry == 100 + row]
        assert set(entries) <= {row, 100 + row}
        assert foreign == list(range(foreign[0], foreign[-1] + 1)) if foreign else True
        assert all(t < min(length, shorter) for t in foreign)
        expected = torch.zeros(3)
        expected[batch.y[row]] += 1 - len(foreign) / length
        expected[batch.partner.y[row]] += len(foreign) / length
        torch.testing.assert_close(labels[row], expected)
        sizes.add(len(foreign))
    assert len(sizes) > 2


def test_every_length_of_a_stretch_is_alike_likely():
    """Of sequences of 7 positions the stretch has 0 to 7 of them; chi-square of 3,200 draws."""
    counts = np.zeros(8)
    for step in range(200):
        batch = drawn_batch("symbols", step)
        whole = {"keep_mask": None, "x": torch.zeros(16, 7, dtype=torch.long)}
        partner = replace(batch.partner, **whole | {"x": whole["x"] + 1})
        mixed, _ = cut_and_mixed(replace(batch, **whole, partner=partner), 3)
        counts += np.bincount(mixed.x.sum(1).numpy(), minlength=8)
    assert chisquare(counts).pvalue > 1e-3


# Joint, from one corrupted sequence.


@BOTH_KINDS
def test_a_third_of_the_chosen_show_what_stands_elsewhere_and_the_rest_are_masked(kind):
    chosen, replaced, real = 0, 0, 0
    for step in range(120):
        batch = drawn_batch(kind, step, partners=False, size=30)
        shown, masked = corrupted(batch)
        keep = batch.keep_mask
        changed = shown != batch.x if kind == "symbols" else (shown != batch.x).any(-1)
        assert not (changed & masked).any()  # one or the other
        assert not (masked & ~keep).any() and not (changed & ~keep).any()
        for row in (changed & keep).nonzero()[:, 0].unique().tolist():
            own = batch.x[row][keep[row]].reshape(-1).tolist()
            assert set(shown[row][keep[row]].reshape(-1).tolist()) <= set(own)
        chosen, real = chosen + masked.sum(), real + keep.sum()
        replaced = replaced + changed.sum()
    share = chosen.item() / real.item()
    # Every sequence has a choice at least, so short ones raise it; replacements may show the same symbol.
    assert CORRUPTED * (1 - REPLACED) * 0.95 < share < CORRUPTED * (1 - REPLACED) * 1.25
    if kind == "values":
        assert replaced.item() / chosen.item() == pytest.approx(REPLACED / (1 - REPLACED), rel=0.35)


@BOTH_KINDS
def test_the_corrupted_loss_is_that_of_the_label_and_of_every_real_position(kind):
    batch, model = drawn_batch(kind), tiny_model(kind=kind).eval()
    shown, masked = corrupted(batch)
    label = F.cross_entropy(class_logits(model, replace(batch, x=shown), model.inputs, masked), batch.y)
    entries, seen = [], KINDS[kind].hide(shown, masked, model.inputs)
    for row, length in enumerate(batch.lengths.tolist()):  # sequence by sequence, without padding
        every = torch.ones(1, length, dtype=torch.bool)
        predicted = model(seen[row : row + 1, :length], None, every).predictions
        truth = batch.x[row, :length]
        each = F.cross_entropy(predicted, truth, reduction="none") if kind == "symbols" else (predicted - truth).abs()
        entries.append(each.flatten())
    expected = (label + torch.cat(entries).mean()).item()
    objective = JointCorrupted(inputs=model.inputs, loss_name=KINDS[kind].losses[0])
    assert objective.loss(model, batch).item() == pytest.approx(expected, rel=1e-4)


# Controls.


def seen_and_asked(batch, control, kind="symbols"):
    """What a model is shown of a batch, and what it is asked."""
    shown = []
    objective = Masked(inputs=ragged_task(kind).inputs, control=control, loss_name=KINDS[kind].losses[0])

    def watch(x, keep_mask, chosen, keys, *, labels):
        shown.append(x)
        return Outputs(x, torch.zeros(int(chosen.sum()), objective.kind.targets(objective.inputs)))

    nothing = torch.zeros_like(batch.keep_mask)
    objective.entry_losses(watch, batch, nothing)
    return shown[0] if kind == "symbols" else shown[0][..., :-1], objective._controlled(batch)[1]


@BOTH_KINDS
def test_shuffled_sequences_keep_what_they_hold_and_their_order_in_every_epoch(kind):
    batch = drawn_batch(kind)
    seen, asked = seen_and_asked(batch, "shuffled", kind)
    assert torch.equal(seen, asked) and not torch.equal(seen, batch.x)
    for row, length in enumerate(batch.lengths.tolist()):
        assert sorted(seen[row, :length].tolist()) == sorted(batch.x[row, :length].tolist())
    later = replace(batch, draws=replace(batch.draws, step=7))
    assert torch.equal(seen_and_asked(later, "shuffled", kind)[0], seen)


@BOTH_KINDS
def test_random_targets_are_those_of_the_partner_read_again_from_its_beginning(kind):
    batch = drawn_batch(kind)
    seen, asked = seen_and_asked(batch, "random", kind)
    assert torch.equal(seen, batch.x)
    for row, (length, other) in enumerate(zip(batch.lengths.tolist(), batch.partner.lengths.tolist(), strict=True)):
        for t in range(length):
            assert torch.equal(asked[row, t], batch.partner.x[row, t % other])


@pytest.mark.parametrize("name", ["cutmix", "masked"])
def test_partners_belong_to_rows_and_not_to_batches(name):
    """A validation loss under the control does not depend on how rows are batched, and neither does what is mixed."""
    task = ragged_task()
    model = model_of(task)
    objective = make_objective(name, {} if name == "cutmix" else {"control": "random"}, task.inputs)
    assert objective.needs_partners
    feed = feed_of(task, partners=True)
    batch = feed._with_partner(make_batch(task.train, CPU, seed=3, step=2), task.train)
    losses = []
    for row in range(len(task.train)):
        alone = make_batch(task.train.rows(np.array([row])), CPU, seed=3, step=2)
        alone = feed._with_partner(alone, task.train)
        assert torch.equal(alone.partner.draws.rows[0], batch.partner.draws.rows[row])
        assert alone.partner.draws.rows[0] != alone.draws.rows[0]
        mask = objective.choose(alone, alone.draws.keys("masks")) if name == "masked" else None
        losses.append((objective.loss(model, alone).item(), 1 if mask is None else int(mask.sum())))
    mean = sum(loss * n for loss, n in losses) / sum(n for _, n in losses)
    assert objective.loss(model, batch).item() == pytest.approx(mean, rel=1e-9)


def test_a_permutation_is_one_of_the_real_positions_and_every_order_is_alike_likely():
    keys = torch.randint(-(2**62), 2**62, (6000,), generator=torch.Generator().manual_seed(0))
    orders = permutation(keys, 3)
    assert (orders.sort(1).values == torch.arange(3)).all()
    _, counts = np.unique(orders.numpy(), axis=0, return_counts=True)
    assert len(counts) == 6 and chisquare(counts).pvalue > 1e-3
    keep = torch.arange(5) < torch.tensor([[2], [5]])
    assert permutation(keys[:2], 5, keep)[0, 2:].tolist() == [2, 3, 4]


def test_a_control_teaches_nothing_that_context_could_tell():
    """The law of the chain, which knows every neighbour, is of no use for either control."""
    task = load_task("proximity", sequences=300)
    feed = feed_of(task, phase="pretrain", size=16, partners=True)
    plain, shuffled, random = (Masked(inputs=task.inputs, control=c) for c in ("none", "shuffled", "random"))
    assert lowest_loss(shuffled, feed, task.posterior) is None is lowest_loss(random, feed, task.posterior)
    truth = feed.batch(0).x

    def peeks(x, keep_mask, chosen, keys, *, labels):
        return Outputs(x, 9.0 * F.one_hot(truth[chosen], task.inputs.symbols + 1).float())

    assert plain.loss(peeks, feed.batch(0)) < 0.01 < 2.0 < random.loss(peeks, feed.batch(0))
