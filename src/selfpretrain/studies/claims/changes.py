"""The claim that the gain rises or falls along an axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selfpretrain.stats import Interval, t_interval
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims.claim import Claim, Found, leads, untested

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
        summaries = {name: found[name].summary for name in self.rests_on(cases)}
        if idle := [name for name, summary in summaries.items() if not self.even_untested and untested(summary, "spt")]:
            return f"self-pretraining has learnt nothing in {', '.join(idle)}"
        gains = [leads(summary, "spt", summary, "scratch") for summary in summaries.values()]
        if len({len(gain) for gain in gains}) != 1 or not gains[0]:
            return "runs failed, or the cases have different seeds"
        places = [math.log2(float(case.axes[self.axis])) for case in self._along(cases)]
        slopes = np.polyfit(places, np.array(gains), 1)[0]
        return t_interval(-slopes if self.falls else slopes)
