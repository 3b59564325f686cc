"""The claim that an arm fits its training labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfpretrain.config import FITTED
from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Found, OfACase


@dataclass(frozen=True, kw_only=True)
class Fits(OfACase):
    """An arm fits its training labels: its best clean training accuracy along the way is above ``FITTED``.

    The interval is the t-interval over seeds.
    """

    arm: str = "scratch"

    @property
    def refuted_by(self) -> str:
        """Too little."""
        return f"a training accuracy that is reliably below {FITTED:g}"

    @property
    def unit(self) -> str:
        """Of training accuracy."""
        return f"points of training accuracy beyond {FITTED:g}"

    @property
    def needs_arms(self) -> Sequence[str]:
        """The arm."""
        return (self.arm,)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """Training accuracy beyond what counts as fitted."""
        reached = [acc for acc in found[self.case].summary.arms[self.arm].best_train_acc if acc is not None]
        return t_interval([acc - FITTED for acc in reached]) if reached else "every run failed"
