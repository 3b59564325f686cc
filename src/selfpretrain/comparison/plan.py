"""The plan of a comparison: all trainings, in order, with their cost."""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

from selfpretrain.arms.arm import Rates
from selfpretrain.arms.classical import Fitted
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.search import Search
from selfpretrain.comparison.summary import Shortened
from selfpretrain.config import MIN_SEEDS
from selfpretrain.data.task import Task
from selfpretrain.registry import ARMS
from selfpretrain.stats import expected_half_width
from selfpretrain.train.timing import Timing, cost_sort
from selfpretrain.train.training import Training
from selfpretrain.train.work import training_cost
from selfpretrain.watch import duration_text

HOPELESS = 0.3
"""Where only differences beyond 30 points could be detected there is nothing to see (ours)."""
LONG_COST = 2e13
"""FLOPs: a quarter of an hour on two cores (ours; the built-in example has 7e12)."""


class Deadline(NamedTuple):
    """Until when seeds begin, as long as there is time for another one: alike for all arms, whatever they show.

    Attributes:
        ends: on the monotonic clock.
        most: seeds at most. ``MIN_SEEDS`` run in any case.
        alone: what one more seed takes, as a share of the time of the first ``MIN_SEEDS``.
    """

    ends: float
    most: int
    alone: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained: every rate of the grid with every seed.

    Attributes:
        recipes: maps the name of an arm or transplant to a function (seed, rates) -> label training; None for
            classical models.
        seeds: the reported seeds of each.
        fitted: classical models that were fitted while planning.
        seconds: expected, with all workers; None: not timed.
        left_out: what was cut to fit a budget.
        shortened: what was cut for it of steps and rates; None: nothing was.
        deadline: None where the number of seeds is fixed.
    """

    request: Request
    recipes: Mapping[str, Callable[[int, Rates], Training] | None]
    seeds: Mapping[str, Sequence[int]]
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    seconds: float | None = None
    left_out: Sequence[str] = ()
    shortened: Shortened | None = None
    deadline: Deadline | None = None

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
        return replace(Plan.of(self.request.at(seeds)), fitted=self.fitted, deadline=self.deadline)

    @property
    def trained(self) -> list[str]:
        """Names of what is trained; classical models are not."""
        return [name for name, recipe in self.recipes.items() if recipe is not None]

    @cached_property
    def searches(self) -> dict[tuple[str, int], Search]:
        """The search for the rates of every run that trains, by name and seed."""
        return {
            (name, seed): Search(recipe, seed, self.request.config.train.lr)
            for name, recipe in self.recipes.items()
            if recipe is not None
            for seed in self.seeds[name]
        }

    @cached_property
    def trainings(self) -> dict[str, Training]:
        """All trainings, by key, in the order in which they begin (see ``Search.left`` for what stands in)."""
        return dict(sorted(self._every.items(), key=lambda item: self.begins(item[1])))

    @cached_property
    def _every(self) -> dict[str, Training]:
        return chains(training for search in self.searches.values() for training in search.left(lambda _: None))

    @cached_property
    def shorter(self) -> dict[str, Training]:
        """The next shorter training that is the beginning of a training, by the key of the longer one."""
        by_beginning = sorted(self._every.values(), key=lambda training: (training.beginning, training.plan.steps))
        pairs = pairwise(by_beginning)
        return {longer.key: shorter for shorter, longer in pairs if shorter.beginning == longer.beginning}

    @cached_property
    def longer(self) -> dict[str, Training]:
        """The same by the key of the shorter one."""
        return {shorter.key: self._every[key] for key, shorter in self.shorter.items()}

    def done(self, training: Training) -> int:
        """Steps that a training need not make, since the shorter one makes them."""
        shorter = self.shorter.get(training.key)
        return 0 if shorter is None else shorter.plan.steps

    def begins(self, training: Training) -> tuple[int, bool, float]:
        """A key to sort by: what others wait for comes first, then what takes longest."""
        return self._depth(training), training.phase != "pretrain", -self.cost(training)

    def _depth(self, training: Training) -> int:
        """How many trainings have to be done before it, one after the other."""
        return max((1 + self._depth(other) for other in self.before(training)), default=0)

    def before(self, training: Training) -> list[Training]:
        """The trainings from whose weights or state it starts."""
        return [other for other in (training.source, self.shorter.get(training.key)) if other is not None]

    def cost(self, training: Training) -> float:
        """Of a training, in FLOPs (see ``training_cost``), excluding those that it starts from, or goes on from."""
        return training_cost(training, self.request.tasks[training.task], self.done(training))

    @property
    def tasks(self) -> dict[str, Task]:
        """What its trainings are of, by fingerprint."""
        used = {self.request.task.fingerprint, *(training.task for training in self.trainings.values())}
        return {key: task for key, task in self.request.tasks.items() if key in used}

    @property
    def is_long(self) -> bool:
        """Whether it takes so long that timing it beforehand costs next to nothing."""
        return self.total_cost > LONG_COST

    @property
    def total_cost(self) -> float:
        """Of all trainings, in FLOPs."""
        return sum(map(self.cost, self.trainings.values()))

    def timed(self, timings: Mapping[str, Timing], workers: int) -> "Plan":
        """The plan with the time that it takes if every worker takes the next training that is ready.

        Args:
            timings: of every sort of training.
        """
        ends: dict[str, float] = {}
        free = [0.0] * workers
        for training in self.trainings.values():
            begin = max(heapq.heappop(free), *(ends[other.key] for other in self.before(training)), 0.0)
            took = timings[cost_sort(training)].seconds(
                training, self.request.tasks[training.task], self.done(training)
            )
            ends[training.key] = begin + took
            heapq.heappush(free, ends[training.key])
        return replace(self, seconds=max(ends.values(), default=0.0))

    def steps(self, phase: str) -> int:
        """Steps of a phase in the longest chain of trainings (self-pretraining, then labels, if any arm does that)."""
        chain = max((list(t.chain) for t in self.trainings.values() if t.phase == "label"), key=len, default=[])
        return next((training.plan.steps for training in reversed(chain) if training.phase == phase), 0)

    @property
    def lines(self) -> list[str]:
        """For a reader: what is trained, its steps, which differences can be seen, and what was left out."""
        config = self.request.config
        seeds = f"{config.seeds} seed{'s' if config.seeds > 1 else ''}"
        if config.looks:
            seeds = f"at most {seeds}, with a look after {' and '.join(map(str, config.looks[:-1]))}"
        if not self.trainings:
            return [f"plan: {', '.join(config.arms)}; {seeds}; no network to train"]
        rates = ", ".join(f"{lr:g}" for lr in config.train.lr)
        arms = f"plan: {', '.join(config.arms)}; {seeds}; learning rates {rates}: {len(self.trainings)} trainings"
        steps = f"steps: {self.steps('pretrain')} of self-pretraining, {self.steps('label')} of label training"
        steps += f"; {patch} positions read as one" if (patch := config.model.patch) > 1 else ""
        took = "" if self.seconds is None else f"; about {duration_text(self.seconds)}"
        test = self.request.task.test
        single = "a single seed" if config.seeds < 2 else "a single group of test rows"
        visible = f"{single} has no interval, so no difference can be claimed"
        half = expected_half_width(config.seeds, len(test), test.n_groups)
        if HOPELESS < half < math.inf:
            tested = self.request.task.describe().tested(test.n_groups)
            visible = f"warning: no difference can be shown with {tested}: they are too few"
            if test.groups is not None:
                visible += "; leave --group out if new rows will come from the same ones, or give more"
        elif half < math.inf:
            visible = f"differences in test accuracy of about {100 * half:.1f} points or more can be detected"
        cuts = ["--lr to one rate"] if len(config.train.lr) > 1 else []
        cuts += [f"--seeds to {MIN_SEEDS}"] if config.seeds > MIN_SEEDS else []
        budget = "give --budget 10m, or " if self.is_long and not self.left_out else ""
        cut = f"; to save time, {budget}cut {', then '.join(cuts)}" if cuts else ""
        left = [f"left out for the budget: {', '.join(self.left_out)}"] if self.left_out else []
        return [arms, steps + took, *([visible + cut] if len(config.arms) > 1 else ()), *left]


def chains(trainings: Iterable[Training]) -> dict[str, Training]:
    """These trainings and those that they rest on, in order, by key; what several share stands once."""
    return {part.key: part for training in trainings for part in training.chain}
