"""Where weights start."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import TINY_MODEL, spec, tiny_model
from selfpretrain.config import ModelConfig
from selfpretrain.errors import SettingError
from selfpretrain.model import init
from selfpretrain.model.init import MIMETIC_QK_GAIN, SMALL_STD, offsets
from selfpretrain.model.transformer import fresh_model

ALL = ("query", "key", "value", "output")


STARTS = {"tied": ("query", "key"), "mimetic-qk": ("query", "key"), "mimetic": ALL, "impulse": ALL}


@pytest.mark.parametrize("init", STARTS)
def test_models_that_differ_in_their_start_share_every_weight_that_it_leaves_alone(init):
    base = tiny_model().state_dict()
    other = tiny_model(replace(TINY_MODEL, init=init)).state_dict()
    different = {key.split(".")[-2] for key, weight in other.items() if not torch.equal(weight, base[key])}
    # Tied leaves the query as it is, and copies it.
    assert different == {"key"} if init == "tied" else different == set(STARTS[init])


def test_tied_makes_scores_positive_semi_definite():
    attention = tiny_model(replace(TINY_MODEL, init="tied")).blocks[0].attention
    assert torch.equal(attention.query.weight, attention.key.weight)
    x = torch.randn(9, 12)
    scores = attention.query(x) @ attention.key(x).T
    assert torch.linalg.eigvalsh(scores.double()).min() > -1e-4


def test_mimetic_qk_is_near_a_scaled_identity():
    weight = tiny_model(replace(TINY_MODEL, width=120, init="mimetic-qk")).blocks[0].attention.key.weight
    rest = weight - MIMETIC_QK_GAIN * torch.eye(120)
    assert rest.std().item() == pytest.approx(SMALL_STD, rel=0.05)


def test_mimetic_products_are_scaled_identities_with_noise_as_published():
    """W_O W_V near .4 Z - .4 I, whole; W_Q^T W_K of a head the best approximation of .7 Z + .7 I at its rank."""
    width, heads = 120, 2
    attention = tiny_model(replace(TINY_MODEL, width=width, heads=heads, init="mimetic")).blocks[0].attention
    given = (attention.output.weight @ attention.value.weight).detach()
    off = given - torch.diag(given.diagonal())
    assert given.diagonal().mean().item() == pytest.approx(-0.4, abs=0.02)
    assert off.std().item() == pytest.approx(0.4 / math.sqrt(width), rel=0.05)
    query, key = (w.weight.detach().view(heads, width // heads, width) for w in (attention.query, attention.key))
    for q, k in zip(query, key, strict=True):
        asked = q.T @ k
        assert torch.linalg.matrix_rank(asked) == width // heads
        assert asked.diagonal().mean() > 0.35  # half of the rank keeps more than half of .7
        torch.testing.assert_close(q @ q.T, torch.diag((q @ q.T).diagonal()), atol=1e-4, rtol=0)  # singular vectors
        torch.testing.assert_close((q @ q.T).diagonal(), (k @ k.T).diagonal(), atol=1e-4, rtol=1e-4)
    assert not any(layer.bias.any() for layer in (attention.query, attention.key, attention.value, attention.output))


@pytest.mark.parametrize(
    ("positions", "width", "heads", "length"),
    [
        ("sinusoidal", 32, 2, 40),
        ("sinusoidal", 64, 4, 128),
        ("sinusoidal", 64, 4, 30),
        ("learned", 64, 4, 30),  # a random table cannot tell apart more positions than it has directions
    ],
)
def test_each_head_of_an_impulse_start_looks_at_its_offset(positions, width, heads, length):
    config = ModelConfig(width=width, heads=heads, init="impulse", positions=positions)
    model = fresh_model(config, replace(spec(), length=length), seed=3)
    table = torch.nn.functional.layer_norm(model.positions, (width,))
    attention = model.blocks[0].attention
    q, k = (f(table).view(length, heads, -1).transpose(0, 1) for f in (attention.query, attention.key))
    weights = (q @ k.transpose(1, 2) / math.sqrt(width // heads)).softmax(-1).detach()
    assert offsets(heads) == [1, -1, 2, -2][:heads]
    for head, offset in enumerate(offsets(heads)):
        rows = [i for i in range(length) if 0 <= i + offset < length]
        hits = [int(weights[head, i].argmax()) == i + offset for i in rows]
        assert np.mean(hits) > 0.9
        assert np.mean([weights[head, i, i + offset].item() for i in rows]) > 0.5


def test_an_impulse_start_solves_the_equation_of_its_source():
    """The dense formula, in float64 and without noise: A = P+ W P+^T, split by its singular values, norm 7."""
    width, length, rank, offset = 16, 9, 8, 1
    positions = torch.randn(length, width, generator=torch.Generator().manual_seed(1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(init, "IMPULSE_NOISE", 0.0)
        left, right = init.impulse(positions, offset, rank, torch.Generator())
    p = torch.nn.functional.layer_norm(positions.double(), (width,)).numpy()
    inverse = np.linalg.pinv(p, rcond=init.IMPULSE_RANK)
    a = inverse @ np.eye(length, k=offset) @ inverse.T
    u, s, vh = np.linalg.svd(a)
    product = (u[:, :rank] * s[:rank]) @ vh[:rank]
    found = (left @ right).double().numpy()
    np.testing.assert_allclose(found / np.linalg.norm(found), product / np.linalg.norm(product), atol=1e-5)
    assert left.norm().item() == pytest.approx(7.0) == right.norm().item()


def test_an_impulse_start_needs_absolute_positions_and_no_class_token():
    for settings in ({"positions": "rotary"}, {"pooling": "cls"}):
        with pytest.raises(SettingError, match="absolute positions"):
            ModelConfig(init="impulse", **settings)


def test_a_position_scale_is_a_factor_on_the_code_and_on_the_start_of_learned_ones():
    for positions in ("sinusoidal", "learned"):
        one, three = (
            tiny_model(replace(TINY_MODEL, positions=positions, position_scale=scale)).positions for scale in (1.0, 3.0)
        )
        torch.testing.assert_close(three, 3 * one)


def test_linear_layers_start_within_their_bound():
    layer = tiny_model().blocks[0].feedforward_in
    assert layer.weight.abs().max() <= 1 / math.sqrt(12)
    assert layer.weight.abs().max() > 0.9 / math.sqrt(12)


def test_learned_positions_start_small():
    model = tiny_model(replace(TINY_MODEL, positions="learned", width=120))
    assert model.positions.std().item() == pytest.approx(SMALL_STD, rel=0.2)
