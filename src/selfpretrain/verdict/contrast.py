"""Two arms, paired by seed: how much they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.arm import Versus
from selfpretrain.results import Outcome, RunResult
from selfpretrain.stats import Crossed, Interval, crossed_interval, t_interval

SPENT = {
    "label compute": ("flops_label",),
    "total compute": ("flops_label", "flops_pretrain"),
    "label steps": ("steps_label",),
}
"""What counts as spent, of a run's result, where this is matched."""
Hits = Mapping[str, Sequence[NDArray[np.bool_] | None]]
"""Of each arm, by seed: whether each test row was classified rightly (N,); None where a run failed."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms, paired by seed. All differences are arm minus against."""

    arm: str
    against: str
    matched: str
    """What is equal between the two."""
    primary: bool
    """Whether it is one of the claims that are made in a fixed order."""
    test: Interval
    """Test accuracy, over seeds and test sequences."""
    squares: Crossed | None
    """What that interval is made of; None where there is none."""
    n_test: int
    """Test rows."""
    leads: tuple[float, ...]
    """Difference in test accuracy of each seed."""
    train: Interval
    """Best clean training accuracy, over seeds."""
    fit_steps: tuple[Sequence[float], Sequence[float]] | None
    """Label steps of either until the training set was fitted, by seed, where every run of both fitted it."""
    compute_ratio: float = 1.0
    """What the arm spent of what is to be equal, over what the other spent; off 1 after early stopping."""
    p_adjusted: float | None = None
    """The p-value of ``test``, adjusted for the other claims (see ``claims``)."""
    outcome: Outcome = "no detectable effect"
    """What may be claimed (see ``claims``)."""
    rows: str = "sequences"
    """What the test rows are: sequences, or pairs."""

    @property
    def fit_lead(self) -> Interval | None:
        """Label steps until the training set was fitted."""
        return None if self.fit_steps is None else t_interval(np.subtract(*self.fit_steps))


def contrast_of(arm: str, versus: Versus, results: Mapping[str, Sequence[RunResult]], hits: Hits) -> Contrast | None:
    """Compare two arms over the seeds in which neither failed; None where there is none.

    Args:
        results: of each arm, by seed.
    """
    seeds = zip(results[arm], results[versus.against], hits[arm], hits[versus.against], strict=True)
    paired = [(x, y, a, b) for x, y, a, b in seeds if a is not None and b is not None]
    if not paired:
        return None
    runs_a, runs_b, hits_a, hits_b = zip(*paired, strict=True)
    lead = np.stack(hits_a).astype(np.float64) - np.stack(hits_b)
    spent_a, spent_b = (sum(_spent(versus.matched, run) for run in runs) for runs in (runs_a, runs_b))
    steps = _column(runs_a, "steps_to_fit"), _column(runs_b, "steps_to_fit")
    return Contrast(
        arm=arm,
        against=versus.against,
        matched=versus.matched,
        primary=versus.primary,
        compute_ratio=spent_a / spent_b if spent_b else 1.0,
        test=crossed_interval(lead).clipped(-1, 1),
        squares=Crossed.of(lead),
        n_test=lead.shape[1],
        leads=tuple(lead.mean(axis=1).tolist()),
        train=t_interval(_column(runs_a, "best_train_acc") - _column(runs_b, "best_train_acc")),
        fit_steps=None if np.isnan(steps).any() else (steps[0].tolist(), steps[1].tolist()),
    )


def _column(runs: Sequence[RunResult], name: str) -> NDArray[np.float64]:
    """A number of every run; NaN where it is None."""
    return np.array([getattr(run, name) for run in runs], dtype=np.float64)


def _spent(matched: str, run: RunResult) -> int:
    """What ``matched`` counts; 0 where it counts nothing that training spends."""
    return sum(getattr(run, name) for name in SPENT.get(matched, ()))
