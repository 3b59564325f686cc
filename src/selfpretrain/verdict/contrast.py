"""Two arms, paired by seed: how much they differ, and what may be claimed of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selfpretrain.results import Outcome, RunResult
from selfpretrain.stats import Interval, example_interval, holm, t_interval

ALPHA = 0.05
MIN_SEEDS = 3
"""No verdict from fewer."""
SPENT = {
    "label compute": ("flops_label",),
    "total compute": ("flops_label", "flops_pretrain"),
    "label steps": ("steps_label",),
}
"""What counts as spent, of a run's result, where this is matched."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms, paired by seed. All differences are arm minus against."""

    arm: str
    against: str
    matched: str
    """What is equal between the two."""
    test: Interval
    """Test accuracy; seeds are the unit."""
    examples: Interval
    """Test accuracy; test sequences are the unit."""
    train: Interval
    """Best clean training accuracy."""
    fit_steps: Interval | None
    """Label steps until the training set was fitted, where every run of both arms fitted it."""
    compute_ratio: float = 1.0
    """What the arm spent of what is to be equal, over what the other spent; off 1 after early stopping."""
    p_holm: float | None = None
    """The p-value of ``test``, adjusted for all comparisons made."""

    @property
    def outcome(self) -> Outcome:
        """What may be claimed: significant over seeds after Holm, and not an accident of this test set."""
        if self.test.n < MIN_SEEDS or self.p_holm is None or self.p_holm >= ALPHA:
            return "no detectable effect"
        if self.test.above(0) and self.examples.above(0):
            return "helps"
        if self.test.below(0) and self.examples.below(0):
            return "hurts"
        return "no detectable effect"


def contrast_of(
    arm: str,
    against: str,
    matched: str,
    results: Mapping[str, Sequence[RunResult]],
    hits: Mapping[str, Sequence[NDArray[np.bool_] | None]],
) -> Contrast | None:
    """Compare two arms over the seeds in which neither failed; None where there is none.

    Args:
        results: of each arm, by seed.
        hits: of each arm, by seed, on the test rows (N,); None where a run failed.
    """
    seeds = zip(results[arm], results[against], hits[arm], hits[against], strict=True)
    paired = [(x, y, a, b) for x, y, a, b in seeds if a is not None and b is not None]
    if not paired:
        return None
    runs_a, runs_b, hits_a, hits_b = zip(*paired, strict=True)
    correct_a, correct_b = np.stack(hits_a), np.stack(hits_b)
    spent_a, spent_b = (sum(_spent(matched, run) for run in runs) for runs in (runs_a, runs_b))
    steps = _column(runs_a, "steps_to_fit") - _column(runs_b, "steps_to_fit")
    return Contrast(
        arm=arm,
        against=against,
        matched=matched,
        compute_ratio=spent_a / spent_b if spent_b else 1.0,
        test=t_interval(correct_a.mean(axis=1) - correct_b.mean(axis=1)),
        train=t_interval(_column(runs_a, "best_train_acc") - _column(runs_b, "best_train_acc")),
        examples=example_interval(correct_a, correct_b),
        fit_steps=None if np.isnan(steps).any() else t_interval(steps),
    )


def _column(runs: Sequence[RunResult], name: str) -> NDArray[np.float64]:
    """A number of every run; NaN where it is None."""
    return np.array([getattr(run, name) for run in runs], dtype=np.float64)


def _spent(matched: str, run: RunResult) -> int:
    """What ``matched`` counts; 0 where it counts nothing that training spends."""
    return sum(getattr(run, name) for name in SPENT.get(matched, ()))


def correct_for_number(contrasts: list[Contrast]) -> list[Contrast]:
    """Holm over all contrasts that have a p-value."""
    tested = [number for number, contrast in enumerate(contrasts) if contrast.test.p is not None]
    adjusted = dict(zip(tested, holm([contrasts[number].test.p or 0.0 for number in tested]), strict=True))
    return [replace(contrast, p_holm=adjusted.get(number)) for number, contrast in enumerate(contrasts)]
