"""What comparisons say of claims. Imports no torch.

The first row that fits counts:

| outcome        | when                                                                                         |
|----------------|----------------------------------------------------------------------------------------------|
| does not hold  | the 95% interval leaves out everything that the claim would call an effect (``least``)       |
| holds          | the effect has the claimed sign, and its adjusted p is below the level                       |
| undecided      | anything else: too few seeds, too wide an interval, or self-pretraining that learnt nothing  |
"""

from collections.abc import Sequence

from selfpretrain.config import MIN_SEEDS
from selfpretrain.results import ClaimAnswer
from selfpretrain.stats import Interval, holm
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Claim, Found
from selfpretrain.verdict.claims import ALPHA, adjusted_p

PRIMARY = 2
"""Claims that are primary, the first ones."""


def decide(claims: Sequence[Claim], cases: Sequence[Case], found: Found) -> list[ClaimAnswer]:
    """What the comparisons say of each claim; the first two are primary, the others corrected in their families.

    A claim is made at the level of the latest looks at its comparisons (see ``verdict.claims``).
    """
    measured = [_measured(claim, cases, found) for claim in claims]
    refuted = [
        isinstance(m, Interval) and m.n >= MIN_SEEDS and m.high is not None and m.high < claim.least
        for claim, m in zip(claims, measured, strict=True)
    ]
    # Only what speaks for a claim counts for it, and for the claim that follows.
    p_values = [
        1.0 if isinstance(m, str) or m.p is None or m.n < MIN_SEEDS or m.mean <= 0 or against else m.p
        for m, against in zip(measured, refuted, strict=True)
    ]
    adjusted = _adjusted(p_values, [None if n < PRIMARY else claim.family for n, claim in enumerate(claims)])
    answers = []
    for number, (claim, m, against, p) in enumerate(zip(claims, measured, refuted, adjusted, strict=True)):
        level = min((found[name].summary.level for name in claim.rests_on(cases) if name in found), default=ALPHA)
        holds = not against and p < level
        answers.append(
            ClaimAnswer(
                claim=claim.text,
                family=claim.family,
                refuted_by=claim.refuted_by,
                primary=number < PRIMARY,
                unit=claim.unit,
                least=claim.least,
                effect=None if isinstance(m, str) else m.mean,
                ci95=(None, None) if isinstance(m, str) else m.bounds,
                p_adjusted=None if isinstance(m, str) else p,
                n_seeds=0 if isinstance(m, str) else m.n,
                outcome="does not hold" if against else "holds" if holds else "undecided",
                why=m if isinstance(m, str) else None,
            )
        )
    return answers


def _adjusted(p_values: Sequence[float], families: Sequence[str | None]) -> list[float]:
    """Adjusted p-values: primary claims (of no family) in their order, the others by Holm's rule in each family."""
    adjusted = adjusted_p(p_values, [family is None for family in families])
    for family in {family for family in families if family is not None}:
        members = [number for number, each in enumerate(families) if each == family]
        corrected = holm([p_values[number] for number in members])
        for number, p in zip(members, corrected, strict=True):
            adjusted[number] = p
    return adjusted


def _measured(claim: Claim, cases: Sequence[Case], found: Found) -> Interval | str:
    missing = [name for name in claim.rests_on(cases) if name not in found]
    return f"{', '.join(missing)} has no answer" if missing else claim.measure(cases, found)
