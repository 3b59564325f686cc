"""The Hessian of a loss without ever writing it down: extreme eigenvalues, trace, spectral density.

A loss is a function without arguments that depends on the tensors ``params``; they must require gradients, and any
attention inside must be the eager one (the fused kernels have no second derivative). The graph of the gradient is built
once and every Hessian-vector product is one backward pass through it.

Values are float64 whatever the weights are; with float32 weights they carry float32's rounding, so cast the model to
float64 for more digits. Weights that a loss does not touch have curvature 0 and are counted.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from selfpretrain.diagnostics.landscape import Loss, loss_slice

Vector = NDArray[np.float64]
Which = Literal["LA", "SA", "LM", "BE"]

LANCZOS_PROBES = 10
LANCZOS_STEPS = 90
"""Defaults of the spectral density, of Ghorbani et al. (2019), arXiv 1901.10159."""


class Hessian:
    """Products with the Hessian of ``loss`` with respect to ``params``; keeps its graph, which may be large."""

    def __init__(self, loss: Loss, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        self.size = sum(p.numel() for p in self.params)
        grads = torch.autograd.grad(loss(), self.params, create_graph=True, allow_unused=True)
        # Weights the loss never touches, or only linearly, have no second derivative.
        self._curved = [(i, g) for i, g in enumerate(grads) if g is not None and g.requires_grad]

    def __matmul__(self, vector: Vector) -> Vector:
        """``H v`` (P,) for v (P,)."""
        if not self._curved:
            return np.zeros(self.size)
        parts = torch.split(torch.from_numpy(vector), [p.numel() for p in self.params])
        directions = [part.reshape(p.shape).to(p) for part, p in zip(parts, self.params, strict=True)]
        products = torch.autograd.grad(
            [g for _, g in self._curved],
            self.params,
            [directions[i] for i, _ in self._curved],
            retain_graph=True,
            materialize_grads=True,
        )
        return torch.cat([product.flatten() for product in products]).double().cpu().numpy()


class Eigenvalues(NamedTuple):
    """Some eigenvalues and how exact they are."""

    values: Tensor
    """(k,) float64, the largest first; of ``"LM"`` the largest in magnitude first."""
    residuals: Tensor
    """(k,) ``||H v - lambda v||`` for the unit eigenvectors v."""


def hessian_eigenvalues(
    hessian: Hessian, k: int = 1, which: Which = "LA", *, tolerance: float = 0.0, seed: int = 0
) -> Eigenvalues:
    """The k largest ("LA"), smallest ("SA") or largest-in-magnitude ("LM") eigenvalues; "BE": half of k of either end.

    By implicitly restarted Lanczos iteration (ARPACK, through SciPy). Where it does not reach its tolerance, the
    residuals say so.

    Args:
        tolerance: relative error to stop at; 0 is the machine's.
        seed: of the iteration's first vector.

    Raises:
        ValueError: ``k`` is not between 1 and the number of weights, or ``which`` is none of the four.

    >>> w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    >>> hessian = Hessian(lambda: (torch.tensor([1.0, 2.0, -5.0]) * w**2).sum() / 2, [w])
    >>> hessian_eigenvalues(hessian, k=2, which="BE").values.round(decimals=6).tolist()
    [2.0, -5.0]
    """
    if not 1 <= k <= hessian.size:
        raise ValueError(f"k {k} must lie between 1 and the number of weights, {hessian.size}")
    ends = {"LA": (0, k), "SA": (k, 0), "LM": (k, k), "BE": (k // 2, k - k // 2)}
    if which not in ends:
        raise ValueError(f"which {which!r} is none of {', '.join(ends)}")
    low, high = ends[which]
    start = np.random.default_rng(seed).standard_normal(hessian.size)
    if hessian.size <= max(2 * k + 2, 20):  # too small for ARPACK to be worth it, or to work at all
        values, vectors = np.linalg.eigh(np.stack([hessian @ row for row in np.eye(hessian.size)]))
    else:
        # ARPACK multiplies its first vector by the matrix, and would never find the eigenvalue 0 that untouched weights
        # have. So it gets the matrix plus a multiple of the identity. For "BE" it gives the odd one from the high end.
        shift = float(np.linalg.norm(hessian @ start) / np.linalg.norm(start)) or 1.0
        operator = LinearOperator((hessian.size,) * 2, matvec=lambda v: hessian @ v + shift * v, dtype=np.float64)
        side = "BE" if low and high else which
        try:
            values, vectors = eigsh(operator, k=low + high, which=side, v0=start, tol=tolerance)
            values -= shift
        except ArpackError:
            values, _, vectors = _lanczos(hessian, start, max(4 * (low + high), LANCZOS_STEPS))
    taken = np.array(sorted({*range(low), *range(len(values) - high, len(values))}))
    order = (abs(values[taken]) if which == "LM" else values[taken]).argsort()[::-1][:k]
    values, vectors = values[taken[order]], vectors[:, taken[order]]
    residuals = [np.linalg.norm(hessian @ v - value * v) for value, v in zip(values, vectors.T, strict=True)]
    return Eigenvalues(torch.from_numpy(values), torch.tensor(residuals, dtype=torch.float64))


class Estimate(NamedTuple):
    """A Monte Carlo estimate."""

    value: float
    standard_error: float


def hessian_trace(hessian: Hessian, samples: int = 64, *, seed: int = 0) -> Estimate:
    """Trace of the Hessian, ``E z^T H z`` over two or more random sign vectors z; exact for a diagonal Hessian.

    Source: Hutchinson (1989), Communications in Statistics 19.

    >>> w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    >>> tuple(hessian_trace(Hessian(lambda: (torch.tensor([1.0, 2.0, -5.0]) * w**2).sum() / 2, [w])))
    (-2.0, 0.0)
    """
    if samples < 2:
        raise ValueError(f"samples {samples}: a standard error needs two or more")
    generator = np.random.default_rng(seed)
    draws = [z @ (hessian @ z) for z in generator.choice([-1.0, 1.0], size=(samples, hessian.size))]
    return Estimate(float(np.mean(draws)), float(stats.sem(draws)))


class SpectralDensity(NamedTuple):
    """How the eigenvalues are distributed."""

    grid: Tensor
    """(G,) eigenvalues at which the density is given."""
    density: Tensor
    """(G,) of a mixture of Gaussians at the nodes; integrates to 1."""
    nodes: Tensor
    """(M,) Gauss quadrature nodes, over all probes, ascending."""
    weights: Tensor
    """(M,) their weights, which sum to 1: ``sum w f(node)`` estimates the mean of f over all eigenvalues."""


def spectral_density(
    hessian: Hessian,
    probes: int = LANCZOS_PROBES,
    steps: int = LANCZOS_STEPS,
    *,
    points: int = 1001,
    width: float = 0.01,
    seed: int = 0,
) -> SpectralDensity:
    """Density of the Hessian's eigenvalues by stochastic Lanczos quadrature.

    Each probe, a random unit vector, gives a tridiagonal matrix whose eigenvalues are nodes and whose eigenvectors'
    squared first entries are weights. The density puts a Gaussian on every node.

    Args:
        probes: one or more random vectors.
        steps: Lanczos steps of each, one or more; a Hessian-vector product a step.
        points: size of ``grid``.
        width: standard deviation of the Gaussians, as a share of the nodes' range.

    Source: Ghorbani, Krishnan and Xiao (2019), arXiv 1901.10159.

    >>> w = torch.ones(4, dtype=torch.float64, requires_grad=True)
    >>> hessian = Hessian(lambda: (torch.tensor([1.0, 1.0, 4.0, 4.0]) * w**2).sum() / 2, [w])
    >>> spectral_density(hessian, probes=1).nodes.round(decimals=6).tolist()
    [1.0, 4.0]
    """
    if probes < 1 or steps < 1:
        raise ValueError(f"probes {probes} and steps {steps} must both be 1 or more")
    generator = np.random.default_rng(seed)
    runs = [_lanczos(hessian, generator.standard_normal(hessian.size), steps) for _ in range(probes)]
    nodes = np.concatenate([values for values, _, _ in runs])
    weights = np.concatenate([weight for _, weight, _ in runs]) / probes
    order = nodes.argsort()
    nodes, weights = nodes[order], weights[order]
    spread, size = float(nodes[-1] - nodes[0]), float(abs(nodes).max())
    sigma = width * (spread if spread > 1e-9 * size else size or 1.0)
    grid = np.linspace(nodes[0] - 5 * sigma, nodes[-1] + 5 * sigma, points)
    density = stats.norm.pdf(grid[:, None], nodes, sigma) @ weights
    return SpectralDensity(*map(torch.from_numpy, (grid, density, nodes, weights)))


def _lanczos(hessian: Hessian, start: Vector, steps: int) -> tuple[Vector, Vector, Vector]:
    """Nodes, weights and Ritz vectors from one start; each new vector is made orthogonal to all before it, twice."""
    basis = np.zeros((min(steps, hessian.size), hessian.size))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for step, vector in enumerate(basis):
        product = hessian @ vector
        diagonal.append(float(vector @ product))
        for _ in range(2):
            product -= basis[: step + 1].T @ (basis[: step + 1] @ product)
        norm = float(np.linalg.norm(product))
        if step + 1 == len(basis) or norm < 1e-10 * max(map(abs, (*diagonal, *beside, 1e-300))):
            break  # done, or everything reachable from the start has been seen
        beside.append(norm)
        basis[step + 1] = product / norm
    values, vectors = eigh_tridiagonal(diagonal, beside)
    return values, vectors[0] ** 2, basis[: len(values)].T @ vectors


@torch.no_grad()
def critical_sharpness(loss: Loss, params: Sequence[Tensor], direction: Sequence[Tensor]) -> float:
    """``lambda_c = 2 / eta_c`` with eta_c the smallest eta for which ``L(params - eta direction) > L(params)``.

    For a quadratic loss and its gradient as direction this is ``g^T H g / g^T g``. With the update of another loss as
    direction it says how much room that update has here. Infinite where the loss rises at once; 0 where it does not
    rise within 2^30 times the first step tried. Steps are doubled up to the first rise, so a narrower hill may be
    stepped over. A loss that is not finite has risen. Forward passes only.

    Args:
        direction: as an update of gradient descent, which is subtracted; shapes as ``params``. Zero is a ValueError.

    Source: critical sharpness, arXiv 2601.16979.

    Along one axis of a quadratic it is that axis's curvature:

    >>> w = torch.ones(2, dtype=torch.float64)
    >>> loss = lambda: (torch.tensor([3.0, 1.0]) * w**2).sum() / 2
    >>> round(critical_sharpness(loss, [w], [torch.tensor([3.0, 0.0])]), 6)  # the gradient's part on the first axis
    3.0
    """
    length, weight = (math.sqrt(sum(float(t.double().square().sum()) for t in ts)) for ts in (direction, params))
    if length == 0:
        raise ValueError("the direction is zero")
    start = float(loss())

    def rise(eta: float) -> float:
        """``(L(eta) - L(0)) / eta``: linear in eta for a quadratic, and without its root at 0."""
        change = (float(loss_slice(loss, params, [direction], [-eta])) - start) / eta
        return change if math.isfinite(change) else -1e300 if change == -math.inf else 1e300

    # The first step moves the weights by a thousandth of their norm; then double, or halve, up to the crossing.
    first = low = high = 1e-3 * (weight or 1.0) / length
    if rise(first) > 0:
        while rise(low) > 0:
            high, low = low, low / 2
            if low < first * 2.0**-30:
                return math.inf
    else:
        while rise(high) <= 0:
            low, high = high, high * 2
            if high > first * 2.0**30:
                return 0.0
    return 2.0 / float(brentq(rise, low, high, xtol=1e-11 * high, rtol=1e-11))
