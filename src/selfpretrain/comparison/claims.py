"""Two arms, paired by seed: how much they differ, and what may be claimed of several such contrasts together.

Primary claims share one level by Holm's rule, and all other contrasts share another. "Equal" is a claim, too: the whole
interval lies within ``MARGIN``. That no difference shows is none.

An answer that is looked at more than once has more chances to be wrong. Looks that were planned share the level of
0.05 (``PLANNED``). A look that was not planned, at seeds that were added after a result was seen, makes the next claim
harder: at look k the level is ``0.05 / 2^(k-1)``, so that all looks together stay below ``0.05 (1 + 1/2 + 1/4 + ...) =
0.1``. An answer is that of its own look alone: a claim of an earlier one is not carried over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.arm import Versus
from selfpretrain.comparison.run import Run
from selfpretrain.comparison.summary import Look, Outcome
from selfpretrain.config import MIN_SEEDS, MetricName
from selfpretrain.data.task import Split
from selfpretrain.metrics import contributions
from selfpretrain.stats import Crossed, Interval, clustered, crossed_interval, holm, t_interval

ALPHA = 0.05
MARGIN = 0.02
"""Accuracies, or other metrics, that differ by less count as equal (ours)."""
PLANNED: Mapping[int, Sequence[float]] = {1: (0.05,), 2: (0.02, 0.03), 3: (0.01, 0.015, 0.025)}
"""Level of each planned look, by how many are planned. They add up to ``ALPHA``, which holds whatever the looks have to
do with each other (Bonferroni); the later ones, with more seeds, get more (ours)."""
SPENT = {
    "label compute": ("flops_label",),
    "total compute": ("flops_label", "flops_pretrain"),
    "label steps": ("label.steps",),
}
"""What a run has spent of what is matched: the sum of these fields of its result."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms, paired by seed. All differences are arm minus against.

    Attributes:
        matched: what is equal between the two.
        primary: whether it is one of the claims that the comparison is made for.
        test: of the metric that decides on test data, over seeds and test sequences; above 0 is better.
        squares: what that interval is made of; None where there is none.
        n_test: test rows, or groups of them, that are independent of each other.
        leads: the same difference of each seed.
        train: best clean training accuracy, over seeds.
        acc_lead: difference in test accuracy, which ``train`` is set against; None where ``test`` is that.
        fit_steps: label steps of either until the training set was fitted, by seed, where every run of both fitted it.
        compute_ratio: what the arm spent of what is to be equal, over what the other spent; off 1 after early stopping.
        p_adjusted: the p-value of ``test``, adjusted for the other claims.
    """

    arm: str
    against: str
    matched: str
    primary: bool
    test: Interval
    squares: Crossed | None
    n_test: int
    leads: tuple[float, ...]
    train: Interval
    fit_steps: tuple[Sequence[float], Sequence[float]] | None
    acc_lead: float | None = None
    compute_ratio: float = 1.0
    p_adjusted: float | None = None
    outcome: Outcome = "no detectable effect"

    @property
    def speeds_differ(self) -> bool:
        """Whether one arm fits the training set in reliably fewer label steps, where the two get equally many."""
        if self.fit_steps is None or not self.matched.startswith("label"):
            return False
        lead = t_interval(np.subtract(*self.fit_steps))
        return lead.below(0) or lead.above(0)

    def seeds_needed(self, level: float) -> int | None:
        """About so many seeds would show the difference; None where none more are needed, or none would do."""
        if self.outcome in ("helps", "loses", "equal") or self.squares is None:
            return None
        return self.squares.seeds_needed(level)


def scores(runs: Sequence[Run], test: Split, metric: MetricName) -> NDArray[np.float64]:
    """What each test row adds to the metric (S, N), in the runs that did not fail; to accuracy 1 if it was right.

    Where rows belong to groups, what each group adds (S, G): rows of one are no independent sample.
    """
    finished = [run for run in runs if run.predicted is not None]
    if metric == "accuracy":
        rows = np.array([run.predicted == test.y for run in finished], dtype=np.float64)
    else:
        rows = np.array([contributions(metric, run.probabilities["test"], test.y) for run in finished])
    return clustered(rows, test.groups) if len(rows) else rows


def contrast_of(
    arm: str, versus: Versus, runs: Mapping[str, Sequence[Run]], test: Split, metric: MetricName = "accuracy"
) -> Contrast | None:
    """Compare two arms over the seeds in which neither failed; None where there is none.

    Args:
        versus: the second arm, and what is equal between the two.
        runs: of each arm, by seed.
        test: the test rows.
        metric: what they are compared by.
    """
    pairs = zip(runs[arm], runs[versus.against], strict=True)
    finished = [(a, b) for a, b in pairs if a.predicted is not None and b.predicted is not None]
    if not finished:
        return None
    ours, theirs = zip(*finished, strict=True)
    lead = scores(ours, test, metric) - scores(theirs, test, metric)
    interval = crossed_interval(lead)
    spent = [attrgetter(name) for name in SPENT.get(versus.matched, ())]
    spent_ours, spent_theirs = (sum(field(run.result) for run in side for field in spent) for side in (ours, theirs))
    steps = _column(ours, "steps_to_fit"), _column(theirs, "steps_to_fit")
    return Contrast(
        arm=arm,
        against=versus.against,
        matched=versus.matched,
        primary=versus.primary,
        compute_ratio=spent_ours / spent_theirs if spent_theirs else 1.0,
        test=interval if metric == "log_loss" else interval.clipped(-1, 1),
        squares=Crossed.of(lead),
        n_test=lead.shape[1],
        leads=tuple(lead.mean(axis=1).tolist()),
        acc_lead=None
        if metric == "accuracy"
        else float(np.mean(scores(ours, test, "accuracy") - scores(theirs, test, "accuracy"))),
        train=t_interval(_column(ours, "best_train_sample_acc") - _column(theirs, "best_train_sample_acc")),
        fit_steps=None if np.isnan(steps).any() else (steps[0].tolist(), steps[1].tolist()),
    )


def _column(runs: Sequence[Run], name: str) -> NDArray[np.float64]:
    """A number of the label training of every run; NaN where it is None."""
    return np.array([getattr(run.result.label, name) for run in runs], dtype=np.float64)


def look_at(n_seeds: int, before: Sequence[Look], planned: Sequence[int]) -> Look:
    """A look, with its level.

    Args:
        n_seeds: at this look. A look that was taken before keeps its level.
        before: the looks at the same question that were taken, in order.
        planned: numbers of seeds at which it is to be looked at. A plan that was made after a look that is not its own
            is none.
    """
    plan = [Look(n, level) for n, level in zip(planned, PLANNED[len(planned)], strict=True)]
    as_planned = plan if plan[: len(before)] == list(before) else []
    known = [look for look in (*before, *as_planned) if look.n_seeds == n_seeds]
    return known[0] if known else Look(n_seeds, float(ALPHA / 2 ** len(before)))


def adjusted_p(p_values: Sequence[float], primary: Sequence[bool]) -> list[float]:
    """Holm's adjusted p-values, in the order given: among the primary claims, and among the others.

    >>> adjusted_p([0.01, 0.04, 0.02, 0.03], [True, True, False, False])
    [0.02, 0.04, 0.04, 0.04]
    """
    ours, rest = (
        iter(holm([p for p, own in zip(p_values, primary, strict=True) if own is kind])) for kind in (True, False)
    )
    return [next(ours if own else rest) for own in primary]


def claim(contrasts: Sequence[Contrast], level: float = ALPHA) -> list[Contrast]:
    """The same contrasts, with what may be claimed of each."""
    p_values = [1.0 if c.test.p is None else c.test.p for c in contrasts]
    claims = []
    for c, p in zip(contrasts, adjusted_p(p_values, [c.primary for c in contrasts]), strict=True):
        outcome: Outcome = "no detectable effect"
        if c.test.n < MIN_SEEDS:
            outcome = "not tested"
        elif p < level:
            outcome = "helps" if c.test.mean > 0 else "loses"
        elif c.test.within(MARGIN):
            outcome = "equal"
        claims.append(replace(c, p_adjusted=None if c.test.p is None else p, outcome=outcome))
    return claims
