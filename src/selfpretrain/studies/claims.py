"""What a claim is, and what it is measured on. Imports no torch, and NumPy only to measure: help waits for neither."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from selfpretrain.config import BLIND, FITTED, GAIN, MIN_SEEDS, NEAR
from selfpretrain.studies.study import Case, ClaimAnswer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.comparison.summary import Summary
    from selfpretrain.explain.conclude import Conclusion, Evidence
    from selfpretrain.stats import Interval


@dataclass(frozen=True)
class Diagnosed:
    """What a diagnosis found of a case."""

    evidence: "Evidence"
    conclusion: "Conclusion"


@dataclass(frozen=True)
class Finding:
    """What is known of a finished case.

    Attributes:
        diagnosed: None if it was not diagnosed.
    """

    summary: "Summary"
    diagnosed: Diagnosed | None = None


Found = Mapping[str, Finding]
"""Of finished cases, by name."""


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """Something that a study is to decide.

    Attributes:
        text: the claim, in plain words.
        family: claims that are not primary are corrected together with those of the same family.
    """

    text: str
    family: str = ""

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
    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        """The effect, above 0 as the claim has it; or why there is none."""


@dataclass(frozen=True, kw_only=True)
class OfACase(Claim):
    """A claim about one case.

    Attributes:
        case: its name.
    """

    case: str

    @property
    def least(self) -> float:
        return 0.0

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        return [self.case]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        return wrong_case(cases, self.case, self.needs_arms) or self._unseen(cases)

    @property
    def needs_arms(self) -> Sequence[str]:
        """Arms that the case must have."""
        return ("scratch", "spt")

    @property
    def needs_sections(self) -> Sequence[str]:
        """Sections of the diagnosis that the case must ask for."""
        return ()

    def _unseen(self, cases: Sequence[Case]) -> str | None:
        case = next(case for case in cases if case.name == self.case)
        lacking = [name for name in self.needs_sections if not case.looks_at(name)]
        return f"the case {case.name} is not diagnosed with {lacking[0]}" if lacking else None


def wrong_case(cases: Sequence[Case], name: str, arms: Sequence[str]) -> str | None:
    """Why a claim cannot rest on these arms of a case of that name; None if it can."""
    found = {case.name: case.request.arms for case in cases}
    if name not in found:
        return f"there is no case {name}; the cases are {', '.join(found)}"
    lacking = [arm for arm in arms if arm not in found[name]]
    return f"the case {name} has no arm {lacking[0]}" if lacking else None


def untested(summary: "Summary", arm: str) -> bool:
    """Whether the arm's self-pretraining has learnt nothing, so that it tests nothing."""
    outcomes = [c.outcome for c in summary.comparisons if c.arm == arm and c.n_seeds >= MIN_SEEDS]
    return bool(outcomes) and set(outcomes) == {"not tested"}


def leads(
    one: "Summary", arm: str, two: "Summary", against: str, split: Literal["test", "train"] = "test"
) -> list[float]:
    """Leads in accuracy by seed; none if a run failed or seeds differ, since seeds are paired."""
    ours, theirs = (
        entry.test_acc if split == "test" else entry.best_train_acc for entry in (one.arms[arm], two.arms[against])
    )
    found = [a - b for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]
    complete = len(found) == len(ours) == len(theirs)
    return found if complete else []


def _interval(by_seed: "Sequence[float] | NDArray[np.float64]") -> "Interval":
    from selfpretrain.stats import t_interval

    return t_interval(by_seed)


@dataclass(frozen=True, kw_only=True)
class Ahead(Claim):
    """An arm of a case scores more than an arm of the same case or of another.

    Of two arms that ``compare`` sets against each other the interval is over seeds and test sequences, as it gives it;
    of any others, and on training labels, it is the paired t-interval over seeds.

    Attributes:
        case: name of the case.
        other: name of the other arm's case; None is the same.
        split: on which they score: the test split, or training labels at the best that each came to along the way.
        even_untested: self-pretraining that has learnt nothing counts as well, where that is the question.
    """

    case: str
    arm: str = "spt"
    against: str = "scratch"
    other: str | None = None
    split: Literal["test", "train"] = "test"
    even_untested: bool = False

    @property
    def least(self) -> float:
        return GAIN

    @property
    def refuted_by(self) -> str:
        return f"a lead that is reliably below {100 * GAIN:g} points"

    @property
    def unit(self) -> str:
        return "points" if self.split == "test" else "points of training accuracy"

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        return [self.case, *([] if self.other is None else [self.other])]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        pairs = ((self.case, self.arm), (self.other or self.case, self.against))
        return next((problem for name, arm in pairs if (problem := wrong_case(cases, name, (arm,))) is not None), None)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        from selfpretrain.stats import Interval

        one, two = found[self.case].summary, found[self.other or self.case].summary
        pairs = ((self.case, self.arm, one), (self.other or self.case, self.against, two))
        for name, arm, summary in pairs:
            if not self.even_untested and untested(summary, arm):
                return f"self-pretraining has learnt nothing in {name}"
        contrast = one.contrast(self.arm, self.against)
        if self.other is None and contrast is not None and self.split == "test":
            return Interval(contrast.effect, *contrast.ci95, contrast.p, contrast.n_seeds)
        by_seed = leads(one, self.arm, two, self.against, self.split)
        return _interval(by_seed) if by_seed else "runs failed, or the cases have different seeds"


PER_DOUBLING = 0.01
"""A change of the gain below a point for each doubling counts as none (ours)."""


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
        return PER_DOUBLING

    @property
    def refuted_by(self) -> str:
        return f"a {'fall' if self.falls else 'rise'} that is reliably below a point for each doubling"

    @property
    def unit(self) -> str:
        return f"points {'downwards ' if self.falls else ''}for each doubling"

    def _along(self, cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if self.axis in case.axes]

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        return [case.name for case in self._along(cases)]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        on_axis = self._along(cases)
        values = [value for case in on_axis if not isinstance(value := case.axes[self.axis], str) and value > 0]
        if len(values) < len(on_axis) or len(set(values)) < 2:
            return f"the axis {self.axis} needs two different numbers above 0, and nothing else"
        lacking = [case.name for case in on_axis if not {"spt", "scratch"} <= set(case.request.arms)]
        return f"the case {lacking[0]} lacks spt or scratch" if lacking else None

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        import numpy as np

        summaries = {name: found[name].summary for name in self.rests_on(cases)}
        if idle := [name for name, summary in summaries.items() if not self.even_untested and untested(summary, "spt")]:
            return f"self-pretraining has learnt nothing in {', '.join(idle)}"
        gains = [leads(summary, "spt", summary, "scratch") for summary in summaries.values()]
        if len({len(gain) for gain in gains}) != 1 or not gains[0]:
            return "runs failed, or the cases have different seeds"
        places = [math.log2(float(case.axes[self.axis])) for case in self._along(cases)]
        slopes = np.polyfit(places, np.array(gains), 1)[0]
        return _interval(-slopes if self.falls else slopes)


@dataclass(frozen=True, kw_only=True)
class Fits(OfACase):
    """An arm fits its training labels: its best clean training accuracy along the way is above ``FITTED``.

    The interval is the t-interval over seeds.
    """

    arm: str = "scratch"

    @property
    def refuted_by(self) -> str:
        return f"a training accuracy that is reliably below {FITTED:g}"

    @property
    def unit(self) -> str:
        return f"points of training accuracy beyond {FITTED:g}"

    @property
    def needs_arms(self) -> Sequence[str]:
        return (self.arm,)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        reached = [acc for acc in found[self.case].summary.arms[self.arm].best_train_acc if acc is not None]
        return _interval([acc - FITTED for acc in reached]) if reached else "every run failed"


@dataclass(frozen=True, kw_only=True)
class Generalises(OfACase):
    """Training and test accuracy of an arm differ by less than three points; the t-interval over seeds."""

    arm: str = "scratch"

    @property
    def refuted_by(self) -> str:
        return f"a gap that is reliably above {100 * GAIN:g} points"

    @property
    def unit(self) -> str:
        return f"points, by which the gap is below {100 * GAIN:g}"

    @property
    def needs_arms(self) -> Sequence[str]:
        return (self.arm,)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        entry = found[self.case].summary.arms[self.arm]
        pairs = zip(entry.train_acc, entry.test_acc, strict=True)
        gaps = [train - test for train, test in pairs if train is not None and test is not None]
        return _interval([GAIN - gap for gap in gaps]) if gaps else "every run failed"


@dataclass(frozen=True, kw_only=True)
class Recovers(OfACase):
    """A transplant has more than half of the gain (or less); see ``explain.conclude``.

    Attributes:
        cell: the transplant, by its name.
        fails: the claim is that it does not.
    """

    cell: str = "spt.query-key.free"
    fails: bool = False

    @property
    def refuted_by(self) -> str:
        return f"reliably {'more' if self.fails else 'less'} than half of the gain"

    @property
    def unit(self) -> str:
        return f"points {'below' if self.fails else 'beyond'} half of the gain"

    @property
    def needs_sections(self) -> Sequence[str]:
        return ("transplants",)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        from selfpretrain.stats import Interval

        diagnosed = found[self.case].diagnosed
        if diagnosed is None:
            return f"{self.case} is not diagnosed"
        if diagnosed.evidence.outcome != "helps":
            return f"there is no gain to carry in {self.case}"
        known = {recovery.cell.name: recovery.interval for recovery in diagnosed.conclusion.recoveries}
        if self.cell not in known:
            return f"there is no transplant {self.cell} in {self.case}"
        interval = known[self.cell]
        if not self.fails:
            return interval
        low, high = interval.bounds
        turned = (None if high is None else -high, None if low is None else -low)
        return Interval(-interval.mean, *turned, interval.p, interval.n)


@dataclass(frozen=True, kw_only=True)
class LooksNear(OfACase):
    """The position part of the scores, after self-pretraining, gives near positions more than their share.

    Measured in the head of each model that favours them most: the attention on near positions that this part alone
    would give, relative to uniform attention, less ``NEAR``; the t-interval over seeds.
    """

    @property
    def refuted_by(self) -> str:
        return f"reliably less than {NEAR:g} times uniform attention on near positions"

    @property
    def unit(self) -> str:
        return f"% of uniform attention, beyond {100 * NEAR:g}%"

    @property
    def needs_sections(self) -> Sequence[str]:
        return ("attention",)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        diagnosed = found[self.case].diagnosed
        if diagnosed is None or not diagnosed.evidence.shapes:
            return f"attention in {self.case} has no position part that was looked at"
        return _interval([after.near_mass - NEAR for _, after in diagnosed.evidence.shapes])


@dataclass(frozen=True, kw_only=True)
class Blind(OfACase):
    """The label's signal on proximity, at the start, is below ``BLIND`` of the reconstruction's.

    Both are signal-to-noise ratios of gradients on attention scores. Seeds count in which the reconstruction's own is
    above chance; the t-interval over them.
    """

    @property
    def refuted_by(self) -> str:
        return f"a signal of the label that is reliably above {100 * BLIND:g}% of the reconstruction's"

    @property
    def unit(self) -> str:
        return f"% of the reconstruction's signal, below {100 * BLIND:g}%"

    @property
    def needs_sections(self) -> Sequence[str]:
        return ("gradients",)

    def measure(self, cases: Sequence[Case], found: Found) -> "Interval | str":
        from selfpretrain.explain.conclude import clear_signals

        diagnosed = found[self.case].diagnosed
        signals = [] if diagnosed is None else clear_signals(diagnosed.evidence)
        if not signals:
            return f"in {self.case} the reconstruction's own signal is not above chance, or was not looked at"
        return _interval([BLIND - seed.label / seed.reconstruction for seed in signals])


PRIMARY = 2
"""Claims that are primary, the first ones."""


def decide(claims: Sequence[Claim], cases: Sequence[Case], found: Found) -> list[ClaimAnswer]:
    """What the comparisons say of each claim; the first two are primary, the others corrected in their families.

    A claim is made at the level of the latest looks at its comparisons (see ``comparison.claims``).
    """
    from selfpretrain.comparison.claims import ALPHA

    measured = [_measured(claim, cases, found) for claim in claims]
    refuted = [
        not isinstance(m, str) and m.n >= MIN_SEEDS and m.high is not None and m.high < claim.least
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
    from selfpretrain.comparison.claims import adjusted_p
    from selfpretrain.stats import holm

    adjusted = adjusted_p(p_values, [family is None for family in families])
    for family in dict.fromkeys(family for family in families if family is not None):
        members = [number for number, each in enumerate(families) if each == family]
        corrected = holm([p_values[number] for number in members])
        for number, p in zip(members, corrected, strict=True):
            adjusted[number] = p
    return adjusted


def _measured(claim: Claim, cases: Sequence[Case], found: Found) -> "Interval | str":
    missing = [name for name in claim.rests_on(cases) if name not in found]
    return f"{', '.join(missing)} has no answer" if missing else claim.measure(cases, found)
