"""Groups of weights: complete, moved as told, never lost in silence."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from conftest import TINY_MODEL, spec, tiny_model
from selfpretrain.model import SequenceModel
from selfpretrain.streams import torch_stream
from selfpretrain.transfer import ENCODER, GROUPS, Group, freeze, group_of, norm_matched_noise, present_groups, transfer


def models():
    config = replace(TINY_MODEL, positions="learned", pooling="cls", label_head="mlp")
    return [
        SequenceModel(config, spec(), causal=False, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]


def test_every_parameter_has_a_group_and_every_group_a_parameter():
    assert {group_of(name) for name, _ in models()[0].named_parameters()} == set(GROUPS) == set(get_args(Group))


@pytest.mark.parametrize("groups", [ENCODER, ("query-key",), tuple(g for g in GROUPS if g != "query-key"), ()])
def test_exactly_the_groups_move(groups):
    source, target = models()
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    report = transfer(source.state_dict(), target, groups)
    for name, weight in target.named_parameters():
        assert torch.equal(weight, (source.state_dict() if group_of(name) in groups else before)[name])
        assert (name in report.loaded) == (group_of(name) in groups)
        assert (name in report.reset) != (name in report.loaded)
        assert (name in report.left_out) != (name in report.loaded)


def test_a_weight_that_does_not_arrive_is_an_error_and_nothing_moves():
    source, target = models()
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    missing = {k: v for k, v in source.state_dict().items() if k != "blocks.1.attention.key.weight"}
    with pytest.raises(ValueError, match=r"blocks.1.attention.key.weight' did not arrive: the source has no weight"):
        transfer(missing, target)
    misshapen = {**source.state_dict(), "final_norm.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"final_norm.bias' did not arrive: \(5,\) in the source, \(12,\)"):
        transfer(misshapen, target)
    assert all(torch.equal(weight, before[name]) for name, weight in target.state_dict().items())


def test_an_unknown_group_or_parameter_is_refused():
    with pytest.raises(ValueError, match="the groups are embedding"):
        transfer({}, tiny_model(), ("qk",))
    with pytest.raises(KeyError, match="belongs to no group"):
        group_of("blocks.0.new_thing.weight")


def test_frozen_groups_leave_training_and_no_others():
    model = tiny_model()
    freeze(model, ("query-key", "norms"))
    left = {group_of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    assert left == set(present_groups(model)) - {"query-key", "norms"}


def test_a_fixed_position_code_is_no_group():
    assert "positions" not in present_groups(tiny_model(replace(TINY_MODEL, positions="sinusoidal")))
    assert "positions" in present_groups(tiny_model(replace(TINY_MODEL, positions="learned")))


def test_noise_has_the_norms_of_what_it_replaces_and_nothing_else_of_it():
    source = {name: weight.detach() for name, weight in tiny_model().named_parameters() if weight.norm() > 0}
    noise = norm_matched_noise(source, torch_stream(0, "noise"))
    for name, weight in source.items():
        torch.testing.assert_close(noise[name].norm(), weight.norm())
    big = source["blocks.0.attention.query.weight"].flatten(), noise["blocks.0.attention.query.weight"].flatten()
    assert abs(float(torch.nn.functional.cosine_similarity(*big, dim=0))) < 0.4
    again = norm_matched_noise(source, torch_stream(0, "noise"))
    assert all(torch.equal(noise[name], again[name]) for name in noise)
