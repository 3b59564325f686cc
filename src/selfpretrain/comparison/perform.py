"""Do a plan: search the rates of every run, and evaluate what is picked on the test split, once."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selfpretrain.comparison.evaluate import EvaluateJob
from selfpretrain.comparison.plan import Plan, chains
from selfpretrain.comparison.run import Performed, Run, RunRecord, run_name
from selfpretrain.comparison.search import Picked, Search
from selfpretrain.config import MIN_SEEDS
from selfpretrain.engines.engine import Engine, Job
from selfpretrain.errors import RequestError
from selfpretrain.files import own_folder
from selfpretrain.train.store import Store
from selfpretrain.train.training import Training, TrainingResult
from selfpretrain.train.work import TrainJob, training_cost
from selfpretrain.watch import Note, Planned, Watch


def perform(plan: Plan, folder: Path, store: Store, engine: Engine, watch: Watch, *, snapshots: int = 0) -> Performed:
    """Do what is left of a plan. Trainings and runs that are there are taken as they are, whoever made them.

    With a deadline, seeds begin one after the other as long as there is time for another one.

    Args:
        folder: gets a folder for each run.
        engine: does jobs; its shared object is the store.
        snapshots: weights to keep along each training.
    """
    for place in (store.folder, folder):
        own_folder(place)
    work = _Work(plan, folder, store, watch, snapshots, engine.workers)
    engine.do(work.begin(), work.go_on)
    for training in plan.trainings.values():  # such as those of a predecessor that was killed
        store.drop_handed_over(training)
    done = plan.at(work.n_seeds) if plan.deadline is not None else plan
    return Performed(
        runs={name: [work.runs[name, seed] for seed in seeds] for name, seeds in done.seeds.items()},
        picked={name: [work.picked[name, seed] for seed in done.seeds[name]] for name in done.trained},
    )


class _Work:
    """The jobs of a plan. Every result that arrives may let a search go on, or end it."""

    def __init__(self, plan: Plan, folder: Path, store: Store, watch: Watch, snapshots: int, workers: int) -> None:
        self._folder, self._store, self._watch = folder, store, watch
        self._snapshots, self._workers = snapshots, workers
        self._deadline, self._planned = plan.deadline, plan.request.config.seeds
        self._plan = plan if self._deadline is None else plan.at(self._deadline.most)
        self.n_seeds = self._planned if self._deadline is None else MIN_SEEDS
        """Those that have begun."""
        self._begun = self._latest = time.monotonic()
        """When the first seeds began, and the latest."""
        self._took = 0.0
        """Seconds that a seed takes, at most, of those after the first."""
        self._jobs = 0
        """Under way."""
        self._open = {key: search for key, search in self._plan.searches.items() if key[1] < self.n_seeds}
        self._results = dict[str, TrainingResult]()
        """Of trainings that have ended, by their keys."""
        self._under_way = set[str]()
        """Keys of trainings that have begun and not ended."""
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
            for job in self._test(self._record(arm, seed))
        ]
        searches = dict(self._open)
        ready = list(self._ready())
        left = self._announce(searches)
        every = chains(part for search in searches.values() for part in search.left(lambda _: None))
        if known := len(every) - left:
            self._watch(Note(f"{known} of {len(every)} trainings are there"))
        ready.sort(key=lambda job: plan.begins(job.training) if isinstance(job, TrainJob) else ())
        self._jobs = len(fits) + len(ready)
        return [*fits, *ready]

    def go_on(self, job: Job, result: Any) -> list[Job]:
        """What can begin now that a job has ended.

        Raises:
            RequestError: a worker has finished a training, but it is not seen here.
        """
        jobs = self._follow(job, result)
        self._jobs += len(jobs) - 1
        while self._jobs < self._workers and self._has_time():
            more = self._another_seed()
            self._jobs += len(more)
            jobs += more
        return jobs

    def _has_time(self) -> bool:
        """Whether another seed would end in time, at the pace of those before it."""
        now = time.monotonic()
        if self._deadline is None or self.n_seeds >= self._deadline.most:
            return False
        if self.n_seeds == MIN_SEEDS:
            self._took = self._deadline.alone * (now - self._begun)
        else:
            self._took = max(self._took, now - self._latest)
        return now + self._took <= self._deadline.ends

    def _another_seed(self) -> list[Job]:
        """The jobs with which the next seed begins."""
        seed, self._latest = self.n_seeds, time.monotonic()
        self.n_seeds += 1
        searches = {key: search for key, search in self._plan.searches.items() if key[1] == seed}
        self._open |= searches
        jobs = list(self._ready())
        self._announce(searches)
        return jobs

    def _announce(self, searches: Mapping[tuple[str, int], Search]) -> int:
        """Say what searches still need, and what later seeds will; gives the number of trainings."""
        left = dict[str, tuple[str, Training]]()
        for (arm, seed), search in searches.items():
            for part in chains(search.left(self._result)).values():
                if self._result(part) is None:
                    left.setdefault(part.key, (_name(arm, seed, part), part))
        costs = {name: self._cost(training) for name, training in left.values()}
        seeds = len({seed for _, seed in searches})
        later = sum(costs.values()) / seeds * (self._planned - self.n_seeds) if self.n_seeds < self._planned else 0.0
        self._watch(Planned(costs, later=later))
        return len(left)

    def _cost(self, training: Training) -> float:
        """What is left of a training: not those of a shorter one, unless that has ended without a state."""
        shorter = self._plan.shorter.get(training.key)
        is_lost = shorter is not None and self._result(shorter) is not None and not self._store.handed_over(shorter)
        return (
            training_cost(training, self._plan.request.tasks[training.task]) if is_lost else self._plan.cost(training)
        )

    def _follow(self, job: Job, result: Any) -> list[Job]:
        if isinstance(job, EvaluateJob):
            self.runs[job.record.arm, job.record.seed] = result
            return []
        if not self._store.shows(job.key):
            raise RequestError(
                f"{self._store.folder}: what a worker wrote there is not seen here; give --out a folder that all "
                "machines share"
            )
        self._under_way.discard(job.key)
        self._results[job.key] = result
        return list(self._ready())

    def _result(self, training: Training) -> TrainingResult | None:
        """The result of a training, if it is there and whole; its files are read once."""
        key = training.key
        is_known = key in self._results or key in self._under_way
        if not is_known and self._store.has(training, lambda text: self._watch(Note(text))):
            self._results[key] = self._store.finished(training).result
        return self._results.get(key)

    def _ready(self) -> Iterator[Job]:
        """The jobs that can begin now and have not begun."""
        trainings = dict[str, tuple[str, Training]]()
        for (arm, seed), search in list(self._open.items()):
            step = search.step(self._result)
            if isinstance(step, Picked):
                del self._open[arm, seed]
                self.picked[arm, seed] = step
                yield from self._test(self._record(arm, seed, training=step.training, trials=step.trials))
                continue
            for part in chains(step).values():
                if part.key not in self._under_way and self._result(part) is None:
                    trainings.setdefault(part.key, (_name(arm, seed, part), part))
        self._under_way |= trainings.keys()
        yield from (self._training(name, training) for name, training in trainings.values())

    def _record(self, arm: str, seed: int, **of_training: Any) -> RunRecord:
        request = self._plan.request
        return RunRecord(
            arm=arm,
            seed=seed,
            task=request.task.fingerprint,
            metric=request.config.metric,
            class_weights=request.config.class_weights,
            **of_training,
        )

    def _training(self, name: str, training: Training) -> TrainJob:
        settings = self._plan.request.config.train
        shorter, longer = self._plan.shorter.get(training.key), self._plan.longer.get(training.key)
        under_way = [other.key for other in self._plan.before(training) if other.key in self._under_way]
        return TrainJob(
            name=name,
            training=training,
            after=tuple(under_way),
            shorter=shorter,
            longer=longer if longer is not None and self._result(longer) is None else None,
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
