"""What hidden states hold, whether arms come to the same ones, and which weights have moved."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from selfpretrain.diagnostics import representation as formulas
from selfpretrain.explain.sample import Sample, collect, front
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import Stage, Subject, TrainedRun
from selfpretrain.explain.table import Measurement
from selfpretrain.model.attention import Attention
from selfpretrain.model.groups import group_of
from selfpretrain.model.transformer import SequenceModel


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """Linear probes, weight changes and similarity for the runs of one seed."""
    runs = [run for run in subject.runs if run.name in part]
    fitted, held_out = subject.large_sample, subject.held_out()
    pooled: list[tuple[TrainedRun, Stage, Tensor]] = []
    for run in runs:
        start = subject.model(run, run.stages[0])
        for stage in subject.stages(run):
            model = subject.model(run, stage)
            where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step}
            train, val = _features(model, fitted), _features(model, held_out)  # (layers, N, D)
            pooled.append((run, stage, val))
            accuracies = [
                formulas.linear_probe(a.numpy(), fitted.batch.y.numpy(), b.numpy(), held_out.batch.y.numpy())
                for a, b in zip(train, val, strict=True)
            ]
            yield Measurement(
                name="linear_probe", values=accuracies, unit="accuracy", axes=("layer",), n=len(held_out), **where
            )
            symmetry = formulas.symmetry(_products(model)["query-key"])
            yield Measurement(name="query_key_symmetry", values=symmetry, unit="1", axes=("layer", "head"), **where)
            if stage.name != "start":
                yield from _changes(model, start, where)
    for (run, stage, features), (other_run, other_stage, other_features) in itertools.combinations(pooled, 2):
        yield Measurement(
            name="cka",
            values=[[formulas.cka(x, y) for y in other_features] for x in features],
            unit="1",
            axes=("layer", "other_layer"),
            **run.where,
            stage=stage.name,
            other_arm=other_run.arm,
            other_stage=other_stage.name,
            n=len(held_out),
        )


def _features(model: SequenceModel, sample: Sample) -> Tensor:
    """Hidden states after every block, averaged over positions, (layers, N, D)."""
    drop = front(model)
    pooled = collect(
        model, sample, sample.together(model), list(model.blocks), lambda _, output: output[:, drop:].mean(1)
    )
    return torch.stack(pooled)


@torch.no_grad()
def _changes(model: SequenceModel, start: SequenceModel, where: dict[str, Any]) -> Iterator[Measurement]:
    """``||W - W0|| / ||W0||`` by group; queries and keys, values and outputs by what they compute together."""
    now, before = ({n: w.detach() for n, w in m.named_parameters()} for m in (model, start))
    products = _products(start)
    for group, after in _products(model).items():
        initial = products[group]
        change = formulas.relative_change(after, initial)
        yield Measurement(name="weight_change", values=change, unit="1", group=group, **where)
        rank = formulas.effective_rank(after - initial)
        yield Measurement(name="change_rank", values=rank, unit="1", axes=("layer", "head"), group=group, **where)
    for group in sorted({group_of(name) for name in now} - {"query-key", "value-output", "head"}):
        mine = [name for name in now if group_of(name) == group]
        flat = [torch.cat([weights[name].flatten() for name in mine]) for weights in (now, before)]
        change = formulas.relative_change(*flat)
        yield Measurement(name="weight_change", values=change, unit="1", group=group, **where)


@torch.no_grad()
def _products(model: SequenceModel) -> dict[str, Tensor]:
    """The products of weights that a head works with, (layers, heads, D, D) each."""
    heads = model.config.heads
    attention = [module for module in model.modules() if isinstance(module, Attention)]
    ask = [formulas.head_products(a.query.weight, a.key.weight, heads) for a in attention]
    give = [formulas.head_products(a.output.weight.T, a.value.weight, heads) for a in attention]
    return {"query-key": torch.stack(ask), "value-output": torch.stack(give)}
