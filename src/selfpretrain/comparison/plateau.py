"""Which seeds left the plateau. Those that do and those that do not are no normal sample, so they are counted.

A run has left it if it scores more on validation than always answering the commonest class does. One rule for all arms,
stated before: an exact one-sided binomial test, which calls a run that only guesses a learner with probability
``FALSE_POSITIVE``, whatever the number of sequences and classes. Training accuracy does not serve: on the demo it rises
to 0.6 in runs that memorise some labels, and score 0.48 to 0.55 on new sequences.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, fisher_exact

from selfpretrain.comparison.run import RunResult

FALSE_POSITIVE = 0.001
"""Small, since the best of many validations of a run is tested (ours)."""


class Count(NamedTuple):
    """How many of an arm's finished seeds left the plateau."""

    left: int
    seeds: int

    @property
    def differs(self) -> bool:
        """Whether some did and some did not."""
        return 0 < self.left < self.seeds

    @property
    def ci95(self) -> tuple[float, float]:
        """The chance of leaving it: exact two-sided interval (Clopper and Pearson).

        >>> [round(bound, 2) for bound in Count(0, 5).ci95]
        [0.0, 0.52]
        """
        interval = binomtest(self.left, self.seeds).proportion_ci(0.95, method="exact")
        return float(interval.low), float(interval.high)


def has_left(result: RunResult, y: NDArray[np.int64]) -> bool | None:
    """Whether a run has left the plateau, given the classes of the validation rows (N,); None where it failed."""
    validated = None if result.label is None else result.label.val
    if result.failure is not None or validated is None:
        return None
    right, guessing = round(validated.acc * len(y)), float(np.bincount(y).max() / len(y))
    return bool(binomtest(right, len(y), guessing, alternative="greater").pvalue < FALSE_POSITIVE)


def counted(left: tuple[bool | None, ...]) -> Count:
    """The count of an arm, failed seeds left out."""
    known = [has for has in left if has is not None]
    return Count(sum(known), len(known))


def difference_p(one: Count, other: Count) -> float:
    """The two-sided p-value of "both leave it as often": Fisher's exact test.

    >>> round(difference_p(Count(5, 5), Count(0, 5)), 4)
    0.0079
    """
    return float(fisher_exact([[c.left, c.seeds - c.left] for c in (one, other)]).pvalue)
