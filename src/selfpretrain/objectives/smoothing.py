"""The label's loss with smoothed labels: a trick that makes labels say less."""

import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.feed import Batch
from selfpretrain.objectives.labels import LabelObjective, class_logits

SMOOTHING = 0.1
"""Probability that is spread over all classes (Szegedy et al. 2016)."""


class SmoothedObjective(LabelObjective):
    """Cross-entropy of ``(1 - s)`` of the label and ``s`` of the uniform distribution."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats."""
        return F.cross_entropy(class_logits(model, batch, self.inputs), batch.y, label_smoothing=SMOOTHING)
