"""Run a study: its comparisons one after the other, in one folder, with one store of trainings."""

import re
import runpy
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import selfpretrain
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import CompareConfig, TaskConfig, seconds_of
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError, did_you_mean
from selfpretrain.explain.diagnose import diagnose
from selfpretrain.explain.transplants import matrix, plan_of
from selfpretrain.files import NO_ROOM, fingerprint, is_sealed
from selfpretrain.registry import STUDIES
from selfpretrain.studies.budget import multiplied, shares_within
from selfpretrain.studies.claims import Results, decide
from selfpretrain.studies.folder import StudyFolder
from selfpretrain.studies.study import Case, CaseAnswer, Profile, Study, StudyAnswer, ground, line_of
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
    config: CompareConfig | None = None,
    budget: str | None = None,
    out: Path | str | None = None,
    data_dir: Path | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
) -> StudyResult:
    """Run the comparison of every case, decide the claims, and write both down. Finished work is not repeated.

    A comparison that fails is recorded with its traceback, and the others go on.

    Args:
        task: the user's own data, for a study that can be run on them; None: the data that the study names.
        config: model, training and seeds of the comparisons, where the study does not vary them; see ``ground``.
        budget: a time like 30m, to which the steps of all comparisons on the same data are multiplied by one number;
            None: the study's own, if it has one, and else they stay. The same budget again goes on with the same steps.
        out: the folder; None is ``runs/study-<name>``, followed by the name of the user's own data.
        data_dir: folder of the files of real data; None is what ``SELFPRETRAIN_DATA`` names, or ``data``.
        workers: trainings at a time.
        engine: ``LocalEngine`` trains on this machine, ``RayEngine`` on a cluster.
        watch: gets the progress of the whole study.

    Raises:
        RequestError: the folder belongs to something else, or the cases do not fit or cannot be planned. Then nothing
            is written.
    """
    begun = time.monotonic()
    budget = budget or (study.budget if profile == "small" else None)
    if budget is not None:
        seconds_of(budget)  # refuses what is no time before anything is read
    if data_dir is not None and not data_dir.is_dir():
        raise SettingError("data_dir", data_dir, "is no folder; name the one with the files of examples/real_data.py")
    if task is not None and not study.own_data:
        raise RequestError(f"the study {study.name} is about tasks of its own; leave DATA out")
    cases = study.cases_on(ground(profile, task, data_dir, config))
    tasks = _tasks(cases, workers, watch)
    # As they run: with the arms of the task, and the patches that its lengths ask for.
    cases = [replace(c, config=Request.of(tasks[c.name], c.config).config) if c.name in tasks else c for c in cases]
    for case in cases:
        if case.name in tasks and case.diagnosis is not None and tasks[case.name].inputs.per_row > 1:
            raise RequestError(f"the study {study.name} diagnoses, and diagnose cannot look at rows that are pairs yet")
    data_name = "" if task is None else f"-{Path(task.data).stem}"
    folder = StudyFolder(Path(out) if out is not None else Path("runs") / f"study-{study.name}{data_name}")
    costs = _costs(cases, tasks, folder)
    shares: Mapping[str, float] = {}
    asked = fingerprint(budget, *(case.request for case in cases))
    if budget is not None:
        earlier = folder.known
        known = earlier.shares if earlier is not None and earlier.asked == asked else {}
        shares = shares_within(budget, cases, tasks, costs, known, begun=begun, workers=workers, watch=watch)
        cases = [multiplied(case, shares.get(case.task.data, 1.0)) for case in cases]
        costs = _costs(cases, tasks, folder)
    answers = [_unanswered(case, tasks) for case in cases]
    with folder.claimed(study.name, profile):
        changed_after = _changed_after(study, folder)

        def write() -> None:
            results = folder.results([case for case in answers if case.failure is None])
            answer = _answer(study, profile, cases, answers, results, changed_after)
            folder.write(replace(answer, asked=asked, shares=shares), results)

        for line in study.declaration:
            watch(Note(line))
        write()
        for number, case in enumerate(cases):
            tell = _CaseWatch(case.name, sum(costs[number + 1 :]), watch)
            if case.left_out is not None:
                tell(Note(f"left out: {case.left_out}"))
                continue
            tell(Note(f"comparison {number + 1} of {len(cases)}"))
            folder.forget_error(case.name)
            out_case, data = folder.case(case.name).path, tasks[case.name]
            try:
                settings: dict[str, Any] = {"workers": workers, "engine": engine, "watch": tell}
                compare(data, case.request, out=out_case, store=folder.store, **settings)
                if case.diagnosis is not None:
                    diagnose(out_case, case.diagnosis, task=data, **settings)
            except Exception as error:  # the others go on, and this one can be asked for again
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    raise  # nor could anything of the others be kept
                answers[number] = replace(answers[number], failure=f"{type(error).__name__}: {error}")
                tell(Note(f"failed: {error} ({folder.write_error(case.name, traceback.format_exc())})"))
            write()
    return StudyResult(folder.path, folder.answer)


def _tasks(cases: Sequence[Case], workers: int, watch: Watch) -> dict[str, Task]:
    """The data of every case that is not left out, by its name; read once where several share them."""
    present = [case for case in cases if case.left_out is None]
    configs = {repr(case.task): case.task for case in present}
    read = {key: load_task(config, workers=workers, watch=watch) for key, config in configs.items()}
    return {case.name: read[repr(case.task)] for case in present}


def _unanswered(case: Case, tasks: Mapping[str, Task]) -> CaseAnswer:
    return CaseAnswer(
        name=case.name,
        axes={axis: str(value) for axis, value in case.axes.items()},
        request=fingerprint(case.request, tasks[case.name].fingerprint if case.name in tasks else ""),
        left_out=case.left_out,
    )


def _costs(cases: Sequence[Case], tasks: Mapping[str, Task], folder: StudyFolder) -> list[float]:
    """FLOPs that each case adds to those before it: shared and finished trainings count once, or not at all."""
    seen: set[str] = set()
    costs = [0.0] * len(cases)
    for number, case in enumerate(cases):
        if case.left_out is not None:
            continue
        request = Request(case.request, tasks[case.name])
        plan = Plan.of(request)
        trainings = plan.trainings
        if case.diagnosis is not None and case.looks_at("transplants"):
            seeds = range(case.request.seeds)[: case.diagnosis.transplant_seeds]
            cells = matrix(request, case.diagnosis.cells)
            trainings |= plan_of(request, cells, seeds).trainings
        new = [part for key, part in trainings.items() if key not in seen and not is_sealed(folder.store / key)]
        costs[number] = sum(map(plan.cost, new))
        seen |= trainings.keys()
    return costs


def _changed_after(study: Study, folder: StudyFolder) -> int | None:
    """How many comparisons had finished when the declaration was changed; None if it never was."""
    known = folder.known
    if known is None or known.declared == study.declared:
        return None if known is None else known.changed_after
    return max(len(folder.results(known.cases)), known.changed_after or 0) or None


@dataclass(frozen=True)
class _CaseWatch:
    """Passes on the events of one comparison, with its name and the cost of the comparisons after it."""

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


def _answer(
    study: Study,
    profile: Profile,
    cases: Sequence[Case],
    answers: Sequence[CaseAnswer],
    results: Results,
    changed_after: int | None,
) -> StudyAnswer:
    """What is known so far."""
    claims = decide(study.claims, cases, results)
    missing = sum(case.name not in results and case.left_out is None for case in answers)
    lines = [] if study.reading is None else [study.reading(claims)]
    for outcome in ("holds", "does not hold", "undecided"):
        if texts := [f"{claim.claim} ({claim.in_words})" for claim in claims if claim.outcome == outcome]:
            lines.append(f"{outcome.capitalize()}: {'; '.join(texts)}.")
    if missing:
        lines.append(f"Comparisons without an answer: {missing}.")
    if changed_after is not None:
        lines.append(f"The declaration was changed after {changed_after} comparisons had finished.")
    if present := [case for case in cases if case.left_out is None]:
        lines.append(_settings(present))
    return StudyAnswer(
        study=study.name,
        question=study.question,
        expected=study.expected,
        profile=profile,
        version=selfpretrain.__version__,
        declared=study.declared,
        changed_after=changed_after,
        claims=tuple(claims),
        cases=tuple(
            replace(case, warnings=_warnings(results[case.name].summary)) if case.name in results else case
            for case in answers
        ),
        answer="\n".join(lines),
    )


def _settings(cases: Sequence[Case]) -> str:
    """Which models were compared, and how long they were trained."""

    def values(*names: str) -> str:
        chosen = (str(reduce(getattr, names, case.request)) for case in cases)
        return ", ".join(dict.fromkeys(re.sub(r"(\d)(steps|epochs)", r"\1 \2", value) for value in chosen))

    steps = f"{values('pretrain', 'duration')} of self-pretraining and {values('label', 'duration')} of labels"
    return (
        f"Layers: {values('model', 'depth')}; width: {values('model', 'width')}; {steps}, in batches of "
        f"{values('label', 'batch_size')}; seeds: {values('seeds')}."
    )


def _warnings(summary: Summary) -> tuple[str, ...]:
    """Runs that failed, and the caveats of a comparison."""
    lost = [f"{len(entry.failures)} runs of {arm} failed." for arm, entry in summary.arms.items() if entry.failures]
    return (*lost, *map(str, summary.warnings))


def study_named(name: str) -> Study:
    """A registered study, or the one that a Python file defines as ``STUDY``.

    The file is executed as Python code, so it must be one that you trust.

    Raises:
        RequestError: there is none, or the file has an error; the message names its line.
    """
    if not name.endswith(".py"):
        if name not in STUDIES:
            meant = did_you_mean(name, STUDIES) or ";"
            raise RequestError(f"unknown study '{name}'{meant} give {', '.join(STUDIES)}, or a Python file (mine.py)")
        return STUDIES[name]
    if not Path(name).is_file():
        raise RequestError(f"{name}: there is no such file")
    sys.path.insert(0, str(Path(name).resolve().parent))  # as Python does: modules beside it can be imported
    try:
        study = runpy.run_path(name).get("STUDY")
    except (Exception, SystemExit) as error:
        raise RequestError(f"{name}, line {line_of(error, name)}: {type(error).__name__}: {error}") from None
    if not isinstance(study, Study):
        raise RequestError(f"{name}: defines no STUDY; write STUDY = Study(...) as docs/extending.md shows")
    if study.name in STUDIES and study is not STUDIES[study.name]:
        raise RequestError(f"{name}: the name {study.name} is that of a built-in study; give yours another")
    return study
