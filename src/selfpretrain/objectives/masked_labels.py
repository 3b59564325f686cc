"""The label's loss on sequences with some positions hidden: the augmentation nearest to what self-pretraining sees."""

import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.feed import Batch
from selfpretrain.objectives.labels import LabelObjective, class_logits
from selfpretrain.objectives.masking import draw_mask

HIDDEN = 0.15
"""Expected share of hidden positions (ours; the share that BERT hides)."""


class MaskedLabelObjective(LabelObjective):
    """Cross-entropy of the label, from a sequence of which other positions are hidden in every step."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats."""
        hidden = draw_mask(batch.draws.keys("label-masks"), batch.keep_mask, batch.x.shape[1], HIDDEN)
        return F.cross_entropy(class_logits(model, batch, self.inputs, hidden), batch.y)
