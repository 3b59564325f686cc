"""What a claim is, and what it is measured on. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selfpretrain.config import MIN_SEEDS
from selfpretrain.explain.conclusion import Conclusion
from selfpretrain.explain.evidence import Evidence
from selfpretrain.results import Summary
from selfpretrain.stats import Interval
from selfpretrain.studies.case import Case


@dataclass(frozen=True)
class Diagnosed:
    """What a diagnosis found of a case."""

    evidence: Evidence
    conclusion: Conclusion


@dataclass(frozen=True)
class Finding:
    """What is known of a finished case.

    Attributes:
        diagnosed: None if it was not diagnosed.
    """

    summary: Summary
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
    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
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
        """Nothing: the sign decides."""
        return 0.0

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """One case."""
        return [self.case]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        """A case that is not there, or that is not looked at as the claim needs it."""
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


def untested(summary: Summary, arm: str) -> bool:
    """Whether the arm's self-pretraining has learnt nothing, so that it tests nothing."""
    outcomes = [c.outcome for c in summary.comparisons if c.arm == arm and c.n_seeds >= MIN_SEEDS]
    return bool(outcomes) and set(outcomes) == {"not tested"}


def leads(one: Summary, arm: str, two: Summary, against: str, split: Literal["test", "train"] = "test") -> list[float]:
    """Leads in accuracy by seed; none if a run failed or seeds differ, since seeds are paired."""
    ours, theirs = (
        entry.test_acc if split == "test" else entry.best_train_acc for entry in (one.arms[arm], two.arms[against])
    )
    found = [a - b for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]
    complete = len(found) == len(ours) == len(theirs)
    return found if complete else []
