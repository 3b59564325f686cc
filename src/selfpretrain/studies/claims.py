"""What a study claims, and what its comparisons say of it: a class for each kind of claim. Imports no torch.

| outcome        | when                                                                                         |
|----------------|----------------------------------------------------------------------------------------------|
| holds          | the effect has the claimed sign, and its adjusted p is below 0.05                            |
| does not hold  | the 95% interval leaves out everything that the claim would call an effect (``least``)       |
| undecided      | anything else: too few seeds, too wide an interval, or self-pretraining that learnt nothing  |
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selfpretrain.config import MIN_SEEDS
from selfpretrain.results import ClaimAnswer, Summary
from selfpretrain.stats import Interval, t_interval
from selfpretrain.verdict.claims import ALPHA, GAIN, adjusted_p

PER_DOUBLING = 0.01
"""A change of the gain below a point for each doubling counts as none (ours)."""
PRIMARY = 2
"""Claims that are primary, the first ones."""
Found = Mapping[str, Summary]
"""Answers of finished comparisons, by the names of their cases."""


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """Something that a study is to decide.

    Attributes:
        text: the claim, in plain words.
        refuted_by: what would refute it, in plain words.
    """

    text: str
    refuted_by: str

    @property
    @abstractmethod
    def least(self) -> float:
        """Effects below this count as none."""

    @abstractmethod
    def measure(self, found: Found) -> Interval | None:
        """The effect, above 0 as the claim has it; None where it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Ahead(Claim):
    """An arm of a case scores more on the test split than an arm of the same case or of another.

    Of one case the interval is over seeds and test sequences, as ``compare`` gives it; of two it is the paired
    t-interval over seeds.

    Attributes:
        case: name of the case.
        other: name of the other arm's case; None is the same.
    """

    case: str
    arm: str = "spt"
    against: str = "scratch"
    other: str | None = None

    @property
    def least(self) -> float:
        """Three points."""
        return GAIN

    def measure(self, found: Found) -> Interval | None:
        """The lead in test accuracy."""
        one, two = found.get(self.case), found.get(self.other or self.case)
        if one is None or two is None:
            return None
        if self.other is None:
            contrast = one.contrast(self.arm, self.against)
            if contrast is None or contrast.outcome == "not tested":
                return None
            return Interval(contrast.effect, *contrast.ci95, contrast.p, contrast.n_seeds)
        leads = _leads(one, self.arm, two, self.against)
        return t_interval(leads) if leads else None


@dataclass(frozen=True, kw_only=True)
class Changes(Claim):
    """The gain of spt over scratch rises (or falls) along an axis of numbers.

    The effect is the slope of the gain on the binary logarithm of the axis, by least squares, for each seed: points
    for every doubling. The interval is the t-interval over seeds.

    Attributes:
        cases: names of the cases, by their value on the axis.
        falls: the claim is that the gain falls; the effect is then the slope downwards.
    """

    cases: Mapping[float, str]
    falls: bool = False

    @property
    def least(self) -> float:
        """A point for each doubling."""
        return PER_DOUBLING

    def measure(self, found: Found) -> Interval | None:
        """The slope."""
        if any(name not in found for name in self.cases.values()):
            return None
        gains = [_leads(found[name], "spt", found[name], "scratch") for name in self.cases.values()]
        if len({len(gain) for gain in gains}) != 1 or not gains[0]:
            return None
        slopes = np.polyfit([math.log2(value) for value in self.cases], np.array(gains), 1)[0]
        return t_interval(-slopes if self.falls else slopes)


def _leads(one: Summary, arm: str, two: Summary, against: str) -> list[float]:
    """Leads in test accuracy by seed; none if a run failed, since seeds are paired."""
    if arm not in one.arms or against not in two.arms:
        return []
    pairs = list(zip(one.arms[arm].test_acc, two.arms[against].test_acc, strict=False))
    leads = [a - b for a, b in pairs if a is not None and b is not None]
    return leads if len(leads) == len(pairs) else []


def judge(claims: Sequence[Claim], found: Found) -> list[ClaimAnswer]:
    """What the comparisons say of each claim; the first two are primary, in their order, the others corrected."""
    measured = [claim.measure(found) for claim in claims]
    p_values = [1.0 if each is None or each.p is None else each.p for each in measured]
    corrected = adjusted_p(p_values, [number < PRIMARY for number in range(len(claims))])
    answers = []
    for number, (claim, effect, p) in enumerate(zip(claims, measured, corrected, strict=True)):
        enough = effect is not None and effect.n >= MIN_SEEDS
        holds = enough and effect is not None and effect.mean > 0 and p < ALPHA
        fails = enough and effect is not None and effect.high is not None and effect.high < claim.least
        answers.append(
            ClaimAnswer(
                claim=claim.text,
                refuted_by=claim.refuted_by,
                primary=number < PRIMARY,
                effect=None if effect is None else effect.mean,
                ci95=(None, None) if effect is None else effect.bounds,
                p_adjusted=None if effect is None or effect.p is None else p,
                n_seeds=0 if effect is None else effect.n,
                outcome="does not hold" if fails else "holds" if holds else "undecided",
            )
        )
    return answers
