"""Whole answers to planted outcomes: what a careful statistician would say of each, and what nobody should."""

from dataclasses import replace

import numpy as np
import pytest

from made_up import N_TEST, answer_of, made_up
from selfpretrain.comparison.summary import Caveat, Shortened
from selfpretrain.comparison.words import verdict_of
from selfpretrain.config import TrainConfig
from selfpretrain.metrics import Metrics
from selfpretrain.train.training import TrainingResult

STUCK = (0.5, 0.51, 0.49)
LONG = (0.5, 0.5, 0.52)


def arm(name, accuracies, *, losses=None, curve=(), same_rows=False):
    """Runs that are right on so many test rows, drawn for each arm alone or for all arms alike.

    Args:
        losses: of self-pretraining, beside 2.0 for a table of frequencies.
        curve: accuracy on validation and on training rows, at each validation.
    """
    runs = []
    for seed, accuracy in enumerate(accuracies):
        generator = np.random.default_rng([seed, 0 if same_rows else len(name)])
        hit = np.zeros(N_TEST, dtype=bool)
        hit[generator.permutation(N_TEST)[: round(accuracy * N_TEST)]] = True
        run = made_up(
            name,
            seed,
            hit,
            pretrain=losses and TrainingResult(val_reconstruction=losses[seed], val_without_context=2.0),
            rows=tuple({"phase": "label", "val_acc": val, "train_sample_acc": train} for val, train in curve),
            best_train_sample_acc=1.0 if accuracy > 0.7 else 0.55,
            val=Metrics(acc=accuracy, loss=1.0),
        )
        runs.append(run)
    return runs


def answer(spt, scratch, scratch_long, *, losses=None, shortened=None, **how):
    losses = losses or (1.2,) * len(spt)
    runs = {"spt": arm("spt", spt, losses=losses, **how)}
    runs |= {"scratch": arm("scratch", scratch, **how), "scratch-long": arm("scratch-long", scratch_long, **how)}
    return answer_of(runs, shortened=shortened)


def outcomes(planted):
    return tuple(entry.outcome for entry in planted.comparisons)


def test_self_pretraining_that_is_stuck_in_one_seed_of_three_was_tested_and_is_unreliable():
    planted = answer((0.99, 0.5, 0.98), STUCK, LONG, losses=(1.2, 1.99, 1.2))
    text = str(planted.verdict)
    assert planted.tested and outcomes(planted) == ("no detectable effect",) * 2
    assert planted.verdict.answer.startswith(
        "Undecided whether self-pretraining helps: it learnt the task in 2 of 3 seeds, scratch in 0 of 3"
    )
    assert "Self-pretraining is unreliable: in 1 of 3 seeds it has learnt no more than symbol frequencies." in text
    assert "(9% to 99% would)" in text and "--seeds 3-8" in text and "no difference:" not in text


def test_small_and_unequal_shares_that_were_learnt_are_enough_where_every_seed_is_right():
    planted = answer((1, 1, 1), STUCK, LONG, losses=(1.72, 1.78, 1.88))
    assert planted.tested and outcomes(planted) == ("helps", "helps")
    assert planted.verdict.answer.startswith(
        "Self-pretraining helps (100.0% on test, scratch 50.0%), also at equal total"
    )
    assert "3 of 3 seeds, scratch and scratch-long in 0 of 3 (at most 71% would" in planted.verdict.claims[0]


def test_scratch_that_escapes_in_one_of_five_seeds_is_counted():
    planted = answer((1, 1, 0.99, 1, 1), (*STUCK, 0.5, 1), (*LONG, 0.5, 1))
    assert planted.arms["scratch"].learnt == (False, False, False, False, True)
    assert outcomes(planted) == ("helps", "helps")
    count, claim, _ = planted.verdict.claims
    assert "in 5 of 5 seeds, scratch and scratch-long in 1 of 5 (1% to 72% would)" in count and "p 0.048" in count
    assert "for seeds like these" in claim


def test_behind_at_equal_total_compute_is_in_the_answer_and_the_other_model_is_recommended():
    planted = answer((0.85, 0.86, 0.85, 0.84, 0.85), (0.84, 0.86, 0.85, 0.85, 0.84), (0.95, 0.96, 0.95, 0.94, 0.95))
    assert outcomes(planted) == ("no detectable effect", "loses")
    assert "at equal total compute it is behind scratch-long." in planted.verdict.answer
    assert planted.recommended.arm == "scratch-long"
    assert "nothing to explain" not in str(planted.verdict)


def test_equal_within_a_point_is_equal_for_seeds_that_left_the_plateau():
    a, b = (0.995, 0.99, 0.995, 0.99, 0.995), (0.99, 0.995, 0.99, 0.995, 0.99)
    planted = answer(a, b, a, same_rows=True)
    assert outcomes(planted) == ("equal", "equal")
    assert "makes no difference: equal within 2.0 points" in planted.verdict.answer
    assert "equal, given seeds that learn the task, as all of these did" in planted.verdict.claims[0]
    assert any("next to nothing to gain" in note for note in planted.verdict.notes)


@pytest.mark.parametrize(("share", "outcome"), [(0.08, "too short"), (0.9, "no detectable effect")])
def test_runs_that_were_cut_short_say_so_and_how_long_they_would_take(share, outcome):
    rising = [(acc, acc) for acc in np.linspace(0.5, 0.62, 9)]
    shortened = Shortened(share, 1500.0, 0)
    planted = answer((0.6, 0.61, 0.62), (0.6, 0.6, 0.61), (0.63, 0.62, 0.64), curve=rising, shortened=shortened)
    assert outcomes(planted) == (outcome, outcome)
    assert ("Next: --budget 25m trains the whole preset" in planted.verdict.next) is (outcome == "too short")
    assert planted.verdict.answer.startswith(("Too short", "Undecided")[outcome != "too short"])
    assert "no difference" not in planted.verdict.answer


def test_all_right_has_an_exact_interval():
    planted = answer((1, 1, 1), (1, 1, 1), (1, 1, 1))
    assert outcomes(planted) == ("equal", "equal")
    u = 1 - 0.025 ** (1 / N_TEST)
    assert planted.comparisons[0].ci95 == pytest.approx((-u, u))
    assert planted.arms["spt"].test_ci95 == pytest.approx((1 - u, 1))


def test_arms_that_are_right_on_the_same_rows_are_equal():
    same = (0.8, 0.82, 0.81, 0.8, 0.83)
    planted = answer(same, same, same, same_rows=True)
    assert outcomes(planted) == ("equal", "equal") and planted.comparisons[0].effect == 0
    assert [entry.cause for entry in planted.comparisons] == ["none", "none"]


def test_arms_that_are_stuck_on_the_same_rows_are_not_called_equal():
    planted = answer(STUCK, STUCK, STUCK, same_rows=True)
    assert outcomes(planted) == ("no detectable effect",) * 2


@pytest.mark.parametrize(("last", "rising"), [(0.79, False), (0.86, True)])
def test_training_that_rises_while_validation_falls_is_no_reason_for_more_steps(last, rising):
    curve = list(zip(np.linspace(0.8, last, 9), np.linspace(0.8, 1, 9), strict=True))
    accs = (0.79, 0.8, 0.79)
    planted = answer(accs, accs[::-1], accs, curve=curve)
    assert ("still-improving" in [caveat.code for caveat in planted.warnings]) is rising
    assert ("--label.duration" in str(planted.verdict)) is rising


def test_a_second_look_is_one_however_the_request_is_spelt():
    lead = {"spt": arm("spt", (0.58, 0.56, 0.57, 0.6, 0.59), losses=(1.2,) * 5), "scratch": arm("scratch", (0.54,) * 5)}
    before = answer_of({name: runs[:3] for name, runs in lead.items()})
    after = answer_of(lead, before.looks, train=TrainConfig(checkpoint_seconds=9.0))
    assert after.level == before.level / 2
    assert any("looked at 2 times" in note and "p below 0.025" in note for note in after.verdict.notes)


def test_where_there_is_next_to_nothing_to_gain_nothing_more_is_asked_for():
    """Undecided, and the best rates at the edge of the grid; another grid could not change what to do."""
    nearly = ((1, 0.99, 0.98), (0.99, 0.98, 1), (0.98, 1, 0.99))
    planted = answer(*nearly)
    assert outcomes(planted)[0] == "no detectable effect"
    assert any("next to nothing to gain" in note for note in planted.verdict.notes) and planted.verdict.next == ""
    assert answer((0.8, 0.85, 0.9), (0.84, 0.8, 0.82), (0.8, 0.85, 0.85)).verdict.next != ""


def test_rows_that_perhaps_belong_together_are_settled_before_anything_longer_is_run():
    undecided = ((0.8, 0.85, 0.9), (0.84, 0.8, 0.82), (0.8, 0.85, 0.85))
    planted = answer(*undecided, shortened=Shortened(0.9, 1500.0, 2))
    assert "--budget 25m" in planted.verdict.next
    groups = Caveat(code="perhaps-groups", text="Rows look alike.", cure="--group person keeps them together.")
    verdict = verdict_of(replace(planted, warnings=(*planted.warnings, groups)), look=1)
    assert verdict.next == "Next: --group person keeps them together."
    assert any("--budget 25m" in note for note in verdict.notes)
