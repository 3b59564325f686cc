"""A request that fits a budget of time: steps are timed on this machine, then durations, rates and seeds are chosen."""

import math
import re
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from operator import attrgetter

from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.summary import Shortened
from selfpretrain.config import CompareConfig
from selfpretrain.errors import SettingError
from selfpretrain.machine import cores, processes, threads
from selfpretrain.registry import ARMS
from selfpretrain.train.timing import Timing, time_trainings
from selfpretrain.watch import Note, Watch, duration_text

CHOSEN = ("seeds", "train.lr", "pretrain.duration", "label.duration")
"""Settings of ``CompareConfig`` that a budget chooses, unless they were asked for."""
CHOICES = ((10, 3, 4.0), (5, 3, 1.0), (3, 3, 1.0), (3, 1, 0.0))
"""Seeds, rates, and the least steps as a multiple of the preset's; the first that fits is used (ours)."""
CLOSING_SECONDS = 5.0
"""Reserved for drawing the report and ending processes (ours)."""
MIN_SHARE, MAX_SHARE, PRECISION = 0.02, 1e5, 0.005
"""A budget that allows less than this share of the preset's steps is refused (ours); and how shares are searched."""


def seconds_of(text: str) -> float:
    """A budget of time in seconds.

    Raises:
        SettingError: it cannot be read as a time.

    >>> seconds_of("90s"), seconds_of("10m"), seconds_of("1.5h")
    (90.0, 600.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)", text.strip())
    if match is None or float(match[1]) == 0:
        raise SettingError("budget", repr(text), "is not a time; write 90s, 10m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def differing(config: CompareConfig, usual: CompareConfig) -> set[str]:
    """Which of the settings that a budget chooses differ from the usual ones."""
    return {name for name in CHOSEN if attrgetter(name)(config) != attrgetter(name)(usual)}


def timed(plan: Plan, *, workers: int, watch: Watch) -> Plan:
    """The plan with its expected time on this machine, not counting classical models. Writes nothing."""
    timings, starting, workers = _timings(plan, workers, watch)
    plan = plan.timed(timings, workers)
    return replace(plan, seconds=(plan.seconds or 0.0) + starting + CLOSING_SECONDS)


def within(request: Request, budget: str, keep: Collection[str], *, begun: float, workers: int, watch: Watch) -> Plan:
    """The plan whose durations, grid and seeds fill the budget, the same for every arm. Writes nothing.

    The first of ``CHOICES`` that fits is taken: more seeds where the budget allows for enough steps, and fewer rates
    last. Classical models are fitted first, since nobody can say how long they take; test data are not used.

    Args:
        budget: a time, like 10m.
        keep: which of the settings in ``CHOSEN`` were asked for, and stay.
        begun: when the command began, on the monotonic clock.

    Raises:
        SettingError: the time is too short; the message says what would do.
    """
    config, seconds = request.config, seconds_of(budget)
    watch(Note(f"timing some steps, to fit {budget}"))
    with threads(1):
        fitted = {name: fit(request.task) for name in config.arms if (fit := ARMS[name].fit) is not None}
    asked = Plan.of(request)
    timings, starting, workers = _timings(asked, workers, watch)
    spent = time.monotonic() - begun + starting + CLOSING_SECONDS
    phases = {"pretrain": request.pretraining(0, config.train.lr[0]), "label": request.labels(0, config.train.lr[0])}
    steps = {phase: labels.plan.steps for phase, labels in phases.items() if f"{phase}.duration" not in keep}

    def scaled(trial: Request, share: float) -> Plan:
        """The timed plan of a request with ``share`` times its steps."""
        durations = {
            phase: replace(getattr(config, phase), duration=f"{max(1, round(share * n))}steps")
            for phase, n in steps.items()
        }
        return Plan.of(replace(trial, config=replace(trial.config, **durations))).timed(timings, workers)

    for n_seeds, n_rates, min_share in CHOICES:
        lr = config.train.lr if "train.lr" in keep else _middle(config.train.lr, n_rates)
        n_seeds = config.seeds if "seeds" in keep or config.looks else n_seeds
        trial = replace(request, config=replace(config, seeds=n_seeds, train=replace(config.train, lr=lr)))
        share = _largest_share(partial(scaled, trial), seconds - spent)
        if share >= max(min_share, MIN_SHARE):
            plan = scaled(trial, share)
            full = spent + (scaled(trial, 1.0).seconds or 0.0)
            shortened = Shortened(share, full) if share < 1 and steps else None
            return replace(plan, fitted=fitted, left_out=_left_out(asked, plan), shortened=shortened)
    needed = duration_text(spent + (scaled(trial, MIN_SHARE).seconds or 0.0))
    reason = f"is too short: the minimum that makes sense here takes about {needed}; give more time"
    raise SettingError("budget", budget, f"{reason}, or ask for less: a smaller model, fewer --seeds or steps")


def _timings(plan: Plan, workers: int, watch: Watch) -> tuple[dict[str, Timing], float, int]:
    """The timing of every sort of training of a plan, what starting processes took, and trainings at a time."""
    request = plan.request
    workers = processes(request.device, min(workers, cores()))
    recompute = request.config.train.recompute
    trainings = plan.trainings.values()
    return *time_trainings(request.task, trainings, recompute=recompute, workers=workers, watch=watch), workers


def _middle(grid: tuple[float, ...], n_rates: int) -> tuple[float, ...]:
    """So many rates around the middle of the grid."""
    if len(grid) <= n_rates:
        return grid
    start = (len(grid) - n_rates) // 2
    return tuple(sorted(grid)[start : start + n_rates])


def _largest_share(scaled: Callable[[float], Plan], left: float) -> float:
    """How many times the usual steps fit into the time that is left; 0 if not even the least does."""
    if (scaled(MIN_SHARE).seconds or 0.0) > left:
        return 0.0
    low, high = MIN_SHARE, MAX_SHARE
    while high / low > 1 + PRECISION:
        middle = math.sqrt(low * high)
        if (scaled(middle).seconds or 0.0) > left:
            high = middle
        else:
            low = middle
    return low


def _left_out(asked: Plan, plan: Plan) -> list[str]:
    before, now = asked.request.config, plan.request.config
    counts = {"seeds": (before.seeds, now.seeds), "rates": (len(before.train.lr), len(now.train.lr))}
    left_out = [f"{most - n} of {most} {what}" for what, (most, n) in counts.items() if n < most]
    usual, steps = asked.steps("label"), plan.steps("label")
    return [*left_out, *([f"{100 * (1 - steps / usual):.0f}% of the preset's steps"] if steps < usual else [])]
