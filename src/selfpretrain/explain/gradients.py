"""What either loss teaches attention: at the start, along training, at the end."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfpretrain.diagnostics import gradients as formulas
from selfpretrain.diagnostics.protocol import observed
from selfpretrain.explain.cells import QUERY_KEY
from selfpretrain.explain.sample import LOSSES, LossName, Sample, front
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import ALONG, Subject, TrainedRun
from selfpretrain.explain.table import Measurement
from selfpretrain.model.groups import group_of
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.streams import torch_stream
from selfpretrain.train.objectives import class_logits

MICRO_BATCH = 4
"""Sequences whose gradients on weights are taken together."""
GRADIENT_NUMBERS, GRADIENTS, LEAST_OF_LABELS = 2**26, 4000, 64
"""Of the test of labels: numbers of gradients that are kept at a time, gradients that are taken where there are many
classes, and sequences below which nothing is asked (ours)."""
LONGEST_LAG = 16
"""Lags whose signal is kept one by one, and --max-lag if it is longer."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """Score gradients at every stage and snapshot, gradients on groups of weights at the stages, for one run."""
    run = next(run for run in subject.runs if run.name in part)
    max_lag = subject.config.max_lag
    for stage in subject.stages(run):
        model, sample = subject.model(run, stage), subject.large_sample
        where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step}
        sample.calibrate(model)
        yield from _on_scores(model, sample, max_lag, where)
        yield from _on_groups(model, subject.sample, where)
        if stage.name == "start":
            yield _without_order(model, sample, max_lag, where)
            yield from _of_labels(model, sample, where)
    for stage in run.along[1:]:
        where = {**run.where, "stage": stage.name, "step": stage.step}
        model = subject.model(run, stage)
        subject.sample.calibrate(model)
        yield from _on_scores(model, subject.sample, max_lag, where)
    yield from _update_ratios(run)


def _on_scores(model: SequenceModel, sample: Sample, max_lag: int, where: dict[str, Any]) -> Iterator[Measurement]:
    """Signal and noise of both losses on looking near (proximity) and on looking ahead (direction), and on both."""
    proximity, block = {}, {}
    reach = max(max_lag, min(LONGEST_LAG, sample.length - 1))
    by_head: dict[str, Any] = {"axes": ("layer", "head")}
    by_lag: dict[str, Any] = {"axes": ("layer", "head", "lag"), "coordinates": {"lag": range(1, reach + 1)}}
    for loss in LOSSES:
        components = _lag_components(model, sample, loss)
        near = formulas.near_lags(components, reach)  # (B, layers, heads, 2 reach)
        parts = {"proximity": formulas.proximity_part(near), "direction": formulas.direction_part(near)}
        measured = partial(Measurement, unit="1", loss=loss, n=len(sample), **where)
        for name, part in parts.items():
            near_part = part[..., :max_lag]
            yield measured(name=f"{name}_snr", values=formulas.gradient_snr(near_part.flatten(1)))
            yield measured(name=f"{name}_snr_by_head", values=formulas.gradient_snr(near_part), **by_head)
            yield measured(name=f"{name}_snr_by_lag", values=formulas.gradient_snr(part[..., None]), **by_lag)
            pressure = measured(name=f"{name}_pressure", values=-part.mean(0), **by_lag)
            yield replace(pressure, unit="loss/score")
        proximity[loss] = parts["proximity"][..., :max_lag]
        block[loss] = formulas.near_lags(components, max_lag)
        yield measured(name="band_snr", values=formulas.gradient_snr(block[loss].flatten(1)))
    for name, vectors in (("blindness_ratio", proximity), ("band_ratio", block)):
        ratio = formulas.blindness_ratio(vectors["label"], vectors["reconstruction"])
        for ending, value in zip(("", "_low", "_high"), ratio, strict=True):
            yield Measurement(name=name + ending, values=value, unit="1", n=len(sample), **where)


def _without_order(model: SequenceModel, sample: Sample, max_lag: int, where: dict[str, Any]) -> Measurement:
    """The reconstruction's signal on proximity when positions are shuffled: what of it is not local structure."""
    generator = torch_stream(0, "shuffle")
    order = torch.rand(sample.batch.x.shape[:2], generator=generator).argsort(dim=1)
    x = sample.batch.x[torch.arange(len(sample))[:, None], order]
    mixed = replace(sample, batch=replace(sample.batch, x=x))
    near = formulas.near_lags(_lag_components(model, mixed, "reconstruction"), max_lag)
    snr = formulas.gradient_snr(formulas.proximity_part(near).flatten(1))
    return Measurement(
        name="proximity_snr_shuffled", values=snr, unit="1", loss="reconstruction", n=len(sample), **where
    )


def _lag_components(model: SequenceModel, sample: Sample, loss: LossName) -> Tensor:
    """Every sequence's score gradient along all lags, (B, layers, heads, 2n-1), on the CPU."""

    def losses(model: SequenceModel, part: Sample) -> Tensor:
        return part.losses(model, loss)

    drop = front(model)
    parts = []
    for chunk in sample.chunks(sample.together(model, layers=len(model.blocks))):
        layers = formulas.score_gradient(model, chunk, losses)
        parts.append(torch.stack([formulas.lag_components(g[..., drop:, drop:]) for g in layers], dim=1))
    return torch.cat(parts)


def _on_groups(model: SequenceModel, sample: Sample, where: dict[str, Any]) -> Iterator[Measurement]:
    """Norm and signal of the gradient on every group of weights, and the angle between the two losses'."""
    groups: dict[str, list[Tensor]] = {}
    for name, weight in model.named_parameters():
        if group_of(name) != "head":  # each loss has a head of its own
            groups.setdefault(group_of(name), []).append(weight)
    n = len(sample) // (2 * MICRO_BATCH) * 2 * MICRO_BATCH  # an even number of whole micro-batches
    micro = sample.part(0, n).chunks(MICRO_BATCH)
    gradients = {}
    with observed(model):
        for loss in LOSSES:

            def mean_loss(part: Sample, loss: LossName = loss) -> Tensor:
                return part.losses(model, loss).mean()

            gradients[loss] = formulas.group_gradients(mean_loss, micro, groups, MICRO_BATCH)
    for group in groups:
        measured = partial(Measurement, group=group, n=n, **where)
        for loss in LOSSES:
            gradient = gradients[loss][group]
            yield measured(name="gradient_norm", values=gradient.norm, unit="loss/weight", loss=loss)
            yield measured(name="gradient_snr", values=gradient.snr, unit="1", loss=loss)
        halves = (*gradients["reconstruction"][group].halves, *gradients["label"][group].halves)
        yield measured(name="gradient_cosine", values=formulas.split_half_cosine(*halves), unit="1")


def _of_labels(model: SequenceModel, sample: Sample, where: dict[str, Any]) -> Iterator[Measurement]:
    """Whether labels have anything to do with the gradients of the logits on query-key weights; see ``label_signal``.

    Of C classes the C - 1 differences from the first logit count, one after the other.
    """
    weights = [weight for name, weight in model.named_parameters() if group_of(name) == QUERY_KEY[0]]
    others = model.label_layer.out_features - 1
    fit = GRADIENT_NUMBERS // sum(weight.numel() for weight in weights)
    n = min(len(sample), fit, max(LEAST_OF_LABELS, GRADIENTS // others))
    if n < LEAST_OF_LABELS or len(sample.batch.y[:n].bincount().nonzero()) < 2:
        return

    def gradient(one: Sample, other: int) -> Tensor:
        (logits,) = class_logits(model, one.batch, model.inputs)
        return torch.cat([g.flatten() for g in torch.autograd.grad(logits[other] - logits[0], weights)])

    singles, gram = sample.part(0, n).chunks(1), torch.zeros(n, n)
    with observed(model):
        for other in range(1, others + 1):
            gradients = torch.stack([gradient(one, other) for one in singles])
            gram += gradients @ gradients.T
    signal = formulas.label_signal(gram, sample.batch.y[:n])
    for ending, value in signal._asdict().items():
        yield Measurement(
            name=f"label_signal_{ending}", values=value, unit="1", loss="label", group=QUERY_KEY[0], n=n, **where
        )


def _update_ratios(run: TrainedRun) -> Iterator[Measurement]:
    """Size of updates relative to weights, as recorded while training."""
    for phase, stage in ALONG.items():
        rows = run.run.phase(phase)
        for group in sorted({group for row in rows for group in row["update_ratio"]}):
            yield Measurement(
                name="update_ratio",
                values=[row["update_ratio"].get(group, np.nan) for row in rows],
                unit="1",
                axes=("step",),
                coordinates={"step": [row["step"] for row in rows]},
                group=group,
                stage=stage,
                **run.where,
            )
