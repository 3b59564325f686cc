"""Search, pick, test: the same grid for every seed of every arm, and nothing is done twice."""

from dataclasses import replace

import pytest

from conftest import tiny_config, tiny_training
from selfpretrain.comparison.perform import perform
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import TrainConfig
from selfpretrain.engines.local import LocalEngine
from selfpretrain.train.store import Store
from selfpretrain.watch import Done, Note, Planned, ignore

GRID = (1e-3, 1e-2)


def done(plan, folder, watch=ignore, **how):
    """Perform a plan in this process; gives the store, and what was performed."""
    store = Store(folder / "trainings", {plan.request.task.fingerprint: plan.request.task})
    with LocalEngine(store, workers=1, watch=watch) as engine:
        return store, perform(plan, folder / "runs", store, engine, watch, **how)


@pytest.mark.parametrize("arm", ["scratch", "spt"])
def test_every_seed_tries_the_grid_and_a_second_time_everything_is_there(tmp_path, tiny_task, arm):
    config = tiny_config(arms=(arm,), seeds=2, train=TrainConfig(lr=GRID))
    plan, events = Plan.of(Request(config, tiny_task)), []
    store, performed = done(plan, tmp_path, snapshots=2)
    for run, picked in zip(performed.runs[arm], performed.picked[arm], strict=True):
        assert (run.record.training, run.record.trials) == (picked.training, picked.trials)
        assert run.result.lr == picked.training.plan.lr
        assert run.result.lr_pretrain == (picked.training.source.plan.lr if arm == "spt" else None)
        assert run.result.label.val.acc == max(score.acc for score in picked.label.values())
        assert store.finished(picked.training).snapshots  # so that it can be diagnosed along the way
    trainings = 2 * len(GRID) * (2 if arm == "spt" else 1)
    assert len(list((tmp_path / "trainings").iterdir())) == trainings == len(plan.trainings)
    _, again = done(plan, tmp_path, events.append)
    assert again.picked == performed.picked
    assert [run.result for run in again.runs[arm]] == [run.result for run in performed.runs[arm]]
    there = f"{trainings} of {trainings} trainings are there"
    assert [event.text for event in events if isinstance(event, Note)] == [there]
    assert not any(isinstance(event, Done) for event in events)


def test_an_interrupted_search_goes_on_where_it_was(tmp_path, tiny_task):
    """Whatever had ended stays, and what is announced is what is left."""
    plan = Plan.of(Request(tiny_config(arms=("spt",), seeds=1, train=TrainConfig(lr=GRID)), tiny_task))

    def stop(event):
        if isinstance(event, Done) and " label " in event.job:
            raise KeyboardInterrupt

    events = []
    with pytest.raises(KeyboardInterrupt):
        done(plan, tmp_path, stop)
    _, performed = done(plan, tmp_path, events.append)
    ended = [event.job for event in events if isinstance(event, Done)]
    announced = next(event for event in events if isinstance(event, Planned))
    assert list(announced.costs) == ended and len(ended) == 1
    _, afresh = done(plan, tmp_path / "afresh")
    assert [run.result.test for run in performed.runs["spt"]] == [run.result.test for run in afresh.runs["spt"]]


def test_what_recipes_share_is_done_once_and_announced_once(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    frozen = {"0": (), "1": ("query-key",), "2": ("norms",)}
    request = Request(tiny_config(train=TrainConfig(lr=GRID)), tiny_task)
    plan = Plan(
        request=request,
        recipes={
            name: lambda seed, rates, groups=groups: replace(spt, seed=seed, frozen=groups)
            for name, groups in frozen.items()
        },
        seeds=dict.fromkeys(frozen, (0,)),
    )
    events = []
    done(plan, tmp_path, events.append)
    announced = next(event for event in events if isinstance(event, Planned))
    assert sum(announced.costs.values()) == pytest.approx(plan.flops(spt.source) + 3 * plan.flops(spt))
    assert sorted(announced.costs) == sorted(event.job for event in events if isinstance(event, Done))
    assert len(announced.costs) == 3 + 1  # whatever the rates, these recipes give the same trainings
