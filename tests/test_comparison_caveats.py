"""What should be known before an answer is believed: each said where it is planted, and not where it is not."""

from dataclasses import replace

import numpy as np
import pytest

from made_up import LABEL, N_TEST, ROWS, TASK, made_up, planted, planted_runs
from selfpretrain.comparison.caveats import (
    caveats,
    hurry,
    learnt_nothing,
    observations,
    still_improving,
    too_short,
)
from selfpretrain.comparison.claims import ALPHA, claim, contrast_of
from selfpretrain.comparison.judge import arm_summary
from selfpretrain.comparison.summary import ArmSummary, Shortened
from selfpretrain.data.task import DataSummary
from selfpretrain.train.training import TrainingResult
from stand_in import made


def said(runs, kind="symbols", **changes):
    """Codes of the caveats, with their sentences."""
    n = len(next(run.predicted for run in runs["spt"] if run.predicted is not None))
    task = replace(
        TASK,
        codec=replace(TASK.codec, kind=kind),
        **{"test": TASK.test, **changes},
    )
    task = replace(task, test=replace(task.test, y=np.zeros(n, dtype=np.int64), numbers=np.arange(n)))
    contrasts = claim([contrast_of("spt", LABEL, runs, task.test)])
    arms = {arm: arm_summary(own, task, ()) for arm, own in runs.items()}
    known = caveats(task, runs, arms, contrasts, next_level=ALPHA / 2, grid=(1e-3,))
    return {caveat.code: str(caveat) for caveat in known}


def changed(runs, rows=(), **label):
    """The same runs with other validations of label training, or other numbers."""
    labelled = [tuple({**row, "phase": "label"} for row in curve) for curve in rows] or [()] * len(runs)
    return [
        replace(run, rows=own, result=replace(run.result, label=replace(run.result.label, **label)))
        for run, own in zip(runs, labelled, strict=False)
    ]


def curve(*accuracies):
    return [{"train_sample_acc": 0.5, "val_acc": acc} for acc in accuracies]


@pytest.mark.parametrize(
    ("loss", "nothing"),
    [((1.98, 1.97, 1.99), True), ((1.8, 1.81, 1.79), False), ((1.2, 2.0, 2.0), False), ((2.0, 2.0, 1.95), False)],
)
def test_nothing_is_learnt_if_no_seed_has_learnt_anything_or_reliably_next_to_nothing(loss, nothing):
    """One seed that has learnt something is not outvoted by the others."""

    def entry(*losses):
        without = tuple(loss and 2.0 for loss in losses)
        return made(ArmSummary, val_reconstruction=losses, val_without_context=without)

    assert learnt_nothing(entry(*loss, None)) == nothing
    assert learnt_nothing(entry(loss[0])) == (loss[0] > 1.96)
    assert not learnt_nothing(entry(None))


def test_both_losses_are_said_in_the_kinds_words():
    runs = planted_runs(0.0, 0.0, losses=(2.85, 2.883))
    text = said(runs)["pretraining-learnt-nothing"]
    assert "has learnt no more than symbol frequencies (reconstruction loss 2.850 nats, without context 2.883;" in text
    assert "nats" not in said(runs, kind="values")["pretraining-learnt-nothing"]


def test_still_improving_is_a_rise_of_a_point_on_validation_that_seeds_agree_on():
    rising = [curve(*np.linspace(0.5, 0.7, 9) + shift) for shift in (0.0, 0.01, 0.02)]
    flat = [curve(0.3, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7)] * 3
    slow = [curve(*np.linspace(0.5, 0.515, 9))] * 3
    noisy = [curve(*np.linspace(0.5, 0.5 + rise, 9)) for rise in (0.3, -0.2, 0.05)]
    assert [still_improving(curves) for curves in (rising, flat, slow, noisy)] == [True, False, False, False]
    assert not still_improving(rising[:1])  # one seed shows no agreement
    assert not still_improving([])
    overfit = [[{**row, "train_sample_acc": 1 - row["val_acc"]} for row in reversed(rows)] for rows in rising]
    assert not still_improving(overfit)  # accuracy rises on training data while it falls on validation data
    runs = {arm: of_arm[:3] for arm, of_arm in planted_runs(0.3, 0.3).items()}
    text = said({arm: changed(of_arm, rising) for arm, of_arm in runs.items()})["still-improving"]
    assert text.startswith("spt and scratch were still improving")
    assert "still-improving" not in said({**runs, "scratch": changed(runs["scratch"], flat)})


@pytest.mark.parametrize(("share", "rises", "short"), [(0.08, True, True), (0.6, True, False), (0.08, False, False)])
def test_too_short_is_what_a_budget_cut_by_half_while_every_network_still_improved(share, rises, short):
    ends = (0.7 if rises else 0.5, 0.7)
    curves = {
        arm: [curve(*np.linspace(0.5, end, 9) + shift) for shift in (0.0, 0.01, 0.02)]
        for arm, end in zip(("spt", "scratch"), ends, strict=True)
    }
    runs = {arm: changed(own[:3], curves[arm]) for arm, own in planted_runs(0.0, 0.0).items()}
    assert too_short(runs, Shortened(share, 1460.0)) is short
    assert str(hurry(Shortened(0.08, 1460.0))).endswith(
        "--budget 25m trains the whole preset, with all its learning rates."
    )
    assert "--budget 18h trains" in hurry(Shortened(0.08, 1064 * 60.0)).cure


def test_self_pretraining_that_learns_with_some_seeds_alone_is_unreliable():
    runs = planted_runs(0.3, 0.3, losses=(1.5, 2.0))
    stuck = TrainingResult(val_reconstruction=1.99, val_without_context=2.0)
    runs["spt"][1] = replace(runs["spt"][1], result=replace(runs["spt"][1].result, pretrain=stuck))
    texts = said(runs)
    assert "in 1 of 5 seeds it has learnt no more than" in texts["pretraining-unreliable"]
    assert "pretraining-learnt-nothing" not in texts


@pytest.mark.parametrize(
    ("picks", "text"),
    [
        ((1e-2, 1e-2, 3e-3), "the highest rate, 0.01, for scratch. A wider grid (--lr 0.001,0.003,0.01,0.03)"),
        ((1e-3, 1e-3, 3e-3), "the lowest rate, 0.001, for scratch. A wider grid (--lr 0.0003,0.001,0.003,0.01)"),
        ((1e-3, 1e-2, 3e-3), None),
        (None, None),  # every run failed, so nothing was picked
    ],
)
def test_picks_at_an_edge_are_said_with_the_grid_that_is_wider(picks, text):
    def entry(lr, lr_pretrain, val=0.6):
        without = dict.fromkeys(("learnt", "test_acc", "val_reconstruction", "val_without_context"), (None,) * 3)
        return made(ArmSummary, **without, lr=lr, lr_pretrain=lr_pretrain, val_acc=(val,) * 3)

    none = (None,) * 3
    scratch = entry((1e-3,) * 3, none, val=None) if picks is None else entry(picks, none)
    arms = {"scratch": scratch, "spt": entry((1e-2,) * 3, (3e-3,) * 3, val=0.99)}  # nothing to gain there
    known = caveats(TASK, {}, arms, [], next_level=ALPHA, grid=(1e-3, 3e-3, 1e-2))
    edges = [str(caveat) for caveat in known if caveat.code == "rates-at-edge"]
    assert (text in edges[0]) if text else (edges == [])


def test_nothing_to_gain_is_an_arm_at_the_ceiling():
    def runs(hit, fitted):
        made = [made_up("scratch", seed, hit, best_train_sample_acc=fitted) for seed in range(5)]
        return {"spt": made, "scratch": made}

    top, middling = np.arange(N_TEST) > 1, np.arange(N_TEST) > 200
    assert "scratch alone scores 99.5%" in said(runs(top, 1.0))["nothing-to-gain"]
    assert "nothing-to-gain" not in said(runs(middling, 1.0))
    assert "nothing-to-gain" not in said(runs(top, 0.9))


@pytest.mark.parametrize(
    ("wrong", "tells_apart", "expected"), [(0, False, True), (3, False, True), (9, False, False), (0, True, False)]
)
def test_it_is_said_if_every_arm_answers_the_commonest_class(wrong, tells_apart, expected):
    """Of 400 test rows 12 are of the rare class, which both arms find or not; ``wrong`` others they call rare."""
    rare = np.arange(N_TEST) >= N_TEST - 12
    predicted = np.where((np.arange(N_TEST) < wrong) | (rare & tells_apart), 1, 0)
    task = replace(TASK, test=replace(TASK.test, y=rare.astype(np.int64), numbers=np.arange(N_TEST)))
    runs = {arm: [replace(made_up(arm, 0, rare), predicted=predicted)] for arm in ("spt", "scratch")}
    known = caveats(task, runs, {}, [], next_level=ALPHA / 2, grid=(1e-3,))
    texts = {caveat.code: caveat.text for caveat in known}
    assert ("commonest-class" in texts) is expected
    if expected:
        assert f"the commonest class, {TASK.classes[0]}, nearly always" in texts["commonest-class"]
        assert "right for 97.0% of the test rows" in texts["commonest-class"]


def test_what_could_have_been_missed_are_the_ends_of_the_interval():
    runs = planted_runs(0.0, 0.0, seed=2, n_seeds=3)
    contrast = contrast_of("spt", LABEL, runs, ROWS)
    gain, loss = 100 * contrast.test.high, -100 * contrast.test.low
    text = said(runs)["could-not-see"]
    assert (
        f"With 3 seeds and 400 test sequences a gain of up to {gain:.1f} or a loss of up to {loss:.1f} points could"
        in text
    )
    assert "could-not-see" not in said(planted_runs(0.4, 0.4))


def leading(n_seeds=3, n=2000):
    """Ahead in every seed, by very different amounts: 14, 13 and 4 points."""
    chance = np.random.default_rng(1)
    base = chance.random((n_seeds, n)) < 0.5
    ahead = base.copy()
    for row, lead in zip(ahead, (0.14, 0.13, 0.04), strict=True):
        row[np.flatnonzero(~row)[: round(lead * n)]] = True
    return {
        arm: [made_up(arm, seed, hit, best_train_sample_acc=0.5) for seed, hit in enumerate(hits)]
        for arm, hits in (("spt", ahead), ("scratch", base))
    }


def test_ahead_in_every_seed_says_so_and_how_many_seeds_would_do():
    runs = leading()
    contrast = claim([contrast_of("spt", LABEL, runs, replace(ROWS, y=np.zeros(2000, dtype=int)))])[0]
    assert contrast.outcome == "no detectable effect"
    needed = contrast.seeds_needed(ALPHA / 2)  # that is another look
    assert contrast.seeds_needed(ALPHA) < needed <= 12
    text = said(runs)["could-not-see"]
    assert "spt is ahead in all 3 seeds, by 10.3 points on average" in text
    assert f"--seeds {needed} goes on from these runs" in text and "takes p below 0.025" in text
    assert f"--seeds 3-{needed}" in text
    assert claim([planted(0.4, 0.4)])[0].seeds_needed(ALPHA) is None


def test_a_classical_model_is_better_if_it_is_reliably_ahead_of_the_best_network():
    runs, chance = planted_runs(0.1, 0.1), np.random.default_rng(5)

    def with_classical(accuracy):
        hit = chance.random(N_TEST) < accuracy
        choice = "one-hot positions, extra trees"
        return runs | {"classical": [made_up("classical", 0, hit, choice=choice, best_train_sample_acc=1.0)] * 5}

    text = said(with_classical(0.95))["classical-model-better"]
    assert "one-hot positions, extra trees" in text
    assert "the best network, spt" in text
    assert "classical-model-better" not in said(with_classical(0.61))


def test_trainings_of_several_versions_are_named():
    runs = planted_runs(0.0, 0.0)
    old, new = ({"selfpretrain": "0.2", "torch": version} for version in ("2.9", "2.13"))
    runs["scratch"] = changed(runs["scratch"], versions=new)
    assert "mixed-versions" not in said(runs)
    runs["spt"] = [*changed(runs["spt"][:1], versions=old), *changed(runs["spt"][1:], versions=new)]
    text = said(runs)["mixed-versions"]
    assert "torch 2.13 and 2.9" in text
    assert "selfpretrain" not in text


def test_speed_is_an_observation_whatever_the_accuracies():
    faster = claim([planted(0.0, 0.0, steps=(175, 350))])
    assert observations(faster)[0].startswith("spt learns faster from labels: it fits 90% of its labels in 17")
    assert observations(claim([planted(0.0, 0.0, steps=(175, 175))])) == []
    assert observations(claim([planted(0.0, 0.0)])) == observations([]) == []


def test_rows_that_self_pretraining_alone_saw_and_rivals_that_are_not_there_are_said(monkeypatch):
    runs = planted_runs(0.3, 0.3)
    monkeypatch.setattr("selfpretrain.arms.classical.aeon_obstacle", lambda task: "needs the package aeon")
    assert not {"more-rows", "rival-missing"} & said(runs).keys()
    texts = said({**runs, "classical": runs["scratch"]}, unlabelled=TASK.train)
    assert f"saw {len(TASK.train)} rows without a label, beside {len(TASK.train)} with one" in texts["more-rows"]
    assert "MiniRocket, a strong rival on series, was not compared. pip install" in texts["rival-missing"]


def test_what_groups_of_test_rows_mean_is_said_and_columns_that_look_like_them_are_named():
    runs = planted_runs(0.3, 0.3)
    about = made(DataSummary, group="person", perhaps_group=())
    assert not {"groups", "perhaps-groups"} & said(runs).keys()
    test = replace(TASK.test, groups=np.arange(len(TASK.test)) % 4)
    texts = said(runs, test=test, data=about)
    assert texts["groups"].startswith(
        "Intervals are about new groups (person): the 4 in test count as 4, not as 400 rows."
    )
    assert texts["groups"].endswith("More groups (person) would narrow them; more rows of the same ones would not.")
    many = said(runs, test=replace(test, groups=np.arange(len(TASK.test)) % 40), data=about)["groups"]
    assert many.endswith("not as 400 rows.")
    texts = said(runs, data=made(DataSummary, group="", perhaps_group=("person", "site")))
    assert "Rows have the same person and site as others" in texts["perhaps-groups"]
    assert "--group person keeps those of one value in one split" in texts["perhaps-groups"]
