"""Progress: the events that work reports, from whichever process, and how a person sees them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfpretrain.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 30.0
"""Without a terminal, seconds between two signs of life."""
ESTIMATE_SECONDS = 600.0
"""The time left is estimated from the speed over this period."""


@dataclass(frozen=True)
class Planned:
    """Jobs that are about to begin."""

    costs: Mapping[str, float]
    """Cost of each job by name, in FLOPs or any one unit."""
    later: float = 0.0
    """Cost of jobs that will be planned afterwards; replaces the previous value."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    job: str
    step: int
    total: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Note:
    """A message about one job, or about all of the work (None)."""

    text: str
    job: str | None = None


@dataclass(frozen=True)
class Done:
    """A job has finished; ``outcome`` says how, in words."""

    job: str
    outcome: str


Event = Planned | Progress | Note | Done
Watch = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Show nothing."""


def duration_text(seconds: float) -> str:
    """A short text for a time in seconds.

    >>> duration_text(8), duration_text(200), duration_text(7260)
    ('8 s', '3 min 20 s', '2 h 1 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Watcher:
    """Shows events: a live bar with the running jobs on a terminal, lines of text elsewhere. A context manager.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, console: "Console", clock: Callable[[], float] = time.monotonic) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._console = console
        self._costs: dict[str, float] = {}
        self._later = 0.0
        self._done: dict[str, float] = {}
        self._finished: set[str] = set()
        self._running: dict[str, Any] = {}
        self._clock, self._spoken = clock, clock()
        self._bar = Progress(
            BarColumn(40),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,
            speed_estimate_period=ESTIMATE_SECONDS,
            disable=not console.is_terminal,
            get_time=clock,
        )
        self._bar.add_task("", start=False, total=None)

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event; the first one starts the display."""
        self._bar.start()
        match event:
            case Planned(costs, later):
                self._costs |= costs
                self._later = later
                if costs:
                    self._say(f"{len(costs)} job{'s' if len(costs) > 1 else ''} to do")
            case Note(text, job):
                self._say(f"{job}: {text}" if job else text)
            case Progress(job, step, total):
                self._running[job] = event
                self._advance(job, step / total)
                if not self._console.is_terminal and self._clock() - self._spoken >= PLAIN_SECONDS:
                    running = "; ".join(f"{job} {now.step}/{now.total}" for job, now in self._running.items())
                    self._say(f"{100 * self.share:.0f}% · {self.left} · {running}")
            case Done(job, outcome):
                self._running.pop(job, None)
                self._finished.add(job)
                self._advance(job, 1.0)
                self._say(f"[{len(self._finished)}/{len(self._costs)}] {job}: {outcome} · {self.left}")

    @property
    def _total(self) -> float:
        return sum(self._costs.values()) + self._later

    @property
    def share(self) -> float:
        """Share of the cost that is done, in [0, 1]; what will be planned later counts as not done."""
        return sum(self._done.values()) / self._total if self._total else 0.0

    @property
    def left(self) -> str:
        """Time left, in words."""
        seconds = self._bar.tasks[0].time_remaining
        return "estimating the time left" if seconds is None else f"about {duration_text(seconds)} left"

    def _advance(self, job: str, share: float) -> None:
        whole = self._bar.tasks[0]
        if not whole.started:
            self._bar.start_task(whole.id)
        is_new = job not in self._done
        self._done[job] = self._costs.get(job, 0.0) * share
        completed = sum(self._done.values())
        if is_new:  # what a job brings along from an earlier day counts as done, and not for the speed
            whole.completed = completed
        self._bar.update(whole.id, completed=completed, total=self._total)
        lines = [self.left]
        for now in self._running.values():
            shown = [name for name in ("loss", "train_sample_acc", "val_acc") if name in now.metrics]
            numbers = [f"{name.removesuffix('_acc').replace('_', ' ')} {now.metrics[name]:.3f}" for name in shown]
            lines.append("  ".join([f"{now.job} {now.step}/{now.total}", *numbers]))
        self._bar.update(whole.id, description="\n".join(lines))

    def _say(self, text: str) -> None:
        from rich.text import Text

        self._spoken = self._clock()
        self._console.print(Text(one_line(text)), soft_wrap=True)  # names of others may stand in it
