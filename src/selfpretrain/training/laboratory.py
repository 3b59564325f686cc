"""Does the trainings that are not there yet, each once, whoever asks for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from selfpretrain.config import TrainConfig
from selfpretrain.engines.engine import Engine, Job, MakeEngine
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Planned, Watch
from selfpretrain.results import TrainingResult
from selfpretrain.storage import own_folder
from selfpretrain.training.flops import step_flops
from selfpretrain.training.perform import TrainJob, Workshop
from selfpretrain.training.training import Training


class Work(Protocol):
    """A piece of work that a worker can do."""

    def perform(self, shop: Workshop, tell: Watch, stop: Callable[[], bool]) -> None:
        """Do it; its results lie on the disk."""


class Evaluation(Work, Protocol):
    """Work that follows a training, and that may be done already."""

    @property
    def is_done(self) -> bool:
        """Whether its results lie on the disk, whole."""


def perform(shop: Workshop, work: Work, tell: Watch, stop: Callable[[], bool]) -> None:
    """Do any piece of work: a function of this module, for the engine."""
    work.perform(shop, tell, stop)


class Laboratory:
    """A store and an engine that fills it. Use as a context manager.

    Args:
        workers: trainings at a time.
        engine: makes what does them.
    """

    def __init__(
        self, shop: Workshop, *, settings: TrainConfig, device: str, workers: int, engine: MakeEngine, watch: Watch
    ) -> None:
        self.shop, self._settings, self._watch = shop, settings, watch
        self._engine: Engine[Workshop, Work, None] = engine(
            perform, shop, workers=workers, watch=watch, threads=settings.threads, device=device
        )
        self._there: set[str] = set()
        self._used: set[str] = set()
        own_folder(shop.store.folder)

    def __enter__(self) -> "Laboratory":
        self._engine.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.__exit__(*exception)

    @property
    def used(self) -> list[str]:
        """Keys of every training that was asked for."""
        return sorted(self._used)

    def has(self, training: Training) -> bool:
        """Whether a training is there and whole; read once."""
        if training.key not in self._there and self.shop.store.has(training, lambda text: self._watch(Note(text))):
            self._there.add(training.key)
        return training.key in self._there

    def count(self, trainings: Iterable[Training]) -> tuple[int, int]:
        """How many trainings are there, and how many there are in all, with what they rest on."""
        every = {each.key: each for training in trainings for each in training.chain}
        return sum(self.has(each) for each in every.values()), len(every)

    def cost(self, training: Training) -> float:
        """FLOPs of a training as planned, without what it rests on."""
        return float(training.plan.steps * step_flops(training, self.shop.tasks[training.task]))

    def result(self, training: Training) -> TrainingResult:
        """The numbers of a training that is there."""
        return self.shop.store.finished(training).result

    def do(
        self,
        wanted: Mapping[str, Training],
        *,
        snapshots: int = 0,
        then: Sequence[tuple[str, Evaluation, Training | None]] = (),
        later: float = 0.0,
    ) -> None:
        """Do trainings, and what they rest on.

        Args:
            wanted: by the name to call them.
            snapshots: weights to keep along each.
            then: more work, with the name of each and the training that it waits for.
            later: FLOPs that will be asked for afterwards, for the time left.
        """
        jobs: dict[str, Job[Work]] = {}
        costs: dict[str, float] = {}
        for name, training in wanted.items():
            for each in training.chain:
                self._used.add(each.key)
                if each.key in jobs or self.has(each):
                    continue
                called = f"{name} {each.phase}"
                work = TrainJob(called, each, snapshots, self._settings.checkpoint_seconds, self._settings.recompute)
                after = () if each.source is None or each.source.key not in jobs else (each.source.key,)
                jobs[each.key] = Job(each.key, work, after)
                costs[called] = self.cost(each)
        trained = set(jobs)
        for name, more, waits_for in then:
            waits = waits_for is not None and waits_for.key in jobs
            if waits or not more.is_done:
                jobs[name] = Job(name, more, (waits_for.key,) if waits_for is not None and waits else ())
        self._watch(Planned(costs, later))

        def remember(job: Job[Any], result: None) -> None:
            if job.key in trained and not self.shop.store.shows(job.key):
                raise RequestError(
                    f"{self.shop.store.folder}: what a worker wrote there is not seen here; give --out a folder that "
                    "all machines share"
                )
            self._there.add(job.key)

        self._engine.do(list(jobs.values()), remember)
