"""Do a plan: try the learning rates, pick one for each arm, train with the reported seeds, and test each run once."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from selfpretrain.arms.classical import Fitted
from selfpretrain.classifier import FILES as MODEL_FILES
from selfpretrain.classifier import probabilities_of, save_model
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.run import (
    CONFIG,
    METRICS,
    MODEL,
    PREDICTIONS,
    RESULT,
    START,
    Performed,
    Run,
    RunRecord,
    RunResult,
    Tuned,
    read_run,
)
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Engine, Job
from selfpretrain.errors import DamagedError, RequestError
from selfpretrain.files import own_folder, remove_half_written, seal, to_dict, unseal, write_atomically, write_json
from selfpretrain.machine import threads
from selfpretrain.metrics import Metrics
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import ARMS
from selfpretrain.stats import accuracy_error
from selfpretrain.train.store import Store, rows_to_text
from selfpretrain.train.training import Training, TrainingResult
from selfpretrain.train.work import TrainJob, model_of, step_flops
from selfpretrain.watch import Note, Planned, Watch

FILES = (CONFIG, METRICS, START, RESULT, PREDICTIONS, *(f"{MODEL}/{name}" for name in MODEL_FILES))
"""What a run consists of."""


def perform(plan: Plan, folder: Path, store: Store, engine: Engine, watch: Watch, *, snapshots: int = 0) -> Performed:
    """Do what is left of a plan. Trainings and runs that are there are taken as they are, whoever made them.

    Args:
        plan: what to do.
        folder: gets a folder for each run.
        store: has or gets the trainings.
        engine: does jobs; its shared object is the store.
        watch: gets progress.
        snapshots: weights to keep along each reported training.
    """
    own_folder(store.folder)
    settings = plan.request.config.train
    bench = _Bench(plan, store, engine, watch)
    there, total = bench.count(plan.trials.values())
    tuning = there < total
    if there and tuning:
        watch(Note(f"{there} of {total} tuning trainings are there"))
    bench.train(
        {f"{name}-seed{seed}-lr{lr:g}": training for (name, seed, lr), training in plan.trials.items()},
        later=sum(map(plan.flops, plan.final.values())),
    )
    tuned = {}
    for name, recipe in plan.recipes.items():
        if recipe is None:
            continue
        results = [(lr, bench.result(trial)) for (tried, _, lr), trial in plan.trials.items() if tried == name]
        tuned[name] = pick_lr(settings.lr, results, len(plan.request.task.val))
        if tuning:
            watch(Note(f"{name}: learning rate {tuned[name].lr:g} picked on validation"))
    reported = plan.reported({name: choice.lr for name, choice in tuned.items()})
    trainings = [training for training in reported.values() if training is not None]
    there, total = bench.count([*trainings, *(() if tuning else plan.trials.values())])
    if there:
        watch(Note(f"{there} of {total} {'reported ' if tuning else ''}trainings are there"))
    runs = bench.report(reported, folder, snapshots)
    return Performed({name: [runs[name, seed] for seed in plan.seeds[name]] for name in plan.recipes}, tuned)


def pick_lr(grid: Sequence[float], trials: Sequence[tuple[float, TrainingResult]], n_val: int) -> Tuned:
    """The learning rate to take.

    The best mean validation accuracy wins. Rates within one standard error of it count as equal (the rule of
    Breiman et al. 1984); of equals the one nearest the middle of the grid is taken, the likeliest to do as well with
    other seeds (ours).

    Args:
        grid: the rates.
        trials: rate and result of every tuning training.
        n_val: validation rows.
    """
    middle = float(np.median(np.log(grid)))
    tried: dict[float, float | None] = {}
    for lr in sorted(grid) if trials else ():
        accuracies = [result.val.acc for rate, result in trials if rate == lr and result.val is not None]
        complete = len(accuracies) == sum(rate == lr for rate, _ in trials) > 0
        tried[lr] = float(np.mean(accuracies)) if complete else None
    scores = {lr: score for lr, score in tried.items() if score is not None}
    best = max(scores.values(), default=0.0)
    equal = [lr for lr in grid if lr in scores and scores[lr] >= best - accuracy_error(best, n_val)]
    return Tuned(min(equal or grid, key=lambda lr: abs(math.log(lr) - middle)), tried)


class _Bench:
    """The trainings of a store, and an engine that does those that are not there."""

    def __init__(self, plan: Plan, store: Store, engine: Engine, watch: Watch) -> None:
        self._plan, self._store, self._engine, self._watch = plan, store, engine, watch
        self._there: set[str] = set()

    def _has(self, training: Training) -> bool:
        """Whether a training is there and whole; its files are read once."""
        if training.key not in self._there and self._store.has(training, lambda text: self._watch(Note(text))):
            self._there.add(training.key)
        return training.key in self._there

    def count(self, trainings: Iterable[Training]) -> tuple[int, int]:
        """How many trainings are there, and how many there are in all, with those that they rest on."""
        every = {part.key: part for training in trainings for part in training.chain}
        return sum(map(self._has, every.values())), len(every)

    def result(self, training: Training) -> TrainingResult:
        return self._store.finished(training).result

    def train(self, trainings: Mapping[str, Training], *, later: float = 0.0) -> None:
        """Do trainings by the names that they have in progress, before work that costs ``later`` FLOPs."""
        self._do(self._jobs(trainings, snapshots=0), (), later)

    def report(
        self, reported: Mapping[tuple[str, int], Training | None], folder: Path, snapshots: int
    ) -> dict[tuple[str, int], Run]:
        """The runs of these trainings."""
        own_folder(folder)
        records = {
            key: RunRecord(arm=key[0], seed=key[1], task=self._plan.request.task.fingerprint, training=training)
            for key, training in reported.items()
        }
        jobs = self._jobs({r.name: r.training for r in records.values() if r.training is not None}, snapshots=snapshots)
        runs, tests = {}, {}
        for key, record in records.items():
            after = () if record.training is None or record.training.key not in jobs else (record.training.key,)
            test = EvaluateJob(folder / record.name, record, after, self._plan.fitted.get(record.arm))
            if (run := test.done) is not None:
                runs[key] = run
            elif test.fitted is not None:  # it was fitted in this process, and stays here
                runs[key] = test.perform(self._store, self._watch, lambda: False)
            else:
                tests[key] = test
        return runs | dict(zip(tests, self._do(jobs, list(tests.values()), 0.0), strict=True))

    def _jobs(self, trainings: Mapping[str, Training], *, snapshots: int) -> dict[str, TrainJob]:
        settings, jobs = self._plan.request.config.train, dict[str, TrainJob]()
        for name, training in trainings.items():
            for part in training.chain:
                if part.key not in jobs and not self._has(part):
                    jobs[part.key] = TrainJob(
                        name=f"{name} {part.phase}",
                        training=part,
                        after=(part.source.key,) if part.source is not None and part.source.key in jobs else (),
                        snapshots=snapshots,
                        checkpoint_seconds=settings.checkpoint_seconds,
                        recompute=settings.recompute,
                    )
        return jobs

    def _do(self, jobs: Mapping[str, TrainJob], tests: "Sequence[EvaluateJob]", later: float) -> list[Run]:
        """The runs that ``tests`` make, once ``jobs`` are done."""
        self._watch(Planned({job.name: self._plan.flops(job.training) for job in jobs.values()}, later))

        def check(job: Job, result: Any) -> None:
            if isinstance(job, TrainJob) and not self._store.shows(job.key):
                raise RequestError(
                    f"{self._store.folder}: what a worker wrote there is not seen here; give --out a folder that all "
                    "machines share"
                )

        results = self._engine.do([*jobs.values(), *tests], check)
        self._there.update(jobs)
        return results[len(jobs) :]


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Evaluate a run on the test split, once, and make its folder.

    Attributes:
        path: the run's folder.
        fitted: a classical model that is there.
    """

    path: Path
    record: RunRecord
    after: tuple[str, ...] = ()
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
            tell(Note(f"test accuracy {run.result.test.acc:.3f}", self.record.name))
        return run

    def _classical(self, task: Task) -> Run:
        fit = ARMS[self.record.arm].fit
        assert fit is not None, "a run has a training or a fit"
        with threads(1):
            fitted = self.fitted or fit(task)
            predicted, test = self._predictions(fitted.test_probabilities(), task)
        train = fitted.train.acc
        label = TrainingResult(
            seconds=fitted.seconds,
            train=fitted.train,
            val=fitted.val,
            train_sample_acc=train,
            best_train_sample_acc=train,
        )
        result = RunResult(arm=self.record.arm, seed=self.record.seed, choice=fitted.choice, label=label, test=test)
        return Run(self.record, result, predicted=predicted)

    def _network(self, store: Store, task: Task, training: Training) -> Run:
        parts = [(part, store.finished(part)) for part in training.chain]
        labels = parts[-1][1]
        rows = [row for _, part in parts for row in part.rows]
        result = RunResult(arm=self.record.arm, seed=self.record.seed, lr=training.plan.lr)
        run = Run(self.record, replace(result, failure=labels.result.failure), rows, start=labels.start)
        if run.result.failure is not None:
            return run
        model = model_of(training, task.inputs)
        model.load_state_dict(labels.weights)
        model.to(training.device)
        with threads(training.threads):
            probabilities = probabilities_of(model, task.test, torch.device(training.device))
        if not np.isfinite(probabilities).all():
            return replace(run, result=replace(result, failure="predictions of the test split are not finite"))
        predicted, test = self._predictions(probabilities, task)
        if isinstance(model, SequenceModel):  # one that borrows attention is an experiment, and nothing to take away
            save_model(self.path / MODEL, model, task.codec)
        flops = {"pretrain": 0, "label": 0}
        for part, done in parts:
            flops[part.phase] += done.result.steps * step_flops(part, store.tasks[part.task])
        result = replace(
            result,
            pretrain=next((done.result for part, done in parts if part.phase == "pretrain"), None),
            label=labels.result,
            test=test,
            flops_pretrain=flops["pretrain"],
            flops_label=flops["label"],
        )
        return replace(run, result=result, predicted=predicted)

    def _predictions(self, probabilities: NDArray[Any], task: Task) -> tuple[NDArray[np.int64], Metrics]:
        """Write the predictions; the predicted classes (N,) and their scores."""
        predicted = probabilities.argmax(axis=1).astype(np.int64)
        tensors = {
            "row": task.test.numbers,
            "predicted": predicted,
            "probabilities": np.ascontiguousarray(probabilities, dtype=np.float64),
        }
        write_atomically(self.path / PREDICTIONS, save(tensors, {"classes": json.dumps(task.classes)}))
        return predicted, Metrics.of_probabilities(probabilities, task.test.y)
