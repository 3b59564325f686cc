"""The encoder: padding and causal leaks by Jacobian, pooling by hand, every weight used."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from conftest import BATCH, CHANNELS, CLASSES, LENGTH, SYMBOLS, TINY_MODEL, spec, tiny_model
from selfpretrain.config import ModelConfig

POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "none")
POOLINGS = ("mean", "max", "cls", "last")
KEEP = torch.arange(LENGTH) < torch.tensor([7, 4, 2])[:, None]

READ = torch.linspace(-1, 2, 12) ** 3  # a read-out that the final norm does not flatten


def config(**settings):
    return replace(TINY_MODEL, **({"heads": 2} | settings))


def values():
    return torch.randn(BATCH, LENGTH, CHANNELS + 1, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_does_not_leak_by_jacobian(attention, positions, pooling):
    model = tiny_model(config(attention=attention, positions=positions, pooling=pooling), "values").eval()
    jacobian = torch.autograd.functional.jacobian(lambda x: model.classify(x, KEEP), values())
    for row in range(BATCH):  # d logits[row] / d x[other row or padding] is exactly zero
        for other in range(BATCH):
            block = jacobian[row, :, other]  # (classes, T, channels)
            if row != other:
                assert (block == 0).all()
            else:
                assert (block[:, ~KEEP[row]] == 0).all()
                assert (block[:, KEEP[row]] != 0).any()


@pytest.mark.parametrize("positions", POSITIONS)
def test_causal_attention_never_sees_the_future_by_jacobian(positions):
    model = tiny_model(config(positions=positions), "values", causal=True).eval()
    x = values()[:1]
    jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v, None)[0] @ READ, x)[:, 0]
    future = jacobian.abs().sum(-1).triu(1)  # d h_t / d x_s for s > t
    assert (future == 0).all()
    assert (jacobian.abs().sum(-1).diagonal() > 0).all()


def test_without_causal_attention_the_future_is_seen():
    model = tiny_model(config(), "values").eval()
    jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v, None)[0] @ READ, values()[:1])[:, 0]
    assert (jacobian.abs().sum(-1).triu(1)[:-1].sum(-1) > 0).all()


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_pooling_by_hand(pooling):
    model = tiny_model(config(pooling=pooling))
    h = torch.randn(BATCH, LENGTH, 12)
    pooled = model.pool(h, KEEP)
    for row, n in enumerate(KEEP.sum(1)):
        real = h[row, :n]
        expected = {"mean": real.mean(0), "max": real.max(0).values, "last": real[-1]}[pooling]
        torch.testing.assert_close(pooled[row], expected)
    full = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    torch.testing.assert_close(model.pool(h, None), model.pool(h, full))


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("label_head", ["linear", "mlp"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_weight_gets_a_finite_gradient(kind, positions, label_head, pooling):
    model = tiny_model(config(positions=positions, label_head=label_head, pooling=pooling), kind)
    # Every symbol at least once, so that every row of the embedding is touched; mask id included.
    x = values() if kind == "values" else (torch.arange(BATCH * LENGTH) % (SYMBOLS + 2)).view(BATCH, LENGTH)
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[:, ::2] = True
    loss = model.classify(x, None).square().sum() + model.reconstruct(x, None, chosen).square().sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A key bias shifts all scores of a query alike, which softmax ignores (but not after rotation).
        if ".key.bias" not in name:
            assert (parameter.grad != 0).any(), name


def test_shapes():
    model = tiny_model(config(pooling="cls"), "values")
    chosen = torch.rand(BATCH, LENGTH) < 0.5
    assert model.classify(values(), KEEP).shape == (BATCH, CLASSES)
    assert model.reconstruct(values(), KEEP, chosen).shape == (int(chosen.sum()), CHANNELS)
    symbols = tiny_model(config())
    x = torch.zeros(BATCH, LENGTH, dtype=torch.int64)
    assert symbols.reconstruct(x, None, chosen).shape == (int(chosen.sum()), SYMBOLS + 1)


def test_the_reconstruction_head_runs_on_the_chosen_positions_only():
    model = tiny_model()
    seen = []
    model.reconstruction_head.register_forward_hook(lambda module, args, out: seen.append(args[0].shape))
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[0, 1] = chosen[2, 5] = True
    model.reconstruct(torch.zeros(BATCH, LENGTH, dtype=torch.int64), None, chosen)
    assert seen == [(2, 12)]


def test_options_are_all_exercised_here():
    hints = ModelConfig.__annotations__
    assert set(POSITIONS) == set(get_args(hints["positions"]))
    assert set(POOLINGS) == set(get_args(hints["pooling"]))
    assert spec().mask_id == SYMBOLS + 1
