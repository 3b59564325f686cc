"""Claims hold, do not hold, or are undecided: leads, slopes and diagnoses that are made up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from conftest import tiny_config
from selfpretrain.comparison.summary import ArmSummary, ContrastSummary, Summary
from selfpretrain.config import GAIN, DiagnoseConfig, TaskConfig
from selfpretrain.data.task import TaskSummary
from selfpretrain.explain.cells import alone
from selfpretrain.explain.conclude import Evidence, LabelTest, Shape
from selfpretrain.registry import STUDIES
from selfpretrain.stats import t_interval
from selfpretrain.studies import Ahead, Blind, Case, Changes, Fits, Foretells, Generalises, LooksNear, Recovers, Sooner
from selfpretrain.studies.claims import CaseResult, decide
from selfpretrain.studies.study import ClaimAnswer
from stand_in import made

TASK = TaskConfig()
FLAT, BETTER = (0.5, 0.5, 0.5), (0.7, 0.72, 0.68)


def answer_of(**arms):
    """The answer of a comparison of which these numbers of its arms are known."""
    arms = {arm: made(ArmSummary, **known) for arm, known in arms.items()}
    return made(Summary, arms=arms, comparisons=(), level=0.05, task=made(TaskSummary, n_train=800, n_test=600))


def scored(accuracies):
    return {"test_acc": accuracies, "learnt": (True,) * len(accuracies)}


def summary_of(scratch, spt, *, p=0.001, outcome="helps", half_width=0.01):
    """The answer of a comparison in which two arms scored so by seed."""
    effect = float(np.mean(spt) - np.mean(scratch))
    bounds = (effect - half_width, effect + half_width)
    known = {"effect": effect, "ci95": bounds, "p": p, "n_seeds": len(spt), "outcome": outcome}
    contrast = made(ContrastSummary, arm="spt", against="scratch", **known)
    return replace(answer_of(scratch=scored(scratch), spt=scored(spt)), comparisons=(contrast,))


def ahead(n=1, *, other=None, **settings):
    return Ahead(text="it is ahead", case=f"n-{n}", other=None if other is None else f"n-{other}", **settings)


def decided(claims, summaries):
    """The answers to claims about cases of these answers, by their place on the axis n; None: not finished."""
    cases = [Case({"n": n}, tiny_config(arms=("scratch", "spt")), TASK) for n in summaries]
    results = {f"n-{n}": CaseResult(summary) for n, summary in summaries.items() if summary is not None}
    return decide(claims, cases, results)


def outcomes(claims, summaries):
    return [answer.outcome for answer in decided(claims, summaries)]


@pytest.mark.parametrize(
    ("spt", "settings", "outcome"),
    [
        (BETTER, {}, "holds"),
        (BETTER, {"p": 0.2, "half_width": 0.3}, "undecided"),
        (FLAT, {"p": 1.0}, "does not hold"),  # the interval leaves out 3 points
        (FLAT, {"p": 1.0, "half_width": 0.05}, "undecided"),
        ((0.4, 0.41, 0.39), {}, "does not hold"),
        ((0.52, 0.52, 0.52), {"half_width": 0.005}, "does not hold"),  # a lead, but a small one
        ((0.7, 0.7), {}, "undecided"),  # two seeds
        (FLAT, {"p": 1.0, "outcome": "not tested"}, "undecided"),
    ],
)
def test_a_lead_holds_does_not_hold_or_is_undecided(spt, settings, outcome):
    assert outcomes([ahead()], {1: summary_of(FLAT[: len(spt)], spt, **settings)}) == [outcome]


def test_where_learning_nothing_is_an_answer_it_counts():
    idle = {1: summary_of(FLAT, FLAT, p=1.0, outcome="not tested")}
    assert outcomes([ahead(), ahead(even_untested=True)], idle) == ["undecided", "does not hold"]


def test_of_two_cases_seeds_are_paired():
    claim = ahead(1, arm="scratch", other=2)
    one, two = summary_of((0.6, 0.7, 0.8), (0.6, 0.7, 0.8)), summary_of((0.5, 0.58, 0.72), (0.9, 0.9, 0.9))
    (answer,) = decided([claim], {1: one, 2: two})
    expected = t_interval([0.1, 0.12, 0.08])
    assert (answer.effect, *answer.ci95) == pytest.approx((expected.mean, *expected.bounds))
    assert answer.outcome == "holds"
    for scratch in ((0.5, None, 0.72), (0.5, 0.58)):  # a run failed, or there are fewer seeds
        (answer,) = decided([claim], {1: one, 2: answer_of(scratch={"test_acc": scratch})})
        assert (answer.outcome, answer.effect) == ("undecided", None)


def test_the_slope_of_the_gain_is_points_for_each_doubling():
    noise = np.array([0.0, 0.001, -0.001])
    gains = {4: 0.10, 8: 0.12, 32: 0.16}  # 2 points a doubling
    summaries = {n: summary_of(FLAT, tuple(0.5 + gain + noise)) for n, gain in gains.items()}
    rises = Changes(text="it rises", axis="n")
    (answer,) = decided([rises], summaries)
    assert (answer.effect, answer.outcome) == (pytest.approx(0.02), "holds")
    (answer,) = decided([replace(rises, falls=True)], summaries)
    assert (answer.effect, answer.outcome) == (pytest.approx(-0.02), "does not hold")
    for last, why in (
        (summary_of(FLAT, FLAT, outcome="not tested"), "self-pretraining has learnt nothing in n-32"),
        (None, "n-32 has no answer"),
    ):
        (answer,) = decided([rises], summaries | {32: last})
        assert (answer.effect, answer.outcome, answer.why) == (None, "undecided", why)


@pytest.mark.parametrize(
    ("p_values", "families", "adjusted", "expected"),
    [
        # Two are primary and share a level; the others share another.
        ((0.04, 0.01, 0.03, 0.03), ("", "", "", ""), (0.04, 0.02, 0.06, 0.06), "holds holds undecided undecided"),
        # Those of a family share a level of their own.
        ((0.001, 0.001, 0.01, 0.03, 0.03), ("", "", "x", "x", "y"), (0.002, 0.002, 0.02, 0.03, 0.03), "holds " * 5),
    ],
)
def test_p_values_are_adjusted(p_values, families, adjusted, expected):
    summaries = {n: summary_of(FLAT, BETTER, p=p) for n, p in enumerate(p_values)}
    answers = decided([ahead(n, family=family) for n, family in enumerate(families)], summaries)
    assert [answer.p_adjusted for answer in answers] == pytest.approx(adjusted)
    assert [answer.primary for answer in answers[:3]] == [True, True, False]
    assert " ".join(answer.outcome for answer in answers) == expected.strip()


@pytest.mark.parametrize(("secondary", "expected"), [(1, "does not hold"), (3, "undecided")])
def test_what_does_not_hold_is_corrected_like_what_holds(secondary, expected):
    """Each of the secondary claims has a p of 0.02 by itself: enough for one, not for three."""
    df, error = 4.3, 0.01
    half = float(stats.t.ppf(0.975, df)) * error
    effect = GAIN - float(stats.t.isf(0.01, df)) * error
    summary = summary_of(FLAT, tuple(acc + effect for acc in FLAT), half_width=half)
    contrast = replace(summary.comparisons[0], df=df)
    summaries = {n: replace(summary, comparisons=(contrast,)) for n in range(2 + secondary)}
    answers = decided([ahead(n) for n in summaries], summaries)
    assert [answer.p_adjusted for answer in answers[2:]] == pytest.approx([0.02 * secondary] * secondary)
    assert {answer.outcome for answer in answers[2:]} == {expected}


@pytest.mark.parametrize("first", [(0.3, 0.31, 0.29), (0.52, 0.52, 0.52)])
def test_a_second_claim_does_not_wait_for_the_first(first):
    summaries = {1: summary_of(FLAT, first, half_width=0.005), 2: summary_of(FLAT, BETTER)}
    assert outcomes([ahead(1), ahead(2)], summaries) == ["does not hold", "holds"]


def test_nothing_is_refuted_by_seeds_of_which_some_left_the_plateau_and_others_did_not():
    """So few seeds know too little of how many would."""
    summary = summary_of(FLAT, (0.52, 0.52, 0.52), half_width=0.005)
    mixed = replace(summary.arms["spt"], learnt=(True, False, False))
    assert outcomes([ahead()], {1: summary}) == ["does not hold"]
    assert outcomes([ahead()], {1: replace(summary, arms={**summary.arms, "spt": mixed})}) == ["undecided"]


def test_a_claim_is_made_at_the_level_of_its_looks():
    late = replace(summary_of(FLAT, BETTER, p=0.03), level=0.025)
    assert outcomes([ahead()], {1: late}) == ["undecided"]


# Claims about one case.


def one_case(claim, result, *sections):
    """The answer to a claim about a case that is diagnosed with these sections."""
    diagnosis = DiagnoseConfig(sections=sections) if sections else None
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK, diagnosis)
    assert claim.wrong([case]) is None
    (answer,) = decide([claim], [case], {"n-1": result})
    return answer


def test_seeds_that_are_all_alike_are_no_certainty():
    """Of 600 test sequences all right in every seed at most 1 - 0.025^(1/600) would be wrong (Clopper and Pearson)."""
    answer = decided([ahead(1, arm="scratch", other=2)], {n: answer_of(scratch=scored((1.0,) * 5)) for n in (1, 2)})[0]
    share = 1 - 0.025 ** (1 / 600)
    assert answer.ci95 == pytest.approx((-share, share)) and share == pytest.approx(0.0061, abs=1e-4)
    assert answer.outcome == "does not hold" and 0 < answer.p_adjusted < 1e-5


FITS, GENERALISES = Fits(text="it does", case="n-1"), Generalises(text="it does", case="n-1")


@pytest.mark.parametrize(
    ("claim", "scratch", "spt", "outcome", "effect"),
    [
        (FITS, {"best_train_acc": (0.98, 0.97, 0.99)}, {}, "holds", 0.08),
        (FITS, {"best_train_acc": (0.6, 0.61, 0.62)}, {}, "does not hold", -0.29),
        (FITS, {"best_train_acc": (0.8, 0.9, 1.0)}, {}, "undecided", 0.0),
        (GENERALISES, {"train_acc": (0.7, 0.701, 0.699), "test_acc": (0.7,) * 3}, {}, "holds", 0.03),
        (GENERALISES, {"train_acc": (0.9, 0.91, 0.89), "test_acc": (0.7,) * 3}, {}, "does not hold", -0.17),
        (GENERALISES, {"train_acc": (0.7, 0.73, 0.76), "test_acc": (0.7,) * 3}, {}, "undecided", 0.0),
        (
            ahead(split="train"),
            {"best_train_acc": (0.5, 0.51, 0.52)},
            {"best_train_acc": (0.6, 0.62, 0.61)},
            "holds",
            0.1,
        ),
    ],
)
def test_fitting_generalising_and_training_accuracy_are_measured_over_seeds(claim, scratch, spt, outcome, effect):
    answer = one_case(claim, CaseResult(answer_of(scratch=scratch, spt=spt)))
    assert (answer.outcome, answer.effect) == (outcome, pytest.approx(effect, abs=1e-9))
    assert ("training" in answer.unit) == (claim is not GENERALISES)


def diagnosed(shares=(), *, outcome="helps", **measured):
    """A case in which transplants have so much of a gain of 40 points, with small differences between seeds."""
    noise, scratch = np.array([0.0, 0.002, -0.002]), np.full(3, 0.5)
    evidence = Evidence(
        outcome=outcome,
        n_seeds=3,
        scratch=scratch,
        spt=scratch + 0.4,
        cells={alone(group): scratch + 0.4 * share + noise for group, share in dict(shares).items()},
        **measured,
    )
    return CaseResult(answer_of(), evidence)


SHARES = {"query-key": 0.9, "norms": 0.1}
FLAT_SHAPE = Shape(1.0, 0.1, 0.0)


def transplant(group, **settings):
    return Recovers(text="it does", case="n-1", cell=alone(group).name, **settings)


def shapes(*masses):
    return {"shapes": [(FLAT_SHAPE, Shape(mass, 0.9, -1.0)) for mass in masses]}


def label_tests(*excess, arm="spt"):
    return {"label_tests": {arm: [LabelTest(0.06 + value, 0.06, 0.5, 10_000) for value in excess]}}


NEAR, BLIND = LooksNear(text="it does", case="n-1"), Blind(text="it is", case="n-1")


@pytest.mark.parametrize(
    ("claim", "result", "outcome", "effect"),
    [
        (transplant("query-key"), diagnosed(SHARES), "holds", 0.16),
        (transplant("query-key", fails=True), diagnosed(SHARES), "does not hold", -0.16),
        (transplant("norms"), diagnosed(SHARES), "does not hold", -0.16),
        (transplant("norms", fails=True), diagnosed(SHARES), "holds", 0.16),
        (NEAR, diagnosed(**shapes(3.0, 3.1, 2.9)), "holds", 1.5),
        (NEAR, diagnosed(**shapes(1.0, 1.1, 0.9)), "does not hold", -0.5),
        (BLIND, diagnosed(**label_tests(-0.001, 0.0, 0.001)), "holds", 0.03),  # spt starts as scratch does
        (BLIND, diagnosed(**label_tests(0.1, 0.11, 0.12)), "does not hold", -0.08),
        (BLIND, diagnosed(**label_tests(-0.1, 0.0, 0.1)), "undecided", 0.03),
    ],
)
def test_claims_about_a_diagnosis_are_measured_over_seeds(claim, result, outcome, effect):
    answer = one_case(claim, result, claim.section)
    assert (answer.outcome, answer.effect) == (outcome, pytest.approx(effect))


@pytest.mark.parametrize(
    ("claim", "result", "why"),
    [
        (transplant("query-key"), diagnosed(SHARES, outcome="no detectable effect"), "no gain to carry in n-1"),
        (transplant("query-key"), diagnosed(), "no transplant spt.query-key.free in n-1"),
        (transplant("query-key"), CaseResult(answer_of()), "n-1 is not diagnosed"),
        (NEAR, diagnosed(), "n-1"),
        (BLIND, diagnosed(), "were not looked at"),
        (BLIND, diagnosed(**label_tests(0.0, 0.0, 0.0, arm="bias")), "were not looked at"),  # it has its own start
    ],
)
def test_what_was_not_measured_leaves_a_claim_open_with_the_reason(claim, result, why):
    answer = one_case(claim, result, claim.section)
    assert answer.outcome == "undecided" and why in answer.why


@pytest.mark.parametrize("claim", [transplant("norms"), NEAR, BLIND])
def test_a_claim_about_a_diagnosis_needs_one(claim):
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK)
    assert "is not diagnosed with" in claim.wrong([case])


@pytest.mark.parametrize(
    ("known", "reading"),
    [
        (("does not hold", "holds", "undecided", "holds"), "Optimisation: within its steps scratch does not"),
        (("does not hold", "does not hold", "undecided", "holds"), "nor within 10 times the steps"),
        (("holds", "holds", "holds", "does not hold"), "Generalisation: scratch fits its training labels, and"),
        (("holds", "holds", "undecided", "holds"), "Scratch does not fail"),
        (("undecided", "holds", "holds", "holds"), "Open"),
    ],
)
def test_the_reading_of_why_scratch_fails(known, reading):
    answers = [made(ClaimAnswer, outcome=outcome) for outcome in (*known, "undecided")]
    assert reading in STUDIES["why-scratch-fails"].reading(answers)


def curve(*accuracies):
    """Validations ten steps apart."""
    return [(10 * number, accuracy) for number, accuracy in enumerate(accuracies, 1)]


SOLVES = [curve(0.5, acc, 0.95, 0.97) for acc in (0.91, 0.92, 0.93, 0.8, 0.93)]  # from step 20, 20, 20, 30, 20
NEVER = [curve(0.5, 0.95, 0.95, 0.89)] * 5  # it does not stay there
COSTS = {"flops_pretrain": 300, "flops_label": 40, "steps_label": 4, "learnt": (True,) * 5}


def solved(fast, slow, **settings):
    summary = answer_of(spt=COSTS, scratch={**COSTS, "flops_pretrain": 0})
    claim = Sooner(text="it is sooner", case="n-1", **settings)
    return one_case(claim, CaseResult(summary, curves={"spt": fast, "scratch": slow}))


def test_one_that_never_stays_at_the_level_needs_more_steps_than_it_made():
    answer = solved(SOLVES, NEVER)
    assert (answer.outcome, answer.effect, answer.ci95) == ("holds", pytest.approx(1.0), (pytest.approx(1.0), None))
    assert answer.in_words == "at least 2.0 times the label steps of spt"
    turned = solved(NEVER, SOLVES)
    assert (turned.outcome, turned.ci95) == ("does not hold", (None, pytest.approx(-1.0)))


def test_neither_sooner_nor_later_is_undecided_and_never_is_no_answer():
    assert solved(SOLVES, SOLVES).outcome == "undecided"
    answer = solved(NEVER, NEVER)
    assert (answer.outcome, answer.effect) == ("undecided", None)
    assert answer.in_words == "not measured: no run of either comes to 90% on validation sequences"
    assert solved([[]] * 5, NEVER).why == "runs failed"


def test_self_pretraining_counts_as_the_label_steps_that_it_costs():
    """300 operations are 30 label steps of 10: solved after 50 to 60 in all, more than the 20 to 30 of scratch."""
    both = solved(SOLVES, SOLVES, total=True)
    assert both.outcome == "does not hold"
    assert 2**both.effect == pytest.approx(20 / 50)
    assert both.unit == "times the total steps of spt"
    assert solved(SOLVES, SOLVES, solved=0.96).effect == 0.0  # at the last validation, all


def test_three_seeds_do_not_decide_a_factor():
    assert solved(SOLVES[:3], NEVER[:3]).outcome == "undecided"


def foretold(*excess, steps):
    """Starts with these signals, by seed, that solve the task after so many tens of steps; None: never."""
    claim = Foretells(text="it does", starts=tuple((f"n-{n}", "scratch") for n in range(len(excess))))
    cases = [Case({"n": n}, tiny_config(arms=("scratch", "spt")), TASK, DiagnoseConfig()) for n in range(len(excess))]
    summary = answer_of(scratch={**COSTS, "flops_pretrain": 0})
    results = {}
    for n, (signal, step) in enumerate(zip(excess, steps, strict=True)):
        right = [0.5] * 10 if step is None else [0.5] * (step - 1) + [1.0] * (11 - step)
        evidence = made(Evidence, **label_tests(*signal, arm="scratch"))
        results[f"n-{n}"] = CaseResult(summary, evidence, {"scratch": [curve(*right)] * len(signal)})
    (answer,) = decide([claim], cases, results)
    return answer


STRONG, WEAK, NO = (0.3, 0.31, 0.32), (0.1, 0.11, 0.12), (0.0, 0.001, -0.001)


def test_starts_are_ranked_by_signal_and_by_steps():
    assert foretold(STRONG, WEAK, NO, steps=(2, 5, None)).effect == 1.0
    turned = foretold(STRONG, WEAK, NO, steps=(None, 5, 2))
    assert (turned.effect, turned.ci95, turned.outcome) == (-1.0, (None, None), "undecided")  # seeds show no spread
    ties = foretold(STRONG, WEAK, NO, steps=(3, None, None))  # tau-b by hand: 2 pairs agree, of 3 and of 2 without ties
    assert ties.effect == pytest.approx(2 / math.sqrt(3 * 2))
    nothing = foretold(STRONG, WEAK, NO, steps=(None, None, None))
    assert (nothing.effect, nothing.outcome) == (None, "undecided")
    assert "nothing to foretell" in nothing.why


def test_where_seeds_differ_in_their_ranks_it_is_undecided():
    assert foretold((0.3, 0.0, 0.1), (0.1, 0.3, 0.2), (0.2, 0.1, 0.0), steps=(2, 5, None)).outcome == "undecided"


def test_a_signal_that_goes_with_learning_holds_over_the_starts_and_one_that_does_not_is_refuted_over_seeds():
    """Of six starts and five seeds, in which two starts that are close to each other swap their ranks."""
    seeds = np.arange(5)
    signals = [0.1 * n + 0.15 * (seeds == 4) * (n == 2) for n in range(6)]
    steps = (9, 8, 7, 5, 3, 2)
    holds = foretold(*signals, steps=steps)
    assert (holds.outcome, holds.p_adjusted) == ("holds", pytest.approx(2 / 720))
    assert foretold(*signals, steps=steps[::-1]).outcome == "does not hold"
