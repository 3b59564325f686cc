"""What a comparison's folder says, in one object for figures and page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from selfpretrain.config import Arm
from selfpretrain.diagnosis.files import read_diagnosis
from selfpretrain.runs import read_json, read_rows
from selfpretrain.transfer import group_of

Curve = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Findings:
    """A folder, read.

    Attributes:
        curves: of each arm and seed the rows of metrics.jsonl.
        transferred: of the first run that has one, what its transfer report says.
        diagnosis: what ``diagnose`` left; None if it was not run.
    """

    summary: Mapping[str, Any]
    request: Mapping[str, Any]
    environment: Mapping[str, Any]
    curves: Mapping[tuple[Arm, int], Curve]
    transferred: Mapping[str, Sequence[str]] | None
    diagnosis: Mapping[str, Any] | None

    @property
    def arms(self) -> list[Arm]:
        """The arms, in the order of the request."""
        return list(self.summary["arms"])

    def phase(self, arm: Arm, phase: str) -> list[Curve]:
        """The rows of one phase, a list for each seed that has any."""
        rows = [
            [row for row in curve if row["phase"] == phase] for (name, _), curve in self.curves.items() if name == arm
        ]
        return [curve for curve in rows if curve]

    def step_flops(self, arm: Arm, phase: str) -> float:
        """FLOPs of one step of a phase."""
        entry = self.summary["arms"][arm]
        steps = entry[f"steps_{phase}"]
        return float(entry[f"flops_{phase}"]) / steps if steps else 0.0

    @cached_property
    def transfer_groups(self) -> dict[str, dict[str, int]]:
        """Tensors by group that were loaded, reset and left out."""
        if self.transferred is None:
            return {}
        return {what: dict(Counter(group_of(name) for name in names)) for what, names in self.transferred.items()}


def read_comparison(folder: Path) -> Findings:
    """Read a finished comparison."""
    summary = read_json(folder / "summary.json")
    curves: dict[tuple[Arm, int], Curve] = {}
    transferred = None
    for arm, entry in summary["arms"].items():
        for seed in range(len(entry["test_acc"])):
            run = folder / "runs" / f"{arm}-seed{seed}"
            curves[arm, seed] = read_rows(run)
            if transferred is None and (run / "transfer.json").exists():
                transferred = read_json(run / "transfer.json")
    return Findings(
        summary=summary,
        request=read_json(folder / "config.json")["request"],
        environment=read_json(folder / "environment.json"),
        curves=curves,
        transferred=transferred,
        diagnosis=read_diagnosis(folder),
    )
