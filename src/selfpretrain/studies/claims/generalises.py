"""The claim that an arm does as well on new sequences as on those that it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Found, OfACase
from selfpretrain.verdict.claims import GAIN


@dataclass(frozen=True, kw_only=True)
class Generalises(OfACase):
    """Training and test accuracy of an arm differ by less than three points; the t-interval over seeds."""

    arm: str = "scratch"

    @property
    def refuted_by(self) -> str:
        """A large gap."""
        return f"a gap that is reliably above {100 * GAIN:g} points"

    @property
    def unit(self) -> str:
        """What the gap leaves."""
        return f"points, by which the gap is below {100 * GAIN:g}"

    @property
    def needs_arms(self) -> Sequence[str]:
        """The arm."""
        return (self.arm,)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """Three points, less the gap."""
        entry = found[self.case].summary.arms[self.arm]
        pairs = zip(entry.train_acc, entry.test_acc, strict=True)
        gaps = [train - test for train, test in pairs if train is not None and test is not None]
        return t_interval([GAIN - gap for gap in gaps]) if gaps else "every run failed"
