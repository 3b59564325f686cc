"""What a comparison will do and how long it will take, and a request that fits a budget of time."""

import heapq
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfpretrain.arms.arm import Arm, Setting
from selfpretrain.arms.registry import arm_named, reported_seeds
from selfpretrain.arms.tuning import Candidate, reported, trials
from selfpretrain.config import CompareConfig
from selfpretrain.errors import SettingError
from selfpretrain.events import Watch
from selfpretrain.machine import cores, processes
from selfpretrain.progress import duration_text
from selfpretrain.stats import expected_half_width
from selfpretrain.tasks.task import Task
from selfpretrain.training.timing import Timing, cost_kind, time_trainings
from selfpretrain.training.training import Training

CHOICES = ((10, 3, 4.0), (5, 3, 1.0), (3, 3, 1.0), (3, 1, 0.0))
"""Seeds, rates, and how many times the preset's steps a budget must allow to take them; the first that fits (ours)."""
CLOSING_SECONDS = 5.0
"""Kept back for drawing the report and ending processes (ours)."""
LEAST_SHARE, LARGEST_SHARE, BISECTIONS = 0.02, 1e5, 12
"""Of the preset's steps: a budget that allows less is refused (ours)."""


@dataclass(frozen=True)
class ComparisonPlan:
    """What a request comes to on this machine.

    Attributes:
        config: the request, with durations, grid and seeds resolved.
        n_trainings: trainings, tuning included.
        seconds: expected, with all workers.
        left_out: what a budget did not allow.
    """

    config: CompareConfig
    n_trainings: int
    steps_pretrain: int
    steps_label: int
    seconds: float
    half_width: float
    left_out: Sequence[str] = ()

    @property
    def lines(self) -> list[str]:
        """Three lines for a reader, and one more for what was left out."""
        config = self.config
        grid = ", ".join(f"{lr:g}" for lr in config.train.lr)
        seeds = f"{config.seeds} seeds"
        if config.looks:
            seeds = f"at most {seeds}, with a look after {' and '.join(map(str, config.looks[:-1]))}"
        arms = f"plan: {', '.join(config.arms)}; {seeds}; rates {grid}: {self.n_trainings} trainings"
        steps = f"steps: {self.steps_pretrain} of self-pretraining, {self.steps_label} of label training"
        seen = (
            f"to be seen: differences in test accuracy from about {100 * self.half_width:.1f} points on"
            if math.isfinite(self.half_width)
            else "to be seen: nothing from a single seed"
        )
        took = f"; about {duration_text(self.seconds)}" if self.seconds else ""
        cut = "; to shorten it, cut --lr to one rate first, then --seeds to 3" if len(config.train.lr) > 1 else ""
        left = [f"left out for the budget: {', '.join(self.left_out)}"] if self.left_out else []
        return [arms, steps + took, seen + cut, *left]


def seconds_of(text: str) -> float:
    """A budget of time in seconds.

    Raises:
        SettingError: it is none.

    >>> seconds_of("90s"), seconds_of("10m"), seconds_of("1.5h")
    (90.0, 600.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)", text.strip())
    if match is None or float(match[1]) == 0:
        raise SettingError("budget", repr(text), "is no time; write 90s, 10m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def plan_of(
    task: Task, config: CompareConfig, timings: Mapping[str, Timing] | None = None, workers: int = 1
) -> ComparisonPlan:
    """What a request comes to; without timings nothing is said of time."""
    setting = Setting(config, task)
    work = _work(setting)
    first = _first_training(setting)
    chain = [] if first is None else list(first.chain)
    return ComparisonPlan(
        config,
        n_trainings=len(trainings_of(setting)),
        steps_pretrain=next((each.plan.steps for each in chain if each.phase == "pretrain"), 0),
        steps_label=chain[-1].plan.steps if chain else 0,
        seconds=0.0 if timings is None else sum(_makespan(phase, task, timings, workers) for phase in work),
        half_width=expected_half_width(config.seeds, len(task.test)),
    )


def time_request(task: Task, config: CompareConfig, *, workers: int, watch: Watch) -> tuple[dict[str, Timing], float]:
    """Time every kind of training that a request has; and how long processes took to start."""
    work = _work(Setting(config, task))
    every = [each for phase in work for training in phase for each in training.chain]
    tasks, at_a_time = {task.fingerprint: task}, min(workers, cores())
    return time_trainings(tasks, every, recompute=config.train.recompute, workers=at_a_time, watch=watch)


def planned(
    task: Task, config: CompareConfig, default: CompareConfig, budget: str | None, *, workers: int, watch: Watch
) -> ComparisonPlan:
    """What a command would do, and how long it would take here. Writes nothing."""
    if budget is not None:
        return within(task, config, default, budget, begun=time.monotonic(), workers=workers, watch=watch)
    workers = processes(Setting(config, task).device, workers)
    timings, starting = time_request(task, config, workers=workers, watch=watch)
    plan = plan_of(task, config, timings, workers)
    return replace(plan, seconds=plan.seconds + starting + CLOSING_SECONDS)


def within(
    task: Task,
    config: CompareConfig,
    default: CompareConfig,
    budget: str,
    *,
    begun: float,
    workers: int,
    watch: Watch,
) -> ComparisonPlan:
    """The request with durations, grid and seeds that fill the budget, the same for every arm.

    What differs from ``default`` was asked for, and stays. More seeds and rates come first, then longer durations.

    Args:
        budget: a time, like 10m.
        begun: when it began, on the monotonic clock.

    Raises:
        SettingError: the time is too short for anything; it says what would do.
    """
    seconds = seconds_of(budget)
    workers = processes(Setting(config, task).device, workers)
    timings, starting = time_request(task, config, workers=workers, watch=watch)
    spent = time.monotonic() - begun + starting + CLOSING_SECONDS
    left = seconds - spent
    best: ComparisonPlan | None = None
    asked = bool(config.looks) or config.seeds != default.seeds
    for seeds, rates, least_share in CHOICES:
        chosen = replace(
            config,
            seeds=config.seeds if asked else seeds,
            train=replace(config.train, lr=_grid(config.train.lr, rates, config.train.lr != default.train.lr)),
        )
        share = _largest_share(task, chosen, default, timings, workers, left)
        if share >= max(least_share, LEAST_SHARE):
            best = plan_of(task, _scaled(task, chosen, default, share), timings, workers)
            break
    if best is None:
        least = spent + plan_of(task, _scaled(task, chosen, default, LEAST_SHARE), timings, workers).seconds
        said = f"is too short: the least that makes sense here takes about {duration_text(least)}; give more time"
        raise SettingError("budget", budget, f"{said}, or ask for less: a smaller model, fewer --seeds or steps")
    left_out = []
    if best.config.seeds < default.seeds and not asked:
        left_out.append(f"{default.seeds - best.config.seeds} of {default.seeds} seeds")
    if len(best.config.train.lr) < len(config.train.lr):
        left_out.append(f"{len(config.train.lr) - len(best.config.train.lr)} of {len(config.train.lr)} rates")
    usual = plan_of(task, config)
    if best.steps_label < usual.steps_label:
        left_out.append(f"{100 * (1 - best.steps_label / usual.steps_label):.0f}% of the preset's steps")
    return replace(best, left_out=left_out)


def candidates(setting: Setting) -> list[Candidate]:
    """The arms of a request, to be tuned and trained."""
    return [_candidate(arm_named(name), setting) for name in setting.config.arms]


def _candidate(arm: Arm, setting: Setting) -> Candidate:
    train, seeds = arm.train, reported_seeds(arm.name, setting.config.seeds)
    return Candidate(arm.name, None if train is None else lambda seed, lr: train(setting, seed, lr), seeds)


def trainings_of(setting: Setting) -> dict[str, Training]:
    """Every training of a request by its key, as if the first rate were picked for all arms."""
    return {each.key: each for phase in _work(setting) for training in phase for each in training.chain}


def _work(setting: Setting) -> list[list[Training]]:
    """Label trainings, tuning first and then what is reported: it costs the same with any rate."""
    every, settings = candidates(setting), setting.config.train
    return [list(trials(every, settings).values()), list(reported(every, settings.lr[0]))]


def _first_training(setting: Setting) -> Training | None:
    """Of the arm that self-pretrains, or of any."""
    every = reported(candidates(setting), setting.config.train.lr[0])
    return next((t for t in every if t.source is not None), next(iter(every), None))


def _makespan(phase: Sequence[Training], task: Task, timings: Mapping[str, Timing], workers: int) -> float:
    """When the last of these trainings ends, if every worker takes the next that is ready."""
    ends: dict[str, float] = {}
    free = [0.0] * workers
    # In the order of the engine: what waits for nothing is handed out first.
    every = {each.key: each for training in phase for each in training.chain}
    ordered = sorted(every.values(), key=lambda each: each.source is not None)
    for each in ordered:
        ready = 0.0 if each.source is None else ends[each.source.key]
        seconds = timings[cost_kind(each)].seconds(each, task)
        begin = max(heapq.heappop(free), ready)
        ends[each.key] = begin + seconds
        heapq.heappush(free, ends[each.key])
    return max(ends.values(), default=0.0)


def _grid(grid: tuple[float, ...], rates: int, asked: bool) -> tuple[float, ...]:
    """So many rates around the middle of the grid; all of them if they were asked for."""
    if asked or len(grid) <= rates:
        return grid
    start = (len(grid) - rates) // 2
    return tuple(sorted(grid)[start : start + rates])


def _scaled(task: Task, config: CompareConfig, default: CompareConfig, share: float) -> CompareConfig:
    """The request with ``share`` times its steps, but for a phase whose duration was asked for."""
    setting = Setting(config, task)
    lr = config.train.lr[0]
    plans = {"pretrain": setting.pretraining(0, lr).plan, "label": setting.labels(0, lr).plan}
    asked = {name: getattr(config, name).duration != getattr(default, name).duration for name in plans}
    return replace(
        config,
        **{
            name: replace(getattr(config, name), duration=f"{max(1, round(share * plan.steps))}steps")
            for name, plan in plans.items()
            if not asked[name]
        },
    )


def _largest_share(
    task: Task, config: CompareConfig, default: CompareConfig, timings: Mapping[str, Timing], workers: int, left: float
) -> float:
    """How many times the usual steps fit into the time that is left; 0 if none."""

    def seconds(share: float) -> float:
        return plan_of(task, _scaled(task, config, default, share), timings, workers).seconds

    low, high = 0.0, LEAST_SHARE
    while seconds(high) <= left:
        low, high = high, 2 * high
        if high > LARGEST_SHARE:
            return low
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if seconds(middle) <= left else (low, middle)
    return low
