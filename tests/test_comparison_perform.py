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
from selfpretrain.train.training import Start
from selfpretrain.train.work import training_cost
from selfpretrain.watch import Done, Note, Planned, Progress, ignore

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
    assert sum(announced.costs.values()) == pytest.approx(plan.cost(spt.source) + 3 * plan.cost(spt))
    assert sorted(announced.costs) == sorted(event.job for event in events if isinstance(event, Done))
    assert len(announced.costs) == 3 + 1  # whatever the rates, these recipes give the same trainings


# A longer training goes on from a shorter one.


def lengths_of(task, arms):
    """A plan of some arms with one rate; scratch-long goes on from scratch."""
    return Plan.of(Request(tiny_config(arms=arms, seeds=1, train=TrainConfig(lr=(1e-2,))), task))


@pytest.mark.parametrize("arms", [("scratch", "scratch-long"), ("scratch-long", "scratch")])
def test_a_longer_training_waits_for_the_shorter_one_and_leaves_no_state_behind(tmp_path, tiny_task, arms):
    plan, events = lengths_of(tiny_task, arms), []
    store, performed = done(plan, tmp_path, events.append, snapshots=3)
    long = performed.picked["scratch-long"][0].training
    first = next(e.step for e in events if isinstance(e, Progress) and e.job.startswith("scratch-long"))
    assert first == plan.done(long) + 1 == 10
    assert not list(tmp_path.glob("trainings/*/checkpoint"))
    _, alone = done(lengths_of(tiny_task, ("scratch-long",)), tmp_path / "alone", snapshots=3)
    assert alone.runs["scratch-long"][0].result.test == performed.runs["scratch-long"][0].result.test
    assert store.finished(long).snapshots == Store(tmp_path / "alone" / "trainings").finished(long).snapshots


def test_a_shorter_training_that_never_runs_is_not_waited_for(tmp_path, tiny_task):
    """Of a rate of self-pretraining that was not picked, the plan has stand-ins alone."""
    request = Request(tiny_config(train=TrainConfig(lr=GRID)), tiny_task)

    def from_(lr_of, extra):
        def recipe(seed, rates):
            start = Start(source=request.pretraining(seed, lr_of(rates)))
            return request.labels(seed, rates.label, start=start, extra_steps=extra)

        return recipe

    recipes = {"picks": from_(lambda rates: rates.pretrain, 0), "fixed": from_(lambda rates: GRID[0], 8)}
    plan = Plan(request=request, recipes=recipes, seeds=dict.fromkeys(recipes, (0,)))
    _, performed = done(plan, tmp_path)
    assert performed.runs["fixed"][0].result.test is not None


def test_a_state_that_nobody_took_is_removed_in_the_end_and_early_snapshots_are_complete(tmp_path, tiny_task):
    """Stopped in the shorter training before the longer one was asked for; then again after the shorter one."""
    short, both = lengths_of(tiny_task, ("scratch",)), lengths_of(tiny_task, ("scratch", "scratch-long"))

    def stop_at(job, step):
        def watch(event):
            if isinstance(event, Progress) and event.job.startswith(job) and event.step >= step:
                raise KeyboardInterrupt

        return watch

    with pytest.raises(KeyboardInterrupt):
        done(short, tmp_path, stop_at("scratch-seed0", 5), snapshots=3)
    store, performed = done(both, tmp_path, snapshots=3)
    alone, _ = done(lengths_of(tiny_task, ("scratch-long",)), tmp_path / "alone", snapshots=3)
    long = performed.picked["scratch-long"][0].training
    assert store.finished(long).snapshots == alone.finished(long).snapshots
    with pytest.raises(KeyboardInterrupt):
        done(both, tmp_path / "killed", stop_at("scratch-long-seed0", 12), snapshots=3)
    assert list((tmp_path / "killed").glob("trainings/*/checkpoint/end-*"))
    done(short, tmp_path / "killed", snapshots=3)
    assert not list((tmp_path / "killed").glob("trainings/*/checkpoint/end-*"))


def test_what_a_shorter_training_did_long_ago_is_announced_as_work(tmp_path, tiny_task):
    """Its last state is gone, so the longer one makes all steps."""
    done(lengths_of(tiny_task, ("scratch",)), tmp_path)
    plan, events = lengths_of(tiny_task, ("scratch", "scratch-long")), []
    done(plan, tmp_path, events.append)
    (cost,) = next(event for event in events if isinstance(event, Planned)).costs.values()
    long = next(training for training in plan.trainings.values() if plan.done(training))
    assert cost == training_cost(long, tiny_task) > plan.cost(long)
