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
    """

    keep: Tensor | None = None
    causal: bool = False
    slopes: Tensor | None = None
    table: Tensor | None = None

    def behind(self, front: int) -> "Mask":
        """The same with ``front`` real positions put before the sequence."""
        keep = None if self.keep is None else F.pad(self.keep, (front, 0), value=True)
        return replace(self, keep=keep)

    @property
    def hides_by_key(self) -> bool:
        """Whether padding has to be hidden: under causal attention no real position sees what stands behind it."""
        return self.keep is not None and not self.causal

    def bias(self, start: int, stop: int, length: int, like: Tensor) -> Tensor | None:
        """What is added to the scores of queries ``start`` to ``stop - 1``; None where that is nothing.

        A key that may not be seen gets ``-inf``, and so a weight of exactly 0.

        Args:
            length: T, the number of keys.
            like: gives device and dtype.

        Returns:
            (B or 1, H or 1, Q or 1, T).
        """
        keys = torch.arange(length, device=like.device)
        queries = keys[start:stop]
        bias: Tensor | None = None
        if self.table is not None:
            bias = self.table[None, :, start:stop, :length].to(like)
        elif self.slopes is not None:
            bias = distance_bias(queries, keys, self.slopes.to(like))[None]
        if self.causal:
            future = keys > queries[:, None]
            bias = (like.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(future, -math.inf)
        elif self.keep is not None:
            hidden = ~self.keep[..., None, None, :]
            bias = (like.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(hidden, -math.inf)
        return bias
