"""The sequences that models are looked at with: always the same, with fixed masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from selfpretrain.config import LARGE_SAMPLE, LEAST_SAMPLE, SAMPLE, DiagnoseConfig, ModelConfig, ObjectiveConfig
from selfpretrain.data.feed import Batch, make_batch
from selfpretrain.data.kinds import KINDS, InputSpec
from selfpretrain.data.task import Split, Task
from selfpretrain.diagnostics.protocol import hooked, observed
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import OBJECTIVES
from selfpretrain.streams import numpy_stream
from selfpretrain.train.objectives import Reconstruction, class_logits, label_losses, make_objective

LossName = Literal["label", "reconstruction"]
LOSSES: tuple[LossName, ...] = ("label", "reconstruction")
SCORE_BYTES = 64 * 2**20
"""Most that the scores of sequences which are taken together have, in float32 (ours)."""
CALIBRATION_STEPS = 50
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Sample:
    """Sequences of one length, and the positions to reconstruct in them.

    Attributes:
        batch: nothing is padded.
        chosen: (B, T), True = reconstruct here.
        reconstruction: the loss of self-pretraining, or of masked positions where it has none of its own.
    """

    batch: Batch
    chosen: Tensor
    reconstruction: Reconstruction

    def __len__(self) -> int:
        return len(self.batch.y)

    @property
    def length(self) -> int:
        """Tokens of every sequence, which attention sees: its positions, or its patches."""
        return self.batch.x.shape[1] // self.reconstruction.inputs.patch

    def part(self, start: int, stop: int) -> "Sample":
        """Some of the sequences, in order."""
        here = slice(start, stop)
        return replace(self, batch=_part(self.batch, here), chosen=self.chosen[here])

    def chunks(self, size: int) -> list["Sample"]:
        """All of them, ``size`` at a time."""
        return [self.part(start, start + size) for start in range(0, len(self), size)]

    def together(self, model: SequenceModel, *, layers: int = 1) -> int:
        """How many sequences may be taken at a time, if the scores of so many layers are kept."""
        return max(1, SCORE_BYTES // (4 * model.config.heads * self.length**2 * layers))

    def double(self) -> "Sample":
        """The same for a model in float64."""
        x = self.batch.x.double() if self.batch.x.is_floating_point() else self.batch.x
        return replace(self, batch=replace(self.batch, x=x))

    def losses(self, model: SequenceModel, loss: LossName) -> Tensor:
        """The loss of every sequence (B,)."""
        if loss == "label":
            return label_losses(model, self.batch, model.inputs)
        return self.reconstruction.sequence_losses(model, self.batch, self.chosen)

    @torch.no_grad()
    def calibrate(self, model: SequenceModel) -> None:
        """Set the label head's bias so that the mean prediction is the classes' shares, in place.

        A bias that is off pushes every score for every sequence alike, which is a signal, but not one about labels; a
        few steps of label training remove it. By iterative scaling: ``b += log share - log mean prediction``. It is
        fitted to the N sequences that are looked at, which biases the SNR of a gradient without signal by at most -1/N.
        """
        head = model.label_layer
        share = torch.bincount(self.batch.y, minlength=head.out_features).clamp(min=0.5) / len(self)
        with observed(model):
            chunks = self.chunks(self.together(model, layers=len(model.blocks)))
            logits = torch.cat([class_logits(model, c.batch, model.inputs) for c in chunks])
        shift = torch.zeros(head.out_features)
        for _ in range(CALIBRATION_STEPS):
            shift = shift + share.log() - (logits + shift).softmax(1).mean(0).log()
        head.bias.add_(shift)


def collect(
    model: SequenceModel,
    sample: Sample,
    size: int,
    modules: Sequence[nn.Module],
    take: Callable[[tuple[Any, ...], Tensor], Tensor],
) -> list[Tensor]:
    """What ``take(inputs, output)`` gives at every module of a layer, for all sequences, ``size`` at a time."""
    kept: list[list[Tensor]] = [[] for _ in modules]

    def see(layer: int, inputs: tuple[Any, ...], output: Tensor) -> None:
        kept[layer].append(take(inputs, output))

    with observed(model), torch.no_grad(), hooked(modules, see):
        for chunk in sample.chunks(size):
            x = KINDS[model.inputs.kind].hide(chunk.batch.x, None, model.inputs)
            model.encode(x, chunk.batch.keep_mask)  # all positions, whatever the label head reads
    return [torch.cat(parts) for parts in kept]


def front(model: SequenceModel) -> int:
    """Positions in front of the sequence's own: 1 where there is a cls token."""
    return int(model.cls is not None)


def reconstruction_of(config: ObjectiveConfig, inputs: InputSpec) -> Reconstruction:
    """The loss of self-pretraining; where that predicts no positions, the loss of masked ones."""
    name = config.objective if issubclass(OBJECTIVES[config.objective], Reconstruction) else "masked"
    objective = make_objective(name, OBJECTIVES[name].settings(config, KINDS[inputs.kind]), inputs)
    assert isinstance(objective, Reconstruction)
    return objective


def _part(batch: Batch, here: slice) -> Batch:
    """Some rows of a batch without padding."""
    draws = replace(batch.draws, rows=batch.draws.rows[here])
    partner = None if batch.partner is None else _part(batch.partner, here)
    return Batch(batch.x[here], None, batch.y[here], draws, partner=partner)


SAMPLE_SCORES, LARGE_SAMPLE_SCORES = 2**27, 2**29
"""Scores, over layers and heads, that a sample may have: longer sequences are taken in smaller numbers (ours)."""


@dataclass(frozen=True)
class Sampling:
    """The sizes of what is looked at.

    Attributes:
        length: tokens of every sequence, positions or patches; longer ones are cut.
        patch: positions of a token.
        n_sample, n_large: sequences of the sample, and of the large one that begins with it.
    """

    length: int
    n_sample: int
    n_large: int
    patch: int = 1

    @property
    def positions(self) -> int:
        """Of every sequence."""
        return self.length * self.patch

    @classmethod
    def of(cls, task: Task, model: ModelConfig, config: DiagnoseConfig) -> "Sampling":
        """What is asked for, or what the task's lengths allow.

        Raises:
            RequestError: a sample that the data cannot fill.
        """
        length = _common_length(task, model.patch, config)
        there = int((task.train.lengths >= length * model.patch).sum())

        def affordable(most: int, scores: int) -> int:
            return min(most, there, max(LEAST_SAMPLE, scores // (model.heads * model.depth * length**2)))

        n_sample = config.sample or affordable(SAMPLE, SAMPLE_SCORES)
        wanted = config.large_sample or affordable(LARGE_SAMPLE, LARGE_SAMPLE_SCORES)
        return cls(length, n_sample, min(there, max(n_sample, wanted)), model.patch)

    def draw(self, task: Task, rows: Split, count: int, objective: ObjectiveConfig) -> Sample:
        """``count`` of the rows that are long enough, at random but always the same, with fixed masks."""
        long_enough = np.flatnonzero(rows.lengths >= self.positions)
        index = long_enough[numpy_stream(0, "sample").permutation(len(long_enough))[:count]]
        lengths = np.full(len(index), self.positions)
        cut = Split(rows.x[index, : self.positions], lengths, rows.y[index], rows.numbers[index])
        batch = make_batch(cut, CPU)
        reconstruction = reconstruction_of(objective, replace(task.inputs, patch=self.patch))
        if reconstruction.needs_partners:
            others = rows.rows(np.roll(index, -1))
            partner = make_batch(Split(others.x[:, : self.positions], lengths, others.y, others.numbers), CPU)
            batch = replace(batch, partner=partner)
        return Sample(batch, reconstruction.choose(batch, batch.draws.keys("sample")), reconstruction)


def _common_length(task: Task, patch: int, config: DiagnoseConfig) -> int:
    """The longest length, in whole patches, that enough sequences reach.

    Of ragged sequences as many positions in all as possible are looked at. With the lengths sorted downwards, c
    sequences share the length l_c; the c between ``LEAST_SAMPLE`` and ``SAMPLE`` that maximises c l_c is taken.
    """
    lengths = np.sort(task.train.lengths)[::-1]
    if len(lengths) < max(LEAST_SAMPLE, config.sample or 0):
        has = f"the task has {len(lengths)} training sequences"
        if len(lengths) < LEAST_SAMPLE:
            raise RequestError(f"a sample takes {LEAST_SAMPLE}, and {has}; diagnose needs more data")
        raise SettingError("sample", config.sample, f"does not fit: {has}; give {len(lengths)} or fewer")
    counts = np.arange(min(SAMPLE, len(lengths)), LEAST_SAMPLE - 1, -1)
    count = config.sample or int(counts[(counts * lengths[counts - 1]).argmax()])
    held_out = np.sort(task.val.lengths)[::-1]
    few = min(LEAST_SAMPLE, len(held_out))  # validation sequences have to reach it, too, for probes and similarity
    length = int(min(lengths[count - 1], held_out[few - 1])) // patch
    tokens = "positions" if patch == 1 else f"patches of {patch} positions"
    if length < 3:
        raise RequestError(f"the task's sequences are too short to look at: they share only {length} {tokens}")
    if length <= config.max_lag + 1:
        shared = f"{count} training and {few} validation sequences share only {length} {tokens}"
        cure = f"give {length - 2} or fewer, or a smaller sample"
        raise SettingError("max_lag", config.max_lag, f"does not fit: {shared}; {cure}")
    return length
