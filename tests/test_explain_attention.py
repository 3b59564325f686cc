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
from selfpretrain.explain.attention import measure
from selfpretrain.model.transformer import SequenceModel
from stand_in import stand_in

MAX_LAG, LENGTH, HEADS, WIDTH = 2, 8, 2, 12
SEQUENCES, MATRICES = 70, 64  # the position part rests on all, score matrices on the first
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


def measured(subject):
    """Rows by name, for every run and stage."""
    found = {}
    for run in subject.runs:
        for row in measure(subject, (run.name,)):
            of_stage = found.setdefault((row.arm, row.stage, row.step), {})
            assert row.name not in of_stage
            of_stage[row.name] = row.plain()
    return found


@torch.no_grad()
def looked_at(model, x):
    """Of every layer, without cls: queries and keys (N, heads, n, K) and hidden states (N, n, D)."""
    seen = {}
    for layer, block in enumerate(model.blocks):
        for name, part in (("q", block.attention.query), ("k", block.attention.key), ("hidden", block)):
            part.register_forward_hook(lambda _, __, out, key=(layer, name): seen.update({key: out[:, -LENGTH:]}))
    model.eval()(x, None)
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
    return {
        "energy_share": torch.stack(list(formulas.score_decomposition(q, k, visible).shares.values())),
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


def test_everything_is_that_of_the_stages_weights_layer_by_layer(subject):
    found, checked = measured(subject), 0
    for run in subject.runs:
        for stage in subject.stages(run):
            rows, model = found[run.arm, stage.name, stage.step], subject.model(run, stage)
            layers = [expected_of(*one, model) for one in looked_at(model, subject.large_sample.batch.x)]
            assert rows.keys() == layers[0].keys()
            for name, row in rows.items():
                expected = np.stack([layer[name].numpy() for layer in layers])
                assert row["shape"] == list(expected.shape), name
                values = np.array(row["values"], dtype=float)
                np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6, err_msg=f"{stage} {name}")
                assert row["n"] == (SEQUENCES if name.startswith(("energy", "position")) else MATRICES)
            checked += 1
    assert checked == len(found) == 4  # one start, two ends, and what self-pretraining left


def test_one_look_at_the_sequences_serves_all_layers(subject, monkeypatch):
    looked, forward = [], SequenceModel.forward
    monkeypatch.setattr(SequenceModel, "forward", lambda *given: (looked.append(1), forward(*given))[1])
    assert len(measured(subject)) == 4
    assert len(looked) == 4 * 2  # queries and keys of all sequences, and the states of those with matrices


def test_sequences_taken_a_few_at_a_time_give_the_same(subject, monkeypatch):
    monkeypatch.setattr(module, "MATRICES", MATRICES - 2)  # the last two are fewer than those before
    whole = measured(subject)
    monkeypatch.setattr(samples, "SCORE_BYTES", 5 * 4 * HEADS * LENGTH**2)  # four: the power of two below five
    for place, rows in measured(subject).items():
        for name, row in rows.items():
            values, expected = (np.array(r["values"], dtype=float) for r in (row, whole[place][name]))
            np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_of_long_sequences_profiles_keep_the_middle_and_maps_are_averaged(subject, monkeypatch):
    whole = measured(subject)
    monkeypatch.setattr(module, "LONGEST_LAG", 3)
    monkeypatch.setattr(module, "MAP_SIZE", 4)
    for place, rows in measured(subject).items():
        full = {name: np.array(row["values"], dtype=float) for name, row in whole[place].items()}
        for name in ("position_profile", "score_profile", "attention_profile"):
            expected = full[name][..., LENGTH - 4 : LENGTH + 3]
            np.testing.assert_array_equal(np.array(rows[name]["values"], dtype=float), expected)
        blocks = full["position_scores"].reshape(2, HEADS, 4, 2, 4, 2).mean((3, 5))
        np.testing.assert_allclose(rows["position_scores"]["values"], blocks, rtol=1e-4, atol=1e-6)
        assert np.shape(rows["attention_map"]["values"]) == (2, HEADS, 4, 4)
