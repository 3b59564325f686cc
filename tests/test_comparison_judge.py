"""From made-up runs to the answer: the decision table row by row, looks, and when more seeds would add nothing."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_up import N_TEST, TOTAL, answer_of, made_up, planted, planted_runs
from selfpretrain.comparison.claims import ALPHA, claim
from selfpretrain.comparison.judge import cause_of, is_clear, with_more_compute
from selfpretrain.comparison.summary import Shortened
from selfpretrain.config import PhaseConfig, TrainConfig
from selfpretrain.files import to_dict
from selfpretrain.stats import Interval

SAME = Interval(0.0, -0.001, 0.001, 0.9, 5)
SMALL = replace(planted(0.0, 0.0), test=Interval(0.012, 0.01, 0.014, 1e-4, 5))


@pytest.mark.parametrize(
    ("contrast", "longer", "decided"),
    [
        (planted(0.4, 0.4), planted(0.3, 0.3, TOTAL), ("helps", "optimization")),
        (planted(0.4, 0.4), replace(planted(0.0, 0.0, TOTAL), test=SAME), ("helps", "speed")),
        (planted(0.4, 0.4), planted(-0.1, 0.0, TOTAL), ("helps", "compute")),  # the other is ahead then
        (planted(0.4, 0.4), planted(0.0, 0.0, TOTAL, seed=1), ("helps", "undetermined")),  # it is open what that does
        (planted(0.4, 0.4), None, ("helps", "undetermined")),  # nobody got more compute
        (planted(0.3, 0.0), planted(0.3, 0.0, TOTAL), ("helps", "generalization")),
        (planted(0.4, 0.05), planted(0.4, 0.05, TOTAL), ("helps", "undetermined")),  # too small a gap in training
        # Of a small gain, training must be equal to half of it.
        (replace(SMALL, train=Interval(0.005, -0.003, 0.013, 0.2, 5)), None, ("helps", "undetermined")),
        (replace(SMALL, train=Interval(0.001, -0.004, 0.005, 0.5, 5)), None, ("helps", "generalization")),
        (planted(-0.3, -0.3), planted(0.0, 0.0, TOTAL), ("loses", "undetermined")),  # nobody gave it more compute
        (planted(-0.3, 0.0), None, ("loses", "generalization")),
        (planted(0.0, 0.0), None, ("no detectable effect", "none")),
        (replace(planted(0.0, 0.0, steps=(100, 300)), test=SAME), None, ("equal", "speed")),
        # Not at equal label steps.
        (replace(planted(0.0, 0.0, TOTAL, steps=(100, 300)), test=SAME), None, ("equal", "none")),
        (planted(0.4, 0.4, n_seeds=2), planted(0.4, 0.4, TOTAL, n_seeds=2), ("not tested", "undetermined")),
    ],
)
def test_the_decision_table(contrast, longer, decided):
    found = claim([contrast] if longer is None else [contrast, longer])
    assert (found[0].outcome, cause_of(found[0], found[1] if longer else None)) == decided


def test_the_cause_of_other_contrasts_does_not_come_from_scratch_long():
    contrasts = [
        planted(0.4, 0.4),
        replace(planted(0.4, 0.4, TOTAL), against="scratch-long"),
        replace(planted(0.4, 0.4), against="mimetic"),
    ]
    found = [with_more_compute(contrast, contrasts) for contrast in contrasts]
    assert found == [contrasts[1], contrasts[1], None]


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
    assert (answer.comparisons[0].n_test, answer.comparisons[0].outcome) == (N_TEST, outcome)
    assert answer.tested == (outcome != "not tested")
    assert answer.verdict.answer.startswith("Not tested") is not answer.tested
    codes = [caveat.code for caveat in answer.warnings]
    assert ("pretraining-learnt-nothing" in codes) == (loss > 1.9)


RUNS = planted_runs(0.0, 0.0)


def first(n_seeds, *more):
    """The first runs of each arm, and of further arms that are like scratch."""
    return {arm: of[:n_seeds] for arm, of in (RUNS | dict.fromkeys(more, RUNS["scratch"])).items()}


@pytest.mark.parametrize(
    "settings",
    [
        {"train": TrainConfig(snapshots=3)},
        {"train": TrainConfig(checkpoint_seconds=5.0)},
        {"train": TrainConfig(recompute=True)},
        {"label": PhaseConfig(duration="2229")},
    ],
)
def test_what_changes_no_number_makes_no_other_question(settings):
    """A second look is judged at half the level, however often states are kept and however durations are spelt."""
    label = {"label": PhaseConfig(duration="2229steps")}
    before = answer_of(first(3), **label)
    answer = answer_of(first(5), before.looks, **{**label, **settings})
    assert (before.level, answer.level) == (ALPHA, ALPHA / 2)
    assert "looked at 2 times" in str(answer.verdict) and "looked at" not in str(before.verdict)


def test_seeds_that_were_added_after_a_result_was_seen_are_another_look():
    looks, found = {}, []
    steps = [
        (first(3), {}),
        (first(3, "mimetic"), {}),  # nothing new about the question
        (first(4), {}),
        (first(5), {}),
        (first(4), {}),  # as it was then
        (first(3), {"train": TrainConfig(lr=(3e-3,))}),  # another question
        (first(3), {"label": PhaseConfig(duration="17steps")}),  # yet another
    ]
    for runs, settings in steps:
        answer = answer_of(runs, looks, **settings)
        looks = answer.looks
        found.append(answer.level)
    assert found == [0.05, 0.05, 0.025, 0.0125, 0.025, 0.05, 0.05]
    assert [[look.n_seeds for look in taken] for taken in looks.values()] == [[3, 4, 5], [3], [3]]


@pytest.mark.parametrize(
    ("outcomes", "losses", "clear"),
    [
        (("helps", "helps"), (1.0, 2.0, 2.0), True),
        (("helps", "no detectable effect"), (1.0, 2.0, 2.0), False),
        (("no detectable effect", "loses"), (1.0, 2.0, 2.0), False),
        (("not tested", "not tested"), (1.0, 2.0, 2.0), False),
        (("not tested", "not tested"), (2.0, 2.0, 2.0), True),  # no seed has learnt anything
        (("helps", None), (1.0, 2.0, 2.0), False),
        ((None, None), (1.0, 2.0, 2.0), False),
    ],
)
def test_it_is_clear_when_every_primary_claim_is_made_or_nothing_was_learnt(outcomes, losses, clear):
    """Primary are spt against scratch and against scratch-long; None: no pair of their runs has ended well."""
    answer = answer_of(first(3, "scratch-long", "mimetic"))
    learnt = replace(answer.arms["spt"], val_reconstruction=losses, val_without_context=(2.0, 2.0, 2.0))
    primary = [entry for entry in answer.comparisons if entry.primary]
    secondary = [replace(entry, outcome="helps") for entry in answer.comparisons if not entry.primary]
    made = [replace(e, outcome=outcome) for e, outcome in zip(primary, outcomes, strict=True) if outcome is not None]
    changed = replace(answer, comparisons=(*made, *secondary), arms={**answer.arms, "spt": learnt})
    assert is_clear(changed) is clear


@pytest.mark.parametrize("rates", [0, 2])
def test_learning_rates_that_a_budget_left_out_are_said_and_come_first_in_what_to_do(rates):
    answer = answer_of(planted_runs(0.0, 0.0), shortened=Shortened(0.9, 1590.0, rates), train=TrainConfig(lr=(1e-3,)))
    text = "The budget left out 2 of 3 learning rates: nothing was tuned."
    assert (text in answer.verdict.notes) is bool(rates)
    assert answer.verdict.next.startswith("Next: --budget 27m trains the whole preset") is bool(rates)


def test_of_a_single_arm_nothing_is_ever_clear():
    assert not is_clear(answer_of({"scratch": RUNS["scratch"]}))


def varied_answer():
    """An answer with caveats and sentences that name several arms and versions, as JSON."""

    def of_version(run, version):
        versions = {"selfpretrain": version, "torch": version}
        return replace(run, result=replace(run.result, label=replace(run.result.label, versions=versions)))

    runs = planted_runs(0.1, 0.1, losses=(1.99, 2.0))
    best = [made_up("classical", 0, np.arange(N_TEST) > 2, choice="extra trees", best_train_sample_acc=1.0)] * 5
    runs |= {"classical": best, **dict.fromkeys(("scratch-long", "mimetic", "bias", "rotary"), runs["scratch"])}
    runs = {arm: [of_version(run, f"{n}.0") for n, run in enumerate(own)] for arm, own in runs.items()}
    return json.dumps(to_dict(answer_of(runs)))


def test_an_answer_does_not_depend_on_the_hash_seed():
    code = "import test_comparison_judge as t; print(t.varied_answer())"
    env = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"}
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent, env=env)
    answer = varied_answer()
    assert other.stdout.strip() == answer
    assert all(code in answer for code in ("learnt-nothing", "classical-model-better", "mixed-versions"))
