"""What may be claimed of several contrasts together.

Primary claims are taken in the order in which they are declared, each at the full level, and each only if the ones
before it hold. That keeps the chance of any false claim among them at the level. All other contrasts are secondary and
share another level by Holm's rule.

An answer that is looked at more than once has more chances to be wrong. Looks that were planned share the level of
0.05 (``PLANNED``). A look that was not planned, at seeds that were added after a result was seen, makes the next claim
harder: at look k the level is ``0.05 / 2^(k-1)``, so that all looks together stay below ``0.05 (1 + 1/2 + 1/4 + ...) =
0.1``. An answer is that of its own look alone: a claim of an earlier one is not carried over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from selfpretrain.config import MIN_SEEDS
from selfpretrain.results import Look, Outcome
from selfpretrain.stats import holm
from selfpretrain.verdict.contrast import Contrast

ALPHA = 0.05
GAIN = 0.03
"""A lead below 3 points counts as none, where a rival or a claim of a study is judged (ours)."""
PLANNED: Mapping[int, Sequence[float]] = {1: (0.05,), 2: (0.02, 0.03), 3: (0.01, 0.015, 0.025)}
"""Level of each planned look, by how many are planned. They add up to ``ALPHA``, which holds whatever the looks have to
do with each other (Bonferroni); the later ones, with more seeds, get more (ours)."""


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
    """Adjusted p-values, in the order given: of primary claims the largest up to each, of the others Holm's.

    >>> adjusted_p([0.01, 0.04, 0.02, 0.03], [True, True, False, False])
    [0.01, 0.04, 0.04, 0.04]
    """
    ours = iter(accumulate((p for p, first in zip(p_values, primary, strict=True) if first), max))
    rest = iter(holm([p for p, first in zip(p_values, primary, strict=True) if not first]))
    return [next(ours if first else rest) for first in primary]


def claim(contrasts: Sequence[Contrast], level: float = ALPHA) -> list[Contrast]:
    """The same contrasts, with what may be claimed of each."""
    p_values = [1.0 if c.test.p is None else c.test.p for c in contrasts]
    adjusted = adjusted_p(p_values, [c.primary for c in contrasts])
    return [
        replace(c, p_adjusted=None if c.test.p is None else p, outcome=_outcome(c, p, level))
        for c, p in zip(contrasts, adjusted, strict=True)
    ]


def _outcome(contrast: Contrast, p_adjusted: float, level: float) -> Outcome:
    if contrast.test.n < MIN_SEEDS:
        return "not tested"
    if p_adjusted >= level:
        return "no detectable effect"
    return "helps" if contrast.test.mean > 0 else "loses"
