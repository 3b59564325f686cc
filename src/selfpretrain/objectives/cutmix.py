"""CutMix for sequences: a stretch of each sequence is another one's, and so is its share of the label.

Source: Yun et al. (2019), arXiv 1905.04899, for images; with its uniform share. A worked example:

    sequence   a a a a a a      label A
    partner    b b b b b b      label B
    mixed      a a b b a a      2/3 A + 1/3 B

Shapes: B batch, T positions, Y classes.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.draws import below
from selfpretrain.feed import Batch
from selfpretrain.objectives.labels import LabelObjective, class_logits


def cut_and_mixed(batch: Batch, classes: int) -> tuple[Batch, Tensor]:
    """The batch with a stretch of each sequence taken from the next one, and the mixed labels (B, Y) of row sum 1.

    The stretch has 0 to n positions, all lengths alike, anywhere in the n first positions that both have. Its share of
    the sequence's real positions is the share of the partner's label; of a pair, the mean of both.
    """
    size, length = batch.x.shape[:2]
    keys = batch.draws.keys("cutmix")
    own = torch.full((size,), length, device=keys.device) if batch.keep_mask is None else batch.keep_mask.sum(1)
    per_row = batch.per_row
    both = torch.minimum(own, own.roll(-per_row))
    count = below(keys, both + 1)
    start = below(keys, both - count + 1, word=1)
    places = torch.arange(length, device=keys.device)
    taken = (places >= start[:, None]) & (places < (start + count)[:, None])
    x = torch.where(taken if batch.x.ndim == 2 else taken[..., None], batch.x.roll(-per_row, dims=0), batch.x)
    share = (count / own).view(-1, per_row).mean(1, keepdim=True)
    labels = F.one_hot(batch.y, classes)
    return replace(batch, x=x), (1 - share) * labels + share * labels.roll(-1, dims=0)


class CutMixObjective(LabelObjective):
    """Cross-entropy of mixed labels from mixed sequences."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats."""
        mixed, labels = cut_and_mixed(batch, self.inputs.classes)
        logits = class_logits(model, mixed, self.inputs)
        return F.cross_entropy(logits, labels.to(logits.dtype))
