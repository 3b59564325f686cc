"""Tune, pick, report: the same grid and seeds for everyone, and the rule that picks."""

from dataclasses import replace

import pytest

from conftest import tiny_config, tiny_training
from selfpretrain.comparison.perform import perform, pick_lr
from selfpretrain.comparison.plan import FIRST_TUNING_SEED, Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import TrainConfig
from selfpretrain.engines.local import LocalEngine
from selfpretrain.metrics import Metrics
from selfpretrain.train.store import Store
from selfpretrain.train.training import TrainingResult
from selfpretrain.watch import Note, Planned, ignore


def trial(acc):
    return TrainingResult(failure="loss") if acc is None else TrainingResult(val=Metrics(acc=acc, loss=1.0))


@pytest.mark.parametrize(
    ("accuracies", "n_val", "picked"),
    [
        ((0.52, 0.5, None), 100, 1e-2),  # within one error (.05) of the best, and in the middle
        ((0.52, 0.5, None), 10_000, 1e-3),
        ((0.9, 0.8, 0.1), 100, 1e-3),
        ((0.1, 0.8, 0.9), 100, 3e-2),
        ((None, None, None), 100, 1e-2),
    ],
)
def test_the_rate_is_picked_on_validation(accuracies, n_val, picked):
    grid = (1e-3, 1e-2, 3e-2)
    tuned = pick_lr(grid, [(lr, trial(acc)) for lr, acc in zip(grid, accuracies, strict=True)], n_val)
    assert tuned.lr == picked
    assert tuned.tried == dict(zip(grid, accuracies, strict=True))


def test_several_tuning_seeds_are_averaged_and_one_failure_spoils_a_rate():
    trials = [(1e-3, trial(0.6)), (1e-3, trial(0.8)), (1e-2, trial(0.9)), (1e-2, trial(None))]
    tuned = pick_lr((1e-3, 1e-2), trials, 1000)
    assert tuned.tried == {1e-3: pytest.approx(0.7), 1e-2: None}
    assert tuned.lr == 1e-3


def test_one_rate_needs_no_trials(tiny_task):
    def seeds(**settings):
        plan = Plan.of(Request(tiny_config(arms=("scratch",), train=TrainConfig(**settings)), tiny_task))
        return sorted({seed for _, seed, _ in plan.trials})

    assert seeds(lr=(1e-2,), tune_seeds=3) == []
    assert seeds(lr=(1e-3, 1e-2), tune_seeds=2) == [FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1]
    assert pick_lr((1e-2,), [], 100).lr == 1e-2


def done(plan, folder, watch=ignore, **how):
    """Perform a plan in this process; gives the store, and what was performed."""
    store = Store(folder / "trainings", {plan.request.task.fingerprint: plan.request.task})
    with LocalEngine(store, workers=1, watch=watch) as engine:
        return store, perform(plan, folder / "runs", store, engine, watch, **how)


@pytest.mark.parametrize("arm", ["scratch", "spt"])
def test_every_arm_tries_the_same_rates_with_seeds_that_are_not_reported(tmp_path, tiny_task, arm):
    config = tiny_config(arms=(arm,), seeds=2, train=TrainConfig(lr=(1e-3, 1e-2), tune_seeds=2))
    plan, events = Plan.of(Request(config, tiny_task)), []
    assert {(seed, lr) for _, seed, lr in plan.trials} == {
        (FIRST_TUNING_SEED + k, lr) for k in range(2) for lr in (1e-3, 1e-2)
    }
    store, performed = done(plan, tmp_path, snapshots=2)
    lr = performed.tuned[arm].lr
    for run, training in zip(performed.runs[arm], plan.reported({arm: lr}).values(), strict=True):
        assert (run.record.training, run.result.lr) == (training, lr)
        assert store.finished(training).snapshots  # reported trainings can be diagnosed along the way
    assert all(store.finished(trial).snapshots == [] for trial in plan.trials.values())
    _, again = done(plan, tmp_path, events.append)
    assert again.tuned == performed.tuned
    assert [run.result for run in again.runs[arm]] == [run.result for run in performed.runs[arm]]
    total = (4 + 2) * (2 if arm == "spt" else 1)
    assert f"{total} of {total} trainings are there" in [event.text for event in events if isinstance(event, Note)]


def test_what_recipes_share_is_done_once_and_counted_once_in_the_time_left(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    frozen = {"0": (), "1": ("query-key",), "2": ("norms",)}
    request = Request(tiny_config(train=TrainConfig(lr=(1e-3, 1e-2))), tiny_task)
    plan = Plan(
        request=request,
        recipes={
            name: lambda seed, lr, groups=groups: replace(spt, seed=seed, frozen=groups)
            for name, groups in frozen.items()
        },
        seeds=dict.fromkeys(frozen, (0,)),
    )
    events = []
    done(plan, tmp_path, events.append)
    first = next(event for event in events if isinstance(event, Planned))
    assert first.later == pytest.approx(plan.flops(spt.source) + 3 * plan.flops(spt))
    assert len(first.costs) == 3 + 1  # whatever the rate, these recipes give the same label training
