"""The encoder: leaks by Jacobian, pooling by hand, every weight used; compiled, distributed, and its memory."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, product
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from conftest import BATCH, CHANNELS, CLASSES, LENGTH, SYMBOLS, TINY_MODEL, ragged_task, spec, tiny_model
from selfpretrain.config import ModelConfig
from selfpretrain.data.feed import make_batch
from selfpretrain.draws import Draws
from selfpretrain.model import attention as attention_module
from selfpretrain.model import transformer as transformer_module
from selfpretrain.model.transformer import RowDropout, fresh_model
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.objectives import Labels
from selfpretrain.train.phase import PhasePlan
from selfpretrain.train.training import Training

POSITIONS, POOLINGS = (get_args(ModelConfig.__annotations__[name]) for name in ("positions", "pooling"))
LENGTHS = (7, 4, 2)
KEEP = torch.arange(LENGTH) < torch.tensor(LENGTHS)[:, None]
KEYS = Draws(0, 0, torch.arange(BATCH)).keys("dropout")

READ = torch.linspace(-1, 2, 12) ** 3  # a read-out that the final norm does not flatten


def config(**settings):
    return replace(TINY_MODEL, **({"heads": 2} | settings))


def values():
    return torch.randn(BATCH, LENGTH, CHANNELS + 1, generator=torch.Generator().manual_seed(3))


def symbols():
    """Every symbol at least once, so that every row of the embedding is touched; mask id included."""
    return (torch.arange(BATCH * LENGTH) % (SYMBOLS + 2)).view(BATCH, LENGTH)


# Leaks


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize(
    ("pooling", "causal"), [*((pooling, False) for pooling in POOLINGS), ("mean", True), ("max", True), ("last", True)]
)
def test_padding_does_not_leak_by_jacobian(attention, positions, pooling, causal, device):
    settings = config(attention=attention, positions=positions, pooling=pooling)
    model = tiny_model(settings, "values", causal=causal).eval().to(device)
    x, keep = values().to(device), KEEP.to(device)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x, keep).logits, x)
    for row in range(BATCH):  # d logits[row] / d x[other row or padding] is exactly zero
        for other in range(BATCH):
            block = jacobian[row, :, other]  # (classes, T, channels)
            if row != other:
                assert (block == 0).all()
            else:
                assert (block[:, ~keep[row]] == 0).all()
                assert (block[:, keep[row]] != 0).any()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("positions", POSITIONS)
def test_causal_attention_alone_never_sees_the_future_by_jacobian(positions, causal, device):
    model = tiny_model(config(positions=positions), "values", causal=causal).eval().to(device)
    x, read = values()[:1].to(device), READ.to(device)
    jacobian = torch.autograd.functional.jacobian(lambda v: model.encode(v, None)[0] @ read, x)[:, 0]
    future = jacobian.abs().sum(-1).triu(1)  # d h_t / d x_s for s > t
    assert (future == 0).all() if causal else (future[:-1].sum(-1) > 0).all()
    assert (jacobian.abs().sum(-1).diagonal() > 0).all()


# What comes out


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(pooling, device):
    model = tiny_model(config(pooling=pooling)).to(device)
    h, keep = torch.randn(BATCH, LENGTH, 12, device=device), KEEP.to(device)
    pooled = model.pool(h, keep)
    for row, n in enumerate(LENGTHS):
        real = h[row, :n]
        expected = {"mean": real.mean(0), "max": real.max(0).values, "last": real[-1], "cls": real[0]}[pooling]
        torch.testing.assert_close(pooled[row], expected)
    torch.testing.assert_close(model.pool(h, None), model.pool(h, torch.ones_like(keep)))


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_model_counts_dimensions_from_the_right(kind, positions, pooling):
    """Two batches beside each other (2, B, T), each with padding of its own."""
    model = tiny_model(config(positions=positions, pooling=pooling), kind).double().eval()
    x = values().double() if kind == "values" else symbols()
    both, keeps = torch.stack((x, x.flip(0).roll(1, 1))), torch.stack((KEEP, KEEP.flip(0)))
    logits, filled = model(both, keeps, keeps)
    assert logits.shape == (2, BATCH, CLASSES)
    alone = [model(one, keep, keep) for one, keep in zip(both, keeps, strict=True)]
    torch.testing.assert_close(logits, torch.stack([each.logits for each in alone]))
    torch.testing.assert_close(filled, torch.cat([each.predictions for each in alone]))


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_predictions_are_of_the_chosen_positions_in_their_order(kind, pooling, device):
    """Row by row, position by position; the cls vector in front counts as none."""
    model = tiny_model(config(pooling=pooling), kind).to(device).eval()
    x, keep = (values() if kind == "values" else symbols()).to(device), KEEP.to(device)
    chosen = keep & (torch.rand(BATCH, LENGTH, generator=torch.Generator().manual_seed(1)).to(device) < 0.6)
    h = model.encode(x, keep)
    front = h.shape[1] - LENGTH
    assert front == (pooling == "cls")
    places = [(b, t) for b in range(BATCH) for t in range(LENGTH) if chosen[b, t]]
    expected = torch.stack([model.reconstruction_head(h[b, front + t]) for b, t in places])
    assert len(places) > 4
    logits, predictions = model(x, keep, chosen)
    torch.testing.assert_close(predictions, expected)
    torch.testing.assert_close(logits, model.label_head(model.pool(h, keep)))
    torch.testing.assert_close(model(x, keep).logits, logits)
    assert model(x, keep).predictions is None


# The last block where something is read


def everywhere(model, x, keep, keys, chosen):
    """Predictions and logits with all blocks at all positions."""
    h = model.encode(x, keep, keys)
    return model.reconstruction_head(h[:, -x.shape[1] :][chosen]), model.pool(h, keep)


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    "settings",
    [
        *({"positions": positions} for positions in POSITIONS),
        {"causal": True},
        {"attention_block": 2},
        {"proximity_bias": 1.0},
        {"attention": "eager"},
        {"dropout": 0.3},
        {"depth": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("recompute", [False, True])
def test_the_last_block_where_something_is_read_gives_what_it_gives_everywhere(kind, pooling, settings, recompute):
    """Values and gradients in float64, with padding."""
    if pooling == "cls" and {"causal", "attention_block"} & settings.keys():
        pytest.skip("no class token there")
    own = config(pooling=pooling, **settings)
    model = tiny_model(own, kind, causal=own.causal).double().train()
    model.recompute = recompute
    x, keep = values().double() if kind == "values" else symbols(), KEEP
    chosen = keep & (torch.rand(BATCH, LENGTH, generator=torch.Generator().manual_seed(1)) < 0.6)
    chosen[2] = False  # nothing of one sequence
    reference = everywhere(model, x, keep, KEYS, chosen)
    short = model(x, keep, chosen, KEYS, labels=False)
    assert short.logits is None
    single = model(x, keep, None, KEYS).logits
    pairs = ((short.predictions, reference[0]), (single, model.label_head(reference[1])))
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        a, b = (
            torch.autograd.grad(out.square().sum(), weights, allow_unused=True, retain_graph=True)
            for out in (ours, theirs)
        )
        for one, other in zip(a, b, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_the_last_block_at_one_query_gives_pairs_what_it_gives_them_everywhere(pooling):
    """Two sequences of a row, padded to different lengths; logits and gradients in float64."""
    inputs = replace(spec(), per_row=2)
    model = fresh_model(config(pooling=pooling), inputs, seed=0).double().train()
    x, keep = symbols()[:2], KEEP[:2]
    a, b = model.pool(model.encode(x, keep), keep)
    expected = model.label_head(torch.cat((a, b, a - b, a * b))[None])
    logits = model(x, keep).logits
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
    weights = list(model.blocks.parameters())
    ours, theirs = (torch.autograd.grad(out.square().sum(), weights) for out in (logits, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_queries_that_nobody_reads_are_not_computed(monkeypatch):
    seen = []
    real = attention_module.fused
    monkeypatch.setattr(
        attention_module, "fused", lambda q, k, v, mask: seen.append(q.shape[-2]) or real(q, k, v, mask)
    )
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[:, 1:4] = True
    for pooling, labels, read in (("mean", False, 3), ("mean", True, LENGTH), ("cls", True, 1), ("last", True, 1)):
        seen.clear()
        model = tiny_model(config(pooling=pooling))
        model(symbols(), None, None if labels else chosen, labels=labels)
        assert seen == [LENGTH + (pooling == "cls")] * (len(model.blocks) - 1) + [read], pooling


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("label_head", ["linear", "mlp"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_weight_gets_a_finite_gradient(kind, positions, label_head, pooling, device):
    model = tiny_model(config(positions=positions, label_head=label_head, pooling=pooling), kind).to(device)
    x = (values() if kind == "values" else symbols()).to(device)
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool, device=device)
    chosen[:, ::2] = True
    sum(out.square().sum() for out in model(x, chosen=chosen)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A key bias shifts all scores of a query alike, which softmax ignores (but not after rotation).
        if ".key.bias" not in name:
            assert (parameter.grad != 0).any(), name


def test_where_nothing_is_chosen_nothing_is_predicted():
    x = torch.zeros(BATCH, LENGTH, dtype=torch.int64)
    assert tiny_model()(x, None, torch.zeros_like(x, dtype=torch.bool)).predictions.shape == (0, SYMBOLS + 1)


def test_the_reconstruction_head_runs_on_the_chosen_positions_only():
    model = tiny_model()
    seen = []
    model.reconstruction_head.register_forward_hook(lambda module, args, out: seen.append(args[0].shape))
    chosen = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    chosen[0, 1] = chosen[2, 5] = True
    model(torch.zeros(BATCH, LENGTH, dtype=torch.int64), None, chosen)
    assert seen == [(2, 12)]


@pytest.mark.parametrize("label_head", ["linear", "mlp"])
def test_the_bias_of_the_label_layer_is_that_of_the_logits(label_head):
    model = tiny_model(config(label_head=label_head)).eval()
    before = model(symbols()).logits
    with torch.no_grad():
        model.label_layer.bias += torch.tensor([1.0, -2.0, 4.0])
    torch.testing.assert_close(model(symbols()).logits, before + torch.tensor([1.0, -2.0, 4.0]))


@pytest.mark.parametrize(
    "settings", [{"positions": "alibi"}, {"proximity_bias": 0.5}, {"positions": "alibi", "pooling": "cls"}]
)
@pytest.mark.parametrize("causal", [False, True])
def test_a_model_longer_than_a_block_makes_its_bias_as_it_goes(settings, causal, monkeypatch):
    """No table of T squared is held, and nothing else changes; shorter batches among them.

    Slopes of two heads are powers of two, so a table in single precision is exact.
    """
    held = tiny_model(config(**settings), "values", causal=causal).double().eval()
    monkeypatch.setattr(attention_module, "BLOCK", 3)
    monkeypatch.setattr(transformer_module, "BLOCK", 3)
    made = tiny_model(config(**settings), "values", causal=causal).double().eval()
    positions = LENGTH + (held.cls is not None)
    assert held.distance_table.shape == (2, positions, positions) and made.distance_table is None
    assert made.state_dict().keys() == held.state_dict().keys() == dict(held.named_parameters()).keys()
    for length in (LENGTH, 4, 2):
        x, keep = values().double()[:, :length], KEEP[:, :length]
        found = []
        for model in (held, made):
            logits = model(x, keep).logits
            grads = torch.autograd.grad(logits.square().sum(), model.parameters(), allow_unused=True)
            found.append([logits, *(g for g in grads if g is not None)])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_the_mask_has_a_row_of_the_embedding_to_itself():
    """Behind the symbols and the unknown one, which alone are predicted."""
    model = tiny_model()
    assert model.inputs.mask_id == spec().mask_id == SYMBOLS + 1
    assert model.embedding.num_embeddings == SYMBOLS + 2
    assert model.reconstruction_head.out_features == SYMBOLS + 1


# Dropout


def dropping(dropout=0.4, **settings):
    return tiny_model(config(dropout=dropout, depth=3, **settings)).double().train()


def sites(model):
    return [module for module in model.modules() if isinstance(module, RowDropout)]


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_scales_the_rest(probability, device):
    x = torch.randn(200, 11, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(device)
    x.requires_grad_()
    out = RowDropout(probability, 3).train()(x, Draws(0, 0, torch.arange(200, device=device)).keys("dropout"))
    kept = out != 0
    torch.testing.assert_close(out, torch.where(kept, x / (1 - probability), 0.0))
    error = (probability * (1 - probability) / x.numel()) ** 0.5
    assert abs(kept.double().mean().item() - (1 - probability)) < 4 * error
    # No place of a sequence is dropped more often than another.
    each = kept.double().mean(0)
    assert (each - (1 - probability)).abs().max() < 5 * (probability * (1 - probability) / 200) ** 0.5
    (slope,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(slope, kept.double() / (1 - probability))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("positions", ["sinusoidal", "alibi"])
def test_dropout_of_a_row_depends_on_nothing_but_the_row(positions, pooling):
    """Not on its neighbours, its place among them, or how far it is padded."""
    model = dropping(positions=positions, pooling=pooling)
    x = torch.where(KEEP, symbols(), 0)
    chosen, order = KEEP & (torch.arange(LENGTH) % 2 == 0), torch.tensor([2, 0, 1])
    together, filled = model(x, KEEP, chosen, KEYS)
    torch.testing.assert_close(model(x[order], KEEP[order], keys=KEYS[order]).logits, together[order])
    alone = []
    for row, n in enumerate(LENGTHS):
        one = slice(row, row + 1)
        alone.append(model(x[one, :n], None, chosen[one, :n], KEYS[one]))
        torch.testing.assert_close(alone[-1].logits, together[one])
        assert not torch.allclose(model(x[one, :n], None, keys=KEYS[[row - 1]]).logits, together[one])
    torch.testing.assert_close(torch.cat([each.predictions for each in alone]), filled)


def test_every_layer_step_row_seed_and_stream_drops_for_itself():
    """Two that drop independently agree in p^2 + (1 - p)^2 of all places."""
    p, ones, rows = 0.4, torch.ones(50, 40, 12), torch.arange(50)
    model = dropping(p)
    assert len(sites(model)) == 1 + 2 * 3
    dropped = {
        f"layer {number}": site(ones, Draws(0, 0, rows).keys("dropout")) == 0
        for number, site in enumerate(sites(model))
    }
    first = sites(model)[0]
    for name, draws in (
        ("step", Draws(0, 1, rows)),
        ("seed", Draws(1, 0, rows)),
        ("rows", Draws(0, 0, rows + 50)),
    ):
        dropped[name] = first(ones, draws.keys("dropout")) == 0
    dropped["stream"] = first(ones, Draws(0, 0, rows).keys("masks")) == 0
    dropped["next place"] = dropped["layer 0"].roll(1, -1)
    dropped["next position"] = dropped["layer 0"].roll(1, 1)
    agreement = p**2 + (1 - p) ** 2
    error = (agreement * (1 - agreement) / ones.numel()) ** 0.5
    for (one, a), (other, b) in combinations(dropped.items(), 2):
        assert abs((a == b).double().mean().item() - agreement) < 5 * error, (one, other)
    assert torch.equal(first(ones, Draws(0, 0, rows).keys("dropout")) == 0, dropped["layer 0"])  # and is repeatable


def logits_of(model, *args, **more):
    return model(*args, **more).logits


def test_every_site_of_a_model_drops():
    """Each alone, the others switched off: the embedding and both branches of every block."""
    model = dropping()
    clean = logits_of(model.eval(), symbols())
    for chosen in sites(model):
        for site in sites(model):
            site.train(site is chosen)
        assert not torch.allclose(logits_of(model, symbols(), keys=KEYS), clean)
    for site in sites(model):
        site.eval()
    assert torch.equal(logits_of(model, symbols(), keys=KEYS), clean)


def test_dropout_is_off_in_evaluation_and_where_there_is_none_and_needs_keys():
    model, plain = dropping(), tiny_model(config(depth=3)).double()
    expected = logits_of(plain.train(), symbols(), KEEP)
    assert torch.equal(logits_of(plain.eval(), symbols(), KEEP), expected)
    assert torch.equal(logits_of(model.eval(), symbols(), KEEP, keys=KEYS), expected)
    assert not torch.allclose(logits_of(model.train(), symbols(), KEEP, keys=KEYS), expected)
    with pytest.raises(ValueError, match="needs the keys of the batch's rows"):
        model(symbols())


# Compiled


COMPILED = {
    "plain": {},
    "alibi, causal, last": {"positions": "alibi", "causal": True, "pooling": "last"},
    "alibi in blocks": {"positions": "alibi"},
    "rotary, cls, dropout": {"positions": "rotary", "pooling": "cls", "dropout": 0.3},
    "eager, learned, max": {"attention": "eager", "positions": "learned", "pooling": "max", "label_head": "mlp"},
}


def under_compilation(test):
    """Warnings of torch's own parts are let pass; the second is raised where a graph ends before the last layer."""
    for warning in (
        ".*torch.jit.*:DeprecationWarning",
        "The .grad attribute of a Tensor that is not a leaf:UserWarning",
    ):
        test = pytest.mark.filterwarnings(f"ignore:{warning}")(test)
    return test


def out_and_gradients(call, model, *args):
    """Of a loss that reads whatever is given: logits, and predictions where they are asked for."""
    outs = [out for out in call(*args) if out is not None]
    grads = torch.autograd.grad(sum(out.tanh().sum() for out in outs), model.parameters(), allow_unused=True)
    return [*outs, *grads]


def assert_compiled_equals_the_model(name, monkeypatch, backend):
    """Logits, reconstruction and gradients, in training; of one model with another length, compiled again."""
    if "blocks" in name:
        monkeypatch.setattr(attention_module, "BLOCK", 3)
        monkeypatch.setattr(transformer_module, "BLOCK", 3)
    torch._dynamo.reset()
    model = tiny_model(config(depth=1, **COMPILED[name]), causal=COMPILED[name].get("causal", False)).double().train()
    compiled = torch.compile(model, backend=backend)
    counted = torch._dynamo.utils.counters["frames"]
    counted.clear()
    for length, chosen in product(
        (LENGTH, 4) if name == "plain" else (LENGTH,), (None, KEEP & (torch.arange(LENGTH) % 2 == 1))
    ):
        args = symbols()[:, :length], KEEP[:, :length], None if chosen is None else chosen[:, :length], KEYS
        expected, found = (out_and_gradients(call, model, *args) for call in (model, compiled))
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours is None) == (theirs is None)  # a head that is not asked has no gradient
            if ours is not None:
                torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert counted["ok"] > 0  # it was compiled
    torch._dynamo.reset()


@pytest.mark.whole
@under_compilation
@pytest.mark.parametrize("name", COMPILED)
def test_a_traced_model_is_the_model(name, monkeypatch):
    """All of ``torch.compile`` but the code that is generated."""
    assert_compiled_equals_the_model(name, monkeypatch, "aot_eager")


@pytest.mark.whole
@under_compilation
def test_class_logits_are_one_graph():
    """Nothing in the way to them that a compiler has to step around."""
    torch._dynamo.reset()
    model = tiny_model(config(dropout=0.3, pooling="last")).train()
    found = torch.compile(model, backend="aot_eager", fullgraph=True)(symbols(), KEEP, keys=KEYS).logits
    torch.testing.assert_close(found, model(symbols(), KEEP, keys=KEYS).logits)
    torch._dynamo.reset()


COMPILER = next((c for c in (os.environ.get("CXX"), "g++", "c++", "clang++") if c and shutil.which(c)), None)


@pytest.mark.slow  # half a minute each and more
@pytest.mark.skipif(COMPILER is None, reason="NO C++ COMPILER: torch.compile is not tested beyond tracing")
@under_compilation
@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_model_is_the_model(name, monkeypatch):
    assert_compiled_equals_the_model(name, monkeypatch, "inductor")


# Distributed


DISTRIBUTED = config(dropout=0.3, positions="learned", pooling="cls")
TRAINING = Training(
    task="ragged",
    model=DISTRIBUTED,
    objective="labels",
    plan=PhasePlan(phase="label", steps=1, batch_size=6, lr=1e-2, weight_decay=0.1, evaluate_every=1),
    seed=0,
    clip=0.1,
    precision="float32",
    device="cpu",
    threads=1,
)


def one_step(rows, wrap=lambda model: model):
    """Of training on some of six ragged rows, in double precision: what is left."""
    model = wrap(tiny_model(DISTRIBUTED).double())
    six = ragged_task().train.rows(np.arange(6))
    batch = make_batch(six.rows(np.array(rows)), torch.device("cpu"), seed=TRAINING.seed, step=0, dropout=True)
    state = TrainState(make_optimizers(model, TRAINING.plan))
    loss = update(model, Labels(inputs=spec()), batch, TRAINING, state, model)[0].item()
    named = {name.removeprefix("module."): p for name, p in model.named_parameters()}
    return {
        "loss": loss,
        "positions": batch.x.shape[1],
        "weights": {name: p.detach() for name, p in named.items()},
        "gradients": {name: p.grad for name, p in named.items()},
        "update ratio": state.update_ratio,
    }


HALVES = ([0, 2, 4], [1, 3, 5])


def one_of_two(rank, folder):
    """A process of two."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    result = one_step(HALVES[rank], lambda model: DistributedDataParallel(model, find_unused_parameters=True))
    torch.save(result, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.whole
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="NO GLOO: two processes are not tested")
def test_two_processes_with_half_a_batch_each_equal_one_with_the_whole(tmp_path):
    """Dropout, clipping and weight decay included: nothing depends on how a batch is dealt out."""
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    whole, start = one_step(range(6)), dict(tiny_model(DISTRIBUTED).double().named_parameters())
    assert one["positions"] != two["positions"]  # the halves are padded differently
    assert (one["loss"] + two["loss"]) / 2 == pytest.approx(whole["loss"], rel=1e-12)
    assert one["loss"] != pytest.approx(two["loss"], rel=1e-3)
    norm = sum(float(g.square().sum()) for g in whole["gradients"].values() if g is not None) ** 0.5
    assert norm == pytest.approx(TRAINING.clip, rel=1e-3)  # it was clipped
    for name, weight in whole["weights"].items():
        grad = whole["gradients"][name]
        assert (grad is None) == name.startswith("reconstruction_head")
        for other in (one, two):
            torch.testing.assert_close(other["weights"][name], weight, rtol=1e-9, atol=1e-12)
            if grad is None:
                assert other["gradients"][name] is None
            else:
                torch.testing.assert_close(other["gradients"][name], grad, rtol=1e-9, atol=1e-14)
        assert torch.equal(one["weights"][name], two["weights"][name])
        assert torch.equal(weight, start[name]) == (grad is None)  # a weight without a gradient does not decay
    for other in (one, two):
        assert other["update ratio"] == pytest.approx(whole["update ratio"], rel=1e-9)


# Memory


LONG = 16_384
ONE_LONG_STEP = f"""
import json, resource, sys
import numpy as np, torch
from selfpretrain.config import ModelConfig
from selfpretrain.data.feed import make_batch
from selfpretrain.data.kinds import InputSpec
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.train.objectives import Labels
from selfpretrain.data.task import Split
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.phase import PhasePlan
from selfpretrain.train.training import Training

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

torch.set_num_threads(1)
config = ModelConfig(depth=1, width=64, heads=4, **json.loads(sys.argv[1]))
inputs = InputSpec(kind="symbols", symbols=4, channels=0, length={LONG}, classes=2)
plan = PhasePlan(phase="label", steps=1, batch_size=1, lr=1e-3, weight_decay=0.1, evaluate_every=1)
training = Training(task="long", model=config, objective="labels", plan=plan, seed=0, clip=1.0,
                    precision="float32", device="cpu", threads=1)
start = peak()
model = SequenceModel(config, inputs, generator=torch.Generator().manual_seed(0))
row = np.random.default_rng(0).integers(4, size=(1, {LONG})).astype(np.uint8)
batch = make_batch(Split(row, np.array([{LONG}]), np.array([1])), torch.device("cpu"))
before = model.blocks[0].attention.query.weight.detach().clone()
loss = update(model, Labels(inputs=inputs), batch, training, TrainState(make_optimizers(model, plan)), model)[0].item()
moved = not torch.equal(before, model.blocks[0].attention.query.weight)
print(json.dumps({{"start": start, "peak": peak(), "loss": loss, "moved": moved}}))
"""


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize("settings", ['{"positions": "rotary"}', '{"positions": "alibi"}', '{"causal": true}'])
def test_a_step_on_a_long_sequence_stays_under_three_gigabytes(settings):
    """Scores of all pairs would be 4.3 GB alone, and training holds several of them.

    The shell in between is small: a process's peak begins with that of the one that starts it.
    """
    process = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", ONE_LONG_STEP, settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    print(f"{settings}: {found['start'] / 1e9:.2f} GB before, {found['peak'] / 1e9:.2f} GB at the most")
    assert 0 < found["loss"] < 10 and found["moved"]
    assert found["peak"] < 3e9


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}, {"attention_block": 2}, {"positions": "alibi"}])
def test_recomputed_activations_change_no_number(settings):
    model, batch = tiny_model(replace(TINY_MODEL, depth=2, **settings)), torch.arange(2 * LENGTH).view(2, LENGTH) % 5
    keep, keys = torch.arange(LENGTH) < torch.tensor([[LENGTH], [3]]), torch.tensor([5, 9])
    found = []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        model.train()
        model(batch, keep, keys=keys).logits.square().sum().backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_a_sequence_is_read_alike_beside_a_much_longer_one_under_block_local_attention():
    """Its padding fills whole blocks, which see nothing real."""
    model = tiny_model(replace(TINY_MODEL, depth=2, attention_block=2)).eval()
    alone = torch.tensor([[1, 2, 3]])
    together = torch.zeros(2, LENGTH, dtype=torch.long)
    together[0, :3] = alone
    keep = torch.arange(LENGTH) < torch.tensor([[3], [LENGTH]])
    torch.testing.assert_close(model(together, keep).logits[:1], model(alone).logits, rtol=1e-5, atol=1e-6)
