"""A model that attends as another one does: its scores are the other's, everything else is its own.

This moves what attention does without moving the weights that do it, which mean something in their own residual stream
alone (the test of Li et al., arXiv 2411.09702).
"""

from typing import Any

import torch
from torch import Tensor, nn

from selfpretrain.model.attention import Attention, Scores
from selfpretrain.model.transformer import Outputs, SequenceModel


class BorrowedAttention(nn.Module):
    """``own``, with the attention scores that ``lender`` has for the same sequences, layer by layer and head by head.

    The lender does not learn. Queries and keys of ``own`` decide nothing and get no gradient.
    """

    def __init__(self, own: SequenceModel, lender: SequenceModel) -> None:
        super().__init__()
        self.config, self.inputs = own.config, own.inputs
        self.own, self.lender = own, lender.requires_grad_(False)
        self._lent: list[Tensor] = []
        for model in (own, lender):
            for module in model.modules():
                if isinstance(module, Attention):
                    module.kernel = "eager"  # the kernel that has scores
        for layer, (mine, theirs) in enumerate(zip(_scores(own), _scores(lender), strict=True)):
            theirs.register_forward_hook(lambda _, __, scores: self._lent.append(scores))
            mine.register_forward_hook(lambda _, __, scores, layer=layer: self._lent[layer])

    def forward(self, x: Tensor, keep_mask: Tensor | None = None, *rest: Any, **how: Any) -> Outputs:
        self._lent.clear()
        with torch.no_grad():
            self.lender.eval().encode(x, keep_mask)
        outputs: Outputs = self.own(x, keep_mask, *rest, **how)
        return outputs


def _scores(model: nn.Module) -> list[Scores]:
    return [module for module in model.modules() if isinstance(module, Scores)]
