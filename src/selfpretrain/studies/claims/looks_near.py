"""The claim that self-pretrained attention favours near positions, whatever stands there."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfpretrain.explain.conclusion import NEAR
from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Found, OfACase


@dataclass(frozen=True, kw_only=True)
class LooksNear(OfACase):
    """The position part of the scores, after self-pretraining, gives near positions more than their share.

    Measured in the head of each model that favours them most: the attention on near positions that this part alone
    would give, relative to uniform attention, less ``NEAR``; the t-interval over seeds.
    """

    @property
    def refuted_by(self) -> str:
        """Little of it."""
        return f"reliably less than {NEAR:g} times uniform attention on near positions"

    @property
    def unit(self) -> str:
        """A share."""
        return f"% of uniform attention, beyond {100 * NEAR:g}%"

    @property
    def needs_sections(self) -> Sequence[str]:
        """Where it is measured."""
        return ("attention",)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """The nearness of the nearest head."""
        diagnosed = found[self.case].diagnosed
        if diagnosed is None or not diagnosed.evidence.shapes:
            return f"attention in {self.case} has no position part that was looked at"
        return t_interval([after.near_mass - NEAR for _, after in diagnosed.evidence.shapes])
