"""Whether labels could see the local structure of the sequences: no model needed.

Shapes: N sequences, n positions, d features of a position (for symbols one for each symbol), Y classes, K lags.

The reconstruction loss feels how positions at lag k go together, ``R(k) = E x_i x_{i+k}^T``. To leading order the
label loss feels only how that *differs* between classes. For symbols x is one-hot and R(k) holds the shares of pairs;
keep the whole matrix: its trace can be the same for classes whose pairs differ.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LARGEST_ALPHABET = 64
"""Rarer symbols count as one: matrices of pairs stay small (ours)."""
SHUFFLES = 10
"""Times that labels are dealt out at random (ours)."""


class LagStatistics(NamedTuple):
    """Pairs at lags 1 to K, by class."""

    per_class: Array
    """``R_y(k)`` (Y, K, d, d); symbols in the order of how common they are."""
    beta: Array
    """(K,) class difference ``|R_a - R_b| / (|R_a| + |R_b|)``, Frobenius norms, the largest over pairs of classes; 0
    where the classes' pairs agree, at most 1. Sampling alone makes it positive."""
    beta_centred: Array
    """(K,) the same after taking off what positions alone give, ``E x_i E x_{i+k}^T``."""
    beta_symmetric: Array
    """(K,) ``beta`` of ``(R + R^T) / 2``: what is left for attention that depends on distance alone, and cannot tell
    left from right."""
    beta_chance: Array
    """(K,) ``beta`` when labels are dealt out at random, the mean of several times."""


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

    def by_class(labels: NDArray[Any]) -> tuple[Array, Array]:
        """Pairs and products of means for classes as ``labels`` deal them out, (Y, K, d, d) both."""
        pairs = [_pairs(features[labels == c], inside[labels == c], size, max_lag) for c in np.unique(y)]
        together, apart = (np.stack(parts) for parts in zip(*pairs, strict=True))
        return together, apart

    per_class, independent = by_class(y)
    generator = np.random.default_rng(seed)
    by_chance = [_difference(by_class(generator.permutation(y))[0]) for _ in range(SHUFFLES)]
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

    Columns follow how common symbols are in ``x``: take sequences that are to be compared in one call. Beyond the
    ``alphabet`` commonest symbols, the rarer ones count as one.

    >>> pair_features(np.array([[5, 5, 5]]), 2).tolist()  # one symbol: every pair at lags 1 and 2 is of it
    [[1.0, 1.0]]
    """
    x = np.asarray(x)
    inside = _inside(x, lengths)
    features, size = _features(x, inside, alphabet)
    rows = range(len(x))
    return np.stack([_pairs(features[[i]], inside[[i]], size, max_lag)[0].ravel() for i in rows])


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


def _pairs(x: NDArray[Any], inside: NDArray[np.bool_], size: int, max_lag: int) -> tuple[Array, Array]:
    """Means of ``x_i x_{i+k}^T`` and products of the mean ends, (K, d, d) both; 0 at lags that no sequence reaches."""
    together, apart = np.zeros((max_lag, size, size)), np.zeros((max_lag, size, size))
    for lag in range(1, max_lag + 1):
        both = inside[:, :-lag] & inside[:, lag:]
        left, right = x[:, :-lag][both], x[:, lag:][both]
        if not len(left):
            continue
        if x.ndim == 2:
            pairs = np.bincount(left * size + right, minlength=size * size).reshape(size, size)
            ends = [np.bincount(end, minlength=size) / len(left) for end in (left, right)]
        else:
            pairs = left.T @ right
            ends = [left.mean(axis=0), right.mean(axis=0)]
        together[lag - 1], apart[lag - 1] = pairs / len(left), np.outer(*ends)
    return together, apart


def _difference(per_class: Array) -> Array:
    """The largest relative difference between two classes, (K,) of (Y, K, d, d)."""
    norms = np.linalg.norm(per_class, axis=(-2, -1))
    worst = np.zeros(per_class.shape[1])
    for a, b in itertools.combinations(range(len(per_class)), 2):
        apart = np.linalg.norm(per_class[a] - per_class[b], axis=(-2, -1))
        together = norms[a] + norms[b]
        worst = np.maximum(worst, np.divide(apart, together, out=np.zeros_like(apart), where=together > 0))
    return worst
