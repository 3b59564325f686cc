"""The claim that one arm scores more than another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Claim, Found, leads, untested, wrong_case
from selfpretrain.verdict.claims import GAIN


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
        """Three points."""
        return GAIN

    @property
    def refuted_by(self) -> str:
        """A small lead."""
        return f"a lead that is reliably below {100 * GAIN:g} points"

    @property
    def unit(self) -> str:
        """Of accuracy."""
        return "points" if self.split == "test" else "points of training accuracy"

    def rests_on(self, cases: Sequence[Case]) -> list[str]:
        """One case, or two."""
        return [self.case, *([] if self.other is None else [self.other])]

    def wrong(self, cases: Sequence[Case]) -> str | None:
        """A case or an arm that is not there."""
        pairs = ((self.case, self.arm), (self.other or self.case, self.against))
        return next((said for name, arm in pairs if (said := wrong_case(cases, name, (arm,))) is not None), None)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """The lead in accuracy."""
        one, two = found[self.case].summary, found[self.other or self.case].summary
        pairs = ((self.case, self.arm, one), (self.other or self.case, self.against, two))
        for name, arm, summary in pairs:
            if not self.even_untested and untested(summary, arm):
                return f"self-pretraining has learnt nothing in {name}"
        contrast = one.contrast(self.arm, self.against)
        if self.other is None and contrast is not None and self.split == "test":
            return Interval(contrast.effect, *contrast.ci95, contrast.p, contrast.n_seeds)
        by_seed = leads(one, self.arm, two, self.against, self.split)
        return t_interval(by_seed) if by_seed else "runs failed, or the cases have different seeds"
