"""A diagnosis as its pictures see it: rows to ask for, and words and colours that they share. Imports no torch."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.registry import arm_named
from selfpretrain.explain.files import Findings
from selfpretrain.explain.measurement import Row, select
from selfpretrain.stats import chance_snr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS_COLOURS = {"label": "#D55E00", "reconstruction": "#0072B2"}
STAGE_WORDS = {"start": "start", "after-pretrain": "after SPT", "after-label": "after labels"}
PHASE_WORDS = {"along-pretrain": "self-pretraining", "along-label": "label training"}


class View:
    """A diagnosis, to be asked for rows.

    Args:
        findings: as ``files.read_diagnosis`` gives them.
    """

    def __init__(self, findings: Findings) -> None:
        self.sections, self.conclusion, self.protocol = findings.sections, findings.conclusion, findings.protocol

    def rows(self, section: str, name: str, **match: Any) -> Iterator[Row]:
        """Measurements of that name whose fields are as asked for."""
        return select(self.sections, section, name, **match)

    def has(self, section: str, name: str, **match: Any) -> bool:
        """Whether there is one."""
        return any(True for _ in self.rows(section, name, **match))

    def arrays(self, section: str, name: str, **match: Any) -> list[NDArray[np.float64]]:
        """Their values; undefined ones are NaN."""
        return [np.array(row["values"], dtype=np.float64) for row in self.rows(section, name, **match)]

    @property
    def _everything(self) -> Iterator[Row]:
        return (row for rows in self.sections.values() for row in rows)

    @property
    def start(self) -> dict[str, str]:
        """What finds the start that scratch and spt share: it was looked at under one arm; mimetic has another."""
        arms = (row["arm"] for row in self._everything if row.get("stage") == "start")
        return {"stage": "start", "arm": next((arm for arm in arms if not arm_named(arm).own_start), "none")}

    @property
    def main_stages(self) -> list[tuple[str, str]]:
        """(arm, stage): the start, and what scratch and spt became; without these arms, all."""
        ends = (row for row in self._everything if row.get("stage") in ("after-pretrain", "after-label"))
        seen = list(dict.fromkeys((row["arm"], row["stage"]) for row in ends))
        main = [key for key in seen if key[0] in ("scratch", "spt")] or seen
        main.sort(key=lambda key: (key[0] == "spt", key[1] == "after-label"))
        return [*([(self.start["arm"], "start")] if self.start["arm"] != "none" else []), *main]

    def seed(self, section: str, name: str) -> int | None:
        """The first seed of which every main stage was looked at; None if there is none."""
        by_stage = [{row["seed"] for row in self.rows(section, name, arm=a, stage=s)} for a, s in self.main_stages]
        return min(set.intersection(*by_stage), default=None) if by_stage else None


def stage_name(arm: str, stage: str) -> str:
    """A model in words."""
    return "start" if stage == "start" else f"{arm}, {STAGE_WORDS[stage]}"


def colour_of(arm: str, stage: str) -> str:
    """The colour of a model."""
    return "#333333" if stage == "start" else arm_named(arm).colour


def signal_axis(ax: "Axes", rows: Iterable[Row], which: Literal["x", "y"] = "y") -> None:
    """An axis for signal-to-noise ratios: grey where an estimate from so many sequences may be chance."""
    reach = max((chance_snr(row["n"]) for row in rows), default=0.0)
    if which == "y":
        ax.set_yscale("symlog", linthresh=0.01)
        ax.axhspan(-reach, reach, color="black", alpha=0.08, linewidth=0)
        ax.axhline(0, color="black", linewidth=0.8)
    else:
        ax.set_xscale("symlog", linthresh=0.01)
        ax.axvspan(-reach, reach, color="black", alpha=0.08, linewidth=0)
        ax.axvline(0, color="black", linewidth=0.8)
