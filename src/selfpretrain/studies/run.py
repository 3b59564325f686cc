"""Run a study: its comparisons one after the other, in one folder, with one store of trainings."""

import difflib
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import selfpretrain
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.words import points
from selfpretrain.config import TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.diagnose import diagnose
from selfpretrain.explain.transplants import matrix, plan_of
from selfpretrain.registry import STUDIES
from selfpretrain.studies.claims import Found, decide
from selfpretrain.studies.folder import StudyFolder, fingerprint_of
from selfpretrain.studies.study import Case, CaseAnswer, ClaimAnswer, Profile, Reading, Study, StudyAnswer, ground
from selfpretrain.train.training import Training
from selfpretrain.watch import Done, Event, Note, Planned, Progress, Watch, ignore


@dataclass(frozen=True)
class StudyResult:
    """A study that has run: its folder and its answer."""

    folder: Path
    answer: StudyAnswer


def run_study(
    study: Study,
    profile: Profile = "small",
    task: TaskConfig | None = None,
    *,
    out: Path | str | None = None,
    data_dir: Path | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
) -> StudyResult:
    """Compare every case, decide the claims, and write both down; what is there is found and not done again.

    A comparison that fails is recorded with its traceback, and the others go on.

    Args:
        task: a person's own data, for a study that can be asked about them; None is what the study says.
        out: the folder; None is ``runs/study-<name>``, with the data's name behind it.
        data_dir: where files of real data are; None is what ``SELFPRETRAIN_DATA`` names, or ``data``.
        workers: trainings at a time.
        engine: makes what does them: ``LocalEngine`` on this machine, ``RayEngine`` on a cluster.
        watch: gets progress, of the whole study.

    Raises:
        RequestError: the folder belongs to something else, or the cases do not fit or cannot be planned; then nothing
            is written.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise SettingError("data_dir", data_dir, "is no folder; name the one with the files of examples/real_data.py")
    if task is not None and not study.own_data:
        raise RequestError(f"the study {study.name} is about tasks of its own; leave DATA out")
    cases = study.cases_on(ground(profile, task, data_dir))
    tasks = _tasks(cases, workers, watch)
    for case in cases:
        if case.left_out is None and case.diagnosis is not None and tasks[repr(case.task)].inputs.per_row > 1:
            raise RequestError(f"the study {study.name} diagnoses, and diagnose cannot look at rows that are pairs yet")
    answers = [_answer_of(case, tasks) for case in cases]
    about = "" if task is None else f"-{Path(task.data).stem}"
    folder = StudyFolder(Path(out) if out is not None else Path("runs") / f"study-{study.name}{about}")
    costs = _costs(cases, tasks, folder)
    with folder.claimed(study.name, profile):
        record = _Record(study, profile, cases, folder, _changed_after(study, folder))
        for line in study.declaration:
            watch(Note(line))
        record.write(answers)
        for number, case in enumerate(cases):
            tell = _Whole(case.name, sum(costs[number + 1 :]), watch)
            if case.left_out is not None:
                tell(Note(f"left out: {case.left_out}"))
                continue
            tell(Note(f"comparison {number + 1} of {len(cases)}"))
            folder.forget_error(case.name)
            out_case, data = folder.case(case.name).path, tasks[repr(case.task)]
            try:
                how: dict[str, Any] = {"workers": workers, "engine": engine, "watch": tell}
                compare(data, case.request, out=out_case, store=folder.store, **how)
                if case.diagnosis is not None:
                    diagnose(out_case, case.diagnosis, task=data, **how)
            except Exception as error:  # the others go on, and this one can be asked for again
                answers[number] = replace(answers[number], failure=f"{type(error).__name__}: {error}")
                tell(Note(f"failed: {error} ({folder.write_error(case.name, traceback.format_exc())})"))
            record.write(answers)
    return StudyResult(folder.path, folder.answer)


Tasks = Mapping[str, Task]
"""The data of the cases, by ``repr`` of their configuration."""


def _tasks(cases: Sequence[Case], workers: int, watch: Watch) -> Tasks:
    """The data of every case that has any, read once where several share them."""
    wanted = {repr(case.task): case.task for case in cases if case.left_out is None}
    return {name: load_task(config, workers=workers, watch=watch) for name, config in wanted.items()}


def _answer_of(case: Case, tasks: Tasks) -> CaseAnswer:
    """A case without an answer."""
    data = "" if case.left_out is not None else tasks[repr(case.task)].fingerprint
    return CaseAnswer(
        name=case.name,
        axes={axis: str(value) for axis, value in case.axes.items()},
        request=fingerprint_of(case.request, data),
        left_out=case.left_out,
    )


def _costs(cases: Sequence[Case], tasks: Tasks, folder: StudyFolder) -> list[float]:
    """FLOPs that each case adds to those before it: what they share, and what is there, is not done again."""
    seen: set[str] = set()
    costs = []
    for case in cases:
        new: dict[str, Training] = {}
        if case.left_out is None:
            request = Request(case.request, tasks[repr(case.task)])
            plan = Plan.of(request)
            every = dict(plan.trainings)
            if case.looks_at("transplants"):
                assert case.diagnosis is not None
                cells = matrix(request, case.diagnosis.cells)
                seeds = range(min(case.request.seeds, case.diagnosis.transplant_seeds or case.request.seeds))
                every |= plan_of(request, cells, seeds, case.request.train.lr[0]).trainings
            new = {key: part for key, part in every.items() if key not in seen and not folder.has_training(key)}
            seen |= every.keys()
        costs.append(sum(map(plan.flops, new.values())) if new else 0.0)
    return costs


def _changed_after(study: Study, folder: StudyFolder) -> int | None:
    """How many comparisons had finished when the declaration was changed; None if it never was."""
    known = folder.known
    if known is None or known.declared == study.declared:
        return None if known is None else known.changed_after
    finished = len(folder.found(known.cases))
    return max(finished, known.changed_after or 0) or None


@dataclass(frozen=True)
class _Whole:
    """Passes on what one comparison tells, named after it, with what the comparisons after it will cost."""

    case: str
    rest: float
    watch: Watch

    def __call__(self, event: Event) -> None:
        match event:
            case Planned():
                costs = {self._name(job): cost for job, cost in event.costs.items()}
                self.watch(Planned(costs, event.later + self.rest))
            case Note(text, job):
                self.watch(Note(text, self.case if job is None else self._name(job)))
            case Progress() | Done():
                self.watch(replace(event, job=self._name(event.job)))

    def _name(self, job: str) -> str:
        return f"{self.case} {job}"


@dataclass(frozen=True)
class _Record:
    """Writes down what is known of a study."""

    study: Study
    profile: Profile
    cases: Sequence[Case]
    folder: StudyFolder
    changed_after: int | None

    def write(self, answers: Sequence[CaseAnswer]) -> None:
        """What is known so far."""
        found = self.folder.found([case for case in answers if case.failure is None])
        claims = decide(self.study.claims, self.cases, found)
        answer = StudyAnswer(
            study=self.study.name,
            question=self.study.question,
            expected=self.study.expected,
            profile=self.profile,
            version=selfpretrain.__version__,
            declared=self.study.declared,
            changed_after=self.changed_after,
            claims=tuple(claims),
            cases=tuple(replace(case, warnings=_warnings(case.name, found)) for case in answers),
            answer=_in_words(claims, self._missing(answers, found), self.changed_after, self.study.reading),
        )
        self.folder.write(answer, found)

    @staticmethod
    def _missing(answers: Sequence[CaseAnswer], found: Found) -> int:
        """Comparisons that have no answer and are not left out."""
        return sum(case.name not in found and case.left_out is None for case in answers)


def _warnings(name: str, found: Found) -> tuple[str, ...]:
    """What should be known before a comparison is believed: its caveats, and runs that failed."""
    if name not in found:
        return ()
    summary = found[name].summary
    lost = [f"{len(entry.failures)} runs of {arm} failed." for arm, entry in summary.arms.items() if entry.failures]
    return (*lost, *(caveat.text for caveat in summary.warnings))


def _in_words(claims: Sequence[ClaimAnswer], missing: int, changed_after: int | None, reading: Reading | None) -> str:
    """What the claims say together; what holds, what does not, what is undecided: a line for each."""
    lines = [] if reading is None else [reading(claims)]
    for outcome, words in (("holds", "Holds"), ("does not hold", "Does not hold"), ("undecided", "Undecided")):
        if of_it := [_claimed(claim) for claim in claims if claim.outcome == outcome]:
            lines.append(f"{words}: {'; '.join(of_it)}.")
    if missing:
        lines.append(f"Comparisons without an answer: {missing}.")
    if changed_after is not None:
        lines.append(f"The declaration was changed after {changed_after} comparisons had finished.")
    return "\n".join(lines)


def _claimed(claim: ClaimAnswer) -> str:
    values = (claim.effect, *claim.ci95)
    if None in values:
        return f"{claim.claim} (not measured: {claim.why or 'no interval'})"
    effect, low, high = map(points, values)
    return f"{claim.claim} ({effect} {claim.unit}, {low} to {high})"


def study_named(name: str) -> Study:
    """A registered study, or the one that a Python file defines as ``STUDY``.

    The file is run, as Python runs it: give your own alone.

    Raises:
        RequestError: there is none, or the file has an error; the message names its line.
    """
    if not name.endswith(".py"):
        if name not in STUDIES:
            close = difflib.get_close_matches(name, STUDIES, n=1)
            meant = f"; did you mean {close[0]}?" if close else ";"
            raise RequestError(f"unknown study '{name}'{meant} give {', '.join(STUDIES)}, or a Python file (mine.py)")
        return STUDIES[name]
    if not Path(name).is_file():
        raise RequestError(f"{name}: there is no such file")
    sys.path.insert(0, str(Path(name).resolve().parent))  # as Python does: what lies beside it can be imported
    try:
        study = runpy.run_path(name).get("STUDY")
    except (Exception, SystemExit) as error:
        raise RequestError(f"{name}, line {_line_of(error, name)}: {type(error).__name__}: {error}") from None
    if not isinstance(study, Study):
        raise RequestError(f"{name}: defines no STUDY; write STUDY = Study(...) as docs/extending.md shows")
    if study.name in STUDIES and study is not STUDIES[study.name]:
        raise RequestError(f"{name}: the name {study.name} is that of a built-in study; give yours another")
    return study


def _line_of(error: BaseException, path: str) -> int | str:
    """The last line of the file that was running, or that cannot be read as Python."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines and lines[-1] is not None else "?"
