"""The decision table, row by row, on planted numbers; and nulls."""

from dataclasses import replace

import numpy as np
import pytest

from selfpretrain.stats import Interval, t_interval
from selfpretrain.verdict import Contrast, cause, contrast_from_runs, correct_for_number, sentences

N_SEEDS, N_TEST = 5, 400
ACCURACIES = {arm: {"train": 0.51, "test": 0.5} for arm in ("scratch", "spt", "scratch-long")}


def planted(test, train, matched="label compute", steps=None, seed=0):
    """A contrast of an arm whose test and train accuracies exceed the other's by so much, with seed noise of .005."""
    generator = np.random.default_rng(seed)

    def runs(test_acc, train_acc, fit):
        out = []
        for _ in range(N_SEEDS):
            correct = generator.random(N_TEST) < test_acc
            out.append(
                {
                    "test_acc": float(correct.mean()),
                    "train_acc_reached": train_acc + generator.normal(0, 0.005),
                    "correct": correct,
                    "flops_label": 10,
                    "flops_pretrain": 0,
                    "steps_to_fit": fit and fit + int(generator.integers(-5, 5)),
                }
            )
        return out

    a, b = steps or (None, None)
    return contrast_from_runs("spt", "scratch", matched, runs(0.5 + test, 0.5 + train, a), runs(0.5, 0.5, b))


def decide(contrast, longer=None):
    done = correct_for_number([contrast] + ([longer] if longer else []))
    return done[0].outcome, cause(done[0], done[1] if longer else None)


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
    runs = [
        [
            {"test_acc": float(c.mean()) + 1e-4 * s, "train_acc_reached": 0.5, "correct": c, "flops_label": 1}
            for s in range(5)
        ]
        for c in (a, b)
    ]
    contrast = correct_for_number([contrast_from_runs("spt", "scratch", "label compute", *runs)])[0]
    assert contrast.examples.low < 0 < contrast.examples.high
    assert contrast.outcome == "no detectable effect"
    assert "another test set of this size might say otherwise" in sentences([contrast], ["none"], ACCURACIES, {})


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_seeds_there_is_no_verdict(n):
    contrast = replace(planted(0.4, 0.4), test=t_interval([0.4, 0.41][:n]))
    contrast = correct_for_number([contrast])[0]
    assert contrast.outcome == "no detectable effect"
    why = cause(contrast, contrast)
    assert why == "undetermined"
    assert sentences([contrast], [why], {}, {}).startswith(f"No verdict from {n} finished seeds")


def test_holm_counts_all_comparisons():
    weak = replace(
        planted(0.0, 0.0), test=Interval(0.02, 0.001, 0.04, 0.04, 5), examples=Interval(0.02, 0.01, 0.03, 0, 9)
    )
    assert correct_for_number([weak])[0].outcome == "helps"
    twice = correct_for_number([weak, weak])
    assert twice[0].outcome == "no detectable effect"
    assert "with several comparisons that is no surprise (Holm's p 0.080)" in sentences(
        twice, ["none"] * 2, ACCURACIES, {}
    )


def test_the_sentences_say_numbers_seeds_and_plateau():
    contrasts = correct_for_number(
        [planted(0.4, 0.4), replace(planted(0.3, 0.3), against="scratch-long", matched="total compute")]
    )
    said = sentences(contrasts, ["optimization"] * 2, {"scratch": {"train": 0.51, "test": 0.5}}, {})
    for part in (
        "Self-pretraining helps here: +",
        "equal label compute",
        "5 seeds",
        "equal total compute",
        "51%",
        "plateau",
    ):
        assert part in said
    assert sentences([], [], {}, {}).startswith("No verdict")


@pytest.mark.parametrize("why", ["optimization", "generalization", "speed", "undetermined", "none"])
@pytest.mark.parametrize("test", [0.3, -0.3, 0.0])
def test_every_cause_has_a_sentence(why, test):
    contrasts = correct_for_number([planted(test, test)])
    said = sentences(contrasts, [why], {"scratch": {"train": 0.51}, "spt": {"train": 0.51}}, {})
    assert said.endswith(".")
    assert isinstance(contrasts[0], Contrast)


def test_speed_is_claimed_at_equal_label_steps_only():
    same = Interval(0.0, -0.001, 0.001, 0.9, 5)
    contrast = replace(planted(0.0, 0.0, "total compute", steps=(100, 300)), test=same, examples=same)
    assert decide(contrast) == ("no detectable effect", "none")


def test_compute_made_unequal_by_early_stopping_is_said():
    contrast = replace(planted(0.3, 0.3), compute_ratio=0.55)
    said = sentences(correct_for_number([contrast]), ["undetermined"], ACCURACIES, {})
    assert "early stopping made their label compute unequal: spt spent 0.55 times what scratch spent" in said


def test_failed_runs_are_said_and_no_other_arm_takes_their_place():
    contrasts = correct_for_number([planted(0.4, 0.4)])
    assert "left out: 2 of spt." in sentences(contrasts, ["none"], ACCURACIES, {"spt": 2, "scratch": 0})
    mimetic = [replace(contrasts[0], arm="mimetic")]
    assert sentences(mimetic, ["none"], ACCURACIES, {"spt": 5}).startswith("No verdict")
