"""The verdict in words: what is said of every outcome and cause, and what is not."""

from dataclasses import replace

import pytest

from made_up import TASK, TOTAL, planted
from selfpretrain.comparison.claims import ALPHA, claim
from selfpretrain.comparison.judge import entry
from selfpretrain.comparison.summary import ArmSummary, Caveat, Summary
from selfpretrain.comparison.words import AHEAD, CAUSES, sentences
from selfpretrain.registry import ARMS as REGISTERED
from selfpretrain.stats import Interval
from stand_in import made


def arm_summary(failures=()):
    failed = dict.fromkeys(map(str, failures), "loss")
    return made(ArmSummary, best_train_acc=(0.51, None), learnt=(True,) * 5, failures=failed)


ARMS = {name: arm_summary() for name in REGISTERED}


def said(contrasts, cause="none", arms=ARMS, caveats=(), observations=(), level=ALPHA, look=1):
    comparisons = tuple(replace(entry(contrast, [], level), cause=cause) for contrast in contrasts)
    about = {"arms": arms, "warnings": caveats, "observations": observations, "level": level}
    return sentences(made(Summary, task=TASK.describe(), comparisons=comparisons, **about), look)


def rival(against, mean, half_width, outcome):
    test = Interval(mean, mean - half_width, mean + half_width, 0.01, 5)
    return replace(planted(0.0, 0.0), against=against, test=test, outcome=outcome)


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


def test_the_sentences_say_numbers_seeds_and_plateau():
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.3, 0.3, TOTAL), against="scratch-long")])
    text = said(contrasts, "optimization")
    assert text.startswith("Self-pretraining helps here: +")
    for part in ("equal label compute", "5 seeds, 400 test sequences", "equal total compute", "51%", "plateau"):
        assert part in text


@pytest.mark.parametrize("effect", [0.3, -0.3, 0.0])
def test_every_cause_is_put_in_words_of_its_own(effect):
    contrasts = claim([planted(effect, effect)])
    assert len({said(contrasts, cause) for cause in CAUSES}) == len(CAUSES)
    assert contrasts[0].outcome in AHEAD


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
        ({}, {"level": 0.025, "look": 2}, ["look 2", "0.025"]),
        ({}, {"arms": ARMS | {"spt": arm_summary(failures=(0, 3))}}, ["left out: 2 of spt."]),
        ({"test": Interval(0.1, None, None, None, 5)}, {}, ["no interval from 400 test sequences"]),
        ({"test": Interval(-0.1, -0.2, -0.05, 0.001, 5)}, {}, ["loses to scratch here"]),
    ],
)
def test_what_a_reader_must_know_is_said(changes, how, parts):
    plain = claim([planted(0.4, 0.4)])
    text = said(claim([replace(planted(0.4, 0.4), **changes)]), "undetermined", **how)
    assert all(part in text and part not in said(plain, "undetermined") for part in parts)


def test_caveats_and_observations_are_part_of_the_verdict():
    caveat = Caveat(code="still-improving", text="spt was still improving.")
    text = said(claim([planted(0.4, 0.4)]), caveats=[caveat], observations=["It is faster."])
    assert text.index("It is faster.") < text.index(caveat.text)


def test_what_was_not_tested_says_so_first_and_once():
    caveat = Caveat(code="pretraining-learnt-nothing", text="Self-pretraining has learnt nothing.")
    text = said([replace(claim([planted(0.0, 0.0)])[0], outcome="not tested")], caveats=[caveat])
    assert text.startswith("Not tested: self-pretraining has learnt nothing.")
    assert text.count("learnt nothing") == 1
    assert "no detectable effect" not in text


def counts(**left):
    """Arms of which so many of five seeds left the plateau."""
    arms = {arm.replace("_", "-"): (True,) * number + (False,) * (5 - number) for arm, number in left.items()}
    return ARMS | {arm: made(ArmSummary, best_train_acc=(0.5,), learnt=learnt) for arm, learnt in arms.items()}


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ((5, 5, 5), None),
        ((0, 0, 0), None),
        (
            (5, 0, 5),
            "Self-pretraining left the plateau in 5 of 5 seeds, scratch in 0 of 5 (at most 52% would, with 95% "
            "confidence), scratch-long in 5 of 5 (exact test against scratch: p 0.008).",
        ),
        (
            (4, 5, 5),
            "Self-pretraining left the plateau in 4 of 5 seeds (28% to 99% would), scratch in 5 of 5, scratch-long in "
            "5 of 5 (exact test against scratch: p 1.000).",
        ),
    ],
)
def test_plateaus_lead_the_verdict_where_seeds_differ_in_them(left, sentence):
    contrasts = claim([planted(0.4, 0.4), replace(planted(0.3, 0.3, TOTAL), against="scratch-long")])
    text = said(contrasts, "undetermined", arms=counts(spt=left[0], scratch=left[1], scratch_long=left[2]))
    assert text.startswith("Self-pretraining helps here" if sentence is None else sentence)
    assert ("for seeds like these" in text) == (sentence is not None)
