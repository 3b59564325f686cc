"""What a diagnosis consists of, done by workers: a job is a part of it for some runs of one seed."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfpretrain.config import PARTS, Part
from selfpretrain.diagnosis import attention, data, gradients, landscape, representation
from selfpretrain.diagnosis.files import Parts, protocol_of, read_part, write_part
from selfpretrain.diagnosis.measurement import Measurement, Row
from selfpretrain.diagnosis.subject import Run, Subject
from selfpretrain.diagnosis.transplants import missing, run_transplants
from selfpretrain.events import Finished, Note, Planned, Progress, Watch
from selfpretrain.workers import POLL_SECONDS, Workers, threads

COSTS: dict[Part, float] = {"data": 1.0, "attention": 1.0, "gradients": 6.0, "landscape": 20.0, "representation": 3.0}
"""Relative cost of a job of each part, for the time left."""


@dataclass(frozen=True)
class Job:
    """A part for some runs of one seed."""

    part: Part
    runs: tuple[str, ...]
    paths: bool = False
    """Of the landscape: the ways between weights, not what surrounds them."""

    @property
    def name(self) -> str:
        """For the one who watches."""
        return " ".join((self.part, *(["paths"] if self.paths else []), *self.runs))


def measure_parts(subject: Subject, out: Path, workers: int, watch: Watch) -> Parts:
    """Every part that was asked for or is there already; each is written as soon as it is whole."""
    parts: Parts = {}
    jobs: list[Job] = []
    for part in PARTS:
        known = read_part(out, part, protocol_of(subject, part))
        if known is not None:
            parts[part] = known
        elif part in subject.config.parts and part != "transplants":
            jobs += _jobs(subject, part)
    if jobs:
        watch(Planned({job.name: {job.part: COSTS[job.part]} for job in jobs}))
        waiting = {part: [job for job in jobs if job.part == part] for part in {job.part for job in jobs}}
        found: dict[Job, list[Row]] = {}

        def keep(job: Job, rows: list[Row]) -> None:
            found[job] = rows
            if all(each in found for each in waiting[job.part]):
                parts[job.part] = [row for each in waiting[job.part] for row in found[each]]
                write_part(out, job.part, protocol_of(subject, job.part), parts[job.part])

        # The longest first, so that no worker is left with one at the end.
        ordered = sorted(jobs, key=lambda job: -COSTS[job.part] * len(job.runs))
        with Workers(_perform, subject, count=min(workers, len(jobs)), watch=watch) as pool:
            pool.do(ordered, keep)
    if "transplants" in subject.config.parts and "transplants" not in parts:
        reason = missing(subject)
        if reason is None:
            rows = [row.plain() for row in run_transplants(subject, workers=workers, watch=watch)]
            parts["transplants"] = rows
            write_part(out, "transplants", protocol_of(subject, "transplants"), rows)
        else:
            watch(Note(reason))
    return {part: parts[part] for part in PARTS if part in parts}


def _jobs(subject: Subject, part: Part) -> list[Job]:
    """What a part consists of. Landscapes are of the first seed alone, and of one arm with and one without SPT."""
    match part:
        case "data":
            return [Job(part, ())]
        case "landscape":
            chosen = tuple(run.path.name for run in subject.pictured)
            return [*(Job(part, (name,)) for name in chosen), Job(part, chosen, paths=True)]
        case "representation":
            return [Job(part, tuple(run.path.name for run in runs)) for runs in subject.by_seed.values()]
    return [Job(part, (run.path.name,)) for run in subject.runs]


def _perform(subject: Subject, job: Job, tell: Watch, stop: Callable[[], bool]) -> list[Row]:
    """Do one job: a function of the module, for the workers."""
    begun = time.monotonic()
    runs = [run for run in subject.runs if run.path.name in job.runs]
    rows = []
    with threads(1), _abandoned_when(stop):
        for row in _measurements(subject, job, runs):
            rows.append(row.plain())
            tell(Progress(job.name, job.part, len(rows), max(len(rows) + 1, 50), {}))
    tell(Finished(job.name, {"seconds": time.monotonic() - begun}))
    return rows


@contextlib.contextmanager
def _abandoned_when(stop: Callable[[], bool]) -> Iterator[None]:
    """End this worker as soon as it should stop: a job has nothing to save, and an eigenvalue may take minutes."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            if stop():
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _measurements(subject: Subject, job: Job, runs: Sequence[Run]) -> Iterable[Measurement]:
    match job.part:
        case "data":
            return data.measure(subject)
        case "attention":
            return attention.measure(subject, runs[0])
        case "gradients":
            return gradients.measure(subject, runs[0])
        case "landscape":
            return landscape.measure_paths(subject, runs) if job.paths else landscape.measure(subject, runs[0])
        case "representation":
            return representation.measure(subject, runs)
    raise AssertionError(job.part)
