"""What may be claimed of several contrasts together.

Primary claims are taken in the order in which they are declared, each at the full level, and each only if the ones
before it hold. That keeps the chance of any false claim among them at the level. All other contrasts are secondary and
share another level by Holm's rule.

A result that was looked at before, with fewer seeds, makes the next claim harder: at look k the level is
``0.05 / 2^(k-1)``, so that all looks together stay below ``0.05 (1 + 1/2 + 1/4 + ...) = 0.1``.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from selfpretrain.results import Outcome
from selfpretrain.stats import holm
from selfpretrain.verdict.contrast import Contrast

ALPHA = 0.05
MIN_SEEDS = 3
"""No verdict from fewer."""


def level_of(look: int) -> float:
    """Significance level of the ``look``-th look at the same question, counted from 1."""
    return float(ALPHA / 2 ** (look - 1))


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
