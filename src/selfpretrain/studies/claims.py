"""What a study claims, and what its comparisons say of it: a class for each kind of claim. Imports no torch.

The first row that fits counts:

| outcome        | when                                                                                         |
|----------------|----------------------------------------------------------------------------------------------|
| does not hold  | the 95% interval leaves out everything that the claim would call an effect (``least``)       |
| holds          | the effect has the claimed sign, and its adjusted p is below the level                       |
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
from selfpretrain.studies.case import Case
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
    """

    text: str

    @property
    @abstractmethod
    def least(self) -> float:
        """Effects below this count as none."""

    @property
    @abstractmethod
    def refuted_by(self) -> str:
        """What would refute it, in plain words."""

    @property
    def unit(self) -> str:
        """Of the effect, times 100."""
        return "points"

    @abstractmethod
    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """Names of the cases that it needs."""

    @abstractmethod
    def wrong(self, cases: Sequence[Case]) -> str | None:
        """Why these cases can never decide it; None if they can."""

    @abstractmethod
    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """The effect, above 0 as the claim has it; or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Ahead(Claim):
    """An arm of a case scores more on the test split than an arm of the same case or of another.

    Of two arms that ``compare`` sets against each other the interval is over seeds and test sequences, as it gives it;
    of any others it is the paired t-interval over seeds.

    Attributes:
        case: name of the case.
        other: name of the other arm's case; None is the same.
        even_untested: self-pretraining that has learnt nothing counts as well, where that is the question.
    """

    case: str
    arm: str = "spt"
    against: str = "scratch"
    other: str | None = None
    even_untested: bool = False

    @property
    def least(self) -> float:
        """Three points."""
        return GAIN

    @property
    def refuted_by(self) -> str:
        """A small lead."""
        return f"a lead that is reliably below {100 * GAIN:g} points"

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """One case, or two."""
        return [self.case, *([] if self.other is None else [self.other])]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        """A case or an arm that is not there."""
        arms = {case.name: case.request.arms for case in cases}
        for name, arm in ((self.case, self.arm), (self.other or self.case, self.against)):
            if name not in arms:
                return f"there is no case {name}; the cases are {', '.join(arms)}"
            if arm not in arms[name]:
                return f"the case {name} has no arm {arm}"
        return None

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """The lead in test accuracy."""
        one, two = found[self.case], found[self.other or self.case]
        pairs = ((self.case, self.arm, one), (self.other or self.case, self.against, two))
        for name, arm, summary in pairs:
            if not self.even_untested and _untested(summary, arm):
                return f"self-pretraining has learnt nothing in {name}"
        contrast = one.contrast(self.arm, self.against)
        if self.other is None and contrast is not None:
            return Interval(contrast.effect, *contrast.ci95, contrast.p, contrast.n_seeds)
        leads = _leads(one, self.arm, two, self.against)
        return t_interval(leads) if leads else "runs failed, or the cases have different seeds"


@dataclass(frozen=True, kw_only=True)
class Changes(Claim):
    """The gain of spt over scratch rises (or falls) along an axis of numbers.

    The effect is the slope of the gain on the binary logarithm of the axis, by least squares, for each seed: points
    for every doubling. The interval is the t-interval over seeds.

    Attributes:
        axis: its name; every case that has it counts.
        falls: the claim is that the gain falls; the effect is then the slope downwards.
        even_untested: as for ``Ahead``.
    """

    axis: str
    falls: bool = False
    even_untested: bool = False

    @property
    def least(self) -> float:
        """A point for each doubling."""
        return PER_DOUBLING

    @property
    def refuted_by(self) -> str:
        """A small change."""
        return f"a {'fall' if self.falls else 'rise'} that is reliably below a point for each doubling"

    @property
    def unit(self) -> str:
        """A slope."""
        return f"points {'downwards ' if self.falls else ''}for each doubling"

    def _along(self, cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if self.axis in case.axes]

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """Every case on the axis."""
        return [case.name for case in self._along(cases)]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        """An axis that has no logarithm, or an arm that is missing."""
        on_axis = self._along(cases)
        values = [value for case in on_axis if not isinstance(value := case.axes[self.axis], str) and value > 0]
        if len(values) < len(on_axis) or len(set(values)) < 2:
            return f"the axis {self.axis} needs two different numbers above 0, and nothing else"
        lacking = [case.name for case in on_axis if not {"spt", "scratch"} <= set(case.request.arms)]
        return f"the case {lacking[0]} lacks spt or scratch" if lacking else None

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """The slope."""
        names = self.rests_on(cases)
        if untested := [name for name in names if not self.even_untested and _untested(found[name], "spt")]:
            return f"self-pretraining has learnt nothing in {', '.join(untested)}"
        gains = [_leads(found[name], "spt", found[name], "scratch") for name in names]
        if len({len(gain) for gain in gains}) != 1 or not gains[0]:
            return "runs failed, or the cases have different seeds"
        places = [math.log2(float(case.axes[self.axis])) for case in self._along(cases)]
        slopes = np.polyfit(places, np.array(gains), 1)[0]
        return t_interval(-slopes if self.falls else slopes)


def _untested(summary: Summary, arm: str) -> bool:
    """Whether the arm's self-pretraining has learnt nothing, so that it tests nothing."""
    outcomes = [c.outcome for c in summary.comparisons if c.arm == arm and c.n_seeds >= MIN_SEEDS]
    return bool(outcomes) and set(outcomes) == {"not tested"}


def _leads(one: Summary, arm: str, two: Summary, against: str) -> list[float]:
    """Leads in test accuracy by seed; none if a run failed or seeds differ, since seeds are paired."""
    pairs = list(zip(one.arms[arm].test_acc, two.arms[against].test_acc, strict=False))
    leads = [a - b for a, b in pairs if a is not None and b is not None]
    complete = len(leads) == len(one.arms[arm].test_acc) == len(two.arms[against].test_acc)
    return leads if complete else []


def decide(claims: Sequence[Claim], cases: Sequence[Case], found: Found) -> list[ClaimAnswer]:
    """What the comparisons say of each claim; the first two are primary, in their order, the others corrected.

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
    adjusted = adjusted_p(p_values, [number < PRIMARY for number in range(len(claims))])
    answers = []
    for number, (claim, m, against, p) in enumerate(zip(claims, measured, refuted, adjusted, strict=True)):
        level = min((found[name].level for name in claim.rests_on(cases) if name in found), default=ALPHA)
        holds = not against and p < level
        answers.append(
            ClaimAnswer(
                claim=claim.text,
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


def _measured(claim: Claim, cases: Sequence[Case], found: Found) -> Interval | str:
    missing = [name for name in claim.rests_on(cases) if name not in found]
    return f"{', '.join(missing)} has no answer" if missing else claim.measure(cases, found)
