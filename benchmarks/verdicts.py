"""How often verdicts are wrong where seeds leave a plateau or do not, and where rates are picked; by simulation.

Prints the last two tables of docs/statistics.md. Runs are drawn; the intervals, the claims, the plateau rule and the
picking of rates are the project's own.

    python benchmarks/verdicts.py [--repeats 1000]
"""

import argparse
import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selfpretrain.comparison.claims import ALPHA, MARGIN
from selfpretrain.comparison.plateau import has_left
from selfpretrain.comparison.run import RunResult
from selfpretrain.comparison.search import Search
from selfpretrain.metrics import Metrics
from selfpretrain.stats import crossed_interval
from selfpretrain.train.training import TrainingResult

SEEDS, N_TEST, N_VAL = (3, 5, 10), 300, 600
STUCK, LEFT = 0.5, 1.0
"""Accuracy of a seed on the plateau, and of one that left it."""
GRID = (1e-3, 3e-3, 1e-2)
ESCAPES = ((0.0, 0.0), (0.1, 0.1), (0.5, 0.5), (0.9, 0.9), (1.0, 1.0), (0.1, 0.0), (0.6, 0.5), (1.0, 0.9), (0.9, 0.1))
"""How often seeds of two arms leave the plateau."""
RATES = (
    ("0.80 0.80 0.80 (0.01)", (0.80, 0.80, 0.80), 0.01),
    ("0.76 0.80 0.78 (0.03)", (0.76, 0.80, 0.78), 0.03),
    ("0.70 0.80 0.78 (0.05)", (0.70, 0.80, 0.78), 0.05),
    ("leave 0.9 0.5 0", (0.9, 0.5, 0.0), None),
    ("leave 0.8 0.1 0", (0.8, 0.1, 0.0), None),
    ("leave 0 0.3 0.9", (0.0, 0.3, 0.9), None),
    ("leave 0.2 0.8 0.4", (0.2, 0.8, 0.4), None),
)
"""Mean accuracy at each rate with the spread of seeds, or how often seeds leave the plateau at each rate."""


def hits(chance: np.random.Generator, accuracy: NDArray, difficulty: NDArray) -> NDArray:
    """Hits (seeds, sequences): half of what decides is the sequence, which is as hard for every seed."""
    strength = np.sqrt(0.5) * (difficulty + chance.normal(size=(len(accuracy), len(difficulty))))
    return strength < stats.norm.ppf(np.clip(accuracy, 0, 1))[:, None]


@dataclass(frozen=True)
class Fake:
    """A training at one rate; all that a search asks of it."""

    lr: float
    source: None = None

    @property
    def key(self) -> str:
        return str(self.lr)

    @property
    def phase(self) -> str:
        return "label"


def picked(accuracy: NDArray, losses: NDArray) -> int:
    """Which rate the project picks for a seed, given the validation accuracy and loss at each."""
    search = Search(lambda seed, rates: Fake(rates.label), 0, GRID)  # type: ignore[arg-type, return-value]
    results = {
        lr: TrainingResult(val=Metrics(acc=float(acc), loss=float(loss)))
        for lr, acc, loss in zip(GRID, accuracy, losses, strict=True)
    }
    end = search.step(lambda training: results[training.lr])  # type: ignore[attr-defined]
    return GRID.index(end.training.lr)  # type: ignore[union-attr]


def left(hit: NDArray) -> bool:
    """Whether a seed counts as having left the plateau."""
    val = Metrics(acc=float(hit.mean()), loss=1.0)
    result = RunResult(arm="", seed=0, label=TrainingResult(val=val))
    return bool(has_left(result, np.arange(len(hit)) % 2))


def escapes(repeats: int) -> None:
    """Seeds of two arms that leave the plateau or do not."""
    print(
        "| leave | seeds | true gain | interval holds it | ahead | behind | equal | equal, and not so for all seeds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (p, q), n_seeds in itertools.product(ESCAPES, SEEDS):
        chance = np.random.default_rng([int(100 * p), int(100 * q), n_seeds])
        gain, count = (LEFT - STUCK) * (p - q), SimpleNamespace(held=0, ahead=0, behind=0, equal=0, wrong=0)
        for _ in range(repeats):
            difficulty = chance.normal(size=N_TEST + N_VAL)
            arms = [hits(chance, np.where(chance.random(n_seeds) < often, LEFT, STUCK), difficulty) for often in (p, q)]
            interval = crossed_interval(arms[0][:, :N_TEST], arms[1][:, :N_TEST]).clipped(-1, 1)
            all_left = all(left(seed[N_TEST:]) for arm in arms for seed in arm)
            claimed = interval.p < ALPHA
            equal = not claimed and interval.within(MARGIN) and all_left
            count.held += interval.low <= gain <= interval.high
            count.ahead += claimed and interval.mean > 0
            count.behind += claimed and interval.mean < 0
            count.equal += equal
            count.wrong += equal and abs(gain) > MARGIN
        rates = " | ".join(f"{value / repeats:.3f}" for value in vars(count).values())
        print(f"| {p:g} against {q:g} | {n_seeds} | {gain:+.2f} | {rates} |", flush=True)


def tuning(repeats: int) -> None:
    """Two identical methods, tuned: by one seed for all, and each reported seed for itself."""
    print("\n| accuracy at the three rates | seeds | one tuning seed | each seed its own |")
    print("|---|---|---|---|")
    worst = 0.0
    for (name, rates, spread), n_seeds in itertools.product(RATES, SEEDS):
        chance = np.random.default_rng([n_seeds, len(name), int(1000 * rates[0]), int(1000 * rates[1])])
        false = {"one": 0, "own": 0}
        for _ in range(repeats):
            difficulty = chance.normal(size=N_TEST + N_VAL)
            arms = {"one": [], "own": []}
            for _ in range(2):
                shape = (n_seeds + 1, len(rates))  # the last seed tunes for all
                mean = np.broadcast_to(rates, shape)
                true = (
                    np.where(chance.random(shape) < mean, LEFT, STUCK)
                    if spread is None
                    else chance.normal(mean, spread)
                )
                every = hits(chance, true.ravel(), difficulty).reshape(*shape, -1)
                val = every[:, :, N_TEST:].mean(2)
                loss = 1 - true + chance.normal(0, 0.05, shape)
                picks = [picked(val[s], loss[s]) for s in range(n_seeds + 1)]
                arms["one"].append(every[np.arange(n_seeds), picks[-1], :N_TEST])
                arms["own"].append(every[np.arange(n_seeds), picks[:-1], :N_TEST])
            for how, (a, b) in arms.items():
                false[how] += crossed_interval(a, b).p < ALPHA
        worst = max(worst, false["own"] / repeats)
        print(f"| {name} | {n_seeds} | {false['one'] / repeats:.3f} | {false['own'] / repeats:.3f} |", flush=True)
    print(f"\nfalse claims where each seed tunes for itself: at most {worst:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    escapes(repeats)
    tuning(repeats)


if __name__ == "__main__":
    main()
