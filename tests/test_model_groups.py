"""Groups of weights: complete, told by name whatever wraps the model; what decays, and what moves between models."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
import torch
from torch import nn

from conftest import TINY_MODEL, spec, tiny_model
from selfpretrain.config import ModelConfig
from selfpretrain.model.groups import (
    DECAYING,
    ENCODER,
    GROUPS,
    Group,
    decays,
    freeze,
    group_of,
    norm_matched_noise,
    present_groups,
    transfer,
)
from selfpretrain.model.transformer import fresh_model
from selfpretrain.streams import torch_stream

CONFIGS = {
    (kind, positions, pooling, label_head): replace(
        TINY_MODEL, positions=positions, pooling=pooling, label_head=label_head
    )
    for kind, positions, pooling, label_head in product(
        ("symbols", "values"),
        get_args(ModelConfig.__annotations__["positions"]),
        get_args(ModelConfig.__annotations__["pooling"]),
        get_args(ModelConfig.__annotations__["label_head"]),
    )
}
EVERY = pytest.mark.parametrize("which", CONFIGS, ids=" ".join)


def model_of(which):
    return tiny_model(CONFIGS[which], which[0])


def test_every_parameter_has_a_group_and_every_group_a_parameter():
    model = model_of(("symbols", "learned", "cls", "mlp"))
    assert {group_of(name) for name, _ in model.named_parameters()} == set(GROUPS) == set(get_args(Group))
    assert set(ENCODER) == set(GROUPS) - {"head"}


def by_place(model):
    """The group of every parameter, by where the model keeps it."""
    parts: dict[str, list[nn.Module | nn.Parameter | None]] = {
        "embedding": [model.embedding, model.cls],
        "positions": [getattr(model, "positions", None)],
        "query-key": [layer for b in model.blocks for layer in (b.attention.query, b.attention.key)],
        "value-output": [layer for b in model.blocks for layer in (b.attention.value, b.attention.output)],
        "feedforward": [layer for b in model.blocks for layer in (b.feedforward_in, b.feedforward_out)],
        "norms": [*(n for b in model.blocks for n in (b.attention_norm, b.feedforward_norm)), model.final_norm],
        "head": [model.label_head, model.reconstruction_head],
    }
    return {
        parameter: group
        for group, owners in parts.items()
        for owner in owners
        for parameter in (owner.parameters() if isinstance(owner, nn.Module) else [owner])
        if isinstance(parameter, nn.Parameter)
    }


@EVERY
def test_groups_are_told_by_name_and_their_matrices_decay(which):
    """Linear layers' weights; no bias, no norm, nothing of the embedding, though that is a linear layer of values."""
    model = model_of(which)
    expected = by_place(model)
    assert len(expected) == len(list(model.parameters()))
    linear = {m.weight for m in model.modules() if isinstance(m, nn.Linear) and m is not model.embedding}
    for name, parameter in model.named_parameters():
        assert group_of(name) == expected[parameter], name
        assert decays(name) == (parameter in linear), name
        assert decays(name) == (parameter.ndim == 2 and expected[parameter] in DECAYING), name
    assert present_groups(name for name, _ in model.named_parameters()) == tuple(
        group for group in GROUPS if group in expected.values()
    )


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wraps_a_model_changes_no_group_and_no_decay(wrapper):
    """Names as distributed training and compiling make them."""
    for name, _ in model_of(("values", "learned", "cls", "mlp")).named_parameters():
        assert group_of(wrapper + name) == group_of(name)
        assert decays(wrapper + name) == decays(name)


@pytest.mark.parametrize("name", ["blocks.0.new_thing.weight", "weight", "keys.weight", ""])
def test_an_unknown_parameter_is_refused(name):
    for of in (group_of, decays) if name.endswith("weight") else (group_of,):
        with pytest.raises(KeyError, match="belongs to no group"):
            of(name)


# Weights in transit.


def models(device):
    config = replace(TINY_MODEL, positions="learned", pooling="cls", label_head="mlp")
    return [fresh_model(config, spec(), seed).to(device) for seed in (1, 2)]


@pytest.mark.parametrize("groups", [ENCODER, ("query-key",), tuple(g for g in GROUPS if g != "query-key"), ()])
def test_exactly_the_groups_move(groups, device):
    source, target = models(device)
    weights = list(target.parameters())
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    report = transfer(source.state_dict(), target, groups)
    for name, weight in target.named_parameters():
        assert torch.equal(weight, (source.state_dict() if group_of(name) in groups else before)[name])
        assert (name in report.loaded) == (group_of(name) in groups)
        assert (name in report.reset) != (name in report.loaded)
        assert (name in report.left_out) != (name in report.loaded)
    assert all(now is was for now, was in zip(target.parameters(), weights, strict=True))  # in place
    assert all(weight.requires_grad and weight.grad_fn is None for weight in weights)


def test_a_weight_that_does_not_arrive_is_an_error_and_nothing_moves(device):
    source, target = models(device)
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    missing = {k: v for k, v in source.state_dict().items() if k != "blocks.1.attention.key.weight"}
    misshapen = {**source.state_dict(), "final_norm.bias": torch.zeros(5)}
    for weights, name in ((missing, "blocks.1.attention.key.weight"), (misshapen, "final_norm.bias")):
        with pytest.raises(ValueError, match=f"'{name}' did not arrive"):
            transfer(weights, target)
    assert all(torch.equal(weight, before[name]) for name, weight in target.state_dict().items())


def test_frozen_groups_leave_training_and_no_others():
    model = tiny_model()
    freeze(model, ("query-key", "norms"))
    left = {group_of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    assert left == set(present_groups(dict(model.named_parameters()))) - {"query-key", "norms"}


def test_noise_has_the_norms_of_what_it_replaces_and_nothing_else_of_it():
    source = {name: weight.detach() for name, weight in tiny_model().named_parameters() if weight.norm() > 0}
    noise = norm_matched_noise(source, torch_stream(0, "noise"))
    for name, weight in source.items():
        torch.testing.assert_close(noise[name].norm(), weight.norm())
    big = source["blocks.0.attention.query.weight"].flatten(), noise["blocks.0.attention.query.weight"].flatten()
    assert abs(float(torch.nn.functional.cosine_similarity(*big, dim=0))) < 0.4
    again = norm_matched_noise(source, torch_stream(0, "noise"))
    assert all(torch.equal(noise[name], again[name]) for name in noise)
