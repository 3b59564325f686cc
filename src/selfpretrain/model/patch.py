"""Patches: N neighbouring positions that a model reads as one token, hides as one and fills in one by one.

Shapes: B sequences, T positions, N positions of a patch, P = ceil(T / N) patches, D model width, V symbols, C channels.

With N = 1 every layer here is torch's own, and a patch is a position. Sources: PatchTST (Nie et al. 2023) for values;
for symbols MEGABYTE (Yu et al. 2023), which sets the embeddings of a patch side by side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def in_patches(mask: Tensor, patch: int) -> Tensor:
    """(B, T) as (B, P, N); what the last patch lacks is False.

    >>> import torch
    >>> in_patches(torch.tensor([[True, False, True]]), 2).tolist()
    [[[True, False], [True, False]]]
    """
    return torch.unflatten(F.pad(mask, (0, -mask.shape[-1] % patch)), -1, (-1, patch))


def whole_patches(x: Tensor, keep_mask: Tensor | None, patch: int, blank: Tensor) -> Tensor:
    """A model's input, as long as its patches, in which what is no real position looks like a masked one.

    Args:
        x: ids (B, T), or values (B, T, C).
        keep_mask: (B, T), True = a real position; None when all are.
        blank: what a masked position shows, () or (C,).
    """
    axis = -1 - blank.dim()
    length = x.shape[axis]
    if patch == 1 or (keep_mask is None and length % patch == 0):
        return x
    lacking = (0, -length % patch)
    x = F.pad(x, (*(0, 0) * blank.dim(), *lacking))
    real = torch.arange(x.shape[axis], device=x.device) < length if keep_mask is None else F.pad(keep_mask, lacking)
    return torch.where(real[(..., *(None,) * blank.dim())], x, blank)


def over_their_positions(mask: Tensor, patch: int, length: int) -> Tensor:
    """(B, P) of patches as (B, T) of their positions."""
    return mask.repeat_interleave(patch, dim=-1)[..., :length]


class SymbolPatches(nn.Embedding):
    """Embeds each symbol in a Nth of the width and sets those of a patch side by side: (B, P N) to (B, P, D)."""

    def __init__(self, symbols: int, width: int, patch: int) -> None:
        super().__init__(symbols, width // patch)
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(super().forward(x), -2, (-1, self.patch)).flatten(-2)


class ValuePatches(nn.Linear):
    """A linear map of all values of a patch: (B, P N, C) to (B, P, D)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__(channels * patch, width)
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.unflatten(x, -2, (-1, self.patch)).flatten(-2))
