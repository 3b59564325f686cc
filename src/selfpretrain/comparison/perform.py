"""Do a plan: try the learning rates, pick one for each arm, train with the reported seeds, and test each run once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.comparison.evaluate import EvaluateJob
from selfpretrain.comparison.plan import Plan, chains
from selfpretrain.comparison.run import Performed, Run, RunRecord, Tuned
from selfpretrain.engines.engine import Engine, Job
from selfpretrain.errors import RequestError
from selfpretrain.files import own_folder
from selfpretrain.stats import accuracy_error
from selfpretrain.train.store import Store
from selfpretrain.train.training import Training, TrainingResult
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Note, Planned, Watch


def perform(plan: Plan, folder: Path, store: Store, engine: Engine, watch: Watch, *, snapshots: int = 0) -> Performed:
    """Do what is left of a plan. Trainings and runs that are there are taken as they are, whoever made them.

    Args:
        folder: gets a folder for each run.
        engine: does jobs; its shared object is the store.
        snapshots: weights to keep along each reported training.
    """
    own_folder(store.folder)
    grid, task = plan.request.config.train.lr, plan.request.task
    bench = _Bench(plan, store, engine, watch)

    trials = {f"{name}-seed{seed}-lr{lr:g}": training for (name, seed, lr), training in plan.trials.items()}
    jobs = bench.missing(trials)
    tuning = bool(jobs)
    if tuning and (known := len(plan.tuning) - len(jobs)):
        watch(Note(f"{known} of {len(plan.tuning)} tuning trainings are there"))
    bench.do(jobs, later=sum(map(plan.flops, plan.final.values())))
    tuned = {}
    for name in (name for name, recipe in plan.recipes.items() if recipe is not None):
        results = [(lr, store.finished(trial).result) for (own, _, lr), trial in plan.trials.items() if own == name]
        tuned[name] = pick_lr(grid, results, len(task.val))
        if tuning:
            watch(Note(f"{name}: learning rate {tuned[name].lr:g} picked on validation"))

    records = {
        (name, seed): RunRecord(arm=name, seed=seed, task=task.fingerprint, training=training)
        for (name, seed), training in plan.reported({name: choice.lr for name, choice in tuned.items()}).items()
    }
    trainings = {record.name: record.training for record in records.values() if record.training is not None}
    jobs = bench.missing(trainings, snapshots)
    every = chains([*trainings.values(), *(() if tuning else plan.trials.values())])
    if known := len(every) - len(jobs):
        watch(Note(f"{known} of {len(every)} {'reported ' if tuning else ''}trainings are there"))
    runs, tests = dict[tuple[str, int], Run](), dict[tuple[str, int], EvaluateJob]()
    own_folder(folder)
    for key, record in records.items():
        after = () if record.training is None or record.training.key not in jobs else (record.training.key,)
        test = EvaluateJob(folder / record.name, record, after, plan.fitted.get(record.arm))
        # What was fitted in this process stays here.
        run = test.done if test.fitted is None else test.perform(store, watch, lambda: False)
        if run is None:
            tests[key] = test
        else:
            runs[key] = run
    runs |= zip(tests, bench.do(jobs, tests.values()), strict=True)
    return Performed({name: [runs[name, seed] for seed in plan.seeds[name]] for name in plan.recipes}, tuned)


def pick_lr(grid: Sequence[float], trials: Sequence[tuple[float, TrainingResult]], n_val: int) -> Tuned:
    """The learning rate to take.

    The best mean validation accuracy wins. Rates within one standard error of it count as equal (the rule of
    Breiman et al. 1984); of equals the one nearest the middle of the grid is taken, the likeliest to do as well with
    other seeds (ours).

    Args:
        trials: rate and result of every tuning training.
        n_val: validation rows.
    """
    tried: dict[float, float | None] = {}
    for lr in sorted(grid) if trials else ():
        scores = [result.val for rate, result in trials if rate == lr]
        tried[lr] = float(np.mean([score.acc for score in scores if score])) if scores and all(scores) else None
    means = {lr: mean for lr, mean in tried.items() if mean is not None}
    best = max(means.values(), default=0.0)
    equal = [lr for lr in grid if lr in means and means[lr] >= best - accuracy_error(best, n_val)]
    middle = float(np.median(np.log(grid)))
    return Tuned(min(equal or grid, key=lambda lr: abs(math.log(lr) - middle)), tried)


class _Bench:
    """The trainings of a store, and an engine that does those that are missing."""

    def __init__(self, plan: Plan, store: Store, engine: Engine, watch: Watch) -> None:
        self._plan, self._store, self._engine, self._watch = plan, store, engine, watch
        self._there: set[str] = set()

    def _has(self, training: Training) -> bool:
        """Whether a training is there and whole; its files are read once."""
        if training.key not in self._there and self._store.has(training, lambda text: self._watch(Note(text))):
            self._there.add(training.key)
        return training.key in self._there

    def missing(self, trainings: Mapping[str, Training], snapshots: int = 0) -> dict[str, TrainJob]:
        """Jobs by key for those of these trainings, by name, and of what they rest on, that are not there."""
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

    def do(self, jobs: Mapping[str, TrainJob], tests: Iterable[EvaluateJob] = (), later: float = 0.0) -> list[Run]:
        """The runs that ``tests`` make, once ``jobs`` are done, before work that costs ``later`` FLOPs."""
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
