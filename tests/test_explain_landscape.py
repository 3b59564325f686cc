"""The landscape is measured around the weights it is named for, with the loss, sequences and precision it says."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from conftest import TINY_DIAGNOSIS
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics import curvature
from selfpretrain.diagnostics.alignment import align
from selfpretrain.diagnostics.curvature import critical_sharpness
from selfpretrain.diagnostics.landscape import filter_direction
from selfpretrain.explain.table import pick
from selfpretrain.model.attention import Attention, Scores
from selfpretrain.registry import SECTIONS
from selfpretrain.streams import torch_stream
from stand_in import measured, numbers, stand_in

SAMPLE, FEW = TINY_DIAGNOSIS.sample, TINY_DIAGNOSIS.curvature_sample
# What is looked at: one start for both arms, then each arm's own stages.
STAGES = [("scratch", "start"), ("spt", "after-pretrain"), ("scratch", "after-label"), ("spt", "after-label")]
BEFORE_LABELS = STAGES[:2]


@pytest.fixture(scope="module")
def subject(finished):
    """Two layers and a cls position in front, so that neither layers nor positions may be mixed up unseen.

    An arm that is not pictured comes first; it has the same start, which is to be looked at all the same.
    """
    subject = stand_in(finished, TINY_DIAGNOSIS, ModelConfig(width=4, heads=2, depth=2, pooling="cls"))
    other = SimpleNamespace(record=SimpleNamespace(name="joint-seed0", arm="joint", seed=0))
    subject.runs.insert(0, replace(subject.runs[0], run=other))
    return subject


@pytest.fixture(scope="module")
def jobs(subject):
    return SECTIONS["landscape"].parts(subject)


@pytest.fixture(scope="module")
def table(subject, jobs):
    return measured(subject, "landscape", *jobs[:-1])


@pytest.fixture(scope="module")
def paths(subject, jobs):
    return measured(subject, "landscape", jobs[-1])


def raw(subject, arm, stage):
    """A model as it was stored, with a kernel that can be differentiated twice."""
    run = subject.run(arm, 0)
    model = subject.model(run, next(s for s in run.stages if s.name == stage)).eval()
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernel = "eager"
    return model


def calibrated(subject, arm, stage):
    model = raw(subject, arm, stage)
    subject.sample.calibrate(model)
    return model


def label_loss(model, sample, n=SAMPLE):
    return F.cross_entropy(model(sample.batch.x[:n], None).logits, sample.batch.y[:n])


def reconstruction_loss(model, sample):
    chosen, x = sample.chosen, sample.batch.x
    predictions = model(x.masked_fill(chosen, model.inputs.mask_id), None, chosen).predictions
    each = F.cross_entropy(predictions, x[chosen], reduction="none")
    return torch.stack([part.mean() for part in each.split(chosen.sum(1).tolist())]).mean()


LOSS = {"label": label_loss, "reconstruction": reconstruction_loss}


def dense_hessian(loss, weights):
    grads = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in grads])
    columns = torch.autograd.grad(
        flat, weights, torch.eye(len(flat)).to(flat), is_grads_batched=True, materialize_grads=True
    )
    return torch.cat([c.flatten(1) for c in columns], 1).detach()


def test_the_graph_of_a_hessian_is_built_once_for_each_group_of_weights(subject, jobs, monkeypatch):
    built = []
    real = curvature.Hessian
    monkeypatch.setattr(
        curvature, "Hessian", lambda loss, weights: (built.append(len(weights)), real(loss, weights))[1]
    )
    traces = pick(measured(subject, "landscape", jobs[0]), "hessian_trace")
    stages = [stage for arm, stage in STAGES if arm == "scratch"]
    assert len(traces) == 2 * len(stages)
    assert len(built) == 2 * len(stages) + 1  # and one along the updates of both losses, before label training


def test_every_stage_is_looked_at_once_and_says_which_precision(table):
    looked_at = pick(table, "hessian_largest")[["arm", "stage", "group"]].fillna("all")
    assert sorted(looked_at.itertuples(index=False, name=None)) == sorted(
        (*where, group) for where in STAGES for group in ("all", "query-key")
    )
    in_double = table["name"].str.startswith(("hessian", "curvature_along", "slope_along", "critical"))
    assert (table["dtype"] == np.where(in_double, "float64", "float32")).all()


@pytest.mark.parametrize(("arm", "stage"), STAGES)
@pytest.mark.parametrize("group", [None, "query-key"])
def test_curvature_is_that_of_the_dense_hessian_in_double_precision(arm, stage, group, subject, table):
    model = calibrated(subject, arm, stage).double()
    weights = [
        weight
        for name, weight in model.named_parameters()
        if not name.startswith("reconstruction_head") and (group is None or ".query." in name or ".key." in name)
    ]
    hessian = dense_hessian(label_loss(model, subject.sample, FEW), weights)
    values = torch.linalg.eigvalsh(hessian)
    where = {"arm": arm, "stage": stage, "group": group, "loss": "label", "n": FEW}
    for name, expected in (("hessian_largest", values[-1]), ("hessian_smallest", values[0])):
        assert numbers(table, name, **where) == pytest.approx(expected.item(), rel=1e-8)
        assert 0 <= numbers(table, f"{name}_residual", **where) < 1e-3 * values.abs().max()
    # The same sixteen vectors of signs.
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(16, len(hessian)))
    each = np.einsum("si,ij,sj->s", signs, hessian.numpy(), signs)
    assert numbers(table, "hessian_trace", **where) == pytest.approx(each.mean(), rel=1e-8)
    assert numbers(table, "hessian_trace_error", **where) == pytest.approx(each.std(ddof=1) / 4, rel=1e-8)
    density = pick(table, "hessian_density", **where)
    assert density["x"].min() < values[0] and density["x"].max() > values[-1]
    assert np.trapezoid(density["value"], density["x"]) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("loss", ["label", "reconstruction"])
@pytest.mark.parametrize(("arm", "stage"), BEFORE_LABELS)
def test_along_an_update_is_along_the_first_step_of_that_loss_and_of_the_label_loss(arm, stage, loss, subject, table):
    """Differentiated twice in the learning rate; no product of gradients or with a Hessian is written down."""
    model, sample = calibrated(subject, arm, stage).double(), subject.sample
    names = [name for name, _ in model.named_parameters() if "_head" not in name]
    weights = [model.get_parameter(name) for name in names]
    grads = torch.autograd.grad(LOSS[loss](model, sample), weights, materialize_grads=True)
    update = [g / (g.abs() + 1e-8) for g in grads]

    def derivatives(n):
        rate = torch.zeros((), dtype=torch.float64, requires_grad=True)
        moved = {k: w - rate * u for k, w, u in zip(names, weights, update, strict=True)}
        logits = functional_call(model, moved, (sample.batch.x[:n],)).logits
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, sample.batch.y[:n]), rate, create_graph=True)
        (bend,) = torch.autograd.grad(slope, rate)
        return slope.item(), bend.item()

    where = {"arm": arm, "stage": stage, "loss": loss}
    slope = numbers(table, "slope_along_update", **where, n=SAMPLE)
    assert slope == pytest.approx(derivatives(SAMPLE)[0], rel=1e-8)
    assert loss == "reconstruction" or slope < 0  # the label's own update lowers the label loss
    squared = sum(u.square().sum().item() for u in update)
    bend = numbers(table, "curvature_along_update", **where, n=FEW)
    assert bend == pytest.approx(derivatives(FEW)[1] / squared, rel=1e-8)
    expected = critical_sharpness(lambda: label_loss(model, sample), weights, update)
    sharpness = numbers(table, "critical_sharpness", **where, n=SAMPLE)
    assert sharpness == pytest.approx(expected if math.isfinite(expected) else math.nan, rel=1e-8, nan_ok=True)
    assert slope > 0 or math.isfinite(expected)


def test_updates_are_looked_at_before_label_training_only(table):
    for name in ("slope_along_update", "curvature_along_update", "critical_sharpness"):
        looked_at = pick(table, name)[["arm", "stage", "loss"]].itertuples(index=False, name=None)
        assert sorted(looked_at) == sorted((*where, loss) for where in BEFORE_LABELS for loss in LOSS)


@pytest.mark.parametrize("loss", ["label", "reconstruction"])
@pytest.mark.parametrize(("arm", "stage"), STAGES)
def test_a_slice_adds_nearness_to_one_head_and_cls_is_nobodys_neighbour(arm, stage, loss, subject, table):
    model, sample = calibrated(subject, arm, stage), subject.sample
    far = (torch.arange(sample.length)[:, None] - torch.arange(sample.length)).abs()
    near = torch.exp(-far.double())
    bias = torch.zeros(sample.length + 1, sample.length + 1, dtype=torch.float64)
    bias[1:, 1:] = near - near.mean(1, keepdim=True)
    places = [module for module in model.modules() if isinstance(module, Scores)]
    where = {"arm": arm, "stage": stage, "loss": loss, "n": SAMPLE}
    curves = numbers(table, "proximity_slice", "layer", "head", "x", **where)
    slopes, bends = (numbers(table, f"proximity_{name}", "layer", "head", **where) for name in ("slope", "curvature"))
    strengths = np.linspace(-4, 4, 17)
    assert np.array_equal(sorted(pick(table, "proximity_slice", **where)["x"].unique()), strengths)
    assert curves.shape == (2, 2, 17)

    def losses(model, layer, head, strength):
        one_head = F.one_hot(torch.tensor(head), 2)[:, None, None]
        add = places[layer].register_forward_hook(
            lambda _, __, scores: scores + strength.to(scores) * (one_head * bias).to(scores)
        )
        try:
            return LOSS[loss](model, sample)
        finally:
            add.remove()

    for layer in range(2):
        for head in range(2):
            with torch.no_grad():
                expected = [losses(model, layer, head, torch.tensor(t)).item() for t in strengths]
            assert curves[layer, head].tolist() == pytest.approx(expected, rel=1e-5)
    model.double()
    for layer in range(2):
        for head in range(2):
            zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(losses(model, layer, head, zero), zero, create_graph=True)
            (bend,) = torch.autograd.grad(slope, zero)
            # Both may be 0 but for rounding: cls looks at itself alone in what the label reads last.
            assert slopes[layer, head].item() == pytest.approx(slope.item(), rel=1e-4, abs=1e-7)
            assert bends[layer, head].item() == pytest.approx(bend.item(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("arm", ["scratch", "spt"])
def test_random_slices_cross_at_the_trained_weights(arm, subject, table):
    model, sample = calibrated(subject, arm, "after-label"), subject.sample
    assert list(pick(table, "random_line")["arm"].unique()) == ["scratch", "spt"]
    weights = [w for name, w in model.named_parameters() if not name.startswith("reconstruction_head")]
    start, stream = [w.detach().clone() for w in weights], torch_stream(0, "curvature")
    directions = [filter_direction(weights, stream) for _ in range(2)]
    where = {"arm": arm, "stage": "after-label", "loss": "label", "n": SAMPLE}
    line, plane = numbers(table, "random_line", "x", **where), numbers(table, "random_plane", "x", "y", **where)

    @torch.no_grad()
    def at(*steps):
        for weight, was, *along in zip(weights, start, *directions, strict=True):
            weight.copy_(was + sum(step * d for step, d in zip(steps, along, strict=True)))
        return label_loss(model, sample).item()

    assert line[10].item() == pytest.approx(at(0.0, 0.0), rel=1e-6)
    assert plane[5, 5].item() == pytest.approx(at(0.0, 0.0), rel=1e-6)
    assert line.tolist() == pytest.approx([at(k / 10, 0.0) for k in range(-10, 11)], rel=1e-5)
    assert plane[:, 5].tolist() == pytest.approx([at(k / 5, 0.0) for k in range(-5, 6)], rel=1e-5)
    assert plane[7].tolist() == pytest.approx([at(0.4, k / 5) for k in range(-5, 6)], rel=1e-5)


ENDS = [
    (("scratch", "start"), ("scratch", "after-label")),
    (("spt", "start"), ("spt", "after-pretrain")),
    (("spt", "after-pretrain"), ("spt", "after-label")),
    (("scratch", "after-label"), ("spt", "after-label")),
]


def test_paths_follow_every_run_and_join_the_ends_of_two(paths, jobs):
    assert jobs == [("scratch-seed0",), ("spt-seed0",), ("paths", "scratch-seed0", "spt-seed0")]
    for name in ("path", "barrier", "rise", "path_aligned", "barrier_aligned", "rise_aligned"):
        ends = pick(paths, name)[["arm", "stage", "other_arm", "other_stage"]].drop_duplicates()
        assert list(ends.itertuples(index=False, name=None)) == [(*a, *b) for a, b in ENDS]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("a", "b"), ENDS)
def test_a_path_joins_the_two_models_it_is_named_for(a, b, aligned, subject, paths):
    near, far = raw(subject, *a), raw(subject, *b)
    with torch.no_grad():
        ends = [label_loss(model, subject.sample).item() for model in (near, far)]
        assert abs(ends[0] - ends[1]) > 1e-3  # or the ends could not be told apart
        if aligned:
            far = align(far, near)
        here, towards = near.state_dict(), far.state_dict()
        start = {name: weight.clone() for name, weight in here.items()}
        expected = []
        for step in range(25):
            for name, weight in here.items():
                weight.copy_(start[name] + step / 24 * (towards[name] - start[name]))
            expected.append(label_loss(near, subject.sample).item())
    suffix = "_aligned" if aligned else ""
    where = dict(zip(("arm", "stage", "other_arm", "other_stage"), (*a, *b), strict=True))
    where |= {"loss": "label", "n": SAMPLE, "seed": 0}
    losses = numbers(paths, f"path{suffix}", "x", **where)
    shares = sorted(pick(paths, f"path{suffix}", **where)["x"])
    assert shares == pytest.approx([step / 24 for step in range(25)], rel=1e-12)
    # The far end is the same function, however its heads are turned.
    assert [losses[0], losses[-1]] == pytest.approx(ends, rel=1e-5)
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)
    assert numbers(paths, f"rise{suffix}", **where) == pytest.approx(max(expected) - max(ends), abs=1e-5)
    chord = [ends[0] + step / 24 * (ends[1] - ends[0]) for step in range(25)]
    over = max(loss - straight for loss, straight in zip(expected, chord, strict=True))
    assert numbers(paths, f"barrier{suffix}", **where) == pytest.approx(over, abs=1e-5)


def test_with_cls_pooling_and_one_layer_the_label_does_not_feel_proximity_at_all(finished):
    """Known answer: the label is read at cls, which one layer fills from values; no matter who else looks where."""
    subject = stand_in(finished, TINY_DIAGNOSIS, ModelConfig(width=8, heads=2, pooling="cls"))
    slices = pick(measured(subject, "landscape", ("scratch-seed0",)), "proximity_slice")
    curves = slices.groupby(["stage", "loss", "head"])["value"]
    moved = (curves.max() - curves.min()).groupby(["stage", "loss"]).max()
    assert len(moved) == 4  # both losses at the start and at the end
    assert moved.xs("label", level="loss").max() < 1e-6
    assert moved.xs("reconstruction", level="loss").min() > 1e-5
