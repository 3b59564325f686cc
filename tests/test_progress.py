"""Time left, and what is printed where there is no terminal."""

import io

import pytest
from rich.console import Console

from selfpretrain import progress
from selfpretrain.events import Finished, Note, Planned, Progress
from selfpretrain.progress import Clock, Watcher

COSTS = {"a": {"pretrain": 300.0, "label": 100.0}, "b": {"pretrain": 0.0, "label": 400.0}}


@pytest.fixture
def now(monkeypatch):
    time = {"now": 0.0}
    monkeypatch.setattr(progress.time, "monotonic", lambda: time["now"])
    return time


def test_the_time_left_follows_flops(now):
    clock = Clock()
    clock.plan(COSTS)
    clock.advance(Progress("a", "pretrain", 0, 10, {}))
    now["now"] = 30.0
    clock.advance(Progress("a", "pretrain", 10, 10, {}))
    clock.advance(Progress("a", "label", 5, 10, {}))
    assert clock.share == pytest.approx(350 / 800)
    assert clock.left == f"about {progress.duration_text(450 / 350 * 30)} left"


def test_work_of_an_earlier_day_is_done_but_not_fast(now):
    clock = Clock()
    clock.plan(COSTS)
    clock.finish("a")  # was finished before: no progress seen
    clock.advance(Progress("b", "label", 5, 10, {}))  # goes on from the middle
    now["now"] = 10.0
    clock.advance(Progress("b", "label", 6, 10, {}))
    assert clock.share == pytest.approx(640 / 800)
    assert clock.left == "about 40 s left"


def test_plain_lines_without_a_terminal(now):
    out = io.StringIO()
    with Watcher(Console(file=out)) as watch:
        watch(Planned(COSTS))
        watch(Note("read"))
        watch(Note("checkpoint x is damaged", "a"))
        watch(Progress("b", "label", 1, 10, {"loss": 0.5}))
        now["now"] = progress.PLAIN_SECONDS
        watch(Progress("b", "label", 5, 10, {"loss": 0.5}))
        watch(Finished("a", {"failure": "loss stopped"}))
        result = {"train_acc": 1.0, "val_acc": 0.5, "seconds_pretrain": 1.0, "seconds_label": 2.0}
        watch(Finished("b", result))
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["2 jobs to do", "read", "a: checkpoint x is damaged"]
    assert lines[3].startswith("25% · about ")
    assert lines[3].endswith("b label 5/10")
    assert lines[4].startswith("[1/2] a: failed: loss stopped")
    assert lines[5].startswith("[2/2] b: accuracy train 1.000, val 0.500 (3 s)")


def test_a_terminal_shows_runs_and_numbers(now):
    out = io.StringIO()
    with Watcher(Console(file=out, force_terminal=True, width=100)) as watch:
        watch(Planned(COSTS))
        watch(Progress("b", "label", 5, 10, {"loss": 0.25, "train_acc": 0.75}))
        Console(file=out, width=100).print(watch._draw())
    shown = out.getvalue()
    assert "5/10" in shown
    assert "loss 0.250" in shown
    assert "train accuracy 0.750" in shown
