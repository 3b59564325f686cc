"""Attention against explicit loops in float64, and both kernels against each other."""

import cmath
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from conftest import TINY_MODEL
from selfpretrain.model import attention as module_under_test
from selfpretrain.model.attention import Attention, rotate, sinusoidal
from selfpretrain.model.mask import Mask, alibi_slopes, distance_bias

B, T, D, H = 2, 5, 12, 3
K = D // H
LENGTHS = torch.tensor([5, 3])
KEEP = torch.arange(T) < LENGTHS[:, None]
DISTANCES = ("none", "slopes", "table")
BLOCKS = (1, 2, 3, 4)  # all below T, so that there are several and the last is smaller
EVERY = pytest.mark.parametrize(
    ("padded", "causal", "distance"), list(product([False, True], [False, True], DISTANCES))
)


def normal(*shape, seed=1):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def attention(**settings):
    torch.manual_seed(0)
    return Attention(replace(TINY_MODEL, width=D, heads=H, **settings), T).double()


def mask_of(padded, causal, distance):
    slopes = None if distance == "none" else alibi_slopes(H)
    table = distance_bias(torch.arange(T), torch.arange(T), slopes) if distance == "table" else None
    return Mask(KEEP if padded else None, causal, slopes, table)


def turned(row, t):
    """A row (D,) of queries or keys, each head's pairs turned by ``t 10000^(-2i/K)``, number by number."""
    out = row.clone()
    for h in range(H):
        for i in range(K // 2):
            at, angle = h * K + 2 * i, t / 10_000 ** (2 * i / K)
            out[at] = row[at] * math.cos(angle) - row[at + 1] * math.sin(angle)
            out[at + 1] = row[at] * math.sin(angle) + row[at + 1] * math.cos(angle)
    return out


def by_loops(module, x, *, alibi=False, causal=False, lengths=None, rotary=False):
    """One query, one key, one number at a time."""
    q, k, v = (torch.zeros(B, T, D, dtype=torch.float64) for _ in range(3))
    for out, layer in ((q, module.query), (k, module.key), (v, module.value)):
        for b in range(B):
            for t in range(T):
                for row in range(D):
                    out[b, t, row] = sum(layer.weight[row, c] * x[b, t, c] for c in range(D)) + layer.bias[row]
                if rotary and out is not v:
                    out[b, t] = turned(out[b, t], t)
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
@EVERY
def test_attention_equals_explicit_loops(kernel, padded, causal, distance):
    """Under causal attention a query in the padding may see padding; nobody reads it, and it is not compared."""
    module, x = attention(attention=kernel), normal(B, T, D)
    with torch.no_grad():
        expected = by_loops(module, x, alibi=distance != "none", causal=causal, lengths=LENGTHS if padded else None)
        found = module(x, mask_of(padded, causal, distance))
    read = KEEP if padded and causal else torch.ones(B, T, dtype=torch.bool)
    torch.testing.assert_close(found[read], expected[read], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_rotary_attention_equals_explicit_loops(kernel):
    module, x = attention(attention=kernel, positions="rotary"), normal(B, T, D)
    torch.testing.assert_close(module.rotary, sinusoidal(T, K).float().double(), rtol=0, atol=0)
    module.rotary = sinusoidal(T, K)  # a model's own table is float32
    with torch.no_grad():
        torch.testing.assert_close(module(x, Mask()), by_loops(module, x, rotary=True), rtol=1e-12, atol=1e-12)


def watched_calls(monkeypatch):
    """(queries, shape of the bias or None, causal) of every call of torch's fused attention."""
    calls, real = [], F.scaled_dot_product_attention

    def watch(q, k, v, attn_mask=None, is_causal=False):
        calls.append((q.shape[-2], None if attn_mask is None else tuple(attn_mask.shape), is_causal))
        return real(q, k, v, attn_mask=attn_mask, is_causal=is_causal)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watch)
    return calls


def out_and_gradients(module, x, mask):
    """Output, and the gradients of a loss that reads every query, on the input and on every weight."""
    x = x.clone().requires_grad_()
    out = module(x, mask)
    weight = normal(*x.shape, seed=2)
    grads = torch.autograd.grad((out.tanh() * weight).sum(), [x, *module.parameters()])
    return [out.detach(), *grads]


@EVERY
@pytest.mark.parametrize("block", [None, *BLOCKS])
@pytest.mark.parametrize("positions", ["none", "rotary"])
def test_the_fused_kernel_equals_the_explicit_one(positions, padded, causal, distance, block, monkeypatch):
    """Forward and backward, in float64; with a bias by distance a block of queries at a time."""
    if block is not None:
        monkeypatch.setattr(module_under_test, "BLOCK", block)
    calls = watched_calls(monkeypatch)
    mask, x = mask_of(padded, causal, distance), normal(B, T, D)
    explicit, fused = (attention(attention=kernel, positions=positions) for kernel in ("eager", "sdpa"))
    expected = out_and_gradients(explicit, x, mask)
    assert not calls
    found = out_and_gradients(fused, x, mask)
    for name, ours, theirs in zip(["output", "input", *dict(fused.named_parameters())], found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13, msg=lambda text, name=name: f"{name}: {text}")
    if block is None or distance == "none":
        assert [queries for queries, _, _ in calls] == [T]
    else:  # forward, and each block again on the way back
        cut = [min(block, T - start) for start in range(0, T, block)]
        assert [queries for queries, _, _ in calls[: len(cut)]] == cut
        assert sorted(queries for queries, _, _ in calls[len(cut) :]) == sorted(cut)
    # What is held grows with T and not with its square.
    for queries, shape, by_kernel in calls:
        if distance == "none":
            assert shape == ((B, 1, 1, T) if padded and not causal else None) and by_kernel == causal
        else:
            assert shape == (B if padded and not causal else 1, H, queries, T) and not by_kernel


@pytest.mark.parametrize("block", [None, 2])
@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("distance", DISTANCES)
def test_what_stands_in_the_padding_reaches_no_real_query(distance, causal, kernel, block, monkeypatch):
    """To the last bit, and with a gradient of exactly zero."""
    if block is not None:
        monkeypatch.setattr(module_under_test, "BLOCK", block)
    module, mask = attention(attention=kernel), mask_of(True, causal, distance)
    x = normal(B, T, D)
    other = torch.where(KEEP[..., None], x, 1e3 * normal(B, T, D, seed=3))
    with torch.no_grad():
        assert torch.equal(module(x, mask)[KEEP], module(other, mask)[KEEP])
        assert not torch.equal(module(x, mask)[~KEEP], module(other, mask)[~KEEP])
    x.requires_grad_()
    (grad,) = torch.autograd.grad(module(x, mask)[KEEP].square().sum(), x)
    assert (grad[~KEEP] == 0).all() and (grad[KEEP] != 0).all()


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
def test_kernels_are_equal_to_rounding_in_float32(positions, device):
    x = normal(B, T, D).float().to(device)
    eager, fused = (attention(attention=kernel, positions=positions).float().to(device) for kernel in ("eager", "sdpa"))
    torch.testing.assert_close(eager(x, Mask()), fused(x, Mask()), rtol=1e-5, atol=1e-6)


@EVERY
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("positions", ["none", "rotary"])
def test_block_local_attention_equals_full_attention_under_a_dense_mask(positions, padded, causal, distance, block):
    """Forward and backward, by either kernel: scores of all pairs, of which far ones are taken out by hand."""
    mask, x = mask_of(padded, causal, distance), normal(B, T, D)
    explicit, fused = (attention(attention=kernel, positions=positions) for kernel in ("eager", "sdpa"))

    def take_out(scores, inputs, made):
        places = torch.arange(T) // block
        far = (places[:, None] - places).abs() > 1
        own = torch.eye(T, dtype=torch.bool)
        dot = scores_of_all(inputs[0], inputs[1])
        return torch.where(own, dot, made.masked_fill(far, -math.inf))

    handle = explicit.scores.register_forward_hook(take_out)
    expected = out_and_gradients(explicit, x, mask)
    handle.remove()
    local = replace(mask, block=block)
    for module in (explicit, fused):
        for ours, theirs in zip(out_and_gradients(module, x, local), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def scores_of_all(q, k):
    """Without any bias."""
    return q @ k.transpose(-1, -2) / math.sqrt(K)


@pytest.mark.parametrize("padded", [False, True])
def test_a_block_of_queries_meets_its_neighbourhood_and_no_other_key(padded, monkeypatch):
    keys, real = [], F.scaled_dot_product_attention

    def watch(q, k, v, attn_mask=None, is_causal=False):
        keys.append((q.shape[-2], k.shape[-2], attn_mask is None))
        return real(q, k, v, attn_mask=attn_mask, is_causal=is_causal)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watch)
    attention()(normal(B, T, D), replace(mask_of(padded, False, "none"), block=1))
    assert keys == [(1, n, not padded) for n in (2, 3, 3, 3, 2)]


# Codes of positions.


def test_sinusoidal_entries_by_hand():
    code = sinusoidal(11, 6)
    assert code.shape == (11, 6) and code.dtype == torch.float64
    for t in range(11):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert code[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-12)
            assert code[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-12)


@pytest.mark.parametrize("longer", [0, 4])
def test_rotation_by_complex_numbers(longer):
    """A pair of entries is a complex number; position t multiplies it by ``exp(i t w)``."""
    x = normal(2, 3, 5, 6)
    found = rotate(x, sinusoidal(5 + longer, 6))
    assert found.shape == x.shape
    for b, h, t, i in product(range(2), range(3), range(5), range(3)):
        pair = complex(x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]) * cmath.exp(1j * t / 10_000 ** (2 * i / 6))
        assert complex(*found[b, h, t, 2 * i : 2 * i + 2]) == pytest.approx(pair, abs=1e-13)


def test_rotary_scores_depend_on_the_difference_of_positions_alone():
    q, k = normal(2, 6)
    rotated_q, rotated_k = (rotate(v.expand(1, 1, 9, 6), sinusoidal(9, 6)) for v in (q, k))
    scores = (rotated_q @ rotated_k.transpose(-1, -2))[0, 0]
    for lag in range(-8, 9):
        band = torch.diagonal(scores, lag)
        assert (band - band[0]).abs().max() < 1e-12
    assert (scores[0, 0] - q @ k).abs() < 1e-12
    assert (scores[0, 5] - scores[0, 0]).abs() > 1e-3
