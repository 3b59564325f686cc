"""Which positions are masked.

A worked example, symbols, V = 8 (mask id 9):

    targets   3 4 5 1 2
    mask      . # . . #      (# = masked, True)
    inputs    3 9 5 1 9
    loss      cross-entropy at the two # only, averaged over them

Shapes: B batch, T positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from selfpretrain.data.feed import Batch
from selfpretrain.draws import below, bernoulli


def draw_mask(keys: Tensor, keep_mask: Tensor | None, length: int, ratio: float, span_length: int = 1) -> Tensor:
    """Which positions to mask, (B, T), True = masked; padding never is, and every sequence has at least one.

    ``span_length`` 1 masks every position independently with probability ``ratio`` (Amos et al. 2024). Above 1,
    every position starts a run with probability ``1 - (1 - ratio)^(1/s)`` and a run covers s positions, cut at the
    end, so that away from the beginning a position is masked with probability ``ratio``. A sequence left without a
    mask gets one uniformly drawn position.

    Args:
        keys: (B,) of the rows; a sequence's mask depends on its key alone.
        keep_mask: (B, T), True = a real position; None when all are.
        length: T.
    """
    mask = bernoulli(keys, length, 1.0 - (1.0 - ratio) ** (1.0 / span_length))
    starts = mask
    for shift in range(1, min(span_length, length)):
        mask = mask | F.pad(starts, (shift, 0))[:, :length]
    if keep_mask is not None:
        mask = mask & keep_mask
    lengths = length if keep_mask is None else keep_mask.sum(1)
    fallback = below(keys, lengths)
    bare = ~mask.any(dim=1, keepdim=True)
    return mask | (bare & (torch.arange(length, device=mask.device) == fallback[:, None]))


def next_positions(batch: Batch) -> Tensor:
    """The positions that have a next one, (B, T): position t predicts t + 1, and the last predicts nothing."""
    return F.pad(batch.real[:, 1:], (0, 1))
