"""The job that follows a run's trainings: evaluate it on the test split, once, and write its folder."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from selfpretrain.arms.classical import Fitted
from selfpretrain.classifier import FILES as MODEL_FILES
from selfpretrain.classifier import probabilities_of, save_model
from selfpretrain.comparison.run import (
    CONFIG,
    METRICS,
    MODEL,
    PREDICTIONS,
    PREFIXES,
    RESULT,
    START,
    Run,
    RunRecord,
    RunResult,
    SplitName,
    read_run,
)
from selfpretrain.data.task import Split, Task
from selfpretrain.engines.engine import Job
from selfpretrain.errors import DamagedError
from selfpretrain.files import own_folder, remove_half_written, seal, to_dict, unseal, write_atomically, write_json
from selfpretrain.machine import threads
from selfpretrain.metrics import Metrics
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import ARMS
from selfpretrain.train.store import Store, rows_to_text
from selfpretrain.train.training import Training, TrainingResult
from selfpretrain.train.work import model_of, step_flops
from selfpretrain.watch import Note, Watch

FILES = (CONFIG, METRICS, START, RESULT, PREDICTIONS, *(f"{MODEL}/{name}" for name in MODEL_FILES))
"""What a run consists of."""


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Evaluate a run on the test split, and write its folder.

    Attributes:
        path: the run's folder.
        fitted: a classical model that was fitted before.
    """

    path: Path
    record: RunRecord
    fitted: Fitted | None = None

    saves = False

    @property
    def key(self) -> str:  # type: ignore[override]
        return f"{self.record.name} test"

    @property
    def done(self) -> Run | None:
        """The run, if the folder holds just this one, whole."""
        try:
            run = read_run(self.path)
        except DamagedError:
            return None
        return run if run.record == self.record else None

    def perform(self, shared: Store, tell: Watch, stop: Callable[[], bool]) -> Run:
        """Do it, unless it is done already."""
        if (run := self.done) is not None:
            return run
        unseal(own_folder(self.path), FILES)
        remove_half_written(self.path)
        task, training = shared.tasks[self.record.task], self.record.training
        run = self._classical(task) if training is None else self._network(shared, task, training)
        write_json(self.path / CONFIG, to_dict(self.record))
        write_atomically(self.path / METRICS, rows_to_text(list(run.rows)))
        if run.start is not None:
            write_json(self.path / START, run.start)
        write_json(self.path / RESULT, to_dict(run.result))
        seal(self.path, FILES)
        if run.result.test is not None:
            rate = "" if run.result.lr is None else f" at learning rate {run.result.lr:g}"
            split = "validation" if task.source is not None and task.source.train_on_test else "test"
            tell(Note(f"{split} accuracy {run.result.test.acc:.3f}{rate}", self.record.name))
        return run

    def _classical(self, task: Task) -> Run:
        fit = ARMS[self.record.arm].fit
        assert fit is not None, "a run has a training or a fit"
        with threads(1):
            fitted = self.fitted or fit(task, self.record.metric, self.record.class_weights)
            predictions = self._predictions(fitted.probabilities, task)
        assert predictions is not None, "classical models predict numbers"
        if fitted.model is not None:
            save_model(self.path / MODEL, fitted.model, task.codec)
        train = fitted.train.acc
        label = TrainingResult(
            seconds=fitted.seconds,
            train=fitted.train,
            val=fitted.val,
            train_sample_acc=train,
            best_train_sample_acc=train,
        )
        result = RunResult(
            arm=self.record.arm,
            seed=self.record.seed,
            choice=fitted.choice,
            label=label,
            test=predictions.scores,
            saved=fitted.model is not None,
        )
        return Run(self.record, result, predicted=predictions.classes, probabilities=predictions.probabilities)

    def _network(self, store: Store, task: Task, training: Training) -> Run:
        parts = [(part, store.finished(part)) for part in training.chain]
        labels = parts[-1][1]
        rows = [row for _, part in parts for row in part.rows]
        result = RunResult(
            arm=self.record.arm,
            seed=self.record.seed,
            lr=training.plan.lr,
            lr_pretrain=None if training.source is None else training.source.plan.lr,
            failure=labels.result.failure,
        )
        run = Run(self.record, result, rows, start=labels.start)
        if result.failure is not None:
            return run
        model = model_of(training, task.inputs)
        model.load_state_dict(labels.weights)
        model.to(training.device)
        with threads(training.threads):
            predictions = self._predictions(
                partial(probabilities_of, model, device=torch.device(training.device)), task
            )
        if predictions is None:
            return replace(run, result=replace(result, failure="predictions are not finite"))
        if isinstance(model, SequenceModel):  # one that borrows attention is an experiment, and nothing to take away
            save_model(self.path / MODEL, model, task.codec)
        flops = {"pretrain": 0, "label": 0}
        for part, done in parts:
            flops[part.phase] += done.result.steps * step_flops(part, store.tasks[part.task])
        result = replace(
            result,
            pretrain=next((done.result for part, done in parts if part.phase == "pretrain"), None),
            label=labels.result,
            test=predictions.scores,
            saved=isinstance(model, SequenceModel),
            flops_pretrain=flops["pretrain"],
            flops_label=flops["label"],
        )
        return replace(run, result=result, predicted=predictions.classes, probabilities=predictions.probabilities)

    def _predictions(self, probabilities_of: "Callable[[Split], NDArray[Any]]", task: Task) -> "Predictions | None":
        """Predict both splits and write the predictions; None, and nothing written, where some are not finite."""
        tensors = dict[str, NDArray[Any]]()
        for split, prefix in PREFIXES.items():
            rows: Split = getattr(task, split)
            probabilities = np.ascontiguousarray(probabilities_of(rows), dtype=np.float64)
            if not np.isfinite(probabilities).all():
                return None
            own = {"row": rows.numbers, "predicted": probabilities.argmax(axis=1), "probabilities": probabilities}
            tensors |= {prefix + name: tensor for name, tensor in own.items()}
        write_atomically(self.path / PREDICTIONS, save(tensors, {"classes": json.dumps(task.classes)}))
        return Predictions(
            tensors["predicted"],
            {split: tensors[f"{prefix}probabilities"] for split, prefix in PREFIXES.items()},
            Metrics.of_probabilities(tensors["probabilities"], task.test.y, self.record.metric),
        )


class Predictions(NamedTuple):
    """Classes and scores of the test rows, and probabilities of the validation and the test rows."""

    classes: NDArray[np.int64]
    probabilities: Mapping[SplitName, NDArray[np.float64]]
    scores: Metrics
