"""The decision table, row by row, on planted numbers; nulls; and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from selfpretrain.arms.arm import Versus
from selfpretrain.arms.registry import known_arms
from selfpretrain.results import ArmSummary, Caveat, RunResult
from selfpretrain.stats import Crossed, Interval
from selfpretrain.verdict import wording
from selfpretrain.verdict.cause import cause_of
from selfpretrain.verdict.claims import ALPHA, PLANNED, claim, look_at
from selfpretrain.verdict.contrast import contrast_of
from selfpretrain.verdict.judge import Judgement, _entry, judge, with_more_compute
from selfpretrain.verdict.wording import AHEAD, CAUSES

N_SEEDS, N_TEST = 5, 400
LABEL, TOTAL = Versus("scratch", "label compute", primary=True), Versus("scratch", "total compute", primary=True)


def arm_summary(train=0.51, failures=()):
    return ArmSummary(
        **{name: () for name in ("train_acc", "val_acc", "test_acc", "steps_to_fit", "peak_memory_bytes", "seconds")},
        **{name: () for name in ("val_reconstruction", "val_without_context", "val_lowest")},
        train_sample_acc=(),
        **{name: 0 for name in ("steps_pretrain", "steps_label", "flops_pretrain", "flops_label")},
        test_ci95=(None, None),
        choice=None,
        best_train_acc=(train, None),
        lr=None,
        lr_tried={},
        failures={str(seed): "loss" for seed in failures},
    )


ARMS = {name: arm_summary() for name in known_arms()}


def planted_runs(test, train, steps=None, seed=0, n_seeds=N_SEEDS):
    """Results and hits of two arms, the first ahead by so much, with seed noise of 0.005 on training accuracy."""
    generator = np.random.default_rng(seed)

    def runs(test_acc, train_acc, fit):
        correct = generator.random((n_seeds, N_TEST)) < test_acc
        results = [
            RunResult(
                arm="spt",
                seed=seed,
                best_train_acc=train_acc + generator.normal(0, 0.005),
                flops_label=10,
                steps_to_fit=fit and fit + int(generator.integers(-5, 5)),
            )
            for seed in range(n_seeds)
        ]
        return results, list(correct)

    (a, hits_a), (b, hits_b) = runs(0.5 + test, 0.5 + train, steps and steps[0]), runs(0.5, 0.5, steps and steps[1])
    return {"spt": a, "scratch": b}, {"spt": hits_a, "scratch": hits_b}


def planted(test, train, versus=LABEL, **how):
    """A contrast of an arm whose test and train accuracies exceed the other's by so much."""
    return contrast_of("spt", versus, *planted_runs(test, train, **how))


def judged(contrasts, causes, caveats=(), observations=(), level=ALPHA):
    entries = [replace(_entry(c, contrasts, level), cause=why) for c, why in zip(contrasts, causes, strict=True)]
    return Judgement(level, contrasts, entries, caveats, observations)


def sentences(contrasts, causes, arms=ARMS, **known):
    return wording.sentences(judged(contrasts, causes, **known), arms)


def decide(contrast, longer=None):
    done = claim([contrast] + ([longer] if longer else []))
    return done[0].outcome, cause_of(done[0], done[1] if longer else None)


def test_behind_in_training_and_with_more_compute_too_is_optimization():
    assert decide(planted(0.4, 0.4), planted(0.3, 0.3, TOTAL)) == ("helps", "optimization")


def test_caught_up_with_more_compute_is_speed():
    assert decide(planted(0.4, 0.4), planted(0.0, 0.0, TOTAL, seed=1)) == ("helps", "speed")


def test_nobody_got_more_compute_is_undetermined():
    assert decide(planted(0.4, 0.4)) == ("helps", "undetermined")


def test_equal_training_is_generalization():
    assert decide(planted(0.3, 0.0), planted(0.3, 0.0, TOTAL)) == ("helps", "generalization")


def test_a_training_gap_too_small_for_the_test_gap_is_undetermined():
    assert decide(planted(0.4, 0.05), planted(0.4, 0.05, TOTAL)) == ("helps", "undetermined")


def test_of_a_small_gain_training_must_be_equal_to_half_of_it():
    gain, train = Interval(0.012, 0.01, 0.014, 1e-4, 5), Interval(0.005, -0.003, 0.013, 0.2, 5)
    small = replace(planted(0.0, 0.0), test=gain, train=train)
    assert decide(small) == ("helps", "undetermined")
    assert decide(replace(small, train=Interval(0.001, -0.004, 0.005, 0.5, 5))) == ("helps", "generalization")


def test_losing_is_the_mirror_image():
    """But for compute: nobody gave the arm that is behind any more of it."""
    assert decide(planted(-0.3, -0.3), planted(0.0, 0.0, TOTAL)) == ("loses", "undetermined")
    assert decide(planted(-0.3, 0.0)) == ("loses", "generalization")


def test_no_effect_and_equally_fast_is_none():
    assert decide(planted(0.0, 0.0)) == ("no detectable effect", "none")


def test_no_effect_and_faster_is_speed():
    same = Interval(0.0, -0.001, 0.001, 0.9, 5)
    assert decide(replace(planted(0.0, 0.0, steps=(100, 300)), test=same)) == ("no detectable effect", "speed")
    total = replace(planted(0.0, 0.0, TOTAL, steps=(100, 300)), test=same)  # not at equal label steps
    assert decide(total) == ("no detectable effect", "none")


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
    contrast = contrast_of("spt", LABEL, {"spt": runs, "scratch": runs}, hits)
    assert np.std(contrast.leads) < 0.01 < abs(contrast.test.mean)  # certain over seeds
    assert contrast.test.low < 0 < contrast.test.high
    assert claim([contrast])[0].outcome == "no detectable effect"


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_seeds_there_is_no_verdict(n):
    contrast = claim([planted(0.4, 0.4, n_seeds=n)])[0]
    assert contrast.outcome == "not tested"
    why = cause_of(contrast, contrast)
    assert why == "undetermined"
    assert sentences([contrast], [why]).startswith(f"No verdict from {n} finished seeds")
    assert not judged([contrast], [why]).tested


# Several claims.


def with_p(p, mean=0.02, *, primary):
    interval = Interval(mean, mean - 0.01, mean + 0.01, p, 5)
    return replace(planted(0.0, 0.0), primary=primary, test=interval)


def test_primary_claims_are_taken_in_their_order_at_the_full_level():
    both = claim([with_p(0.04, primary=True), with_p(0.03, primary=True)])
    assert [c.outcome for c in both] == ["helps", "helps"]
    assert [c.p_adjusted for c in both] == [0.04, 0.04]
    not_first = claim([with_p(0.06, primary=True), with_p(0.001, primary=True)])
    assert [c.outcome for c in not_first] == ["no detectable effect"] * 2
    assert not_first[1].p_adjusted == 0.06


def test_secondary_claims_share_a_level_and_take_nothing_from_primary_ones():
    some = claim([with_p(0.04, primary=True), with_p(0.04, primary=False), with_p(0.03, -0.02, primary=False)])
    assert [c.outcome for c in some] == ["helps", "no detectable effect", "no detectable effect"]
    assert [c.p_adjusted for c in some] == pytest.approx([0.04, 0.06, 0.06])
    assert claim([with_p(0.04, -0.02, primary=False)])[0].outcome == "loses"


def levels(*looks):
    """Levels of looks one after the other, each (number of seeds, what was planned)."""
    taken = []
    for n_seeds, planned in looks:
        look = look_at(n_seeds, taken, planned)
        taken += [] if look in taken else [look]
        yield look.level


def test_every_look_that_was_not_planned_halves_the_level():
    assert list(levels((3, (3,)), (4, (4,)), (5, (5,)), (4, (4,)))) == [0.05, 0.025, 0.0125, 0.025]
    contrast = with_p(0.03, primary=True)
    assert claim([contrast], 0.05)[0].outcome == "helps"
    later = claim([contrast], 0.025)
    assert later[0].outcome == "no detectable effect"
    said = sentences(later, ["none"], level=0.025)
    assert "looked at more than once" in said
    assert "0.025" in said


def test_planned_looks_share_the_level():
    plan = (3, 5, 10)
    assert list(levels((3, plan), (5, plan), (10, plan))) == [0.01, 0.015, 0.025]
    assert all(sum(shares) == pytest.approx(ALPHA) for shares in PLANNED.values())


def test_a_plan_that_was_made_after_a_look_is_none_and_a_look_keeps_its_level():
    plan = (3, 5, 10)
    assert list(levels((3, (3,)), (3, plan), (5, plan), (10, plan))) == [0.05, 0.05, 0.025, 0.0125]
    assert list(levels((3, (3, 6)), (6, (3, 6)), (3, (3, 6, 12)), (12, (3, 6, 12)))) == [0.02, 0.03, 0.02, 0.0125]
    assert list(levels((3, plan), (3, (3,)), (5, (5,)), (10, plan))) == [0.01, 0.01, 0.025, 0.0125]


def test_what_has_no_p_claims_nothing_and_stops_the_order():
    nothing = replace(with_p(0.01, primary=True), test=Interval(0.1, None, None, None, 5))
    first, second = claim([nothing, with_p(0.01, primary=True)])
    assert (first.outcome, first.p_adjusted) == ("no detectable effect", None)
    assert second.outcome == "no detectable effect"
    assert "no interval from 400 test sequences" in sentences([first], ["none"])


# Words.


def rival(against, mean, half_width, outcome):
    test = Interval(mean, mean - half_width, mean + half_width, 0.01, 5)
    return replace(planted(0.0, 0.0), against=against, test=test, outcome=outcome)


@pytest.mark.parametrize(
    ("rivals", "said"),
    [
        ([], ""),
        ([rival("bias", 0.0, 0.01, "no detectable effect")], "bias does as well without any pretraining."),
        (
            [rival("bias", 0.0, 0.01, "no detectable effect"), rival("rotary", -0.1, 0.01, "loses")],
            "bias and rotary do as well without any pretraining.",
        ),
        (
            [rival("bias", 0.2, 0.1, "helps"), rival("rotary", 0.2, 0.1, "helps")],
            "bias and rotary, without any pretraining, do worse.",
        ),
        ([rival("bias", 0.2, 0.1, "helps"), rival("rotary", 0.1, 0.2, "no detectable effect")], "Whether rotary does"),
        ([rival("bias", 0.02, 0.005, "helps")], "bias does as well without any pretraining."),  # ahead by too little
        ([rival("joint", 0.0, 0.01, "no detectable effect")], ""),  # it is not free
    ],
)
def test_it_is_said_whether_a_free_start_does_as_well(rivals, said):
    helps = rival("scratch", 0.3, 0.05, "helps")
    found = sentences([helps, *rivals], ["undetermined"] * (1 + len(rivals)))
    assert said in found
    assert any(word in found for word in ("does as well", "do as well", "do worse")) is bool(said)


def test_the_sentences_say_numbers_seeds_and_plateau():
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.3, 0.3, TOTAL), against="scratch-long")])
    said = sentences(contrasts, ["optimization"] * 2)
    for part in (
        "Self-pretraining helps here: +",
        "equal label compute",
        "5 seeds, 400 test sequences",
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
    contrasts = claim([planted(test, test)])
    said = {each: sentences(contrasts, [each]) for each in CAUSES}
    assert all(said[why] != other for each, other in said.items() if each != why)
    assert set(AHEAD) >= {contrasts[0].outcome}


@pytest.mark.parametrize("arm", known_arms())
def test_every_arm_can_be_the_one_that_is_claimed_of(arm):
    contrasts = claim([replace(planted(0.4, 0.4), arm=arm)])
    others = {name: entry for name, entry in ARMS.items() if name != "spt" or arm == "spt"}
    assert sentences(contrasts, ["none"], others).startswith(known_arms()[arm].title)


def test_losing_names_whom():
    contrasts = claim([planted(-0.4, -0.4)])
    assert "loses to scratch here" in sentences(contrasts, ["undetermined"])


def test_compute_made_unequal_by_early_stopping_is_said():
    contrast = replace(planted(0.3, 0.3), compute_ratio=0.55)
    said = sentences(claim([contrast]), ["undetermined"])
    assert "spt spent 0.55 times what scratch spent" in said


def test_failed_runs_are_said_and_no_other_arm_takes_their_place():
    contrasts = claim([planted(0.4, 0.4)])
    assert "left out: 2 of spt." in sentences(contrasts, ["none"], ARMS | {"spt": arm_summary(failures=(0, 3))})
    mimetic = [replace(contrasts[0], arm="mimetic")]
    assert sentences(mimetic, ["none"]).startswith("No verdict")


def test_caveats_and_observations_are_part_of_the_verdict():
    caveat = Caveat(code="still-improving", text="spt was still improving.")
    said = sentences(claim([planted(0.4, 0.4)]), ["none"], caveats=[caveat], observations=["It is faster."])
    assert said.index("It is faster.") < said.index(caveat.text)


def test_what_was_not_tested_says_so_first_and_once():
    caveat = Caveat(code="pretraining-learnt-nothing", text="Self-pretraining has learnt nothing.")
    contrasts = [replace(claim([planted(0.0, 0.0)])[0], outcome="not tested")]
    said = sentences(contrasts, ["none"], caveats=[caveat])
    assert said.startswith("Not tested: self-pretraining has learnt nothing.")
    assert said.count("learnt nothing") == 1
    assert "no detectable effect" not in said
    assert not judged(contrasts, ["none"]).tested


# The whole.


def losses(results, loss, without=2.0):
    return [replace(run, val_reconstruction=loss, val_without_context=without) for run in results]


@pytest.mark.parametrize(
    ("loss", "gain", "outcome"),
    [
        (1.99, 0.0, "not tested"),
        (1.99, -0.3, "not tested"),
        (1.99, 0.3, "helps"),
        (1.5, 0.0, "no detectable effect"),
        (1.5, -0.3, "loses"),
    ],
)
def test_self_pretraining_that_has_learnt_nothing_tests_nothing(loss, gain, outcome):
    results, hits = planted_runs(gain, 0.0)
    results["spt"] = losses(results["spt"], loss)
    found = judge(results, hits, {}, kind="symbols", level=ALPHA)
    assert found.entries[0].outcome == outcome
    assert found.tested == (outcome != "not tested")
    codes = [caveat.code for caveat in found.caveats]
    assert ("pretraining-learnt-nothing" in codes) == (loss > 1.9)


def test_the_cause_of_other_contrasts_does_not_come_from_scratch_long():
    contrasts = [
        planted(0.4, 0.4),
        replace(planted(0.4, 0.4, TOTAL), against="scratch-long"),
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
    contrast = contrast_of("spt", LABEL, results, every)
    assert contrast.test.n == 3
    assert contrast.compute_ratio == 1.0
    leads = [hits[k].mean() - hits[3 - k].mean() for k in (0, 1, 3)]
    assert contrast.leads == pytest.approx(leads)
    assert contrast.test.mean == pytest.approx(np.mean(leads))
    assert contrast.squares == Crossed.of(np.array([hits[k].astype(float) - hits[3 - k] for k in (0, 1, 3)]))
    assert contrast_of("spt", LABEL, results, {"spt": [None] * 4, "scratch": hits}) is None
