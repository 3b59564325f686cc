"""What a comparison's folder says, in one object for figures and page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.run import Run, read_run, run_name
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import PhaseName
from selfpretrain.explain.files import Findings, read_diagnosis
from selfpretrain.files import to_dict
from selfpretrain.model.groups import group_of
from selfpretrain.registry import ARMS
from selfpretrain.train.training import Row

Curve = Sequence[Row]


@dataclass(frozen=True)
class Content:
    """A folder, read.

    Attributes:
        request: as JSON types, with the source of the data.
        runs: of the latest request: of each arm, by seed.
        diagnosis: what ``diagnose`` left; None if it was not run for these runs.
    """

    summary: Summary
    request: Mapping[str, Any]
    environment: Mapping[str, Any]
    runs: Mapping[str, Sequence[Run]]
    diagnosis: Findings | None

    @classmethod
    def read(cls, folder: ComparisonFolder) -> "Content":
        """Read a finished comparison, and check its runs.

        Raises:
            RequestError: something is missing or damaged.
        """
        record = folder.record
        every = {name: read_run(folder.runs / name) for name in record.run_names}
        arms, seeds = record.request.arms, record.request.seeds
        runs = {arm: [every[run_name(arm, seed)] for seed in ARMS[arm].reported_seeds(seeds)] for arm in arms}
        return cls(
            summary=folder.summary,
            request=to_dict(record),
            environment=folder.environment,
            runs=runs,
            diagnosis=read_diagnosis(folder.path, every),
        )

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of the request."""
        return list(self.summary.arms)

    def phase(self, arm: str, phase: PhaseName) -> list[Curve]:
        """The validations of one phase, a list for each seed that has any."""
        return [curve for run in self.runs[arm] if (curve := run.phase(phase))]

    def label_step_flops(self, arm: str) -> float:
        """FLOPs of one label step."""
        entry = self.summary.arms[arm]
        return entry.flops_label / entry.steps_label if entry.steps_label else 0.0

    @cached_property
    def moved(self) -> dict[str, dict[str, int]]:
        """Tensors by group that were loaded, reset and left out, in the first run that took over any."""
        starts = (start for runs in self.runs.values() for run in runs if (start := run.start) is not None)
        return {what: dict(Counter(group_of(name) for name in names)) for what, names in next(starts, {}).items()}
