"""The decision table, row by row, on planted numbers; and nulls."""

from dataclasses import replace

import numpy as np
import pytest

from selfpretrain.arms.registry import known_arms
from selfpretrain.results import ArmSummary, RunResult
from selfpretrain.stats import Interval, t_interval
from selfpretrain.verdict import wording
from selfpretrain.verdict.cause import cause_of
from selfpretrain.verdict.contrast import contrast_of, correct_for_number
from selfpretrain.verdict.judge import _entry, with_more_compute
from selfpretrain.verdict.wording import AHEAD, CAUSES

N_SEEDS, N_TEST = 5, 400


def arm_summary(train=0.51, failures=()):
    return ArmSummary(
        **{name: () for name in ("train_acc", "val_acc", "test_acc", "steps_to_fit", "peak_memory_bytes", "seconds")},
        **{name: 0 for name in ("steps_pretrain", "steps_label", "flops_pretrain", "flops_label")},
        best_train_acc=(train, None),
        lr=None,
        lr_tried={},
        failures={str(seed): "loss" for seed in failures},
    )


ARMS = {name: arm_summary() for name in known_arms()}


def planted(test, train, matched="label compute", steps=None, seed=0):
    """A contrast of an arm whose test and train accuracies exceed the other's by so much, with seed noise of .005."""
    generator = np.random.default_rng(seed)

    def runs(test_acc, train_acc, fit):
        correct = generator.random((N_SEEDS, N_TEST)) < test_acc
        results = [
            RunResult(
                arm="spt",
                seed=seed,
                best_train_acc=train_acc + generator.normal(0, 0.005),
                flops_label=10,
                steps_to_fit=fit and fit + int(generator.integers(-5, 5)),
            )
            for seed in range(N_SEEDS)
        ]
        return results, correct

    (a, hits_a), (b, hits_b) = runs(0.5 + test, 0.5 + train, steps and steps[0]), runs(0.5, 0.5, steps and steps[1])
    return contrast_of(
        "spt", "scratch", matched, {"spt": a, "scratch": b}, {"spt": list(hits_a), "scratch": list(hits_b)}
    )


def sentences(contrasts, causes, arms):
    judged = [(c, replace(_entry(c, contrasts), cause=why)) for c, why in zip(contrasts, causes, strict=True)]
    return wording.sentences(judged, arms)


def decide(contrast, longer=None):
    done = correct_for_number([contrast] + ([longer] if longer else []))
    return done[0].outcome, cause_of(done[0], done[1] if longer else None)


def test_behind_in_training_and_with_more_compute_too_is_optimization():
    assert decide(planted(0.4, 0.4), planted(0.3, 0.3, "total compute")) == ("helps", "optimization")


def test_caught_up_with_more_compute_is_speed():
    assert decide(planted(0.4, 0.4), planted(0.0, 0.0, "total compute", seed=1)) == ("helps", "speed")


def test_nobody_got_more_compute_is_undetermined():
    assert decide(planted(0.4, 0.4)) == ("helps", "undetermined")


def test_equal_training_is_generalization():
    assert decide(planted(0.3, 0.0), planted(0.3, 0.0, "total compute")) == ("helps", "generalization")


def test_a_training_gap_too_small_for_the_test_gap_is_undetermined():
    assert decide(planted(0.4, 0.05), planted(0.4, 0.05, "total compute")) == ("helps", "undetermined")


def test_of_a_small_gain_training_must_be_equal_to_half_of_it():
    gain, train = Interval(0.012, 0.01, 0.014, 1e-4, 5), Interval(0.005, -0.003, 0.013, 0.2, 5)
    small = replace(planted(0.0, 0.0), test=gain, examples=gain, train=train)
    assert decide(small) == ("helps", "undetermined")
    assert decide(replace(small, train=Interval(0.001, -0.004, 0.005, 0.5, 5))) == ("helps", "generalization")


def test_hurting_is_the_mirror_image():
    """But for compute: nobody gave the arm that is behind any more of it."""
    assert decide(planted(-0.3, -0.3), planted(0.0, 0.0, "total compute")) == ("hurts", "undetermined")
    assert decide(planted(-0.3, 0.0)) == ("hurts", "generalization")


def test_no_effect_and_equally_fast_is_none():
    assert decide(planted(0.0, 0.0)) == ("no detectable effect", "none")


def test_no_effect_and_faster_is_speed():
    same = Interval(0.0, -0.001, 0.001, 0.9, 5)
    contrast = replace(planted(0.0, 0.0, steps=(100, 300)), test=same, examples=same)
    assert decide(contrast) == ("no detectable effect", "speed")


def test_planted_nulls_claim_at_most_their_share():
    claims = sum(decide(planted(0.0, 0.0, seed=seed))[0] != "no detectable effect" for seed in range(200))
    assert claims <= 200 * 0.05 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_an_accident_of_the_test_set_is_no_effect():
    """All seeds agree on the same few test sequences: certain over seeds, chance over sequences."""
    generator = np.random.default_rng(3)
    a, b = generator.random(N_TEST) < 0.53, generator.random(N_TEST) < 0.5
    runs = [RunResult(arm="spt", seed=seed, best_train_acc=0.5, flops_label=1) for seed in range(5)]
    hits = {"spt": list(np.tile(a, (5, 1))), "scratch": list(np.tile(b, (5, 1)))}
    for seed in range(4):  # a little spread over seeds
        hits["spt"][seed][np.flatnonzero(a)[seed]] = False
    contrast = correct_for_number(
        [contrast_of("spt", "scratch", "label compute", {"spt": runs, "scratch": runs}, hits)]
    )[0]
    assert contrast.p_holm < 0.05  # over seeds
    assert contrast.examples.low < 0 < contrast.examples.high
    assert contrast.outcome == "no detectable effect"


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_seeds_there_is_no_verdict(n):
    contrast = replace(planted(0.4, 0.4), test=t_interval([0.4, 0.41][:n]))
    contrast = correct_for_number([contrast])[0]
    assert contrast.outcome == "no detectable effect"
    why = cause_of(contrast, contrast)
    assert why == "undetermined"
    assert sentences([contrast], [why], ARMS).startswith(f"No verdict from {n} finished seeds")


def test_holm_counts_all_comparisons():
    weak = replace(
        planted(0.0, 0.0), test=Interval(0.02, 0.001, 0.04, 0.04, 5), examples=Interval(0.02, 0.01, 0.03, 0, 9)
    )
    assert correct_for_number([weak])[0].outcome == "helps"
    twice = correct_for_number([weak, weak])
    assert twice[0].outcome == "no detectable effect"
    assert twice[0].p_holm == pytest.approx(0.08)


def test_the_sentences_say_numbers_seeds_and_plateau():
    contrasts = correct_for_number(
        [planted(0.4, 0.4), replace(planted(0.3, 0.3), against="scratch-long", matched="total compute")]
    )
    said = sentences(contrasts, ["optimization"] * 2, ARMS)
    for part in (
        "Self-pretraining helps here: +",
        "equal label compute",
        "5 seeds",
        "equal total compute",
        "51%",
        "plateau",
    ):
        assert part in said
    assert sentences([], [], {}).startswith("No verdict")


@pytest.mark.parametrize("why", CAUSES)
@pytest.mark.parametrize("test", [0.3, -0.3, 0.0])
def test_every_cause_is_put_in_words_of_its_own(why, test):
    """Of every outcome; and none of them is the words of another cause."""
    contrasts = correct_for_number([planted(test, test)])
    said = {each: sentences(contrasts, [each], ARMS) for each in CAUSES}
    assert all(said[why] != other for each, other in said.items() if each != why)
    assert set(AHEAD) >= {contrasts[0].outcome}


@pytest.mark.parametrize("arm", known_arms())
def test_every_arm_can_be_the_one_that_is_claimed_of(arm):
    contrast = correct_for_number([replace(planted(0.4, 0.4), arm=arm)])
    others = {name: entry for name, entry in ARMS.items() if name != "spt" or arm == "spt"}
    assert sentences(contrast, ["none"], others).startswith(known_arms()[arm].title)


def test_speed_is_claimed_at_equal_label_steps_only():
    same = Interval(0.0, -0.001, 0.001, 0.9, 5)
    contrast = replace(planted(0.0, 0.0, "total compute", steps=(100, 300)), test=same, examples=same)
    assert decide(contrast) == ("no detectable effect", "none")


def test_compute_made_unequal_by_early_stopping_is_said():
    contrast = replace(planted(0.3, 0.3), compute_ratio=0.55)
    said = sentences(correct_for_number([contrast]), ["undetermined"], ARMS)
    assert "spt spent 0.55 times what scratch spent" in said


def test_failed_runs_are_said_and_no_other_arm_takes_their_place():
    contrasts = correct_for_number([planted(0.4, 0.4)])
    assert "left out: 2 of spt." in sentences(contrasts, ["none"], ARMS | {"spt": arm_summary(failures=(0, 3))})
    mimetic = [replace(contrasts[0], arm="mimetic")]
    assert sentences(mimetic, ["none"], ARMS).startswith("No verdict")


def test_the_cause_of_other_contrasts_does_not_come_from_scratch_long():
    contrasts = [
        planted(0.4, 0.4),
        replace(planted(0.4, 0.4, "total compute"), against="scratch-long"),
        replace(planted(0.4, 0.4), against="mimetic"),
    ]
    found = [with_more_compute(contrast, contrasts) for contrast in contrasts]
    assert found == [contrasts[1], contrasts[1], None]


def test_a_failed_run_is_left_out_with_its_partner_and_without_any_pair_there_is_no_contrast():
    generator = np.random.default_rng(0)
    good = [RunResult(arm="x", seed=seed, best_train_acc=0.5, flops_label=10 + seed) for seed in range(4)]
    hits = list(generator.random((4, N_TEST)) < 0.5)
    failed = [*good[:2], RunResult(arm="x", seed=2, failure="loss"), good[3]]
    results, every = {"spt": failed, "scratch": good}, {"spt": [*hits[:2], None, hits[3]], "scratch": hits[::-1]}
    contrast = contrast_of("spt", "scratch", "label compute", results, every)
    assert contrast.test.n == 3
    assert contrast.compute_ratio == 1.0
    assert contrast.test.mean == pytest.approx(np.mean([hits[k].mean() - hits[3 - k].mean() for k in (0, 1, 3)]))
    assert contrast_of("spt", "scratch", "label compute", results, {"spt": [None] * 4, "scratch": hits}) is None
