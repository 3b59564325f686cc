"""What a comparison will do, how long it will take, and a request that fits a budget."""

import time
from dataclasses import replace

import pytest

from conftest import TINY_FLAGS, tiny_config
from selfpretrain.arms import classical
from selfpretrain.comparison import budget
from selfpretrain.comparison.budget import CLOSING_SECONDS, seconds_of
from selfpretrain.comparison.compare import compare, planned
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, TrainConfig
from selfpretrain.errors import SettingError
from selfpretrain.registry import ARMS
from selfpretrain.stats import expected_half_width
from selfpretrain.train.timing import FIXED_SECONDS, Timing
from selfpretrain.watch import Done, Note, ignore

TIMING = Timing(step=0.01, validation=0.1, sequence=0.001)


class Always(dict):
    """The same timing for every kind of training."""

    def __missing__(self, key):
        return TIMING


@pytest.fixture
def steady(monkeypatch):
    """A machine on which every step takes 10 ms and processes start at once."""
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (Always(), 0.0))


def plan_of(task, config):
    return Plan.of(Request.of(task, config))


def within(task, config, default, text, **how):
    return budget.within(Request.of(task, config), text, default, watch=ignore, **how)


def trainings_of(config, task):
    """Every training of a request, by key, by plain loops."""
    request, trainings = Request(config, task), {}
    for name in config.arms:
        if ARMS[name].train is None:
            continue
        pairs = [(seed, config.train.lr[0]) for seed in range(config.seeds)]
        pairs += [(10_000, lr) for lr in config.train.lr] if len(config.train.lr) > 1 else []
        for pair in pairs:
            trainings |= {part.key: part for part in ARMS[name].train(request, *pair).chain}
    return trainings


def test_the_plan_counts_trainings_steps_and_what_can_be_seen(tiny_task):
    config = tiny_config(arms=("scratch", "spt", "classical"))
    plan = plan_of(tiny_task, config)
    assert plan.trainings == trainings_of(config, tiny_task)
    assert (plan.steps("pretrain"), plan.steps("label"), plan.seconds) == (12, 9, None)
    assert plan.half_width == expected_half_width(3, len(tiny_task.test))
    assert len(plan.lines) == 3
    assert "about" not in plan.lines[1]  # nothing was timed


@pytest.mark.parametrize("workers", [1, 2])
def test_the_expected_time_is_that_of_the_workers_taking_turns(tiny_task, workers):
    config = tiny_config(arms=("scratch",), train=TrainConfig(lr=(1e-2,)), seeds=3)
    each = FIXED_SECONDS + 9 * 0.01 + 3 * 0.1 + len(tiny_task.train) * 0.001
    plan = plan_of(tiny_task, config).timed(Always(), workers)
    assert plan.seconds == pytest.approx(each * (3 if workers == 1 else 2))


def test_what_waits_for_its_start_is_not_begun_before(tiny_task):
    config = tiny_config(arms=("spt",), train=TrainConfig(lr=(1e-2,)), seeds=1)
    pretrain = FIXED_SECONDS + 12 * 0.01 + 3 * 0.1
    label = FIXED_SECONDS + 9 * 0.01 + 3 * 0.1 + len(tiny_task.train) * 0.001
    assert plan_of(tiny_task, config).timed(Always(), 2).seconds == pytest.approx(pretrain + label)


@pytest.mark.parametrize("seconds", [60, 200, 3000])
def test_a_budget_is_filled_with_seeds_and_rates_first(tiny_task, steady, seconds):
    config = tiny_config(train=TrainConfig(lr=(1e-3, 3e-3, 1e-2)), seeds=5, arms=("scratch", "spt", "scratch-long"))
    plan = within(tiny_task, config, config, f"{seconds}s", begun=time.monotonic(), workers=2)
    assert plan.seconds == pytest.approx(seconds - CLOSING_SECONDS, rel=0.05)
    assert plan.request.config.seeds == {60: 5, 200: 10, 3000: 10}[seconds]
    ratio = plan.steps("pretrain") / plan.steps("label")
    assert ratio == pytest.approx(12 / 9, rel=0.1)  # as in the request


def test_a_small_budget_says_what_it_left_out(tiny_task, steady):
    config = tiny_config(train=TrainConfig(lr=(1e-3, 3e-3, 1e-2)), seeds=5, arms=("scratch", "spt"))
    config = replace(config, label=replace(config.label, duration="900"))
    plan = within(tiny_task, config, config, "40s", begun=time.monotonic(), workers=1)
    assert (plan.request.config.seeds, plan.request.config.train.lr) == (3, (3e-3,))
    assert plan.left_out[:2] == ["2 of 5 seeds", "2 of 3 rates"]
    assert plan.left_out[2].endswith("% of the preset's steps")
    assert "left out for the budget" in plan.lines[3]


def test_what_was_asked_for_stays(tiny_task, steady):
    default = tiny_config(train=TrainConfig(lr=(1e-3, 3e-3, 1e-2)), seeds=5)
    asked = replace(default, seeds=4, train=TrainConfig(lr=(1e-2, 3e-2)), label=replace(default.label, duration="33"))
    plan = within(tiny_task, asked, default, "100s", begun=time.monotonic(), workers=1)
    assert (plan.request.config.seeds, plan.request.config.train.lr, plan.request.config.label.duration) == (
        4,
        (1e-2, 3e-2),
        "33",
    )
    assert plan.request.config.pretrain.duration != default.pretrain.duration


def test_what_was_spent_before_is_taken_off(tiny_task, steady):
    config = tiny_config(arms=("scratch", "spt"))
    plan = within(tiny_task, config, config, "100s", begun=time.monotonic() - 50, workers=1)
    assert plan.seconds == pytest.approx(50 - CLOSING_SECONDS, rel=0.05)


def test_a_range_of_seeds_is_taken_up_whole_after_a_kill_at_a_look(tmp_path, tiny_task, steady):
    config, folder = tiny_config(seeds="3-10"), ComparisonFolder(tmp_path / "o")
    assert within(tiny_task, config, config, "100s", begun=time.monotonic(), workers=1).request.config.looks
    with folder.claimed(config, tiny_task, None, "the command"):
        folder.write_request(replace(config, seeds=3), ())
    assert folder.resolved("the command") == config
    assert folder.resolved("another command") is None


def test_a_budget_for_nothing_is_refused(tiny_task, steady):
    with pytest.raises(SettingError, match=r"6s is too short: the minimum .* takes about \d+ s; give more time"):
        within(tiny_task, tiny_config(), tiny_config(), "6s", begun=time.monotonic(), workers=1)


@pytest.mark.parametrize("text", ["", "ten", "10", "0m", "-3m", "3d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SettingError, match="is not a time; write 90s, 10m or 1h"):
        seconds_of(text)


def test_a_refusal_leaves_nothing_behind_and_touches_no_test_data(tmp_path, tiny_task, monkeypatch):
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (Always(), 0.0))
    tested, fit = [], classical.fit_classical

    def watched(task):
        return replace(fit(task), test_probabilities=lambda: tested.append(task))

    monkeypatch.setattr(classical, "fit_classical", watched)
    config = tiny_config(arms=("scratch", "classical"))
    with pytest.raises(SettingError, match="too short"):
        compare(tiny_task, config, out=tmp_path / "o", budget="6s")
    assert tested == []
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_classical_models_alone_has_no_trainings(tiny_task):
    plan = planned(tiny_task, tiny_config(arms=("classical",)))
    assert (plan.trainings, plan.steps("label")) == ({}, 0)
    assert plan.lines


def test_the_same_command_goes_on_with_the_plan_that_was_made(tmp_path, tiny_task, steady):
    config = tiny_config(arms=("scratch", "classical"), train=TrainConfig(lr=(1e-2,)))
    events = []
    first = compare(tiny_task, config, out=tmp_path / "o", budget="20s", default=config, watch=events.append)
    request = ComparisonFolder(tmp_path / "o").record
    assert request.request.label.duration != config.label.duration
    assert any("plan: scratch, classical" in event.text for event in events if isinstance(event, Note))
    budget.time_trainings = pytest.fail  # put back by the fixture
    events.clear()
    again = compare(tiny_task, config, out=tmp_path / "o", budget="20s", default=config, watch=events.append)
    assert [event for event in events if isinstance(event, Done)] == []
    assert again.summary == first.summary
    assert ComparisonFolder(tmp_path / "o").record == request


@pytest.mark.whole
def test_the_plan_through_the_command_line_writes_nothing(cli, tmp_path):
    result = cli("compare", *TINY_FLAGS, "--plan")
    assert result.returncode == 0, result.stderr
    assert "plan: scratch, spt, scratch-long, classical; 3 seeds" in result.stderr
    assert "; about " in result.stderr
    assert "differences in test accuracy of about" in result.stderr
    assert list(tmp_path.iterdir()) == []
    refused = cli("compare", *TINY_FLAGS, "--budget=soon")
    assert refused.returncode == 2
    assert "--budget 'soon' is not a time; write 90s, 10m or 1h" in refused.stderr


def test_every_comparison_says_its_plan_first(tmp_path, tiny_task):
    events = []
    config = tiny_config(arms=("classical",), train=TrainConfig(lr=(1e-2,)))
    compare(tiny_task, config, out=tmp_path / "o", watch=events.append)
    said = [event.text for event in events if isinstance(event, Note)]
    lines = plan_of(tiny_task, config).lines
    start = said.index(lines[0])
    assert said[start : start + 3] == lines
    assert CompareConfig().arms[-1] == "classical"


def test_a_kill_at_the_start_of_the_same_command_does_not_lose_the_plan(tmp_path, tiny_task, steady):
    config = tiny_config(arms=("scratch",), train=TrainConfig(lr=(1e-2,)))
    compare(tiny_task, config, out=tmp_path / "o", budget="20s", default=config)
    folder = ComparisonFolder(tmp_path / "o")
    before = folder.record

    def killed(event):
        raise KeyboardInterrupt  # at the first word, before anything is planned

    noted = replace(tiny_task, notes=("word",))
    with pytest.raises(KeyboardInterrupt):
        compare(noted, config, out=folder.path, budget="20s", default=config, watch=killed)
    assert folder.record == before
