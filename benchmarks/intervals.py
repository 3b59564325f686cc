"""Coverage, false claims and power of the crossed interval, by simulation; prints the tables of docs/statistics.md.

Hits of two arms are drawn from a threshold model: every seed has its own strength, every test sequence its own
difficulty, and each pair of them its own chance. The first version of this tool asked for two intervals instead, one
over seeds and one over test sequences; its rule is simulated beside ours.

    python benchmarks/intervals.py [--repeats 2000]
"""

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from selfpretrain.stats import crossed_interval, t_interval
from selfpretrain.verdict.claims import ALPHA

SEEDS, SEQUENCES = (3, 5, 10), (300, 2000)
SPREADS = ((0.05, 0.3), (0.05, 1.0), (0.3, 0.3), (0.3, 1.0))
"""Standard deviations of the effects of seeds and of sequences, on the scale of the threshold (the rest has 1)."""
GAINS = (0.0, 0.03, 0.08)
"""True differences in accuracy."""


def hits(chance: np.random.Generator, n_seeds: int, n: int, spreads: tuple[float, float], gain: float) -> list[NDArray]:
    """Hits of two arms (seeds, sequences); they share the difficulty of each sequence, and differ in it by as much."""
    of_seed, of_sequence = spreads
    shared = chance.normal(0, of_sequence, n)
    found = []
    for accuracy in (0.7 + gain, 0.7):
        own = chance.normal(0, of_sequence, n)
        seed = chance.normal(0, of_seed, (n_seeds, 1))
        total = np.sqrt(1 + 2 * of_sequence**2 + of_seed**2)
        strength = total * stats.norm.ppf(accuracy)
        found.append(strength + seed + shared + own + chance.normal(size=(n_seeds, n)) > 0)
    return found


def first_version(a: NDArray, b: NDArray) -> bool:
    """Its rule for one comparison: both intervals exclude zero on the same side."""
    seeds, sequences = t_interval(a.mean(1) - b.mean(1)), t_interval(a.mean(0) - b.mean(0))
    return (seeds.above(0) and sequences.above(0)) or (seeds.below(0) and sequences.below(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    null_rates = []
    print("| seeds | sequences | spread of seeds | of sequences | gain | covered | claims | first version's claims |")
    print("|---|---|---|---|---|---|---|---|")
    for n_seeds, n, spreads, gain in itertools.product(SEEDS, SEQUENCES, SPREADS, GAINS):
        chance = np.random.default_rng([n_seeds, n, *(int(100 * s) for s in spreads), int(100 * gain)])
        covered = claimed = before = 0
        for _ in range(repeats):
            a, b = hits(chance, n_seeds, n, spreads, gain)
            found = crossed_interval(a, b)
            covered += found.low <= gain <= found.high
            claimed += found.p < ALPHA
            before += first_version(a, b)
        if not gain:
            null_rates.append(claimed / repeats)
        rates = " | ".join(f"{count / repeats:.3f}" for count in (covered, claimed, before))
        print(f"| {n_seeds} | {n:,} | {spreads[0]} | {spreads[1]} | {gain} | {rates} |", flush=True)
    print(f"\nfalse claims: mean {np.mean(null_rates):.3f}, most {np.max(null_rates):.3f}")


if __name__ == "__main__":
    main()
