"""Times of single steps: all contestants in turn, so that a machine whose speed drifts slows them alike."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from selfpretrain.bench.contestants import CONTESTANTS, Size
from selfpretrain.comparison.request import Request
from selfpretrain.config import PhaseName, TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.machine import threads
from selfpretrain.registry import PRESETS
from selfpretrain.watch import Note, Watch

OURS = next(iter(CONTESTANTS))
IMAGE_ROWS = 8
"""Batch of the largest size, where Amos et al. (2024) take 50: a step of them is two seconds here (ours)."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one step of every contestant.

    Attributes:
        seconds: by contestant, one entry a round.
    """

    size: str
    phase: PhaseName
    seconds: dict[str, list[float]]

    def ratios(self, name: str) -> list[float]:
        """How many times as long as ours a contestant takes, round by round, in ascending order."""
        return sorted(a / b for a, b in zip(self.seconds[name], self.seconds[OURS], strict=True))


def sizes() -> Iterator[Size]:
    """The demo's; the preset ``small`` at 128 positions; Amos' Image at 1,024; and ListOps, of different lengths."""
    small, image = PRESETS["small"].config, PRESETS["amos-image"].config
    phases = {name: replace(getattr(image, name), batch_size=IMAGE_ROWS) for name in ("pretrain", "label")}
    image = replace(image, **phases)
    settings = {
        "demo": (TaskConfig(), PRESETS["demo"].config),
        "small": (TaskConfig(options={"length": 128, "sequences": 1000}), small),
        "image": (TaskConfig(data="noise", options={"length": 1024, "symbols": 256, "sequences": 200}), image),
        "listops": (TaskConfig(data="lra-listops-small", options={"sequences": 1500}), small),
    }
    for name, (source, config) in settings.items():
        on_cpu = replace(config, train=replace(config.train, device="cpu"))
        yield Size(name, Request.of(load_task(source), on_cpu), is_ragged=name == "listops")


def time_steps(rounds: int, seconds: float, watch: Watch) -> Iterator[StepTimes]:
    """Time every size and phase.

    Args:
        rounds: in each of which every contestant makes a block of steps.
        seconds: that a block of ours takes, about.
    """
    for size in sizes():
        for phase in ("pretrain", "label"):
            watch(Note(f"{size.name}: {phase} steps"))
            with threads(1):
                yield _timed(size, phase, rounds, seconds)


def _timed(size: Size, phase: PhaseName, rounds: int, seconds: float) -> StepTimes:
    contestants = {name: make(size, phase) for name, make in CONTESTANTS.items()}
    for steps in contestants.values():  # warm up
        steps(2)
    n = max(2, math.ceil(seconds / (contestants[OURS](3) / 3)))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, steps in contestants.items():
            times[name].append(steps(n) / n)
    return StepTimes(size.name, phase, times)
