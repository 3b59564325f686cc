"""Multi-head self-attention, with a fused and an explicit kernel.

Shapes: B batch, T positions, D model width, H heads, K head width (D = H K).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.config import ModelConfig
from selfpretrain.model.positions import distance_bias, rotate


def attention_bias(
    keep_mask: Tensor | None, length: int, slopes: Tensor | None, *, causal: bool, like: Tensor
) -> Tensor | None:
    """What is added to the scores, (B or 1, H or 1, T, T), or None where that is nothing.

    The only place that turns padding into attention: a key outside ``keep_mask`` gets ``-inf`` and so a weight of
    exactly 0, for every query.

    Args:
        keep_mask: (B, T), True = a real position; None when all are.
        slopes: (H,) of a fixed preference for near positions (``distance_bias``); None for none.
        like: gives device and dtype.
    """
    bias = None
    if slopes is not None:
        bias = distance_bias(length, slopes).to(like)[None]
    if causal:
        future = torch.ones(length, length, dtype=torch.bool, device=like.device).triu(1)
        bias = (like.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(future, -math.inf)
    if keep_mask is not None:
        bias = (like.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(
            ~keep_mask[:, None, None, :], -math.inf
        )
        bias = bias.expand(-1, -1, length, -1)
    return bias


class Scores(nn.Module):
    """Scores before the softmax (B, H, T, T): ``S_ij = q_i . k_j / sqrt(K) + bias_ij``.

    It has no weights. It is a module so that a forward hook can read queries, keys and scores, or change the scores;
    the eager kernel alone comes through here.
    """

    def forward(self, q_BHTK: Tensor, k_BHTK: Tensor, bias: Tensor | None) -> Tensor:
        """Queries and keys as they meet (after any rotation); ``bias`` as from ``attention_bias``."""
        scores = (q_BHTK / math.sqrt(q_BHTK.shape[-1])) @ k_BHTK.transpose(-1, -2)
        return scores if bias is None else scores + bias


class Attention(nn.Module):
    """``output(softmax(S) V)`` with ``S`` from ``Scores``; queries, keys and values have biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kernel = config.heads, config.attention
        self.rotary = config.positions == "rotary"
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        self.scores = Scores()

    def forward(self, x_BTD: Tensor, bias: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D); ``bias`` as from ``attention_bias``."""
        q, k, v = (
            projection(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, K)
            for projection in (self.query, self.key, self.value)
        )
        if self.rotary:
            q, k = rotate(q), rotate(k)
        if bias is not None:
            bias = bias.to(q.dtype)
        if self.kernel == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            mixed = self.scores(q, k, bias).softmax(dim=-1) @ v
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, D)
        return out
