"""The loss around and between weights: slices, paths, barriers.

A loss is a function without arguments that depends on the tensors ``params``. They are moved in place and, whatever
happens, put back, so the same closure serves for any model. All losses are float64.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from selfpretrain.diagnostics.attention import position_distance, row_centred
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules

Loss = Callable[[], Tensor]
PATH_POINTS = 25
"""Evaluations on a path (ours; as many as papers on mode connectivity take)."""


@torch.no_grad()
def loss_slice(
    loss: Loss, params: Sequence[Tensor], directions: Sequence[Sequence[Tensor]], *steps: Sequence[float]
) -> Tensor:
    """Losses at ``params + sum_d s_d direction_d`` on a grid: one axis of the result for each direction.

    One direction gives a line, two a plane. Two random directions see little of a space of many dimensions; the
    direction of training is often the better axis.

    Args:
        directions: each with shapes as ``params``.
        steps: for each direction, the multiples to evaluate; anything but one list for each is a ValueError.

    >>> w = torch.ones(1)
    >>> loss_slice(lambda: (w**2).sum(), [w], [[torch.ones(1)]], [-1.0, 0.0, 2.0]).tolist()  # (1 + s)^2
    [0.0, 1.0, 9.0]
    """
    if len(directions) != len(steps):
        raise ValueError(f"{len(directions)} directions and {len(steps)} lists of steps; give one list for each")
    start = [p.detach().clone() for p in params]
    directions = [[d.detach().clone() for d in direction] for direction in directions]  # may be the weights themselves
    losses = []
    try:
        for point in itertools.product(*steps):
            for p, w, *ds in zip(params, start, *directions, strict=True):
                p.copy_(w + sum(s * d for s, d in zip(point, ds, strict=True)))
            losses.append(float(loss()))
    finally:
        for p, w in zip(params, start, strict=True):
            p.copy_(w)
    return torch.tensor(losses, dtype=torch.float64).reshape([len(s) for s in steps])


def interpolation_path(
    loss: Loss, params_a: Sequence[Tensor], params_b: Sequence[Tensor], points: int = PATH_POINTS
) -> tuple[Tensor, Tensor]:
    """The straight line from A to B: shares a of B (points,) and losses ``L((1-a) A + a B)`` (points,).

    The loss depends on the tensors ``params_a``.

    >>> w = torch.zeros(1)
    >>> shares, losses = interpolation_path(lambda: (w**2).sum(), [w], [torch.tensor([2.0])], points=3)
    >>> shares.tolist(), losses.tolist()  # (2 a)^2
    ([0.0, 0.5, 1.0], [0.0, 1.0, 4.0])
    """
    shares = torch.linspace(0, 1, points, dtype=torch.float64)
    direction = [b.detach() - a.detach() for a, b in zip(params_a, params_b, strict=True)]
    return shares, loss_slice(loss, params_a, [direction], shares.tolist())


def interpolation_barrier(
    loss: Loss, params_a: Sequence[Tensor], params_b: Sequence[Tensor], points: int = PATH_POINTS
) -> float:
    """Largest height of the path from A to B over the chord of its ends; 0 if it is nowhere above.

    ``sup over a in [0, 1] of L((1-a) A + a B) - ((1-a) L(A) + a L(B))``. Two sets of weights with the same function
    can have a high barrier: align them first (``alignment``). A path that falls all the way has one if it falls late.

    Source: Frankle et al. (2020), arXiv 1912.05671.

    From -1 to 1 over the hill of ``(w^2 - 1)^2``:

    >>> w = torch.tensor([-1.0])
    >>> interpolation_barrier(lambda: ((w**2 - 1) ** 2).sum(), [w], [torch.tensor([1.0])])
    1.0
    """
    return barrier_of(*interpolation_path(loss, params_a, params_b, points))


def barrier_of(shares: Tensor, losses: Tensor) -> float:
    """The barrier of a path from ``interpolation_path``.

    >>> barrier_of(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([2.0, 2.0, 0.0]))  # the chord is at 1 half-way
    1.0
    """
    chord = (1 - shares) * losses[0] + shares * losses[-1]
    return float((losses - chord).max())


def filter_direction(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """A random direction in which every row has the norm of that row of the weights; 0 for biases and norms.

    Rows are the first axis: output units of a layer, symbols of an embedding. Tensors of one dimension get 0.

    Source: Li et al. (2018), arXiv 1712.09913, section 4.

    >>> weight, bias = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.ones(2)
    >>> rows, still = filter_direction([weight, bias], torch.Generator().manual_seed(0))
    >>> rows.norm(dim=1).round(decimals=4).tolist(), still.tolist()
    ([5.0, 2.0], [0.0, 0.0])
    """
    directions = []
    for p in params:
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
        if p.ndim < 2:
            directions.append(torch.zeros_like(noise))
        else:
            rows, weights = noise.flatten(1), p.detach().flatten(1)
            scale = weights.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True)
            directions.append((rows * scale).reshape(p.shape))
    return directions


def proximity_direction(n: int, tau: float = 1.0, *, ring: bool = False) -> Tensor:
    """Scores that favour near positions, ``B = C(exp(-|i - j| / tau))`` (n, n), float64; C centres rows.

    Args:
        tau: range, in positions (1: ours).
        ring: measure distances on a ring. Then B is circulant, and a strictly blind label loss has slope exactly 0
            along it; an open B leaves terms from the borders.

    With two positions each row is ``(1, 1/e)`` less its mean:

    >>> proximity_direction(2)[0].round(decimals=4).tolist()  # (1 - 1/e) / 2
    [0.3161, -0.3161]
    """
    distance = position_distance(n)
    if ring:
        distance = torch.minimum(distance, n - distance)
    return row_centred(torch.exp(-distance / tau))


class ProximitySlice(NamedTuple):
    """A loss over the strength t of a bias on scores."""

    losses: Tensor
    """(T,) float64."""
    slope: float
    """``dL/dt`` at t = 0; negative: proximity lowers the loss."""
    curvature: float
    """``d2L/dt2`` at t = 0."""


def proximity_slice(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Any, Any], Tensor],
    direction: Tensor,
    steps: Sequence[float],
    *,
    layer: int = 0,
    head: int | None = None,
) -> ProximitySlice:
    """``t -> L(S + t B)``: what a loss thinks of a bias B on the scores of one head, whatever made the scores.

    Args:
        model: with attention of ``selfpretrain.model``.
        loss: ``loss(model, batch)`` gives the losses of the examples (B,), whose mean is taken, or a mean.
        direction: B (n, n), as from ``proximity_direction``.
        steps: the values of t (T,).
        head: None adds B to every head of the layer.

    With no scores but the bias, half their squares are ``t^2 |B|^2 / 2``, here ``2 t^2``:

    >>> from selfpretrain.model.attention import Scores
    >>> q, bias = torch.zeros(1, 1, 2, 3), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> half = lambda scores, q: (scores(q, q, None) ** 2 / 2).sum((1, 2, 3))
    >>> losses, slope, curvature = proximity_slice(Scores(), q, half, bias, [-1.0, 0.0, 2.0])
    >>> losses.tolist(), slope, curvature
    ([2.0, 0.0, 8.0], 0.0, 4.0)
    """
    strength = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def add(_: int, __: tuple[Any, ...], scores: Tensor) -> Tensor:
        bias = direction.to(scores) * strength.to(scores)
        if head is None:
            return scores + bias
        chosen = torch.zeros(scores.shape[1], 1, 1, dtype=scores.dtype, device=scores.device)
        chosen[head] = 1.0
        return scores + chosen * bias

    with observed(model), hooked([score_modules(model)[layer]], add):
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(model, batch).mean(), strength, create_graph=True)
            (curvature,) = torch.autograd.grad(slope, strength)
        losses = []
        with torch.no_grad():
            for t in steps:
                strength.fill_(t)
                losses.append(float(loss(model, batch).mean()))
    return ProximitySlice(torch.tensor(losses, dtype=torch.float64), float(slope.detach()), float(curvature.detach()))
