"""A run, an arm with one seed: the folder in which a person finds its model and predictions. Imports no torch.

runs/<arm>-seed<k>/
  config.json              what the run is: its trainings in full
  metrics.jsonl            the validations of its trainings
  start.json               which weights came from self-pretraining, if any did
  model/                   the trained model (see ``classifier``)
  predictions.safetensors  of the test split: row numbers, predicted classes, probabilities; class names as metadata;
                           and of the validation split, with "val." before these names
  result.json              the numbers
  manifest.json, DONE      the checksums of all of these, sealed (see ``files``)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.comparison.search import Picked
from selfpretrain.config import ClassWeights, MetricName, PhaseName
from selfpretrain.errors import DamagedError
from selfpretrain.files import Sealed
from selfpretrain.metrics import Metrics
from selfpretrain.train.training import Row, Training, TrainingResult

CONFIG, METRICS, START, RESULT = "config.json", "metrics.jsonl", "start.json", "result.json"
MODEL, PREDICTIONS = "model", "predictions.safetensors"
SplitName = Literal["val", "test"]
PREFIXES: Mapping[SplitName, str] = {"test": "", "val": "val."}
"""Of the names in a run's predictions."""


def run_name(arm: str, seed: int) -> str:
    """Name of a run and its folder."""
    return f"{arm}-seed{seed}"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run is.

    Attributes:
        task: fingerprint of the task.
        training: its label training, whose ``start`` holds what that starts from; None for a classical model.
        trials: keys of the trainings that tried rates for it, itself included.
        metric: what picked it, and how classes are weighted.
    """

    arm: str
    seed: int
    task: str
    metric: MetricName = "accuracy"
    class_weights: ClassWeights = "none"
    training: Training | None = None
    trials: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return run_name(self.arm, self.seed)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The numbers of a run.

    Attributes:
        failure: why there is nothing else; None if there is.
        lr, lr_pretrain: the rates picked for labels and for self-pretraining; None where there is no such phase.
        choice: which classical model it is; None for a network.
        pretrain: of its self-pretraining; None without any.
        label: of its label training, or of fitting a classical model.
        flops_pretrain, flops_label: of the steps that were made.
        saved: whether the folder holds its model.
    """

    arm: str
    seed: int
    failure: str | None = None
    lr: float | None = None
    lr_pretrain: float | None = None
    choice: str | None = None
    pretrain: TrainingResult | None = None
    label: TrainingResult = field(default_factory=TrainingResult)
    test: Metrics | None = None
    flops_pretrain: int = 0
    flops_label: int = 0
    saved: bool = False

    @property
    def trainings(self) -> list[TrainingResult]:
        return [result for result in (self.pretrain, self.label) if result is not None]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        rows: the validations of its trainings; none for a classical model.
        predicted: the class of every test row (N,); None where it failed.
        probabilities: of the validation and the test rows, (N, classes) each, by the name of the split.
        start: which weights came from self-pretraining; None where none did.
    """

    record: RunRecord
    result: RunResult
    rows: Sequence[Row] = ()
    predicted: NDArray[np.int64] | None = None
    probabilities: Mapping[SplitName, NDArray[np.float64]] = field(default_factory=dict)
    start: Any = None

    def phase(self, phase: PhaseName) -> list[Row]:
        """The validations of one phase."""
        return [row for row in self.rows if row["phase"] == phase]


class Performed(NamedTuple):
    """The runs of each arm by seed, and what the searches for the rates of those that train ended with."""

    runs: Mapping[str, Sequence[Run]]
    picked: Mapping[str, Sequence[Picked]]

    @property
    def n_seeds(self) -> int:
        """The most that anything has."""
        return max(map(len, self.runs.values()))


def read_run(path: Path) -> Run:
    """The run in a folder; every file is checked.

    Raises:
        DamagedError: it is not finished, or a file is not what was sealed.
    """
    from safetensors.numpy import load

    files = Sealed(path)
    files.check()
    tensors = files.tensors(PREDICTIONS, load) if PREDICTIONS in files.names else {}
    if tensors and not {f"{prefix}probabilities" for prefix in PREFIXES.values()} <= tensors.keys():
        raise DamagedError(path / PREDICTIONS)  # of another version
    return Run(
        record=files.record(CONFIG, RunRecord),
        result=files.record(RESULT, RunResult),
        rows=files.lines(METRICS),
        predicted=tensors.get("predicted"),
        probabilities={split: tensors[f"{prefix}probabilities"] for split, prefix in PREFIXES.items() if tensors},
        start=files.json(START) if START in files.names else None,
    )
