"""A run, an arm with one seed: its evaluation, and the folder in which a person finds its model and predictions.

    runs/<arm>-seed<k>/
      config.json              what the run is: its trainings in full
      metrics.jsonl            the validations of its trainings
      start.json               which weights came from self-pretraining, if any did
      model/                   the trained model (see ``inference``)
      predictions.safetensors  of the test split: row numbers, predicted classes, probabilities; class names as metadata
      result.json              the numbers
      manifest.json, DONE      the checksums of all of these, sealed (see ``storage``)

Reading one needs no torch.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.arm import Fit
from selfpretrain.config import PhaseName
from selfpretrain.errors import DamagedError
from selfpretrain.events import Note, Watch
from selfpretrain.results import Row, RunResult
from selfpretrain.serial import to_dict
from selfpretrain.storage import (
    Sealed,
    is_sealed,
    own_folder,
    remove_half_written,
    seal,
    unseal,
    write_atomically,
    write_json,
)
from selfpretrain.training.training import Training

if TYPE_CHECKING:
    from selfpretrain.training.perform import Workshop

CONFIG, METRICS, START, RESULT = "config.json", "metrics.jsonl", "start.json", "result.json"
MODEL, PREDICTIONS = "model", "predictions.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run is.

    Attributes:
        task: fingerprint of the task.
        training: its label training, on which hangs what that starts from; None for a classical model.
        n_trials: tuning trials of a classical model.
    """

    arm: str
    seed: int
    task: str
    training: Training | None = None
    n_trials: int = 0

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


@dataclass(frozen=True)
class EvaluateJob:
    """Evaluate a run on the test split, once, and make its folder.

    Args:
        path: the run's folder.
        fit: of a classical model.
    """

    path: Path
    record: RunRecord
    fit: Fit | None = None

    def perform(self, shop: "Workshop", tell: Watch, stop: Callable[[], bool]) -> None:
        """Do it, unless it is done already."""
        if self.is_done:
            return
        unseal(own_folder(self.path))
        remove_half_written(self.path)
        write_json(self.path / CONFIG, to_dict(self.record))
        result = self._classical(shop) if self.record.training is None else self._network(shop, self.record.training)
        write_json(self.path / RESULT, to_dict(result))
        seal(self.path)
        if result.test is not None:
            tell(Note(f"test accuracy {result.test.acc:.3f}", self.record.name))

    @property
    def is_done(self) -> bool:
        """Whether the folder holds just this run, whole."""
        if not is_sealed(self.path):
            return False
        try:
            run = Run(self.path)
            run.files.check()
            return run.record == self.record
        except DamagedError:
            return False

    def _classical(self, shop: "Workshop") -> RunResult:
        from selfpretrain.machine import threads

        task = shop.tasks[self.record.task]
        assert self.fit is not None, "a run has a training or a fit"
        with threads(1):
            result, probabilities = self.fit(task, self.record.n_trials)
        write_atomically(self.path / METRICS, "")
        self._save_predictions(probabilities, task)
        return replace(result, arm=self.record.arm, seed=self.record.seed)

    def _network(self, shop: "Workshop", training: Training) -> RunResult:
        import torch

        from selfpretrain.evaluate import classification_metrics
        from selfpretrain.inference import probabilities_of, save_model
        from selfpretrain.machine import threads
        from selfpretrain.training.flops import step_flops
        from selfpretrain.training.perform import build_model
        from selfpretrain.training.store import rows_to_text

        finished = {each.phase: (each, shop.store.finished(each)) for each in training.chain}
        labels = finished["label"][1]
        known: dict[str, Any] = {"arm": self.record.arm, "seed": self.record.seed, "lr": training.plan.lr}
        rows = [row for _, each in finished.values() for row in each.rows]
        write_atomically(self.path / METRICS, rows_to_text(rows))
        if labels.start is not None:
            write_json(self.path / START, labels.start)
        if labels.result.failure is not None:
            return RunResult(**known, failure=labels.result.failure)
        task = shop.tasks[self.record.task]
        model = build_model(training, task.inputs)
        model.load_state_dict(labels.weights)
        model.to(training.device)
        with threads(training.threads):
            probabilities = probabilities_of(model, task.test, torch.device(training.device))
        if not np.isfinite(probabilities).all():
            return RunResult(**known, failure="predictions of the test split are not finite")
        self._save_predictions(probabilities, task)
        save_model(self.path / MODEL, model, task.codec)
        memory = [each.result.peak_memory_bytes for _, each in finished.values()]
        for phase, (each, done) in finished.items():
            known |= {
                f"steps_{phase}": done.result.steps,
                f"flops_{phase}": done.result.steps * step_flops(each, shop.tasks[each.task]),
                f"seconds_{phase}": done.result.seconds,
            }
        return RunResult(
            **known,
            train=labels.result.train,
            val=labels.result.val,
            test=classification_metrics(np.log(np.maximum(probabilities, 1e-300)), task.test.y),
            best_train_acc=labels.result.best_train_sample_acc,
            steps_to_fit=labels.result.steps_to_fit,
            peak_memory_bytes=max((m for m in memory if m is not None), default=None),
        )

    def _save_predictions(self, probabilities: NDArray[Any], task: Any) -> None:
        from safetensors.numpy import save

        tensors = {
            "row": task.test.numbers,
            "predicted": probabilities.argmax(axis=1).astype(np.int64),
            "probabilities": np.ascontiguousarray(probabilities, dtype=np.float64),
        }
        write_atomically(self.path / PREDICTIONS, save(tensors, {"classes": json.dumps(task.classes)}))
