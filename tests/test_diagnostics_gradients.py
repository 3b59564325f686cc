"""Score gradients against finite differences and by hand; their estimators against slow loops and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from conftest import BATCH, CLASSES, LENGTH, SYMBOLS, TINY_MODEL, tiny_model
from selfpretrain.diagnostics.gradients import (
    band_snr,
    blindness_ratio,
    direction_part,
    gradient_moments,
    gradient_snr,
    group_gradients,
    label_signal,
    lag_components,
    near_lags,
    proximity_part,
    score_gradient,
    split_half_cosine,
)

KEEP = torch.arange(LENGTH) < torch.tensor([7, 4, 2])[:, None]
X = torch.randint(SYMBOLS, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
Y = torch.arange(BATCH) % CLASSES
CHOSEN = KEEP & (torch.arange(LENGTH) % 3 == 1)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def label_losses(model, batch):
    x, keep, y = batch
    return F.cross_entropy(model(x, keep).logits, y, reduction="none")


def reconstruction_loss(model, batch):
    x, keep, _ = batch
    hidden = x.masked_fill(CHOSEN, model.inputs.mask_id)
    return F.cross_entropy(model(hidden, keep, CHOSEN).predictions, x[CHOSEN], reduction="sum")


def small(causal=False, **settings):
    return tiny_model(replace(TINY_MODEL, **settings), causal=causal).double()


# The gradient on the scores

CASES = {
    "plain": {},
    "padded": {"padded": True},
    "causal and padded": {"padded": True, "causal": True},
    "eager": {"attention": "eager"},
    "rotary": {"positions": "rotary"},
    "alibi, padded": {"positions": "alibi", "padded": True},
    "cls, padded": {"pooling": "cls", "padded": True},
}
CASES = {name: {"padded": False, "causal": False} | case for name, case in CASES.items()}
EACH_CASE = pytest.mark.parametrize("case", CASES)
LOSSES = pytest.mark.parametrize("loss", [label_losses, reconstruction_loss])


def setting(case):
    """Model, batch and which pairs of query and key the loss may reach (B, 1, n, n)."""
    settings = dict(CASES[case])
    keep = KEEP if settings.pop("padded") else None
    model = small(**settings)
    n = LENGTH + (model.cls is not None)
    seen = torch.ones(BATCH, 1, n, n, dtype=torch.bool)
    if keep is not None:
        seen &= F.pad(keep, (n - LENGTH, 0), value=True)[:, None, None, :]
    if model.config.causal:
        seen = seen.tril()
    return model.eval(), (X, keep, Y), seen


def nudged_loss(model, batch, loss, layer, nudge):
    """The loss with ``nudge`` added to the scores of one layer, through torch's own hooks."""
    for block in model.blocks:
        block.attention.kernel = "eager"
    hook = model.blocks[layer].attention.scores.register_forward_hook(lambda module, args, scores: scores + nudge)
    with torch.no_grad():
        losses = loss(model, batch)
    hook.remove()
    return losses


@EACH_CASE
@LOSSES
def test_score_gradient_equals_finite_differences(case, loss):
    model, batch, seen = setting(case)
    found = score_gradient(model, batch, loss)
    assert [tuple(g.shape) for g in found] == [(BATCH, 3, seen.shape[-1], seen.shape[-1])] * 2
    step, n = 1e-5, seen.shape[-1]
    generator = np.random.default_rng(0)
    for layer, grad in enumerate(found):
        for _ in range(12):  # twelve directions, and an entry each
            b, h, i, j = (generator.integers(size) for size in (BATCH, 3, n, n))
            entry = torch.zeros_like(grad)
            entry[b, h, i, j] = 1
            for direction in (entry, torch.from_numpy(generator.normal(size=grad.shape))):
                up, down = (nudged_loss(model, batch, loss, layer, s * step * direction).sum() for s in (1, -1))
                slope = ((up - down) / (2 * step)).item()
                assert (grad * direction).sum().item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


@EACH_CASE
@LOSSES
def test_rows_of_a_score_gradient_sum_to_zero_and_hidden_keys_have_none(case, loss):
    model, batch, seen = setting(case)
    for grad in score_gradient(model, batch, loss):
        assert grad.abs().max() > 1e-6
        assert grad.sum(-1).abs().max() < 1e-14
        assert (grad[~seen.expand_as(grad)] == 0).all()


@EACH_CASE
def test_each_example_has_the_gradient_of_its_own_loss(case):
    model, batch, _ = setting(case)
    together = score_gradient(model, batch, label_losses)
    summed = score_gradient(model, batch, lambda model, batch: label_losses(model, batch).sum())
    for layer in range(2):
        torch.testing.assert_close(summed[layer], together[layer], rtol=0, atol=0)
    for b in range(BATCH):
        one = tuple(None if part is None else part[b : b + 1] for part in batch)
        for alone, grad in zip(score_gradient(model, one, label_losses), together, strict=True):
            torch.testing.assert_close(alone[0], grad[b], rtol=1e-10, atol=1e-14)


def test_both_kernels_and_dropout_give_the_same_score_gradient():
    """Attention is looked at in evaluation mode with explicit scores, whatever the model is doing."""
    expected = score_gradient(small(attention="eager").eval(), (X, KEEP, Y), label_losses)
    for settings in ({"attention": "sdpa"}, {"attention": "sdpa", "dropout": 0.5}, {"dropout": 0.5}):
        found = score_gradient(small(**settings).train(), (X, KEEP, Y), label_losses)
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours, theirs)
            assert not ours.requires_grad


def test_score_gradient_writes_no_gradients_and_takes_them_where_they_are_off():
    model = small(dropout=0.2).train()
    with torch.no_grad():
        score_gradient(model, (X, KEEP, Y), label_losses)
        assert not torch.is_grad_enabled()
    assert model.training and all(p.grad is None for p in model.parameters())


def test_score_gradient_of_a_frozen_model():
    model = small().eval()
    expected = score_gradient(model, (X, KEEP, Y), label_losses)
    for ours, theirs in zip(
        score_gradient(model.requires_grad_(False), (X, KEEP, Y), label_losses), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


# Components along lags


def lag_components_by_loops(grad):
    """(n, n): every diagonal's sum over the square root of its length, lag -(n-1) first."""
    grad = np.asarray(grad)
    n = len(grad)
    return [np.trace(grad, offset=k) / math.sqrt(n - abs(k)) for k in range(-(n - 1), n)]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_lag_components_by_loops(n):
    grad = normal(2, 3, n, n)
    expected = [[lag_components_by_loops(matrix) for matrix in heads] for heads in grad]
    np.testing.assert_allclose(lag_components(grad).numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("max_lag", [1, 2, 6])
def test_near_lags_by_loops(max_lag):
    """The lags -max_lag .. -1 and 1 .. max_lag, in this order; attention to oneself is not proximity."""
    components = normal(2, 3, 13)
    lags = [k for k in range(-max_lag, max_lag + 1) if k != 0]
    expected = torch.stack([components[..., k + 6] for k in lags], -1)
    assert torch.equal(near_lags(components, max_lag), expected)


@pytest.mark.parametrize("max_lag", [-1, 0, 7, 8])
def test_lags_that_do_not_exist_are_refused(max_lag):
    with pytest.raises(ValueError, match="max_lag"):
        near_lags(normal(5, 13), max_lag)
    with pytest.raises(ValueError, match="max_lag"):
        band_snr(normal(5, 7, 7), max_lag)


@pytest.mark.parametrize("max_lag", [1, 3])
def test_proximity_and_direction_by_loops(max_lag):
    """Even and odd parts in the lag; together they are the same vector in other coordinates."""
    components = normal(2, 3, 13)
    near = near_lags(components, max_lag)
    for part, sign in ((proximity_part, 1), (direction_part, -1)):
        expected = [
            (components[..., 6 + k] + sign * components[..., 6 - k]) / math.sqrt(2) for k in range(1, max_lag + 1)
        ]
        torch.testing.assert_close(part(near), torch.stack(expected, -1), rtol=1e-14, atol=0)
    joined = torch.cat((proximity_part(near), direction_part(near)), -1)
    torch.testing.assert_close(joined.square().sum(-1), near.square().sum(-1), rtol=1e-13, atol=0)


# Signal and noise


def moments_by_loops(g):
    """(B, P): mean product of two different examples' gradients; sum of numpy's variances."""
    g = np.asarray(g, dtype=np.float64)
    products = [g[a] @ g[b] for a in range(len(g)) for b in range(len(g)) if a != b]
    return math.fsum(products) / len(products), np.var(g, axis=0, ddof=1).sum()


@pytest.mark.parametrize("examples", [2, 3, 11])
def test_gradient_moments_by_loops(examples):
    g = normal(examples, 5) + 0.5
    signal, noise = moments_by_loops(g)
    found = gradient_moments(g)
    assert found.signal.item() == pytest.approx(signal, rel=1e-11)
    assert found.noise.item() == pytest.approx(noise, rel=1e-11)
    assert gradient_snr(g).item() == pytest.approx(signal / noise, rel=1e-11)


def test_gradient_moments_keep_the_dimensions_between():
    g = normal(6, 2, 3, 5) + 0.2
    for measure in (lambda g: gradient_moments(g).signal, lambda g: gradient_moments(g).noise, gradient_snr):
        alone = [[measure(g[:, a, b]).item() for b in range(3)] for a in range(2)]
        np.testing.assert_allclose(measure(g).numpy(), alone, rtol=1e-12)


def test_gradient_moments_are_float64_and_exact_for_float32():
    g = normal(50, 20).float() + 100  # a large mean would eat the variance in float32
    found = gradient_moments(g)
    assert found.signal.dtype == found.noise.dtype == torch.float64
    assert found.noise.item() == pytest.approx(np.var(g.double().numpy(), axis=0, ddof=1).sum(), rel=1e-7)


@pytest.mark.parametrize("examples", [0, 1])
def test_one_example_has_no_noise_to_measure(examples):
    for measure in (gradient_moments, gradient_snr):
        with pytest.raises(ValueError, match="two"):
            measure(normal(examples, 5))


@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_moments_are_unbiased_and_never_clamped(mean):
    """4000 batches of six examples each."""
    repeats, dimensions = 4000, 5
    found = gradient_moments(2 * normal(6, repeats, dimensions) + mean)
    for value, expected in ((found.signal, dimensions * mean**2), (found.noise, 4 * dimensions)):
        assert abs(value.mean() - expected) < 4 * value.std() / math.sqrt(repeats)
    snr = gradient_snr(2 * normal(6, repeats, dimensions) + mean)
    assert (snr < 0).double().mean() > 0.1
    assert (found.noise > 0).all()


def test_band_snr_is_that_of_the_bands():
    grad = normal(8, 3, 7, 7) + 0.3
    for h in range(3):
        lags = (-2, -1, 1, 2)
        coordinates = [[lag_components_by_loops(m)[k + 6] for k in lags] for m in grad[:, h]]
        signal, noise = moments_by_loops(coordinates)
        assert band_snr(grad, 2)[h].item() == pytest.approx(signal / noise, rel=1e-11)
    assert band_snr(grad[:, 0], 2).shape == ()
    assert band_snr(grad[:, :, None], 2).shape == (3, 1)


# Label against reconstruction


def ratio_by_loops(label, reconstruction):
    """Heads summed before the division; every example left out by really leaving it out."""

    def ratio(keep):
        snr = []
        for g in (label, reconstruction):
            heads = [moments_by_loops(g[keep][:, h]) for h in range(g.shape[1])]
            snr.append(sum(signal for signal, _ in heads) / sum(noise for _, noise in heads))
        return snr[0] / snr[1]

    n = len(label)
    everyone = np.arange(n)
    without = np.array([ratio(everyone != left) for left in range(n)])
    error = math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    return ratio(everyone), stats.t.ppf(0.975, n - 1) * error


@pytest.mark.parametrize("label_mean", [0.0, 0.5])
def test_blindness_ratio_equals_a_slow_jackknife(label_mean):
    label, reconstruction = normal(12, 2, 3) + label_mean, 3 * (normal(12, 2, 4, seed=1) + 1)
    value, half = ratio_by_loops(label, reconstruction)
    found = blindness_ratio(label, reconstruction)
    assert found == pytest.approx((value, value - half, value + half), rel=1e-9)


def test_blindness_ratio_of_a_loss_with_itself_is_certain():
    g = normal(9, 2, 3) + 1
    assert blindness_ratio(g, g) == pytest.approx((1, 1, 1), abs=1e-12)
    assert blindness_ratio(1e-3 * g, g) == pytest.approx((1, 1, 1), abs=1e-12)  # the scale of a loss says nothing


@pytest.mark.parametrize("label_mean", [0.0, 0.25])
def test_blindness_ratio_covers_the_truth(label_mean):
    """300 batches of 100 examples, both losses on the same ones (so their noise is shared); 95 % nominal.

    Without a signal the estimate has no linear term and the jackknife errs on the safe side; with one it is neither
    too wide nor too narrow, to four standard errors of the share.
    """
    repeats, examples, dimensions = 300, 100, 8
    generator = torch.Generator().manual_seed(5)
    truth = label_mean**2 / 1.0  # equal noise, so the ratio of the signals
    found = []
    for _ in range(repeats):
        shared, a, b = torch.randn(3, examples, dimensions, dtype=torch.float64, generator=generator)
        found.append(blindness_ratio(shared + a + label_mean, shared + b + 1.0))
    covered = np.mean([low <= truth <= high for _, low, high in found])
    error = math.sqrt(0.95 * 0.05 / repeats)
    assert covered > 0.95 - 4 * error
    assert label_mean == 0 or covered < 0.95 + 4 * error
    values = np.array([value for value, _, _ in found])
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(repeats) + 0.005
    if label_mean == 0:
        assert (values < 0).mean() > 0.3


# Groups of weights


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def mean_loss(model):
    return lambda batch: F.cross_entropy(model(batch[0]), batch[1])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_group_gradients_by_loops(batch_size):
    """Each example's gradient by backward, alone; micro-batches are means of them."""
    model, count = network(), 6
    x, y = normal(count * batch_size, 3), torch.arange(count * batch_size) % 2
    groups = {"first": list(model[0].parameters()), "last": list(model[2].parameters()), "bias": [model[2].bias]}
    batches = list(zip(x.split(batch_size), y.split(batch_size), strict=True))
    each = {name: [] for name in groups}
    for row in range(len(x)):
        model.zero_grad()
        mean_loss(model)((x[row : row + 1], y[row : row + 1])).backward()
        for name, group in groups.items():
            each[name].append(np.concatenate([p.grad.numpy().ravel() for p in group]))
    model.zero_grad()

    # Weights may come from a generator, as model.parameters() does.
    found = group_gradients(mean_loss(model), batches, {k: iter(v) for k, v in groups.items()}, batch_size)
    assert list(found) == list(groups)
    assert all(p.grad is None for p in model.parameters())
    for name, gradient in found.items():
        g = np.stack(each[name])
        signal, noise = moments_by_loops(g.reshape(count, batch_size, -1).mean(1))
        assert gradient.moments.signal.item() == pytest.approx(signal, rel=1e-10)
        assert gradient.moments.noise.item() == pytest.approx(noise * batch_size, rel=1e-10)
        assert gradient.snr == pytest.approx(signal / (noise * batch_size), rel=1e-10)
        assert gradient.norm == pytest.approx(np.linalg.norm(g.mean(0)), rel=1e-10)
        for half, rows in zip(gradient.halves, np.split(g, 2), strict=True):
            np.testing.assert_allclose(half.numpy(), rows.mean(0), rtol=1e-10, atol=1e-15)


def test_a_group_that_a_loss_does_not_use_has_no_gradient():
    model, other = network(), nn.Parameter(torch.ones(5, dtype=torch.float64))
    batches = [(normal(2, 3, seed=s), torch.tensor([0, 1])) for s in range(4)]
    found = group_gradients(mean_loss(model), batches, {"used": model.parameters(), "other": [other]}, 2)
    assert found["other"].norm == 0
    assert math.isnan(found["other"].snr)
    assert found["used"].norm > 0


@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_group_gradients_need_two_micro_batches_in_either_half(count):
    model = network()
    batches = [(normal(2, 3, seed=s), torch.tensor([0, 1])) for s in range(count)]
    with pytest.raises(ValueError, match="micro-batches"):
        group_gradients(mean_loss(model), batches, {"all": model.parameters()}, 2)


def test_a_group_without_weights_is_named():
    with pytest.raises(ValueError, match="the group 'none' has no weights"):
        group_gradients(mean_loss(network()), [None] * 4, {"all": network().parameters(), "none": []}, 2)


# Angles between gradients


def test_split_half_cosine_by_hand():
    a1, a2, b1, b2 = (torch.tensor(v, dtype=torch.float64) for v in ([1, 0], [1, 1], [0, 2], [3, 1]))
    # <a1, b2> = 3, <a2, b1> = 2, <a1, a2> = 1, <b1, b2> = 2
    assert split_half_cosine(a1, a2, b1, b2) == pytest.approx(2.5 / math.sqrt(2), rel=1e-15)


def test_halves_that_say_nothing_about_each_other_leave_the_cosine_undefined():
    first, second = torch.eye(2, dtype=torch.float64)
    for useless in (second, -first, 0 * first):
        assert math.isnan(split_half_cosine(first, useless, first, first))
        assert math.isnan(split_half_cosine(first, first, first, useless))


def test_noise_does_not_shrink_the_split_half_cosine():
    """Gradients of norm 1 at a cosine of .6; the mean of two halves has noise of trace .5.

    The usual cosine of the means shrinks by 1 / sqrt((1 + .5) (1 + .5)) = 2/3, to .4.
    """
    dimensions, repeats = 1000, 500
    generator = torch.Generator().manual_seed(0)
    a, b = torch.zeros(2, dimensions, dtype=torch.float64)
    a[0], b[0], b[1] = 1, 0.6, 0.8
    split, naive = [], []
    for _ in range(repeats):
        noise = torch.randn(4, dimensions, dtype=torch.float64, generator=generator) / math.sqrt(dimensions)
        a1, a2, b1, b2 = a + noise[0], a + noise[1], b + noise[2], b + noise[3]
        split.append(split_half_cosine(a1, a2, b1, b2))
        naive.append(F.cosine_similarity(a1 + a2, b1 + b2, dim=0).item())
    # A ratio is biased in the second order: the products' variance is .003, times 3/4 of the cosine.
    assert abs(np.mean(split) - 0.6) < 4 * np.std(split) / math.sqrt(repeats) + 0.002
    assert abs(np.mean(naive) - 0.4) < 4 * np.std(naive) / math.sqrt(repeats) + 0.002


# Labels and the gradients of logits


def gradients_of(seed, *, signal, n=200, size=80):
    """Gradients of which one common direction holds most of the norm, and labels that one of the others has, or not."""
    generator = torch.Generator().manual_seed(1000 + seed)
    y = torch.randint(2, (n,), generator=generator)
    spread = torch.linspace(1.0, 0.1, size)
    own = torch.randn(n, size, generator=generator) * spread
    own[:, size // 2] += signal * spread[size // 2] * (2 * y - 1)
    common = torch.randn(size, generator=generator)
    scale = 1 + 0.3 * torch.randn(n, 1, generator=generator)
    return own + 3 * scale * common, y


def signal_of(g, y, *settings):
    return label_signal(g.double() @ g.double().T, y, *settings)


def test_a_label_that_gradients_hold_and_one_that_they_do_not_are_told_apart():
    """Where a signal-to-noise ratio would see the common direction alone."""
    p = {
        signal: [signal_of(*gradients_of(seed, signal=signal), 40, 199).p for seed in range(100)]
        for signal in (1.0, 0.0)
    }
    assert sum(value < 0.01 for value in p[1.0]) >= 95
    assert sum(value >= 0.01 for value in p[0.0]) >= 95
    assert 0.4 < np.mean(p[0.0]) < 0.6


@pytest.mark.parametrize("classes", [2, 4])
def test_the_share_is_that_of_a_regression_on_the_leading_principal_components(classes):
    g, y = gradients_of(0, signal=1.0, n=60, size=30)
    y = torch.arange(60) % classes if classes > 2 else y
    x = g.double().numpy()
    common = x.mean(0) / np.linalg.norm(x.mean(0))
    x = x - np.outer(x @ common, common)
    x = x - x.mean(0)
    _, _, axes = np.linalg.svd(x)
    scores = np.column_stack([np.ones(60), *(x @ axis for axis in axes[:7])])
    explained = total = 0.0
    for label in range(classes):
        target = (y.numpy() == label).astype(float)
        fitted = scores @ np.linalg.lstsq(scores, target, rcond=None)[0]
        explained += np.square(fitted - target.mean()).sum()
        total += np.square(target - target.mean()).sum()
    signal = signal_of(g, y, 7)
    assert signal.share == pytest.approx(explained / total, rel=1e-9)
    assert signal.chance == pytest.approx(7 / 59)


def test_the_size_of_gradients_and_the_names_of_classes_change_nothing():
    g, y = gradients_of(3, signal=0.3)
    assert signal_of(1e-6 * g, 1 - y) == pytest.approx(signal_of(g, y), rel=1e-6)
    with pytest.raises(ValueError, match="200 examples of 1 classes"):
        signal_of(g, torch.zeros_like(y))
