"""Representation diagnostics against sums over quadruples, closed forms and features that are chosen."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfpretrain.diagnostics.representation import (
    cka,
    effective_rank,
    head_products,
    linear_probe,
    relative_change,
    symmetry,
)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(n, seed=0):
    return torch.linalg.qr(normal(n, n, seed=seed))[0]


# Similarity of two sets of features


BOTH = pytest.mark.parametrize("debiased", [True, False])


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_are_like_themselves(debiased, dtype):
    x = normal(20, 6).to(dtype)
    assert cka(x, x, debiased) == pytest.approx(1, abs=1e-6 if dtype == torch.float32 else 1e-12)
    assert cka(x, -3 * x @ rotation(6).to(dtype) + 1, debiased) == pytest.approx(1, abs=1e-5)


@BOTH
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), sign=st.sampled_from([-1, 1]))
@settings(deadline=None, max_examples=25)
def test_orthogonal_maps_scales_and_shifts_change_nothing(debiased, seed, scale, shift, sign):
    """Of either side, also into more features than there were."""
    x, y = normal(9, 4, seed=seed), normal(9, 3, seed=seed + 1) + normal(9, 4, seed=seed)[:, :3]
    expected = cka(x, y, debiased)
    wider = rotation(7, seed=seed + 2)[:4]  # (4, 7) with orthonormal rows
    moved = sign * scale * x @ wider + shift * normal(7, seed=seed + 3)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    assert cka(moved, y, debiased) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert cka(y, moved, debiased) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert cka(x[order], y[order], debiased) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_biased_cka_by_hand():
    """Centred features in orthogonal directions of the examples: x along u, y along cos u + sin v."""
    u, v = torch.tensor([1.0, -1, 0, 0]).double(), torch.tensor([0.0, 0, 1, -1]).double()
    x = u[:, None]
    for angle in (0, 0.4, math.pi / 2):
        y = (math.cos(angle) * u + math.sin(angle) * v)[:, None]
        assert cka(x, y, debiased=False) == pytest.approx(math.cos(angle) ** 2, abs=1e-14)
    # Two features a side: (sum of squared covariances) over norms of the Gram matrices, 1 / (1 * sqrt(2)).
    assert cka(x, torch.stack((u, v), 1), debiased=False) == pytest.approx(1 / math.sqrt(2), rel=1e-14)


@pytest.mark.parametrize(("n", "d", "biased"), [(64, 512, 0.889), (512, 64, 0.112)])
def test_unrelated_features(n, d, biased):
    """The biased form takes few examples of many features for alike: d / (d + n) in expectation.

    The debiased one is the cosine of two symmetric matrices with n (n - 3) / 2 free entries.
    """
    x, y = normal(n, d), normal(n, d, seed=1)
    assert d / (d + n) == pytest.approx(biased, abs=0.001)
    assert cka(x, y, debiased=False) == pytest.approx(biased, abs=0.005)
    assert abs(cka(x, y)) < 4 * math.sqrt(2 / (n * (n - 3)))


def hsic_by_quadruples(x, y):
    """``k_ij (l_ij + l_qr - 2 l_iq)`` averaged over all quadruples of different examples; features as they come."""
    k, other = (features @ features.T for features in (x, y))
    terms = [k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in permutations(range(len(x)), 4)]
    return math.fsum(terms) / len(terms)


@pytest.mark.parametrize(("n", "d1", "d2"), [(4, 2, 3), (5, 1, 1), (6, 7, 2), (8, 3, 3)])
def test_debiased_cka_by_quadruples(n, d1, d2):
    """On features that are not centred: the estimator does not see a shift."""
    x = normal(n, d1, seed=n) + 1.5
    y = normal(n, d2, seed=n + 1) - 0.5 + x[:, :1]
    own = [hsic_by_quadruples(f.numpy(), f.numpy()) for f in (x, y)]
    assert min(own) > 0
    expected = hsic_by_quadruples(x.numpy(), y.numpy()) / math.sqrt(own[0] * own[1])
    assert cka(x, y) == pytest.approx(expected, rel=1e-10)


def test_symmetry_by_its_parts():
    m = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    s, a = (m + m.mT) / 2, (m - m.mT) / 2
    expected = (s.square() - a.square()).sum((-2, -1)) / (s.square() + a.square()).sum((-2, -1))
    torch.testing.assert_close(symmetry(m), expected)
    assert symmetry(m).abs().max() < 0.9
    torch.testing.assert_close(symmetry(s), torch.ones(2, 3).double())
    torch.testing.assert_close(symmetry(a), -torch.ones(2, 3).double())


@pytest.mark.parametrize("shapes", [((5, 2), (6, 2)), ((3, 2), (3, 2)), ((0, 2), (0, 2))])
def test_cka_needs_four_of_the_same_examples(shapes):
    with pytest.raises(ValueError, match="examples"):
        cka(*(normal(*shape) for shape in shapes))


# Linear probe


def split(x, y, train=60):
    return x[:train], y[:train], x[train:], y[train:]


def random_labels(n, classes=2, seed=0):
    return np.random.default_rng(seed).integers(classes, size=n)


def test_a_probe_reads_one_hot_labels():
    """Among features of noise; classes need not be numbered from zero."""
    names = [2, 5, 7]
    labels = np.array(names)[random_labels(200, len(names))]
    one_hot = (labels[:, None] == names).astype(np.float64)
    noise = np.random.default_rng(1).normal(size=(200, 5))
    assert linear_probe(*split(np.hstack((noise, one_hot)), labels)) == 1


def test_a_probe_of_unrelated_features_is_at_chance():
    """Also where there are more features than examples to fit, and the fit is perfect."""
    x = np.random.default_rng(1).normal(size=(2090, 100))
    found = linear_probe(*split(x, random_labels(2090, 3), 90))
    assert found == pytest.approx(1 / 3, abs=4 * math.sqrt(1 / 3 * 2 / 3 / 2000))


def test_a_probe_is_scored_on_the_other_examples():
    """Their labels are turned around: what was learnt is always wrong."""
    y = random_labels(100)
    x = np.stack((y, np.ones(100)), 1).astype(np.float64)
    assert linear_probe(x[:60], y[:60], x[60:], 1 - y[60:]) == 0


def test_a_probe_does_not_see_scale_and_shift_of_a_feature():
    generator = np.random.default_rng(2)
    y = random_labels(400)
    x = generator.normal(size=(400, 4)) + 0.5 * y[:, None]
    moved = x * [1e-4, 1, -1, 1e4] + [3, -2, 0, 1e6]
    found = linear_probe(*split(x, y, 200))
    assert 0.6 < found < 0.9
    assert linear_probe(*split(moved, y, 200)) == pytest.approx(found, abs=0.0051)  # one example may fall otherwise


def test_classes_with_a_single_example_are_left_out_of_both_sides():
    y = np.repeat([0, 1, 2], [8, 8, 1])
    x = np.random.default_rng(0).normal(size=(len(y), 3)) + 5.0 * (y[:, None] == 1)
    assert linear_probe(x, y, x, y) == linear_probe(x[:16], y[:16], x[:16], y[:16])


@pytest.mark.parametrize("counts", [(5, 1), (1, 1), (5,)])
def test_without_two_classes_to_tell_apart_there_is_no_accuracy(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.random.default_rng(0).normal(size=(len(y), 3))
    assert np.isnan(linear_probe(x, y, x, y))


def test_two_examples_of_every_class_are_enough():
    y = np.array([0, 0, 1, 1])
    x = 2.0 * y[:, None] - 1
    assert linear_probe(x, y, x, y) == 1


# Products of projections


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_products_of_heads_by_loops(heads):
    queries, keys = normal(6, 6), normal(6, 6, seed=1)
    found = head_products(queries, keys, heads)
    assert found.shape == (heads, 6, 6)
    size = 6 // heads
    for h in range(heads):
        for i in range(6):
            for j in range(6):
                expected = sum(queries[h * size + r, i] * keys[h * size + r, j] for r in range(size))
                assert found[h, i, j].item() == pytest.approx(expected.item(), abs=1e-12)


def test_scores_are_made_of_the_products():
    """``x_i W_Q^T W_K x_j`` head by head."""
    queries, keys, x = normal(6, 6), normal(6, 6, seed=1), normal(5, 6, seed=2)
    q, k = ((x @ weight.T).reshape(5, 2, 3).transpose(0, 1) for weight in (queries, keys))
    torch.testing.assert_close(x @ head_products(queries, keys, 2) @ x.T, q @ k.transpose(1, 2))


# Changes and ranks


def test_relative_change_by_hand():
    before = torch.tensor([[3.0, 0], [0, 4]])
    assert relative_change(before, before) == 0
    assert relative_change(torch.zeros(2, 2), before) == 1
    assert relative_change(2.5 * before, before) == pytest.approx(1.5, rel=1e-12)
    assert relative_change(before + torch.tensor([[0, 0.5], [0, 0]]), before) == pytest.approx(0.1, rel=1e-12)


def test_effective_ranks_by_hand():
    for d in (1, 2, 7):
        assert effective_rank(torch.eye(d)).item() == pytest.approx(d, rel=1e-12)
        assert effective_rank(rotation(d)).item() == pytest.approx(d, rel=1e-12)
    assert effective_rank(torch.outer(normal(5), normal(5, seed=1))).item() == pytest.approx(1, abs=1e-10)
    for rank in (1, 2, 4):
        basis = rotation(6)[:, :rank]
        assert effective_rank(basis @ basis.T).item() == pytest.approx(rank, rel=1e-10)
    # Singular values in the ratio 2 : 1 : 1 have the entropy 1.5 log 2.
    assert effective_rank(torch.diag(torch.tensor([2.0, -1, 1]))).item() == pytest.approx(2**1.5, rel=1e-12)


@pytest.mark.parametrize("leading", [(2,), (2, 3)])
def test_effective_ranks_of_many_matrices(leading):
    matrices = normal(*leading, 4, 4)
    alone = torch.stack([effective_rank(m) for m in matrices.reshape(-1, 4, 4)]).reshape(leading)
    torch.testing.assert_close(effective_rank(matrices), alone, rtol=1e-12, atol=0)
