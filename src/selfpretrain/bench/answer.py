"""Time to an answer: a comparison of the built-in example, where its time goes, and its trainings with the Trainer."""

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfpretrain.bench.contestants import Size, hugging_face
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.data.load import load_task
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.machine import threads
from selfpretrain.registry import PRESETS
from selfpretrain.report.write import write_report
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Note, Watch


@dataclass(frozen=True)
class Answer:
    """What a comparison took.

    Attributes:
        seconds: from loading the data to the finished report.
        parts: core-seconds by what they went into; together the seconds of all cores.
        trainer_seconds: what the same trainings, each in full, with as many validations take with the Trainer, if all
            cores are busy throughout.
    """

    seeds: int
    cores: int
    seconds: float
    parts: dict[str, float]
    trainer_seconds: float


@dataclass(frozen=True)
class Done:
    """The result of a job, and when it began and ended; all processes share the monotonic clock."""

    result: Any
    job: Job
    began: float
    ended: float
    process: str

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Clocked(Job):
    """A job that tells its time."""

    job: Job

    @property
    def key(self) -> str:  # type: ignore[override]
        return self.job.key

    @property
    def after(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.job.after

    @property
    def saves(self) -> bool:  # type: ignore[override]
        return self.job.saves

    def perform(self, shared: Any, tell: Watch, stop: Callable[[], bool]) -> Done:
        began = time.monotonic()
        result = self.job.perform(shared, tell, stop)
        return Done(result, self.job, began, time.monotonic(), multiprocessing.current_process().name)


class ClockedEngine(LocalEngine):
    """Keeps the time of every job."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.began, self.done = time.monotonic(), list[Done]()

    def _begin(self, job: Job) -> Future[Any]:
        return super()._begin(Clocked(job))

    def _result(self, handle: Future[Any]) -> Any:
        done: Done = super()._result(handle)
        self.done.append(done)
        return done.result


def time_answer(seeds: int, cores: int, share: float, watch: Watch) -> Answer:
    """Run the comparison, and the trainings of one seed with the Trainer.

    Args:
        share: of the Trainer's steps that are made; the rest are taken to be as fast.
    """
    watch(Note(f"a comparison of the built-in example, seeds: {seeds}"))
    config = replace(PRESETS["demo"].config, seeds=seeds)
    engines: list[ClockedEngine] = []

    def engine(*arguments: Any, **settings: Any) -> ClockedEngine:
        engines.append(ClockedEngine(*arguments, **settings))
        return engines[0]

    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        task = load_task()
        comparison = compare(task, config, out=Path(name) / "demo", workers=cores, engine=engine)
        judged = time.monotonic()
        write_report(comparison.folder)
        ended = time.monotonic()
    parts = _parts(engines[0], cores, began, judged, ended)
    watch(Note("the trainings of one seed with the Trainer"))
    one_seed = Request.of(task, replace(config, seeds=1, train=replace(config.train, device="cpu")))
    trainer_seconds = seeds * _with_trainer(Size("demo", one_seed), share) / cores
    return Answer(seeds, cores, ended - began, parts, trainer_seconds)


def _parts(engine: ClockedEngine, cores: int, began: float, judged: float, ended: float) -> dict[str, float]:
    """Where the time of all cores went."""
    done = sorted(engine.done, key=lambda one: one.began)
    trained = {one.job.key: one.result for one in done if isinstance(one.job, TrainJob)}
    # A training that goes on from a shorter one counts the time of that, too.
    shorter = [trained[one.job.shorter.key] for one in done if isinstance(one.job, TrainJob) and one.job.shorter]
    steps = sum(result.step_seconds for result in trained.values()) - sum(result.step_seconds for result in shorter)
    loops = sum(result.seconds for result in trained.values()) - sum(result.seconds for result in shorter)
    training = sum(one.seconds for one in done if isinstance(one.job, TrainJob))
    first = {one.process: one.began for one in reversed(done)}
    parts = {
        "steps": steps,
        "validation": loops - steps,
        "setting up, testing the selected checkpoint, saving": training - loops,
        "test split and classical models": sum(one.seconds for one in done) - training,
        "loading and planning": cores * (engine.began - began),
        "starting the workers": sum(moment - engine.began for moment in first.values()),
        "judging": cores * (judged - max(one.ended for one in done)),
        "drawing the report": cores * (ended - judged),
    }
    return {**parts, "idle cores": cores * (ended - began) - sum(parts.values())}


def _with_trainer(size: Size, share: float) -> float:
    """Seconds of all trainings of a request on one core."""
    total = 0.0
    with threads(1):
        for training in Plan.of(size.request).trainings.values():
            steps = max(1, round(share * training.plan.steps))
            every = min(steps, training.plan.evaluate_every)
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                hugging_face(size, training, folder, steps=steps, evaluate_every=every).train()
                total += (time.monotonic() - began) * training.plan.steps / steps
    return total
