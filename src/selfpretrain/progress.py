"""What a person sees while runs go on: a live display on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from selfpretrain.events import Event, Finished, Note, Planned, Progress

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
    """How much is done, and how long the rest will take, counted in FLOPs over all runs."""

    def __init__(self) -> None:
        self.costs: dict[str, Mapping[str, float]] = {}
        self.done: dict[str, float] = {}
        self.finished: set[str] = set()
        self._inherited = 0.0
        self._begun: float | None = None  # the first sign of work: starting processes is no training

    def plan(self, costs: Mapping[str, Mapping[str, float]]) -> None:
        """Add work to do."""
        self.costs |= costs

    def advance(self, event: Progress) -> None:
        """Take in a progress event; what a run brings along from an earlier day counts as done, not as speed."""
        if self._begun is None:
            self._begun = time.monotonic()
        before = 0.0
        for phase, cost in self.costs.get(event.run, {}).items():
            if phase == event.phase:
                now = before + cost * event.step / event.total
                if event.run not in self.done:
                    self._inherited += now
                self.done[event.run] = now
            before += cost

    def finish(self, run: str) -> None:
        """Take in the end of a run."""
        total = sum(self.costs.get(run, {}).values())
        if run not in self.done:
            self._inherited += total
        self.done[run] = total
        self.finished.add(run)

    @property
    def share(self) -> float:
        """Share of the work that is done, in [0, 1]."""
        total = sum(sum(cost.values()) for cost in self.costs.values())
        return sum(self.done.values()) / total if total else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since work began."""
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    @property
    def left(self) -> str:
        """Time left, in words."""
        total = sum(sum(cost.values()) for cost in self.costs.values())
        done = sum(self.done.values())
        worked = done - self._inherited
        if worked <= 0.0 or self.elapsed < 2.0:
            return "estimating the time left"
        return f"about {duration_text((total - done) * self.elapsed / worked)} left"


class Watcher:
    """Shows events; use as a context manager around the work."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = Clock()
        self._active: dict[str, Progress] = {}
        self._spoken = time.monotonic()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Watcher":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Planned(costs):
                self._clock.plan(costs)
                self._say(f"{len(costs)} jobs to do")
            case Note(text, run):
                self._say(f"{run}: {text}" if run else text)
            case Progress():
                self._clock.advance(event)
                self._active[event.run] = event
                self._sign_of_life()
            case Finished(run, result):
                self._clock.finish(run)
                self._active.pop(run, None)
                count = f"[{len(self._clock.finished)}/{len(self._clock.costs)}]"
                self._say(f"{count} {run}: {_outcome(result)} · {self._clock.left}")

    def _say(self, text: str) -> None:
        self._spoken = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)

    def _sign_of_life(self) -> None:
        if not self._console.is_terminal and time.monotonic() - self._spoken >= PLAIN_SECONDS:
            running = "; ".join(f"{p.run} {p.phase} {p.step}/{p.total}" for p in self._active.values())
            self._say(f"{100 * self._clock.share:.0f}% · {self._clock.left} · {running}")

    def _draw(self) -> Group:
        head = Table.grid(padding=(0, 1))
        left = f"{duration_text(self._clock.elapsed)} · {self._clock.left}"
        head.add_row(
            ProgressBar(total=1.0, completed=self._clock.share, width=40), f"{100 * self._clock.share:.0f}%", left
        )
        runs = Table.grid(padding=(0, 2))
        for progress in self._active.values():
            shown = {
                name: progress.metrics[name] for name in ("loss", "train_acc", "val_acc") if name in progress.metrics
            }
            numbers = "  ".join(f"{name.replace('_acc', ' accuracy')} {value:.3f}" for name, value in shown.items())
            runs.add_row(f"  {progress.run}", progress.phase, f"{progress.step}/{progress.total}", numbers)
        return Group(head, runs)


def _outcome(result: Mapping[str, Any]) -> str:
    if "failure" in result:
        return f"failed: {result['failure']}"
    if "seconds" in result:
        return f"done in {duration_text(result['seconds'])}"
    parts = [f"{split} {result[f'{split}_acc']:.3f}" for split in ("train", "val", "test") if f"{split}_acc" in result]
    return f"accuracy {', '.join(parts)} ({duration_text(result['seconds_pretrain'] + result['seconds_label'])})"
