"""Several models of one shape as one, whose class probabilities are the mean of theirs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from selfpretrain.model.transformer import Outputs, SequenceModel


class Average(nn.Module):
    """The mean of the class probabilities of ``models``, such as the seeds of an arm."""

    def __init__(self, models: Sequence[SequenceModel]) -> None:
        super().__init__()
        self.config, self.inputs = models[0].config, models[0].inputs
        self.models = nn.ModuleList(models)

    def forward(self, x: Tensor, keep_mask: Tensor | None = None, *rest: Any, **how: Any) -> Outputs:
        """The logarithm of the mean as logits, (B, Y)."""
        logits = [model(x, keep_mask, *rest, **how).logits.log_softmax(-1) for model in self.models]
        return Outputs(torch.stack(logits).logsumexp(0) - math.log(len(logits)), None)
