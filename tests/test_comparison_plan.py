"""What a comparison will do: every training, once, and how long they take."""

from itertools import product

import numpy as np
import pytest

from conftest import TINY_FLAGS, tiny_config
from selfpretrain.arms.arm import Rates
from selfpretrain.cli import main
from selfpretrain.comparison import budget
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import PhaseConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.registry import ARMS
from selfpretrain.train.timing import FIXED_SECONDS, Timing, cost_sort
from selfpretrain.watch import Note

ONE_RATE = TrainConfig(lr=(1e-2,))


class Always(dict):
    """The same timing for every kind of training: 10 ms a step."""

    def __missing__(self, key):
        return Timing(step=0.01, validation=0.1, sequence=0.001)


def plan_of(task, **settings):
    return Plan.of(Request.of(task, tiny_config(**settings)))


def trainings_of(config, task):
    """Every training of a request, by key, by plain loops."""
    request, trainings = Request(config, task), {}
    for name in config.arms:
        if ARMS[name].recipe is None:
            continue
        for seed, lr in product(range(config.seeds), config.train.lr):
            labels = ARMS[name].recipe(request, seed, Rates(config.train.lr[0], lr))
            source = ARMS[name].recipe(request, seed, Rates(lr, lr)).source
            trainings |= {part.key: part for part in (labels, source) if part is not None}
    return trainings


def test_the_plan_counts_trainings_steps_and_what_can_be_seen(tiny_task):
    plan = plan_of(tiny_task, arms=("scratch", "spt", "classical"))
    assert plan.trainings == trainings_of(plan.request.config, tiny_task)
    assert (plan.steps("pretrain"), plan.steps("label"), plan.seconds) == (12, 9, None)
    assert "about" not in plan.lines[1]  # nothing was timed
    assert plan_of(tiny_task, arms=("classical",), seeds=1).lines == ["plan: classical; 1 seed; no network to train"]


def test_too_few_test_groups_are_a_warning_before_anything_is_trained():
    rows = np.arange(400)
    x, y = np.random.default_rng(0).integers(0, 4, (400, 8)), (rows % 2).tolist()
    few, many = (load_task(x, y, kind="symbols", group=(rows % n).tolist()) for n in (12, 400))
    line = plan_of(few).lines[2]
    assert line.startswith("warning: no difference can be shown with 2 test groups") and "leave --group out" in line
    assert plan_of(many).lines[2].startswith("differences in test accuracy of about")


def test_what_others_wait_for_comes_first_and_then_what_takes_longest(tiny_task):
    plan = plan_of(tiny_task, arms=("scratch", "spt", "scratch-long"), seeds=1)
    kinds = [(t.phase, t.plan.steps, t.source is not None) for t in plan.trainings.values()]
    long = 9 + plan.request.steps_for_pretraining  # of which the shorter one makes 9
    expected = [("pretrain", 12, False), ("label", 9, False), ("label", 9, True), ("label", long, False)]
    assert kinds == [kind for kind in expected for _ in plan.request.config.train.lr]


def test_three_lengths_come_one_after_the_other(tiny_task):
    """Also where the longest has the most left to do: it waits for the one between."""
    request = Request(tiny_config(), tiny_task)
    lengths = {"short": 0, "long": 4, "longest": 100}
    recipes = {
        n: lambda s, rates, extra=extra: request.labels(s, rates.label, extra_steps=extra)
        for n, extra in lengths.items()
    }
    plan = Plan(request=request, recipes=dict(reversed(recipes.items())), seeds=dict.fromkeys(recipes, (0,)))
    order = [training.key for training in plan.trainings.values()]
    assert all(order.index(shorter.key) < order.index(key) for key, shorter in plan.shorter.items())
    timings = {cost_sort(training): Timing(0.01, 0.1, 0.001) for training in plan.trainings.values()}
    assert plan.timed(timings, 2).seconds > 0


def test_what_a_shorter_training_does_is_not_counted_again(tiny_task):
    """scratch-long goes on from scratch with the same rate and seed; without scratch it makes all of its steps."""
    plan = plan_of(tiny_task, arms=("scratch", "scratch-long"), seeds=2)
    pairs = [(training, plan.shorter.get(training.key)) for training in plan.trainings.values()]
    assert [None if shorter is None else (shorter.seed, shorter.plan.lr) for _, shorter in pairs] == [
        None if training.plan.steps == 9 else (training.seed, training.plan.lr) for training, _ in pairs
    ]
    assert all(plan.longer[shorter.key] == training for training, shorter in pairs if shorter is not None)
    alone = plan_of(tiny_task, arms=("scratch-long",), seeds=2)
    assert plan.total_cost == alone.total_cost
    cosine = PhaseConfig(duration="9steps", batch_size=16, evaluate_every="3steps", schedule="cosine")
    assert plan_of(tiny_task, arms=("scratch", "scratch-long"), seeds=2, label=cosine).shorter == {}


@pytest.mark.parametrize(
    ("arm", "seeds", "workers", "turns"),
    [("scratch", 3, 1, 3), ("scratch", 3, 2, 2), ("spt", 1, 2, 1)],  # what waits for its start is not begun before
)
def test_the_expected_time_is_that_of_the_workers_taking_turns(tiny_task, arm, seeds, workers, turns):
    label = FIXED_SECONDS + 9 * 0.01 + 3 * 0.1 + len(tiny_task.train) * 0.001
    pretrain = FIXED_SECONDS + 12 * 0.01 + 3 * 0.1 if arm == "spt" else 0.0
    plan = plan_of(tiny_task, arms=(arm,), train=ONE_RATE, seeds=seeds).timed(Always(), workers)
    assert plan.seconds == pytest.approx(turns * (pretrain + label))


def test_the_plan_on_the_command_line_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (Always(), 0.0))
    assert main(["compare", *TINY_FLAGS, "--plan", "--arms=scratch,spt,classical"]) == 0
    written = capsys.readouterr().err
    for part in ("plan: scratch, spt, classical; 3 seeds", "; about ", "differences in test accuracy of about"):
        assert part in written
    assert list(tmp_path.iterdir()) == []


def test_every_comparison_says_its_plan_first(tmp_path, tiny_task):
    settings, events = {"arms": ("scratch",), "train": ONE_RATE, "seeds": 1}, []
    compare(tiny_task, tiny_config(**settings), out=tmp_path / "o", watch=events.append)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[len(tiny_task.notes) :][:2] == plan_of(tiny_task, **settings).lines  # one arm: no difference to see
