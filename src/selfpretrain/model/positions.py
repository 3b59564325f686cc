"""Position codes.

Shapes: B batch, T positions, D model width, H heads, K head width.
"""

import torch
from torch import Tensor


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
        code_TK: ``sinusoidal`` of at least T positions and the head width.

    Source: Su et al. (2021), arXiv 2104.09864, section 3.4.2.
    """
    code = code_TK[: x_BHTK.shape[-2]]
    sin, cos = code[:, 0::2], code[:, 1::2]  # (T, K/2)
    even, odd = x_BHTK[..., 0::2], x_BHTK[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def alibi_slopes(heads: int) -> Tensor:
    """ALiBi's slopes (H,), float64: ``2^(-8h/H)``, h = 1..H.

    Source: Press et al. (2022), arXiv 2108.12409.
    """
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=torch.float64) / heads)


def distance_bias(queries: Tensor, keys: Tensor, slopes: Tensor) -> Tensor:
    """Score bias (H, Q, T): ``-slope_h |i - j|``, as ALiBi's but with ``|i - j|``: attention here looks both ways.

    Args:
        queries: (Q,) positions i.
        keys: (T,) positions j.
    """
    return -slopes[:, None, None] * (queries[:, None] - keys).abs()
