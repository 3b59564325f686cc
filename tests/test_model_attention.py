"""Attention against explicit loops in float64, and both kernels against each other."""

import math
from dataclasses import replace

import pytest
import torch

from conftest import TINY_MODEL
from selfpretrain.model.attention import Attention, attention_bias
from selfpretrain.model.positions import alibi_slopes

B, T, D, H = 2, 5, 12, 3
K = D // H
LENGTHS = torch.tensor([5, 3])
KEEP = torch.arange(T) < LENGTHS[:, None]


def attention(**settings):
    torch.manual_seed(0)
    return Attention(replace(TINY_MODEL, width=D, heads=H, **settings)).double()


def by_loops(module, x, *, alibi=False, causal=False, lengths=None):
    """One query, one key, one number at a time."""
    q, k, v = (torch.zeros(B, T, D, dtype=torch.float64) for _ in range(3))
    for out, layer in ((q, module.query), (k, module.key), (v, module.value)):
        for b in range(B):
            for t in range(T):
                for row in range(D):
                    out[b, t, row] = sum(layer.weight[row, c] * x[b, t, c] for c in range(D)) + layer.bias[row]
    mixed = torch.zeros(B, T, D, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for i in range(T):
                scores = {}
                for j in range(T):
                    if (causal and j > i) or (lengths is not None and j >= lengths[b]):
                        continue
                    dot = sum(q[b, i, h * K + c] * k[b, j, h * K + c] for c in range(K))
                    bias = -(2.0 ** (-8 * (h + 1) / H)) * abs(i - j) if alibi else 0.0
                    scores[j] = math.exp(float(dot) / math.sqrt(K) + bias)
                for j, score in scores.items():
                    for c in range(K):
                        mixed[b, i, h * K + c] += score / sum(scores.values()) * v[b, j, h * K + c]
    return mixed @ module.output.weight.T + module.output.bias


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("alibi", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_equals_explicit_loops(kernel, causal, alibi, padded):
    module = attention(attention=kernel)
    x = torch.randn(B, T, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = attention_bias(KEEP if padded else None, T, alibi_slopes(H) if alibi else None, causal=causal, like=x)
    with torch.no_grad():
        expected = by_loops(module, x, alibi=alibi, causal=causal, lengths=LENGTHS if padded else None)
        torch.testing.assert_close(module(x, bias), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
def test_kernels_are_equal_to_rounding_in_float32(positions):
    x = torch.randn(B, T, D)
    eager, fused = (attention(attention=kernel, positions=positions).float() for kernel in ("eager", "sdpa"))
    torch.testing.assert_close(eager(x, None), fused(x, None), rtol=1e-5, atol=1e-6)


def test_nothing_to_add_is_none():
    assert attention_bias(None, T, None, causal=False, like=torch.zeros(1)) is None
