"""A request that fits a budget of time: steps are timed on this machine, then durations, rates and seeds are chosen."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

import numpy as np

from selfpretrain.arms.classical import Fitted
from selfpretrain.comparison.plan import Deadline, Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.summary import Shortened
from selfpretrain.config import MIN_SEEDS, ClassWeights, CompareConfig, MetricName, seconds_of, time_for
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import SettingError
from selfpretrain.machine import cores, processes, threads
from selfpretrain.registry import ARMS, PRESETS
from selfpretrain.train.timing import Timing, time_trainings
from selfpretrain.watch import Note, Watch, duration_text

CHOSEN = ("seeds", "train.lr", "pretrain.duration", "label.duration", "model.patch")
"""Settings of ``CompareConfig`` that a budget chooses, unless they were asked for."""
CHOICES = ((10, 3, 4.0), (5, 3, 1.0), (3, 3, 0.5), (3, 1, 0.0))
"""Seeds, rates, and the least steps as a multiple of the preset's; the first that fits is used (ours)."""
DECENT = CHOICES[-2]
"""What single positions have to leave time for; otherwise sequences are read in patches, if they are long."""
LONG_POSITIONS, FEWEST_TOKENS = 128, 32
"""Longer sequences may be read in patches, but not in fewer tokens than this (ours)."""
MOST_SEEDS = max(n_seeds for n_seeds, _, _ in CHOICES)
"""However much time there is."""
SPARE = 0.2
"""Share of the time that stays free where no seed can be left out later; a machine that is slowed by half in the middle
then ends a fifth too late (ours)."""
CLOSING_SECONDS = 5.0
"""Reserved for drawing the report and ending processes (ours)."""
WAVER = 1.1
"""How many times what was measured a budget has that is named as enough, since machines waver (ours)."""
FASTEST = 1e11
"""FLOPs per second and process that no CPU reaches here, to refuse what is hopeless before anything is timed (ours)."""
WORTH_SAYING = 0.9
"""A way out that leaves more of the work than this is not named (ours)."""
MIN_SHARE, MAX_SHARE, PRECISION = 0.02, 1e5, 0.005
"""A budget that allows less than this share of the preset's steps is refused (ours); and how shares are searched."""
LEAST = (*CHOICES[-1][:2], MIN_SHARE)
"""Seeds, rates and share of the steps below which a budget is refused."""


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

    Long sequences are read in the smallest patches, of 1, 2, 4, ... positions, with which ``DECENT`` fits. Then the
    first of ``CHOICES`` that fits is taken: more seeds where the budget allows for enough steps, and fewer rates
    last. Steps are then fixed; how many seeds there is time for shows while they run (see ``perform``), unless their
    number was asked for. Classical models are fitted first, since nobody can say how long they take; test data are not
    used.

    Args:
        budget: a time, like 10m.
        keep: which of the settings in ``CHOSEN`` were asked for, and stay.
        begun: when the command began, on the monotonic clock.

    Raises:
        SettingError: the time is too short; the message says what would do.
    """
    clock = _Clock(begun, seconds_of(budget))
    is_open = "seeds" not in keep and not request.config.looks
    scales = [Scale(patched, frozenset(keep)) for patched in _with_patches(request, keep)]
    least = scales[-1].plan(*LEAST)

    def too_short(needed: float) -> SettingError:
        problem = f"is too short: the minimum that makes sense here takes about {duration_text(needed)}"
        return SettingError(
            "budget",
            budget,
            f"{problem}; give {time_for(WAVER * needed)}, or less to do: {_ways_out(least, keep, needed)}",
        )

    if (fastest := _fastest(least, workers)) > clock.seconds:
        raise too_short(fastest)
    if least.trainings:
        watch(Note(f"timing some steps, to fit {budget}"))
    scale = _smallest_patches(scales, clock, workers, watch)
    clock = replace(clock, starting=scale.starting)
    needed = scale.seconds(*LEAST) / (1 - SPARE)
    if needed > clock.left:
        raise too_short(clock.spent + needed)
    fitted = _fitted(scale, watch)
    left = clock.left
    for n_seeds, n_rates, min_share in CHOICES:
        spare = 0.0 if is_open and n_seeds > MIN_SEEDS else SPARE
        share = _largest_share(partial(scale.seconds, n_seeds, n_rates), (1 - spare) * left)
        if share >= max(min_share, MIN_SHARE):
            break
    else:
        raise too_short(clock.spent + needed)
    plan, deadline = scale.plan(n_seeds, n_rates, share), None
    if is_open and plan.trained:
        first, one = (scale.with_time(plan.at(n)).seconds or 0.0 for n in (MIN_SEEDS, 1))
        deadline = Deadline(begun + clock.seconds - CLOSING_SECONDS, MOST_SEEDS, one / first)
    return replace(
        plan,
        fitted=fitted,
        left_out=_left_out(Plan.of(request), plan),
        shortened=_shortened(request, scale, plan, share, clock.spent),
        deadline=deadline,
    )


@dataclass(frozen=True)
class _Clock:
    """What a budget leaves.

    Attributes:
        begun: when the command began, on the monotonic clock.
        starting: seconds that worker processes will take to start.
    """

    begun: float
    seconds: float
    starting: float = 0.0

    @property
    def spent(self) -> float:
        """What is gone, or will be for starting and closing."""
        return time.monotonic() - self.begun + self.starting + CLOSING_SECONDS

    @property
    def left(self) -> float:
        return self.seconds - self.spent


@dataclass(frozen=True)
class Scale:
    """A request whose steps, rates and seeds may change, but for those that were asked for.

    Attributes:
        timings: of every sort of training; None until they were timed on this machine.
        starting: seconds that worker processes take to start.
        workers: trainings at a time.
    """

    request: Request
    keep: frozenset[str]
    timings: Mapping[str, Timing] | None = None
    starting: float = 0.0
    workers: int = 1

    def timed(self, workers: int, watch: Watch) -> "Scale":
        """The scale that knows how long its steps take."""
        timings, starting, workers = _timings(Plan.of(self.request), workers, watch)
        return replace(self, timings=timings, starting=starting, workers=workers)

    @cached_property
    def steps(self) -> dict[str, int]:
        """Those that are usual, of the phases that may change."""
        lr = self.request.config.train.lr[0]
        phases = {"pretrain": self.request.pretraining(0, lr), "label": self.request.labels(0, lr)}
        return {phase: one.plan.steps for phase, one in phases.items() if f"{phase}.duration" not in self.keep}

    def plan(self, n_seeds: int, n_rates: int, share: float) -> Plan:
        """So many seeds and rates, and ``share`` times the usual steps; with its time, once steps are timed."""
        config = self.request.config
        lr = config.train.lr if "train.lr" in self.keep else _middle(config.train.lr, n_rates)
        seeds = config.seeds if "seeds" in self.keep or config.looks else n_seeds
        durations = {
            phase: replace(getattr(config, phase), duration=f"{max(1, round(share * n))}steps")
            for phase, n in self.steps.items()
        }
        scaled = replace(config, seeds=seeds, train=replace(config.train, lr=lr), **durations)
        plan = Plan.of(replace(self.request, config=scaled))
        return self.with_time(plan)

    def with_time(self, plan: Plan) -> Plan:
        """The plan with the time that it takes, if steps were timed."""
        return plan if self.timings is None else plan.timed(self.timings, self.workers)

    def seconds(self, n_seeds: int, n_rates: int, share: float) -> float:
        return self.plan(n_seeds, n_rates, share).seconds or 0.0


def _fastest(plan: Plan, workers: int) -> float:
    """Seconds below which no CPU makes this plan; 0 on other devices."""
    return plan.total_cost / (workers * FASTEST) if plan.request.device == "cpu" else 0.0


def _smallest_patches(scales: Sequence[Scale], clock: _Clock, workers: int, watch: Watch) -> Scale:
    """The first scale with which ``DECENT`` fits, or the last one."""
    for scale in scales[:-1]:
        if _fastest(scale.plan(*DECENT), workers) <= clock.seconds:
            timed = scale.timed(workers, watch)
            if timed.seconds(*DECENT) <= (1 - SPARE) * (clock.left - timed.starting):
                return timed
    return scales[-1].timed(workers, watch)


def _fitted(scale: Scale, watch: Watch) -> dict[str, Fitted]:
    """The classical models of a request, fitted."""
    config = scale.request.config
    fits = [FitJob(name, config.metric, config.class_weights) for name in config.arms if ARMS[name].fit is not None]
    with LocalEngine(scale.request.task, workers=max(1, min(scale.workers, len(fits))), watch=watch) as engine:
        return dict(zip([job.key for job in fits], engine.do(fits), strict=True))


def _shortened(request: Request, scale: Scale, plan: Plan, share: float, spent: float) -> Shortened | None:
    """What the budget made of the request; None if it left all of it."""
    rates = scale.request.config.train.lr
    dropped = len(rates) - len(plan.request.config.train.lr)
    patch = plan.request.model.patch if scale.request is not request else 1
    if not dropped and (share >= 1 or not scale.steps) and patch == 1:
        return None
    took = spent + scale.seconds(MIN_SEEDS, len(rates), 1.0) / (1 - SPARE)
    return Shortened(min(1.0, share), took, dropped, patch)


def _with_patches(request: Request, keep: Collection[str]) -> list[Request]:
    """The request, and what it becomes with patches of 2, 4, ... positions, if its sequences are long."""
    config, inputs, requests = request.config, request.task.inputs, [request]
    usual = float(np.median(request.task.train.lengths))  # the longest may be the only long one
    patch = 2 * config.model.patch
    is_open = "model.patch" not in keep and usual > LONG_POSITIONS
    while is_open and usual >= patch * FEWEST_TOKENS and (inputs.channels or config.model.width % patch == 0):
        requests.append(replace(request, config=replace(config, model=replace(config.model, patch=patch))))
        patch *= 2
    return requests


@dataclass(frozen=True)
class FitJob(Job):
    """Fit a classical model.

    Attributes:
        key: name of its arm.
    """

    key: str
    metric: MetricName
    class_weights: ClassWeights
    saves = False

    def perform(self, shared: Task, tell: Watch, stop: Callable[[], bool]) -> Fitted:
        """Fit it."""
        fit = ARMS[self.key].fit
        assert fit is not None, "only classical models are fitted"
        with threads(1):
            return fit(shared, self.metric, self.class_weights)


def _ways_out(least: Plan, keep: Collection[str], needed: float) -> str:
    """What would make the least plan cheaper, each with the seconds that it would then need."""
    request, config = least.request, least.request.config
    half, small = request.task.length // 2, PRESETS["minimal"].config.model
    pair = tuple(name for name in ("scratch", "spt") if name in config.arms)
    ways = {
        f"--max-length {half}": replace(request, task=_cut(request.task, half)),
        **({f"--arms {','.join(pair)}": replace(request, config=replace(config, arms=pair))} if pair else {}),
        "the model of --preset minimal": replace(request, config=replace(config, model=small)),
    }
    if "seeds" in keep and config.seeds > MIN_SEEDS:
        ways[f"--seeds {MIN_SEEDS}"] = request.at(MIN_SEEDS)
    if "train.lr" in keep and len(config.train.lr) > 1:
        one = replace(config.train, lr=_middle(config.train.lr, 1))
        ways["--lr with one rate"] = replace(request, config=replace(config, train=one))
    shares = {way: Plan.of(cheaper).total_cost / least.total_cost for way, cheaper in ways.items()}
    return ", ".join(
        f"{way} (about {duration_text(share * needed)})" for way, share in shares.items() if share < WORTH_SAYING
    )


def _cut(task: Task, length: int) -> Task:
    """The task with the first positions of its sequences alone, to count its cost."""
    parts: dict[str, Any] = {
        name: replace(split, x=split.x[:, :length], lengths=np.minimum(split.lengths, length))
        for name in ("train", "val", "test", "unlabelled")
        if (split := getattr(task, name)) is not None
    }
    return replace(task, codec=replace(task.codec, length=length), **parts)


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


def _largest_share(seconds: Callable[[float], float], left: float) -> float:
    """How many times the usual steps fit into the time that is left; 0 if not even the least does."""
    if seconds(MIN_SHARE) > left:
        return 0.0
    low, high = MIN_SHARE, MAX_SHARE
    while high / low > 1 + PRECISION:
        middle = math.sqrt(low * high)
        if seconds(middle) > left:
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
