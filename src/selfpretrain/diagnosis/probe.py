"""The sequences that models are looked at with: always the same, with fixed masks."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig
from selfpretrain.diagnostics.protocol import observed
from selfpretrain.model import SequenceModel
from selfpretrain.objectives import Batch, label_losses, model_inputs, reconstruction_losses

LossName = Literal["label", "reconstruction"]
LOSSES: tuple[LossName, ...] = ("label", "reconstruction")
SCORE_BYTES = 64 * 2**20
"""Most that the scores of sequences which are taken together have, in float32 (ours)."""
CALIBRATION_STEPS = 50


@dataclass(frozen=True)
class Probe:
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

    def part(self, start: int, stop: int) -> "Probe":
        """Some of the sequences, in order."""
        here = slice(start, stop)
        return replace(self, batch=Batch(self.batch.x[here], None, self.batch.y[here]), chosen=self.chosen[here])

    def chunks(self, size: int) -> list["Probe"]:
        """All of them, ``size`` at a time."""
        return [self.part(start, start + size) for start in range(0, len(self), size)]

    def together(self, model: SequenceModel, *, layers: int = 1) -> int:
        """How many sequences may be taken at a time, if the scores of so many layers are kept."""
        return max(1, SCORE_BYTES // (4 * model.config.heads * self.length**2 * layers))

    def double(self) -> "Probe":
        """The same for a model in float64."""
        x = self.batch.x.double() if self.batch.x.is_floating_point() else self.batch.x
        return replace(self, batch=replace(self.batch, x=x))

    def losses(self, model: SequenceModel, loss: LossName) -> Tensor:
        """The loss of every sequence (B,)."""
        if loss == "label":
            return label_losses(model, self.batch)
        return reconstruction_losses(model, self.batch, self.chosen, self.objective)

    @torch.no_grad()
    def calibrate(self, model: SequenceModel) -> None:
        """Set the label head's bias so that the mean prediction is the classes' shares, in place.

        A bias that is off pushes every score for every sequence alike, which is a signal, but not one about labels; a
        few steps of label training remove it. By iterative scaling: ``b += log share - log mean prediction``. Fitted to
        the sequences that are looked at, it leaves a blind gradient's signal below 0 by at most one over their number.
        """
        head = model.label_head[-1] if isinstance(model.label_head, nn.Sequential) else model.label_head
        assert isinstance(head, nn.Linear)
        share = torch.bincount(self.batch.y, minlength=head.out_features).clamp(min=0.5) / len(self)
        with observed(model):
            chunks = self.chunks(self.together(model, layers=len(model.blocks)))
            logits = torch.cat([model.classify(model_inputs(c.batch.x, None, model.inputs), None) for c in chunks])
        shift = torch.zeros(head.out_features)
        for _ in range(CALIBRATION_STEPS):
            shift = shift + share.log() - (logits + shift).softmax(1).mean(0).log()
        head.bias.add_(shift)
