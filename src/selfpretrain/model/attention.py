"""Multi-head self-attention, with a fused and an explicit kernel, and the codes of positions.

Shapes: B batch, T positions, D model width, H heads, K head width (D = H K).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from selfpretrain.config import ModelConfig
from selfpretrain.model.mask import Mask

BLOCK = 512
"""Queries whose (H, T) biases are held at a time, where there is a bias by distance (ours)."""


def sinusoidal(length: int, width: int) -> Tensor:
    """Absolute code (T, D), float64: ``sin(t w_i), cos(t w_i)`` in turn, with ``w_i = 10000^(-2i/D)``.

    Source: Vaswani et al. (2017), section 3.5.
    """
    rates = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(length)[:, None] * rates  # (T, D/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def rotate(x_BHTK: Tensor, code_TK: Tensor) -> Tensor:
    """Rotary code: turns each pair of query or key entries by ``t w_i``, so that scores depend on ``i - j``.

    Args:
        code_TK: ``sinusoidal`` of at least T positions and the head width; or of each sequence's own (B, 1, T, K).

    Source: Su et al. (2021), arXiv 2104.09864, section 3.4.2.
    """
    code = code_TK[..., : x_BHTK.shape[-2], :]
    sin, cos = code[..., 0::2], code[..., 1::2]  # (T, K/2)
    even, odd = x_BHTK[..., 0::2], x_BHTK[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Places(NamedTuple):
    """Some positions of each sequence.

    Attributes:
        at: (B, Q), filled up with 0 where a sequence has fewer than Q.
        real: (M,) which entries of it, flattened, are no filling; None: all are.
    """

    at: Tensor
    real: Tensor | None = None

    @classmethod
    def chosen(cls, mask: Tensor) -> "Places":
        """Those where ``mask`` (B, T) is True.

        >>> places = Places.chosen(torch.tensor([[False, True, False, True], [True, False, False, False]]))
        >>> places.at.tolist(), places.real.tolist()
        ([[1, 3], [0, 0]], [0, 1, 2])
        """
        counts = mask.sum(-1, keepdim=True)
        real = torch.arange(int(counts.max()), device=mask.device) < counts
        index = torch.zeros(real.shape, dtype=torch.int64, device=mask.device)
        index[real] = mask.nonzero()[:, 1]
        return cls(index, real.flatten().nonzero()[:, 0])

    def gather(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D) there, filling included (B, Q, D)."""
        return x.gather(-2, self.at[..., None].expand(*self.at.shape, x.shape[-1]))

    def without_filling(self, x: Tensor) -> Tensor:
        """``x`` (B, Q, D) without the filling, (M, D) in order; as it is where there is none."""
        return x if self.real is None else x.flatten(0, 1)[self.real]

    def of(self, x: Tensor) -> Tensor:
        """``x`` (B, T, D) at these positions: (M, D), or (B, Q, D) where each sequence has Q."""
        return self.without_filling(self.gather(x))


class Scores(nn.Module):
    """Scores before the softmax (B, H, T, T): ``S_ij = q_i . k_j / sqrt(K) + bias_ij``.

    It has no weights. It is a module so that a forward hook can read queries, keys and scores, or change the scores;
    the eager kernel alone comes through here.
    """

    def forward(self, q_BHTK: Tensor, k_BHTK: Tensor, bias: Tensor | None) -> Tensor:
        """Queries and keys as they meet (after any rotation); ``bias`` as from ``Mask.bias``."""
        scores = (q_BHTK / math.sqrt(q_BHTK.shape[-1])) @ k_BHTK.transpose(-1, -2)
        return scores if bias is None else scores + bias


class Attention(nn.Module):
    """``output(softmax(S) V)`` with ``S`` from ``Scores``; queries, keys and values have biases.

    Args:
        length: the longest sequence.
    """

    rotary: Tensor | None

    def __init__(self, config: ModelConfig, length: int) -> None:
        super().__init__()
        self.heads, self.kernel = config.heads, config.attention
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        self.scores = Scores()
        code = sinusoidal(length, config.width // config.heads).float() if config.positions == "rotary" else None
        self.register_buffer("rotary", code, persistent=False)

    def forward(self, x_BTD: Tensor, mask: Mask, places: Places | None = None) -> Tensor:
        """Outputs at all positions (B, T, D), or as ``places.of`` gives them.

        Other queries are then not computed; except under causal, biased or block-local attention, and by the eager
        kernel, whose scores are read.
        """
        narrow = places if self.kernel == "sdpa" and mask.is_plain else None
        asking = x_BTD if narrow is None else narrow.gather(x_BTD)
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)  # (B, T, D) -> (B, H, T, K)
            for projection, x in ((self.query, asking), (self.key, x_BTD), (self.value, x_BTD))
        )
        if self.rotary is not None:
            code = self.rotary.to(q.dtype)
            q, k = rotate(q, code if narrow is None else code[narrow.at][:, None]), rotate(k, code)
        if self.kernel == "eager":
            every = range(q.shape[-2])
            mixed = self.scores(q, k, mask.bias(every, every, q)).softmax(dim=-1) @ v
        else:
            mixed = fused(q, k, v, mask)
        mixed = mixed.transpose(-2, -3).flatten(-2)  # (B, H, T, K) -> (B, T, D)
        if places is not None:
            mixed = places.of(mixed) if narrow is None else places.without_filling(mixed)
        out: Tensor = self.output(mixed)
        return out


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """The fused attention of torch, (B, H, T, K); its memory grows with T and not with its square.

    Padding is hidden by a bias of each key, and causality by the kernel itself. A bias by distance is made for
    ``BLOCK`` queries at a time, and made again for the backward pass. Where positions see their blocks' neighbours
    alone, a block of queries meets those keys and no others, so that time grows with T, too.
    """
    length = k.shape[-2]
    if mask.block is None and mask.slopes is None:
        bias = None if mask.causal else mask.bias(range(1), range(length), q)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=mask.causal)
    step = mask.block or BLOCK
    if length <= step:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.bias(range(length), range(length), q))
    is_plain = mask.slopes is None and mask.keep is None and not mask.causal  # then there is no bias to make again

    def some(q: Tensor, k: Tensor, v: Tensor, queries: range, keys: range) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.bias(queries, keys, q))

    parts = []
    for start in range(0, length, step):
        queries = range(start, min(start + step, length))
        keys = mask.keys_of(queries, length)
        here, seen = slice(queries.start, queries.stop), slice(keys.start, keys.stop)
        some_of = (q[..., here, :], k[..., seen, :], v[..., seen, :], queries, keys)
        parts.append(some(*some_of) if is_plain else checkpoint(some, *some_of, use_reentrant=False))
    return torch.cat(parts, dim=-2)
