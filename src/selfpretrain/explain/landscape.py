"""The loss around the weights of one seed: slices, curvature, paths."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from selfpretrain.diagnostics import curvature
from selfpretrain.diagnostics import landscape as formulas
from selfpretrain.diagnostics.alignment import align
from selfpretrain.diagnostics.protocol import observed
from selfpretrain.explain.sample import LOSSES, LossName, Sample, front
from selfpretrain.explain.section import PATHS, Part
from selfpretrain.explain.subject import RECONSTRUCTION_HEAD, Stage, Subject, TrainedRun
from selfpretrain.explain.table import Measurement
from selfpretrain.model.groups import group_of
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.streams import torch_stream

BYTES = 256 * 2**20
"""Most that the scores of one layer take in all that a second derivative keeps; decides how many sequences serve."""
STRENGTHS = torch.linspace(-4, 4, 17).tolist()
LINE = torch.linspace(-1, 1, 21).tolist()
PLANE = torch.linspace(-1, 1, 11).tolist()
EIGENVALUE_TOLERANCE = 1e-4
DENSITY_PROBES, DENSITY_STEPS, TRACE_SAMPLES = 2, 30, 16
"""Coarser than the formulas' defaults: two significant digits are enough for a picture (ours)."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """What surrounds a run, or the paths between several."""
    runs = [run for run in subject.runs if run.name in part]
    return measure_paths(subject, runs) if part[0] == PATHS else measure_surroundings(subject, runs[0])


def measure_surroundings(subject: Subject, run: TrainedRun) -> Iterator[Measurement]:
    """Slices and curvature at every stage of a run."""
    for stage in subject.stages(run, among=subject.pictured):
        model = subject.model(run, stage)
        sample, few = _broad(subject, model), _few(subject, model)
        sample.calibrate(model)  # as for gradients: a wrong bias bends the loss in every direction
        where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step}
        with observed(model):
            yield from _proximity(model, sample, {**where, "n": len(sample)})
            if stage.name == "after-label":
                yield from _slices(model, sample, run.seed, {**where, "n": len(sample)})
            model.double()
            where = {**where, "dtype": "float64"}
            yield from _curvature(model, few.double(), {**where, "n": len(few)})
            if stage.name != "after-label":
                yield from _along_updates(model, sample.double(), few.double(), where)


def _broad(subject: Subject, model: SequenceModel) -> Sample:
    """The probe, or so much of it as may be taken at a time: for the loss and its gradient."""
    return subject.sample.part(0, max(2, subject.sample.together(model, layers=len(model.blocks))))


def _few(subject: Subject, model: SequenceModel) -> Sample:
    """So many sequences that the graph of a second derivative in float64 fits."""
    bytes_each = 8 * model.config.heads * subject.length**2 * len(model.blocks) * 4
    return subject.sample.part(0, max(2, min(subject.config.curvature_sample, BYTES // bytes_each)))


def _closure(model: SequenceModel, sample: Sample, loss: LossName) -> Callable[[], Tensor]:
    return lambda: sample.losses(model, loss).mean()


def _weights(model: SequenceModel, group: str | None = None) -> list[Tensor]:
    """The weights that label training trains, or those of one group."""
    return [
        weight
        for name, weight in model.named_parameters()
        if not name.startswith(RECONSTRUCTION_HEAD) and group in (None, group_of(name))
    ]


def _proximity(model: SequenceModel, sample: Sample, where: dict[str, Any]) -> Iterator[Measurement]:
    """Both losses over the strength of a proximity bias, head by head."""
    drop = front(model)  # cls is nobody's neighbour
    direction = torch.nn.functional.pad(formulas.proximity_direction(sample.length), (drop, 0, drop, 0))
    for loss in LOSSES:

        def losses(model: SequenceModel, part: Sample, loss: LossName = loss) -> Tensor:
            return part.losses(model, loss)

        slices = [
            [
                formulas.proximity_slice(model, sample, losses, direction, STRENGTHS, layer=layer, head=head)
                for head in range(model.config.heads)
            ]
            for layer in range(len(model.blocks))
        ]
        curves = torch.stack([torch.stack([piece.losses for piece in row]) for row in slices])
        common: dict[str, Any] = {"unit": "nats" if loss == "label" else "loss", "loss": loss, **where}
        strengths: dict[str, Any] = {"axes": ("layer", "head", "x"), "coordinates": {"x": STRENGTHS}}
        yield Measurement(name="proximity_slice", values=curves, **strengths, **common)
        for name in ("slope", "curvature"):
            values = [[getattr(piece, name) for piece in row] for row in slices]
            yield Measurement(name=f"proximity_{name}", values=values, axes=("layer", "head"), **common)


def _curvature(model: SequenceModel, sample: Sample, where: dict[str, Any]) -> Iterator[Measurement]:
    """The label loss's Hessian, whole and for queries and keys alone."""
    loss = _closure(model, sample, "label")
    for group in (None, "query-key"):
        hessian = curvature.Hessian(loss, _weights(model, group))
        here: dict[str, Any] = {"unit": "nats/weight^2", "loss": "label", "group": group, **where}
        ends = curvature.hessian_eigenvalues(hessian, 2, "BE", tolerance=EIGENVALUE_TOLERANCE)
        for name, end in (("hessian_largest", 0), ("hessian_smallest", -1)):
            yield Measurement(name=name, values=ends.values[end], **here)
            yield Measurement(name=f"{name}_residual", values=ends.residuals[end], **here)
        trace, error = curvature.hessian_trace(hessian, TRACE_SAMPLES)
        yield Measurement(name="hessian_trace", values=trace, **here)
        yield Measurement(name="hessian_trace_error", values=error, **here)
        density = curvature.spectral_density(hessian, DENSITY_PROBES, DENSITY_STEPS, points=201)
        eigenvalues: dict[str, Any] = {"axes": ("x",), "coordinates": {"x": density.grid}}
        yield Measurement(name="hessian_density", values=density.density, **eigenvalues, **here)


def _along_updates(model: SequenceModel, sample: Sample, few: Sample, where: dict[str, Any]) -> Iterator[Measurement]:
    """What the first AdamW update of either loss does to the label loss; encoder only.

    Its slope and the room for it on all of the probe, its curvature on those few that a second derivative can take.
    """
    encoder = [weight for name, weight in model.named_parameters() if group_of(name) != "head"]
    grads = {
        loss: torch.autograd.grad(sample.losses(model, loss).mean(), encoder, materialize_grads=True) for loss in LOSSES
    }
    # Adam's first step, in units of the rate.
    updates = {loss: [g / (g.abs() + 1e-8) for g in grads[loss]] for loss in LOSSES}
    along = _curvature_along(_closure(model, few, "label"), encoder, updates)
    for loss in LOSSES:
        common: dict[str, Any] = {"loss": loss, **where}  # whose update; what it changes is the label loss
        yield Measurement(name="curvature_along_update", values=along[loss], unit="nats/weight^2", n=len(few), **common)
        slope = -sum(float((g * u).sum()) for g, u in zip(grads["label"], updates[loss], strict=True))
        yield Measurement(name="slope_along_update", values=slope, unit="nats/lr", n=len(sample), **common)
        sharpness = curvature.critical_sharpness(_closure(model, sample, "label"), encoder, updates[loss])
        yield Measurement(name="critical_sharpness", values=sharpness, unit="1/lr", n=len(sample), **common)


def _curvature_along(
    loss: Callable[[], Tensor], weights: Sequence[Tensor], updates: Mapping[LossName, Sequence[Tensor]]
) -> dict[LossName, float]:
    """``u H u / u u`` for every update u; the Hessian's graph, which is large, is gone afterwards."""
    hessian = curvature.Hessian(loss, weights)
    flat = {name: torch.cat([part.flatten() for part in update]).numpy() for name, update in updates.items()}
    return {name: float(u @ (hessian @ u) / (u @ u)) for name, u in flat.items()}


def _slices(model: SequenceModel, sample: Sample, seed: int, where: dict[str, Any]) -> Iterator[Measurement]:
    """The label loss around the trained weights, along filter-normalised random directions."""
    weights, generator = _weights(model), torch_stream(seed, "curvature")
    directions = [formulas.filter_direction(weights, generator) for _ in range(2)]
    loss = _closure(model, sample, "label")
    common: dict[str, Any] = {"unit": "nats", "loss": "label", **where}
    line = formulas.loss_slice(loss, weights, directions[:1], LINE)
    yield Measurement(name="random_line", values=line, axes=("x",), coordinates={"x": LINE}, **common)
    plane = formulas.loss_slice(loss, weights, directions, PLANE, PLANE)
    steps = {"x": PLANE, "y": PLANE}
    yield Measurement(name="random_plane", values=plane, axes=("x", "y"), coordinates=steps, **common)


def measure_paths(subject: Subject, runs: Sequence[TrainedRun]) -> Iterator[Measurement]:
    """The label loss on straight lines between weights of runs of one seed, before and after alignment."""
    for a, b in _pairs(runs):
        ends = [subject.model(*end) for end in (a, b)]
        sample = _broad(subject, ends[0])
        for name, far in (("path", ends[1]), ("path_aligned", align(ends[1], ends[0]))):
            model = subject.model(*a)
            with observed(model):
                path = formulas.interpolation_path(_closure(model, sample, "label"), _weights(model), _weights(far))
            measured = partial(
                Measurement,
                unit="nats",
                loss="label",
                n=len(sample),
                seed=a[0].seed,
                arm=a[0].arm,
                stage=a[1].name,
                other_arm=b[0].arm,
                other_stage=b[1].name,
            )
            shares, losses = path
            yield measured(name=name, values=losses, axes=("x",), coordinates={"x": shares.tolist()})
            yield measured(name=name.replace("path", "barrier"), values=formulas.barrier_of(shares, losses))
            rise = float(losses.max() - max(losses[0], losses[-1]))
            yield measured(name=name.replace("path", "rise"), values=rise)


def _pairs(runs: Sequence[TrainedRun]) -> list[tuple[tuple[TrainedRun, Stage], tuple[TrainedRun, Stage]]]:
    """Along every run's own way, and between the ends of different runs."""
    own = [((run, a), (run, b)) for run in runs for a, b in zip(run.stages, run.stages[1:], strict=False)]
    ends = [(run, run.stages[-1]) for run in runs]
    return [*own, *((a, b) for i, a in enumerate(ends) for b in ends[i + 1 :])]
