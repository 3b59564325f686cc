"""One comparison of a study. Imports no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from selfpretrain.arms.registry import expanded
from selfpretrain.config import CompareConfig, DiagnoseConfig, TaskConfig

Axis = str | int | float
COLUMNS = ("study", "comparison", "task", "arm", "seed", "lr", "train_acc", "val_acc", "test_acc", "flops", "seconds")
"""Columns of table.csv beside the axes."""


@dataclass(frozen=True)
class Case:
    """One comparison of a study.

    Attributes:
        axes: where it lies, for example {"depth": 2}.
        diagnosis: what is then looked at, too; None is nothing.
        left_out: why it cannot be compared here, and the cure: data that are not at hand. Its claims stay undecided.

    Raises:
        ValueError: its name is no name for a folder, an axis has the name of a column of table.csv, or seeds are a
            range: a study decides after all of them.
    """

    axes: Mapping[str, Axis]
    config: CompareConfig
    task: TaskConfig
    diagnosis: DiagnoseConfig | None = None
    left_out: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.+-]{0,99}", self.name) or ".." in self.name:
            raise ValueError(f"the case '{self.name[:120]}' is no folder's name; use letters, digits, '.', '+' and '-'")
        if taken := set(self.axes) & set(COLUMNS):
            raise ValueError(f"the axis '{min(taken)}' has the name of a column of table.csv; give it another")
        if self.config.looks:
            raise ValueError(f"the case {self.name} has a range of seeds; a study takes a number of them")

    @property
    def name(self) -> str:
        """Its folder, and how claims call it.

        >>> Case({"depth": 2}, CompareConfig(), TaskConfig()).name
        'depth-2'
        """
        return "-".join(f"{axis}-{value}" for axis, value in self.axes.items())

    def looks_at(self, section: str) -> bool:
        """Whether its diagnosis has that section; one that names none has all."""
        return self.diagnosis is not None and section in (self.diagnosis.sections or (section,))

    @property
    def request(self) -> CompareConfig:
        """The comparison, with its arms by name."""
        return replace(self.config, arms=expanded(self.config.arms))
