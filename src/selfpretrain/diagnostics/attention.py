"""What attention looks at: distances, profiles over lags, and the parts of the scores.

Shapes: n positions, H heads, K head width, N sequences; "..." are any leading dimensions, as batch and heads. A lag is
key position minus query position, from -(n-1) to n-1.

``visible`` (n, n) says which keys a query may look at (True = may; default all); what it hides counts nowhere, and may
hold -inf. Softmax ignores what is added to a whole row of scores, so scores are centred by row before measuring.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK, CHUNK_BYTES = 64, 128 * 2**20
"""Most sequences at a time, and most memory that their matrices (n, n) take in float64."""


def position_distance(n: int) -> Tensor:
    """``|i - j|`` (n, n), in positions, float64.

    >>> position_distance(3)[0].tolist()
    [0.0, 1.0, 2.0]
    """
    i = torch.arange(n, dtype=torch.float64)
    return (i[:, None] - i).abs()


def grid_distance(height: int, width: int) -> Tensor:
    """Euclidean distance (n, n) on an image that was read row by row, n = height x width; float64, in pixels.

    >>> float(grid_distance(4, 5)[0, -1])  # first to last: 3 down, 4 across
    5.0
    """
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    return torch.hypot(y.flatten()[:, None] - y.flatten(), x.flatten()[:, None] - x.flatten())


def attention_distance(attn: Tensor, distance: Tensor | None = None) -> Tensor:
    """Mean distance (...) of attention (..., n, n), ``mean_i sum_j A_ij dist_ij``, in units of ``distance`` (n, n).

    ``distance`` is ``position_distance`` unless given. Uniform attention over n positions has ``(n^2 - 1) / (3n)``:
    divide by it to compare lengths.

    Source: Dosovitskiy et al. (2021), appendix D.7; Raghu et al. (2021).

    >>> float(attention_distance(torch.full((16, 16), 1 / 16)))
    5.3125
    """
    if distance is None:
        distance = position_distance(attn.shape[-1])
    return (attn * distance.to(attn)).sum(-1).mean(-1)


def attention_entropy(attn: Tensor) -> Tensor:
    """Entropy of every row (..., n), ``-sum_j A_ij log A_ij``, in nats; log n for uniform attention, 0 log 0 = 0.

    >>> [round(h, 4) for h in attention_entropy(torch.tensor([[0.5, 0.5], [0.9, 0.1]])).tolist()]  # the first is log 2
    [0.6931, 0.3251]
    """
    terms: Tensor = torch.special.xlogy(attn, attn)
    return -terms.sum(-1)


def window_mass(attn: Tensor, window: int) -> Tensor:
    """Share (...) of attention at most ``window`` positions away, ``(1/n) sum over |j - i| <= w of A_ij``.

    Uniform attention has ``(n (2w + 1) - w (w + 1)) / n^2``.

    >>> float(window_mass(torch.full((4, 4), 0.25), 1))  # (4 * 3 - 2) / 16
    0.625
    """
    near = position_distance(attn.shape[-1]) <= window
    return (attn * near.to(attn)).sum((-2, -1)) / attn.shape[-1]


def top_pattern(attn: Tensor, count: int) -> Tensor:
    """For every query (..., n, n) the ``count`` keys with the most attention, True = among them.

    >>> top_pattern(torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]), 1).tolist()
    [[True, False, False], [False, False, True]]
    """
    return torch.zeros_like(attn, dtype=torch.bool).scatter_(-1, attn.topk(count, dim=-1).indices, True)


def pattern_mass_relative(attn: Tensor, pattern: Tensor) -> Tensor:
    """Attention on a pattern (..., n, n), the mean over queries, relative to uniform attention, (...).

    >>> pattern_mass_relative(torch.eye(2), torch.eye(2, dtype=torch.bool)).item()
    2.0
    """
    share = pattern.float().mean((-2, -1))
    return (attn * pattern).sum(-1).mean(-1) / share


def skewed(matrix: Tensor) -> Tensor:
    """(..., n, n) to (..., n, 2n-1): diagonals become columns, lag -(n-1) first, 0 where a diagonal is shorter.

    Row r holds query n-1-r. Written into rows one longer than the reading width, every row slips by one.

    >>> skewed(torch.tensor([[1, 2], [3, 4]])).tolist()  # lags -1, 0, 1
    [[3, 4, 0], [0, 1, 2]]
    """
    n = matrix.shape[-1]
    padded = F.pad(matrix.flip(-2), (0, n)).flatten(-2)
    return padded[..., : n * (2 * n - 1)].reshape(*matrix.shape[:-2], n, 2 * n - 1)


def band_sums(matrix: Tensor) -> Tensor:
    """Sum over every diagonal, (..., n, n) to (..., 2n-1), lag -(n-1) first.

    >>> band_sums(torch.ones(3, 3)).tolist()  # n - |lag|
    [1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return skewed(matrix).sum(-2)


def _seen(matrix: Tensor, visible: Tensor | None) -> Tensor:
    """(n, n), on the device of the matrix (..., n, n)."""
    everything = torch.ones(matrix.shape[-2:], dtype=torch.bool)
    return (everything if visible is None else visible).to(matrix.device)


def band_means(matrix: Tensor, visible: Tensor | None = None) -> Tensor:
    """Mean over every diagonal (..., 2n-1), each over its own visible entries; 0 for a lag nobody sees.

    >>> band_means(-position_distance(3)).tolist()
    [-2.0, -1.0, 0.0, -1.0, -2.0]
    """
    seen = _seen(matrix, visible)
    count = band_sums(seen.to(matrix.dtype))
    return band_sums(matrix.masked_fill(~seen, 0.0)) / count.clamp(min=1)


def row_centred(scores: Tensor, visible: Tensor | None = None) -> Tensor:
    """``C(S)_ij = S_ij - mean_j S_ij`` over the keys a query sees; 0 where it does not.

    >>> row_centred(torch.tensor([[1.0, 3.0], [7.0, 7.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    if visible is None:
        return scores - scores.mean(-1, keepdim=True)
    seen = visible.to(scores.device)
    inside = scores.masked_fill(~seen, 0.0)
    return (inside - inside.sum(-1, keepdim=True) / seen.sum(-1, keepdim=True)).masked_fill(~seen, 0.0)


def lag_profile(scores: Tensor, visible: Tensor | None = None) -> Tensor:
    """Mean row-centred score at every lag (..., 2n-1), ``s(k) = mean_i C(S)_{i, i+k}``, lag -(n-1) first.

    The scores (..., n, n) are those before the softmax. Lags near the ends have few entries and are noisy.

    On a diagonal of ones every row has mean 1/n:

    >>> lag_profile(torch.eye(4)).tolist()
    [-0.25, -0.25, -0.25, 0.75, -0.25, -0.25, -0.25]
    """
    return band_means(row_centred(scores, visible), visible)


def proximity_slope(scores: Tensor, visible: Tensor | None = None) -> Tensor:
    """Least-squares slope (...) of the row-centred scores on ``|j - i|``, j != i; score per position.

    Below 0 near positions score higher. Every visible pair counts once, so the few pairs of a long lag weigh little.

    Centred by row, pairs at distance 1 have the mean -1/3 and pairs at distance 2 have -2:

    >>> round(float(proximity_slope(-2 * position_distance(3))), 4)
    -1.6667
    """
    n = scores.shape[-1]
    count = band_sums((_seen(scores, visible) & ~torch.eye(n, dtype=torch.bool, device=scores.device)).to(scores))
    lag = torch.arange(-(n - 1), n, device=scores.device).abs().to(scores)
    lag = (lag - (lag * count).sum() / count.sum()) * count
    profile = lag_profile(scores, visible)
    return (profile * lag).sum(-1) / (lag.square() / count.clamp(min=1)).sum()


def toeplitz_r2(scores: Tensor, adjusted: bool = True, visible: Tensor | None = None) -> Tensor:
    """Share (...) of the row-centred scores' variance that depends on the lag alone.

    ``R2 = 1 - min_b ||C(S) - C(Toep(b))||^2 / ||C(S)||^2`` with ``Toep(b)_ij = b_{j-i}``. Centring and projecting on
    open bands do not commute, so the bands are centred too; they span 2n-2 of the n(n-1) dimensions of C(S). Random
    scores have R2 of 2/n on average, and 0 once adjusted for those: ``1 - (1 - R2) df_total / (df_total - df_bands)``.
    NaN for constant rows, which leave nothing to explain, and, adjusted, for fewer than three positions.

    >>> scores = -position_distance(8)  # of the lag alone
    >>> round(float(toeplitz_r2(scores)), 6), round(float(toeplitz_r2(scores, adjusted=False)), 6)
    (1.0, 1.0)
    """
    n = scores.shape[-1]
    seen = _seen(scores, visible).cpu()
    centred = row_centred(scores.double(), visible)
    inverse, kept, rank = _centred_bands(n, seen.numpy().tobytes())
    sums = band_sums(centred).cpu()[..., kept]  # <C(S), T_k> = <C(S), C(T_k)>
    energy = centred.square().sum((-2, -1)).cpu()
    size = scores.masked_fill(~seen.to(scores.device), 0.0).double().square().sum((-2, -1)).cpu()
    rounding = torch.finfo(torch.float64).eps ** 2 * n * size
    r2 = ((sums @ inverse) * sums).sum(-1) / torch.where(energy > rounding, energy, torch.nan)
    if adjusted:
        total = int(seen.sum()) - n
        r2 = 1 - (1 - r2) * total / (total - rank)
    return r2.to(scores.device)


@lru_cache(maxsize=4)
def _centred_bands(n: int, seen: bytes) -> tuple[Tensor, Tensor, int]:
    """A pseudo-inverse of the Gram matrix of the centred bands, the lags that anybody sees, and the matrix's rank.

    ``<C(T_k), C(T_l)> = [k = l] count_k - sum_i [i sees i+k] [i sees i+l] / m_i`` with m_i the keys that i sees. The
    bands add up to the whole visible matrix, which centring removes, so one direction is null. Lifting it changes no
    fit, because C(S) has no part along it, and makes the matrix invertible, unless lags fall into unconnected sets.
    """
    visible = torch.frombuffer(bytearray(seen), dtype=torch.bool).reshape(n, n)
    if not visible.any(1).all():
        raise ValueError("a query sees no key at all")
    columns = skewed(visible.double())
    kept = columns.sum(0) > 0
    columns = columns[:, kept]
    gram = torch.diag(columns.sum(0)) - columns.T @ (columns / columns.sum(1, keepdim=True))
    factor, failed = torch.linalg.cholesky_ex(gram + 1.0 / len(gram))
    if failed or factor.diagonal().min() < 1e-6:
        return torch.linalg.pinv(gram, hermitian=True), kept, int(torch.linalg.matrix_rank(gram, hermitian=True))
    return torch.cholesky_inverse(factor), kept, len(gram) - 1


class ScoreDecomposition(NamedTuple):
    """Parts of the scores: which of them depend on positions, which on content."""

    shares: dict[str, Tensor]
    """Energy of every part, mean of ``C(part)^2`` over mean of ``C(S)^2``; (heads,), by the names position-position,
    position-content, content-position, content-content. They need not sum to 1: the parts are orthogonal only as far
    as contents at different places, and queries and keys, are unrelated."""
    position_position: Tensor
    """``qbar_i . kbar_j / sqrt(K)`` (heads, n, n): the scores that every sequence gets."""


def score_decomposition(q: Tensor, k: Tensor, visible: Tensor | None = None) -> ScoreDecomposition:
    """Split scores exactly into position and content parts, in any layer and for any position code.

    With ``qbar_i`` the mean of ``q_i`` over sequences and ``q~_i = q_i - qbar_i`` (and so for k):
    ``S_ij sqrt(K) = qbar_i.kbar_j + qbar_i.k~_j + q~_i.kbar_j + q~_i.k~_j``. "Proximity learnt from absolute
    positions" is a statement about the first part.

    Args:
        q: queries (N, heads, n, K), after any rotation. A thousand sequences or more: the energy of the first part
            is biased upwards by about 1/N of the content's.
        k: keys, of the same shape (else ValueError).

    Queries and keys that are the same in every sequence are all position:

    >>> q = torch.eye(3).expand(4, 1, 3, 3)
    >>> shares, position_position = score_decomposition(q, q)
    >>> [share.item() for share in shares.values()], round(position_position[0, 0, 0].item(), 4)  # 1 / sqrt(3)
    ([1.0, 0.0, 0.0, 0.0], 0.5774)
    """
    if q.shape != k.shape:
        raise ValueError(f"q {tuple(q.shape)} and k {tuple(k.shape)} must have one shape (N, heads, n, K)")
    root = math.sqrt(q.shape[-1])
    q_mean, k_mean = q.double().mean(0), k.double().mean(0)
    names = ("position-position", "position-content", "content-position", "content-content", "all")
    energy = {name: q_mean.new_zeros(len(q_mean)) for name in names}
    for q_now, k_now in _chunks(q, k, visible):
        q_rest, k_rest = q_now - q_mean, k_now - k_mean
        mean = (q_mean.expand_as(q_now), k_mean.expand_as(k_now))
        pairs = (mean, (mean[0], k_rest), (q_rest, mean[1]), (q_rest, k_rest), (q_now, k_now))
        for name, (left, right) in zip(names, pairs, strict=True):
            energy[name] += _centred_energy(left, right, visible).sum(0)
    shares = {name: energy[name] / energy["all"] for name in names[:4]}
    return ScoreDecomposition(shares, q_mean @ k_mean.transpose(-1, -2) / root)


def position_share(q: Tensor, k: Tensor, visible: Tensor | None = None) -> Tensor:
    """Share of the scores' energy in their position part (heads,), free of the bias that finite N causes.

    The product of the position parts of the two halves of the sequences takes the place of the square of one: noise
    in the means is squared in the one and averages out in the other. May be negative by chance; at most about 1.
    Queries and keys (N, heads, n, K) of two sequences or more, after any rotation.

    >>> q = torch.eye(3).expand(4, 1, 3, 3)  # the same in every sequence
    >>> round(position_share(q, q).item(), 6)
    1.0
    """
    half = len(q) // 2
    first, second = (
        row_centred(q[part].double().mean(0) @ k[part].double().mean(0).transpose(-1, -2), visible)
        for part in (slice(half), slice(half, None))
    )
    energy = torch.zeros(q.shape[1], dtype=torch.float64)
    for q_now, k_now in _chunks(q, k, visible):
        energy += _centred_energy(q_now, k_now, visible).sum(0)
    return (first * second).sum((-2, -1)) * len(q) / energy


def _chunks(q: Tensor, k: Tensor, visible: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Queries and keys in float64, as many sequences at a time as memory allows."""
    matrices = 8 * q.shape[1] * q.shape[2] ** 2 if visible is not None else 1
    size = max(1, min(CHUNK, CHUNK_BYTES // matrices))
    for q_now, k_now in zip(torch.split(q, size), torch.split(k, size), strict=True):
        yield q_now.double(), k_now.double()


def _centred_energy(q: Tensor, k: Tensor, visible: Tensor | None) -> Tensor:
    """``||C(q k^T)||_F^2`` (...) of q and k (..., n, K).

    Where all is visible, centring rows is centring keys, and the norm is a trace of products (K, K): no (n, n) matrix.
    """
    if visible is not None:
        return row_centred(q @ k.transpose(-1, -2), visible).square().sum((-2, -1))
    k = k - k.mean(-2, keepdim=True)
    return ((q.transpose(-1, -2) @ q) * (k.transpose(-1, -2) @ k)).sum((-2, -1))


def rank_collapse(x: Tensor) -> Tensor:
    """How far hidden states (..., n, D) are from being all alike, ``||X - 1 xbar^T||_F / ||X||_F`` (...); 0 if alike.

    Source: the residual of Dong et al. (2021), arXiv 2103.03404, in the Frobenius norm.

    >>> rank_collapse(torch.ones(2, 3)).item(), rank_collapse(torch.tensor([[1.0], [-1.0]])).item()
    (0.0, 1.0)
    """
    rest = x - x.mean(-2, keepdim=True)
    return rest.square().sum((-2, -1)).sqrt() / x.square().sum((-2, -1)).sqrt()


def head_divergence(attn: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence (...) between pairs of heads of attention (..., heads, n, n), in nats.

    0 for equal heads and for one alone, at most log 2, as of two heads that look at different keys:

    >>> round(head_divergence(torch.stack([torch.eye(2), torch.eye(2).flip(0)])).item(), 6)
    0.693147
    """
    heads, own = attn.shape[-3], attention_entropy(attn)
    pairs = [
        attention_entropy((attn[..., a, :, :] + attn[..., b, :, :]) / 2) - (own[..., a, :] + own[..., b, :]) / 2
        for a in range(heads)
        for b in range(a)
    ]
    return torch.stack(pairs).mean((0, -1)) if pairs else own.new_zeros(own.shape[:-2])
