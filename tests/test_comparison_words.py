"""The verdict in words: what is said of every outcome and cause, and what is not."""

from dataclasses import replace

import pytest

from made_up import TASK, TOTAL, planted
from selfpretrain.comparison.claims import ALPHA, claim
from selfpretrain.comparison.judge import entry
from selfpretrain.comparison.summary import ArmSummary, Caveat, Recommendation, RunnerUp, Summary
from selfpretrain.comparison.words import CAUSES, OUTCOMES, verdict_of
from selfpretrain.registry import ARMS as REGISTERED
from selfpretrain.stats import Interval
from stand_in import made

USE = Recommendation(arm="classical", seed=0, choice="extra trees", learnt=True, val=0.84, test=0.838, seconds=1.04)


def arm_summary(failures=(), learnt=(True,) * 5):
    failed = dict.fromkeys(map(str, failures), "loss")
    return made(ArmSummary, best_train_acc=(0.51, None), test_acc=(0.6, None), learnt=learnt, failures=failed)


ARMS = {name: arm_summary() for name in REGISTERED}


def verdict(contrasts, cause="none", arms=ARMS, caveats=(), observations=(), level=ALPHA, look=1, use=None):
    comparisons = tuple(replace(entry(contrast, [], level), cause=cause) for contrast in contrasts)
    about = {
        "metric": "accuracy",
        "arms": arms,
        "warnings": caveats,
        "observations": observations,
        "level": level,
        "recommended": use,
    }
    return verdict_of(made(Summary, task=TASK.describe(), comparisons=comparisons, **about), look)


def said(*arguments, **how):
    return str(verdict(*arguments, **how))


def rival(against, mean, half_width, outcome):
    test = Interval(mean, mean - half_width, mean + half_width, 0.01, 5)
    primary = against in ("scratch", "scratch-long")
    return replace(planted(0.0, 0.0), against=against, test=test, outcome=outcome, primary=primary, p_adjusted=0.02)


@pytest.mark.parametrize(
    ("rivals", "expected"),
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
def test_it_is_said_whether_a_free_start_does_as_well(rivals, expected):
    text = said([rival("scratch", 0.3, 0.05, "helps"), *rivals], "undetermined")
    assert expected in text
    assert any(phrase in text for phrase in ("does as well", "do as well", "do worse")) is bool(expected)


def test_the_answer_comes_first_then_what_to_do_then_the_claims_then_what_to_know():
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.3, 0.3, TOTAL), against="scratch-long")])
    caveat = Caveat(code="still-improving", text="spt was still improving.", cure="More steps may change this.")
    whole = verdict(contrasts, "optimization", caveats=[caveat], use=USE)
    assert whole.answer == "Self-pretraining helps (60.0% on test, scratch 60.0%), also at equal total compute."
    assert (
        whole.advice == "Use the classical model, in the folder best (validation 84.0%, test 83.8%, trained in 1.04 s)."
    )
    first, second = whole.claims
    assert first.startswith("+") and "against scratch at equal label compute" in first
    assert "5 seeds, 400 test sequences): ahead." in first and "against scratch-long at equal total compute" in second
    assert whole.notes[0].startswith("Why: optimisation. scratch fits only 51%")
    assert whole.notes[-1] == "spt was still improving. More steps may change this."
    assert (
        str(whole).splitlines() == whole.lines == [whole.answer, whole.advice, *whole.claims, *whole.notes]
        and not whole.next
    )


def test_help_that_was_not_compared_at_equal_total_compute_says_so():
    answer = verdict([rival("scratch", 0.3, 0.05, "helps")], use=USE).answer
    assert answer.endswith("; at equal total compute it was not compared (add scratch-long to --arms).")
    assert "not compared" not in verdict([rival("scratch", -0.3, 0.05, "loses")], use=USE).answer


def test_what_would_change_an_open_answer_is_next_unless_there_is_nothing_to_gain():
    caveat = Caveat(code="could-not-see", text="It could be missed.", cure="Take more seeds.")
    whole = verdict([rival("scratch", 0.0, 0.1, "no detectable effect")], caveats=[caveat], use=USE)
    assert whole.answer == "Undecided whether self-pretraining helps (60.0% on test, scratch 60.0%)."
    assert whole.next == "Next: Take more seeds."
    assert "It could be missed." in whole.notes
    perfect = verdict(
        [rival("scratch", 0.0, 0.1, "no detectable effect")], caveats=[caveat], use=replace(USE, val=0.99)
    )
    assert not perfect.next and str(caveat) in perfect.notes


def test_a_longer_budget_is_the_first_thing_to_try_and_the_reason_keeps_its_own_cure():
    stuck = Caveat(code="pretraining-learnt-nothing", text="It has learnt nothing.", cure="Train longer.")
    untuned = Caveat(code="untuned", text="No rate was tuned.", cure="--budget 25m trains all.")
    whole = verdict([rival("scratch", 0.0, 0.1, "not tested")], caveats=[stuck, untuned], use=USE)
    assert (whole.answer, whole.next) == ("Not tested: it has learnt nothing.", "Next: --budget 25m trains all.")
    assert whole.notes == ("Train longer.", "No rate was tuned.")


def test_claims_with_the_same_numbers_are_one_line():
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.4, 0.4, TOTAL), against="scratch-long")])
    (line,) = verdict(contrasts).claims
    assert " points against scratch at equal label compute and scratch-long at equal total compute (" in line


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"learnt": False},
            "Use none of these models yet: on validation none is clearly better than the commonest class.",
        ),
        ({"arm": "spt", "seed": 3, "choice": None}, "Use spt, seed 3, in the folder best (validation 84.0%"),
        (
            {"average_val": 0.9, "average_test": 0.89},
            "; the mean probabilities of all its seeds, in the folder average: validation 90.0%, test 89.0%)",
        ),
        (
            {"runner_up": RunnerUp(arm="spt", seed=2, choice=None, val=0.8, test=0.81)},
            "; runner-up: spt, seed 2, validation 80.0%, test 81.0%)",
        ),
        (
            {"runner_up": RunnerUp(arm="spt", seed=2, choice=None, val=0.85, test=0.81, as_good=True)},
            "; spt, seed 2, costs more and is not clearly better: validation 85.0%, test 81.0%)",
        ),
    ],
)
def test_which_model_to_use_is_said(changes, text):
    assert text in verdict(claim([planted(0.4, 0.4)]), use=replace(USE, **changes)).advice


@pytest.mark.parametrize(
    ("second", "answer"),
    [
        ("loses", "; at equal total compute it is behind scratch-long."),
        ("equal", "; at equal total compute scratch-long does as well."),
        ("no detectable effect", "; at equal total compute that is undecided."),
    ],
)
def test_what_more_compute_for_labels_does_is_part_of_the_answer(second, answer):
    contrasts = [rival("scratch", 0.3, 0.1, "helps"), rival("scratch-long", 0.0, 0.1, second)]
    contrasts[1] = replace(contrasts[1], matched="total compute")
    assert verdict(contrasts).answer.endswith(answer)


@pytest.mark.parametrize("effect", [0.3, -0.3])
def test_every_cause_is_put_in_words_of_its_own(effect):
    contrasts = claim([planted(effect, effect)])
    assert len({said(contrasts, cause) for cause in CAUSES}) == len(CAUSES)
    assert contrasts[0].outcome in OUTCOMES


def test_any_arm_can_be_the_one_that_is_claimed_of():
    contrasts = claim([replace(planted(0.4, 0.4), arm="mimetic")])
    without_spt = {name: entry for name, entry in ARMS.items() if name != "spt"}
    assert said(contrasts, arms=without_spt).startswith(REGISTERED["mimetic"].title)


def test_no_verdict_without_a_pair_of_spt_or_with_fewer_than_three_seeds():
    assert said([], arms={}).startswith("No verdict")
    assert said([replace(planted(0.4, 0.4), arm="mimetic")]).startswith("No verdict")  # no other arm takes its place
    for n in (1, 2):
        assert said(claim([planted(0.4, 0.4, n_seeds=n)])).startswith(f"No verdict from {n} finished seeds")


@pytest.mark.parametrize(
    ("changes", "how", "parts"),
    [
        ({"compute_ratio": 0.55}, {}, ["spt spent 0.55 times what scratch spent"]),  # after early stopping
        ({}, {"level": 0.025, "look": 2}, ["looked at 2 times", "0.025"]),
        ({}, {"arms": ARMS | {"spt": arm_summary(failures=(0, 3))}}, ["left out: 2 of spt."]),
        ({"test": Interval(0.1, None, None, None, 5)}, {}, ["no interval from 400 test sequences"]),
        ({"test": Interval(-0.1, -0.2, -0.05, 0.001, 5)}, {}, ["Self-pretraining hurts", "): behind."]),
        (
            {"test": Interval(0.001, -0.01, 0.012, 0.8, 5)},
            {},
            ["equal within 2.0 points", "given seeds that learn the task"],
        ),
    ],
)
def test_what_a_reader_must_know_is_said(changes, how, parts):
    plain = claim([planted(0.4, 0.4)])
    text = said(claim([replace(planted(0.4, 0.4), **changes)]), "undetermined", **how)
    assert all(part in text and part not in said(plain, "undetermined") for part in parts)


def test_observations_come_before_caveats():
    caveat = Caveat(code="still-improving", text="spt was still improving.")
    text = said(claim([planted(0.4, 0.4)]), caveats=[caveat], observations=["It is faster."])
    assert text.index("It is faster.") < text.index(caveat.text)


@pytest.mark.parametrize(
    ("outcome", "code", "answer"),
    [
        ("not tested", "pretraining-learnt-nothing", "Not tested: self-pretraining has learnt nothing."),
        ("too short", "too-short", "Too short to say whether self-pretraining helps."),
    ],
)
def test_what_says_nothing_says_so_first_and_once_and_what_to_do(outcome, code, answer):
    caveat = Caveat(code=code, text="Self-pretraining has learnt nothing.", cure="Give it more.")
    whole = verdict([replace(claim([planted(0.0, 0.0)])[0], outcome=outcome)], caveats=[caveat])
    assert (whole.answer, whole.next) == (answer, "Next: Give it more.")
    assert str(whole).count("Give it more.") == 1
    assert "no difference" not in str(whole)


def counts(**left):
    """Arms of which so many of five seeds left the plateau."""
    arms = {arm.replace("_", "-"): (True,) * number + (False,) * (5 - number) for arm, number in left.items()}
    return ARMS | {arm: arm_summary(learnt=learnt) for arm, learnt in arms.items()}


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ((5, 5, 5), None),
        ((0, 0, 0), None),
        (
            (5, 0, 5),
            "Self-pretraining learnt the task in 5 of 5 seeds, scratch in 0 of 5 (at most 52% would, with 95% "
            "confidence), scratch-long in 5 of 5; exact test against scratch: p 0.008.",
        ),
        (
            (4, 5, 5),
            "Self-pretraining learnt the task in 4 of 5 seeds (28% to 99% would), scratch and scratch-long in 5 of 5; "
            "exact test against scratch: p 1.000.",
        ),
    ],
)
def test_plateaus_lead_the_claims_where_seeds_differ_in_them(left, sentence):
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.3, 0.3, TOTAL), against="scratch-long")])
    arms = counts(spt=left[0], scratch=left[1], scratch_long=left[2])
    first, *rest = verdict(contrasts, "undetermined", arms=arms).claims
    assert (first == sentence) if sentence else ("learnt the task" not in first)
    assert any("for seeds like these" in line for line in rest) == (sentence is not None)
