"""Run a study: its comparisons one after the other, in one folder, with one store of trainings."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import selfpretrain
from selfpretrain.arms.arm import Setting
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.planning import trainings_of
from selfpretrain.errors import RequestError
from selfpretrain.events import Done, Event, Note, Planned, Progress, Watch, ignore
from selfpretrain.results import CaseAnswer, ClaimAnswer, StudyAnswer
from selfpretrain.storage import write_atomically
from selfpretrain.studies.claims import judge
from selfpretrain.studies.folder import ERROR, StudyFolder
from selfpretrain.studies.study import Case, Profile, Study
from selfpretrain.tasks.load import load_task
from selfpretrain.training.flops import step_flops


@dataclass(frozen=True)
class StudyResult:
    """A study that has run: its folder and its answer."""

    folder: Path
    answer: StudyAnswer


def run_study(
    study: Study, profile: Profile = "small", *, out: Path | str | None = None, workers: int = 1, watch: Watch = ignore
) -> StudyResult:
    """Compare every case, judge the claims, and write both down; what is there is found and not done again.

    A comparison that fails is recorded with its traceback, and the others go on.

    Args:
        out: the folder; None is ``runs/study-<name>``.
        workers: processes on the CPU.
        watch: gets progress, of the whole study.

    Raises:
        RequestError: the folder belongs to something else, two cases have one name, or one of them cannot be planned;
            then nothing is written.
    """
    cases = list(study.cases(profile))
    if len({case.name for case in cases}) < len(cases):
        raise RequestError(f"the study {study.name} has two cases of one name; their axes must differ")
    folder = StudyFolder(Path(out) if out is not None else Path("runs") / f"study-{study.name}")
    costs = _costs(cases)
    folder.claim(study.name, profile)
    for line in study.declaration:
        watch(Note(line))
    failures: dict[str, str] = {}
    _write(folder, study, profile, cases, failures)
    for number, case in enumerate(cases, 1):
        tell = _Whole(case.name, sum(costs[number:]), watch)
        tell(Note(f"comparison {number} of {len(cases)}"))
        path = folder.case(case.name).path
        (path / ERROR).unlink(missing_ok=True)
        try:
            compare(case.task, case.config, out=path, store=folder.store, workers=workers, watch=tell)
        except Exception as error:  # the others go on, and this one can be asked for again
            failures[case.name] = f"{type(error).__name__}: {error}"
            path.mkdir(exist_ok=True)
            write_atomically(path / ERROR, traceback.format_exc())
            tell(Note(f"failed: {error} ({path / ERROR})"))
        _write(folder, study, profile, cases, failures)
    return StudyResult(folder.path, folder.answer)


def _costs(cases: Sequence[Case]) -> list[float]:
    """FLOPs that each case adds to those before it: what they share is done once."""
    seen: set[str] = set()
    costs = []
    for case in cases:
        task = load_task(case.task)
        new = {key: each for key, each in trainings_of(Setting(case.config, task)).items() if key not in seen}
        costs.append(float(sum(each.plan.steps * step_flops(each, task) for each in new.values())))
        seen |= new.keys()
    return costs


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


def _write(
    folder: StudyFolder, study: Study, profile: Profile, cases: Sequence[Case], failures: dict[str, str]
) -> None:
    """What is known so far."""
    found = folder.found([case.name for case in cases if case.name not in failures])
    claims = judge(study.claims, found)
    answer = StudyAnswer(
        study=study.name,
        question=study.question,
        expected=study.expected,
        profile=profile,
        version=selfpretrain.__version__,
        claims=tuple(claims),
        cases=tuple(
            CaseAnswer(
                name=case.name,
                axes={axis: str(value) for axis, value in case.axes.items()},
                failure=failures.get(case.name),
            )
            for case in cases
        ),
        answer=_answer(claims, len(cases) - len(found)),
    )
    folder.write(answer, found)


def _answer(claims: Sequence[ClaimAnswer], missing: int) -> str:
    """In plain words: what holds, what does not, what is undecided."""
    said = []
    for outcome, words in (
        ("holds", "This holds"),
        ("does not hold", "This does not hold"),
        ("undecided", "This is undecided"),
    ):
        said += [f"{words}: {_claimed(claim)}" for claim in claims if claim.outcome == outcome]
    if missing:
        said.append(f"{missing} comparisons have no answer.")
    return " ".join(said)


def _claimed(claim: ClaimAnswer) -> str:
    low, high = claim.ci95
    if claim.effect is None or low is None or high is None:
        return f"{claim.claim} (not measured: no finished comparison, or self-pretraining has learnt nothing there)."
    interval = f"95% interval {100 * low:+.1f} to {100 * high:+.1f}"
    return f"{claim.claim} ({100 * claim.effect:+.1f} points, {interval}, {claim.n_seeds} seeds)."
