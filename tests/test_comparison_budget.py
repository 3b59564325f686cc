"""A request that fits a budget of time, on a machine on which every step takes 10 ms."""

import time
from dataclasses import replace

import pytest

from conftest import tiny_config
from selfpretrain.arms import classical
from selfpretrain.comparison import budget
from selfpretrain.comparison.budget import CLOSING_SECONDS, seconds_of
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.request import Request
from selfpretrain.config import TrainConfig
from selfpretrain.errors import SettingError
from selfpretrain.watch import Done, Note, ignore
from test_comparison_plan import ONE_RATE, Always

THREE_RATES = TrainConfig(lr=(1e-3, 3e-3, 1e-2))


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (Always(), 0.0))


def within(task, config, text, default=None, *, spent=0.0, workers=1):
    begun = time.monotonic() - spent
    return budget.within(Request.of(task, config), text, default or config, begun=begun, workers=workers, watch=ignore)


@pytest.mark.parametrize(("seconds", "seeds"), [(60, 5), (200, 10), (3000, 10)])
def test_a_budget_is_filled_with_seeds_and_rates_first(tiny_task, seconds, seeds):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt", "scratch-long"))
    plan = within(tiny_task, config, f"{seconds}s", workers=2)
    assert plan.seconds == pytest.approx(seconds - CLOSING_SECONDS, rel=0.05)
    assert plan.request.config.seeds == seeds
    assert plan.steps("pretrain") / plan.steps("label") == pytest.approx(12 / 9, rel=0.1)  # as in the request


def test_a_small_budget_says_what_it_left_out(tiny_task):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt"))
    plan = within(tiny_task, replace(config, label=replace(config.label, duration="900")), "40s")
    assert (plan.request.config.seeds, plan.request.config.train.lr) == (3, (3e-3,))
    assert plan.left_out[:2] == ["2 of 5 seeds", "2 of 3 rates"]
    assert plan.left_out[2].endswith("% of the preset's steps")
    assert "left out for the budget" in plan.lines[3]


def test_what_was_asked_for_stays(tiny_task):
    default = tiny_config(train=THREE_RATES, seeds=5)
    label = replace(default.label, duration="33")
    asked = replace(default, seeds=4, train=TrainConfig(lr=(1e-2, 3e-2)), label=label)
    config = within(tiny_task, asked, "100s", default).request.config
    assert (config.seeds, config.train, config.label) == (asked.seeds, asked.train, label)
    assert config.pretrain.duration != default.pretrain.duration
    asked = tiny_config(seeds="3-10")
    assert within(tiny_task, asked, "100s").request.config.looks == asked.looks


def test_what_was_spent_before_is_taken_off(tiny_task):
    plan = within(tiny_task, tiny_config(arms=("scratch", "spt")), "100s", spent=50)
    assert plan.seconds == pytest.approx(50 - CLOSING_SECONDS, rel=0.05)


@pytest.mark.parametrize("text", ["", "ten", "10", "0m", "-3m", "3d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SettingError, match="is not a time; write 90s, 10m or 1h"):
        seconds_of(text)


def test_a_refusal_leaves_nothing_behind_and_touches_no_test_data(tmp_path, tiny_task, monkeypatch):
    fit, touched = classical.fit_classical, []

    def watched(task):
        touched.append("fitted")
        return replace(fit(task), test_probabilities=lambda: touched.append("tested"))

    monkeypatch.setattr(classical, "fit_classical", watched)
    with pytest.raises(SettingError, match=r"6s is too short: the minimum .* takes about \d+ s; give more time"):
        compare(tiny_task, tiny_config(arms=("scratch", "classical")), out=tmp_path / "o", budget="6s")
    assert touched == ["fitted"]
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_goes_on_with_the_plan_that_was_made(tmp_path, tiny_task):
    """Also after a kill at its start, before anything is planned again."""
    config, events = tiny_config(arms=("scratch", "classical"), train=ONE_RATE), []
    folder = ComparisonFolder(tmp_path / "o")

    def compared(task=tiny_task, watch=events.append):
        return compare(task, config, out=folder.path, budget="20s", default=config, watch=watch).summary

    def killed(event):
        raise KeyboardInterrupt

    first, record = compared(), folder.record
    assert record.request.label.duration != config.label.duration
    assert any("plan: scratch, classical" in event.text for event in events if isinstance(event, Note))
    with pytest.raises(KeyboardInterrupt):
        compared(replace(tiny_task, notes=("word",)), killed)
    assert folder.record == record
    budget.time_trainings = pytest.fail  # put back by the fixture
    events.clear()
    assert compared() == first
    assert [event for event in events if isinstance(event, Done)] == []
    assert folder.record == record
