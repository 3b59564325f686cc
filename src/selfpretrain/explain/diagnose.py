"""Look at a finished comparison, experiment on it, and say why self-pretraining helps there, or does not."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfpretrain.config import ABSOLUTE, DiagnoseConfig
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Job, MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.conclude import conclude, gather, plain
from selfpretrain.explain.files import CONCLUSION, FOLDER, Findings, Sections, protocol_of, read_section, write_section
from selfpretrain.explain.measurement import Row
from selfpretrain.explain.section import Experiment, Part, Section
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.transplants import matrix
from selfpretrain.files import own_folder, remove_half_written, write_json
from selfpretrain.machine import cores, threads
from selfpretrain.registry import SECTIONS
from selfpretrain.watch import Done, Note, Planned, Progress, Watch, duration_text, ignore


@dataclass(frozen=True)
class Diagnosis:
    """A finished diagnosis: its folder and what was found."""

    folder: Path
    findings: Findings

    @property
    def content(self) -> dict[str, Any]:
        """``protocol``, ``sections`` (measurements by section) and ``conclusion``: what ``--json`` prints."""
        return self.findings.content


def diagnose(
    folder: Path | str,
    config: DiagnoseConfig | None = None,
    *,
    task: Task | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
    **settings: Any,
) -> Diagnosis:
    """Look at a finished comparison, or one run of it, and say why self-pretraining helps there.

    Finished sections are kept: the same request goes on where it stopped. Runs and answer stay as they are;
    transplants add trainings to the store, and runs of their own.

    Args:
        folder: of a comparison, or of a run in it.
        config: what to look at; None is the default.
        task: the comparison's task, if it came from Python; None loads it again.
        workers: jobs at a time; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        engine: makes what does the trainings of transplants; looking is done on this machine.
        watch: gets progress.
        **settings: fields of ``DiagnoseConfig`` that replace the config's.

    Raises:
        RequestError: nothing finished there, something missing or damaged, or settings that do not fit the data.
    """
    config = replace(config or DiagnoseConfig(), **settings)
    sections_named(config.sections)
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")
    subject = Subject(Path(folder), config, task, workers=workers, watch=watch)
    matrix(subject.request, config.cells)  # refuses names that are none
    out = subject.target / FOLDER
    try:
        own_folder(out)
    except FileExistsError:
        raise RequestError(f"{out}: a file is in the way of the folder; move it") from None
    with subject.comparison.locked():  # nobody compares or cleans meanwhile
        remove_half_written(out)
        for text in subject.skipped:
            watch(Note(f"left out: {text}"))
        sections = measure_sections(subject, out, workers, engine, watch)
        left = [name for name in SECTIONS if name not in sections and (out / f"{name}.json").exists()]
        if left:
            text = f"left out, as damaged or measured under other settings: {', '.join(left)}"
            watch(Note(f"{text}; --sections has them measured again"))
        absolute = subject.request.model.positions in ABSOLUTE
        evidence = gather(subject.summary, sections, absolute_positions=absolute)
        findings = Findings(protocol_of(subject, None), sections, plain(conclude(evidence), evidence))
        write_json(out / CONCLUSION, {"protocol": findings.protocol, "conclusion": findings.conclusion})
    return Diagnosis(out, findings)


def sections_named(names: Sequence[str] | None) -> list[Section]:
    """The sections of these names, in the order of the report; None: all.

    Raises:
        SettingError: there is no such section, or none is named.
    """
    if names is not None and not names:
        raise SettingError("sections", "''", f"names no section; the sections are {', '.join(SECTIONS)}")
    asked = None if names is None else {SECTIONS[name].name for name in names}
    return [section for name, section in SECTIONS.items() if asked is None or name in asked]


def measure_sections(subject: Subject, out: Path, workers: int, engine: MakeEngine, watch: Watch) -> Sections:
    """Every section that was asked for or is there already; each is written as soon as it is complete.

    Args:
        subject: what is diagnosed.
        out: the folder of the diagnosis.
        workers: jobs at a time.
        engine: makes what trains; looking is done on this machine.
        watch: gets progress.
    """
    asked = sections_named(subject.config.sections)
    there = {name: read_section(out, name, protocol_of(subject, section)) for name, section in SECTIONS.items()}
    measured: Sections = {name: rows for name, rows in there.items() if rows is not None}
    looks = [section for section in asked if section.name not in measured and not isinstance(section, Experiment)]
    if looks:
        measured |= _look(subject, looks, out, min(workers, cores()), watch)
    for section in asked:
        if not isinstance(section, Experiment):
            continue
        known = measured.get(section.name)
        if known is not None and not section.missing(subject, known):
            continue
        if (why := section.obstacle(subject)) is not None:
            watch(Note(why))
            continue
        made = section.conduct(subject, known or (), workers, engine, watch)
        measured[section.name] = [row.plain() for row in made]
        write_section(out, section.name, protocol_of(subject, section), measured[section.name])
    return {name: measured[name] for name in SECTIONS if name in measured}


def _look(subject: Subject, sections: Sequence[Section], out: Path, workers: int, watch: Watch) -> Sections:
    """Measure these sections."""
    jobs = [LookJob(section, part) for section in sections for part in section.parts(subject)]
    watch(Planned({job.key: job.section.cost for job in jobs}))
    rows_of: dict[str, list[Row]] = {}
    measured: Sections = {}

    def keep(job: Job, rows: list[Row]) -> None:
        assert isinstance(job, LookJob)
        rows_of[job.key] = rows
        section = job.section
        mine = [other.key for other in jobs if other.section is section]
        if all(key in rows_of for key in mine):
            measured[section.name] = [row for key in mine for row in rows_of[key]]
            write_section(out, section.name, protocol_of(subject, section), measured[section.name])

    # The longest first, so that no worker is left with one at the end.
    by_cost = sorted(jobs, key=lambda job: -job.section.cost * len(job.part))
    with LocalEngine(subject, workers=min(workers, len(jobs)), watch=watch) as engine:
        engine.do(by_cost, keep)
    return measured


EXPECTED_ROWS = 50
"""Measurements of a job, of which progress is shown until it has made more."""


@dataclass(frozen=True)
class LookJob(Job):
    """One job of a section."""

    section: Section
    part: Part

    saves = False

    @property
    def key(self) -> str:  # type: ignore[override]
        return " ".join((self.section.name, *self.part))

    def perform(self, shared: Subject, tell: Watch, stop: Callable[[], bool]) -> list[Row]:
        """Measure; nothing is saved before it is done."""
        begun = time.monotonic()
        rows: list[Row] = []
        with threads(1):
            for row in self.section.measure(shared, self.part):
                rows.append(row.plain())
                tell(Progress(self.key, len(rows), max(len(rows) + 1, EXPECTED_ROWS), {}))
        tell(Done(self.key, f"done in {duration_text(time.monotonic() - begun)}"))
        return rows
