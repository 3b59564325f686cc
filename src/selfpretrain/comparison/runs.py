"""A run, an arm with one seed: the folder in which a person finds its model and predictions, to be read without torch.

runs/<arm>-seed<k>/
config.json              what the run is: its trainings in full
metrics.jsonl            the validations of its trainings
start.json               which weights came from self-pretraining, if any did
model/                   the trained model (see ``inference``)
predictions.safetensors  of the test split: row numbers, predicted classes, probabilities; class names as metadata
result.json              the numbers
manifest.json, DONE      the checksums of all of these, sealed (see ``storage``)
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import PhaseName
from selfpretrain.results import Row, RunResult
from selfpretrain.storage import Sealed
from selfpretrain.training.training import Training

CONFIG, METRICS, START, RESULT = "config.json", "metrics.jsonl", "start.json", "result.json"
MODEL, PREDICTIONS = "model", "predictions.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run is.

    Attributes:
        task: fingerprint of the task.
        training: its label training, on which hangs what that starts from; None for a classical model.
    """

    arm: str
    seed: int
    task: str
    training: Training | None = None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return run_name(self.arm, self.seed)


def run_name(arm: str, seed: int) -> str:
    """Name of a run and its folder."""
    return f"{arm}-seed{seed}"


class Run:
    """A finished run, read and checked piece by piece.

    Raises:
        DamagedError: it is not finished, or a piece is not what was sealed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = Sealed(path)

    @cached_property
    def record(self) -> RunRecord:
        """What it is."""
        return self.files.record(CONFIG, RunRecord)

    @cached_property
    def result(self) -> RunResult:
        """Its numbers."""
        return self.files.record(RESULT, RunResult)

    @cached_property
    def rows(self) -> list[Row]:
        """The validations of its trainings; none for a classical model."""
        return [json.loads(line) for line in self.files.read(METRICS).splitlines()]

    def phase(self, phase: PhaseName) -> list[Row]:
        """The validations of one phase."""
        return [row for row in self.rows if row["phase"] == phase]

    @property
    def start(self) -> dict[str, Any] | None:
        """Which weights came from self-pretraining; None where none did."""
        return self.files.json(START) if START in self.files.names else None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted class of every test row (N,)."""
        from safetensors.numpy import load

        predicted: NDArray[np.int64] = load(self.files.read(PREDICTIONS))["predicted"]
        return predicted
