"""What a comparison's folder says, in one object for figures and page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.runs import Run
from selfpretrain.config import PhaseName
from selfpretrain.explain.files import Findings, read_diagnosis
from selfpretrain.model.groups import group_of
from selfpretrain.results import Row, Summary
from selfpretrain.serial import to_dict

Curve = Sequence[Row]


@dataclass(frozen=True)
class Content:
    """A folder, read.

    Attributes:
        request: as JSON types, with the source of the data.
        runs: every run of the latest request, by arm and seed.
        diagnosis: what ``diagnose`` left; None if it was not run for these runs.
    """

    summary: Summary
    request: Mapping[str, Any]
    environment: Mapping[str, Any]
    runs: Mapping[tuple[str, int], Run]
    diagnosis: Findings | None

    @classmethod
    def read(cls, folder: ComparisonFolder) -> "Content":
        """Read a finished comparison, and check its runs.

        Raises:
            RequestError: something is missing or damaged.
        """
        request = folder.request
        runs = folder.runs_of(request.request)
        for run in runs.values():
            run.files.check()
        return cls(
            summary=folder.summary,
            request=to_dict(request),
            environment=folder.environment,
            runs=runs,
            diagnosis=read_diagnosis(folder.path, {run.record.name: run for run in runs.values()}),
        )

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of the request."""
        return list(self.summary.arms)

    def phase(self, arm: str, phase: PhaseName) -> list[Curve]:
        """The validations of one phase, a list for each seed that has any."""
        curves = [run.phase(phase) for (name, _), run in self.runs.items() if name == arm]
        return [curve for curve in curves if curve]

    def label_step_flops(self, arm: str) -> float:
        """FLOPs of one label step."""
        entry = self.summary.arms[arm]
        return entry.flops_label / entry.steps_label if entry.steps_label else 0.0

    @cached_property
    def moved(self) -> dict[str, dict[str, int]]:
        """Tensors by group that were loaded, reset and left out, in the first run that took over any."""
        starts = (start for run in self.runs.values() if (start := run.start) is not None)
        return {what: dict(Counter(group_of(name) for name in names)) for what, names in next(starts, {}).items()}
