"""What a claim is, and how it is decided. Imports no torch, and NumPy only to measure: help waits for neither."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from selfpretrain.config import FITTED, GAIN, MIN_SEEDS, NEAR, SIGNAL
from selfpretrain.studies.study import TIMES, Case, ClaimAnswer

if TYPE_CHECKING:
    from selfpretrain.comparison.summary import ArmSummary, Summary
    from selfpretrain.explain.conclude import Evidence, LabelTest
    from selfpretrain.stats import Interval, Times

PER_DOUBLING = 0.01
"""A change of the gain below a point for each doubling counts as none (ours)."""
SOLVED = 0.9
"""Validation accuracy from which a task of two classes counts as solved (ours)."""
SOONER = math.log2(1.25)
"""Less than a quarter more steps counts as no more (ours): validations are a fortieth of a phase apart."""
PRIMARY = 2
"""Claims that are primary, the first ones."""
UNPAIRED = "runs failed, or the cases have different seeds"
Effect: TypeAlias = "Interval | list[float] | str"
"""Above 0 as the claim has it: an interval, the values by seed of a t-interval, or why there is no effect."""


Curve: TypeAlias = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class CaseResult:
    """A finished case.

    Attributes:
        evidence: gathered from its diagnosis; None if it was not diagnosed.
        curves: of each arm, by seed: label steps and validation accuracy at each validation.
    """

    summary: "Summary"
    evidence: "Evidence | None" = None
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict)


Results = Mapping[str, CaseResult]
"""Of the finished cases, by name."""


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """A statement that a study tests.

    Attributes:
        text: in plain words.
        family: claims that are not primary are corrected together with those of the same family.
        least: effects below this count as none.
        section: section of the diagnosis that its cases must ask for.
        of_accuracy: whether it is about how well arms do, which depends on who leaves the plateau.
    """

    text: str
    family: str = ""

    least: ClassVar[float] = 0.0
    section: ClassVar[str | None] = None
    of_accuracy: ClassVar[bool] = False

    @property
    def unit(self) -> str:
        """Of the effect, times 100."""
        return "points"

    @property
    @abstractmethod
    def refuted_by(self) -> str:
        """What would refute it, in plain words."""

    @abstractmethod
    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        """Names of the cases that it rests on, each with an arm that it compares there."""

    @abstractmethod
    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        """The effect; all cases that it rests on are finished."""

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """Names of the cases that it needs."""
        return list(dict.fromkeys(name for name, _ in self.needs(cases)))

    def wrong(self, cases: Sequence[Case]) -> str | None:
        """Why these cases can never decide it; None if they can."""
        by_name = {case.name: case for case in cases}
        for name, arm in self.needs(cases):
            if name not in by_name:
                return f"there is no case {name}; the cases are {', '.join(by_name)}"
            if arm not in by_name[name].request.arms:
                return f"the case {name} has no arm {arm}"
            if self.section is not None and not by_name[name].looks_at(self.section):
                return f"the case {name} is not diagnosed with {self.section}"
        return None

    def _untested(self, cases: Sequence[Case], results: Results) -> str | None:
        """The cases in which self-pretraining has learnt nothing, so that they test nothing; None if there are none."""
        idle = [name for name, arm in self.needs(cases) if _is_idle(results[name].summary, arm)]
        return f"self-pretraining has learnt nothing in {', '.join(dict.fromkeys(idle))}" if idle else None


def _is_idle(summary: "Summary", arm: str) -> bool:
    outcomes = {c.outcome for c in summary.comparisons if c.arm == arm and c.n_seeds >= MIN_SEEDS}
    return bool(outcomes) and outcomes <= {"not tested", "too short"}


def _over_seeds(values: list[float], n: int) -> Effect:
    """What seeds show. Shares of ``n`` rows that are alike in all of them have no spread, and still no certainty."""
    from selfpretrain.stats import all_alike

    is_alike = len(values) > 1 and max(values) - min(values) < 1e-9
    return all_alike(values[0], len(values), n) if is_alike else values


def _leads(one: "ArmSummary", two: "ArmSummary", split: Literal["test", "train"] = "test") -> list[float]:
    """Leads in accuracy by seed; none if a run failed or seeds differ, since seeds are paired."""
    ours, theirs = (entry.test_acc if split == "test" else entry.best_train_acc for entry in (one, two))
    leads = [a - b for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]
    return leads if len(leads) == len(ours) == len(theirs) else []


@dataclass(frozen=True, kw_only=True)
class Ahead(Claim):
    """An arm of a case scores more than an arm of the same case or of another.

    Of two arms that ``compare`` sets against each other the interval is over seeds and test sequences, as it gives it;
    of any others, and on training labels, it is the paired t-interval over seeds.

    Attributes:
        case: name of the case.
        other: name of the other arm's case; None is the same.
        split: on which they score: the test split, or training labels at the best that each came to along the way.
        even_untested: whether self-pretraining that has learnt nothing counts as well.
    """

    case: str
    arm: str = "spt"
    against: str = "scratch"
    other: str | None = None
    split: Literal["test", "train"] = "test"
    even_untested: bool = False

    least = GAIN
    of_accuracy = True
    refuted_by = f"a lead that is reliably below {100 * GAIN:g} points"

    @property
    def unit(self) -> str:
        return "points" if self.split == "test" else "points of training accuracy"

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return [(self.case, self.arm), (self.other or self.case, self.against)]

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        from selfpretrain.stats import Interval

        if not self.even_untested and (why := self._untested(cases, results)) is not None:
            return why
        one, two = (results[name].summary for name, _ in self.needs(cases))
        contrast = one.contrast(self.arm, self.against)
        if self.other is None and contrast is not None and self.split == "test":
            return Interval(contrast.effect, *contrast.ci95, contrast.p, contrast.n_seeds, contrast.df)
        leads = _leads(one.arms[self.arm], two.arms[self.against], self.split)
        tasks = [summary.task for summary in (one, two)]
        n = min(task.n_test if self.split == "test" else task.n_train for task in tasks)
        return _over_seeds(leads, n) if leads else UNPAIRED


@dataclass(frozen=True, kw_only=True)
class Sooner(Claim):
    """An arm solves the task in fewer label steps than an arm of the same case or of another.

    Solved is a validation accuracy that stays at ``solved`` or above up to the end. The effect is the factor between
    the steps of both, as a binary logarithm, with the interval of ``stats.doublings``: runs that never solve it count
    as runs that need more steps than they made. Five seeds at least can decide two such claims.

    Attributes:
        case: name of the case.
        other: name of the other arm's case; None is the same.
        total: whether self-pretraining counts, as so many label steps as it costs.
        even_untested: as for ``Ahead``.
    """

    case: str
    arm: str = "spt"
    against: str = "scratch"
    other: str | None = None
    solved: float = SOLVED
    total: bool = False
    even_untested: bool = False

    least = SOONER
    refuted_by = f"a factor that is reliably below {2**SOONER:g}"

    @property
    def unit(self) -> str:
        return f"{TIMES} the {'total' if self.total else 'label'} steps of {self.arm}"

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return [(self.case, self.arm), (self.other or self.case, self.against)]

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        from selfpretrain.stats import doublings

        if not self.even_untested and (why := self._untested(cases, results)) is not None:
            return why
        fast, slow = (_times(results[name], arm, self.solved, self.total) for name, arm in self.needs(cases))
        if fast is None or slow is None:
            return "runs failed"
        if not fast.reached.any() and not slow.reached.any():
            return f"no run of either comes to {self.solved:.0%} on validation sequences"
        return doublings(slow, fast)


def _times(result: CaseResult, arm: str, solved: float, total: bool = False) -> "Times | None":
    """The label steps in which each seed of an arm solves it; None if a run failed.

    Args:
        total: self-pretraining counts, as so many label steps as it costs.
    """
    import numpy as np

    from selfpretrain.stats import Times

    entry, curves = result.summary.arms[arm], result.curves.get(arm, ())
    if not curves or not all(curves):
        return None
    before = entry.flops_pretrain * entry.steps_label / entry.flops_label if total else 0.0
    unsolved = [max((n for n, (_, acc) in enumerate(curve, 1) if acc < solved), default=0) for curve in curves]
    steps = [[0, *(step for step, _ in curve)] for curve in curves]
    since = np.array([at[n] for n, at in zip(unsolved, steps, strict=True)])
    until = np.array([at[min(n + 1, len(at) - 1)] for n, at in zip(unsolved, steps, strict=True)])
    return Times(before + until, before + since, since < until)


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

    least = PER_DOUBLING
    of_accuracy = True

    @property
    def refuted_by(self) -> str:
        return f"a {'fall' if self.falls else 'rise'} that is reliably below a point for each doubling"

    @property
    def unit(self) -> str:
        return f"points {'downwards ' if self.falls else ''}for each doubling"

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return [(case.name, arm) for case in cases if self.axis in case.axes for arm in ("spt", "scratch")]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        values = [case.axes[self.axis] for case in cases if self.axis in case.axes]
        if len(set(values)) < 2 or not all(not isinstance(value, str) and value > 0 for value in values):
            return f"the axis {self.axis} needs two different numbers above 0, and nothing else"
        return super().wrong(cases)

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        import numpy as np

        if not self.even_untested and (why := self._untested(cases, results)) is not None:
            return why
        on_axis = [case for case in cases if self.axis in case.axes]
        arms = [results[case.name].summary.arms for case in on_axis]
        gains = [_leads(entries["spt"], entries["scratch"]) for entries in arms]
        if not all(gains) or len(set(map(len, gains))) > 1:
            return UNPAIRED
        doublings = [math.log2(float(case.axes[self.axis])) for case in on_axis]
        slopes = [float(slope) for slope in np.polyfit(doublings, np.array(gains), 1)[0]]
        return [-slope for slope in slopes] if self.falls else slopes


@dataclass(frozen=True, kw_only=True)
class OfArm(Claim):
    """A claim about one arm of a case."""

    case: str
    arm: str = "scratch"

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return [(self.case, self.arm)]


@dataclass(frozen=True, kw_only=True)
class Fits(OfArm):
    """An arm fits its training labels: its best clean training accuracy along the way is above ``FITTED``.

    The interval is the t-interval over seeds (see ``_over_seeds`` where they are all alike).
    """

    refuted_by = f"a training accuracy that is reliably below {FITTED:g}"
    unit = f"points of training accuracy beyond {FITTED:g}"

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        summary = results[self.case].summary
        reached = [acc - FITTED for acc in summary.arms[self.arm].best_train_acc if acc is not None]
        return _over_seeds(reached, summary.task.n_train) if reached else "every run failed"


@dataclass(frozen=True, kw_only=True)
class Generalises(OfArm):
    """Training and test accuracy of an arm differ by less than three points; the t-interval over seeds."""

    refuted_by = f"a gap that is reliably above {100 * GAIN:g} points"
    unit = f"points, by which the gap is below {100 * GAIN:g}"

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        summary = results[self.case].summary
        entry = summary.arms[self.arm]
        pairs = zip(entry.train_acc, entry.test_acc, strict=True)
        room = [GAIN - (train - test) for train, test in pairs if train is not None and test is not None]
        return _over_seeds(room, summary.task.n_test) if room else "every run failed"


@dataclass(frozen=True, kw_only=True)
class OfDiagnosis(Claim):
    """A claim about what the diagnosis of one case measured."""

    case: str

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return [(self.case, "scratch"), (self.case, "spt")]


@dataclass(frozen=True, kw_only=True)
class Recovers(OfDiagnosis):
    """A transplant has more than half of the gain (or less); see ``explain.conclude``.

    Attributes:
        cell: the transplant, by its name.
        fails: the claim is that it does not.
    """

    cell: str = "spt.query-key.free"
    fails: bool = False

    section = "transplants"

    @property
    def refuted_by(self) -> str:
        return f"reliably {'more' if self.fails else 'less'} than half of the gain"

    @property
    def unit(self) -> str:
        return f"points {'below' if self.fails else 'beyond'} half of the gain"

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        from selfpretrain.explain.conclude import conclude

        evidence = results[self.case].evidence
        if evidence is None:
            return f"{self.case} is not diagnosed"
        if evidence.outcome != "helps":
            return f"there is no gain to carry in {self.case}"
        intervals = {recovery.cell.name: recovery.interval for recovery in conclude(evidence).recoveries}
        if self.cell not in intervals:
            return f"there is no transplant {self.cell} in {self.case}"
        interval = intervals[self.cell]
        return interval.subtracted_from(0.0) if self.fails else interval


@dataclass(frozen=True, kw_only=True)
class LooksNear(OfDiagnosis):
    """The position part of the scores, after self-pretraining, gives near positions more than their share.

    Measured in the head of each model that favours them most: the attention on near positions that this part alone
    would give, relative to uniform attention, less ``NEAR``; the t-interval over seeds.
    """

    section = "attention"
    refuted_by = f"reliably less than {NEAR:g} times uniform attention on near positions"
    unit = f"% of uniform attention, beyond {100 * NEAR:g}%"

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        evidence = results[self.case].evidence
        shapes = [] if evidence is None else evidence.shapes
        missing = f"attention in {self.case} has no position part that was looked at"
        return [after.near_mass - NEAR for _, after in shapes] or missing


@dataclass(frozen=True, kw_only=True)
class Blind(OfArm):
    """At the start labels have no more to do with gradients on query-key weights than chance: an equivalence.

    What the gradients explain of the labels' variance beyond chance (``diagnostics.gradients.label_signal``) is below
    ``SIGNAL``; the interval over seeds, and over sequences, which seeds share.

    Attributes:
        arm: whose start.
    """

    section = "gradients"
    refuted_by = f"gradients that reliably explain more than {100 * SIGNAL:g}% of the labels' variance beyond chance"
    unit = f"% of the labels' variance, below {100 * SIGNAL:g}%"

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        from selfpretrain.explain.conclude import label_excess

        tests = _label_tests(results[self.case], self.arm)
        if not tests:
            return f"in {self.case} gradients on query-key weights were not looked at"
        return label_excess(tests).subtracted_from(SIGNAL)


def _label_tests(result: CaseResult, arm: str) -> "Sequence[LabelTest]":
    """Of the start of an arm, by seed; scratch, spt and others share theirs."""
    from selfpretrain.registry import ARMS

    if result.evidence is None:
        return ()
    return result.evidence.label_tests.get(arm, () if ARMS[arm].own_start else result.evidence.shared_label_tests)


FORETELLS = 0.3
"""A rank correlation below counts as none (ours)."""


@dataclass(frozen=True, kw_only=True)
class Foretells(Claim):
    """Where labels have more to do with the gradients at the start, they solve the task sooner.

    The effect is Kendall's rank correlation (tau-b) over the starts, as a mean over seeds: of what gradients on
    query-key weights explain of the labels' variance, and the label steps to solve the task, as in ``Sooner``; starts
    that never solve it come last, together. It holds by a permutation test over the starts, and is refuted by the
    interval over seeds.

    Attributes:
        starts: the case and the arm of each.
    """

    starts: tuple[tuple[str, str], ...]
    solved: float = SOLVED

    least = FORETELLS
    section = "gradients"
    refuted_by = f"a rank correlation over these starts that is reliably below {FORETELLS:g} over seeds"
    unit = "% of a perfect rank correlation"

    def needs(self, cases: Sequence[Case]) -> list[tuple[str, str]]:
        return list(self.starts)

    def measure(self, cases: Sequence[Case], results: Results) -> Effect:
        import numpy as np

        from selfpretrain.stats import concordance

        steps, shares = [], []
        for case, arm in self.starts:
            times, tests = _times(results[case], arm, self.solved), _label_tests(results[case], arm)
            if times is None or len(tests) != len(times.steps):
                return f"{case} has runs that failed, or was not looked at"
            steps.append(np.where(times.reached, times.steps, np.finfo(np.float64).max))
            shares.append(np.array([test.excess for test in tests]))
        if len({len(seeds) for seeds in shares}) > 1:
            return UNPAIRED
        try:
            return concordance(np.transpose(shares), -np.transpose(steps))
        except ValueError:
            return "with some seed all starts, or none, solve the task alike, so there is nothing to foretell"


def decide(claims: Sequence[Claim], cases: Sequence[Case], results: Results) -> list[ClaimAnswer]:
    """What the comparisons say of each claim; the first two are primary, the others corrected in their families.

    A claim holds if its effect is reliably above 0, and does not if it is reliably below ``least``. Its p-value is that
    of the side on which the effect lies, and both answers are corrected alike (Holm).

    Where some seeds of an arm left the plateau and others did not, an interval over so few knows too little of those
    that would, and no claim is refuted.

    A claim is made at the level of the latest looks at its comparisons (see ``comparison.claims``).
    """
    from selfpretrain.comparison.claims import ALPHA, adjusted_p

    answers, p_values, families, against, refutable = [], [], [], set[int](), set[int]()
    for number, claim in enumerate(claims):
        interval, why = _measured(claim, cases, results)
        enough = interval.n >= MIN_SEEDS
        speaks_against = enough and interval.below(claim.least)
        is_for = enough and not speaks_against and interval.mean > 0
        p = interval.p if is_for else interval.p_at(claim.least) if speaks_against else None
        p_values.append(1.0 if p is None else p)
        if speaks_against:
            against.add(number)
            refutable |= set() if _mixed(claim, cases, results) else {number}
        families.append(None if number < PRIMARY else claim.family)
        answers.append(
            ClaimAnswer(
                claim=claim.text,
                family=claim.family,
                refuted_by=claim.refuted_by,
                primary=number < PRIMARY,
                unit=claim.unit,
                least=claim.least,
                effect=interval.mean if why is None else None,
                ci95=(_finite(interval.low), _finite(interval.high)),
                p_adjusted=None,
                n_seeds=interval.n,
                outcome="undecided",
                why=why,
            )
        )
    for family in dict.fromkeys(families):
        members = [number for number, name in enumerate(families) if name == family]
        adjusted = adjusted_p([p_values[number] for number in members], [family is None] * len(members))
        for number, p in zip(members, adjusted, strict=True):
            names = claims[number].rests_on(cases)
            level = min((results[name].summary.level for name in names if name in results), default=ALPHA)
            if answers[number].why is None:
                outcome: Literal["holds", "does not hold", "undecided"] = "undecided"
                if p < level:
                    outcome = (
                        "holds" if number not in against else "does not hold" if number in refutable else "undecided"
                    )
                answers[number] = replace(answers[number], p_adjusted=p, outcome=outcome)
    return answers


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and math.isfinite(bound) else None


def _mixed(claim: Claim, cases: Sequence[Case], results: Results) -> bool:
    """Whether seeds of an arm that a claim rests on differ in whether they left the plateau."""
    rests_on = claim.needs(cases) if claim.of_accuracy else ()
    known = [results[name].summary.arms[arm].learnt for name, arm in rests_on if name in results]
    return any(True in learnt and False in learnt for learnt in known)


def _measured(claim: Claim, cases: Sequence[Case], results: Results) -> "tuple[Interval, str | None]":
    """The effect, and None; an empty interval, and why nothing was measured."""
    from selfpretrain.stats import Interval, t_interval

    missing = [name for name in claim.rests_on(cases) if name not in results]
    effect = f"{', '.join(missing)} has no answer" if missing else claim.measure(cases, results)
    if isinstance(effect, str):
        return Interval(0.0, None, None, None, 0), effect
    return (t_interval(effect) if isinstance(effect, list) else effect), None
