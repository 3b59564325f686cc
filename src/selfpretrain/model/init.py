"""Where every weight starts. One table, one generator, parameters in the order of the model.

| parameter                   | start                                              | source                          |
|-----------------------------|----------------------------------------------------|---------------------------------|
| weight and bias of a layer  | uniform within +-1/sqrt(fan-in)                    | torch's default, as Amos et al. |
| symbol embedding            | normal, standard deviation 1                       | torch's default                 |
| learned positions, cls      | normal, standard deviation .02                     | BERT (Devlin et al. 2019)       |
| norms                       | weight 1, bias 0                                   | Ba et al. (2016)                |

``ModelConfig.init`` then changes attention alone:

| init       | query and key                          | value and output    | source                           |
|------------|----------------------------------------|---------------------|----------------------------------|
| default    | as any layer                           | as any layer        |                                  |
| tied       | equal                                  | as any layer        | variant of Amos et al.'s code    |
| mimetic-qk | 1.5 I + uniform noise of deviation .02 | as any layer        | after Trockman and Kolter (2023) |
| mimetic    | product of each head .7 Z + .7 I       | product .4 Z - .4 I | Trockman and Kolter (2023)       |
| impulse    | positions of each head see one offset  | as mimetic          | Zheng et al. (2025)              |

Z has independent normal entries of variance 1/D. Products are split by their singular values, and cut to the head's
width. The biases of what a start sets are 0. Amos et al.'s code ties all four attention projections by accident;
``tied`` here ties query and key, which is what makes the starting scores positive semi-definite.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.config import ModelConfig
from selfpretrain.model.attention import Attention

SMALL_STD = 0.02
MIMETIC_QK_GAIN = 1.5
"""Scale of the identity in query and key weights of ``mimetic-qk`` (ours). It leaves ``scratch`` at chance in the demo,
see docs/results.md."""
MIMETIC_ASK, MIMETIC_GIVE = 0.7, 0.4
"""Scale of noise and identity in the products of ``mimetic`` (Trockman and Kolter, arXiv 2305.09828)."""
IMPULSE_NORM = 7.0
"""Frobenius norm of a head's query and key weights in ``impulse`` (Zheng et al., code of arXiv 2505.19985)."""
IMPULSE_NOISE = 1 / 40
"""Deviation of the noise around the impulse matrix, whose impulses are 1 (the same source)."""
IMPULSE_RANK = 0.1
"""Directions in which the position table is weaker than this share of its strongest are left out: solving for them
would spend the norm on noise (ours; a head then gives its offset two thirds of its attention or more)."""


@torch.no_grad()
def initialise(model: nn.Module, config: ModelConfig, generator: torch.Generator) -> None:
    """Set every parameter of ``model`` from one generator.

    What ``config.init`` adds is drawn last: models that differ in it alone share all weights that it leaves alone.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, 1.0, generator=generator)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        else:  # bare parameters: learned positions and the cls vector
            for parameter in module.parameters(recurse=False):
                parameter.normal_(0.0, SMALL_STD, generator=generator)
    if config.positions == "learned":
        assert isinstance(model.positions, Tensor)
        model.positions.mul_(config.position_scale)
    for attention in (m for m in model.modules() if isinstance(m, Attention)):
        if config.init == "tied":
            attention.key.load_state_dict(attention.query.state_dict())
        elif config.init == "mimetic-qk":
            for projection in (attention.query, attention.key):
                # Reuse the drawn noise, rescaled from a uniform's deviation bound/sqrt(3).
                projection.weight.mul_(SMALL_STD * math.sqrt(3.0 * projection.in_features))
                projection.weight.diagonal().add_(MIMETIC_QK_GAIN)
                projection.bias.zero_()
        elif config.init in ("mimetic", "impulse"):
            if config.init == "mimetic":
                asked = [_near_identity(config.width, MIMETIC_ASK, generator) for _ in range(config.heads)]
                halves = [factors(product, config.width // config.heads) for product in asked]
            else:
                assert isinstance(model.positions, Tensor)
                halves = [
                    impulse(model.positions, offset, config.width // config.heads, generator)
                    for offset in offsets(config.heads)
                ]
            _set(attention.query, torch.cat([left.T for left, _ in halves]))
            _set(attention.key, torch.cat([right for _, right in halves]))
            left, right = factors(_near_identity(config.width, MIMETIC_GIVE, generator, sign=-1.0), config.width)
            _set(attention.output, left)
            _set(attention.value, right)


def factors(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """``L (D, r)`` and ``R (r, D)`` of equal singular values, with ``L R`` the best approximation of rank r.

    >>> left, right = factors(torch.diag(torch.tensor([9.0, 4.0, 1.0])), 2)
    >>> (left @ right).abs().round(decimals=4).diagonal().tolist()
    [9.0, 4.0, 0.0]
    """
    u, s, vh = torch.linalg.svd(product)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vh[:rank]


def offsets(heads: int) -> list[int]:
    """Where the heads of an impulse start look: the nearest positions, after and before in turn (ours).

    >>> offsets(4)
    [1, -1, 2, -2]
    """
    return [(head // 2 + 1) * (-1) ** head for head in range(heads)]


def impulse(positions: Tensor, offset: int, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Halves of ``A = P+ W P+^T`` for one head: then ``P A P^T`` is near W, whose impulses stand at (i, i + offset).

    P is the layer norm of the position table, as attention sees it, and P+ its pseudo-inverse.

    Args:
        positions: the table (T, D).
        rank: the head's width K.

    Returns:
        (D, K) and (K, D), each of norm ``IMPULSE_NORM``.
    """
    u, s, vh = torch.linalg.svd(F.layer_norm(positions.double(), positions.shape[1:]), full_matrices=False)
    kept = s > IMPULSE_RANK * s[0]
    u, s, vh = u[:, kept], s[kept], vh[kept]
    looked_at = torch.zeros_like(u)  # W u, the rows of u moved by the offset
    first, last = max(-offset, 0), len(u) - max(offset, 0)
    looked_at[first:last] = u[first + offset : last + offset]
    # Seen through u, which is orthonormal, the noise of all pairs of positions is noise of as many entries as u has
    # columns: no matrix of T x T is needed.
    w = u.T @ looked_at + IMPULSE_NOISE * torch.randn(len(s), len(s), generator=generator)
    left, right = factors((vh.T / s) @ w @ (vh / s[:, None]), rank)
    return tuple((IMPULSE_NORM * half / half.norm()).to(positions.dtype) for half in (left, right))


def _near_identity(width: int, scale: float, generator: torch.Generator, sign: float = 1.0) -> Tensor:
    """``scale (Z + sign I)``, (D, D)."""
    return scale * (torch.randn(width, width, generator=generator) / math.sqrt(width) + sign * torch.eye(width))


def _set(projection: nn.Linear, weight: Tensor) -> None:
    projection.weight.copy_(weight)
    projection.bias.zero_()
