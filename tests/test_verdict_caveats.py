"""What should be known before an answer is believed: each said where it is planted, and not where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from selfpretrain.results import RunResult
from selfpretrain.verdict.caveats import (
    caveats,
    learnt_nothing,
    observations,
    seeds_needed,
    still_improving,
)
from selfpretrain.verdict.claims import ALPHA, claim
from selfpretrain.verdict.contrast import contrast_of
from test_verdict import LABEL, losses, planted, planted_runs


def said(results, hits, curves=None, kind="symbols"):
    """Codes of the caveats, with their sentences."""
    contrasts = claim([contrast_of("spt", LABEL, results, hits)])
    found = caveats(contrasts, results, hits, curves or {}, kind=kind, level=ALPHA)
    return {caveat.code: caveat.text for caveat in found}


def curve(*accuracies, val=0.5):
    return [{"train_sample_acc": acc, "val_acc": val} for acc in accuracies]


@pytest.mark.parametrize(
    ("loss", "nothing"), [((1.98, 1.97, 1.99), True), ((1.8, 1.81, 1.79), False), ((1.2, 2.0, 1.9), True)]
)
def test_learnt_is_reliably_below_what_needs_no_context(loss, nothing):
    """The last is below on average, but not reliably."""
    runs = [
        RunResult(arm="spt", seed=seed, val_reconstruction=each, val_without_context=2.0)
        for seed, each in enumerate(loss)
    ]
    assert learnt_nothing(runs) == nothing
    assert not learnt_nothing([replace(run, val_reconstruction=None) for run in runs])
    assert learnt_nothing(runs[:1]) == (loss[0] > 1.96)


def test_both_losses_are_said_in_the_kinds_words():
    results, hits = planted_runs(0.0, 0.0)
    results["spt"] = losses(results["spt"], 2.85, 2.883)
    text = said(results, hits)["pretraining-learnt-nothing"]
    assert "Self-pretraining has learnt no more than frequencies (2.850 against 2.883 nats)" in text
    assert "nats" not in said(results, hits, kind="values")["pretraining-learnt-nothing"]


def test_still_improving_is_a_rise_of_a_point_that_seeds_agree_on():
    rising = [curve(*np.linspace(0.5, 0.7, 9) + shift) for shift in (0.0, 0.01, 0.02)]
    flat = [curve(0.3, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7)] * 3
    slow = [curve(*np.linspace(0.5, 0.515, 9))] * 3
    noisy = [curve(*np.linspace(0.5, 0.5 + rise, 9)) for rise in (0.3, -0.2, 0.05)]
    assert [still_improving(curves) for curves in (rising, flat, slow, noisy)] == [True, False, False, False]
    assert not still_improving(rising[:1])  # one seed shows no agreement
    assert not still_improving([])
    validation = [
        [{"train_sample_acc": 1.0, "val_acc": v} for v in np.linspace(0.5, 0.7, 9) + shift] for shift in (0, 0.01)
    ]
    assert still_improving(validation)
    results, hits = planted_runs(0.3, 0.3)
    text = said(results, hits, {"scratch": rising, "spt": rising, "joint": flat})["still-improving"]
    assert text.startswith("scratch and spt were still improving")
    assert "still-improving" not in said(results, hits, {"scratch": flat})


def test_nothing_to_gain_is_an_arm_at_the_ceiling():
    results, hits = planted_runs(0.0, 0.0)
    top = {arm: [np.arange(400) > 1 for _ in range(5)] for arm in hits}
    fitted, unfit = (
        {arm: [replace(run, best_train_acc=acc) for run in runs] for arm, runs in results.items()} for acc in (1.0, 0.9)
    )
    assert "scratch alone scores 99.5%" in said(fitted, top)["nothing-to-gain"]
    assert "nothing-to-gain" not in said(fitted, hits)
    assert "nothing-to-gain" not in said(unfit, top)


def test_what_could_have_been_missed_is_half_the_interval():
    results, hits = planted_runs(0.0, 0.0, seed=2, n_seeds=3)
    contrast = contrast_of("spt", LABEL, results, hits)
    half = (contrast.test.high - contrast.test.low) / 2
    text = said(results, hits)["could-not-see"]
    assert f"With 3 seeds and 400 test sequences a difference of {100 * half:.1f} points could have been missed" in text
    assert "could-not-see" not in said(*planted_runs(0.4, 0.4))


def leading(n_seeds=3, n=2000):
    """Ahead in every seed, by very different amounts: 14, 13 and 4 points."""
    chance = np.random.default_rng(1)
    base = chance.random((n_seeds, n)) < 0.5
    ahead = base.copy()
    for row, lead in zip(ahead, (0.14, 0.13, 0.04), strict=True):
        row[np.flatnonzero(~row)[: round(lead * n)]] = True
    runs = [RunResult(arm="x", seed=seed, best_train_acc=0.5) for seed in range(n_seeds)]
    return {"spt": runs, "scratch": runs}, {"spt": list(ahead), "scratch": list(base)}


def test_ahead_in_every_seed_says_so_and_how_many_seeds_would_do():
    results, hits = leading()
    contrast = claim([contrast_of("spt", LABEL, results, hits)])[0]
    assert contrast.outcome == "no detectable effect"
    needed = seeds_needed(contrast, ALPHA)
    assert 4 <= needed <= 8
    text = said(results, hits)["could-not-see"]
    assert "spt is ahead in all 3 seeds, by 10.3 points on average" in text
    assert f"--seeds {needed}" in text
    assert seeds_needed(claim([planted(0.4, 0.4)])[0], ALPHA) is None


def test_a_classical_model_is_better_if_it_is_reliably_ahead_of_the_best_network():
    results, hits = planted_runs(0.1, 0.1)
    chance = np.random.default_rng(5)
    classical = [RunResult(arm="classical", seed=0, choice="one-hot positions, extra trees", best_train_acc=1.0)] * 5
    results = results | {"classical": classical}
    better = hits | {"classical": [chance.random(400) < 0.95] * 5}
    text = said(results, better)["classical-model-better"]
    assert "one-hot positions, extra trees" in text
    assert "the best network, spt" in text
    assert "classical-model-better" not in said(results, hits | {"classical": [chance.random(400) < 0.61] * 5})


def test_speed_is_an_observation_whatever_the_accuracies():
    faster = claim([planted(0.0, 0.0, steps=(175, 350))])
    assert observations(faster)[0].startswith("spt fits 90% of its training labels in 17")
    assert observations(claim([planted(0.0, 0.0, steps=(175, 175))])) == []
    assert observations(claim([planted(0.0, 0.0)])) == observations([]) == []
