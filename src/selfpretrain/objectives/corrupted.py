"""Label and reconstruction from one corrupted sequence: the joint recipe of Miralles-Gonzalez et al.

Source: arXiv 2501.14850 and its code. Of each sequence 30% of the positions are chosen. Two thirds of them are masked,
a third shows what stands elsewhere in the sequence. From this one corrupted view the model says the label and *every*
position, and both losses count alike.

Shapes: B batch, T positions.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfpretrain.config import ObjectiveConfig
from selfpretrain.draws import bernoulli, permutation
from selfpretrain.feed import Batch
from selfpretrain.kinds import KINDS, InputSpec
from selfpretrain.objectives.labels import LabelObjective
from selfpretrain.objectives.masking import draw_mask

CHOSEN, REPLACED = 0.3, 1 / 3
"""Share of positions that are corrupted, and of these that show something else instead of the mask."""


class CorruptedObjective(LabelObjective):
    """``label + reconstruction``, both from the corrupted sequence; judged by the label of the clean one alone."""

    def __init__(self, config: ObjectiveConfig, inputs: InputSpec) -> None:
        super().__init__(inputs)
        self.config = config

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """One pass for both."""
        kind = KINDS[self.inputs.kind]
        shown, masked = corrupted(batch)
        real = batch.keep_mask
        if real is None:
            real = torch.ones(batch.x.shape[:2], dtype=torch.bool, device=batch.x.device)
        view = kind.hide(shown, masked, self.inputs)
        logits, predictions = model(view, batch.keep_mask, real, batch.dropout_keys, both=True)
        label = cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, batch.y)
        predictions = predictions.float() if predictions.dtype == torch.bfloat16 else predictions
        return label + kind.losses(predictions, batch.x[real], self.config).mean()


def corrupted(batch: Batch) -> tuple[Tensor, Tensor]:
    """The sequences with some positions replaced, as ``batch.x``; and which others are to be masked, (B, T).

    A replacement is drawn from the sequence's own positions, so that values have replacements, too.
    """
    keys, length = batch.draws.keys("masks"), batch.x.shape[1]
    chosen = draw_mask(keys, batch.keep_mask, length, CHOSEN)
    others = batch.draws.keys("label-masks")
    replaced = chosen & bernoulli(others, length, REPLACED)
    order = permutation(others + 1, length, batch.keep_mask)
    values = batch.x.ndim == 3
    elsewhere = batch.x.gather(1, order[..., None].expand(batch.x.shape) if values else order)
    shown = torch.where(replaced[..., None] if values else replaced, elsewhere, batch.x)
    return shown, chosen & ~replaced
