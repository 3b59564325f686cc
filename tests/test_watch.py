"""Time left, and what is printed where there is no terminal."""

import io

import pytest
from rich.console import Console

from selfpretrain.watch import PLAIN_SECONDS, Done, Note, Planned, Progress, Watcher, duration_text

COSTS = {"a": 400.0, "b": 400.0}


class Seen:
    """A watcher whose time goes as it is told, and what it has printed."""

    def __init__(self, **console):
        self.now, self.out = 0.0, io.StringIO()
        self.console = Console(file=self.out, width=100, **console)
        self.watch = Watcher(self.console, clock=lambda: self.now)

    def __call__(self, at, *events):
        self.now = at
        for event in events:
            self.watch(event)

    @property
    def lines(self):
        return self.out.getvalue().splitlines()


@pytest.fixture
def seen():
    return Seen()


def test_the_time_left_follows_flops(seen):
    seen(0.0, Planned(COSTS), Progress("a", 0, 8, {}))
    seen(10.0, Progress("a", 1, 8, {}))
    assert seen.watch.left == "estimating the time left"
    seen(30.0, Progress("a", 7, 8, {}))
    assert seen.watch.share == pytest.approx(350 / 800)
    assert seen.watch.left == f"about {duration_text(450 / (300 / 20))} left"


def test_work_of_an_earlier_day_is_done_but_not_fast(seen):
    """One job was finished before, the other goes on from the middle."""
    seen(0.0, Planned(COSTS), Done("a", "there"), Progress("b", 5, 10, {}))
    seen(5.0, Progress("b", 6, 10, {}))
    seen(15.0, Progress("b", 7, 10, {}))
    assert seen.watch.share == pytest.approx(680 / 800)
    assert seen.watch.left == "about 30 s left"


def test_what_will_be_planned_later_counts_as_left(seen):
    seen(0.0, Planned({"a": 100.0}, later=300.0), Progress("a", 0, 10, {}))
    seen(5.0, Progress("a", 5, 10, {}))
    seen(10.0, Progress("a", 10, 10, {}))
    assert seen.watch.share == pytest.approx(0.25)
    assert seen.watch.left == "about 30 s left"
    seen(10.0, Planned({"b": 100.0}))  # most of it is there already
    assert seen.watch.share == pytest.approx(0.5)


def test_plain_lines_without_a_terminal(seen):
    with seen.watch:
        seen(0.0, Planned(COSTS), Note("read"), Note("checkpoint x is damaged", "a"), Progress("b", 1, 10, {}))
        seen(10.0, Progress("b", 2, 10, {}))
        seen(PLAIN_SECONDS, Progress("b", 5, 10, {}), Done("a", "failed: loss stopped"), Done("b", "well [b]"))
    assert seen.lines[:3] == ["2 jobs to do", "read", "a: checkpoint x is damaged"]
    assert seen.lines[3] == "25% · about 1 min 40 s left · b 5/10"
    assert seen.lines[4].startswith("[1/2] a: failed: loss stopped")
    assert seen.lines[5].startswith("[2/2] b: well [b] · ")
    assert len(seen.lines) == 6


def test_names_of_others_cannot_steer_the_terminal(seen):
    with seen.watch:
        seen(0.0, Note("classes from label: \x1b[31mred\n[1/2] done"))
    assert seen.lines == [r"classes from label: \x1b[31mred\n[1/2] done"]


def test_a_terminal_shows_runs_and_numbers():
    seen = Seen(force_terminal=True)
    with seen.watch:
        seen(0.0, Planned(COSTS), Progress("b", 5, 10, {"loss": 0.25, "train_sample_acc": 0.75, "val_loss": 1.0}))
        seen.watch._bar.refresh()
    assert "b 5/10  loss 0.250  train sample 0.750" in seen.out.getvalue()
    assert "1.000" not in seen.out.getvalue()
