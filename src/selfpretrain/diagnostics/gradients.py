"""What a loss teaches attention: gradients on the scores, their signal and their noise.

Shapes: B examples, P numbers of a gradient, H heads, n positions. A gradient is estimated from examples; its mean is
the signal, its scatter the noise. Examples must be independent: no shifted or repeated sequences.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from scipy import stats
from torch import Tensor, nn

from selfpretrain.diagnostics.attention import band_sums
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules


def score_gradient(model: nn.Module, batch: Any, loss: Callable[[Any, Any], Tensor]) -> list[Tensor]:
    """Gradient of every example's loss on the scores, ``G = dL/dS``: per layer (B, heads, n, n).

    One backward pass of the losses' sum: an example's scores touch its own loss alone. Rows of G sum to 0. Unlike
    gradients on query and key weights, G does not depend on how a head's score is shared out between the two.

    Args:
        model: with attention of ``selfpretrain.model``; run in evaluation mode with the eager kernel.
        loss: ``loss(model, batch)`` gives the losses of the examples (B,), or their sum.

    The gradient of half the squared scores is the scores, here 1/sqrt(4) on the diagonal:

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
    """Part of a score gradient (..., n, n) along every lag (..., 2n-1), ``v_k = <G, T_k> / sqrt(n - |k|)``.

    T_k is 1 where ``j - i = k``; divided by its norm, so that the v_k are coordinates. Lag -(n-1) comes first.
    ``-E v_k`` is the pressure of gradient descent on lag k.

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
    """Signal and noise (...) of gradients (B, ..., P), one for each of two or more examples; float64.

    ``|mu|^2 = (||sum g||^2 - sum ||g||^2) / (B (B-1))`` and ``tr = (sum ||g||^2 - ||sum g||^2 / B) / (B-1)``.

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
    """Signal-to-noise ratio (...) of gradients (B, ..., P), ``|E g|^2 / tr Cov g``; below 0 by chance, never clamped.

    The inverse of the simple noise scale: the batch size at which signal and noise are equal.

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
    """``(v_k + v_-k) / sqrt(2)`` for k = 1, 2, ... of ``near_lags``: pressure to look nearer or farther, on any side.

    >>> proximity_part(torch.tensor([0.0, 1.0, 1.0, 0.0])).square().round(decimals=4).tolist()  # (1 + 1)^2 / 2
    [2.0, 0.0]
    """
    left, right = near.chunk(2, dim=-1)
    return (right + left.flip(-1)) / math.sqrt(2)


def direction_part(near: Tensor) -> Tensor:
    """``(v_k - v_-k) / sqrt(2)`` for k = 1, 2, ... of ``near_lags``: pressure to look ahead rather than back.

    >>> direction_part(torch.tensor([0.0, -1.0, 1.0, 0.0])).square().round(decimals=4).tolist()  # (1 - -1)^2 / 2
    [2.0, 0.0]
    """
    left, right = near.chunk(2, dim=-1)
    return (right - left.flip(-1)) / math.sqrt(2)


def band_snr(grad: Tensor, max_lag: int) -> Tensor:
    """Signal-to-noise ratio (...) of a score gradient (B, ..., n, n) along the lags ``1 <= |k| <= max_lag``.

    It depends on which lags are included: compare at equal ``max_lag`` only. It joins two things that a loss may
    teach: to look near (``proximity_part``) and to look ahead (``direction_part``).

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
    """``SNR_label / SNR_reconstruction`` of two losses' gradients (B, ..., P); 0 where the label is blind.

    Both on the same weights and the same three or more examples. Signal and noise are summed over all dimensions
    before the division. The interval is the jackknife's over examples, with the quantile of Student's t; it asks
    "another batch?", not "another seed?", and is a little too wide where the label has no signal at all.

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
        # The same with every example left out in turn.
        square_of_sum = total.square().sum() - 2 * (g @ total) + squares
        left_out = _moments(square_of_sum, squares.sum() - squares, n - 1)
        parts.append((signal / noise, left_out.signal / left_out.noise))
    (value_a, without_a), (value_b, without_b) = parts
    value, without = float(value_a / value_b), without_a / without_b
    error = math.sqrt((n - 1) / n * float((without - without.mean()).square().sum()))
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return Ratio(value, value - half, value + half)


class GroupGradient(NamedTuple):
    """Gradient of one loss on one group of weights."""

    moments: Moments
    """Signal and noise of one example's gradient."""
    halves: tuple[Tensor, Tensor]
    """Mean gradients (P,) over the first and the second half of the examples."""

    @property
    def norm(self) -> float:
        """Norm of the mean gradient over all examples."""
        return float(((self.halves[0] + self.halves[1]) / 2).norm())

    @property
    def snr(self) -> float:
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

    Raises:
        ValueError: too few micro-batches, an odd number, or a group without weights.

    Four micro-batches of one example with gradients 3, 1, 3, 1: mean 2, ``((8^2 - 20) / 12)`` over variance 4/3:

    >>> w = torch.zeros(1, requires_grad=True)
    >>> gradient = group_gradients(lambda g: (g * w).sum(), [3.0, 1.0, 3.0, 1.0], {"w": [w]}, 1)["w"]
    >>> gradient.norm, round(gradient.snr, 4)
    (2.0, 2.75)
    """
    if len(batches) < 4 or len(batches) % 2:
        raise ValueError(f"{len(batches)} micro-batches: give an even number, four or more")
    params = {name: list(group) for name, group in groups.items()}
    for name, group in params.items():
        if not group:
            raise ValueError(f"the group '{name}' has no weights")
    flat = [p for group in params.values() for p in group]
    sums = {name: torch.zeros(2, sum(p.numel() for p in group)).double() for name, group in params.items()}
    squares = {name: torch.zeros(()).double() for name in params}
    for number, batch in enumerate(batches):
        grads = iter(torch.autograd.grad(loss(batch), flat, materialize_grads=True))
        for name, group in params.items():
            g = torch.cat([next(grads).flatten() for _ in group]).double().cpu()
            sums[name][number * 2 // len(batches)] += g
            squares[name] += g.square().sum()
    result = {}
    for name, (first, second) in sums.items():
        signal, noise = _moments((first + second).square().sum(), squares[name], len(batches))
        half = len(batches) / 2
        result[name] = GroupGradient(Moments(signal, noise * batch_size), (first / half, second / half))
    return result


class LabelSignal(NamedTuple):
    """What labels have to do with the gradients of the logits."""

    share: float
    """Of the labels' variance, what the leading directions of the gradients explain; ``chance`` without a signal."""
    chance: float
    p: float
    """Of "none", over permutations of the labels."""


def label_signal(gram: Tensor, labels: Tensor, directions: int = 60, permutations: int = 999) -> LabelSignal:
    """Whether labels could be learnt from first-order changes of these weights: a permutation test.

    The label's gradient is ``sum_i (p_i - y_i) g_i`` with g_i the gradient of the logits of example i. Most of its norm
    is the mean of g, which is taken out, as calibration of the head's bias does in training: a label that only scales
    the gradient along that direction is not seen. Of the rest the leading directions are whitened to U (N, d), and the
    share is ``|U' y|^2 / |y|^2`` with y (N, C) the classes as 0 and 1, less their means. It is compared with what
    shuffled labels give. Unlike a signal-to-noise ratio it tells a signal from noise where one common direction holds
    most of the norm.

    Args:
        gram: (N, N), ``g_i . g_j`` of the examples' gradients; those of several logits and weights add up.
        labels: (N,) classes.
        directions: of the gradients that are looked at, at most a quarter of the examples.

    Raises:
        ValueError: fewer than eight examples, or only one class.

    A gradient that has the label in one of its directions:

    >>> g = torch.randn(200, 50, generator=torch.Generator().manual_seed(0))
    >>> y = torch.arange(200) % 2
    >>> label_signal(g @ g.T, y, 10).p > 0.05, label_signal(g @ g.T + 81.0 * torch.outer(y, y), y, 10).p
    (True, 0.001)
    """
    n, present = len(labels), len(labels.bincount().nonzero())
    if n < 8 or present < 2:
        raise ValueError(f"{n} examples of {present} classes; give eight or more, of two or more")
    gram = gram.double() / gram.trace()
    along = gram.mean(1)  # of every gradient with their mean
    if along.mean() > 0:
        gram = gram - torch.outer(along, along) / along.mean()
    gram = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    values, vectors = torch.linalg.eigh(gram)
    kept = min(directions, n // 4, int((values > values[-1] * n * torch.finfo(torch.float32).eps).sum()))
    leading = vectors[:, n - kept :]
    y = nn.functional.one_hot(labels).double()
    y = y - y.mean(0)
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.arange(n), *(torch.randperm(n, generator=generator) for _ in range(permutations))])
    shares = (leading.T @ y.T[:, orders].transpose(1, 2)).square().sum((0, 1)) / y.square().sum()
    p = float((shares >= shares[0] * (1 - 1e-9)).double().mean())
    return LabelSignal(float(shares[0]), kept / (n - 1), p)


def split_half_cosine(a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor) -> float:
    """Cosine of the angle between two gradients, free of the shrinkage that noise causes.

    ``<a1, b2> / sqrt(<a1, a2> <b1, b2>)`` with the numerator averaged over ``<a1, b2>`` and ``<a2, b1>``; a and b
    (P,) are gradients of two losses on independent halves 1 and 2 of the examples. NaN where a product under the root
    is not positive: then a half says nothing about the other. It may leave [-1, 1] by chance.

    >>> x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    >>> split_half_cosine(x, x, x + y, x + y)  # 1 / sqrt(1 + 4)
    0.4472135954999579
    """
    a, b = float(a1 @ a2), float(b1 @ b2)
    if a <= 0 or b <= 0:
        return math.nan
    return float(a1 @ b2 + a2 @ b1) / 2 / math.sqrt(a * b)
