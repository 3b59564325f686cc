"""Attention as it is measured in a diagnosis: the right weights, sequences, layers, heads and normalisation.

The formulas are tested in test_diagnostics_attention.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import TINY_DIAGNOSIS
from selfpretrain.config import ModelConfig
from selfpretrain.diagnostics import attention as formulas
from selfpretrain.explain import attention as module
from selfpretrain.explain import sample as samples
from selfpretrain.explain.table import pick
from selfpretrain.model.transformer import SequenceModel
from stand_in import measured, numbers, stand_in

MAX_LAG, LENGTH, HEADS, WIDTH = 2, 8, 2, 12
SEQUENCES, MATRICES = 70, 62  # the position part rests on all, score matrices on the first
CONFIG = replace(TINY_DIAGNOSIS, large_sample=SEQUENCES, max_lag=MAX_LAG, grid=(2, 4))
CASES = {
    "masked, cls": ModelConfig(pooling="cls", positions="learned"),
    "masked, alibi, dropout": ModelConfig(positions="alibi", dropout=0.1),
    "causal": ModelConfig(causal=True),
    "causal, alibi": ModelConfig(positions="alibi", pooling="last", causal=True),
}


@pytest.fixture(scope="module", params=CASES)
def subject(request, finished):
    return stand_in(finished, CONFIG, replace(CASES[request.param], depth=2, width=WIDTH, heads=HEADS))


@pytest.fixture(scope="module", autouse=True)
def fewer_matrices():
    """No power of two: of chunks the last is smaller."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MATRICES", MATRICES)
        yield


@pytest.fixture(scope="module")
def table(subject):
    return measured(subject, "attention")


@torch.no_grad()
def looked_at(model, x):
    """Of every layer, without cls: queries and keys (N, heads, n, K) and hidden states (N, n, D)."""
    seen = {}
    for layer, block in enumerate(model.blocks):
        for name, part in (("q", block.attention.query), ("k", block.attention.key), ("hidden", block)):
            part.register_forward_hook(lambda _, __, out, key=(layer, name): seen.update({key: out[:, -LENGTH:]}))
    model.eval().encode(x, None)
    for layer in range(len(model.blocks)):
        q, k = (seen[layer, name].unflatten(2, (HEADS, -1)).transpose(1, 2).double() for name in "qk")
        yield q, k, seen[layer, "hidden"].double()


def expected_of(q, k, hidden, model):
    """Every measurement of one layer, from what its heads ask and answer."""
    i = torch.arange(LENGTH)
    visible = (i <= i[:, None]) if model.config.causal else torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    uniform = visible / visible.sum(1, keepdim=True).double()
    slopes = torch.tensor([2.0 ** (-8 * (head + 1) / HEADS) for head in range(HEADS)], dtype=torch.float64)
    alibi = -slopes[:, None, None] * (i - i[:, None]).abs() * (model.config.positions == "alibi")
    scores = q[:MATRICES] @ k[:MATRICES].transpose(-1, -2) / math.sqrt(WIDTH / HEADS) + alibi
    # What has been learnt of positions: mean queries with mean keys, and no bias that was fixed.
    position = q.mean(0) @ k.mean(0).transpose(-1, -2) / math.sqrt(WIDTH / HEADS)
    attn, by_position = (s.masked_fill(~visible, -torch.inf).softmax(-1) for s in (scores, position))
    sees = torch.arange(-LENGTH + 1, LENGTH) <= (0 if model.config.causal else LENGTH)

    def profile(values):  # 0 would say that somebody looks there
        return values.masked_fill(~sees, torch.nan)

    def rms(s):
        return (formulas.row_centred(s, visible).square().sum((-2, -1)) / visible.sum()).sqrt()

    def near(a):
        return formulas.window_mass(a, MAX_LAG)

    lines, pixels = formulas.position_distance(LENGTH), formulas.grid_distance(2, 4)
    shares = formulas.score_decomposition(q, k, visible).shares
    return {
        **{f"energy_{name.replace('-', '_')}": share for name, share in shares.items()},
        "position_share": formulas.position_share(q, k, visible),
        "position_scores": formulas.row_centred(position, visible),
        "position_toeplitz_r2": formulas.toeplitz_r2(position, visible=visible),
        "position_slope": formulas.proximity_slope(position, visible),
        "position_profile": profile(formulas.lag_profile(position, visible)),
        "position_score_rms": rms(position),
        "position_window_mass_relative": near(by_position) / near(uniform),
        "score_rms": rms(scores).mean(0),
        "score_profile": profile(formulas.lag_profile(scores, visible).mean(0)),
        "score_slope": formulas.proximity_slope(scores, visible).mean(0),
        "score_toeplitz_r2": formulas.toeplitz_r2(scores, visible=visible).mean(0),
        "attention_profile": profile(formulas.band_means(attn, visible).mean(0)),
        "attention_map": (attn.mean(0) / uniform).masked_fill(~visible, torch.nan),
        "entropy_relative": formulas.attention_entropy(attn).mean((0, 2)) / formulas.attention_entropy(uniform).mean(),
        "window_mass_relative": near(attn).mean(0) / near(uniform),
        "head_divergence": formulas.head_divergence(attn).mean(),
        "rank_collapse": formulas.rank_collapse(hidden[:MATRICES]).mean(),
        "attention_distance": formulas.attention_distance(attn, lines).mean(0),
        "attention_distance_2d": formulas.attention_distance(attn, pixels).mean(0),
        "attention_distance_relative": formulas.attention_distance(attn, lines).mean(0)
        / formulas.attention_distance(uniform, lines),
        "attention_distance_2d_relative": formulas.attention_distance(attn, pixels).mean(0)
        / formulas.attention_distance(uniform, pixels),
    }


AXES = {
    **dict.fromkeys(("position_profile", "score_profile", "attention_profile"), ("layer", "head", "lag")),
    **dict.fromkeys(("position_scores", "attention_map"), ("layer", "head", "x", "y")),
    **dict.fromkeys(("head_divergence", "rank_collapse"), ("layer",)),
}


def arrays(table):
    """By model and name, over layers and whatever else there is."""
    return {
        (key, name): numbers(rows, name, *AXES.get(name, ("layer", "head")))
        for key, rows in table.groupby(["arm", "stage", "step"])
        for name in rows["name"].unique()
    }


def assert_close(arrays, expected):
    assert arrays.keys() == expected.keys()
    for key, values in arrays.items():
        np.testing.assert_allclose(values, expected[key], rtol=1e-4, atol=1e-6, err_msg=str(key))


def test_everything_is_that_of_the_stages_weights_layer_by_layer(subject, table):
    expected = {}
    for run in subject.runs:
        for stage in subject.stages(run):
            model = subject.model(run, stage)
            layers = [expected_of(*one, model) for one in looked_at(model, subject.large_sample.batch.x)]
            expected |= {
                ((run.arm, stage.name, stage.step), name): np.stack([layer[name].numpy() for layer in layers])
                for name in layers[0]
            }
    assert len({model for model, _ in expected}) == 4  # one start, two ends, and what self-pretraining left
    assert_close(arrays(table), expected)
    of_all = table["name"].str.startswith(("energy", "position"))
    assert (table["n"] == np.where(of_all, SEQUENCES, MATRICES)).all()
    for name in ("position_profile", "score_profile", "attention_profile"):
        assert set(pick(table, name)["lag"]) == set(range(1 - LENGTH, LENGTH))


def test_maps_are_of_the_pictured_seed_alone(explained):
    table = explained[1].table
    attention = table[table["section"] == "attention"]
    maps = attention[attention["x"].notna()]
    assert set(maps["name"]) == {"position_scores", "attention_map"}
    assert (set(maps["seed"]), set(attention["seed"])) == ({0}, {0, 1, 2})


def test_one_look_at_the_sequences_serves_all_layers(subject, monkeypatch):
    looked, encode = [], SequenceModel.encode
    monkeypatch.setattr(
        SequenceModel, "encode", lambda model, x, *rest: (looked.append(len(x)), encode(model, x, *rest))[1]
    )
    measured(subject, "attention")
    # Queries and keys of all sequences, the states of those with matrices, and a bias of one.
    assert sorted(n for n in looked if n > 1) == [MATRICES] * 4 + [SEQUENCES] * 4


def test_sequences_taken_a_few_at_a_time_give_the_same(subject, table, monkeypatch):
    monkeypatch.setattr(samples, "SCORE_BYTES", 5 * 4 * HEADS * LENGTH**2)  # four: the power of two below five
    assert_close(arrays(measured(subject, "attention")), arrays(table))


def test_of_long_sequences_profiles_keep_the_middle_and_maps_are_averaged(subject, table, monkeypatch):
    whole = arrays(table)
    monkeypatch.setattr(module, "LONGEST_LAG", 3)
    monkeypatch.setattr(module, "MAP_SIZE", 4)
    shorter = measured(subject, "attention")
    for (model, name), values in arrays(shorter).items():
        if name.endswith("_profile"):
            np.testing.assert_array_equal(values, whole[model, name][..., LENGTH - 4 : LENGTH + 3])
            assert set(pick(shorter, name)["lag"]) == set(range(-3, 4))
        if name == "position_scores":
            blocks = whole[model, name].reshape(2, HEADS, 4, 2, 4, 2).mean((3, 5))
            np.testing.assert_allclose(values, blocks, rtol=1e-4, atol=1e-6)
        if name == "attention_map":
            assert values.shape == (2, HEADS, 4, 4)
