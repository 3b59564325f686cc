"""Which positions may look at which, and what they lose by distance; a kernel turns it into what it likes.

Shapes: B batch, T positions, H heads, Q some queries.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def alibi_slopes(heads: int) -> Tensor:
    """ALiBi's slopes (H,), float64: ``2^(-8h/H)``, h = 1..H.

    Source: Press et al. (2022), arXiv 2108.12409.
    """
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)


def distance_bias(queries: Tensor, keys: Tensor, slopes: Tensor) -> Tensor:
    """Score bias (H, Q, T) of positions i, j: ``-slope_h |i - j|``, ALiBi's for attention that looks both ways."""
    return -slopes[:, None, None] * (queries[:, None] - keys).abs()


@dataclass(frozen=True)
class Mask:
    """Padding, causality and a preference for near positions.

    Attributes:
        keep: (B, T), True = a real position; None when all are. Padding stands at the end.
        causal: attention looks back only.
        slopes: (H,) of ``distance_bias``; None for none.
        table: that bias (H, L, L) of at least T positions, where it is held; None makes it when it is asked for.
        block: positions of a block, where a position sees its own block and both neighbours alone; None: all see all.
    """

    keep: Tensor | None = None
    causal: bool = False
    slopes: Tensor | None = None
    table: Tensor | None = None
    block: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every position sees the same: all real ones, without a preference."""
        return not self.causal and self.slopes is None and self.block is None

    def keys_of(self, queries: range, length: int) -> range:
        """The keys that any of these queries may look at by their blocks, of ``length`` in all."""
        if self.block is None:
            return range(length)
        first, last = queries[0] // self.block, queries[-1] // self.block
        return range(max(0, (first - 1) * self.block), min(length, (last + 2) * self.block))

    def bias(self, queries: range, keys: range, like: Tensor) -> Tensor | None:
        """What is added to the scores of these queries and keys; None where that is nothing.

        A key that may not be seen gets ``-inf``, and so a weight of exactly 0. Device and dtype are those of ``like``.

        Returns:
            (B or 1, H or 1, Q or 1, T), with T of these keys.
        """
        i = torch.arange(queries.start, queries.stop, device=like.device)[:, None]
        j = torch.arange(keys.start, keys.stop, device=like.device)
        bias: Tensor | None = None
        if self.table is not None:
            bias = self.table[None, :, queries.start : queries.stop, keys.start : keys.stop].to(like)
        elif self.slopes is not None:
            bias = distance_bias(i[:, 0], j, self.slopes.to(like))[None]
        hidden: Tensor | None = None
        if self.causal:
            hidden = j > i
        elif self.keep is not None:  # under causal attention no real position sees padding, which stands behind it
            hidden = ~self.keep[..., None, None, keys.start : keys.stop]
        if self.block is not None and not self._is_one_neighbourhood(queries, keys):
            far = (i // self.block - j // self.block).abs() > 1
            hidden = far if hidden is None else hidden | far
        if self.block is not None and hidden is not None:
            hidden = hidden & (i != j)  # a block of padding sees nothing real, and must not see nothing at all
        if hidden is None:
            return bias
        return (like.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(hidden, -math.inf)

    def _is_one_neighbourhood(self, queries: range, keys: range) -> bool:
        """Whether the blocks of all these queries and keys see each other."""
        assert self.block is not None
        blocks = [place // self.block for place in (queries[0], queries[-1], keys[0], keys[-1])]
        return max(blocks[:2]) - min(blocks[2:]) <= 1 and max(blocks[2:]) - min(blocks[:2]) <= 1
