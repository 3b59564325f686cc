"""Time left, and what is printed where there is no terminal."""

import io

import pytest
from rich.console import Console

from selfpretrain import progress
from selfpretrain.events import Done, Note, Planned, Progress
from selfpretrain.progress import Clock, Watcher

COSTS = {"a": 400.0, "b": 400.0}


@pytest.fixture
def now(monkeypatch):
    time = {"now": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: time["now"])
    return time


def test_the_time_left_follows_flops(now):
    clock = Clock()
    clock.plan(Planned(COSTS))
    clock.advance(Progress("a", 0, 8, {}))
    now["now"] = 30.0
    clock.advance(Progress("a", 7, 8, {}))
    assert clock.share == pytest.approx(350 / 800)
    assert clock.left == f"about {progress.duration_text(450 / 350 * 30)} left"


def test_work_of_an_earlier_day_is_done_but_not_fast(now):
    clock = Clock()
    clock.plan(Planned(COSTS))
    clock.finish("a")  # was finished before: no progress seen
    clock.advance(Progress("b", 5, 10, {}))  # goes on from the middle
    now["now"] = 10.0
    clock.advance(Progress("b", 6, 10, {}))
    assert clock.share == pytest.approx(640 / 800)
    assert clock.left == "about 40 s left"


def test_plain_lines_without_a_terminal(now):
    out = io.StringIO()
    with Watcher(Console(file=out)) as watch:
        watch(Planned(COSTS))
        watch(Note("read"))
        watch(Note("checkpoint x is damaged", "a"))
        watch(Progress("b", 1, 10, {"loss": 0.5}))
        now["now"] = progress.PLAIN_SECONDS
        watch(Progress("b", 5, 10, {"loss": 0.5}))
        watch(Done("a", "failed: loss stopped"))
        watch(Done("b", "accuracy train 1.000"))
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["2 jobs to do", "read", "a: checkpoint x is damaged"]
    assert lines[3].startswith("25% · about ")
    assert lines[3].endswith("b 5/10")
    assert lines[4].startswith("[1/2] a: failed: loss stopped")
    assert lines[5].startswith("[2/2] b: accuracy train 1.000 · ")


def test_a_terminal_shows_runs_and_numbers(now):
    out = io.StringIO()
    with Watcher(Console(file=out, force_terminal=True, width=100)) as watch:
        watch(Planned(COSTS))
        watch(Progress("b", 5, 10, {"loss": 0.25, "train_sample_acc": 0.75}))
        Console(file=out, width=100).print(watch._draw())
    shown = out.getvalue()
    assert "5/10" in shown
    assert "loss 0.250" in shown
    assert "train sample 0.750" in shown


def test_what_will_be_planned_later_counts_as_left(now):
    clock = Clock()
    clock.plan(Planned({"a": 100.0}, later=300.0))
    clock.advance(Progress("a", 0, 10, {}))
    now["now"] = 10.0
    clock.advance(Progress("a", 10, 10, {}))
    assert clock.share == pytest.approx(0.25)
    assert clock.left == "about 30 s left"
    clock.plan(Planned({"b": 100.0}))  # most of it is there already
    assert clock.share == pytest.approx(0.5)
