"""Evaluating a run on the test split, once, and making its folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from selfpretrain.arms.arm import Fit
from selfpretrain.comparison.runs import CONFIG, METRICS, MODEL, PREDICTIONS, RESULT, START, Run, RunRecord
from selfpretrain.errors import DamagedError
from selfpretrain.evaluate import probability_metrics
from selfpretrain.events import Note, Watch
from selfpretrain.inference import FILES as MODEL_FILES
from selfpretrain.inference import probabilities_of, save_model
from selfpretrain.machine import threads
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.results import RunResult, TrainingResult
from selfpretrain.serial import to_dict
from selfpretrain.storage import (
    is_sealed,
    own_folder,
    remove_half_written,
    seal,
    unseal,
    write_atomically,
    write_json,
)
from selfpretrain.tasks.task import Task
from selfpretrain.training.flops import step_flops
from selfpretrain.training.perform import Workshop, model_of
from selfpretrain.training.store import rows_to_text
from selfpretrain.training.training import Training

FILES = (CONFIG, METRICS, START, RESULT, PREDICTIONS, *(f"{MODEL}/{name}" for name in MODEL_FILES))
"""What a run consists of; what others put beside it is not ours."""


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

    def perform(self, shop: Workshop, tell: Watch, stop: Callable[[], bool]) -> None:
        """Do it, unless it is done already."""
        if self.is_done:
            return
        unseal(own_folder(self.path), FILES)
        remove_half_written(self.path)
        write_json(self.path / CONFIG, to_dict(self.record))
        result = self._classical(shop) if self.record.training is None else self._network(shop, self.record.training)
        write_json(self.path / RESULT, to_dict(result))
        seal(self.path, FILES)
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

    def _classical(self, shop: Workshop) -> RunResult:
        task = shop.tasks[self.record.task]
        assert self.fit is not None, "a run has a training or a fit"
        with threads(1):
            result, probabilities = self.fit(task)
        write_atomically(self.path / METRICS, "")
        self._save_predictions(probabilities, task)
        return replace(result, arm=self.record.arm, seed=self.record.seed)

    def _network(self, shop: Workshop, training: Training) -> RunResult:
        finished = [(each, shop.store.finished(each)) for each in training.chain]
        labels = finished[-1][1]
        known: dict[str, Any] = {"arm": self.record.arm, "seed": self.record.seed, "lr": training.plan.lr}
        rows = [row for _, done in finished for row in done.rows]
        write_atomically(self.path / METRICS, rows_to_text(rows))
        if labels.start is not None:
            write_json(self.path / START, labels.start)
        if labels.result.failure is not None:
            return RunResult(**known, failure=labels.result.failure)
        task = shop.tasks[self.record.task]
        model = model_of(training, task.inputs)
        model.load_state_dict(labels.weights)
        model.to(training.device)
        with threads(training.threads):
            probabilities = probabilities_of(model, task.test, torch.device(training.device))
        if not np.isfinite(probabilities).all():
            return RunResult(**known, failure="predictions of the test split are not finite")
        self._save_predictions(probabilities, task)
        if isinstance(model, SequenceModel):  # one that borrows attention is an experiment, and nothing to take away
            save_model(self.path / MODEL, model, task.codec)
        pretrained = next((done.result for each, done in finished if each.phase == "pretrain"), TrainingResult())
        memory = [done.result.peak_memory_bytes for _, done in finished]
        for each, done in finished:
            spent = {
                "steps": done.result.steps,
                "flops": done.result.steps * step_flops(each, shop.tasks[each.task]),
                "seconds": done.result.seconds,
            }
            known |= {f"{what}_{each.phase}": known.get(f"{what}_{each.phase}", 0) + n for what, n in spent.items()}
        return RunResult(
            **known,
            train=labels.result.train,
            val=labels.result.val,
            test=probability_metrics(probabilities, task.test.y),
            train_sample_acc=labels.result.train_sample_acc,
            best_train_acc=labels.result.best_train_sample_acc,
            steps_to_fit=labels.result.steps_to_fit,
            val_reconstruction=pretrained.val_reconstruction,
            val_without_context=pretrained.val_without_context,
            val_lowest=pretrained.val_lowest,
            peak_memory_bytes=max((m for m in memory if m is not None), default=None),
        )

    def _save_predictions(self, probabilities: NDArray[Any], task: Task) -> None:
        tensors = {
            "row": task.test.numbers,
            "predicted": probabilities.argmax(axis=1).astype(np.int64),
            "probabilities": np.ascontiguousarray(probabilities, dtype=np.float64),
        }
        write_atomically(self.path / PREDICTIONS, save(tensors, {"classes": json.dumps(task.classes)}))
