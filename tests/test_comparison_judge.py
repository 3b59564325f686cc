"""The decision table, row by row, on planted numbers; nulls; and what is said of them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import tiny_config
from made_up import LABEL, N_TEST, TOTAL, Y, made_up, planted, planted_runs
from selfpretrain.comparison import words
from selfpretrain.comparison.claims import ALPHA, PLANNED, claim, contrast_of, look_at
from selfpretrain.comparison.judge import cause_of, judge, with_more_compute
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.run import Performed
from selfpretrain.comparison.summary import ArmSummary, Caveat
from selfpretrain.comparison.words import AHEAD, CAUSES
from selfpretrain.data.load import load_task
from selfpretrain.registry import ARMS as REGISTERED
from selfpretrain.stats import Crossed, Interval


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


ARMS = {name: arm_summary() for name in REGISTERED}


def sentences(contrasts, causes, arms=ARMS, caveats=(), observations=(), level=ALPHA, look=1):
    cause = causes[0] if causes else "none"
    return words.sentences(contrasts, cause, caveats, observations, arms, level=level, look=look)


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
    runs = {"spt": [], "scratch": []}
    for seed in range(5):
        ahead = a.copy()
        if seed < 4:  # a little spread over seeds
            ahead[np.flatnonzero(a)[seed]] = False
        runs["spt"].append(made_up("spt", seed, ahead, best_train_sample_acc=0.5))
        runs["scratch"].append(made_up("scratch", seed, b, best_train_sample_acc=0.5))
    contrast = contrast_of("spt", LABEL, runs, Y)
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
    text = sentences(later, ["none"], level=0.025, look=2)
    assert "look 2" in text
    assert "0.025" in text


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


@pytest.mark.parametrize("arm", REGISTERED)
def test_every_arm_can_be_the_one_that_is_claimed_of(arm):
    contrasts = claim([replace(planted(0.4, 0.4), arm=arm)])
    others = {name: entry for name, entry in ARMS.items() if name != "spt" or arm == "spt"}
    assert sentences(contrasts, ["none"], others).startswith(REGISTERED[arm].title)


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


# The whole.


def answer_of(runs, looks=(), **settings):
    """The answer to a request with these runs, on a task with as many test rows."""
    request = Request.of(TASK, tiny_config(arms=tuple(runs), seeds=len(next(iter(runs.values()))), **settings))
    y = TASK.test.y
    own = {
        arm: [replace(run, predicted=np.where(run.predicted == 0, y, 1 - y)) for run in of] for arm, of in runs.items()
    }
    return judge(request, Performed(own, {}), dict(looks))


TASK = load_task("noise", sequences=2660, length=4)


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
    answer = answer_of(planted_runs(gain, 0.0, losses=(loss, 2.0)))
    assert answer.comparisons[0].n_test == N_TEST
    assert answer.comparisons[0].outcome == outcome
    assert answer.tested == (outcome != "not tested")
    codes = [caveat.code for caveat in answer.warnings]
    assert ("pretraining-learnt-nothing" in codes) == (loss > 1.9)


def test_a_look_belongs_to_the_trainings_that_it_reports():
    """How often states are kept, how durations are spelt and which arms stand beside do not make another question."""
    runs = planted_runs(0.0, 0.0)
    first = answer_of({arm: of_arm[:3] for arm, of_arm in runs.items()})
    assert first.level == ALPHA
    train, label = tiny_config().train, tiny_config().label
    same = [
        {"train": replace(train, snapshots=3, checkpoint_seconds=5.0, recompute=True)},
        {"label": replace(label, duration=label.duration.removesuffix("steps"))},
    ]
    for settings in same:
        second = answer_of(runs, first.looks, **settings)
        assert second.level == ALPHA / 2
        assert "look 2" in second.verdict
    other = answer_of(runs, first.looks, label=replace(label, duration="17steps"))
    assert other.level == ALPHA


def test_the_order_of_what_is_said_does_not_depend_on_the_hash_seed():
    code = (
        "import numpy as np\n"
        "from made_up import planted_runs, made_up, N_TEST\n"
        "from test_comparison_judge import answer_of\n"
        "runs = planted_runs(0.1, 0.1, losses=(1.99, 2.0))\n"
        "best = [made_up(arm, 0, np.arange(N_TEST) > 2, choice=arm, best_train_sample_acc=1.0)\n"
        "        for arm in ('classical',)]\n"
        "answer = answer_of(runs | {'classical': best * 5})\n"
        "print([w.code for w in answer.warnings], answer.verdict)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert "classical-model-better" in outputs.pop()


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
    hits = list(generator.random((4, N_TEST)) < 0.5)

    def runs(arm, order):
        return [made_up(arm, seed, hits[k], flops=10 + seed, best_train_sample_acc=0.5) for seed, k in enumerate(order)]

    failed = [made_up("spt", seed, failure="loss") for seed in range(4)]
    spt = runs("spt", range(4))
    every = {"spt": [*spt[:2], failed[2], spt[3]], "scratch": runs("scratch", (3, 2, 1, 0))}
    contrast = contrast_of("spt", LABEL, every, Y)
    assert contrast.test.n == 3
    assert contrast.compute_ratio == 1.0
    leads = [hits[k].mean() - hits[3 - k].mean() for k in (0, 1, 3)]
    assert contrast.leads == pytest.approx(leads)
    assert contrast.test.mean == pytest.approx(np.mean(leads))
    assert contrast.squares == Crossed.of(np.array([hits[k].astype(float) - hits[3 - k] for k in (0, 1, 3)]))
    assert contrast_of("spt", LABEL, {**every, "spt": failed}, Y) is None
