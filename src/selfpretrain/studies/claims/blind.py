"""The claim that at the start the label says far less about proximity than the reconstruction."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfpretrain.explain.conclusion import BLIND, clear_signals
from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Found, OfACase


@dataclass(frozen=True, kw_only=True)
class Blind(OfACase):
    """The label's signal on proximity, at the start, is below ``BLIND`` of the reconstruction's.

    Both are signal-to-noise ratios of gradients on attention scores. Seeds count in which the reconstruction's own is
    above chance; the t-interval over them.
    """

    @property
    def refuted_by(self) -> str:
        """A signal."""
        return f"a signal of the label that is reliably above {100 * BLIND:g}% of the reconstruction's"

    @property
    def unit(self) -> str:
        """A share."""
        return f"% of the reconstruction's signal, below {100 * BLIND:g}%"

    @property
    def needs_sections(self) -> Sequence[str]:
        """Where it is measured."""
        return ("gradients",)

    def measure(self, cases: Sequence[Case], found: Found) -> Interval | str:
        """How far the ratio is below."""
        diagnosed = found[self.case].diagnosed
        signals = [] if diagnosed is None else clear_signals(diagnosed.evidence)
        if not signals:
            return f"in {self.case} the reconstruction's own signal is not above chance, or was not looked at"
        return t_interval([BLIND - each.label / each.reconstruction for each in signals])
