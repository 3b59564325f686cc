"""The sequences that models are looked at with: always the same, with fixed masks."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from selfpretrain.config import ObjectiveConfig
from selfpretrain.diagnostics.protocol import observed
from selfpretrain.feed import Batch
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.objectives.labels import class_logits, label_losses
from selfpretrain.objectives.reconstruction import reconstruction_losses

LossName = Literal["label", "reconstruction"]
LOSSES: tuple[LossName, ...] = ("label", "reconstruction")
SCORE_BYTES = 64 * 2**20
"""Most that the scores of sequences which are taken together have, in float32 (ours)."""
CALIBRATION_STEPS = 50


@dataclass(frozen=True)
class Sample:
    """Sequences of one length, and the positions to reconstruct in them.

    Attributes:
        batch: nothing is padded.
        chosen: (B, T), True = reconstruct here.
        objective: what reconstruction means.
    """

    batch: Batch
    chosen: Tensor
    objective: ObjectiveConfig

    def __len__(self) -> int:
        return len(self.batch.y)

    @property
    def length(self) -> int:
        """Positions of every sequence."""
        return self.batch.x.shape[1]

    def part(self, start: int, stop: int) -> "Sample":
        """Some of the sequences, in order."""
        here, batch = slice(start, stop), self.batch
        draws = replace(batch.draws, rows=batch.draws.rows[here])
        return replace(self, batch=Batch(batch.x[here], None, batch.y[here], draws), chosen=self.chosen[here])

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
        return reconstruction_losses(model, self.batch, self.chosen, self.objective, model.inputs)

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
