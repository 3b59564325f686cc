"""Groups of weights: complete, told by name whatever wraps the model, and what decays."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from torch import nn

from conftest import TINY_MODEL, tiny_model
from selfpretrain.config import ModelConfig
from selfpretrain.model.groups import DECAYING, ENCODER, GROUPS, Group, decays, group_of, present_groups

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
def test_groups_are_told_by_name(which):
    model = model_of(which)
    expected = by_place(model)
    assert len(expected) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert group_of(name) == expected[parameter], name
    assert present_groups(name for name, _ in model.named_parameters()) == tuple(
        group for group in GROUPS if group in expected.values()
    )


@EVERY
def test_exactly_the_matrices_of_the_decaying_groups_decay(which):
    """Linear layers' weights; no bias, no norm, nothing of the embedding, though that is a linear layer of values."""
    model = model_of(which)
    groups = by_place(model)
    linear = {m.weight for m in model.modules() if isinstance(m, nn.Linear) and m is not model.embedding}
    assert all(weight.ndim == 2 for weight in linear)
    for name, parameter in model.named_parameters():
        assert decays(name) == (parameter in linear), name
        assert decays(name) == (parameter.ndim == 2 and groups[parameter] in DECAYING), name


def test_what_decays_by_hand():
    model = tiny_model(replace(TINY_MODEL, depth=1, positions="learned", pooling="cls", label_head="mlp"))
    assert {name for name, _ in model.named_parameters() if decays(name)} == {
        "blocks.0.attention.query.weight",
        "blocks.0.attention.key.weight",
        "blocks.0.attention.value.weight",
        "blocks.0.attention.output.weight",
        "blocks.0.feedforward_in.weight",
        "blocks.0.feedforward_out.weight",
        "label_head.0.weight",
        "label_head.2.weight",
        "reconstruction_head.weight",
    }


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


def test_a_fixed_position_code_is_no_group():
    for positions in get_args(ModelConfig.__annotations__["positions"]):
        names = dict(tiny_model(replace(TINY_MODEL, positions=positions)).named_parameters())
        assert ("positions" in present_groups(names)) == (positions == "learned")
    assert present_groups([]) == ()
