"""The folder of a study: the only place that knows its files. One writer at a time; readers need no torch.

study.json    the declaration, the claims as far as they are decided, the cases
table.csv     one row a run
<case>/       a folder for each comparison (see ``comparison.folder``), or error.txt in it
trainings/    the store that all of them share
report.html   the page
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.run import read_run
from selfpretrain.config import ABSOLUTE, CompareConfig
from selfpretrain.errors import DamagedError, SettingError
from selfpretrain.explain.conclude import conclude, gather
from selfpretrain.explain.files import read_diagnosis
from selfpretrain.files import (
    DONE,
    fingerprint,
    own_folder,
    read_record,
    remove_half_written,
    to_dict,
    write_atomically,
    write_json,
)
from selfpretrain.registry import ARMS
from selfpretrain.studies.claims import Diagnosed, Finding, Found
from selfpretrain.studies.study import CaseAnswer, StudyAnswer

STUDY, TABLE, ERROR, REPORT = "study.json", "table.csv", "error.txt", "report.html"


def fingerprint_of(request: CompareConfig, task: str) -> str:
    """What a comparison was asked for, with its data."""
    return fingerprint(request, task)


class StudyFolder:
    """A folder, to be read; ``claimed`` also writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def store(self) -> Path:
        """The folder of trainings."""
        return self.path / TRAININGS

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / REPORT

    @property
    def is_study(self) -> bool:
        """Whether a study was begun here."""
        return (self.path / STUDY).exists()

    @property
    def answer(self) -> StudyAnswer:
        """What is known so far.

        Raises:
            DamagedError: nothing is, or not in this version.
        """
        try:
            return read_record(self.path / STUDY, StudyAnswer)
        except DamagedError:
            raise DamagedError(self.path / STUDY, "its study command again mends it") from None

    @property
    def known(self) -> StudyAnswer | None:
        """The same; None where there is none, or a damaged one, for a writer that mends it."""
        try:
            return self.answer if self.is_study else None
        except DamagedError:
            return None

    def case(self, name: str) -> ComparisonFolder:
        """The folder of a comparison."""
        return ComparisonFolder(self.path / name)

    def has_training(self, key: str) -> bool:
        """Whether a training seems to be there; it is checked where it is used."""
        return (self.store / key / DONE).exists()

    def found(self, cases: Sequence[CaseAnswer]) -> dict[str, Finding]:
        """What is known of the comparisons that are finished, to just what the study asks, by name."""
        answers = {}
        for case in cases:
            folder = self.case(case.name)
            try:
                if not folder.is_comparison or not folder.is_finished:
                    continue
                if fingerprint_of(folder.record.request, folder.record.task) == case.request:
                    answers[case.name] = Finding(folder.summary, _diagnosed(folder))
            except DamagedError:  # it has no answer until its comparison mends it
                continue
        return answers

    @contextmanager
    def claimed(self, study: str, profile: str) -> Iterator[None]:
        """Make the folder ours; holds a lock while work is going on.

        Raises:
            RequestError: it holds something else or another study, or somebody is at work there.
        """
        known = self.known
        if known is not None and (known.study, known.profile) != (study, profile):
            reason = f"belongs to the study {known.study}, profile {known.profile}; name another folder"
            raise SettingError("out", self.path, reason)
        if not self.is_study and self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir()):
            raise SettingError("out", self.path, "holds something else; name an empty or a new folder")
        try:
            own_folder(self.path)
        except OSError as error:
            reason = f"cannot be written to ({error.strerror}); name another"
            raise SettingError("out", self.path, reason) from None
        with ComparisonFolder(self.path).locked():
            remove_half_written(self.path)
            yield

    def write(self, answer: StudyAnswer, found: Found) -> None:
        """Write what is known: study.json and table.csv."""
        write_json(self.path / STUDY, to_dict(answer))
        write_atomically(self.path / TABLE, _table(answer, found))

    def write_error(self, case: str, text: str) -> Path:
        """Write down why a comparison has no answer."""
        path = own_folder(self.case(case).path) / ERROR
        write_atomically(path, text)
        return path

    def forget_error(self, case: str) -> None:
        """Before a comparison is tried again."""
        if not (folder := self.case(case).path).is_symlink():
            (folder / ERROR).unlink(missing_ok=True)


def _diagnosed(folder: ComparisonFolder) -> Diagnosed | None:
    """What a diagnosis of the folder's answer found; None if there is none."""
    record = folder.record
    findings = read_diagnosis(folder.path, {name: read_run(folder.runs / name) for name in record.run_names})
    if findings is None:
        return None
    absolute = record.request.model.positions in ABSOLUTE
    evidence = gather(folder.summary, findings.table, absolute_positions=absolute)
    return Diagnosed(evidence, conclude(evidence))


def _table(answer: StudyAnswer, found: Found) -> str:
    """One row a run, in the order of cases, arms and seeds; FLOPs are the mean over an arm's seeds."""
    axes = list(dict.fromkeys(axis for case in answer.cases for axis in case.axes))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("lr", "train_acc", "val_acc", "test_acc", "flops", "seconds")
    writer.writerow(["study", "comparison", *axes, "task", "arm", "seed", *numbers])
    for case in answer.cases:
        if case.name not in found:
            continue
        summary = found[case.name].summary
        for arm, entry in summary.arms.items():
            for seed in ARMS[arm].reported_seeds(len(entry.test_acc)):
                row = (entry.lr, entry.train_acc[seed], entry.val_acc[seed], entry.test_acc[seed])
                spent = (entry.flops_pretrain + entry.flops_label, entry.seconds[seed])
                where = [answer.study, case.name, *(case.axes.get(axis, "") for axis in axes), summary.task.name]
                writer.writerow([*where, arm, seed, *("" if value is None else value for value in (*row, *spent))])
    return text.getvalue()
