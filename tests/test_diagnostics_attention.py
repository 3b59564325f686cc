"""Attention diagnostics against closed forms, slow loops in float64 and numpy's least squares."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

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


@pytest.mark.parametrize(("n", "expected"), [(16, 5.3125), (64, 21.3281), (1024, 341.3330)])
def test_distance_of_uniform_attention(n, expected):
    found = attention_distance(torch.full((n, n), 1 / n, dtype=torch.float64)).item()
    assert found == pytest.approx((n * n - 1) / (3 * n), rel=1e-12)
    assert found == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("side", "expected"), [(14, 7.2808), (32, 16.6770)])
def test_distance_of_uniform_attention_on_a_grid(side, expected):
    uniform = torch.full((side**2, side**2), side**-2.0, dtype=torch.float64)
    assert attention_distance(uniform, grid_distance(side, side)).item() == pytest.approx(expected, abs=5e-5)
    if side == 14:  # in pixels, for patches of 16
        assert attention_distance(uniform, 16 * grid_distance(side, side)).item() == pytest.approx(116.492, abs=5e-4)


def test_grid_distance_by_loops_where_height_is_not_width():
    """Row by row: position 5 of a grid three high and five wide starts the second row."""
    found = grid_distance(3, 5)
    expected = [[math.dist(divmod(i, 5), divmod(j, 5)) for j in range(15)] for i in range(15)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-15)
    assert found[0, 5] == 1 != found[0, 4]


def test_distance_of_a_soft_ring():
    """Scores of -distance / 2 on a ring of 64; the closed form sums exp(-k / 2) over one half and the other."""
    line = torch.arange(64, dtype=torch.float64)
    ring = torch.minimum((line[:, None] - line).abs(), 64 - (line[:, None] - line).abs())
    found = attention_distance((-ring / 2).softmax(-1), ring).item()
    weight = {k: (1 if k in (0, 32) else 2) * math.exp(-k / 2) for k in range(33)}
    assert found == pytest.approx(sum(k * w for k, w in weight.items()) / sum(weight.values()), rel=1e-12)
    assert found == pytest.approx(1.9190, abs=5e-5)


def test_distance_by_loops():
    attn = random_attention(6, 6)
    expected = math.fsum(attn[i, j] * abs(i - j) for i in range(6) for j in range(6)) / 6
    assert attention_distance(attn).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("n", [1, 2, 16, 17])
def test_window_mass_of_uniform_attention(n):
    uniform = torch.full((n, n), 1 / n, dtype=torch.float64)
    for w in range(n):
        expected = (n * (2 * w + 1) - w * (w + 1)) / n**2
        assert window_mass(uniform, w).item() == pytest.approx(expected, rel=1e-13)
    assert window_mass(uniform, n + 3).item() == pytest.approx(1, rel=1e-13)


def test_window_mass_by_hand():
    assert window_mass(torch.full((16, 16), 1 / 16, dtype=torch.float64), 2) == 0.2890625
    attn = random_attention(6, 6)
    expected = math.fsum(attn[i, j] for i in range(6) for j in range(6) if abs(i - j) <= 2) / 6
    assert window_mass(attn, 2).item() == pytest.approx(expected, rel=1e-14)
    assert window_mass(torch.eye(6), 0) == 1
    assert window_mass(torch.eye(6).roll(1, 1)[:5, :5], 0) == 0


# Entropy


def test_entropy_of_uniform_and_of_certain_attention():
    """Zeros count nothing, and do not turn into NaN."""
    assert attention_entropy(torch.full((3, 8), 1 / 8).double()).tolist() == pytest.approx([math.log(8)] * 3, rel=1e-15)
    assert (attention_entropy(torch.eye(5)) == 0).all()
    half = torch.tensor([0.5, 0.0, 0.5, 0.0], dtype=torch.float64)
    assert attention_entropy(half).item() == pytest.approx(math.log(2), rel=1e-15)


def lowest_entropy(n, s):
    """Of n logits whose distance from their mean is at most s; attained by a centred one-hot row."""
    b = math.exp(-s * math.sqrt(n / (n - 1)))
    return math.log1p((n - 1) * b) + s * math.sqrt(n * (n - 1)) * b / (1 + (n - 1) * b)


@pytest.mark.parametrize(
    ("n", "s", "expected"),
    [
        (8, 1, 1.979691),
        (8, 4, 0.471895),
        (8, 10, 0.001862),
        (128, 1, 4.844329),
        (128, 4, 3.985895),
        (128, 10, 0.060876),
    ],
)
def test_entropy_attains_its_lower_bound(n, s, expected):
    row = torch.eye(n, dtype=torch.float64)[0] - 1 / n
    found = attention_entropy((s * row / row.norm()).softmax(-1)).item()
    assert found == pytest.approx(expected, abs=5e-7)
    assert found == pytest.approx(lowest_entropy(n, s), rel=1e-11)


@given(arrays(np.float64, 7, elements=st.floats(-5, 5)))
@settings(deadline=None)
def test_entropy_lies_between_its_bounds(row):
    s = np.linalg.norm(row - row.mean())
    found = attention_entropy(torch.from_numpy(row).softmax(-1)).item()
    assert lowest_entropy(7, s) - 1e-12 <= found <= math.log(7) + 1e-12


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


@given(arrays(np.float64, (2, 6), elements=st.floats(-100, 100)), st.booleans())
@settings(deadline=None)
def test_what_softmax_ignores_changes_no_profile_and_no_slope(added, masked):
    """A number added to a whole row of scores leaves attention as it is."""
    seen = causal(6) if masked else None
    scores = hide(normal(6, 6), seen)
    for row in added:
        moved = scores + torch.from_numpy(row)[:, None]
        for measure in (lag_profile, proximity_slope):
            torch.testing.assert_close(measure(moved, seen), measure(scores, seen), rtol=1e-9, atol=1e-11)


def test_lag_profile_of_a_ramp():
    """Scores that depend on the key alone: S_ij = j has C(S)_ij = j - (n-1)/2, whose diagonals have simple means."""
    n = 7
    ramp = torch.arange(n, dtype=torch.float64).expand(n, n)
    expected = [k / 2 for k in range(-(n - 1), n)]  # the diagonal k runs over the keys max(0, k) .. n-1 + min(0, k)
    np.testing.assert_allclose(lag_profile(ramp).numpy(), expected, atol=1e-14)


@VISIBLE
def test_proximity_slope_equals_numpys_least_squares(visible):
    """All visible pairs but the diagonal, each of them once; the diagonal still counts for a row's mean."""
    n = 11
    scores, seen = normal(n, n) - 0.3 * position_distance(n), visibility(visible, n)
    centred = centred_by_loops(scores, seen)
    chosen = [(i, j) for i, j in pairs(n, seen) if i != j]
    slope, _ = np.polyfit([abs(i - j) for i, j in chosen], [centred[i, j] for i, j in chosen], 1)
    assert proximity_slope(hide(scores, seen), seen).item() == pytest.approx(slope, rel=1e-10)


def test_signs_of_the_proximity_slope():
    distance = position_distance(N)
    assert proximity_slope(-distance) < 0 < proximity_slope(distance)
    assert proximity_slope(torch.zeros(N, N)) == 0
    # Scores that see the direction alone are even in nothing: positions ahead high, behind low.
    assert proximity_slope(torch.ones(N, N).triu(1).double() - torch.ones(N, N).tril(-1).double()).abs() < 1e-12


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


def test_an_absolute_position_code_gives_lag_scores_not_for_free():
    mixed = position_code() @ normal(30, 8, 8) @ position_code().T
    assert toeplitz_r2(mixed).median() < 0.7


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@VISIBLE
def test_score_decomposition_equals_explicit_matrices(visible, dtype):
    """70 sequences, so that the sums run over more than one chunk; a batch that correlates positions."""
    seen = visibility(visible, 7)
    q = (normal(70, 2, 7, 3, seed=1) + normal(2, 7, 3, seed=2) + normal(70, 2, 1, 3, seed=3)).to(dtype)
    k = (0.7 * normal(70, 2, 7, 3, seed=4) + normal(2, 7, 3, seed=5) + q).to(dtype)
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


def test_shares_add_up_where_queries_and_keys_have_contents_of_their_own():
    """Then the parts are uncorrelated; N - 1 of N remain in the sample, and the energies' noise is 1/sqrt(N)."""
    q, k = (normal(4000, 2, 12, 4, seed=s) + normal(2, 12, 4, seed=s + 1) for s in (1, 3))
    total = sum(score_decomposition(q, k).shares.values())
    np.testing.assert_allclose(total.numpy(), 1, atol=4 / math.sqrt(4000))


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
    for seed in range(200):
        q, k = normal(20, 1, 12, 4, seed=2 * seed), normal(20, 1, 12, 4, seed=2 * seed + 1)
        plain.append(score_decomposition(q, k).shares["position-position"].item())
        unbiased.append(position_share(q, k).item())
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


def test_rank_collapse_of_identical_tokens_is_zero_to_rounding():
    assert rank_collapse(normal(4, 1, 13).expand(4, 11, 13)).max() < 1e-15


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.booleans())
@settings(deadline=None, max_examples=30)
def test_rank_collapse_does_not_see_scale_rotation_or_order(seed, scale, negative):
    x = normal(6, 4, seed=seed) + 1
    rotation, _ = torch.linalg.qr(normal(4, 4, seed=seed + 1))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    changed = (-scale if negative else scale) * (x @ rotation)[order]
    torch.testing.assert_close(rank_collapse(changed), rank_collapse(x), rtol=1e-10, atol=0)


def test_rank_collapse_by_projection():
    """The mean row is the nearest matrix with all rows alike."""
    x = normal(9, 5).numpy()
    rest = x - np.ones((9, 9)) / 9 @ x
    assert rank_collapse(torch.from_numpy(x)).item() == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(x))


def test_uniform_attention_without_residual_collapses_at_once():
    assert rank_collapse(torch.full((8, 8), 1 / 8).double() @ normal(8, 3)) < 1e-15


def test_divergence_of_equal_and_of_disjoint_heads():
    one = random_attention(6, 6)
    assert head_divergence(torch.stack((one, one, one))).abs() < 1e-15
    disjoint = torch.stack([torch.eye(6, dtype=torch.float64).roll(shift, 1) for shift in range(3)])
    assert head_divergence(disjoint).item() == pytest.approx(math.log(2), rel=1e-14)
    assert head_divergence(disjoint).item() == pytest.approx(0.693147, abs=5e-7)
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


@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (2, 1, 3)])
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
