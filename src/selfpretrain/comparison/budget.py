"""A request that fits a budget of time: steps are timed on this machine, then durations, rates and seeds are chosen."""

import re
import time
from collections.abc import Mapping
from dataclasses import replace

from selfpretrain.arms.classical import Fitted
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig
from selfpretrain.errors import SettingError
from selfpretrain.machine import cores, processes, threads
from selfpretrain.registry import ARMS
from selfpretrain.train.timing import Timing, time_trainings
from selfpretrain.watch import Note, Watch, duration_text

CHOICES = ((10, 3, 4.0), (5, 3, 1.0), (3, 3, 1.0), (3, 1, 0.0))
"""Seeds, rates, and how many times the preset's steps a budget must allow to take them; the first that fits (ours)."""
CLOSING_SECONDS = 5.0
"""Reserved for drawing the report and ending processes (ours)."""
MIN_SHARE, MAX_SHARE, SHRINK = 0.02, 1e5, 0.98
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


def timed(request: Request, *, workers: int, watch: Watch) -> Plan:
    """The plan of a request with the time that it takes on this machine, but for classical models. Writes nothing."""
    timings, starting, workers = _timings(request, workers, watch)
    plan = Plan.of(request).timed(timings, workers)
    return replace(plan, seconds=(plan.seconds or 0.0) + starting + CLOSING_SECONDS)


def within(request: Request, budget: str, default: CompareConfig, *, begun: float, workers: int, watch: Watch) -> Plan:
    """The plan whose durations, grid and seeds fill the budget, the same for every arm. Writes nothing.

    Settings that differ from ``default`` were asked for, and stay. More seeds and rates come first, then longer
    durations. Classical models are fitted first, since nobody can say how long they take; test data are not used.

    Args:
        request: what was asked.
        budget: a time, like 10m.
        default: the preset.
        begun: when the command began, on the monotonic clock.
        workers: trainings at a time.
        watch: gets events.

    Raises:
        SettingError: the time is too short; the message says what would do.
    """
    seconds = seconds_of(budget)
    watch(Note(f"timing some steps, to fit {budget}"))
    fitted = {name: _fit(name, request) for name in request.config.arms if ARMS[name].fit is not None}
    timings, starting, workers = _timings(request, workers, watch)
    spent = time.monotonic() - begun + starting + CLOSING_SECONDS
    asked = bool(request.config.looks) or request.config.seeds != default.seeds
    for seeds, rates, min_share in CHOICES:
        lr = _grid(request.config.train.lr, rates, request.config.train.lr != default.train.lr)
        train = replace(request.config.train, lr=lr)
        chosen = replace(request.config, seeds=request.config.seeds if asked else seeds, train=train)
        trial = replace(request, config=chosen)
        share = _largest_share(trial, default, timings, workers, seconds - spent)
        if share >= max(min_share, MIN_SHARE):
            break
    else:
        needed = spent + _seconds(_scaled(trial, default, MIN_SHARE), timings, workers)
        reason = f"is too short: the minimum that makes sense here takes about {duration_text(needed)}; give more time"
        raise SettingError("budget", budget, f"{reason}, or ask for less: a smaller model, fewer --seeds or steps")
    plan = Plan.of(_scaled(trial, default, share)).timed(timings, workers)
    return replace(plan, fitted=fitted, left_out=_left_out(plan, Plan.of(request), default, asked))


def _fit(name: str, request: Request) -> Fitted:
    fit = ARMS[name].fit
    assert fit is not None, "a classical arm"
    with threads(1):
        return fit(request.task)


def _timings(request: Request, workers: int, watch: Watch) -> tuple[dict[str, Timing], float, int]:
    """The timing of every sort of training of a request, what starting processes took, and trainings at a time."""
    workers = processes(request.device, min(workers, cores()))
    trainings = Plan.of(request).trainings.values()
    recompute = request.config.train.recompute
    return *time_trainings(request.task, trainings, recompute=recompute, workers=workers, watch=watch), workers


def _left_out(plan: Plan, usual: Plan, default: CompareConfig, asked: bool) -> list[str]:
    config, left_out = plan.request.config, []
    if config.seeds < default.seeds and not asked:
        left_out.append(f"{default.seeds - config.seeds} of {default.seeds} seeds")
    if (rates := len(usual.request.config.train.lr)) > len(config.train.lr):
        left_out.append(f"{rates - len(config.train.lr)} of {rates} rates")
    if plan.steps("label") < usual.steps("label"):
        left_out.append(f"{100 * (1 - plan.steps('label') / usual.steps('label')):.0f}% of the preset's steps")
    return left_out


def _grid(grid: tuple[float, ...], rates: int, asked: bool) -> tuple[float, ...]:
    """So many rates around the middle of the grid; all of them if they were asked for."""
    if asked or len(grid) <= rates:
        return grid
    start = (len(grid) - rates) // 2
    return tuple(sorted(grid)[start : start + rates])


def _scaled(request: Request, default: CompareConfig, share: float) -> Request:
    """The request with ``share`` times its steps, but for a phase whose duration was asked for."""
    lr = request.config.train.lr[0]
    plans = {"pretrain": request.pretraining(0, lr).plan, "label": request.labels(0, lr).plan}
    changes = {
        name: replace(getattr(request.config, name), duration=f"{max(1, round(share * plan.steps))}steps")
        for name, plan in plans.items()
        if getattr(request.config, name).duration == getattr(default, name).duration
    }
    return replace(request, config=replace(request.config, **changes))


def _seconds(request: Request, timings: Mapping[str, Timing], workers: int) -> float:
    return Plan.of(request).timed(timings, workers).seconds or 0.0


def _largest_share(
    request: Request, default: CompareConfig, timings: Mapping[str, Timing], workers: int, left: float
) -> float:
    """How many times the usual steps fit into the time that is left; 0 if not even the least does.

    The time is nearly linear in the share: a straight line through two points gives it, and it is shrunk until it fits.
    """
    fixed = _seconds(_scaled(request, default, MIN_SHARE), timings, workers)
    if fixed > left:
        return 0.0
    slope = (_seconds(_scaled(request, default, 1.0), timings, workers) - fixed) / (1.0 - MIN_SHARE)
    share = MAX_SHARE if slope <= 0 else min(MAX_SHARE, MIN_SHARE + (left - fixed) / slope)
    while share > MIN_SHARE and _seconds(_scaled(request, default, share), timings, workers) > left:
        share *= SHRINK
    return max(share, MIN_SHARE)
