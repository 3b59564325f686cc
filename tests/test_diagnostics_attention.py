"""Attention diagnostics against closed forms, slow loops in float64 and numpy's least squares."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from selfpretrain.diagnostics.attention import (
    attention_distance,
    attention_entropy,
    band_means,
    band_sums,
    grid_distance,
    head_divergence,
    lag_profile,
    position_distance,
    position_share,
    proximity_slope,
    rank_collapse,
    row_centred,
    score_decomposition,
    toeplitz_r2,
    window_mass,
)

N = 24


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_attention(*shape, seed=0):
    return normal(*shape, seed=seed).softmax(-1)


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def visibility(name, n):
    """Which keys a query sees: all, the past, all but two padded keys, or those at most five away."""
    if name == "all":
        return None
    near = (torch.arange(n)[:, None] - torch.arange(n)).abs() <= 5
    return {"causal": causal(n), "padded": (torch.arange(n) < n - 2).expand(n, n), "window": near}[name]


VISIBLE = pytest.mark.parametrize("visible", ["all", "causal", "padded", "window"])


def hide(scores, visible):
    """What attention really meets: -inf where a query may not look."""
    return scores if visible is None else scores.masked_fill(~visible, -math.inf)


def centred_by_loops(scores, visible):
    """One (n, n) matrix, one row at a time; 0 outside what is visible."""
    scores = scores.double().numpy()
    out = np.zeros_like(scores)
    for i, row in enumerate(scores):
        keys = [j for j in range(len(row)) if visible is None or visible[i, j]]
        mean = math.fsum(row[j] for j in keys) / len(keys)
        for j in keys:
            out[i, j] = row[j] - mean
    return out


def pairs(n, visible):
    return [(i, j) for i in range(n) for j in range(n) if visible is None or visible[i, j]]


# Distances


@pytest.mark.parametrize("n", [1, 2, 16, 64])
def test_distance_of_uniform_attention(n):
    uniform = torch.full((n, n), 1 / n, dtype=torch.float64)
    assert attention_distance(uniform).item() == pytest.approx((n * n - 1) / (3 * n), rel=1e-12)


def test_distance_of_uniform_attention_on_a_grid_of_14_by_14():
    uniform = torch.full((196, 196), 1 / 196, dtype=torch.float64)
    assert attention_distance(uniform, grid_distance(14, 14)).item() == pytest.approx(7.2808, abs=5e-5)


def test_grid_distance_by_loops_where_height_is_not_width():
    """Row by row: position 5 of a grid three high and five wide starts the second row."""
    found = grid_distance(3, 5)
    expected = [[math.dist(divmod(i, 5), divmod(j, 5)) for j in range(15)] for i in range(15)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
    assert found[0, 5] == 1 != found[0, 4]


def test_distance_and_window_mass_by_loops():
    attn = random_attention(6, 6)
    distance = math.fsum(attn[i, j] * abs(i - j) for i in range(6) for j in range(6)) / 6
    near = math.fsum(attn[i, j] for i in range(6) for j in range(6) if abs(i - j) <= 2) / 6
    assert attention_distance(attn).item() == pytest.approx(distance, rel=1e-14)
    assert window_mass(attn, 2).item() == pytest.approx(near, rel=1e-14)


@pytest.mark.parametrize("n", [1, 2, 16, 17])
def test_window_mass_of_uniform_attention(n):
    uniform = torch.full((n, n), 1 / n, dtype=torch.float64)
    for w in range(n):
        expected = (n * (2 * w + 1) - w * (w + 1)) / n**2
        assert window_mass(uniform, w).item() == pytest.approx(expected, rel=1e-13)
    assert window_mass(uniform, n + 3).item() == pytest.approx(1, rel=1e-13)


# Entropy


def test_entropy_of_uniform_and_of_certain_attention():
    """Zeros count nothing, and do not turn into NaN."""
    assert attention_entropy(torch.full((3, 8), 1 / 8).double()).tolist() == pytest.approx([math.log(8)] * 3, rel=1e-15)
    assert (attention_entropy(torch.eye(5)) == 0).all()
    half = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64)
    assert attention_entropy(half).item() == pytest.approx(math.log(2), rel=1e-15)


def test_entropy_equals_scipys():
    attn = random_attention(3, 7)
    np.testing.assert_allclose(attention_entropy(attn).numpy(), stats.entropy(attn.numpy(), axis=1), rtol=1e-13)


# Bands and lag profiles


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_band_sums_by_loops(n):
    matrix = normal(2, 3, n, n)
    expected = torch.zeros(2, 3, 2 * n - 1, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            expected[..., j - i + n - 1] += matrix[..., i, j]
    torch.testing.assert_close(band_sums(matrix), expected, rtol=1e-13, atol=1e-14)


def test_band_means_of_uniform_attention():
    torch.testing.assert_close(band_means(torch.full((9, 9), 1 / 9)), torch.full((17,), 1 / 9))
    # A causal row i is uniform over its i + 1 keys: lag -k is seen by the queries from k on.
    n, seen = 9, causal(9)
    attn = seen.double() / seen.sum(1, keepdim=True)
    expected = [math.fsum(1 / (i + 1) for i in range(k, n)) / (n - k) for k in reversed(range(n))] + [0.0] * (n - 1)
    np.testing.assert_allclose(band_means(attn, seen).numpy(), expected, rtol=1e-14)


@VISIBLE
def test_row_centring_by_loops(visible):
    scores, seen = normal(9, 9), visibility(visible, 9)
    found = row_centred(hide(scores, seen), seen)
    np.testing.assert_allclose(found.numpy(), centred_by_loops(scores, seen), rtol=1e-12, atol=1e-15)


@VISIBLE
def test_lag_profile_by_loops(visible):
    n = 9
    scores, seen = normal(n, n), visibility(visible, n)
    centred = centred_by_loops(scores, seen)
    expected = np.zeros(2 * n - 1)
    for lag in range(-(n - 1), n):
        entries = [centred[i, j] for i, j in pairs(n, seen) if j - i == lag]
        expected[lag + n - 1] = math.fsum(entries) / len(entries) if entries else 0.0
    np.testing.assert_allclose(lag_profile(hide(scores, seen), seen).numpy(), expected, rtol=1e-12, atol=1e-15)


@VISIBLE
@pytest.mark.parametrize("measure", [lag_profile, proximity_slope, lambda s, seen: toeplitz_r2(s, visible=seen)])
def test_a_number_added_to_a_whole_row_of_scores_changes_nothing(measure, visible):
    """Softmax ignores it."""
    seen = visibility(visible, 6)
    scores = hide(normal(6, 6), seen)
    moved = scores + 100 * normal(6, 1, seed=1)
    torch.testing.assert_close(measure(moved, seen), measure(scores, seen), rtol=1e-9, atol=1e-11)


@VISIBLE
def test_proximity_slope_equals_numpys_least_squares(visible):
    """All visible pairs but the diagonal, each of them once; the diagonal still counts for a row's mean."""
    n = 11
    scores, seen = normal(n, n) - 0.3 * position_distance(n), visibility(visible, n)
    centred = centred_by_loops(scores, seen)
    chosen = [(i, j) for i, j in pairs(n, seen) if i != j]
    slope, _ = np.polyfit([abs(i - j) for i, j in chosen], [centred[i, j] for i, j in chosen], 1)
    assert proximity_slope(hide(scores, seen), seen).item() == pytest.approx(slope, rel=1e-10)


# How much of the scores depends on the lag alone


def toeplitz_by_least_squares(scores, visible):
    """R^2 on all centred bands by numpy, and its degrees of freedom: (of the scores, of the bands)."""
    n = len(scores)
    bands = []
    for lag in range(-(n - 1), n):
        band = torch.from_numpy(np.eye(n, k=lag))
        if visible is None or (band.bool() & visible).any():
            bands.append(centred_by_loops(band, visible).ravel())
    target = centred_by_loops(scores, visible).ravel()
    coefficients, _, rank, _ = np.linalg.lstsq(np.stack(bands, 1), target, rcond=1e-10)
    rest = target - np.stack(bands, 1) @ coefficients
    seen = n * n if visible is None else int(visible.sum())
    return 1 - (rest @ rest) / (target @ target), seen - n, int(rank)


@VISIBLE
@pytest.mark.parametrize("toeplitz", [0.0, 0.5])
def test_toeplitz_share_equals_least_squares_on_centred_bands(visible, toeplitz):
    n = 10
    lag = torch.arange(n)[None] - torch.arange(n)[:, None]
    scores = normal(n, n) + toeplitz * normal(2 * n - 1, seed=1)[lag + n - 1]
    seen = visibility(visible, n)
    r2, total, free = toeplitz_by_least_squares(scores, seen)
    assert toeplitz_r2(hide(scores, seen), adjusted=False, visible=seen).item() == pytest.approx(r2, rel=1e-10)
    adjusted = 1 - (1 - r2) * total / (total - free)
    assert toeplitz_r2(hide(scores, seen), visible=seen).item() == pytest.approx(adjusted, rel=1e-10)
    if visible == "all":
        assert (total, free) == (n * (n - 1), 2 * n - 2)


def position_code(n=N):
    """Cosine and sine of four frequencies (n, 8): p p^T depends on the lag alone."""
    phase = torch.arange(n, dtype=torch.float64)[:, None] * torch.tensor([1, 0.3, 0.1, 0.03])
    return torch.cat((phase.cos(), phase.sin()), 1)


@pytest.mark.parametrize("adjusted", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_sinusoidal_positions_make_scores_of_the_lag_alone(adjusted, masked):
    seen = causal(N) if masked else None
    scores = position_code() @ position_code().T
    for moved in (scores, scores + 3 * normal(N, 1), 1e6 * scores):
        assert toeplitz_r2(hide(moved, seen), adjusted, seen).item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("masked", [True, False])
def test_random_scores_have_no_lag_share_once_adjusted(masked):
    """R^2 of Gaussian scores is Beta(bands/2, rest/2); its mean is 2/n, with all keys visible as with the past."""
    repeats, seen = 400, causal(N) if masked else None
    total = N * (N - 1) // (2 if masked else 1)
    bands = (N - 1) * (1 if masked else 2)
    mean = bands / total
    error = math.sqrt(mean * (1 - mean) / (total / 2 + 1) / repeats)
    assert mean == 2 / N
    scores = hide(normal(repeats, N, N), seen)
    assert abs(toeplitz_r2(scores, adjusted=False, visible=seen).mean() - 2 / N) < 4 * error
    assert abs(toeplitz_r2(scores, visible=seen).mean()) < 4 * error * total / (total - bands)
    assert (toeplitz_r2(scores, visible=seen) < 0).any()  # unbiased, so not clamped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", ["zero", "equal", "different"])
def test_constant_rows_have_no_lag_share(rows, dtype):
    value = {"zero": torch.zeros(N, 1), "equal": torch.full((N, 1), 0.1), "different": normal(N, 1)}[rows]
    assert toeplitz_r2(value.to(dtype).expand(N, N)).isnan()


# Position and content


def parts_by_matrices(q, k, visible):
    """Every part of every sequence's scores as an explicit matrix; energies of the centred parts per head."""
    q_mean, k_mean = q.mean(0, keepdim=True), k.mean(0, keepdim=True)
    sources = {
        "position-position": (q_mean, k_mean),
        "position-content": (q_mean, k - k_mean),
        "content-position": (q - q_mean, k_mean),
        "content-content": (q - q_mean, k - k_mean),
    }
    parts = {
        name: torch.einsum("bhik,bhjk->bhij", left.expand_as(q), right.expand_as(k)) / math.sqrt(q.shape[-1])
        for name, (left, right) in sources.items()
    }
    scores = torch.einsum("bhik,bhjk->bhij", q, k) / math.sqrt(q.shape[-1])
    torch.testing.assert_close(sum(parts.values()), scores, rtol=0, atol=1e-12)  # exact for any q and k

    def energy(part):
        centred = [[centred_by_loops(matrix, visible) for matrix in heads] for heads in part]
        return np.square(centred).sum((0, 2, 3))

    shares = {name: energy(part) / energy(scores) for name, part in parts.items()}
    return shares, parts["position-position"][0]


@VISIBLE
def test_score_decomposition_equals_explicit_matrices(visible):
    """70 sequences, so that the sums run over more than one chunk; a batch that correlates positions."""
    seen = visibility(visible, 7)
    q = (normal(70, 2, 7, 3, seed=1) + normal(2, 7, 3, seed=2) + normal(70, 2, 1, 3, seed=3)).float()
    k = (0.7 * normal(70, 2, 7, 3, seed=4) + normal(2, 7, 3, seed=5) + q).float()
    shares, position = parts_by_matrices(q.double(), k.double(), seen)
    found = score_decomposition(q, k, seen)
    assert list(found.shares) == list(shares)
    for name, share in shares.items():
        np.testing.assert_allclose(found.shares[name].numpy(), share, rtol=1e-10)
    torch.testing.assert_close(found.position_position, position, rtol=1e-12, atol=1e-12)


def test_the_position_part_is_that_of_the_position_vectors():
    """Content of zero mean: p W_Q W_K^T p^T / sqrt(K) up to 1/sqrt(N) from the means of queries and of keys."""
    n_sequences, n, width = 4000, 12, 4
    content, code = normal(n_sequences, n, 6), normal(n, 6, seed=1)
    to_query, to_key = normal(6, width, seed=2), normal(6, width, seed=3)
    q, k = (((content + code) @ weight)[:, None] for weight in (to_query, to_key))
    found = score_decomposition(q, k)
    expected = code @ to_query @ to_key.T @ code.T / math.sqrt(width)
    error = ((found.position_position[0] - expected).norm() / expected.norm()).item()
    assert error == pytest.approx(0.02, abs=0.015)
    assert sum(share.item() for share in found.shares.values()) == pytest.approx(1, abs=0.05)


def test_score_decomposition_at_its_ends():
    same = normal(1, 2, 7, 3).expand(5, 2, 7, 3)
    found = score_decomposition(same, same)
    for name, share in found.shares.items():
        torch.testing.assert_close(share, torch.full((2,), float(name == "position-position")).double())
    free = normal(3000, 2, 7, 3, seed=1)
    opposite = score_decomposition(torch.cat((free, -free)), torch.cat((free, -free)))  # means of exactly zero
    for name, share in opposite.shares.items():
        torch.testing.assert_close(share, torch.full((2,), float(name == "content-content")).double())


@VISIBLE
def test_position_share_multiplies_the_position_parts_of_two_halves(visible):
    seen = visibility(visible, 7)
    q = normal(70, 2, 7, 3, seed=1) + normal(2, 7, 3, seed=2)
    k = normal(70, 2, 7, 3, seed=4) + normal(2, 7, 3, seed=5)
    halves = [parts_by_matrices(q[h], k[h], seen)[1] for h in (slice(35), slice(35, 70))]  # over sqrt(3), the width
    first, second = (row_centred(half, seen) for half in halves)
    energy = row_centred(q @ k.transpose(-1, -2), seen).square().sum((-2, -1)).mean(0)
    expected = 3 * (first * second).sum((-2, -1)) / energy
    torch.testing.assert_close(position_share(q, k, seen), expected, rtol=1e-10, atol=1e-12)


def test_position_share_is_unbiased_where_the_plain_share_is_not():
    """Pure content has no position part. Of 20 sequences the plain share is (1/20)^2 all the same."""
    plain, unbiased = [], []
    for seed in range(5):  # 40 heads at a time
        q, k = normal(20, 40, 12, 4, seed=2 * seed), normal(20, 40, 12, 4, seed=2 * seed + 1)
        plain += score_decomposition(q, k).shares["position-position"].tolist()
        unbiased += position_share(q, k).tolist()
    assert np.mean(plain) == pytest.approx(1 / 400, rel=0.05)
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / math.sqrt(200) < 1 / 2000


def test_score_decomposition_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="shape"):
        score_decomposition(torch.zeros(3, 1, 5, 2), torch.zeros(3, 1, 4, 2))


# Collapse and diversity


def test_rank_collapse_by_hand():
    # Rows (3, 0) and (1, 0): the mean (2, 0), the rest (1, 0) and (-1, 0).
    assert rank_collapse(torch.tensor([[3.0, 0.0], [1.0, 0.0]])).item() == pytest.approx(math.sqrt(2 / 10), rel=1e-6)
    assert rank_collapse(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])) == 1  # a mean of zero
    assert rank_collapse(torch.tensor([1.5, -2.0]).expand(5, 2)) == 0


def test_rank_collapse_by_projection():
    """The mean row is the nearest matrix with all rows alike."""
    x = normal(9, 5).numpy()
    rest = x - np.ones((9, 9)) / 9 @ x
    assert rank_collapse(torch.from_numpy(x)).item() == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(x))


def test_divergence_of_equal_and_of_disjoint_heads():
    one = random_attention(6, 6)
    assert head_divergence(torch.stack((one, one, one))).abs() < 1e-15
    disjoint = torch.stack([torch.eye(6, dtype=torch.float64).roll(shift, 1) for shift in range(3)])
    assert head_divergence(disjoint).item() == pytest.approx(math.log(2), rel=1e-14)
    assert head_divergence(one[None]) == 0


def test_divergence_of_heads_by_loops():
    """Half the Kullback-Leibler divergence of either head from their mean, over all pairs and queries."""
    attn = random_attention(3, 5, 5).numpy()
    each = []
    for a, b in combinations(attn, 2):
        for row_a, row_b in zip(a, b, strict=True):
            mean = (row_a + row_b) / 2
            each.append((row_a @ np.log(row_a / mean) + row_b @ np.log(row_b / mean)) / 2)
    assert head_divergence(torch.from_numpy(attn)).item() == pytest.approx(np.mean(each), rel=1e-12)


# Shapes


@pytest.mark.parametrize("leading", [(2,), (2, 1, 3)])
@pytest.mark.parametrize(
    "measure",
    [
        attention_distance,
        lambda attn: window_mass(attn, 1),
        attention_entropy,
        band_sums,
        band_means,
        row_centred,
        lag_profile,
        lambda scores: lag_profile(scores, causal(5)),
        proximity_slope,
        lambda scores: proximity_slope(scores, causal(5)),
        toeplitz_r2,
        lambda scores: toeplitz_r2(scores, visible=causal(5)),
        rank_collapse,
    ],
)
def test_leading_dimensions_are_kept_and_do_not_mix(measure, leading):
    x = random_attention(*leading, 5, 5)
    alone = torch.stack([measure(matrix) for matrix in x.reshape(-1, 5, 5)])
    torch.testing.assert_close(measure(x), alone.reshape((*leading, *alone.shape[1:])), rtol=1e-12, atol=1e-14)


def test_leading_dimensions_of_the_divergence_of_heads():
    attn = random_attention(2, 3, 4, 5, 5)
    alone = torch.stack([head_divergence(heads) for heads in attn.reshape(6, 4, 5, 5)])
    torch.testing.assert_close(head_divergence(attn), alone.reshape(2, 3), rtol=1e-12, atol=1e-14)
    assert head_divergence(attn[:, :, :1]).tolist() == [[0.0] * 3] * 2
