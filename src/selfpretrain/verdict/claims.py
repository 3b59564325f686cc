"""What may be claimed of several contrasts together.

Primary claims are taken in the order in which they are declared, each at the full level, and each only if the ones
before it hold. That keeps the chance of any false claim among them at the level. All other contrasts are secondary and
share another level by Holm's rule.

An answer that is looked at more than once has more chances to be wrong. Looks that were planned share the level of
0.05 (``PLANNED``). A look that was not planned, at seeds that were added after a result was seen, makes the next claim
harder: at look k the level is ``0.05 / 2^(k-1)``, so that all looks together stay below ``0.05 (1 + 1/2 + 1/4 + ...) =
0.1``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from selfpretrain.config import MIN_SEEDS
from selfpretrain.results import Outcome
from selfpretrain.stats import holm
from selfpretrain.verdict.contrast import Contrast

ALPHA = 0.05
PLANNED: Mapping[int, Sequence[float]] = {1: (0.05,), 2: (0.02, 0.03), 3: (0.01, 0.015, 0.025)}
"""Level of each planned look, by how many are planned. They add up to ``ALPHA``, which holds whatever the looks have to
do with each other (Bonferroni); the later ones, with more seeds, get more (ours)."""


def level_of(n_seeds: int, looks: Sequence[int], planned: Sequence[int]) -> float:
    """Significance level of a claim.

    Args:
        n_seeds: at this look.
        looks: numbers of seeds at which this question was looked at, in order, this look included.
        planned: numbers of seeds at which it was to be looked at.
    """
    taken = tuple(looks[: looks.index(n_seeds) + 1])
    if taken == tuple(planned[: len(taken)]):
        return PLANNED[len(planned)][len(taken) - 1]
    return float(ALPHA / 2 ** (len(taken) - 1))


def claim(contrasts: Sequence[Contrast], level: float = ALPHA) -> list[Contrast]:
    """The same contrasts, with what may be claimed of each."""
    adjusted: dict[int, float] = {}
    tested = [(number, 1.0 if c.test.p is None else c.test.p) for number, c in enumerate(contrasts)]
    primary, secondary = ([pair for pair in tested if contrasts[pair[0]].primary is which] for which in (True, False))
    adjusted |= zip((n for n, _ in primary), accumulate((p for _, p in primary), max), strict=True)
    adjusted |= zip((n for n, _ in secondary), holm([p for _, p in secondary]), strict=True)
    return [
        replace(c, p_adjusted=None if c.test.p is None else adjusted[n], outcome=_outcome(c, adjusted[n], level))
        for n, c in enumerate(contrasts)
    ]


def _outcome(contrast: Contrast, p_adjusted: float, level: float) -> Outcome:
    if contrast.test.n < MIN_SEEDS:
        return "not tested"
    if p_adjusted >= level:
        return "no detectable effect"
    return "helps" if contrast.test.mean > 0 else "loses"
