"""Every section that was asked for, done by workers; each is written as soon as it is whole."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from selfpretrain.engines.engine import POLL_SECONDS, Job, MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.events import Done, Note, Planned, Progress, Watch
from selfpretrain.explain.files import Sections, protocol_of, read_section, write_section
from selfpretrain.explain.measurement import Measurement, Row
from selfpretrain.explain.registry import known_sections, sections_named
from selfpretrain.explain.section import Experiment, Part
from selfpretrain.explain.subject import Subject
from selfpretrain.machine import cores, threads
from selfpretrain.progress import duration_text

EXPECTED_ROWS = 50
"""Measurements of a job, of which progress is shown until it has made more."""


@dataclass(frozen=True)
class Look:
    """One job of a section."""

    section: str
    measure: Callable[[Subject, Part], Iterable[Measurement]]
    part: Part

    @property
    def name(self) -> str:
        """For the one who watches."""
        return " ".join((self.section, *self.part))


def measure_sections(subject: Subject, out: Path, workers: int, engine: MakeEngine, watch: Watch) -> Sections:
    """Every section that was asked for or is there already.

    Args:
        engine: makes what trains; looking is done on this machine.
    """
    found: Sections = {}
    asked = sections_named(subject.config.sections)
    looks: dict[str, list[Look]] = {}
    for name, section in known_sections().items():
        known = read_section(out, name, protocol_of(subject, section))
        if known is not None:
            found[name] = known
        elif section in asked and not isinstance(section, Experiment):
            looks[name] = [Look(name, section.measure, part) for part in section.parts(subject)]
    if looks:
        _look(subject, looks, out, min(workers, cores()), watch, found)
    for section in asked:
        if not isinstance(section, Experiment):
            continue
        known = found.get(section.name)
        if known is None or section.missing(subject, known):
            if (why := section.obstacle(subject)) is not None:
                watch(Note(why))
                continue
            made = section.conduct(subject, known or (), workers, engine, watch)
            found[section.name] = [row.plain() for row in made]
            write_section(out, section.name, protocol_of(subject, section), found[section.name])
    return {name: found[name] for name in known_sections() if name in found}


def _look(
    subject: Subject, looks: dict[str, list[Look]], out: Path, workers: int, watch: Watch, found: Sections
) -> None:
    sections = known_sections()
    every = [look for each in looks.values() for look in each]
    watch(Planned({look.name: sections[look.section].cost for look in every}))
    rows_of: dict[str, list[Row]] = {}

    def keep(job: Job[Look], rows: list[Row]) -> None:
        rows_of[job.key] = rows
        name = job.payload.section
        if all(look.name in rows_of for look in looks[name]):
            found[name] = [row for look in looks[name] for row in rows_of[look.name]]
            write_section(out, name, protocol_of(subject, sections[name]), found[name])

    # The longest first, so that no worker is left with one at the end.
    every.sort(key=lambda look: -sections[look.section].cost * len(look.part))
    jobs = [Job(look.name, look) for look in every]
    engine: LocalEngine[Subject, Look, list[Row]]
    engine = LocalEngine(_perform, subject, workers=min(workers, len(jobs)), watch=watch)
    with engine:
        engine.do(jobs, keep)


def _perform(subject: Subject, look: Look, tell: Watch, stop: Callable[[], bool]) -> list[Row]:
    """Do one job: a function of the module, for the engine."""
    begun = time.monotonic()
    rows: list[Row] = []
    with threads(1), _abandoned_when(stop):
        for row in look.measure(subject, look.part):
            rows.append(row.plain())
            tell(Progress(look.name, len(rows), max(len(rows) + 1, EXPECTED_ROWS), {}))
    tell(Done(look.name, f"done in {duration_text(time.monotonic() - begun)}"))
    return rows


@contextlib.contextmanager
def _abandoned_when(stop: Callable[[], bool]) -> Iterator[None]:
    """End this worker as soon as it should stop: a job has nothing to save, and an eigenvalue may take minutes.

    The process ends from a thread, without a word. The parent is told of a broken pool, which it expects: it is the one
    that asked.
    """
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
