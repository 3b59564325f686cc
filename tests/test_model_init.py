"""Where weights start."""

import math
from dataclasses import replace

import pytest
import torch

from conftest import TINY_MODEL, tiny_model
from selfpretrain.model.init import MIMETIC_GAIN, SMALL_STD


def test_models_that_differ_in_query_key_init_share_every_other_weight():
    models = {name: tiny_model(replace(TINY_MODEL, qk_init=name)) for name in ("independent", "tied", "mimetic")}
    base = models["independent"].state_dict()
    for name, model in models.items():
        different = {key for key, weight in model.state_dict().items() if not torch.equal(weight, base[key])}
        assert all(".query." in key or ".key." in key for key in different)
        assert bool(different) == (name != "independent")


def test_tied_makes_scores_positive_semi_definite():
    attention = tiny_model(replace(TINY_MODEL, qk_init="tied")).blocks[0].attention
    assert torch.equal(attention.query.weight, attention.key.weight)
    x = torch.randn(9, 12)
    scores = attention.query(x) @ attention.key(x).T
    assert torch.linalg.eigvalsh(scores.double()).min() > -1e-4


def test_mimetic_is_near_a_scaled_identity():
    weight = tiny_model(replace(TINY_MODEL, width=120, qk_init="mimetic")).blocks[0].attention.key.weight
    rest = weight - MIMETIC_GAIN * torch.eye(120)
    assert rest.std().item() == pytest.approx(SMALL_STD, rel=0.05)


def test_linear_layers_start_within_their_bound():
    layer = tiny_model().blocks[0].feedforward_in
    assert layer.weight.abs().max() <= 1 / math.sqrt(12)
    assert layer.weight.abs().max() > 0.9 / math.sqrt(12)


def test_learned_positions_start_small():
    model = tiny_model(replace(TINY_MODEL, positions="learned", width=120))
    assert model.positions.std().item() == pytest.approx(SMALL_STD, rel=0.2)
