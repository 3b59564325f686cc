"""The plan of a comparison: all trainings, in order, with their cost."""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from selfpretrain.arms.classical import Fitted
from selfpretrain.comparison.request import Request
from selfpretrain.config import MIN_SEEDS
from selfpretrain.registry import ARMS
from selfpretrain.stats import expected_half_width
from selfpretrain.train.timing import Timing, cost_sort
from selfpretrain.train.training import Training
from selfpretrain.train.work import training_flops
from selfpretrain.watch import duration_text

FIRST_TUNING_SEED = 10_000
"""Tuning seeds start here, so that no reported seed has helped to pick its own learning rate."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained: every rate of the grid with the tuning seeds, then every reported seed with the rate picked.

    Attributes:
        recipes: maps the name of an arm or transplant to a function (seed, learning rate) -> label training; None for
            classical models.
        seeds: the reported seeds of each.
        fitted: classical models that were fitted while planning.
        seconds: expected, with all workers; None: not timed.
        left_out: what was cut to fit a budget.
    """

    request: Request
    recipes: Mapping[str, Callable[[int, float], Training] | None]
    seeds: Mapping[str, Sequence[int]]
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    seconds: float | None = None
    left_out: Sequence[str] = ()

    @classmethod
    def of(cls, request: Request) -> "Plan":
        """The plan of a comparison's arms."""
        arms = {name: ARMS[name] for name in request.config.arms}
        return cls(
            request=request,
            recipes={name: arm.recipe and partial(arm.recipe, request) for name, arm in arms.items()},
            seeds={name: arm.reported_seeds(request.config.seeds) for name, arm in arms.items()},
        )

    def at(self, seeds: int) -> "Plan":
        """The plan at one of the looks at the answer."""
        return replace(Plan.of(self.request.at(seeds)), fitted=self.fitted)

    @cached_property
    def trials(self) -> dict[tuple[str, int, float], Training]:
        """The tuning trainings, by name, seed and rate; none where there is only one rate to take."""
        settings = self.request.config.train
        tuning = [FIRST_TUNING_SEED + k for k in range(settings.tune_seeds)] if len(settings.lr) > 1 else []
        return {
            (name, seed, lr): recipe(seed, lr)
            for seed in tuning
            for name, recipe in self.recipes.items()
            if recipe is not None
            for lr in settings.lr
        }

    def reported(self, picked: Mapping[str, float]) -> dict[tuple[str, int], Training | None]:
        """The reported trainings, by name and seed, with the rates picked; None for a classical model."""
        return {
            (name, seed): None if recipe is None else recipe(seed, picked[name])
            for name, recipe in self.recipes.items()
            for seed in self.seeds[name]
        }

    @cached_property
    def tuning(self) -> dict[str, Training]:
        """All trainings that tuning needs, by key: the trials and the self-pretrainings that they start from."""
        return chains(self.trials.values())

    @cached_property
    def final(self) -> dict[str, Training]:
        """All reported trainings, by key. The first learning rate is a placeholder: the cost does not depend on it."""
        return chains(self.reported(dict.fromkeys(self.recipes, self.request.config.train.lr[0])).values())

    @property
    def trainings(self) -> dict[str, Training]:
        return self.tuning | self.final

    def flops(self, training: Training) -> float:
        """Cost of a training in FLOPs, excluding the trainings that it starts from."""
        return training_flops(training, self.request.task)

    def timed(self, timings: Mapping[str, Timing], workers: int) -> "Plan":
        """The plan with the time that it takes, by the timing of every sort of training."""
        spans = (self._makespan(part.values(), timings, workers) for part in (self.tuning, self.final))
        return replace(self, seconds=sum(spans))

    def _makespan(self, trainings: Iterable[Training], timings: Mapping[str, Timing], workers: int) -> float:
        """When the last of these trainings ends, if every worker takes the next that is ready."""
        ends: dict[str, float] = {}
        free = [0.0] * workers
        # In the order of the engine: trainings that wait for nothing come first.
        for training in sorted(trainings, key=lambda training: training.source is not None):
            ready = 0.0 if training.source is None else ends[training.source.key]
            begin = max(heapq.heappop(free), ready)
            ends[training.key] = begin + timings[cost_sort(training)].seconds(training, self.request.task)
            heapq.heappush(free, ends[training.key])
        return max(ends.values(), default=0.0)

    def steps(self, phase: str) -> int:
        """Steps of a phase in the longest chain of trainings (self-pretraining, then labels, if any arm does that)."""
        chain = max((list(t.chain) for t in self.final.values() if t.phase == "label"), key=len, default=[])
        return next((training.plan.steps for training in reversed(chain) if training.phase == phase), 0)

    @property
    def lines(self) -> list[str]:
        """Three lines for a reader, and one more for what was left out."""
        config = self.request.config
        seeds = f"{config.seeds} seeds"
        if config.looks:
            seeds = f"at most {seeds}, with a look after {' and '.join(map(str, config.looks[:-1]))}"
        rates = ", ".join(f"{lr:g}" for lr in config.train.lr)
        arms = f"plan: {', '.join(config.arms)}; {seeds}; learning rates {rates}: {len(self.trainings)} trainings"
        steps = f"steps: {self.steps('pretrain')} of self-pretraining, {self.steps('label')} of label training"
        took = "" if self.seconds is None else f"; about {duration_text(self.seconds)}"
        visible = "a single seed has no interval, so no difference can be claimed"
        if math.isfinite(half := expected_half_width(config.seeds, len(self.request.task.test))):
            visible = f"differences in test accuracy of about {100 * half:.1f} points or more can be detected"
        cuts = ["--lr to one rate"] if len(config.train.lr) > 1 else []
        cuts += [f"--seeds to {MIN_SEEDS}"] if config.seeds > MIN_SEEDS else []
        cut = f"; to save time, cut {', then '.join(cuts)}" if cuts else ""
        left = [f"left out for the budget: {', '.join(self.left_out)}"] if self.left_out else []
        return [arms, steps + took, visible + cut, *left]


def chains(trainings: Iterable[Training | None]) -> dict[str, Training]:
    """These trainings and those that they rest on, in order, by key; what several share stands once."""
    return {part.key: part for training in trainings if training is not None for part in training.chain}
