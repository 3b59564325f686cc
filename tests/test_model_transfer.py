"""Weights in transit: moved as told, never lost in silence."""

from dataclasses import replace

import pytest
import torch

from conftest import TINY_MODEL, spec, tiny_model
from selfpretrain.model.groups import ENCODER, GROUPS, group_of, present_groups
from selfpretrain.model.transfer import freeze, norm_matched_noise, transfer
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.streams import torch_stream


def models(device):
    config = replace(TINY_MODEL, positions="learned", pooling="cls", label_head="mlp")
    return [SequenceModel(config, spec(), generator=torch.Generator().manual_seed(seed)).to(device) for seed in (1, 2)]


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
    with pytest.raises(ValueError, match=r"blocks.1.attention.key.weight' did not arrive: the source has no weight"):
        transfer(missing, target)
    misshapen = {**source.state_dict(), "final_norm.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"final_norm.bias' did not arrive: \(5,\) in the source, \(12,\)"):
        transfer(misshapen, target)
    assert all(torch.equal(weight, before[name]) for name, weight in target.state_dict().items())


def test_an_unknown_group_is_refused():
    with pytest.raises(ValueError, match="unknown group 'qk'; the groups are embedding"):
        transfer({}, tiny_model(), ("qk",))


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
