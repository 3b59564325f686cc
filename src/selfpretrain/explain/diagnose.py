"""Look at a finished comparison, experiment on it, and say why self-pretraining helps there, or does not."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from selfpretrain.config import ABSOLUTE, DiagnoseConfig
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Job, MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.conclude import conclude, gather, plain
from selfpretrain.explain.files import (
    CONCLUSION,
    FOLDER,
    TABLE,
    Findings,
    protocol_of,
    section_file,
)
from selfpretrain.explain.section import Part, Section
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import Measurement, joined, read_table, tidy, write_table
from selfpretrain.explain.transplants import matrix
from selfpretrain.files import locked, own_folder, remove_half_written, write_json
from selfpretrain.machine import cores, threads
from selfpretrain.registry import SECTIONS
from selfpretrain.watch import Done, Note, Planned, Progress, Watch, duration_text, ignore


@dataclass(frozen=True)
class Diagnosis:
    """A finished diagnosis: its folder and what it holds."""

    folder: Path
    findings: Findings

    @property
    def table(self) -> pd.DataFrame:
        """Everything that was measured, a row for each number; ``explain.table`` has the columns."""
        return self.findings.table

    @property
    def content(self) -> dict[str, Any]:
        """Measurement settings (``protocol``), conclusion and the folder of the table, as ``--json`` prints them."""
        findings = self.findings
        table = str(self.folder / TABLE)
        return {"protocol": findings.protocol, "conclusion": findings.conclusion, "table": table}


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

    Finished sections are kept, so an interrupted diagnosis can be resumed. The comparison's runs and answer are not
    changed; transplants add their trainings to the store, and their runs to ``transplants/``.

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
    for place in (out, out / TABLE):
        try:
            own_folder(place)
        except FileExistsError:
            raise RequestError(f"{place}: a file is in the way of the folder; move it") from None
    with locked(subject.comparison.path):  # nobody compares or cleans meanwhile
        for place in (out, out / TABLE):
            remove_half_written(place)
        for text in subject.skipped:
            watch(Note(f"left out: {text}"))
        sections = measure_sections(subject, out, workers, engine, watch)
        left = [name for name in SECTIONS if name not in sections and section_file(out, name).exists()]
        if left:
            text = f"left out, as damaged or measured under other settings: {', '.join(left)}"
            watch(Note(f"{text}; --sections has them measured again"))
        absolute = subject.request.model.positions in ABSOLUTE
        table = joined(sections.values())
        evidence = gather(subject.summary, table, absolute_positions=absolute)
        findings = Findings(protocol_of(subject, None), table, plain(conclude(evidence), evidence))
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


def measure_sections(
    subject: Subject, out: Path, workers: int, engine: MakeEngine, watch: Watch
) -> dict[str, pd.DataFrame]:
    """The rows of every section that was asked for or exists; each is written as soon as it is complete.

    What looks at models runs on this machine, and only what trains by ``engine``.
    """
    asked = sections_named(subject.config.sections)
    protocols = {name: protocol_of(subject, section) for name, section in SECTIONS.items()}
    tables = {name: read_table(section_file(out, name), protocol) for name, protocol in protocols.items()}
    sections = {name: rows for name, rows in tables.items() if rows is not None}

    def keep(section: Section, rows: pd.DataFrame) -> None:
        sections[section.name] = rows
        write_table(section_file(out, section.name), rows, protocols[section.name])

    looks = [section for section in asked if section.name not in sections and section.conduct is None]
    if looks:
        _look(subject, looks, keep, min(workers, cores()), watch)
    for section in asked:
        if section.conduct is not None:
            made = section.conduct(subject, sections.get(section.name), workers, engine, watch)
            if made is not None:
                keep(section, tidy(section.name, made))
    return {name: sections[name] for name in SECTIONS if name in sections}


def _look(
    subject: Subject,
    sections: Sequence[Section],
    keep: Callable[[Section, pd.DataFrame], None],
    workers: int,
    watch: Watch,
) -> None:
    """Measure these sections, and keep each as soon as its last job is done."""
    jobs = [LookJob(section, part) for section in sections for part in section.parts(subject)]
    watch(Planned({job.key: job.section.cost for job in jobs}))
    done: dict[str, pd.DataFrame] = {}

    def finish(job: Job, rows: pd.DataFrame) -> None:
        assert isinstance(job, LookJob)
        done[job.key] = rows
        keys = [other.key for other in jobs if other.section is job.section]
        if all(key in done for key in keys):
            keep(job.section, joined(done.pop(key) for key in keys))

    # The longest first, so that no worker is left with one at the end.
    by_cost = sorted(jobs, key=lambda job: -job.section.cost * len(job.part))
    with LocalEngine(subject, workers=min(workers, len(jobs)), watch=watch) as engine:
        engine.do(by_cost, finish)


EXPECTED = 100
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

    def perform(self, shared: Subject, tell: Watch, stop: Callable[[], bool]) -> pd.DataFrame:
        """Measure; nothing is saved before it is done."""
        begun = time.monotonic()
        measurements: list[Measurement] = []
        with threads(1):
            for measurement in self.section.measure(shared, self.part):
                measurements.append(measurement)
                tell(Progress(self.key, len(measurements), max(len(measurements) + 1, EXPECTED), {}))
        tell(Done(self.key, f"done in {duration_text(time.monotonic() - begun)}"))
        return tidy(self.section.name, measurements)
