"""Coverage, false claims and power of the crossed interval, by simulation; prints the tables of docs/statistics.md.

Hits of three arms (spt, scratch, scratch-long) are drawn from a threshold model: every seed has its own strength,
every test sequence its own difficulty, and each pair of them its own chance. What is counted is the first claim, spt
against scratch. The first version of this tool asked for two intervals instead, one over seeds and one over test
sequences, with Holm's rule over its two comparisons; its rule is simulated beside ours.

    python benchmarks/intervals.py [--repeats 2000]
"""

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selfpretrain.comparison.claims import ALPHA, PLANNED
from selfpretrain.stats import crossed_interval, holm, t_interval

SEEDS, SEQUENCES = (3, 5, 10), (300, 2000)
SPREADS = ((0.05, 0.3), (0.05, 1.0), (0.3, 0.3), (0.3, 1.0))
"""Standard deviations of the effects of seeds and of sequences, on the scale of the threshold (the rest has 1)."""
GAINS = (0.0, 0.03, 0.08)
"""True differences in accuracy."""


def hits(chance: np.random.Generator, n_seeds: int, n: int, spreads: tuple[float, float], gain: float) -> list[NDArray]:
    """Hits of three arms (seeds, sequences): a sequence is as hard for all as it is for each alone."""
    of_seed, of_sequence = spreads
    shared = chance.normal(0, of_sequence, n)
    found = []
    for accuracy in (0.7 + gain, 0.7, 0.7):
        own = chance.normal(0, of_sequence, n)
        seed = chance.normal(0, of_seed, (n_seeds, 1))
        total = np.sqrt(1 + 2 * of_sequence**2 + of_seed**2)
        strength = total * stats.norm.ppf(accuracy)
        found.append(strength + seed + shared + own + chance.normal(size=(n_seeds, n)) > 0)
    return found


def first_version(spt: NDArray, *others: NDArray) -> bool:
    """Its rule for the first comparison: Holm over seeds, and an interval over sequences that excludes zero."""
    over_seeds = [t_interval(spt.mean(1) - other.mean(1)) for other in others]
    sequences = t_interval(spt.mean(0) - others[0].mean(0))
    if holm([found.p for found in over_seeds])[0] >= ALPHA:
        return False
    return sequences.above(0) if over_seeds[0].mean > 0 else sequences.below(0)


def fixed_numbers(repeats: int) -> None:
    """The first table: a fixed number of seeds."""
    null_rates = []
    print("| seeds | sequences | spread of seeds | of sequences | gain | covered | claims | first version's claims |")
    print("|---|---|---|---|---|---|---|---|")
    for n_seeds, n, spreads, gain in itertools.product(SEEDS, SEQUENCES, SPREADS, GAINS):
        chance = np.random.default_rng([n_seeds, n, *(int(100 * s) for s in spreads), int(100 * gain)])
        covered = claimed = before = 0
        for _ in range(repeats):
            spt, scratch, long = hits(chance, n_seeds, n, spreads, gain)
            found = crossed_interval(spt, scratch)
            covered += found.low <= gain <= found.high
            claimed += found.p < ALPHA
            before += first_version(spt, scratch, long)
        if not gain:
            null_rates.append(claimed / repeats)
        rates = " | ".join(f"{count / repeats:.3f}" for count in (covered, claimed, before))
        print(f"| {n_seeds} | {n:,} | {spreads[0]} | {spreads[1]} | {gain} | {rates} |", flush=True)
    print(f"\nfalse claims: mean {np.mean(null_rates):.4f}, most {np.max(null_rates):.4f}\n")


def ranges(repeats: int) -> None:
    """The second table: looks after 3, 5 and 10 seeds, until a difference is claimed."""
    null_rates = []
    print("| sequences | spread of seeds | of sequences | gain | claims | seeds, mean | claims at 0.05 each |")
    print("|---|---|---|---|---|---|---|")
    for n, spreads, gain in itertools.product(SEQUENCES, SPREADS, GAINS):
        chance = np.random.default_rng([n, *(int(100 * s) for s in spreads), int(100 * gain), 1])
        claimed = careless = spent = 0
        for _ in range(repeats):
            spt, scratch, _ = hits(chance, SEEDS[-1], n, spreads, gain)
            p = [crossed_interval(spt[:k], scratch[:k]).p for k in SEEDS]
            clear = [k for k, each, level in zip(SEEDS, p, PLANNED[len(SEEDS)], strict=True) if each < level]
            claimed += bool(clear)
            spent += clear[0] if clear else SEEDS[-1]
            careless += min(p) < ALPHA
        if not gain:
            null_rates.append((claimed / repeats, careless / repeats))
        row = f"{claimed / repeats:.3f} | {spent / repeats:.1f} | {careless / repeats:.3f}"
        print(f"| {n:,} | {spreads[0]} | {spreads[1]} | {gain} | {row} |", flush=True)
    print(f"\nfalse claims, and with 0.05 at each look: mean {np.mean(null_rates, 0)}, most {np.max(null_rates, 0)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    fixed_numbers(repeats)
    ranges(repeats)


if __name__ == "__main__":
    main()
