"""Which positions may look at which, and what they lose by distance; a kernel turns it into what it likes.

Shapes: B batch, T positions, H heads, Q some queries.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from selfpretrain.model.positions import distance_bias


@dataclass(frozen=True)
class Mask:
    """Padding, causality and a preference for near positions.

    Attributes:
        keep: (B, T), True = a real position; None when all are. Padding stands at the end.
        causal: attention looks back only.
        slopes: (H,) of ``positions.distance_bias``; None for none.
        table: that bias (H, L, L) of at least T positions, where it is held; None makes it when it is asked for.
        block: positions of a block, where a position sees its own block and both neighbours alone; None: all see all.
    """

    keep: Tensor | None = None
    causal: bool = False
    slopes: Tensor | None = None
    table: Tensor | None = None
    block: int | None = None

    def behind(self, front: int) -> "Mask":
        """The same with ``front`` real positions put before the sequence."""
        keep = None if self.keep is None else F.pad(self.keep, (front, 0), value=True)
        return replace(self, keep=keep)

    @property
    def hides_by_key(self) -> bool:
        """Whether padding has to be hidden: under causal attention no real position sees what stands behind it."""
        return self.keep is not None and not self.causal

    def keys_of(self, queries: range, length: int) -> range:
        """The keys that any of these queries may look at by their blocks, of ``length`` in all."""
        if self.block is None:
            return range(length)
        first, last = queries[0] // self.block, queries[-1] // self.block
        return range(max(0, (first - 1) * self.block), min(length, (last + 2) * self.block))

    def bias(self, queries: range, keys: range, like: Tensor) -> Tensor | None:
        """What is added to the scores of these queries and keys; None where that is nothing.

        A key that may not be seen gets ``-inf``, and so a weight of exactly 0.

        Args:
            like: gives device and dtype.

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
        elif self.keep is not None:
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
