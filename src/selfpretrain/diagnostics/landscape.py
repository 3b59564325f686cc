"""The loss around and between weights: slices, paths, barriers.

A loss is a function without arguments that depends on the tensors ``params``. They are moved in place and put back, so
the same closure serves for any model.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from selfpretrain.diagnostics.attention import position_distance, row_centred
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules

Loss = Callable[[], Tensor]
PATH_POINTS = 25
"""Evaluations on a path (ours; as many as papers on mode connectivity take)."""


@contextlib.contextmanager
def _moved(params: Sequence[Tensor]) -> Iterator[Callable[[Sequence[Tensor]], None]]:
    """Gives a function that sets the tensors; whatever happens, they are put back."""
    start = [p.detach().clone() for p in params]

    @torch.no_grad()
    def put(values: Sequence[Tensor]) -> None:
        for p, value in zip(params, values, strict=True):
            p.copy_(value)

    try:
        yield put
    finally:
        put(start)


def interpolation_path(
    loss: Loss, params_a: Sequence[Tensor], params_b: Sequence[Tensor], points: int = PATH_POINTS
) -> tuple[Tensor, Tensor]:
    """Losses on the straight line from A to B: the shares of B (points,) and ``L((1-a) A + a B)`` (points,), float64.

    Args:
        loss: no arguments; depends on the tensors ``params_a``.
        params_b: the other end, shapes as ``params_a``.

    >>> w = torch.zeros(1)
    >>> shares, losses = interpolation_path(lambda: (w**2).sum(), [w], [torch.tensor([2.0])], points=3)
    >>> shares.tolist(), losses.tolist()  # (2 a)^2
    ([0.0, 0.5, 1.0], [0.0, 1.0, 4.0])
    """
    ends = [p.detach().clone() for p in params_a], [p.detach().clone() for p in params_b]
    shares = torch.linspace(0, 1, points, dtype=torch.float64)
    losses = torch.empty(points, dtype=torch.float64)
    with _moved(params_a) as put, torch.no_grad():
        for number, share in enumerate(shares.tolist()):
            put([a + share * (b - a) for a, b in zip(*ends, strict=True)])
            losses[number] = loss()
    return shares, losses


def interpolation_barrier(
    loss: Loss, params_a: Sequence[Tensor], params_b: Sequence[Tensor], points: int = PATH_POINTS
) -> float:
    """Largest height of the path from A to B over the chord of its ends, in units of the loss; 0 if nowhere above.

    ``sup over a in [0, 1] of L((1-a) A + a B) - ((1-a) L(A) + a L(B))``. Two weights of one function can have a high
    barrier: align them first (``alignment``). A path that only falls has one as well, if it falls late.

    Args:
        loss: no arguments; depends on the tensors ``params_a``.
        params_b: the other end, shapes as ``params_a``.

    Source: Frankle et al. (2020), arXiv 1912.05671.

    From -1 to 1 over the hill of ``(w^2 - 1)^2``:

    >>> w = torch.tensor([-1.0])
    >>> interpolation_barrier(lambda: ((w**2 - 1) ** 2).sum(), [w], [torch.tensor([1.0])])
    1.0
    """
    return barrier_of(*interpolation_path(loss, params_a, params_b, points))


def barrier_of(shares: Tensor, losses: Tensor) -> float:
    """The barrier of a path as from ``interpolation_path``.

    >>> barrier_of(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([2.0, 2.0, 0.0]))  # the chord is at 1 half-way
    1.0
    """
    chord = (1 - shares) * losses[0] + shares * losses[-1]
    return float((losses - chord).max())


def filter_direction(params: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
    """A random direction whose every row has the norm of that row of the weights; 0 for biases and norms.

    Rows are the first axis: output units of a layer, symbols of an embedding. Tensors of one dimension stay put.

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
            noise = torch.zeros_like(p)
        else:
            rows, weights = noise.flatten(1), p.detach().flatten(1)
            scale = weights.norm(dim=1) / rows.norm(dim=1)
            noise = (rows * scale[:, None]).reshape(p.shape)
        directions.append(noise)
    return directions


def loss_slice(
    loss: Loss, params: Sequence[Tensor], directions: Sequence[Sequence[Tensor]], *steps: Sequence[float]
) -> Tensor:
    """Losses at ``params + sum_d s_d direction_d`` on a grid: one axis of the result for each direction; float64.

    One direction gives a line, two a plane. Two random directions see little of a space of many dimensions; the way
    that training went is often the better axis.

    Args:
        loss: no arguments; depends on ``params``.
        directions: each with shapes as ``params``.
        steps: of each direction, the multiples to evaluate.

    >>> w = torch.ones(1)
    >>> loss_slice(lambda: (w**2).sum(), [w], [[torch.ones(1)]], [-1.0, 0.0, 2.0]).tolist()  # (1 + s)^2
    [0.0, 1.0, 9.0]
    """
    if len(directions) != len(steps):
        raise ValueError(f"{len(directions)} directions and {len(steps)} lists of steps; give one list for each")
    start = [p.detach().clone() for p in params]
    directions = [[d.detach().clone() for d in direction] for direction in directions]  # may be the weights themselves
    grid = torch.cartesian_prod(*(torch.tensor(list(s), dtype=torch.float64) for s in steps)).reshape(-1, len(steps))
    losses = torch.empty(len(grid), dtype=torch.float64)
    with _moved(params) as put, torch.no_grad():
        for number, point in enumerate(grid.tolist()):
            put(
                [
                    w + sum(s * d for s, d in zip(point, ds, strict=True))
                    for w, *ds in zip(start, *directions, strict=True)
                ]
            )
            losses[number] = loss()
    return losses.reshape([len(s) for s in steps])


def proximity_direction(n: int, tau: float = 1.0, *, ring: bool = False) -> Tensor:
    """The scores that favour near positions, ``B = C(exp(-|i - j| / tau))`` (n, n), float64.

    Args:
        tau: range, in positions (1: ours).
        ring: measure distances on a ring. Then B is circulant, and a label loss that is blind in the strict sense has
            slope exactly 0 along it; an open B leaves terms from the borders.

    Of two positions each row is ``(1, 1/e)`` less its mean:

    >>> proximity_direction(2)[0].round(decimals=4).tolist()  # (1 - 1/e) / 2
    [0.3161, -0.3161]
    """
    distance = position_distance(n)
    if ring:
        distance = torch.minimum(distance, n - distance)
    return row_centred(torch.exp(-distance / tau))


class ProximitySlice(NamedTuple):
    """A loss over the strength of a bias on one head's scores."""

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
        model: has attention of ``selfpretrain.model``.
        batch: whatever ``loss`` takes.
        loss: ``loss(model, batch)`` gives the losses of the examples (B,), whose mean is taken, or a mean.
        direction: B (n, n), as from ``proximity_direction``.
        steps: the values of t (T,).
        head: None adds B to every head of the layer.

    With no scores but the bias, half their squares are ``t^2 |B|^2 / 2``, here ``2 t^2``:

    >>> from selfpretrain.model.attention import Scores
    >>> q, bias = torch.zeros(1, 1, 2, 3), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    >>> half = lambda scores, q: (scores(q, q, None) ** 2 / 2).sum((1, 2, 3))
    >>> found = proximity_slice(Scores(), q, half, bias, [-1.0, 0.0, 2.0])
    >>> found.losses.tolist(), found.slope, found.curvature
    ([2.0, 0.0, 8.0], 0.0, 4.0)
    """
    modules = [score_modules(model)[layer]]
    strength: Tensor = torch.zeros(())

    def add(_: int, __: tuple[Any, ...], scores: Tensor) -> Tensor:
        bias = direction.to(scores) * strength.to(scores)
        if head is None:
            return scores + bias
        here = torch.zeros(scores.shape[1], 1, 1, dtype=scores.dtype, device=scores.device)
        here[head] = 1.0
        return scores + here * bias

    with observed(model), hooked(modules, add):
        losses = torch.empty(len(steps), dtype=torch.float64)
        with torch.no_grad():
            for number, t in enumerate(steps):
                strength = torch.tensor(float(t), dtype=torch.float64)
                losses[number] = loss(model, batch).mean()
        with torch.enable_grad():
            strength = torch.zeros((), dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(loss(model, batch).mean(), strength, create_graph=True)
            (curvature,) = torch.autograd.grad(slope, strength)
    return ProximitySlice(losses, float(slope.detach()), float(curvature.detach()))
