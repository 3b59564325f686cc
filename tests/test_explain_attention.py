"""Attention as it is measured in a diagnosis, against explicit loops over sequences, heads and queries."""

import math

import numpy as np
import pytest
import torch

from conftest import tiny_config
from selfpretrain.comparison import compare
from selfpretrain.config import DiagnoseConfig, ModelConfig, ObjectiveConfig, TrainConfig
from selfpretrain.diagnosis import attention
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.diagnostics import attention as formulas

MAX_LAG, LENGTH, HEADS, WIDTH = 2, 8, 2, 8
SEQUENCES, MATRICES = 70, 64  # the position part rests on all, score matrices on the first
CASES = {
    "masked, cls": (ModelConfig(pooling="cls", positions="learned"), "masked"),
    "masked, alibi, dropout": (ModelConfig(positions="alibi", dropout=0.1), "masked"),
    "causal": (ModelConfig(), "causal"),
    "causal, alibi": (ModelConfig(positions="alibi", pooling="last"), "causal"),
}


@pytest.fixture(scope="module", params=CASES)
def subject(request, tiny_task, tmp_path_factory):
    model, objective = CASES[request.param]
    settings = {**vars(model), "depth": 2, "width": WIDTH, "heads": HEADS}
    folder = tmp_path_factory.mktemp("attention") / "comparison"
    config = tiny_config(
        model=ModelConfig(**settings),
        objective=ObjectiveConfig(objective=objective),
        train=TrainConfig(lr=(1e-2,), snapshots=1),
        arms=("scratch", "spt"),
        seeds=1,
    )
    compare(tiny_task, config, out=folder)
    return Subject(folder, DiagnoseConfig(probe=20, sequences=SEQUENCES, max_lag=MAX_LAG, grid=(2, 4)))


@pytest.fixture(scope="module")
def measured(subject):
    """Rows by name, and the model, for every run and stage."""
    found = []
    for run in subject.runs:
        rows = [m.plain() for m in attention.measure(subject, run)]
        for stage in subject.stages(run):
            of_stage = {row["name"]: row for row in rows if (row["stage"], row["step"]) == (stage.name, stage.step)}
            found.append((of_stage, look(subject.model(run, stage), subject.sample.batch.x)))
        assert {row["arm"] for row in rows} == {run.config.arm}
    assert len(found) == 4  # one start, two ends, and what self-pretraining left
    return found


def look(model, x):
    """Of every layer, without cls: queries and keys (N, heads, n, K), hidden states (N, n, D); and what else counts."""
    model.eval()
    seen = {}
    for layer, block in enumerate(model.blocks):
        for name, module in (("q", block.attention.query), ("k", block.attention.key), ("hidden", block)):
            module.register_forward_hook(lambda _, __, out, key=(layer, name): seen.update({key: out[:, -LENGTH:]}))
    with torch.no_grad():
        model.encode(x, None)
    layers = [
        {
            "q": seen[layer, "q"].unflatten(2, (HEADS, -1)).transpose(1, 2).double().numpy(),
            "k": seen[layer, "k"].unflatten(2, (HEADS, -1)).transpose(1, 2).double().numpy(),
            "hidden": seen[layer, "hidden"].double().numpy(),
        }
        for layer in range(len(model.blocks))
    ]
    alibi = model.config.positions == "alibi"
    slopes = [2.0 ** (-8 * (head + 1) / HEADS) if alibi else 0.0 for head in range(HEADS)]
    return {"layers": layers, "slopes": slopes, "causal": model.causal}


def keys_of(query, looked):
    """The keys that a query may look at."""
    return range(query + 1 if looked["causal"] else LENGTH)


def visible(looked):
    return torch.tensor([[key in keys_of(query, looked) for key in range(LENGTH)] for query in range(LENGTH)])


def scores_of(layer, looked):
    """(64, heads, n, n), every pair by itself."""
    scores = np.zeros((MATRICES, HEADS, LENGTH, LENGTH))
    for head, slope in enumerate(looked["slopes"]):
        for i in range(LENGTH):
            for j in range(LENGTH):
                product = (layer["q"][:MATRICES, head, i] * layer["k"][:MATRICES, head, j]).sum(-1)
                scores[:, head, i, j] = product / math.sqrt(WIDTH / HEADS) - slope * abs(i - j)
    return scores


def position_scores_of(layer):
    """(heads, n, n): mean query with mean key."""
    q, k = layer["q"].mean(0), layer["k"].mean(0)
    return np.stack([q[head] @ k[head].T for head in range(HEADS)]) / math.sqrt(WIDTH / HEADS)


def attention_of(scores, looked):
    """Softmax over what a query may look at; 0 elsewhere."""
    attn = np.zeros_like(scores)
    for i in range(LENGTH):
        keys = list(keys_of(i, looked))
        weights = np.exp(scores[..., i, keys])
        attn[..., i, keys] = weights / weights.sum(-1, keepdims=True)
    return attn


def centred(scores, looked):
    out = np.zeros_like(scores)
    for i in range(LENGTH):
        keys = list(keys_of(i, looked))
        out[..., i, keys] = scores[..., i, keys] - scores[..., i, keys].mean(-1, keepdims=True)
    return out


def pairs(looked):
    return sum(len(keys_of(i, looked)) for i in range(LENGTH))


def near_mass(attn):
    total = sum(attn[..., i, j] for i in range(LENGTH) for j in range(LENGTH) if abs(i - j) <= MAX_LAG)
    return total / LENGTH


def uniform(looked):
    return np.array(
        [[(j in keys_of(i, looked)) / len(keys_of(i, looked)) for j in range(LENGTH)] for i in range(LENGTH)]
    )


def check(measured, name, expected_of, n=MATRICES):
    for rows, looked in measured:
        row = rows[name]
        expected = np.stack([expected_of(layer, looked) for layer in looked["layers"]])
        assert row["n"] == n
        assert row["shape"] == list(expected.shape)
        np.testing.assert_allclose(np.array(row["values"], dtype=float), expected, rtol=1e-4, atol=1e-6)


def test_scores_have_their_scale_and_their_fixed_bias(measured):
    def rms(layer, looked):
        square = centred(scores_of(layer, looked), looked) ** 2
        return np.sqrt(square.sum((-2, -1)) / pairs(looked)).mean(0)

    check(measured, "score_rms", rms)


def test_profiles_of_scores_and_attention_rest_on_what_is_seen(measured):
    def profile(matrices, looked):
        lags = range(-(LENGTH - 1), LENGTH)
        of = {lag: [i for i in range(LENGTH) if i + lag >= 0 and i + lag in keys_of(i, looked)] for lag in lags}
        unseen = np.full(matrices.shape[:-2], np.nan)  # 0 would say that somebody looks there
        columns = [np.mean([matrices[..., i, i + lag] for i in of[lag]], 0) if of[lag] else unseen for lag in lags]
        return np.stack(columns, -1)

    def of_scores(layer, looked):
        return profile(centred(scores_of(layer, looked), looked), looked).mean(0)

    def of_attention(layer, looked):
        return profile(attention_of(scores_of(layer, looked), looked), looked).mean(0)

    def of_positions(layer, looked):
        return profile(centred(position_scores_of(layer), looked), looked)

    check(measured, "score_profile", of_scores)
    check(measured, "attention_profile", of_attention)
    check(measured, "position_profile", of_positions, n=SEQUENCES)


def test_entropy_is_relative_to_that_of_looking_equally_at_all_that_is_seen(measured):
    def entropy(layer, looked):
        attn = attention_of(scores_of(layer, looked), looked)
        nats = -(attn * np.log(np.where(attn > 0, attn, 1.0))).sum(-1).mean((0, 2))
        return nats / np.mean([math.log(len(keys_of(i, looked))) for i in range(LENGTH)])

    check(measured, "entropy_relative", entropy)


def test_near_mass_is_relative_to_that_of_looking_equally_at_all_that_is_seen(measured):
    def of_attention(layer, looked):
        return near_mass(attention_of(scores_of(layer, looked), looked)).mean(0) / near_mass(uniform(looked))

    def of_positions(layer, looked):  # what was learnt: without the fixed bias
        return near_mass(attention_of(position_scores_of(layer), looked)) / near_mass(uniform(looked))

    check(measured, "near_mass_relative", of_attention)
    check(measured, "position_near_mass_relative", of_positions, n=SEQUENCES)


@pytest.mark.parametrize("name", ["attention_distance", "attention_distance_2d"])
def test_distances_are_between_positions_or_pixels(name, measured):
    def apart(i, j):
        return abs(i - j) if name == "attention_distance" else math.hypot(i // 4 - j // 4, i % 4 - j % 4)

    def distance(attn):
        return sum(attn[..., i, j] * apart(i, j) for i in range(LENGTH) for j in range(LENGTH)) / LENGTH

    def absolute(layer, looked):
        return distance(attention_of(scores_of(layer, looked), looked)).mean(0)

    check(measured, name, absolute)
    check(measured, f"{name}_relative", lambda layer, looked: absolute(layer, looked) / distance(uniform(looked)))


def test_maps_are_relative_to_looking_equally_and_empty_where_nothing_is_seen(measured):
    def of_attention(layer, looked):
        mean = attention_of(scores_of(layer, looked), looked).mean(0)
        return np.where(visible(looked), mean / np.where(visible(looked), uniform(looked), 1.0), np.nan)

    check(measured, "attention_map", of_attention)
    for rows, looked in measured:
        empty = [[[value is None for value in row] for row in head] for head in rows["attention_map"]["values"][0]]
        assert empty == [(~visible(looked)).tolist()] * HEADS


def test_energy_is_shared_between_positions_and_content(measured):
    def shares(layer, looked):
        q, k = layer["q"], layer["k"]
        q_mean, k_mean = np.broadcast_to(q.mean(0), q.shape), np.broadcast_to(k.mean(0), k.shape)

        def energy(left, right):
            total = np.zeros(HEADS)
            for sequence in range(SEQUENCES):
                for head in range(HEADS):
                    product = left[sequence, head] @ right[sequence, head].T
                    total[head] += (centred(product, looked) ** 2).sum()
            return total

        parts = [(q_mean, k_mean), (q_mean, k - k_mean), (q - q_mean, k_mean), (q - q_mean, k - k_mean)]
        return np.stack([energy(*part) for part in parts]) / energy(q, k)

    check(measured, "energy_share", shares, n=SEQUENCES)


def test_position_scores_are_those_of_mean_queries_and_keys(measured):
    def scores(layer, looked):
        return centred(position_scores_of(layer), looked)

    def rms(layer, looked):
        return np.sqrt((scores(layer, looked) ** 2).sum((-2, -1)) / pairs(looked))

    check(measured, "position_scores", scores, n=SEQUENCES)
    check(measured, "position_score_rms", rms, n=SEQUENCES)


def test_slopes_and_bands_are_of_the_scores_that_are_named(measured):
    def mean_over_matrices(formula):
        return lambda layer, looked: formula(torch.tensor(scores_of(layer, looked)), looked).mean(0)

    def of_positions(formula):
        return lambda layer, looked: formula(torch.tensor(position_scores_of(layer)), looked)

    def slope(scores, looked):
        return formulas.proximity_slope(scores, visible(looked))

    def r2(scores, looked):
        return formulas.toeplitz_r2(scores, visible=visible(looked))

    check(measured, "score_slope", mean_over_matrices(slope))
    check(measured, "score_toeplitz_r2", mean_over_matrices(r2))
    check(measured, "position_slope", of_positions(slope), n=SEQUENCES)
    check(measured, "position_toeplitz_r2", of_positions(r2), n=SEQUENCES)


def test_the_positions_share_comes_from_two_halves_of_all_sequences(measured):
    def share(layer, looked):
        return formulas.position_share(torch.tensor(layer["q"]), torch.tensor(layer["k"]), visible(looked))

    check(measured, "position_share", share, n=SEQUENCES)


def test_heads_are_compared_by_what_they_look_at(measured):
    def divergence(layer, looked):
        attn = torch.tensor(attention_of(scores_of(layer, looked), looked))
        return formulas.head_divergence(attn).mean(0)

    check(measured, "head_divergence", divergence)


def test_hidden_states_are_those_after_each_block(measured):
    def residual(layer, looked):
        hidden = layer["hidden"][:MATRICES]
        rest = hidden - hidden.mean(1, keepdims=True)
        return np.mean([np.linalg.norm(r) / np.linalg.norm(h) for r, h in zip(rest, hidden, strict=True)])

    check(measured, "rank_residual", residual)
