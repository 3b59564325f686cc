"""Along every training: how alike the states of a sequence's positions are, and where attention already looks."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from selfpretrain.diagnostics import attention, representation
from selfpretrain.diagnostics.protocol import score_modules
from selfpretrain.explain.sample import Sample, collect, front
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import Measurement
from selfpretrain.model.transformer import SequenceModel

SEQUENCES = 32
"""Of the sample; each has a matrix of attention for every layer and head (ours)."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """State cosines, and the attention on the pattern of the finished SPT model, for the runs of one seed."""
    runs = [run for run in subject.runs if run.name in part]
    sample = subject.sample.part(0, SEQUENCES)
    finished = next((run for run in runs if run.arm == "spt"), None)
    pattern = None
    if finished is not None:
        _, maps = _looked_at(subject.model(finished, finished.stages[-1]), sample)
        pattern = attention.top_pattern(maps.mean(2), min(2 * subject.config.max_lag + 1, sample.length))
    for run in runs:
        for stage in run.along:
            states, maps = _looked_at(subject.model(run, stage), sample)
            where: dict[str, Any] = {**run.where, "stage": stage.name, "step": stage.step, "n": len(sample)}
            cosines = representation.position_cosine(states).mean(1)
            yield Measurement(name="state_cosine", values=cosines, unit="1", axes=("layer",), **where)
            if pattern is not None:
                mass = attention.pattern_mass_relative(maps.mean(2), pattern).mean(1)
                yield Measurement(name="pattern_mass_relative", values=mass, unit="1", axes=("layer",), **where)


def _looked_at(model: SequenceModel, sample: Sample) -> tuple[Tensor, Tensor]:
    """States after every block (layers, N, n, D), and attention (layers, N, heads, n, n), both without cls."""
    size, drop = sample.together(model, layers=len(model.blocks)), front(model)
    states = collect(model, sample, size, list(model.blocks), lambda _, output: output[:, drop:])
    maps = collect(model, sample, size, score_modules(model), lambda _, scores: scores[..., drop:, drop:].softmax(-1))
    return torch.stack(states), torch.stack(maps)
