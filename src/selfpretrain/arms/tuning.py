"""Tune, pick, report: the same way for arms and for transplants, so that each gets equally many trials."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selfpretrain.config import TrainConfig
from selfpretrain.events import Note, Watch
from selfpretrain.results import TrainingResult
from selfpretrain.stats import accuracy_error
from selfpretrain.training.laboratory import Evaluation, Laboratory
from selfpretrain.training.training import Training

FIRST_TUNING_SEED = 10_000
"""Tuning seeds start here, so that no reported seed has helped to pick its own learning rate."""


@dataclass(frozen=True)
class Candidate:
    """Something that is tuned and then trained with every reported seed.

    Attributes:
        train: the training with a seed and a rate; None where there is nothing to train.
        seeds: that are reported.
    """

    name: str
    train: Callable[[int, float], Training] | None
    seeds: Sequence[int]


@dataclass(frozen=True)
class Tuned:
    """What was picked, and the mean validation accuracy of every rate that was tried (None: a trial failed)."""

    lr: float
    tried: Mapping[float, float | None]


Evaluate = Callable[[Candidate, int, Training | None], tuple[str, Evaluation]]
"""The work that follows a reported training of a candidate with a seed, and its name."""


def tuning_seeds(settings: TrainConfig) -> list[int]:
    """Seeds that are never reported; none where there is only one rate to take."""
    return [FIRST_TUNING_SEED + k for k in range(settings.tune_seeds)] if len(settings.lr) > 1 else []


def trials(candidates: Sequence[Candidate], settings: TrainConfig) -> dict[tuple[str, int, float], Training]:
    """The tuning trainings, by candidate, seed and rate."""
    return {
        (c.name, seed, lr): c.train(seed, lr)
        for seed in tuning_seeds(settings)
        for c in candidates
        if c.train is not None
        for lr in settings.lr
    }


def reported(candidates: Sequence[Candidate], lr: float) -> list[Training]:
    """The reported trainings, if this were the rate of all."""
    return [c.train(seed, lr) for c in candidates if c.train is not None for seed in c.seeds]


def tune_and_train(
    laboratory: Laboratory,
    candidates: Sequence[Candidate],
    *,
    settings: TrainConfig,
    n_val: int,
    snapshots: int,
    evaluate: Evaluate,
    watch: Watch,
) -> dict[str, Tuned]:
    """Try every rate of the grid on tuning seeds, pick by ``pick_lr``, and train every reported seed with its rate.

    Args:
        n_val: validation sequences.
        snapshots: weights to keep along each reported training.
        evaluate: what follows a reported training.

    Returns:
        What was picked for each candidate that trains.
    """
    tried = trials(candidates, settings)
    # What will be reported costs the same with any rate; what several share is done once.
    rest = {each.key: each for t in reported(candidates, settings.lr[0]) for each in t.chain}
    later = sum(map(laboratory.cost, rest.values()))
    there, total = laboratory.count(tried.values())
    whole = there == total
    if there and not whole:
        watch(Note(f"{there} of {total} tuning trainings are there"))
    laboratory.do({f"{name}-seed{seed}-lr{lr:g}": t for (name, seed, lr), t in tried.items()}, later=later)
    tuned = {}
    for c in candidates:
        if c.train is None:
            continue
        results = [(lr, laboratory.result(trial)) for (name, _, lr), trial in tried.items() if name == c.name]
        tuned[c.name] = pick_lr(settings.lr, results, n_val)
        if not whole:
            watch(Note(f"{c.name}: learning rate {tuned[c.name].lr:g} picked on validation"))
    runs = [(c, seed, c.train and c.train(seed, tuned[c.name].lr)) for c in candidates for seed in c.seeds]
    wanted = {f"{c.name}-seed{seed}": training for c, seed, training in runs if training is not None}
    there, total = laboratory.count([*wanted.values(), *(tried.values() if whole else ())])
    if there:
        watch(Note(f"{there} of {total} {'' if whole else 'reported '}trainings are there"))
    laboratory.do(wanted, snapshots=snapshots, then=[(*evaluate(*run), run[2]) for run in runs])
    return tuned


def pick_lr(grid: Sequence[float], trials: Sequence[tuple[float, TrainingResult]], n_val: int) -> Tuned:
    """The learning rate to take.

    The best mean validation accuracy wins. Rates within one standard error of it count as equal (the rule of
    Breiman et al. 1984); of equals the one nearest the middle of the grid is taken, the likeliest to do as well with
    other seeds (ours).

    Args:
        trials: rate and result of every tuning training.
        n_val: validation sequences.
    """
    middle = float(np.median(np.log(grid)))
    tried: dict[float, float | None] = {}
    for lr in sorted(grid) if trials else ():
        accuracies = [result.val.acc for rate, result in trials if rate == lr and result.val is not None]
        complete = len(accuracies) == sum(rate == lr for rate, _ in trials) > 0
        tried[lr] = float(np.mean(accuracies)) if complete else None
    scores = {lr: score for lr, score in tried.items() if score is not None}
    best = max(scores.values(), default=0.0)
    equal = [lr for lr in grid if lr in scores and scores[lr] >= best - accuracy_error(best, n_val)]
    return Tuned(min(equal or grid, key=lambda lr: abs(math.log(lr) - middle)), tried)
