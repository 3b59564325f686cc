"""The learning rates of one run: its own seed tries every rate, and its own validation picks.

1. Self-pretraining tries every rate of the grid. The lowest held-out loss is picked; labels are not looked at.
2. Label training tries every rate, from the checkpoint picked where there is one. The highest validation accuracy is
   picked (or another metric, where that decides), among equals the lowest validation loss, then the lowest rate.

So what is reported is a method together with its tuning, and the luck of tuning is part of the spread between seeds. A
rate that one seed picks for all others is luck that they share and that no interval over seeds can see: two identical
methods then differ "significantly" in up to 30% of simulated comparisons (see docs/statistics.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

from selfpretrain.arms.arm import Rates
from selfpretrain.metrics import Metrics
from selfpretrain.train.training import Training, TrainingResult

ResultT = TypeVar("ResultT")
Results = Callable[[Training], TrainingResult | None]
"""Gives the result of a training; None while there is none."""


class Picked(NamedTuple):
    """What a search ended with.

    Attributes:
        training: the label training that is reported.
        label: validation of the label training at each rate; None where it failed.
        pretrain: held-out loss of self-pretraining at each rate; None where it failed. Empty without self-pretraining.
        trials: keys of all trainings of the search.
    """

    training: Training
    label: Mapping[float, Metrics | None]
    pretrain: Mapping[float, float | None]
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """The trainings of an arm with one seed, until one of them is picked.

    Attributes:
        recipe: gives the label training of a seed with two rates.
        grid: rates to try in either phase.
    """

    recipe: Callable[[int, Rates], Training]
    seed: int
    grid: Sequence[float]

    @cached_property
    def pretrainings(self) -> dict[float, Training]:
        """Self-pretraining at each rate; none where labels start from the initialisation."""
        sources = {lr: self.recipe(self.seed, Rates(lr, self.grid[0])).source for lr in self.grid}
        return {lr: source for lr, source in sources.items() if source is not None}

    def labels(self, pretrain_lr: float) -> dict[float, Training]:
        """Label training at each rate, from self-pretraining at the given one."""
        return {lr: self.recipe(self.seed, Rates(pretrain_lr, lr)) for lr in self.grid}

    def left(self, result_of: Results) -> list[Training]:
        """All trainings that are still to be done, or as many that cost as much.

        As long as the rate of self-pretraining is not known, the first of the grid stands for it.
        """
        step = self.step(result_of)
        if isinstance(step, Picked):
            return []
        return [*step, *(self.labels(self.grid[0]).values() if step[0].phase == "pretrain" else ())]

    def step(self, result_of: Results) -> list[Training] | Picked:
        """The trainings that are to be done next, or what is picked."""
        pretrained = {lr: result_of(training) for lr, training in self.pretrainings.items()}
        if missing := [self.pretrainings[lr] for lr, result in pretrained.items() if result is None]:
            return missing
        losses = {lr: result.val_reconstruction if result else None for lr, result in pretrained.items()}
        trials = self.labels(lowest(losses, lambda loss: (loss,), self.grid))
        results = {lr: result_of(training) for lr, training in trials.items()}
        if missing := [trials[lr] for lr, result in results.items() if result is None]:
            return missing
        scores = {lr: result.val if result else None for lr, result in results.items()}
        best = lowest(scores, lambda score: tuple(-part for part in score.rank), self.grid)
        keys = [training.key for training in (*self.pretrainings.values(), *trials.values())]
        return Picked(trials[best], scores, losses, tuple(dict.fromkeys(keys)))


def lowest(
    results: Mapping[float, ResultT | None], rank: Callable[[ResultT], tuple[float, ...]], grid: Sequence[float]
) -> float:
    """The rate whose result ranks lowest; of equals the lowest rate. The first of the grid where every rate failed."""
    ranked = [(*rank(result), lr) for lr, result in results.items() if result is not None]
    return min(ranked)[-1] if ranked else grid[0]
