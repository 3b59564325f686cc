"""Hidden states are read where they should be, probes meet sequences they have not seen, changes start at the start."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import TINY_DIAGNOSIS
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics.representation import cka, linear_probe
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import pick
from selfpretrain.model.mask import Mask
from selfpretrain.registry import SECTIONS
from stand_in import measured, numbers, stand_in, telling_task

HEADS, SIZE = 2, 6
# One start serves both arms.
STAGES = [("scratch", "start"), ("scratch", "after-label"), ("spt", "after-pretrain"), ("spt", "after-label")]
CHANGED = STAGES[1:]


@pytest.fixture(scope="module")
def subject(finished):
    """Two layers and a cls position in front; the width of a head differs from the number of heads."""
    model = ModelConfig(width=HEADS * SIZE, heads=HEADS, depth=2, pooling="cls")
    return stand_in(finished, replace(TINY_DIAGNOSIS, large_sample=60), model, telling_task())


@pytest.fixture(scope="module")
def table(subject):
    return measured(subject, "representation")


def model_of(subject, arm, stage):
    run = subject.run(arm, 0)
    return subject.model(run, next(s for s in run.stages if s.name == stage)).eval()


@torch.no_grad()
def features(model, sample):
    """After every block, before the final norm, over the positions of the sequence alone."""
    h = model.embedding(sample.batch.x)
    h = torch.cat((model.cls.expand(len(h), 1, -1), h), 1) + model.positions
    kept = []
    for block in model.blocks:
        h = block(h, Mask(), None)
        kept.append(h[:, 1:].mean(1))
    return kept


def changes(model, start):
    """The weights of a group as one vector, now and at the start."""
    now, before = (dict(m.named_parameters()) for m in (model, start))
    parts = {
        "embedding": ("embedding", "cls"),
        "feedforward": ("feedforward_in", "feedforward_out"),
        "norms": ("attention_norm", "feedforward_norm", "final_norm"),
    }
    return {
        group: [
            torch.cat([w.detach().flatten() for name, w in weights.items() if set(name.split(".")) & set(modules)])
            for weights in (now, before)
        ]
        for group, modules in parts.items()
    }


@torch.no_grad()
def products(model, group):
    """What a head does to its input, (layers, heads, D, D): scores by ``x M x'``, output ``M x``."""
    found = []
    for block in model.blocks:
        a = block.attention
        for head in range(HEADS):
            mine = slice(head * SIZE, (head + 1) * SIZE)
            if group == "query-key":
                found.append(a.query.weight[mine].T @ a.key.weight[mine])
            else:
                found.append(a.output.weight[:, mine] @ a.value.weight[mine])
    width = HEADS * SIZE
    return torch.stack(found).reshape(len(model.blocks), HEADS, width, width).double()


def relative(now, before):
    return ((now - before).double().norm() / before.double().norm()).item()


@pytest.mark.parametrize(("arm", "stage"), STAGES)
def test_a_probe_is_fitted_to_training_and_scored_on_validation_sequences(arm, stage, subject, table):
    model, fitted, held_out = model_of(subject, arm, stage), subject.large_sample, subject.held_out()
    train, val = features(model, fitted), features(model, held_out)
    y, held_y = fitted.batch.y.numpy(), held_out.batch.y.numpy()
    expected = [linear_probe(a.numpy(), y, b.numpy(), held_y) for a, b in zip(train, val, strict=True)]
    accuracies = numbers(table, "linear_probe", "layer", arm=arm, stage=stage, n=30)
    assert (accuracies.tolist(), len(fitted)) == (expected, 60)
    # Known answer: what holds in training is wrong in validation.
    assert accuracies.max() < 0.2
    assert all(linear_probe(a.numpy(), y, a.numpy(), y) > 0.7 for a in train)


def test_only_stages_that_differ_from_the_start_have_changed(table):
    for name, stages in (("weight_change", CHANGED), ("change_rank", CHANGED), ("linear_probe", STAGES)):
        assert set(pick(table, name).groupby(["arm", "stage"]).groups) == set(stages)


@pytest.mark.parametrize(("arm", "stage"), CHANGED)
def test_weights_have_changed_since_the_start(arm, stage, subject, table):
    model, start = model_of(subject, arm, stage), model_of(subject, arm, "start")
    expected = {group: relative(*pair) for group, pair in changes(model, start).items()}
    for group in ("query-key", "value-output"):
        expected[group] = relative(products(model, group), products(start, group))
    by_group = pick(table, "weight_change", arm=arm, stage=stage).set_index("group")["value"].to_dict()
    assert by_group == pytest.approx(expected, rel=1e-4)
    if (arm, stage) == ("spt", "after-label"):
        since = changes(model, model_of(subject, arm, "after-pretrain"))
        assert all(abs(relative(*pair) / expected[group] - 1) > 0.01 for group, pair in since.items())


@pytest.mark.parametrize("group", ["query-key", "value-output"])
@pytest.mark.parametrize(("arm", "stage"), CHANGED)
def test_the_rank_of_a_change_is_that_of_the_heads_product(arm, stage, group, subject, table):
    change = products(model_of(subject, arm, stage), group) - products(model_of(subject, arm, "start"), group)
    shares = torch.linalg.svdvals(change)
    shares = shares / shares.sum(-1, keepdim=True)
    expected = torch.special.entr(shares).sum(-1).exp()
    ranks = numbers(table, "change_rank", "layer", "head", arm=arm, stage=stage, group=group)
    np.testing.assert_allclose(ranks, expected, rtol=1e-4)


@pytest.mark.parametrize(("arm", "stage"), STAGES)
def test_the_symmetry_is_that_of_the_product_that_scores_see(arm, stage, subject, table):
    product = products(model_of(subject, arm, stage), "query-key")
    s, a = (product + product.mT) / 2, (product - product.mT) / 2
    expected = (s.square() - a.square()).sum((-2, -1)) / product.square().sum((-2, -1))
    symmetries = numbers(table, "query_key_symmetry", "layer", "head", arm=arm, stage=stage)
    np.testing.assert_allclose(symmetries, expected, rtol=1e-4, atol=1e-6)


def test_a_functions_rotation_is_no_change(subject, monkeypatch):
    """Known answer: a head's queries and keys turned together, its values and outputs too, is the same function."""
    run, made = subject.run("scratch", 0), subject.model
    generator = torch.Generator().manual_seed(0)
    turns = [torch.linalg.qr(torch.randn(SIZE, SIZE, generator=generator))[0] for _ in range(4 * HEADS)]

    @torch.no_grad()
    def turned_start(run, stage):
        model, here = made(run, run.stages[0]), iter(turns)
        if stage.name != "start":
            for block in model.blocks:
                a = block.attention
                for head in range(HEADS):
                    mine, ask, give = slice(head * SIZE, (head + 1) * SIZE), next(here), next(here)
                    a.query.weight[mine], a.key.weight[mine] = ask @ a.query.weight[mine], ask @ a.key.weight[mine]
                    a.value.weight[mine] = give @ a.value.weight[mine]
                    a.output.weight[:, mine] = a.output.weight[:, mine] @ give.T
        return model

    monkeypatch.setattr(subject, "model", turned_start)
    changes = pick(measured(subject, "representation", (run.name,)), "weight_change")
    assert list(changes["group"]) == ["query-key", "value-output", "embedding", "feedforward", "norms"]
    assert changes["value"].max() < 1e-6


def test_similarity_is_that_of_the_two_it_is_named_for_layer_by_layer(subject, table):
    held_out, pairs = subject.held_out(), list(itertools.combinations(STAGES, 2))
    ends = ["arm", "stage", "other_arm", "other_stage"]
    assert list(pick(table, "cka").groupby(ends, sort=False).groups) == [(*a, *b) for a, b in pairs]
    for a, b in pairs:
        where = dict(zip(ends, (*a, *b), strict=True))
        values = numbers(table, "cka", "layer", "other_layer", **where, seed=0, n=30)
        left, right = (features(model_of(subject, *one), held_out) for one in (a, b))
        expected = np.array([[cka(x, y) for y in right] for x in left])
        np.testing.assert_allclose(values, expected, rtol=1e-4)
        assert abs(expected[0, 1] - expected[1, 0]) > 1e-3  # or the two could change places unseen


def test_similarity_is_read_from_validation_sequences(subject, monkeypatch):
    """Other training sequences change nothing about it."""

    def similarity():
        return pick(measured(subject, "representation", ("scratch-seed0",)), "cka")

    before, sample = similarity(), subject.large_sample
    other = replace(sample, batch=replace(sample.batch, x=sample.batch.x * 0))
    monkeypatch.setitem(subject.__dict__, "large_sample", other)
    assert similarity().equals(before) and len(before)


def test_a_job_is_of_all_runs_of_a_seed(finished):
    arms = ("scratch", "spt", "mimetic")
    jobs = SECTIONS["representation"].parts(Subject(finished, TINY_DIAGNOSIS))
    assert jobs == [tuple(f"{arm}-seed{seed}" for arm in arms) for seed in range(3)]
