"""What a study claims: holds, does not hold, or is undecided; by leads, slopes and diagnoses that are made up."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain.comparison.summary import ArmSummary, ContrastSummary, Summary
from selfpretrain.config import DiagnoseConfig, TaskConfig
from selfpretrain.explain.cells import alone
from selfpretrain.explain.conclude import Evidence, Shape, Signals
from selfpretrain.registry import STUDIES
from selfpretrain.stats import t_interval
from selfpretrain.studies import Ahead, Blind, Case, Changes, Fits, Generalises, LooksNear, Recovers
from selfpretrain.studies.claims import CaseResult, decide
from stand_in import made

TASK = TaskConfig()
FLAT = (0.5, 0.5, 0.5)


def answer_of(**arms):
    """The answer of a comparison of which these numbers of its arms are known."""
    return made(
        Summary, arms={arm: made(ArmSummary, **known) for arm, known in arms.items()}, comparisons=(), level=0.05
    )


def summary_of_arms(scratch, spt):
    return answer_of(scratch={"test_acc": scratch}, spt={"test_acc": spt})


def summary_of(scratch, spt, *, p=0.001, outcome="helps", half_width=0.01):
    """The answer of a comparison in which two arms scored so by seed."""
    effect = float(np.mean(spt) - np.mean(scratch))
    contrast = made(
        ContrastSummary,
        arm="spt",
        against="scratch",
        effect=effect,
        ci95=(effect - half_width, effect + half_width),
        p=p,
        n_seeds=len(spt),
        outcome=outcome,
    )
    return replace(summary_of_arms(scratch, spt), comparisons=(contrast,))


def ahead(case="a", **settings):
    return Ahead(text="it is ahead", case=case, **settings)


def decided(claims, found, axis="case", values=None):
    """What is said of claims about cases of these answers."""
    values = values or {name: name for name in found}
    cases = [Case({axis: value}, tiny_config(arms=("scratch", "spt")), TASK) for value in values.values()]
    names = {case.name: name for case, name in zip(cases, values, strict=True)}
    renamed = {case: CaseResult(found[name]) for case, name in names.items() if name in found}
    claims = [
        replace(claim, case=f"{axis}-{claim.case}", other=None if claim.other is None else f"{axis}-{claim.other}")
        if isinstance(claim, Ahead)
        else claim
        for claim in claims
    ]
    return decide(claims, cases, renamed)


@pytest.mark.parametrize(
    ("spt", "settings", "outcome"),
    [
        ((0.7, 0.72, 0.68), {}, "holds"),
        ((0.7, 0.72, 0.68), {"p": 0.2, "half_width": 0.3}, "undecided"),
        (FLAT, {"p": 1.0}, "does not hold"),  # the interval leaves out 3 points
        (FLAT, {"p": 1.0, "half_width": 0.05}, "undecided"),
        ((0.4, 0.41, 0.39), {}, "does not hold"),
        ((0.52, 0.52, 0.52), {"half_width": 0.005}, "does not hold"),  # a lead, but a small one
        ((0.7, 0.7), {}, "undecided"),  # two seeds
        (FLAT, {"p": 1.0, "outcome": "not tested"}, "undecided"),
    ],
)
def test_a_lead_holds_does_not_hold_or_is_undecided(spt, settings, outcome):
    found = {"a": summary_of(FLAT[: len(spt)], spt, **settings)}
    assert [each.outcome for each in decided([ahead()], found)] == [outcome]


def test_where_learning_nothing_is_an_answer_it_counts():
    found = {"a": summary_of(FLAT, FLAT, p=1.0, outcome="not tested")}
    assert [each.outcome for each in decided([ahead(), ahead(even_untested=True)], found)] == [
        "undecided",
        "does not hold",
    ]


def test_of_two_cases_seeds_are_paired():
    one = summary_of((0.6, 0.7, 0.8), (0.6, 0.7, 0.8))
    two = summary_of((0.5, 0.58, 0.72), (0.9, 0.9, 0.9))
    (answer,) = decided([ahead("one", arm="scratch", other="two")], {"one": one, "two": two})
    expected = t_interval([0.1, 0.12, 0.08])
    assert (answer.effect, *answer.ci95) == pytest.approx((expected.mean, *expected.bounds))
    assert answer.outcome == "holds"
    for arms in (((0.5, None, 0.72), FLAT), ((0.5, 0.58), (0.9, 0.9))):  # a run failed, or there are fewer seeds
        (answer,) = decided([ahead("one", arm="scratch", other="two")], {"one": one, "two": summary_of_arms(*arms)})
        assert (answer.outcome, answer.effect) == ("undecided", None)


def test_the_slope_of_the_gain_is_points_for_each_doubling():
    values = {"four": 4, "eight": 8, "more": 32}
    gains = {"four": 0.10, "eight": 0.12, "more": 0.16}  # 2 points a doubling
    noise = np.array([0.0, 0.001, -0.001])
    found = {name: summary_of(FLAT, tuple(0.5 + gain + noise)) for name, gain in gains.items()}
    rises = Changes(text="it rises", axis="size")
    (answer,) = decided([rises], found, "size", values)
    assert answer.effect == pytest.approx(0.02)
    assert answer.outcome == "holds"
    (answer,) = decided([replace(rises, falls=True)], found, "size", values)
    assert (answer.effect, answer.outcome) == (pytest.approx(-0.02), "does not hold")
    in_vain = found | {"more": summary_of(FLAT, FLAT, outcome="not tested")}
    (answer,) = decided([rises], in_vain, "size", values)
    assert (answer.effect, answer.outcome, answer.why) == (
        None,
        "undecided",
        "self-pretraining has learnt nothing in size-32",
    )
    del found["more"]
    (answer,) = decided([rises], found, "size", values)
    assert (answer.effect, answer.outcome, answer.why) == (None, "undecided", "size-32 has no answer")


def test_two_claims_are_primary_in_their_order_and_the_others_share_a_level():
    spt = (0.7, 0.72, 0.68)
    found = {name: summary_of(FLAT, spt, p=p) for name, p in {"a": 0.04, "b": 0.01, "c": 0.03}.items()}
    answers = decided([ahead("a"), ahead("b"), ahead("c"), ahead("c")], found)
    assert [each.p_adjusted for each in answers] == pytest.approx([0.04, 0.04, 0.06, 0.06])
    assert [each.primary for each in answers] == [True, True, False, False]
    assert [each.outcome for each in answers] == ["holds", "holds", "undecided", "undecided"]


def test_claims_of_a_family_share_a_level_of_their_own():
    spt = (0.7, 0.72, 0.68)
    found = {name: summary_of(FLAT, spt, p=p) for name, p in {"a": 0.001, "b": 0.01, "c": 0.03}.items()}
    claims = [ahead("a"), ahead("a"), ahead("b", family="x"), ahead("c", family="x"), ahead("c", family="y")]
    answers = decided(claims, found)
    assert [each.p_adjusted for each in answers] == pytest.approx([0.001, 0.001, 0.02, 0.03, 0.03])


@pytest.mark.parametrize("first", [(0.3, 0.31, 0.29), (0.52, 0.52, 0.52)])
def test_a_second_claim_needs_a_first_that_holds(first):
    found = {"a": summary_of(FLAT, first, half_width=0.005), "b": summary_of(FLAT, (0.7,) * 3)}
    assert [each.outcome for each in decided([ahead("a"), ahead("b")], found)] == ["does not hold", "undecided"]


def test_a_claim_is_made_at_the_level_of_its_looks():
    late = replace(summary_of(FLAT, (0.7, 0.72, 0.68), p=0.03), level=0.025)
    assert [each.outcome for each in decided([ahead()], {"a": late})] == ["undecided"]


# Claims about one case.


def one_case(claim, finding, *sections):
    """What is said of a claim about a case, diagnosed with these sections."""
    diagnosis = DiagnoseConfig(sections=sections) if sections else None
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK, diagnosis)
    assert claim.wrong([case]) is None
    (answer,) = decide([claim], [case], {"n-1": finding})
    return answer


@pytest.mark.parametrize(
    ("claim", "known", "outcome", "effect"),
    [
        (Fits, {"best_train_acc": (0.98, 0.97, 0.99)}, "holds", 0.08),
        (Fits, {"best_train_acc": (0.6, 0.61, 0.62)}, "does not hold", -0.29),
        (Fits, {"best_train_acc": (0.8, 0.9, 1.0)}, "undecided", 0.0),
        (Generalises, {"train_acc": (0.7, 0.701, 0.699), "test_acc": (0.7,) * 3}, "holds", 0.03),
        (Generalises, {"train_acc": (0.9, 0.91, 0.89), "test_acc": (0.7,) * 3}, "does not hold", -0.17),
        (Generalises, {"train_acc": (0.7, 0.73, 0.76), "test_acc": (0.7,) * 3}, "undecided", 0.0),
    ],
)
def test_an_arm_fits_beyond_nine_in_ten_and_generalises_within_three_points(claim, known, outcome, effect):
    said = one_case(claim(text="it does", case="n-1"), CaseResult(answer_of(scratch=known)))
    assert (said.outcome, said.effect) == (outcome, pytest.approx(effect, abs=1e-9))


def test_a_lead_can_be_one_of_training_accuracy():
    answer = answer_of(
        scratch={"best_train_acc": (0.5, 0.51, 0.52)},
        spt={"best_train_acc": (0.6, 0.62, 0.61)},
    )
    said = one_case(Ahead(text="it fits better", case="n-1", split="train"), CaseResult(answer))
    assert (said.outcome, said.effect) == ("holds", pytest.approx(0.1))
    assert "training" in said.unit


def diagnosed(shares=(), *, outcome="helps", **seen):
    """A finding in which transplants have so much of a gain of 40 points, with small differences between seeds."""
    noise, scratch = np.array([0.0, 0.002, -0.002]), np.full(3, 0.5)
    evidence = Evidence(
        outcome=outcome,
        n_seeds=3,
        scratch=scratch,
        spt=scratch + 0.4,
        cells={alone(group): scratch + 0.4 * share + noise for group, share in dict(shares).items()},
        **seen,
    )
    return CaseResult(answer_of(), evidence)


SHARES = {"query-key": 0.9, "norms": 0.1}


@pytest.mark.parametrize(
    ("group", "fails", "outcome", "effect"),
    [
        ("query-key", False, "holds", 0.16),
        ("query-key", True, "does not hold", -0.16),
        ("norms", False, "does not hold", -0.16),
        ("norms", True, "holds", 0.16),
    ],
)
def test_a_transplant_recovers_the_gain_or_does_not(group, fails, outcome, effect):
    claim = Recovers(text="it does", case="n-1", cell=alone(group).name, fails=fails)
    said = one_case(claim, diagnosed(SHARES), "transplants")
    assert (said.outcome, said.effect) == (outcome, pytest.approx(effect))


FLAT_SHAPE = Shape(1.0, 0.1, 0.0)


def shapes(*masses):
    return [(FLAT_SHAPE, Shape(mass, 0.9, -1.0)) for mass in masses]


@pytest.mark.parametrize(
    ("claim", "section", "seen", "outcome", "effect"),
    [
        (LooksNear, "attention", {"shapes": shapes(3.0, 3.1, 2.9)}, "holds", 1.5),
        (LooksNear, "attention", {"shapes": shapes(1.0, 1.1, 0.9)}, "does not hold", -0.5),
        (Blind, "gradients", {"signals": [Signals(0.001 * k, 0.5, 0, 0, 256) for k in range(3)]}, "holds", 0.098),
        (
            Blind,
            "gradients",
            {"signals": [Signals(0.3 + 0.01 * k, 0.5, 0, 0, 256) for k in range(3)]},
            "does not hold",
            -0.52,
        ),
    ],
)
def test_near_attention_and_blind_labels_are_measured_over_seeds(claim, section, seen, outcome, effect):
    said = one_case(claim(text="it is", case="n-1"), diagnosed(**seen), section)
    assert (said.outcome, said.effect) == (outcome, pytest.approx(effect))


@pytest.mark.parametrize(
    ("claim", "section", "finding", "why"),
    [
        (Recovers, "transplants", diagnosed(SHARES, outcome="no detectable effect"), "no gain to carry in n-1"),
        (Recovers, "transplants", diagnosed(), "no transplant spt.query-key.free in n-1"),
        (Recovers, "transplants", CaseResult(answer_of()), "n-1 is not diagnosed"),
        (LooksNear, "attention", diagnosed(), "n-1"),
        (Blind, "gradients", diagnosed(), "not above chance"),
        (Blind, "gradients", diagnosed(signals=[Signals(0.02, 0.001, 0, 0, 256)] * 3), "not above chance"),
    ],
)
def test_what_was_not_seen_leaves_a_claim_open_and_says_why(claim, section, finding, why):
    said = one_case(claim(text="it does", case="n-1"), finding, section)
    assert said.outcome == "undecided" and why in said.why


@pytest.mark.parametrize("claim", [Recovers, LooksNear, Blind])
def test_a_claim_about_a_diagnosis_needs_one(claim):
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK)
    assert "is not diagnosed with" in claim(text="it does", case="n-1").wrong([case])


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            ("does not hold", "holds", "undecided", "holds", "undecided"),
            "Optimisation: within its steps scratch does not",
        ),
        (("does not hold", "does not hold", "undecided", "holds", "undecided"), "nor within 10 times the steps"),
        (
            ("holds", "holds", "holds", "does not hold", "undecided"),
            "Generalisation: scratch fits its training labels, and",
        ),
        (("holds", "holds", "undecided", "holds", "undecided"), "Scratch does not fail"),
        (("undecided", "holds", "holds", "holds", "holds"), "Open"),
    ],
)
def test_the_reading_of_why_scratch_fails(outcomes, said):
    study = STUDIES["why-scratch-fails"]
    (claim,) = decided([ahead()], {"a": summary_of(FLAT, FLAT)})
    answers = [replace(claim, outcome=outcome) for outcome in outcomes]
    assert said in study.reading(answers)
