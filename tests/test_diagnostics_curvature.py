"""Curvature against spectra that are chosen, dense Hessians by another route, and another package.

A quadratic ``w H w / 2 + c w`` has the Hessian H wherever it is taken; its weights come in two tensors of different
shapes, so that their order matters. The dense Hessian of a network is made of differences of gradients.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse.linalg import ArpackNoConvergence

from selfpretrain.config import ModelConfig
from selfpretrain.data.kinds import InputSpec
from selfpretrain.diagnostics import curvature
from selfpretrain.diagnostics.curvature import (
    Hessian,
    critical_sharpness,
    hessian_eigenvalues,
    hessian_trace,
    spectral_density,
)
from selfpretrain.model.transformer import SequenceModel

KNOWN = torch.linspace(0.1, 9, 30, dtype=torch.float64)
SADDLE = torch.linspace(-6, 4, 30, dtype=torch.float64)  # the largest in magnitude is negative


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotated(spectrum, seed=0):
    """A matrix with these eigenvalues, in no special basis."""
    spectrum = torch.as_tensor(spectrum, dtype=torch.float64)
    basis, _ = torch.linalg.qr(normal(len(spectrum), len(spectrum), seed=seed))
    return basis @ torch.diag(spectrum) @ basis.T


def quadratic(matrix, seed=1):
    """Loss, weights, gradient: ``w H w / 2 + c w``, the weights as (2, 3) and a rest."""
    size = len(matrix)
    params = [normal(2, 3, seed=seed).requires_grad_(), normal(size - 6, seed=seed + 1).requires_grad_()]
    linear = normal(size, seed=seed + 2)

    def flat():
        return torch.cat([p.flatten() for p in params])

    gradient = (matrix @ flat() + linear).detach()
    return lambda: flat() @ matrix @ flat() / 2 + linear @ flat(), params, gradient


def hessian_of(matrix):
    """A quadratic's Hessian."""
    return Hessian(*quadratic(matrix)[:2])


def like(params, flat):
    """A flat vector cut as the weights are."""
    parts = flat.split([p.numel() for p in params])
    return [part.reshape(p.shape) for part, p in zip(parts, params, strict=True)]


def ends(spectrum, k, which):
    """What is asked for, by sorting."""
    up = sorted(spectrum.tolist())
    if which == "LM":
        return sorted(up, key=abs, reverse=True)[:k]
    taken = {"LA": up[len(up) - k :], "SA": up[:k], "BE": up[: k // 2] + up[len(up) - (k - k // 2) :]}[which]
    return taken[::-1]


# Eigenvalues of a known spectrum


WHICH = pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])


@WHICH
@pytest.mark.parametrize("k", [1, 2, 15])
@pytest.mark.parametrize("spectrum", [KNOWN, SADDLE], ids=["minimum", "saddle"])
def test_eigenvalues_of_a_known_spectrum(spectrum, k, which):
    hessian = hessian_of(rotated(spectrum))
    found = hessian_eigenvalues(hessian, k, which)
    np.testing.assert_allclose(found.values.numpy(), ends(spectrum, k, which), rtol=1e-10)
    assert found.residuals.shape == (k,) and found.residuals.max() < 1e-10
    assert found.values.dtype == found.residuals.dtype == torch.float64


@WHICH
@pytest.mark.parametrize("k", [1, 3, 8])
def test_eigenvalues_of_a_few_weights(k, which):
    """Too few for an iteration."""
    hessian = hessian_of(rotated(SADDLE[::4]))
    np.testing.assert_allclose(
        hessian_eigenvalues(hessian, k, which).values.numpy(), ends(SADDLE[::4], k, which), rtol=1e-12
    )


@WHICH
def test_eigenvalues_that_occur_more_than_once_count_more_than_once(which):
    spectrum = torch.tensor([3.0, 3, 3, 2, -1, -1] + [0.5] * 40)
    hessian = hessian_of(rotated(spectrum))
    found = hessian_eigenvalues(hessian, 4, which).values
    np.testing.assert_allclose(found.numpy(), ends(spectrum, 4, which), atol=1e-10)


@WHICH
def test_residuals_are_honest_where_the_tolerance_is_coarse(which):
    """A symmetric matrix has an eigenvalue no further from lambda than ||H v - lambda v||, whatever the unit v."""
    spectrum = torch.cat((torch.linspace(0, 1, 300).double() ** 2, torch.tensor([1.001, -0.001]).double()))
    hessian = hessian_of(rotated(spectrum))
    found = hessian_eigenvalues(hessian, 4, which, tolerance=0.1)
    assert found.residuals.max() > 1e-9  # it did stop early
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert (spectrum - value).abs().min() <= residual + 1e-12


@WHICH
@pytest.mark.parametrize("k", [4, 5])
def test_eigenvalues_that_did_not_converge_are_not_left_out(which, k, monkeypatch):
    """Else the last of those found would pass for the smallest. There are as many as asked for, and residuals tell."""
    spectrum = torch.linspace(0, 1, 300).double() ** 2
    hessian = hessian_of(rotated(spectrum))
    real = curvature.eigsh
    failures = []

    def stops_at_once(*args, **settings):
        try:
            return real(*args, **{**settings, "maxiter": 1})
        except ArpackNoConvergence as error:
            failures.append(error)
            raise

    monkeypatch.setattr(curvature, "eigsh", stops_at_once)
    found = hessian_eigenvalues(hessian, k, which)
    (failure,) = failures
    assert len(failure.eigenvalues) < k  # what it found alone would be too few
    assert found.values.shape == found.residuals.shape == (k,)
    assert (found.values.diff() < 0).all()  # in order, and no eigenvector twice
    high = {"LA": k, "SA": 0, "LM": k, "BE": k - k // 2}[which]
    assert (found.values[:high] > 0.9).all() and (found.values[high:] < 0.1).all()  # of the ends that were asked for
    assert found.residuals.max() > 1e-12  # as rough as they are
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert (spectrum - value).abs().min() <= residual + 1e-12


@pytest.mark.parametrize("k", [-1, 0, 31])
def test_more_eigenvalues_than_weights_or_none_are_refused(k):
    hessian = hessian_of(rotated(KNOWN))
    with pytest.raises(ValueError, match="between 1 and the number of weights, 30"):
        hessian_eigenvalues(hessian, k)


@pytest.mark.parametrize("size", [10, 30])
def test_an_unknown_end_is_refused(size):
    hessian = hessian_of(rotated(KNOWN[:size]))
    with pytest.raises(ValueError, match="'SM' is none of LA, SA, LM, BE"):
        hessian_eigenvalues(hessian, 1, "SM")


# Products


def test_products_of_a_quadratic():
    matrix = rotated(SADDLE)
    loss, params, _ = quadratic(matrix)
    hessian = Hessian(loss, params)
    assert hessian.size == 30
    for seed in range(3):
        vector = normal(30, seed=seed)
        np.testing.assert_allclose(hessian @ vector.numpy(), (matrix @ vector).numpy(), rtol=1e-11, atol=1e-12)
    assert all(p.grad is None for p in params)


# Trace


def test_the_trace_of_a_diagonal_hessian_is_exact():
    """Every random sign squares to 1."""
    hessian = hessian_of(torch.diag(KNOWN))
    found = hessian_trace(hessian, 2)
    assert found.value == pytest.approx(136.5, rel=1e-13)
    assert found.standard_error < 1e-12


def sampling_error(matrix, samples):
    """Standard deviation of the mean of z^T H z over random signs z: ``sqrt(2 sum_{i != j} H_ij^2 / samples)``."""
    beside = matrix - torch.diag(matrix.diagonal())
    return math.sqrt(2 * beside.square().sum() / samples)


def test_two_samples_that_differ_by_four_have_an_error_of_two():
    """z1 z2 + z2 z1 is 2 or -2: the error of the mean of both is sqrt(8 / 2), of two alike 0."""
    matrix = torch.zeros(7, 7, dtype=torch.float64)
    matrix[0, 1] = matrix[1, 0] = 1.0
    hessian = hessian_of(matrix)
    found = {round(hessian_trace(hessian, 2, seed=seed).standard_error, 9) for seed in range(20)}
    assert found == {0.0, 2.0}


def test_the_trace_of_a_known_spectrum():
    matrix = rotated(KNOWN)
    hessian = hessian_of(matrix)
    found = hessian_trace(hessian, 400)
    error = sampling_error(matrix, 400)
    assert found.value == pytest.approx(136.5, abs=4 * error)
    # The standard deviation of n nearly normal numbers is known to 1/sqrt(2n).
    assert found.standard_error == pytest.approx(error, rel=4 / math.sqrt(800))


# Density


def test_the_density_of_a_known_spectrum():
    hessian = hessian_of(rotated(KNOWN))
    found = spectral_density(hessian)
    assert torch.trapezoid(found.density, found.grid).item() == pytest.approx(1, abs=1e-3)
    assert (found.density >= 0).all() and (found.weights >= 0).all()
    assert found.weights.sum().item() == pytest.approx(1, rel=1e-12)
    assert (found.nodes.diff() >= 0).all() and (found.grid.diff() > 0).all()
    # Ten probes of as many steps as there are weights: every probe finds every eigenvalue.
    np.testing.assert_allclose(found.nodes.numpy(), np.repeat(KNOWN.numpy(), 10), rtol=1e-9)


def test_the_density_is_a_mixture_of_gaussians_at_the_nodes():
    hessian = hessian_of(rotated(KNOWN))
    found = spectral_density(hessian, 2, 7, points=53, width=0.05)
    assert found.grid.shape == found.density.shape == (53,) and found.nodes.shape == found.weights.shape == (14,)
    sigma = 0.05 * (found.nodes.max() - found.nodes.min()).item()
    grid, mixture = found.grid.numpy(), zip(found.weights.tolist(), found.nodes.tolist(), strict=True)
    expected = sum(weight * stats.norm.pdf(grid, node, sigma) for weight, node in mixture)
    np.testing.assert_allclose(found.density.numpy(), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
def test_few_steps_keep_low_moments(steps):
    """Gauss quadrature of m nodes is exact up to the power 2m - 1; the probes of one seed are the same."""
    hessian = hessian_of(rotated(SADDLE / 6))
    few, all_of_it = (spectral_density(hessian, 3, s) for s in (steps, 30))
    assert len(few.nodes) == 3 * steps
    assert few.nodes.min() >= -1 - 1e-12 and few.nodes.max() <= 4 / 6 + 1e-12
    for power in range(2 * steps):
        moments = [(d.weights * d.nodes**power).sum().item() for d in (few, all_of_it)]
        assert moments[0] == pytest.approx(moments[1], rel=1e-9, abs=1e-12)
    first_lost = [(d.weights * d.nodes ** (2 * steps)).sum().item() for d in (few, all_of_it)]
    assert first_lost[0] < first_lost[1]  # and no higher: what m nodes miss of x^2m is positive


def test_moments_are_exact_where_all_eigenvalues_agree():
    hessian = hessian_of(2.5 * torch.eye(30, dtype=torch.float64))
    found = spectral_density(hessian, 4, 80)
    np.testing.assert_allclose(found.nodes.numpy(), 2.5, rtol=1e-14)
    assert (found.weights * found.nodes).sum().item() == pytest.approx(2.5, rel=1e-13)
    assert torch.trapezoid(found.density, found.grid).item() == pytest.approx(1, abs=1e-3)


def test_the_iteration_stops_when_all_has_been_seen():
    """Two eigenvalues: two steps, and their weights are their shares (27 and 3 of 30, as a beta distribution)."""
    hessian = hessian_of(rotated([0.0] * 27 + [5.0] * 3))
    found = spectral_density(hessian, 200, 80)
    assert len(found.nodes) == 400
    low, high = found.nodes[:200], found.nodes[200:]
    torch.testing.assert_close(low, torch.zeros(200).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(high, torch.full((200,), 5.0).double(), rtol=1e-12, atol=0)
    error = stats.beta(1.5, 13.5).std() / math.sqrt(200)
    assert found.weights[200:].sum().item() == pytest.approx(0.1, abs=4 * error)


# A network with attention


MODEL = ModelConfig(width=4, heads=2, ff_factor=1.0, attention="eager")
INPUTS = InputSpec(kind="symbols", symbols=4, channels=0, length=6, classes=3)


def network(config=MODEL, dtype=torch.float64):
    model = SequenceModel(config, INPUTS, generator=torch.Generator().manual_seed(0))
    return model.to(dtype)


BATCH = (torch.randint(4, (8, 6), generator=torch.Generator().manual_seed(1)), torch.arange(8) % 3)


def cross_entropy(model, batch=BATCH):
    x, y = batch
    return F.cross_entropy(model(x).logits, y)


def of_network(model, params=None):
    """The Hessian of a network's cross-entropy, of all weights or of some."""
    return Hessian(lambda: cross_entropy(model), list(model.parameters() if params is None else params))


def places(model, chosen):
    """Where the chosen weights stand in the dense Hessian."""
    mask = [torch.full((p.numel(),), chosen(name)) for name, p in model.named_parameters()]
    return torch.cat(mask).nonzero()[:, 0]


def query_key(name):
    return ".query." in name or ".key." in name


@pytest.fixture(scope="module")
def dense():
    """Of all weights, in the model's order; four points leave an error of the order of step^4."""
    model, step, rows = network(), 1e-3, []
    params = list(model.parameters())
    for p in params:
        for i in range(p.numel()):
            row, was = 0, p.data.view(-1)[i].item()
            for factor, multiple in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
                p.data.view(-1)[i] = was + multiple * step
                grads = torch.autograd.grad(cross_entropy(model), params, materialize_grads=True)
                row += factor * torch.cat([g.flatten() for g in grads]) / (12 * step)
            p.data.view(-1)[i] = was
            rows.append(row)
    return torch.stack(rows)


def test_products_equal_the_dense_hessian(dense):
    model = network()
    hessian = of_network(model)
    assert hessian.size == len(dense) > 200
    for seed in range(3):
        vector = normal(len(dense), seed=seed)
        np.testing.assert_allclose(hessian @ vector.numpy(), (dense @ vector).numpy(), rtol=0, atol=1e-8)


@WHICH
@pytest.mark.parametrize("block", ["all", "query-key"])
def test_eigenvalues_equal_those_of_the_dense_hessian(dense, block, which):
    model = network()
    chosen = query_key if block == "query-key" else lambda name: True
    at = places(model, chosen)
    spectrum = torch.linalg.eigvalsh(dense[at][:, at])
    assert spectrum[0] < -1e-3 and spectrum[-1] > 1e-3  # a saddle
    params = [p for name, p in model.named_parameters() if chosen(name)]
    found = hessian_eigenvalues(of_network(model, params), 4, which)
    np.testing.assert_allclose(found.values.numpy(), ends(spectrum, 4, which), rtol=0, atol=1e-8)
    assert found.residuals.max() < 1e-10 * spectrum.abs().max()


@pytest.mark.parametrize("block", ["all", "query-key"])
def test_agreement_with_hessian_eigenthings(block):
    """Another implementation, exact where differences are not. It takes no weights that the loss does not touch."""
    other = pytest.importorskip("hessian_eigenthings")
    model = network()

    def chosen(name, _=None):
        return query_key(name) if block == "query-key" else not name.startswith("reconstruction_head")

    params = [p for name, p in model.named_parameters() if chosen(name)]
    theirs = other.HessianOperator(model, [BATCH], cross_entropy, param_filter=chosen)
    ours = of_network(model, params)
    assert ours.size == theirs.size
    vector = normal(ours.size)
    np.testing.assert_allclose(ours @ vector.numpy(), theirs.matvec(vector).detach().numpy(), rtol=0, atol=1e-12)
    for which in ("LA", "SA"):
        steps = min(ours.size, 40)
        expected = other.lanczos(theirs, k=2, which=which, max_iter=steps, reorthogonalize=True, seed=0)
        found = hessian_eigenvalues(of_network(model, params), 2, which).values
        np.testing.assert_allclose(
            sorted(found.tolist()), sorted(expected.eigenvalues.tolist()), rtol=1e-8, err_msg=which
        )


def test_float32_weights(dense):
    model = network(dtype=torch.float32)
    found = hessian_eigenvalues(of_network(model), 4, "BE")
    assert found.values.dtype == found.residuals.dtype == torch.float64
    spectrum = torch.linalg.eigvalsh(dense)
    np.testing.assert_allclose(found.values.numpy(), ends(spectrum, 4, "BE"), rtol=1e-5)
    assert 1e-12 < found.residuals.max() < 1e-5  # float32's rounding shows


def test_fused_attention_gives_no_wrong_numbers():
    """Today's kernel has no second derivative and says so; one that has must agree."""
    fused = network(replace(MODEL, attention="sdpa"))
    try:
        found = hessian_eigenvalues(of_network(fused), 2, "BE").values
    except RuntimeError as error:
        assert "scaled_dot_product" in str(error)
    else:
        torch.testing.assert_close(found, hessian_eigenvalues(of_network(network()), 2, "BE").values, rtol=1e-8, atol=0)


# Weights without curvature


def test_weights_that_the_loss_does_not_touch_count_with_curvature_zero():
    loss, params, _ = quadratic(torch.diag(KNOWN))
    more = [normal(5, 4).requires_grad_(), *params, normal(10).requires_grad_()]
    hessian = Hessian(loss, more)
    assert hessian.size == 60
    product = hessian @ np.ones(60)
    np.testing.assert_allclose(product, [0] * 20 + KNOWN.tolist() + [0] * 10, atol=1e-14)
    assert hessian_trace(Hessian(loss, more), 2).value == pytest.approx(136.5, rel=1e-13)
    mean = spectral_density(Hessian(loss, more), 5, 60)
    both = torch.cat((KNOWN, torch.zeros(30)))
    spread = 2 * (both.square().sum() - both.sum() ** 2 / 60) / (60 * 62)
    assert (mean.weights * mean.nodes).sum().item() == pytest.approx(136.5 / 60, abs=4 * math.sqrt(spread / 5))


@WHICH
@pytest.mark.parametrize("untouched", [1, 10, 100])
def test_eigenvalues_of_zero_are_found(untouched, which):
    """Those of weights that the loss does not touch, below 30 positive ones."""
    loss, params, _ = quadratic(rotated(KNOWN))
    more = [*params, normal(untouched).requires_grad_()]
    spectrum = torch.cat((KNOWN, torch.zeros(untouched)))
    found = hessian_eigenvalues(Hessian(loss, more), 2, which).values
    np.testing.assert_allclose(found.numpy(), ends(spectrum, 2, which), rtol=1e-10, atol=1e-10)


def test_weights_that_the_loss_takes_linearly():
    loss, params, _ = quadratic(torch.diag(KNOWN))
    beside, slope = normal(7).requires_grad_(), normal(7, seed=1)
    hessian = Hessian(lambda: loss() + slope @ beside, [beside, *params])
    np.testing.assert_allclose(hessian @ np.ones(37), [0] * 7 + KNOWN.tolist(), atol=1e-14)


@WHICH
@pytest.mark.parametrize("size", [10, 50])
def test_a_linear_loss_has_no_curvature(size, which):
    slope, params = normal(size), [normal(size).requires_grad_()]
    found = hessian_eigenvalues(Hessian(lambda: slope @ params[0], params), 2, which)
    np.testing.assert_array_equal(found.values.numpy(), [0, 0])
    np.testing.assert_array_equal(found.residuals.numpy(), [0, 0])


@WHICH
def test_a_hessian_that_vanishes_here_and_not_elsewhere(which):
    """The graph has second derivatives; they happen to be 0."""
    params = [torch.zeros(50, dtype=torch.float64, requires_grad=True)]
    found = hessian_eigenvalues(Hessian(lambda: params[0].pow(4).sum(), params), 2, which)
    np.testing.assert_array_equal(found.values.numpy(), [0, 0])


def test_trace_and_density_of_a_linear_loss():
    slope, params = normal(50), [normal(50).requires_grad_()]
    assert hessian_trace(Hessian(lambda: slope @ params[0], params)) == (0, 0)
    found = spectral_density(Hessian(lambda: slope @ params[0], params), 3, 5)
    assert (found.nodes == 0).all() and found.weights.sum().item() == pytest.approx(1)
    assert torch.trapezoid(found.density, found.grid).item() == pytest.approx(1, abs=1e-3)


# Critical sharpness


@given(st.integers(0, 1000), st.floats(-6, 6), st.floats(-4, 4))
@settings(deadline=None, max_examples=40)
def test_critical_sharpness_of_a_quadratic_along_any_way_down(seed, size, stiffness):
    """``L(-eta d) = L - eta g d + eta^2 d H d / 2`` crosses L at 2 g d / d H d; whatever made d, say another loss."""
    matrix = 10**stiffness * rotated(KNOWN, seed=seed)
    loss, params, gradient = quadratic(matrix, seed=seed)
    direction = normal(30, seed=seed + 1)
    direction = 10**size * (direction if direction @ gradient > 0 else -direction)
    expected = (direction @ matrix @ direction / (direction @ gradient)).item()
    assert critical_sharpness(loss, params, like(params, direction)) == pytest.approx(expected, rel=1e-6)


def along(loss, at, direction):
    """One weight; ``at`` and ``direction`` are numbers."""
    weight = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    found = critical_sharpness(lambda: loss(weight).sum(), [weight], [torch.tensor([direction], dtype=torch.float64)])
    assert weight.item() == at
    return found


@pytest.mark.parametrize(
    ("loss", "at", "direction", "step"),
    [
        (lambda w: w**4, 1.0, 1.0, 2.0),  # even: back up at the mirror image
        (torch.cosh, 3.0, 0.5, 12.0),
        (torch.cosh, -3.0, -0.5, 12.0),
        (lambda w: (w - 1) ** 2, 0.0, -1.0, 2.0),  # from weights that are all zero
        (lambda w: w**3 - 3 * w, 0.0, -1.0, math.sqrt(3)),  # 0 again at the square root of 3
    ],
)
def test_critical_sharpness_by_hand(loss, at, direction, step):
    assert along(loss, at, direction) == pytest.approx(2 / step, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "direction"),
    [(lambda w: w, -1.0), (lambda w: -(w**2), 1.0), (lambda w: (w - 1) ** 2, 1.0), (lambda w: w.abs(), -3.0)],
    ids=["up", "up and concave", "at the minimum", "up a kink"],
)
def test_a_direction_that_does_not_descend_has_infinite_sharpness(loss, direction):
    assert along(loss, 1.0, direction) == math.inf


@pytest.mark.parametrize(
    ("loss", "direction"),
    [(lambda w: w, 1.0), (lambda w: torch.exp(-w), -1.0), (lambda w: 0 * w + 3, 1.0), (torch.sigmoid, 1e-4)],
    ids=["linear", "levels off", "constant", "levels off, slowly"],
)
def test_a_loss_that_never_rises_has_no_sharpness(loss, direction):
    assert along(loss, 1.0, direction) == 0


def test_a_loss_that_is_infinite_further_on():
    assert along(lambda w: torch.where(w < -0.5, torch.inf, w**2), 0.5, 1.0) == pytest.approx(2, rel=1e-6)
    # Where it is infinite before it has risen, the step to there counts.
    assert along(lambda w: torch.where(w < -0.2, torch.inf, w**2), 0.5, 1.0) == pytest.approx(2 / 0.7, rel=1e-6)


@pytest.mark.parametrize("beyond", [-0.45, -0.6, -0.9, -2.0])
def test_a_loss_that_is_not_a_number_further_on(beyond):
    """As of a network that overflows. It is back up at -.4, after a step of 1.4, well before."""
    found = along(lambda w: torch.where(w < beyond, torch.nan, (w - 0.3) ** 2), 1.0, 1.0)
    assert found == pytest.approx(2 / 1.4, rel=1e-6)


def test_a_zero_direction_is_refused():
    with pytest.raises(ValueError, match="the direction is zero"):
        along(lambda w: w**2, 1.0, 0.0)


def test_decay_as_direction():
    """The weights themselves may be the direction: for |w|^2 / 2 the way leads through 0 to -w."""
    params = [normal(5, 4).requires_grad_(), normal(7, seed=1).requires_grad_()]
    before = [p.detach().clone() for p in params]
    same = [p.detach() for p in params]
    found = critical_sharpness(lambda: sum(p.square().sum() for p in params) / 2, params, same)
    assert all(torch.equal(p, was) for p, was in zip(params, before, strict=True))
    assert found == pytest.approx(1, rel=1e-6)
