"""Models in disguise, whose weights differ and whose function does not, against alignment by brute force.

A disguise turns queries and keys of every head together, turns values and the part of the output layer that reads
them, and makes heads and hidden units change places, as far as the position code allows: rotary codes do not commute
with turning, and ALiBi's slopes belong to the places of the heads.
"""

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from conftest import spec
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics.alignment import align
from selfpretrain.model.transformer import SequenceModel

WIDTH, HEADS, SIZE = 12, 3, 4
POSITIONS = ["sinusoidal", "learned", "rotary", "alibi", "none"]
X = torch.randint(5, (16, 7), generator=torch.Generator().manual_seed(0))
KEEP = torch.arange(7) < torch.randint(2, 8, (16,), generator=torch.Generator().manual_seed(1))[:, None]


def make(seed=0, dtype=torch.float64, **config):
    config = {"width": WIDTH, "heads": HEADS, "depth": 2, **config}
    generator = torch.Generator().manual_seed(seed)
    return SequenceModel(ModelConfig(**config), spec(), generator=generator).to(dtype).eval()


def outputs(model):
    """Of both heads, with padding and without."""
    with torch.no_grad():
        return [
            model(X).logits,
            model(X, KEEP).logits,
            model(X, KEEP, KEEP).predictions,
            model.encode(X, None),
        ]


def assert_same_function(model, other, tolerance):
    for one, two in zip(outputs(model), outputs(other), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=tolerance)


def turn(generator):
    """A random orthogonal matrix, now and then with a reflection."""
    q, _ = torch.linalg.qr(torch.randn(SIZE, SIZE, dtype=torch.float64, generator=generator))
    return q


@torch.no_grad()
def disguised(model, seed=0, queries=True, values=True, heads=True, units=True):
    """Another model of the same function."""
    model = copy.deepcopy(model)
    queries = queries and model.config.positions != "rotary"
    heads = heads and model.config.positions != "alibi"
    generator = torch.Generator().manual_seed(seed)
    for block in model.blocks:
        attention = block.attention
        turns = [(turn(generator), turn(generator)) for _ in range(HEADS)]
        for head, (ask, give) in enumerate(turns):
            rows = slice(head * SIZE, (head + 1) * SIZE)
            changes = [(attention.query, ask), (attention.key, ask)] if queries else []
            for layer, rotation in [*changes, *([(attention.value, give)] if values else [])]:
                layer.weight[rows] = rotation.to(layer.weight) @ layer.weight[rows]
                layer.bias[rows] = rotation.to(layer.weight) @ layer.bias[rows]
            if values:
                weight = attention.output.weight
                weight[:, rows] = weight[:, rows] @ give.to(weight).T
        if heads:
            order = torch.randperm(HEADS, generator=generator)
            rows = torch.arange(WIDTH).reshape(HEADS, SIZE)[order].flatten()
            for layer in (attention.query, attention.key, attention.value):
                layer.weight.copy_(layer.weight[rows].clone())
                layer.bias.copy_(layer.bias[rows].clone())
            attention.output.weight.copy_(attention.output.weight[:, rows].clone())
        if units:
            order = torch.randperm(len(block.feedforward_in.bias), generator=generator)
            block.feedforward_in.weight.copy_(block.feedforward_in.weight[order].clone())
            block.feedforward_in.bias.copy_(block.feedforward_in.bias[order].clone())
            block.feedforward_out.weight.copy_(block.feedforward_out.weight[:, order].clone())
    return model


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_close_weights(model, other, tolerance):
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("positions", POSITIONS)
def test_a_disguise_is_undone(positions, dtype):
    model = make(positions=positions, dtype=dtype)
    other = disguised(model, seed=1)
    assert_same_function(other, model, TOLERANCE[dtype])
    assert (other.blocks[0].attention.value.weight - model.blocks[0].attention.value.weight).norm() > 1
    assert (other.blocks[1].feedforward_in.weight - model.blocks[1].feedforward_in.weight).norm() > 1
    aligned = align(other, model)
    assert_same_function(aligned, model, TOLERANCE[dtype])
    assert_close_weights(aligned, model, TOLERANCE[dtype])


@pytest.mark.parametrize("part", ["queries", "values", "heads", "units"])
def test_every_part_of_a_disguise_is_undone_by_itself(part):
    model = make(depth=1)
    parts = dict.fromkeys(["queries", "values", "heads", "units"], False)
    other = disguised(model, seed=3, **{**parts, part: True})
    assert_same_function(other, model, 1e-10)
    assert sum((p - q).square().sum() for p, q in zip(other.parameters(), model.parameters(), strict=True)) > 0.1
    assert_close_weights(align(other, model), model, 1e-10)


@pytest.mark.parametrize("config", [{"heads": 3, "proximity_bias": 0.7}, {"init": "tied"}, {"init": "mimetic"}])
def test_disguises_of_other_models_are_undone(config):
    model = make(**config)
    assert_close_weights(align(disguised(model, seed=2), model), model, 1e-10)


@given(
    seeds=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)),
    positions=st.sampled_from(POSITIONS),
    pooling=st.sampled_from(["mean", "max", "cls", "last"]),
    causal=st.booleans(),
    heads=st.sampled_from([1, 2, 3, 6]),
)
@settings(deadline=None, max_examples=15)
def test_alignment_changes_no_function(seeds, positions, pooling, causal, heads):
    model, reference = (make(s, positions=positions, pooling=pooling, causal=causal, heads=heads) for s in seeds)
    assert_same_function(align(model, reference), model, 1e-10)


@pytest.mark.parametrize("config", [{"proximity_bias": 0.7}, {"label_head": "mlp"}, {"ff_factor": 0.25}])
def test_alignment_changes_no_function_of_other_models(config):
    model, reference = make(0, **config), make(1, **config)
    assert_same_function(align(model, reference), model, 1e-10)


def test_both_models_stay_as_they_are():
    model, reference = make(0).train(), make(1)
    before = snapshot(model), snapshot(reference)
    aligned = align(model, reference)
    for one, was in zip((model, reference), before, strict=True):
        assert all(torch.equal(value, was[name]) for name, value in one.state_dict().items())
    own = {p.untyped_storage().data_ptr() for p in aligned.parameters()}
    assert own.isdisjoint(p.untyped_storage().data_ptr() for m in (model, reference) for p in m.parameters())
    assert all(p.requires_grad and p.is_leaf for p in aligned.parameters())
    assert aligned.training and aligned.config == model.config
    # What no symmetry touches is kept to the bit.
    for name, value in aligned.named_parameters():
        if not any(part in name for part in ("query", "key", "value", "attention.output.weight", "feedforward")):
            assert torch.equal(value, before[0][name]), name
        if "output.bias" in name or "feedforward_out.bias" in name:
            assert torch.equal(value, before[0][name]), name


def test_a_model_is_aligned_with_itself():
    model = make(0)
    assert_close_weights(align(model, model), model, 1e-12)
    aligned = align(model, make(1))
    assert_close_weights(align(aligned, make(1)), aligned, 1e-10)  # twice is as good as once


# Nearest, by brute force


def parts_of(block):
    """Of every head: queries and keys with their biases (K, 2(D+1)), values with theirs and what reads them."""

    def rows(layer):
        both = torch.cat((layer.weight, layer.bias[:, None]), 1).detach().numpy()
        return np.split(both, HEADS)

    attention = block.attention
    outgoing = np.split(attention.output.weight.detach().numpy().T, HEADS)
    asks = [np.hstack(pair) for pair in zip(rows(attention.query), rows(attention.key), strict=True)]
    gives = [np.hstack(pair) for pair in zip(rows(attention.value), outgoing, strict=True)]
    return asks, gives


def units_of(block):
    into, out = block.feedforward_in, block.feedforward_out
    return np.hstack([t.detach().numpy() for t in (into.weight, into.bias[:, None], out.weight.T)])


def apart(mine, other, turned):
    """Squared distance once ``mine`` is turned as near to ``other`` as an orthogonal matrix brings it."""
    if turned:
        rotation, _ = orthogonal_procrustes(mine.T, other.T)
        mine = rotation.T @ mine
    return ((mine - other) ** 2).sum()


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary", "none"])
def test_no_order_of_heads_and_no_turn_comes_nearer(positions):
    for seed in range(2):
        model, reference = make(seed, positions=positions), make(seed + 50, positions=positions)
        aligned = align(model, reference)
        for block, found, other in zip(model.blocks, aligned.blocks, reference.blocks, strict=True):
            (asks, gives), (to_asks, to_gives) = parts_of(block), parts_of(other)
            least = min(
                sum(
                    apart(asks[a], to_asks[b], positions != "rotary") + apart(gives[a], to_gives[b], True)
                    for b, a in enumerate(order)
                )
                for order in permutations(range(HEADS))
            )
            (found_asks, found_gives) = parts_of(found)
            reached = sum(
                ((mine - to) ** 2).sum()
                for ours, theirs in ((found_asks, to_asks), (found_gives, to_gives))
                for mine, to in zip(ours, theirs, strict=True)
            )
            assert reached == pytest.approx(least, rel=1e-10)


def test_no_order_of_hidden_units_comes_nearer():
    for seed in range(2):
        model, reference = make(seed, ff_factor=0.5), make(seed + 50, ff_factor=0.5)
        aligned = align(model, reference)
        for block, found, other in zip(model.blocks, aligned.blocks, reference.blocks, strict=True):
            mine, theirs = units_of(block), units_of(other)
            least = min(((mine[list(order)] - theirs) ** 2).sum() for order in permutations(range(len(mine))))
            assert ((units_of(found) - theirs) ** 2).sum() == pytest.approx(least, rel=1e-10)


def test_rotary_queries_and_keys_change_places_at_most():
    """Each head's are some head's of the model, together with its values."""
    model = make(0, positions="rotary")
    aligned = align(model, make(1, positions="rotary"))
    for block, found in zip(model.blocks, aligned.blocks, strict=True):
        (asks, gives), (found_asks, found_gives) = parts_of(block), parts_of(found)
        order = [next(a for a in range(HEADS) if np.array_equal(asks[a], ask)) for ask in found_asks]
        assert sorted(order) == [0, 1, 2]
        for give, a in zip(found_gives, order, strict=True):
            np.testing.assert_allclose(give.T @ give, gives[a].T @ gives[a], atol=1e-12)  # turned, and no more


def test_alibi_keeps_heads_at_their_slopes():
    """A head's slope belongs to its place: its product of queries and keys has to stay there."""
    model = make(0, positions="alibi")
    aligned = align(model, make(1, positions="alibi"))
    for block, found in zip(model.blocks, aligned.blocks, strict=True):
        for ask, found_ask in zip(parts_of(block)[0], parts_of(found)[0], strict=True):
            np.testing.assert_allclose(found_ask.T @ found_ask, ask.T @ ask, atol=1e-12)
