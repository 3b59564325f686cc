"""Whether labels could see the local structure of the sequences: no model needed.

Shapes: N sequences, n positions, d features of a position (for symbols one for each symbol), Y classes, K lags.

The reconstruction loss feels how positions at lag k go together, ``R(k) = E x_i x_{i+k}^T``. To leading order the
label loss feels only how that *differs* between classes. For symbols x is one-hot and R(k) holds the shares of pairs;
keep the whole matrix: its trace can be the same for classes whose pairs differ.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LARGEST_ALPHABET = 64
"""Rarer symbols count as one: matrices of pairs stay small (ours)."""
SHUFFLES = 10
"""Times that labels are dealt out at random (ours)."""


@dataclass(frozen=True)
class LagStatistics:
    """Pairs at lags 1 to K, by class.

    Attributes:
        per_class: ``R_y(k)`` (Y, K, d, d); symbols in the order of how common they are.
        beta: (K,) class difference ``|R_a - R_b| / (|R_a| + |R_b|)``, Frobenius norms, the largest over pairs of
            classes; 0 where the classes' pairs agree, at most 1. Sampling alone makes it positive.
        beta_centred: (K,) the same after taking off what positions alone give, ``E x_i E x_{i+k}^T``.
        beta_symmetric: (K,) ``beta`` of ``(R + R^T) / 2``: what is left for attention that depends on distance alone,
            and cannot tell left from right.
        beta_chance: (K,) ``beta`` when labels are dealt out at random, the mean of several times.
    """

    per_class: Array
    beta: Array
    beta_centred: Array
    beta_symmetric: Array
    beta_chance: Array


def lag_statistics(
    x: NDArray[Any], y: NDArray[np.int64], max_lag: int, *, lengths: NDArray[np.int64] | None = None, seed: int = 0
) -> LagStatistics:
    """Lag statistics per class, and how much the classes differ in them.

    Args:
        x: symbols (N, n), integers, or values (N, n) or (N, n, d), floating.
        y: (N,) classes.
        max_lag: K, below n.
        lengths: (N,) positions of each sequence that count; default all.
        seed: of the random labels behind ``beta_chance``.

    Raises:
        ValueError: shapes or lags that do not fit.

    Half of one class's neighbours are "01" and half "10"; of the other's, half are "00" and half "11":

    >>> x = np.array([[0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    >>> lag_statistics(x, np.array([0, 0, 1, 1]), 1).beta.round(4).tolist()  # 1 / (1/sqrt(2) + 1/sqrt(2))
    [0.7071]
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim not in (2, 3) or y.shape != (len(x),):
        raise ValueError(f"x {x.shape} and y {y.shape}: give (N, n) or (N, n, d), and (N,)")
    inside = _inside(x, lengths)
    if not 1 <= max_lag < x.shape[1]:
        raise ValueError(f"max_lag {max_lag} must lie between 1 and {x.shape[1] - 1} for {x.shape[1]} positions")
    features, size = _features(x, inside)

    def of(labels: NDArray[Any]) -> tuple[Array, Array]:
        """Pairs and products of means for classes as ``labels`` deal them out."""
        sums = [_pair_sums(features[labels == c], inside[labels == c], size, max_lag) for c in np.unique(y)]
        pairs = np.stack([pairs / np.maximum(count, 1)[:, None, None] for pairs, count, _ in sums])
        return pairs, np.stack([products for _, _, products in sums])

    per_class, independent = of(y)
    generator = np.random.default_rng(seed)
    by_chance = [_difference(of(generator.permutation(y))[0]) for _ in range(SHUFFLES)]
    return LagStatistics(
        per_class=per_class,
        beta=_difference(per_class),
        beta_centred=_difference(per_class - independent),
        beta_symmetric=_difference((per_class + per_class.swapaxes(-1, -2)) / 2),
        beta_chance=np.mean(by_chance, axis=0),
    )


def pair_features(
    x: NDArray[Any], max_lag: int, lengths: NDArray[np.int64] | None = None, *, alphabet: int = LARGEST_ALPHABET
) -> Array:
    """``R(k)`` of every single sequence, flattened, (N, K d d): what a classifier of pairs reads.

    Columns follow how common symbols are in ``x``: take sequences that are to be compared in one call.

    Args:
        alphabet: the most symbols to tell apart; the rarer ones count as one.

    >>> pair_features(np.array([[5, 5, 5]]), 2).tolist()  # one symbol: every pair at lags 1 and 2 is of it
    [[1.0, 1.0]]
    """
    x = np.asarray(x)
    inside = _inside(x, lengths)
    features, size = _features(x, inside, alphabet)
    rows = []
    for sequence, here in zip(features, inside, strict=True):
        pairs, count, _ = _pair_sums(sequence[None], here[None], size, max_lag)
        rows.append((pairs / np.maximum(count, 1)[:, None, None]).ravel())
    return np.stack(rows)


def _inside(x: NDArray[Any], lengths: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """(N, n), True = the position counts."""
    lengths = np.full(len(x), x.shape[1]) if lengths is None else np.asarray(lengths)
    if lengths.shape != (len(x),):
        raise ValueError(f"lengths {lengths.shape}: give one for each of the {len(x)} sequences")
    return np.arange(x.shape[1]) < lengths[:, None]


def _features(x: NDArray[Any], inside: NDArray[np.bool_], alphabet: int = LARGEST_ALPHABET) -> tuple[NDArray[Any], int]:
    """Symbols renumbered, the rare ones together, and their number; values as (N, n, d), and d."""
    if np.issubdtype(x.dtype, np.floating):
        values = x[..., None] if x.ndim == 2 else x
        return values.astype(np.float64), values.shape[-1]
    if x.ndim != 2:
        raise ValueError(f"symbols come as (N, n), not {x.shape}")
    symbols, numbers = np.unique(x, return_inverse=True)
    numbers = numbers.reshape(x.shape)
    counts = np.bincount(numbers[inside], minlength=len(symbols))  # padding is no symbol
    size = min(int((counts > 0).sum()), alphabet)
    rank = np.empty(len(symbols), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(symbols))
    return np.minimum(rank, size - 1)[numbers], size


def _pair_sums(x: NDArray[Any], inside: NDArray[np.bool_], size: int, max_lag: int) -> tuple[Array, Array, Array]:
    """Sums of ``x_i x_{i+k}^T`` (K, d, d), their number (K,), and the products of the mean ends (K, d, d)."""
    pairs, products = np.zeros((max_lag, size, size)), np.zeros((max_lag, size, size))
    count = np.zeros(max_lag)
    for lag in range(1, max_lag + 1):
        both = inside[:, :-lag] & inside[:, lag:]
        left, right = x[:, :-lag][both], x[:, lag:][both]
        count[lag - 1] = len(left)
        if len(left) and x.ndim == 2:
            pairs[lag - 1] = np.bincount(left * size + right, minlength=size * size).reshape(size, size)
            ends = [np.bincount(end, minlength=size) / len(left) for end in (left, right)]
        elif len(left):
            pairs[lag - 1] = left.T @ right
            ends = [left.mean(axis=0), right.mean(axis=0)]
        else:
            continue
        products[lag - 1] = np.outer(*ends)
    return pairs, count, products


def _difference(per_class: Array) -> Array:
    """The largest relative difference between two classes, (K,) of (Y, K, d, d)."""
    norms = np.linalg.norm(per_class, axis=(-2, -1))
    worst = np.zeros(per_class.shape[1])
    for a in range(len(per_class)):
        for b in range(a):
            apart = np.linalg.norm(per_class[a] - per_class[b], axis=(-2, -1))
            together = norms[a] + norms[b]
            worst = np.maximum(worst, np.divide(apart, together, out=np.zeros_like(apart), where=together > 0))
    return worst
