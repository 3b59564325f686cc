"""When a label cannot teach attention to look near, and why reconstruction can; checked on the project's attention.

One head whose query and key weights are zero, so that all scores are zero and attention is uniform. The scores under
study are added by a hook. Values are ``W_V x``, the output is the identity: h_i = sum_j A_ij v_j, and a read-out psi
makes a label's logit of the h_i, or of u_i = x_i + h_i with a residual. G is the gradient of one example's loss on the
scores, T_k the matrix of ones where key - query = k (modulo n). Data has n positions on a ring.

Expectations are exact where the sample has the symmetry that a statement needs: every cyclic shift of a sequence, or
its mirror image, with the label that goes with it. Everything is float64.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics.gradients import gradient_snr, score_gradient
from selfpretrain.diagnostics.protocol import hooked, score_modules
from selfpretrain.model.attention import Attention
from selfpretrain.model.mask import Mask

N, D, HIDDEN, BASE = 16, 4, 8, 48  # positions, width, units of a read-out, base sequences
EXACT = 1e-12


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def uniform_attention(value):
    """Attention with scores of zero, values ``value @ x`` and nothing else."""
    module = Attention(ModelConfig(width=D, heads=1, attention="eager"), N).double().requires_grad_(False)
    for parameter in module.parameters():
        parameter.zero_()
    module.value.weight.copy_(value)
    module.output.weight.copy_(torch.eye(D))
    return module


ATTENTION = uniform_attention(normal(D, D, seed=1) / math.sqrt(D))
VALUE = ATTENTION.value.weight


# Data


def autoregressive(noise, rho):
    """Noise (B, n, d) convolved around the ring with rho^k, of unit norm."""
    kernel = [rho**k for k in range(N)]
    kernel = [weight / math.sqrt(sum(w * w for w in kernel)) for weight in kernel]
    return sum(weight * noise.roll(k, 1) for k, weight in enumerate(kernel))


def labels(count):
    return 1.0 - 2.0 * (torch.arange(count) % 2).double()


def mean_shift(count=BASE):
    """Classes differ in their mean, along one random vector."""
    y = labels(count)
    return autoregressive(normal(count, N, D, seed=2), 0.7) + 0.5 * y[:, None, None] * normal(D, seed=3), y


def skewed(count, seed=4):
    """y times a sequence driven by skewed noise: equal correlations in both classes, opposite third cumulants."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.empty(count, N, D, dtype=torch.float64).exponential_(generator=generator) - 1
    y = labels(count)
    return y[:, None, None] * autoregressive(noise, 0.7), y


def two_correlations(count, seed=5):
    """Class + is correlated at .7, class - at .2."""
    noise, y = normal(count, N, D, seed=seed), labels(count)
    return torch.where(y[:, None, None] > 0, autoregressive(noise, 0.7), autoregressive(noise, 0.2)), y


def orbits(x, y=None):
    """Every cyclic shift of every sequence, with its label: the sample's law is exactly shift-invariant."""
    shifted = torch.cat([x.roll(shift, 1) for shift in range(N)])
    return shifted if y is None else (shifted, y.repeat(N))


# Read-outs, losses, gradients


INWARD, SHIFT, OUTWARD, ALONG = (
    normal(D, HIDDEN, seed=6),
    normal(HIDDEN, seed=7),
    normal(HIDDEN, seed=8),
    normal(D, seed=9),
)


def perceptron(h):
    """c . tanh(W h + b), position by position."""
    return (h @ INWARD + SHIFT).tanh() @ OUTWARD


def linear(h):
    return h @ ALONG


def even(u):
    """c . (W u)^2: does not tell u from -u."""
    return (u @ INWARD).square() @ OUTWARD


def logistic(f, y):
    return F.softplus(-y * f)


def correlation(f, y):
    return -y * f


def label_model(psi, *, head_last=False, residual=False, code=0.0, weights=None, loss=logistic):
    """Losses of the examples as a function (attention, (x, y)).

    ``head_last`` pools before the read-out; ``code`` is a position code of the values; ``weights`` (n,) pool
    unevenly.
    """
    pool = torch.full((N,), 1 / N, dtype=torch.float64) if weights is None else weights

    def losses(attention, batch):
        x, y = batch
        u = attention(x + code, Mask())
        if residual:
            u = x + u
        f = psi(torch.einsum("i,bid->bd", pool, u)) if head_last else psi(u) @ pool
        return loss(f, y)

    return losses


def label_gradient(x, y, psi, **settings):
    """G of every example (B, n, n)."""
    (grad,) = score_gradient(ATTENTION, (x, y), label_model(psi, **settings))
    return grad[:, 0]


def reconstruction_losses(attention, x):
    """Half the squared error (B, n) of every position, each in a copy of its sequence where that position is 0."""
    hidden = x[:, None] * (1 - torch.eye(N, dtype=torch.float64))[..., None]  # (B, copy, n, d)
    out = attention(hidden.flatten(0, 1), Mask()).unflatten(0, (-1, N))
    return 0.5 * (out.diagonal(dim1=1, dim2=2).transpose(1, 2) - x).square().sum(-1)


def reconstruction_gradient(x, attention=ATTENTION):
    """G (B, n, n) of the error's mean over positions: a copy contributes the row of its hidden position alone."""
    (grad,) = score_gradient(attention, x, lambda attention, x: reconstruction_losses(attention, x) / N)
    return grad[:, 0].unflatten(0, (-1, N)).sum(1)


def adding(scores):
    """Position-only scores (n, n) beside the module's own, which are zero."""
    return hooked(score_modules(ATTENTION), lambda layer, args, own: own + scores)


# Score directions


def profile(matrix):
    """Mean along every lag around the ring: (..., n, n) to (..., n), lag 0 first."""
    i = torch.arange(N)
    return torch.stack([matrix[..., i, (i + k) % N].mean(-1) for k in range(N)], -1)


def circulant(b):
    """(n, n) with ``b[(j - i) % n]``."""
    return torch.stack([b.roll(i) for i in range(N)])


def circulant_share(grad):
    """|part along the T_k| / |G| (...)."""
    return math.sqrt(N) * profile(grad).norm(dim=-1) / grad.flatten(-2).norm(dim=-1)


def root_mean_square(grad):
    return grad.square().sum((-2, -1)).mean().sqrt()


def test_the_tools_of_this_file():
    b = normal(N, seed=10)
    matrix = circulant(b)
    assert all(matrix[i, j] == b[(j - i) % N] for i in range(N) for j in range(N))
    torch.testing.assert_close(profile(matrix), b)
    torch.testing.assert_close(circulant_share(matrix), torch.ones((), dtype=torch.float64))
    x = normal(2, N, D, seed=11)
    expected = VALUE @ x[1].mean(0)
    torch.testing.assert_close(ATTENTION(x, Mask())[1], expected.expand(N, D))
    with adding(1000 * torch.eye(N).roll(1, 1)):  # everybody looks one ahead
        torch.testing.assert_close(ATTENTION(x, Mask())[1], x[1].roll(-1, 0) @ VALUE.T)


# All orders, linear path: scores that depend on the lag around the ring change no pooled mean


@pytest.mark.parametrize("psi", [linear, perceptron])
def test_a_label_after_pooling_is_blind_to_lags_at_any_strength(psi):
    """A circulant S gives attention whose columns sum to 1, so the mean of the h_i stays the mean of the values."""
    x, y = mean_shift()
    b, batch = normal(N, seed=12), (x, y)
    after, before = label_model(psi, head_last=True), label_model(psi)
    with adding(torch.zeros(N, N)):
        base = after(ATTENTION, batch)
    changes = []
    for strength in (0.5, 1, 2, 4):
        with adding(strength * circulant(b)):
            torch.testing.assert_close(after(ATTENTION, batch), base, rtol=0, atol=EXACT)
            changes.append((before(ATTENTION, batch) - base).abs().max().item())
    if psi is perceptron:  # a read-out before pooling does see attention
        assert min(changes) > 1e-4
    with adding(normal(N, N, seed=13)):  # and scores without the symmetry are seen by either
        assert (after(ATTENTION, batch) - base).abs().max() > 1e-4


# First order: no example's gradient has a circulant part


CODE = normal(N, D, seed=14)
READ_OUTS = {
    "linear": (linear, {}),
    "head after pooling": (perceptron, {"head_last": True}),
    "read-out by position": (perceptron, {}),
    "even read-out": (even, {}),
    "position code in the values": (perceptron, {"code": CODE}),
    "correlation loss": (perceptron, {"loss": correlation}),
}


@pytest.mark.parametrize("data", [mean_shift, lambda: skewed(BASE), lambda: two_correlations(BASE)])
@pytest.mark.parametrize("name", READ_OUTS)
def test_no_example_has_a_gradient_along_any_lag(name, data):
    """Whatever the read-out, the loss, the label and the data; gradients span n-1 of the n(n-1) dimensions."""
    psi, settings = READ_OUTS[name]
    grad = label_gradient(*data(), psi, **settings)
    assert circulant_share(grad).max() < EXACT
    assert (grad - grad[:, :1]).abs().max() < EXACT * grad.abs().max()  # all rows are equal
    spectrum = torch.linalg.svdvals(grad.flatten(1))
    assert (spectrum > 1e-10 * spectrum[0]).sum() == N - 1


def slope_by_hand(psi, h):
    """grad psi (..., d) of either non-linear read-out."""
    inside = h @ INWARD
    first = 2 * inside if psi is even else 1 - (inside + SHIFT).tanh() ** 2
    return (first * OUTWARD) @ INWARD.T


def slope_of(loss, f, y):
    """delta = dl/df (B,)."""
    f = f.detach().requires_grad_()
    return torch.autograd.grad(loss(f, y).sum(), f)[0]


@pytest.mark.parametrize("loss", [logistic, correlation])
@pytest.mark.parametrize("psi", [perceptron, even])
def test_the_label_gradient_in_closed_form(psi, loss):
    """``G_ij = delta grad psi(vbar) . (v_j - vbar) / n^2``."""
    x, y = mean_shift()
    v = x @ VALUE.T
    slope = slope_by_hand(psi, v.mean(1))
    expected = (
        torch.einsum("b,bd,bjd->bj", slope_of(loss, psi(v.mean(1)), y), slope, v - v.mean(1, keepdim=True)) / N**2
    )
    found = label_gradient(x, y, psi, loss=loss)
    torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=1e-10, atol=1e-16)


def test_a_residual_lets_the_label_see_lags():
    x, y = mean_shift()
    assert circulant_share(label_gradient(x, y, perceptron, residual=True)).max() > 0.05
    # Not through a linear read-out: then every position's gradient is the same again.
    assert circulant_share(label_gradient(x, y, linear, residual=True)).max() < EXACT


def test_uneven_pooling_lets_the_label_see_lags():
    first = torch.eye(N, dtype=torch.float64)[0]
    assert circulant_share(label_gradient(*mean_shift(), perceptron, weights=first)).min() > 0.01


def test_reconstruction_sees_lags_in_every_example():
    assert circulant_share(reconstruction_gradient(mean_shift()[0])).min() > 0.05


# In expectation: no gradient at all where the data is shift-invariant and the values have no position code


WEIGHTS = {
    "mean": None,
    "weighted": normal(N, seed=16).softmax(0),
    "first": torch.eye(N, dtype=torch.float64)[0],
}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("psi", [linear, perceptron])
def test_shift_invariant_data_has_no_expected_label_gradient(weights, psi):
    """On exact orbits, with pooling by any fixed weights, the read-out of a single position among them."""
    x, y = orbits(*mean_shift())
    grad = label_gradient(x, y, psi, weights=WEIGHTS[weights])
    assert grad.mean(0).norm() < EXACT * root_mean_square(grad)
    if weights != "mean":  # though single examples do see lags
        assert circulant_share(grad).max() > 0.05


def test_a_position_code_in_the_values_breaks_it_but_not_along_lags():
    x, y = orbits(*mean_shift())
    grad = label_gradient(x, y, perceptron, code=CODE)
    expected = grad.mean(0)
    assert expected.norm() > 0.01 * root_mean_square(grad)
    assert math.sqrt(N) * profile(expected).norm() < EXACT * root_mean_square(grad)


# Residual stream: blind in expectation exactly where the classes agree in their correlations


def opposite_pairs(x):
    """(x, +) and (-x, -)."""
    return torch.cat((x, -x)), torch.cat((torch.ones(len(x)), -torch.ones(len(x)))).double()


def test_an_even_read_out_does_not_see_labels_in_odd_statistics():
    """Each sequence with + and its negative with -, as in the skewed task; first order in the logits."""
    x, y = skewed(BASE)
    x, y = opposite_pairs(y[:, None, None] * x)
    grad = label_gradient(x, y, even, residual=True, loss=correlation)
    assert circulant_share(grad).max() > 0.05  # single examples do
    assert grad.mean(0).norm() < EXACT * root_mean_square(grad)
    # With finite logits the loss is not odd in the label, and with an odd read-out the signs do not cancel.
    for other in (
        label_gradient(x, y, even, residual=True, loss=logistic),
        label_gradient(x, y, perceptron, residual=True, loss=correlation),
    ):
        assert other.mean(0).norm() > 0.01 * root_mean_square(other)


NEAR = [k for k in range(N) if 1 <= min(k, N - k) <= 6]


def snr_with_error(x, y, **settings):
    """Unbiased signal-to-noise ratio along near lags of the ring, and its standard error if there is no signal."""
    coordinates = math.sqrt(N) * profile(label_gradient(x, y, even, loss=correlation, **settings))[:, NEAR]
    covariance = np.cov(coordinates.T.numpy())
    error = math.sqrt(2 * (covariance**2).sum()) / len(x) / np.trace(covariance)
    return gradient_snr(coordinates).item(), error


def test_classes_of_unequal_correlation_are_seen():
    """The control that must not be blind, on 6 000 independent sequences; the skewed task beside it is blind."""
    snr, error = snr_with_error(*two_correlations(6_000), residual=True)
    assert snr > 8 * error
    snr, error = snr_with_error(*skewed(6_000), residual=True)
    assert abs(snr) < 4 * error


def chain(count, seed=17):
    """Sequences over eight symbols whose next one is the previous plus 1 half of the time, else any; embedded."""
    generator = np.random.default_rng(seed)
    symbols = np.zeros((count, N), dtype=int)
    symbols[:, 0] = generator.integers(8, size=count)
    for t in range(1, N):
        step = generator.random(count) < 0.5
        symbols[:, t] = np.where(step, (symbols[:, t - 1] + 1) % 8, generator.integers(8, size=count))
    return normal(8, D, seed=18)[torch.from_numpy(symbols)]


@pytest.mark.parametrize("residual", [False, True])
def test_labels_in_the_direction_teach_nothing_of_the_distance(residual):
    """Class - is class + read backwards: no expected gradient along any f(|i - j|), open or around the ring."""
    forwards = chain(BASE)
    x = torch.cat((forwards, forwards.flip(1)))
    y = torch.cat((torch.ones(BASE), -torch.ones(BASE))).double()
    grad = label_gradient(x, y, perceptron, residual=residual, loss=correlation)
    scale, expected = root_mean_square(grad), grad.mean(0)
    distance = (torch.arange(N)[:, None] - torch.arange(N)).abs()
    ring = torch.minimum(distance, N - distance)
    for lag in range(N):
        for direction in ((distance == lag).double(), (ring == lag).double()):
            if direction.any():
                assert (expected * direction).sum().abs() / direction.norm() < EXACT * scale
    if residual:  # what is left prefers one side
        lags = torch.arange(N)[None] - torch.arange(N)[:, None]
        sides = [(expected * ((lags == k).double() - (lags == -k).double())).sum() for k in range(1, N)]
        assert max(abs(side) / math.sqrt(2 * (N - k)) for k, side in enumerate(sides, 1)) > 1e-3 * scale


# Reconstruction is not blind: descent adds the data's correlations to the scores


def correlations(x, matrix):
    """``E x_i . matrix x_{i+k}`` (n,) over sequences and positions."""
    return torch.stack([torch.einsum("bid,de,bie->", x, matrix, x.roll(-k, 1)) for k in range(N)]) / (len(x) * N)


def orbit_data(count=BASE, seed=19):
    return orbits(autoregressive(normal(count, N, D, seed=seed), 0.7))


VALUES = {"random": VALUE, "identity": torch.eye(D).double(), "-0.6 identity": -0.6 * torch.eye(D).double()}


@pytest.mark.parametrize("name", VALUES)
def test_the_reconstruction_profile_in_closed_form(name):
    """``-n^2 gamma_k = rho_k + q_k / n - K`` for k != 0; E G is circulant with profile gamma."""
    matrix, x = VALUES[name], orbit_data()
    expected_gradient = reconstruction_gradient(x, uniform_attention(matrix)).mean(0)
    gamma = profile(expected_gradient)
    torch.testing.assert_close(expected_gradient, circulant(gamma), rtol=0, atol=1e-12 * gamma.abs().max().item())

    rho, q = correlations(x, matrix), correlations(x, matrix.T @ matrix)
    square = ((N - 2) * q.sum() + q[0]) / N**2  # E |M mbar_i|^2
    product = rho[1:].sum() / N  # E x_i . M mbar_i
    closed = -(rho + q / N - (q.sum() / N - square + product)) / N**2
    closed[0] = (product - square) / N**2
    torch.testing.assert_close(gamma, closed, rtol=1e-10, atol=1e-10 * closed.abs().max().item())


# Robustness: away from uniform attention the label sees a little


def shares_at(sigma):
    """Root mean square of the examples' circulant shares (label, reconstruction), at scores of random noise."""
    x, y = mean_shift()
    with adding(sigma * normal(N, N, seed=20)):
        grads = label_gradient(x, y, perceptron), reconstruction_gradient(x)
    return [circulant_share(grad).square().mean().sqrt().item() for grad in grads]


def test_the_label_sees_lags_as_scores_leave_zero():
    """In proportion to the noise as long as it is small; reconstruction sees them at once."""
    sigmas = (0.0, 0.01, 0.1, 0.3, 1.0)
    label, reconstruction = zip(*map(shares_at, sigmas), strict=True)
    assert label[0] < EXACT
    assert all(small < large for small, large in pairwise(label))
    assert label[2] / label[1] == pytest.approx(10, rel=0.15)
    assert all(r > 1.5 * share for r, share in zip(reconstruction, label, strict=True))
