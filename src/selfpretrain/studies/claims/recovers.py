"""The claim that a transplant recovers the gain, or does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfpretrain.stats import Interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Found, OfACase


@dataclass(frozen=True, kw_only=True)
class Recovers(OfACase):
    """A transplant has more than half of the gain (or less); see ``explain.conclusion``.

    Attributes:
        cell: the transplant, by its name.
        fails: the claim is that it does not.
    """

    cell: str = "spt.query-key.free"
    fails: bool = False

    @property
    def refuted_by(self) -> str:
        """The other half."""
        return f"reliably {'more' if self.fails else 'less'} than half of the gain"

    @property
    def unit(self) -> str:
        """Of accuracy."""
        return f"points {'below' if self.fails else 'beyond'} half of the gain"

    @property
    def needs_sections(self) -> Sequence[str]:
        """They train."""
        return ("transplants",)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """Its lead over scratch, less half of the gain."""
        diagnosed = found[self.case].diagnosed
        if diagnosed is None:
            return f"{self.case} is not diagnosed"
        if diagnosed.evidence.outcome != "helps":
            return f"there is no gain to carry in {self.case}"
        known = {each.cell.name: each.interval for each in diagnosed.conclusion.recoveries}
        if self.cell not in known:
            return f"there is no transplant {self.cell} in {self.case}"
        interval = known[self.cell]
        if not self.fails:
            return interval
        low, high = interval.bounds
        turned = (None if high is None else -high, None if low is None else -low)
        return Interval(-interval.mean, *turned, interval.p, interval.n)
