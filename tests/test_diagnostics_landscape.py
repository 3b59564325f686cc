"""Slices, paths and barriers against functions of known shape, and the proximity slice against attention by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import tiny_model
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics.curvature import critical_sharpness
from selfpretrain.diagnostics.landscape import (
    barrier_of,
    filter_direction,
    interpolation_barrier,
    interpolation_path,
    loss_slice,
    proximity_direction,
    proximity_slice,
)
from selfpretrain.model.attention import Attention
from selfpretrain.model.mask import Mask


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Paths and barriers


def double_well(params, tilt=0.0, offset=0.0):
    """``(w^2 - 1)^2 + tilt w``: wells at -1 and 1, a hill of height 1 between them."""
    (w,) = params
    return lambda: ((w**2 - 1) ** 2 + tilt * w + offset).sum()


def test_the_path_between_two_wells_by_hand():
    here, there = weights([-1.0]), weights([1.0])
    shares, losses = interpolation_path(double_well(here), here, there, points=9)
    assert shares.tolist() == [i / 8 for i in range(9)]
    expected = [((2 * a - 1) ** 2 - 1) ** 2 for a in shares.tolist()]
    np.testing.assert_allclose(losses.numpy(), expected, atol=1e-14)
    assert shares.dtype == losses.dtype == torch.float64
    assert here[0].item() == -1 and there[0].item() == 1


@given(st.floats(-5, 5), st.floats(-5, 5), st.booleans())
@settings(deadline=None, max_examples=30)
def test_the_barrier_is_the_height_over_the_chord(tilt, offset, backwards):
    """What is linear along the way, the difference of its ends among it, is no barrier."""
    here, there = weights([1.0 if backwards else -1.0]), weights([-1.0 if backwards else 1.0])
    assert interpolation_barrier(double_well(here, tilt, offset), here, there) == pytest.approx(1, abs=1e-12)


def test_barrier_of_a_given_path():
    shares = torch.tensor([0, 0.25, 0.5, 1], dtype=torch.float64)
    losses = torch.tensor([1, 4, 3.5, 3], dtype=torch.float64)
    assert barrier_of(shares, losses) == 2.5  # at a quarter, where the chord is at 1.5


# Moved and put back


class Stop(Exception):
    pass


MOVERS = {
    "path": lambda loss, params, others: interpolation_path(loss, params, others, 5),
    "barrier": lambda loss, params, others: interpolation_barrier(loss, params, others, 5),
    "line": lambda loss, params, others: loss_slice(loss, params, [others], [-1, 0.5, 2]),
    "sharpness": critical_sharpness,
    "plane": lambda loss, params, others: loss_slice(loss, params, [others, others], [-1, 0.5], [1, 2]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("raises_at", [None, 1, 3])
@pytest.mark.parametrize("mover", MOVERS.values(), ids=MOVERS)
def test_every_bit_is_put_back(mover, raises_at, dtype):
    params = [normal(5, 3).to(dtype).requires_grad_(), (1e-30 * normal(7, seed=1)).to(dtype).requires_grad_()]
    others = [normal(5, 3, seed=2).to(dtype), normal(7, seed=3).to(dtype)]
    before = [p.detach().clone() for p in (*params, *others)]
    calls = 0

    def loss():
        nonlocal calls
        calls += 1
        if calls == raises_at:
            raise Stop
        return sum(p.square().sum() for p in params)

    if raises_at is None:
        mover(loss, params, others)
    else:
        with pytest.raises(Stop):
            mover(loss, params, others)
    assert all(torch.equal(p, was) for p, was in zip((*params, *others), before, strict=True))
    assert all(p.requires_grad and p.grad is None for p in params)


# Random directions


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_filter_normalised_directions_row_by_row(dtype):
    model = torch.nn.ModuleList(
        [torch.nn.Embedding(5, 4), torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Conv1d(2, 3, 5)]
    ).to(dtype)
    with torch.no_grad():
        model[0].weight[2] = 0  # as of padding
        model[0].weight[1] *= 1e3
    params = [*model.parameters(), torch.tensor(2.0, dtype=dtype)]
    directions = filter_direction(params, seeded())
    for p, direction in zip(params, directions, strict=True):
        assert direction.shape == p.shape and direction.dtype == dtype and not direction.requires_grad
        if p.ndim < 2:
            assert (direction == 0).all()
            continue
        for row, of in zip(direction, p, strict=True):
            norms = [math.sqrt(math.fsum(v * v for v in t.flatten().tolist())) for t in (row, of)]
            assert norms[0] == pytest.approx(norms[1], rel=1e-6 if dtype == torch.float32 else 1e-13)


def test_directions_are_random_and_their_generator_decides():
    params = [normal(200, 50)]
    one, same, other = (filter_direction(params, seeded(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    for other_rows in (other, params[0]):  # cosines of rows have a deviation of 1/sqrt(50)
        assert F.cosine_similarity(one, other_rows).mean().abs() < 4 / math.sqrt(200 * 50)
    generator = seeded(1)
    first, second = (filter_direction(params, generator)[0] for _ in range(2))
    assert torch.equal(first, one) and not torch.equal(second, one)


# Slices


MATRIX = normal(10, 10)
PARAMS = (normal(2, 3, seed=1), normal(4, seed=2))


def quadratic(params):
    """``w A w / 2 + sum w``, with A not symmetric."""
    flat = lambda: torch.cat([p.flatten() for p in params])  # noqa: E731
    return lambda: flat() @ MATRIX @ flat() / 2 + flat().sum()


def quadratic_at(flat):
    return (flat @ MATRIX @ flat / 2 + flat.sum()).item()


def flat(params):
    return torch.cat([p.flatten() for p in params])


def test_a_plane_through_a_quadratic():
    """One axis of the result for each direction, in their order."""
    params = [p.clone() for p in PARAMS]
    across, down = ([normal(2, 3, seed=s), normal(4, seed=s + 1)] for s in (3, 5))
    first, second = [-1.0, 0.5, 2.0], [0.0, 1.0, -1.0, 3.0, 0.25]
    found = loss_slice(quadratic(params), params, [across, down], first, second)
    expected = [[quadratic_at(flat(PARAMS) + a * flat(across) + b * flat(down)) for b in second] for a in first]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_slice_along_the_weights_themselves():
    """Their own scale is a direction like any other, though they are what moves."""
    params = [p.clone() for p in PARAMS]
    found = loss_slice(quadratic(params), params, [params], [-1.0, -0.5, 0.0, 1.0])
    expected = [quadratic_at(scale * flat(PARAMS)) for scale in (0.0, 0.5, 1.0, 2.0)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [[], [[0.0]], [[0.0], [1.0], [2.0]]])
def test_a_list_of_steps_for_every_direction(steps):
    params = [p.clone() for p in PARAMS]
    with pytest.raises(ValueError, match="one list for each"):
        loss_slice(quadratic(params), params, [params, params], *steps)


# The direction of proximity


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("tau", [0.5, 1.0, 7.0])
@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_the_proximity_direction_by_loops(n, tau, ring):
    expected = np.zeros((n, n))
    for i in range(n):
        away = [min(abs(i - j), n - abs(i - j)) if ring else abs(i - j) for j in range(n)]
        near = [math.exp(-k / tau) for k in away]
        expected[i] = [value - math.fsum(near) / n for value in near]
    found = proximity_direction(n, tau, ring=ring)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.sum(1).numpy(), 0, atol=1e-13)


# The proximity slice against attention by hand


WIDTH, HEADS, N = 6, 3, 5
STEPS = [-4.0, -1.0, 0.0, 0.3, 2.0]


def attention(seed=0, **config):
    module = Attention(ModelConfig(width=WIDTH, heads=HEADS, **config), N).double().requires_grad_(False)
    for number, parameter in enumerate(module.parameters()):
        parameter.copy_(normal(*parameter.shape, seed=100 * seed + number))
    return module


def head_by_hand(module, x, head, bias):
    """What one head passes on for one sequence (n, K), in plain numpy."""
    rows = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
    q, k, v = (
        x @ layer.weight.numpy()[rows].T + layer.bias.numpy()[rows]
        for layer in (module.query, module.key, module.value)
    )
    scores = q @ k.T / math.sqrt(WIDTH // HEADS) + bias
    attn = np.exp(scores - scores.max(1, keepdims=True))
    return attn / attn.sum(1, keepdims=True) @ v


def attention_by_hand(module, x, direction, t, heads):
    """Output of the layer with ``t direction`` on the scores of the chosen heads."""
    mixed = [
        np.concatenate([head_by_hand(module, one, h, (h in heads) * t * direction) for h in range(HEADS)], axis=1)
        for one in x
    ]
    return np.stack(mixed) @ module.output.weight.numpy().T + module.output.bias.numpy()


READ = normal(WIDTH, seed=9)


def read_out(out):
    """A loss of its own for each sequence."""
    return (out.tanh() @ READ).square().mean(-1)


def read_out_by_hand(out):
    return ((np.tanh(out) @ READ.numpy()) ** 2).mean(-1).mean()


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("head", [None, 0, 1, 2])
def test_the_slice_of_an_attention_layer_written_by_hand(head, kernel):
    """Along a direction of no symmetry: row = query, column = key."""
    module, x, direction = attention(attention=kernel), normal(4, N, WIDTH, seed=1), normal(N, N, seed=2)
    found = proximity_slice(module, x, lambda m, x: read_out(m(x, Mask())), direction, STEPS, head=head)
    heads = range(HEADS) if head is None else [head]

    def loss(t):
        return read_out_by_hand(attention_by_hand(module, x.numpy(), direction.numpy(), t, heads))

    np.testing.assert_allclose(found.losses.numpy(), [loss(t) for t in STEPS], rtol=1e-12)
    assert found.losses.dtype == torch.float64
    h = 1e-2  # differences of fourth order: errors of the order of h^4
    slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
    curvature = (16 * (loss(h) + loss(-h)) - (loss(2 * h) + loss(-2 * h)) - 30 * loss(0)) / (12 * h * h)
    assert abs(slope) > 1e-3 and abs(curvature) > 1e-3
    assert found.slope == pytest.approx(slope, rel=1e-5)
    assert found.curvature == pytest.approx(curvature, rel=1e-5)


def test_mean_of_examples_or_examples():
    module, x = attention(), normal(4, N, WIDTH, seed=1)
    each = proximity_slice(module, x, lambda m, x: read_out(m(x, Mask())), proximity_direction(N), STEPS)
    mean = proximity_slice(module, x, lambda m, x: read_out(m(x, Mask())).mean(), proximity_direction(N), STEPS)
    torch.testing.assert_close(each.losses, mean.losses)
    assert each[1:] == pytest.approx(mean[1:])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_the_slice_of_one_layer_of_several(layer, causal):
    """The same bias, handed to that layer's attention from outside as if by distance; with padding and causality."""
    model = tiny_model(ModelConfig(width=12, heads=3, depth=3), causal=causal).double()
    x, y = torch.randint(5, (6, 7), generator=seeded()), torch.arange(6) % 3
    keep = torch.arange(7) < torch.tensor([7, 2, 5, 7, 3, 6])[:, None]
    direction = proximity_direction(7)

    def loss(model, batch):
        return F.cross_entropy(model(batch, keep).logits, y, reduction="none")

    found = proximity_slice(model, x, loss, direction, STEPS, layer=layer)
    expected = []
    for t in STEPS:
        handle = model.blocks[layer].attention.register_forward_pre_hook(
            lambda _, args, t=t: (args[0], replace(args[1], slopes=torch.ones(3), table=t * direction.expand(3, 7, 7)))
        )
        expected.append(loss(model, x).mean().item())
        handle.remove()
    np.testing.assert_allclose(found.losses.numpy(), expected, rtol=1e-12)
    assert len(set(expected)) == len(STEPS)


def test_slices_in_single_precision():
    model = tiny_model()
    x, y = torch.randint(5, (6, 7), generator=seeded()), torch.arange(6) % 3

    def loss(model, batch):
        return F.cross_entropy(model(batch).logits, y, reduction="none")

    single, double = (
        proximity_slice(m, x, loss, proximity_direction(7), STEPS) for m in (model, tiny_model().double())
    )
    torch.testing.assert_close(single.losses, double.losses, rtol=1e-5, atol=0)
    assert single.slope == pytest.approx(double.slope, rel=1e-3)
    assert single.curvature == pytest.approx(double.curvature, rel=1e-3)


def test_dropout_is_off_and_derivatives_are_taken_without_gradients_too():
    model = tiny_model(ModelConfig(width=12, heads=3, dropout=0.5, attention="sdpa")).train()
    x = torch.randint(5, (6, 7), generator=seeded())
    with torch.no_grad():
        one, two = (
            proximity_slice(model, x, lambda m, x: m(x).logits.square().mean(1), proximity_direction(7), STEPS)
            for _ in range(2)
        )
    assert torch.equal(one.losses, two.losses) and one[1:] == two[1:] and one.slope != 0
    assert all(p.grad is None for p in model.parameters())


# Where a label is blind


def blind_attention(d):
    """One head whose scores are zero, with values of its own and no output layer."""
    module = Attention(ModelConfig(width=d, heads=1), 16).double().requires_grad_(False)
    for parameter in module.parameters():
        parameter.zero_()
    module.value.weight.copy_(normal(d, d, seed=20))
    module.output.weight.copy_(torch.eye(d))
    return module


INWARD, SHIFT, OUTWARD = normal(4, 8, seed=21), normal(8, seed=22), normal(8, seed=23)


def label_losses(module, batch):
    """Logistic loss of a read-out at every position, then averaged over positions."""
    x, y = batch
    f = ((module(x, Mask()) @ INWARD + SHIFT).tanh() @ OUTWARD).mean(-1)
    return F.softplus(-y * f)


@pytest.mark.parametrize("tau", [0.5, 1.0, 4.0])
def test_a_label_has_no_slope_along_proximity_on_a_ring(tau):
    """At uniform attention, exactly, for any data; and the curvature in closed form.

    With b the profile of B and v the values: ``L'' = E delta mean_i d_i . Hess psi(vbar) d_i`` where ``d_i`` is
    ``(1/n) sum_k (b_k - mean b) v_{i+k}`` and delta the derivative of the loss by the logit.
    """
    n, d, count = 16, 4, 12
    module, x = blind_attention(d), normal(count, n, d, seed=24)
    y = 1.0 - 2.0 * (torch.arange(count) % 2).double()
    ring = proximity_slice(module, (x, y), label_losses, proximity_direction(n, tau, ring=True), [0.0])
    line = proximity_slice(module, (x, y), label_losses, proximity_direction(n, tau), [0.0])

    v = x.numpy() @ module.value.weight.numpy().T
    mean = v.mean(1)
    t = np.tanh(mean @ INWARD.numpy() + SHIFT.numpy())
    hessian = np.einsum("da,ba,ea->bde", INWARD, -2 * t * (1 - t**2) * OUTWARD.numpy(), INWARD)
    delta = -y.numpy() / (1 + np.exp(y.numpy() * (t @ OUTWARD.numpy())))
    profile = np.array([math.exp(-min(k, n - k) / tau) for k in range(n)])
    change = np.zeros_like(v)
    for i in range(n):
        for k in range(n):
            change[:, i] += (profile[k] - profile.mean()) * v[:, (i + k) % n] / n
    expected = np.einsum("b,bid,bde,bie->", delta, change, hessian, change) / (n * count)
    assert ring.curvature == pytest.approx(expected, rel=1e-10)
    assert abs(ring.slope) < 1e-12 * abs(ring.curvature)
    assert abs(line.slope) > 1e-6  # an open line has borders
