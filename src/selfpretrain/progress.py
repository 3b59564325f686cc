"""What a person sees while work goes on: a live display on a terminal, plain lines elsewhere."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfpretrain.events import Done, Event, Note, Planned, Progress

PLAIN_SECONDS = 30.0
"""Without a terminal, time between two signs of life."""


def duration_text(seconds: float) -> str:
    """Seconds in words, short.

    >>> duration_text(8), duration_text(200), duration_text(7260)
    ('8 s', '3 min 20 s', '2 h 1 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Clock:
    """How much is done, and how long the rest will take, counted in FLOPs over all jobs."""

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}
        self.done: dict[str, float] = {}
        self.finished: set[str] = set()
        self._later = 0.0
        self._inherited = 0.0
        self._begun: float | None = None  # the first sign of work: starting processes is no training

    def plan(self, event: Planned) -> None:
        """Add work to do."""
        self.costs |= event.costs
        self._later = event.later

    def advance(self, event: Progress) -> None:
        """Take in a progress event; what a job brings along from an earlier day counts as done, not as speed."""
        if self._begun is None:
            self._begun = time.monotonic()
        now = self.costs.get(event.job, 0.0) * event.step / event.total
        if event.job not in self.done:
            self._inherited += now
        self.done[event.job] = now

    def finish(self, job: str) -> None:
        """Take in the end of a job."""
        total = self.costs.get(job, 0.0)
        if job not in self.done:
            self._inherited += total
        self.done[job] = total
        self.finished.add(job)

    @property
    def total(self) -> float:
        """Everything there is to do, with what will be planned later."""
        return sum(self.costs.values()) + self._later

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        return sum(self.done.values()) / self.total if self.total else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since work began."""
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    @property
    def left(self) -> str:
        """Time left, in words."""
        done = sum(self.done.values())
        worked = done - self._inherited
        if worked <= 0.0 or self.elapsed < 2.0:
            return "estimating the time left"
        return f"about {duration_text((self.total - done) * self.elapsed / worked)} left"


class Watcher:
    """Shows events; use as a context manager around the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = Clock()
        self._active: dict[str, Progress] = {}
        self._spoken = time.monotonic()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event; the first one begins the display."""
        if self._console.is_terminal and not self._live.is_started:
            self._live.start()
        match event:
            case Planned():
                self._clock.plan(event)
                if event.costs:
                    self._say(f"{len(event.costs)} job{'s' if len(event.costs) > 1 else ''} to do")
            case Note(text, job):
                self._say(f"{job}: {text}" if job else text)
            case Progress():
                self._clock.advance(event)
                self._active[event.job] = event
                self._sign_of_life()
            case Done(job, outcome):
                self._clock.finish(job)
                self._active.pop(job, None)
                count = f"[{len(self._clock.finished)}/{len(self._clock.costs)}]"
                self._say(f"{count} {job}: {outcome} · {self._clock.left}")

    def _say(self, text: str) -> None:
        self._spoken = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)

    def _sign_of_life(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._spoken >= PLAIN_SECONDS:
            running = "; ".join(f"{p.job} {p.step}/{p.total}" for p in self._active.values())
            self._say(f"{100 * self._clock.share:.0f}% · {self._clock.left} · {running}")

    def _draw(self) -> Group:
        head = Table.grid(padding=(0, 1))
        left = f"{duration_text(self._clock.elapsed)} · {self._clock.left}"
        head.add_row(
            ProgressBar(total=1.0, completed=self._clock.share, width=40), f"{100 * self._clock.share:.0f}%", left
        )
        jobs = Table.grid(padding=(0, 2))
        for progress in self._active.values():
            shown = {
                name: progress.metrics[name]
                for name in ("loss", "train_sample_acc", "val_acc")
                if name in progress.metrics
            }
            numbers = "  ".join(
                f"{name.removesuffix('_acc').replace('_', ' ')} {value:.3f}" for name, value in shown.items()
            )
            jobs.add_row(f"  {progress.job}", f"{progress.step}/{progress.total}", numbers)
        return Group(head, jobs)
