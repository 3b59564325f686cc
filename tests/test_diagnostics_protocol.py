"""Looking at a model: what is seen, and that nothing stays behind."""

import contextlib
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from conftest import BATCH, LENGTH, SYMBOLS, TINY_MODEL, tiny_model
from selfpretrain.diagnostics.protocol import hooked, observed, score_modules
from selfpretrain.model.attention import Attention
from selfpretrain.model.mask import Mask

X = torch.randint(SYMBOLS, (BATCH, LENGTH), generator=torch.Generator().manual_seed(0))
KEEP = torch.arange(LENGTH) < torch.tensor([7, 4, 2])[:, None]


def uneven_model():
    """Neither its modes nor its kernels are uniform."""
    model = tiny_model(replace(TINY_MODEL, dropout=0.3)).train()
    model.blocks[0].eval()
    model.blocks[0].attention_dropout.train()
    model.label_head.eval()
    model.blocks[1].attention.kernel = "eager"
    return model


def state(model):
    attentions = [module for module in model.modules() if isinstance(module, Attention)]
    return [module.training for module in model.modules()], [attention.kernel for attention in attentions]


def hooks(model):
    return [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]


def assert_inside(model):
    modes, kernels = state(model)
    assert not any(modes)
    assert kernels == ["eager", "eager"]


@pytest.mark.parametrize("inside", ["nothing", "a change", "an exception", "again"])
def test_observed_restores_modes_and_kernels(inside):
    model = uneven_model()
    before = state(model)
    assert len(set(before[0])) == len(set(before[1])) == 2
    with pytest.raises(KeyError) if inside == "an exception" else contextlib.nullcontext(), observed(model):
        assert_inside(model)
        if inside == "again":
            with observed(model):
                assert_inside(model)
            assert_inside(model)
        if inside == "a change":
            model.train()
            model.blocks[0].attention.kernel = "sdpa"
        if inside == "an exception":
            raise KeyError(inside)
    assert state(model) == before


def test_observed_changes_no_output_but_by_dropout():
    model = uneven_model()
    with torch.no_grad():
        with observed(model):
            inside = model(X, KEEP).logits
        torch.testing.assert_close(inside, model.eval()(X, KEEP).logits)


def test_score_modules_are_in_the_order_of_the_layers():
    model = tiny_model(replace(TINY_MODEL, depth=3))
    assert score_modules(model) == [block.attention.scores for block in model.blocks]
    with pytest.raises(ValueError, match="scores"):
        score_modules(nn.Linear(2, 2))


def test_hooked_sees_queries_keys_and_scores_of_every_layer():
    model, seen = uneven_model(), []
    before = hooks(model)
    with torch.no_grad(), observed(model):
        plain = model(X, KEEP).logits
        with hooked(score_modules(model), lambda layer, args, scores: seen.append((layer, args, scores))):
            watched = model(X, KEEP).logits
    assert torch.equal(plain, watched)  # looking alone replaces nothing
    assert hooks(model) == before
    assert [layer for layer, _, _ in seen] == [0, 1]
    for _, (q, k, bias), scores in seen:
        assert scores.shape == (BATCH, 3, LENGTH, LENGTH)
        torch.testing.assert_close(scores, q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias)
        assert torch.equal(scores.isinf().any(2), ~KEEP[:, None].expand(-1, 3, -1))
    assert not torch.equal(seen[0][2], seen[1][2])


def test_what_a_hook_returns_replaces_the_scores():
    """Scores of 0 everywhere: every query gets the plain mean of the values."""
    attention = Attention(replace(TINY_MODEL, attention="eager"), LENGTH).double()
    x = torch.randn(BATCH, LENGTH, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        with hooked([attention.scores], lambda layer, args, scores: torch.zeros_like(scores)):
            found = attention(x, Mask())
        expected = attention.output(attention.value(x).mean(1, keepdim=True)).expand(-1, LENGTH, -1)
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(attention(x, Mask()), expected)


def test_a_hook_can_change_one_layer_alone():
    model = tiny_model(replace(TINY_MODEL, attention="eager")).eval()
    seen = []
    modules = score_modules(model)
    with (
        torch.no_grad(),
        hooked(modules, lambda layer, args, scores: torch.zeros_like(scores) if layer == 1 else None),
        hooked(modules, lambda layer, args, scores: seen.append(scores)),
    ):
        model(X)
    assert (seen[0] != 0).all()
    assert (seen[1] == 0).all()  # hooks run in the order in which they were set


@pytest.mark.parametrize("where", ["hook", "body"])
def test_hooks_come_off_after_an_exception_and_those_of_others_stay(where):
    model = uneven_model()
    model.blocks[0].attention.scores.register_forward_hook(lambda module, args, scores: None)
    before = hooks(model)
    assert sum(before) == 1

    def see(layer, args, scores):
        raise KeyError("hook")

    with pytest.raises(KeyError, match=where), observed(model), hooked(score_modules(model), see):
        assert sum(hooks(model)) == 3
        if where == "body":
            raise KeyError("body")
        model(X)
    assert hooks(model) == before
    model(X, keys=torch.arange(BATCH))  # in training again
