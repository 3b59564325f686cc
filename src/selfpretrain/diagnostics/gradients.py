"""What a loss teaches attention: gradients on the scores, their signal and their noise.

Shapes: B examples, P numbers of a gradient, H heads, n positions. A gradient is estimated from examples; its mean is
the signal, its scatter the noise. Examples must be independent: no shifted or repeated sequences.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from scipy import stats
from torch import Tensor, nn

from selfpretrain.diagnostics.attention import band_sums
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules


def score_gradient(model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor]) -> list[Tensor]:
    """Gradient of each example's loss on the scores, ``G = dL/dS``: per layer (B, heads, n, n).

    One backward pass of the losses' sum: an example's scores touch its own loss alone. Rows of G sum to 0. Unlike
    gradients on query and key weights, G does not depend on how a head's score is shared out between the two.

    Args:
        model: has attention of ``selfpretrain.model``; looked at in evaluation mode with the eager kernel.
        batch: whatever ``loss`` takes.
        loss: ``loss(model, batch)`` gives the losses of the examples (B,), or their sum.

    Of half the squared scores the gradient is the scores, here 1/sqrt(4) on the diagonal:

    >>> from selfpretrain.model.attention import Scores
    >>> q = torch.eye(4).expand(2, 1, 4, 4)  # 2 examples, 1 head, 4 positions
    >>> (grad,) = score_gradient(Scores(), q, lambda scores, q: (scores(q, q, None) ** 2 / 2).sum((1, 2, 3)))
    >>> tuple(grad.shape), grad[0, 0].diagonal().tolist()
    ((2, 1, 4, 4), [0.5, 0.5, 0.5, 0.5])
    """
    added: dict[int, Tensor] = {}

    def add_nothing(layer: int, _: tuple[Any, ...], scores: Tensor) -> Tensor:
        added[layer] = torch.zeros_like(scores, requires_grad=True)
        return scores + added[layer]

    modules = score_modules(model)
    with observed(model), torch.enable_grad(), hooked(modules, add_nothing):
        total = loss(model, batch).sum()
        return list(torch.autograd.grad(total, [added[layer] for layer in range(len(modules))]))


def lag_components(grad: Tensor) -> Tensor:
    """Part of a score gradient along every lag (..., 2n-1), ``v_k = <G, T_k> / sqrt(n - |k|)``, lag -(n-1) first.

    T_k is 1 where ``j - i = k``; divided by its norm, so that the v_k are coordinates. ``-E v_k`` is the pressure of
    gradient descent on lag k.

    Args:
        grad: (..., n, n).

    >>> lag_components(torch.eye(4)).tolist()  # 4 / sqrt(4) at lag 0
    [0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0]
    """
    n = grad.shape[-1]
    lags = torch.arange(-(n - 1), n, device=grad.device)
    return band_sums(grad) / (n - lags.abs()).to(grad).sqrt()


class Moments(NamedTuple):
    """Unbiased estimates from independent gradients: either may be negative when there is no signal."""

    signal: Tensor
    """``|E g|^2``."""
    noise: Tensor
    """Trace of the covariance of g."""


def gradient_moments(per_example: Tensor) -> Moments:
    """Squared norm of the mean gradient and the trace of the covariance, both unbiased, float64.

    ``|mu|^2 = (||sum g||^2 - sum ||g||^2) / (B (B-1))`` and ``tr = (sum ||g||^2 - ||sum g||^2 / B) / (B-1)``.

    Args:
        per_example: (B, ..., P); the dimensions between are kept.

    Raises:
        ValueError: fewer than two examples.

    Of 3 and 1: ``((3 + 1)^2 - 10) / 2`` and the variance:

    >>> [value.item() for value in gradient_moments(torch.tensor([[3.0], [1.0]]))]
    [3.0, 2.0]
    """
    if len(per_example) < 2:
        raise ValueError("signal and noise need two examples or more")
    g = per_example.double()
    return _moments(g.sum(0).square().sum(-1), g.square().sum((0, -1)), len(g))


def _moments(square_of_sum: Tensor, sum_of_squares: Tensor, n: int) -> Moments:
    return Moments(
        (square_of_sum - sum_of_squares) / (n * (n - 1)),
        (sum_of_squares - square_of_sum / n) / (n - 1),
    )


def gradient_snr(per_example: Tensor) -> Tensor:
    """Signal-to-noise ratio of a gradient, ``|E g|^2 / tr Cov g``; never clamped, below 0 by chance if blind.

    The inverse of the simple noise scale: the batch size at which signal and noise are equal.

    Args:
        per_example: (B, ..., P), one gradient an example; the dimensions between are kept.

    Source: McCandlish et al. (2018), arXiv 1812.06162.

    >>> gradient_snr(torch.tensor([[3.0], [1.0]])).item()
    1.5
    """
    signal, noise = gradient_moments(per_example)
    return signal / noise


def near_lags(components: Tensor, max_lag: int) -> Tensor:
    """The components at lags ``1 <= |k| <= max_lag``: (..., 2n-1) to (..., 2 max_lag), the most negative lag first.

    Raises:
        ValueError: ``max_lag`` is not between 1 and n-1.

    >>> near_lags(torch.tensor([-3, -2, -1, 0, 1, 2, 3]), 2).tolist()
    [-2, -1, 1, 2]
    """
    centre = components.shape[-1] // 2
    if not 1 <= max_lag <= centre:
        raise ValueError(f"max_lag {max_lag} must lie between 1 and {centre} for {centre + 1} positions")
    left, right = components[..., centre - max_lag : centre], components[..., centre + 1 : centre + max_lag + 1]
    return torch.cat((left, right), dim=-1)


def proximity_part(near: Tensor) -> Tensor:
    """``(v_k + v_-k) / sqrt(2)`` for k = 1, 2, ...: pressure to look nearer or farther, whichever side.

    Args:
        near: (..., 2 max_lag), as from ``near_lags``.

    >>> near = torch.tensor([0.0, 1.0, 1.0, 0.0])  # lags -2, -1, 1, 2
    >>> [round(v, 4) for v in proximity_part(near).tolist()], direction_part(near).tolist()  # (1 + 1) / sqrt(2)
    ([1.4142, 0.0], [0.0, 0.0])
    """
    left, right = near.chunk(2, dim=-1)
    return (right + left.flip(-1)) / math.sqrt(2)


def direction_part(near: Tensor) -> Tensor:
    """``(v_k - v_-k) / sqrt(2)`` for k = 1, 2, ...: pressure to look ahead rather than back; as ``proximity_part``.

    >>> (direction_part(torch.tensor([-1.0, 1.0])) ** 2).round(decimals=4).tolist()  # (1 - -1)^2 / 2
    [2.0]
    """
    left, right = near.chunk(2, dim=-1)
    return (right - left.flip(-1)) / math.sqrt(2)


def band_snr(grad: Tensor, max_lag: int) -> Tensor:
    """Signal-to-noise ratio (...) of a score gradient along the lags ``1 <= |k| <= max_lag``; never clamped.

    It depends on which lags are included: compare at equal ``max_lag`` only. It joins two things that a loss may
    teach apart, to look near and to look ahead: ``proximity_part`` and ``direction_part`` separate them.

    Args:
        grad: (B, ..., n, n), as from ``score_gradient``.

    Two examples whose gradients lie on lag 1 alone, ``v = 3 / sqrt(1)`` and ``1 / sqrt(1)``, as in ``gradient_snr``:

    >>> band_snr(torch.tensor([[[0.0, 3.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]]), 1).item()
    1.5
    """
    return gradient_snr(near_lags(lag_components(grad), max_lag))


class Ratio(NamedTuple):
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float


def blindness_ratio(label: Tensor, reconstruction: Tensor) -> Ratio:
    """``SNR_label / SNR_reconstruction`` on the same weights and examples; 0 where the label is blind.

    Heads and layers (any dimensions between) are summed in signal and in noise before the division. The interval is
    the jackknife's over examples, with the quantile of Student's t; it asks "another batch?", not "another seed?", and
    is a little too wide where the label has no signal at all.

    Args:
        label: (B, ..., P) per-example gradients of the label loss, as from ``near_lags``.
        reconstruction: the same of the reconstruction loss, of the same examples.

    Raises:
        ValueError: fewer than three examples, or not the same number of both.

    >>> g = torch.tensor([[3.0], [1.0], [2.0]])
    >>> blindness_ratio(g, g).value, round(blindness_ratio(10 * g, g).value, 6)  # a gradient's size is no signal
    (1.0, 1.0)
    """
    n = len(label)
    if n < 3 or len(reconstruction) != n:
        raise ValueError(f"{n} and {len(reconstruction)} examples; a ratio needs the same ones, three or more")
    parts = []
    for g in (label.double().flatten(1), reconstruction.double().flatten(1)):
        total, squares = g.sum(0), g.square().sum(1)
        signal, noise = _moments(total.square().sum(), squares.sum(), n)
        # The same with each example left out in turn.
        square_of_sum = total.square().sum() - 2 * (g @ total) + squares
        left_out = _moments(square_of_sum, squares.sum() - squares, n - 1)
        parts.append((signal / noise, left_out.signal / left_out.noise))
    (value_a, without_a), (value_b, without_b) = parts
    value, without = float(value_a / value_b), without_a / without_b
    error = math.sqrt((n - 1) / n * float((without - without.mean()).square().sum()))
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return Ratio(value, value - half, value + half)


@dataclass(frozen=True)
class GroupGradient:
    """Gradient of one loss on one group of weights, from micro-batches.

    Attributes:
        moments: signal and noise of one example's gradient.
        halves: mean gradients (P,) over the first and the second half of the examples.
    """

    moments: Moments
    halves: tuple[Tensor, Tensor]

    @property
    def norm(self) -> float:
        """Norm of the mean gradient over all examples."""
        return float(((self.halves[0] + self.halves[1]) / 2).norm())

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio of one example's gradient, unbiased."""
        return float(self.moments.signal / self.moments.noise)


def group_gradients(
    loss: Callable[[Any], Tensor], batches: Sequence[Any], groups: Mapping[str, Iterable[Tensor]], batch_size: int
) -> dict[str, GroupGradient]:
    """Gradients of a loss on groups of weights; memory does not grow with the number of examples.

    The noise of a mean over ``batch_size`` examples is that of one example divided by ``batch_size``.

    Args:
        loss: ``loss(batch)`` gives the mean loss of a micro-batch.
        batches: an even number of micro-batches, four or more, of ``batch_size`` examples each.
        groups: weights by name of their group.
        batch_size: examples in each micro-batch.

    Raises:
        ValueError: too few micro-batches, an odd number, or a group without weights.

    Four micro-batches of one example with gradients 3, 1, 3, 1: mean 2, ``((8^2 - 20) / 12)`` over variance 4/3:

    >>> w = torch.zeros(1, requires_grad=True)
    >>> found = group_gradients(lambda g: (g * w).sum(), [3.0, 1.0, 3.0, 1.0], {"w": [w]}, 1)["w"]
    >>> found.norm, round(found.snr, 4)
    (2.0, 2.75)
    """
    if len(batches) < 4 or len(batches) % 2:
        raise ValueError(f"{len(batches)} micro-batches: give an even number, four or more")
    names = list(groups)
    params = [list(groups[name]) for name in names]
    if not all(params):
        raise ValueError(f"the group '{names[[bool(p) for p in params].index(False)]}' has no weights")
    flat = [p for group in params for p in group]
    zeros = [torch.zeros(sum(p.numel() for p in group), dtype=torch.float64) for group in params]
    halves = {name: [zero, zero] for name, zero in zip(names, zeros, strict=True)}
    squares = dict.fromkeys(names, torch.zeros((), dtype=torch.float64))
    for number, batch in enumerate(batches):
        grads = iter(torch.autograd.grad(loss(batch), flat, materialize_grads=True))
        half = number * 2 // len(batches)
        for name, group in zip(names, params, strict=True):
            g = torch.cat([next(grads).flatten() for _ in group]).double().cpu()
            halves[name][half] = halves[name][half] + g
            squares[name] = squares[name] + g.square().sum()
    result = {}
    for name in names:
        signal, noise = _moments((halves[name][0] + halves[name][1]).square().sum(), squares[name], len(batches))
        first, second = (half / (len(batches) / 2) for half in halves[name])
        result[name] = GroupGradient(Moments(signal, noise * batch_size), (first, second))
    return result


def split_half_cosine(a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> float:
    """Cosine of the angle between two gradients, free of the shrinkage that noise causes.

    ``<a1, b2> / sqrt(<a1, a2> <b1, b2>)`` with the numerator averaged over ``<a1, b2>`` and ``<a2, b1>``; 1, 2 are
    independent halves of the examples, a and b two losses. NaN (undefined) where a product under the root is not
    positive: then a half says nothing about the other. It may leave [-1, 1] by chance.

    Args:
        a1: (P,) gradient of loss a on the first half; the others likewise.

    >>> x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    >>> split_half_cosine(x, x, x + y, x + y)  # 1 / sqrt(1 + 4)
    0.4472135954999579
    """
    a, b = float(a1 @ a2), float(b1 @ b2)
    if a <= 0 or b <= 0:
        return math.nan
    return float(a1 @ b2 + a2 @ b1) / 2 / math.sqrt(a * b)
