"""Do a plan: search the rates of every run, and evaluate what is picked on the test split, once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfpretrain.comparison.evaluate import EvaluateJob
from selfpretrain.comparison.plan import Plan, chains
from selfpretrain.comparison.run import Performed, Run, RunRecord, run_name
from selfpretrain.comparison.search import Picked
from selfpretrain.engines.engine import Engine, Job
from selfpretrain.errors import RequestError
from selfpretrain.files import own_folder
from selfpretrain.train.store import Store
from selfpretrain.train.training import Training, TrainingResult
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Note, Planned, Watch


def perform(plan: Plan, folder: Path, store: Store, engine: Engine, watch: Watch, *, snapshots: int = 0) -> Performed:
    """Do what is left of a plan. Trainings and runs that are there are taken as they are, whoever made them.

    Args:
        folder: gets a folder for each run.
        engine: does jobs; its shared object is the store.
        snapshots: weights to keep along each training.
    """
    for place in (store.folder, folder):
        own_folder(place)
    work = _Work(plan, folder, store, watch, snapshots)
    engine.do(work.begin(), work.go_on)
    return Performed(
        runs={name: [work.runs[name, seed] for seed in seeds] for name, seeds in plan.seeds.items()},
        picked={name: [work.picked[name, seed] for seed in plan.seeds[name]] for name in plan.trained},
    )


class _Work:
    """The jobs of a plan. Every result that arrives may let a search go on, or end it."""

    def __init__(self, plan: Plan, folder: Path, store: Store, watch: Watch, snapshots: int) -> None:
        self._plan, self._folder, self._store, self._watch, self._snapshots = plan, folder, store, watch, snapshots
        self._open = dict(plan.searches)
        self._results = dict[str, TrainingResult | None]()
        """By key; None while a training is under way."""
        self.picked = dict[tuple[str, int], Picked]()
        self.runs = dict[tuple[str, int], Run]()

    def begin(self) -> list[Job]:
        """The jobs to begin with: classical models, what others wait for, and then what takes longest."""
        plan = self._plan
        fits = [
            job
            for arm, seeds in plan.seeds.items()
            if arm not in plan.trained
            for seed in seeds
            for job in self._test(RunRecord(arm=arm, seed=seed, task=plan.request.task.fingerprint))
        ]
        ready = list(self._ready())
        left = dict[str, tuple[str, Training]]()
        for (arm, seed), search in self._open.items():
            for part in chains(search.left(self._result)).values():
                if self._result(part) is None:
                    left.setdefault(part.key, (_name(arm, seed, part), part))
        if known := len(plan.trainings) - len(left):
            self._watch(Note(f"{known} of {len(plan.trainings)} trainings are there"))
        self._watch(Planned({name: plan.flops(training) for name, training in left.values()}))
        ready.sort(key=lambda job: plan.begins(job.training) if isinstance(job, TrainJob) else ())
        return [*fits, *ready]

    def go_on(self, job: Job, result: Any) -> list[Job]:
        """What can begin now that a job has ended.

        Raises:
            RequestError: a worker has finished a training, but it is not seen here.
        """
        if isinstance(job, EvaluateJob):
            self.runs[job.record.arm, job.record.seed] = result
            return []
        if not self._store.shows(job.key):
            raise RequestError(
                f"{self._store.folder}: what a worker wrote there is not seen here; give --out a folder that all "
                "machines share"
            )
        self._results[job.key] = result
        return list(self._ready())

    def _result(self, training: Training) -> TrainingResult | None:
        """The result of a training, if it is there and whole; its files are read once."""
        key = training.key
        if key not in self._results and self._store.has(training, lambda text: self._watch(Note(text))):
            self._results[key] = self._store.finished(training).result
        return self._results.get(key)

    def _ready(self) -> Iterator[Job]:
        """The jobs that can begin now and have not begun."""
        for (arm, seed), search in list(self._open.items()):
            step = search.step(self._result)
            if isinstance(step, Picked):
                del self._open[arm, seed]
                self.picked[arm, seed] = step
                task = self._plan.request.task.fingerprint
                yield from self._test(
                    RunRecord(arm=arm, seed=seed, task=task, training=step.training, trials=step.trials)
                )
                continue
            for part in chains(step).values():
                if part.key not in self._results and self._result(part) is None:
                    yield self._training(_name(arm, seed, part), part)

    def _training(self, name: str, training: Training) -> TrainJob:
        settings, source = self._plan.request.config.train, training.source
        under_way = source is not None and self._result(source) is None
        self._results[training.key] = None
        return TrainJob(
            name=name,
            training=training,
            after=(source.key,) if source is not None and under_way else (),
            snapshots=self._snapshots,
            checkpoint_seconds=settings.checkpoint_seconds,
            recompute=settings.recompute,
        )

    def _test(self, record: RunRecord) -> list[Job]:
        """The job that makes a run; none if the run is there."""
        job = EvaluateJob(self._folder / record.name, record, fitted=self._plan.fitted.get(record.arm))
        # What was fitted in this process stays here.
        run = job.done if job.fitted is None else job.perform(self._store, self._watch, lambda: False)
        if run is None:
            return [job]
        self.runs[record.arm, record.seed] = run
        return []


def _name(arm: str, seed: int, training: Training) -> str:
    """What a training is called in progress."""
    return f"{run_name(arm, seed)} {training.phase} lr {training.plan.lr:g}"
