"""Gradients as they are measured in a diagnosis: of the right model, sequences, loss and lags, with the right sign."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import TINY_DIAGNOSIS
from selfpretrain.config import ModelConfig
from selfpretrain.data.load import load_task
from selfpretrain.diagnostics.gradients import blindness_ratio, label_signal
from selfpretrain.diagnostics.protocol import observed
from selfpretrain.explain import gradients
from selfpretrain.explain.table import pick
from selfpretrain.streams import torch_stream
from stand_in import measured, numbers, stand_in, telling_task

MAX_LAG = 2
MANY = replace(TINY_DIAGNOSIS, sample=84, large_sample=84)
MODELS = {
    "mean": ModelConfig(width=8, heads=2, depth=2),
    # Two blocks: through one alone, the label at cls does not feel where positions look.
    "cls": ModelConfig(width=8, heads=2, depth=2, pooling="cls", positions="learned", dropout=0.1),
}
WEIGHTS = {
    "embedding": ("embedding", "cls"),
    "positions": ("positions",),
    "query-key": ("query", "key"),
    "value-output": ("value", "output"),
    "feedforward": ("feedforward_in", "feedforward_out"),
    "norms": ("attention_norm", "feedforward_norm", "final_norm"),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def subject(model, finished):
    return stand_in(finished, TINY_DIAGNOSIS, model)


@pytest.fixture(scope="module")
def table(subject):
    return measured(subject, "gradients")


def stages(subject):
    """Runs, stages and what the stages are looked at with: at the snapshots, a smaller number of sequences."""
    scratch, spt = subject.runs
    for run, stage in [(scratch, scratch.stages[0]), (scratch, scratch.stages[1]), *((spt, s) for s in spt.stages[1:])]:
        yield run, stage, subject.large_sample
    for run in subject.runs:
        for stage in run.along[1:]:
            yield run, stage, subject.sample


def calibrated(model, sample):
    """In float64, with the bias at which the mean cross-entropy is least: mean predictions are shares there."""
    model = model.double().eval()
    with torch.no_grad():
        logits = model(sample.batch.x, None).logits - model.label_head.bias
    share = F.one_hot(sample.batch.y).double().mean(0)
    bias = torch.zeros_like(share)
    for _ in range(20):  # Newton's method, in steps that cannot run away
        p = (logits + bias).softmax(1)
        bias -= (torch.linalg.pinv(torch.diag(p.mean(0)) - p.T @ p / len(p)) @ (p.mean(0) - share)).clamp(-1, 1)
    model.label_head.bias.data.copy_(bias)
    return model


def losses_by_hand(model, sample, loss, x=None):
    """Of every sequence: cross-entropy of its label, or the mean over what is hidden from the model."""
    x = sample.batch.x if x is None else x
    if loss == "label":
        return -model(x, None).logits.log_softmax(1)[torch.arange(len(x)), sample.batch.y]
    seen = torch.where(
        sample.chosen, model.inputs.symbols + 1, x
    )  # the mask comes after the symbols and the unknown one
    predicted = model.reconstruction_head(model.encode(seen, None)[:, -x.shape[1] :]).log_softmax(-1)
    each = -predicted.gather(2, x[..., None])[..., 0]
    return torch.stack([row[hidden].mean() for row, hidden in zip(each, sample.chosen, strict=True)])


def along_lags(model, sample, loss, x=None):
    """Slope of every sequence's loss along lags 1, 2, ...: (B, layers, heads, lags), to look near and to look ahead.

    What is added to the scores has norm 1: both diagonals at the lag, with equal signs or with opposite ones. The
    first row and column are cls, where there is one.
    """
    length = sample.length
    full = length + (model.cls is not None)
    patterns = torch.zeros(2, length - 1, full, full, dtype=torch.float64)
    for lag in range(1, length):
        size = 1 / math.sqrt(2 * (length - lag))
        for i in range(length - lag):
            query = i + full - length
            patterns[:, lag - 1, query, query + lag] = size
            patterns[0, lag - 1, query + lag, query] = size
            patterns[1, lag - 1, query + lag, query] = -size
    shape = (len(sample), len(model.blocks), model.config.heads, length - 1)
    amounts = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    handles = []
    for layer, block in enumerate(model.blocks):
        block.attention.kernel = "eager"

        def push(_, __, scores, layer=layer):
            pushes = zip(amounts, patterns, strict=True)
            return scores + sum(torch.einsum("bhk,kij->bhij", a[:, layer], p) for a, p in pushes)

        handles.append(block.attention.scores.register_forward_hook(push))
    slopes = torch.autograd.grad(losses_by_hand(model, sample, loss, x).sum(), amounts)
    for handle in handles:
        handle.remove()
    return dict(zip(("proximity", "direction"), slopes, strict=True))


def snr(g):
    """Of (B, ..., P): squared mean over variance, with what noise adds to the square taken off."""
    noise = g.var(0).sum(-1)
    return (g.mean(0).square().sum(-1) - noise / len(g)) / noise


def at(table, name, run, stage, *axes, **fields):
    return numbers(table, name, *axes, arm=run.arm, seed=0, stage=stage.name, step=stage.step, **fields)


def assert_close(numbers, expected, rel=1e-4):
    """NaN where there is neither gradient nor noise."""
    np.testing.assert_allclose(numbers, np.asarray(expected), rtol=rel, atol=1e-6)


HEAD, LAG = ("layer", "head"), ("layer", "head", "lag")


@pytest.mark.parametrize("loss", ["label", "reconstruction"])
def test_signal_and_pressure_are_those_of_the_loss_along_the_lags_asked_for(loss, subject, table):
    count = 0
    for run, stage, sample in stages(subject):
        slopes = along_lags(calibrated(subject.model(run, stage), sample), sample, loss)
        for name, g in slopes.items():
            near = g[..., :MAX_LAG]
            expected = {
                "snr": ((), snr(near.flatten(1))),
                "snr_by_head": (HEAD, snr(near)),
                "snr_by_lag": (LAG, snr(g[..., None])),
                "pressure": (LAG, -g.mean(0)),  # descending goes against the slope
            }
            for kind, (axes, values) in expected.items():
                assert_close(at(table, f"{name}_{kind}", run, stage, *axes, loss=loss, n=len(sample)), values)
                count += values.numel()
        both = torch.cat([g[..., :MAX_LAG] for g in slopes.values()], dim=-1)
        assert_close(at(table, "band_snr", run, stage, loss=loss), snr(both.flatten(1)))
    names = table["name"][table["loss"].isin([loss])]
    assert count == names.str.fullmatch("(proximity|direction)_(snr|snr_by_head|snr_by_lag|pressure)").sum()
    assert set(table["lag"].dropna()) == set(range(1, subject.length))


def test_ratios_are_the_labels_signal_over_the_reconstructions(subject, table):
    for run, stage, sample in stages(subject):
        model = calibrated(subject.model(run, stage), sample)
        near = {
            loss: {name: g[..., :MAX_LAG] for name, g in along_lags(model, sample, loss).items()}
            for loss in ("label", "reconstruction")
        }
        for name, parts in (("blindness_ratio", ["proximity"]), ("band_ratio", ["proximity", "direction"])):
            label, reconstruction = (
                torch.cat([near[loss][part] for part in parts], dim=-1).flatten(1)
                for loss in ("label", "reconstruction")
            )
            ratio, low, high = (at(table, name + end, run, stage, n=len(sample)) for end in ("", "_low", "_high"))
            assert_close(ratio, snr(label) / snr(reconstruction), rel=1e-3)
            assert_close([ratio, low, high], blindness_ratio(label, reconstruction), rel=1e-3)


def test_the_control_is_the_reconstructions_signal_on_shuffled_positions(subject, table):
    run, stage, sample = next(stages(subject))
    # Every sequence in an order of its own; what is hidden stays where it was.
    order = torch.rand(sample.batch.x.shape, generator=torch_stream(0, "shuffle")).argsort(dim=1)
    x = sample.batch.x.gather(1, order)
    g = along_lags(subject.model(run, stage).double().eval(), sample, "reconstruction", x)["proximity"]
    (control,) = pick(table, "proximity_snr_shuffled").itertuples()  # of one start alone
    assert (control.arm, control.stage, control.loss, control.n) == (run.arm, "start", "reconstruction", len(sample))
    assert_close(control.value, snr(g[..., :MAX_LAG].flatten(1)))


def weights_of(model):
    groups = {
        group: [w for name, w in model.named_parameters() if set(parts) & set(name.split("."))]
        for group, parts in WEIGHTS.items()
    }
    return {group: weights for group, weights in groups.items() if weights}


def test_gradients_on_groups_are_those_of_the_mean_loss_over_the_samples_sequences(finished, model):
    subject = stand_in(finished, MANY, model, telling_task())  # of fainter labels there is no angle
    cosines = 0
    table = measured(subject, "gradients")
    for run in subject.runs:
        for stage in subject.stages(run):
            model = calibrated(subject.model(run, stage), subject.sample)
            groups, used = weights_of(model), subject.sample.part(0, 80)  # two halves of ten micro-batches of four
            weights = [weight for group in groups.values() for weight in group]
            batches = {}
            for loss in ("label", "reconstruction"):
                losses = losses_by_hand(model, used, loss)
                each = torch.eye(len(losses)).to(losses)
                grads = torch.autograd.grad(losses, weights, each, is_grads_batched=True, materialize_grads=True)
                here = iter(grad.flatten(1) for grad in grads)
                of_groups = {group: torch.cat([next(here) for _ in own], 1) for group, own in groups.items()}
                batches[loss] = {group: g.reshape(20, 4, -1).mean(1) for group, g in of_groups.items()}
                for group, g in batches[loss].items():
                    norm, ratio = g.mean(0).norm(), snr(g) / 4  # one sequence has four times the variance of a batch
                    assert_close(at(table, "gradient_norm", run, stage, loss=loss, group=group), norm)
                    assert_close(at(table, "gradient_snr", run, stage, loss=loss, group=group), ratio)
            for group in groups:
                a1, a2 = batches["reconstruction"][group].reshape(2, 10, -1).mean(1)
                b1, b2 = batches["label"][group].reshape(2, 10, -1).mean(1)
                defined = a1 @ a2 > 0 and b1 @ b2 > 0
                cosine = (a1 @ b2 + a2 @ b1) / 2 / ((a1 @ a2) * (b1 @ b2)).sqrt() if defined else math.nan
                assert_close(at(table, "gradient_cosine", run, stage, group=group), cosine, rel=1e-3)
                cosines += bool(defined)
            assert set(pick(table, "gradient_norm")["group"]) == set(groups)
    assert cosines > 2  # enough have one


def test_what_labels_have_to_do_with_gradients_is_measured_at_the_start(finished):
    """On gradients of all logits at once, by torch.func."""
    subject = stand_in(finished, MANY, MODELS["mean"])
    table = measured(subject, "gradients")
    rows = pick(table, "label_signal_share")
    assert set(rows["stage"]) == {"start"} and set(rows["group"]) == {"query-key"}
    run = subject.runs[0]
    sample, model = subject.large_sample, subject.model(run, run.stages[0])
    weights = {n: w.detach() for n, w in model.named_parameters() if {"query", "key"} & {*n.split(".")}}

    def logits(weights, x):
        return torch.func.functional_call(model, weights, (x,)).logits[0]

    per_example = []
    with observed(model):
        for x in sample.batch.x:
            jacobian = torch.cat([g.flatten(1) for g in torch.func.jacrev(logits)(weights, x[None]).values()], 1)
            per_example.append((jacobian[1:] - jacobian[0]).flatten())
    g = torch.stack(per_example).detach()
    expected = label_signal(g @ g.T, sample.batch.y)
    for name, value in expected._asdict().items():
        assert_close(at(table, f"label_signal_{name}", run, run.stages[0]), value, rel=1e-3)


def test_with_many_classes_fewer_sequences_are_asked_and_with_too_few_nothing_is(finished, monkeypatch):
    subject = stand_in(finished, MANY, MODELS["mean"])
    monkeypatch.setattr(gradients, "GRADIENTS", 70)
    assert set(pick(measured(subject, "gradients"), "label_signal_share")["n"]) == {70}
    monkeypatch.setattr(gradients, "GRADIENT_NUMBERS", 100)
    assert pick(measured(subject, "gradients"), "label_signal_share").empty


def test_sizes_of_updates_are_those_that_training_recorded(subject, table):
    recorded = {
        (run.arm, f"along-{phase}", row["step"], group): ratio
        for run in subject.runs
        for phase in ("pretrain", "label")
        for row in run.run.rows
        if row["phase"] == phase
        for group, ratio in row["update_ratio"].items()
    }
    rows = pick(table, "update_ratio").set_index(["arm", "stage", "step", "group"])["value"]
    assert rows.to_dict() == pytest.approx(recorded, rel=1e-6)
    assert recorded


def test_signal_is_summed_up_to_the_lag_that_is_asked_for(finished):
    """Further than lags are kept one by one."""
    task = load_task("proximity", length=24, sequences=200)
    subject = stand_in(finished, replace(TINY_DIAGNOSIS, max_lag=20), ModelConfig(width=8, heads=2), task)
    run, sample = subject.runs[0], subject.large_sample
    table, model = measured(subject, "gradients"), calibrated(subject.model(run, run.stages[0]), sample)
    for loss in ("label", "reconstruction"):
        near = along_lags(model, sample, loss)["proximity"][..., :20]
        assert_close(at(table, "proximity_snr", run, run.stages[0], loss=loss), snr(near.flatten(1)), rel=1e-3)
    assert set(pick(table, "proximity_snr_by_lag")["lag"]) == set(range(1, 21))
