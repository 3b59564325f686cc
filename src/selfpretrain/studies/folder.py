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
from typing import TYPE_CHECKING

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.run import read_run
from selfpretrain.config import ABSOLUTE
from selfpretrain.errors import DamagedError, SettingError
from selfpretrain.explain.files import read_diagnosis
from selfpretrain.files import (
    fingerprint,
    locked,
    own_folder,
    read_record,
    remove_half_written,
    to_dict,
    write_atomically,
    write_json,
)
from selfpretrain.registry import ARMS
from selfpretrain.studies.claims import CaseResult, Curve, Results
from selfpretrain.studies.study import COLUMNS, CaseAnswer, StudyAnswer

if TYPE_CHECKING:
    from selfpretrain.explain.conclude import Evidence

TRACEBACK = b"Traceback (most recent call last)"
STUDY, TABLE, ERROR, REPORT = "study.json", "table.csv", "error.txt", "report.html"


class StudyFolder:
    """A folder, to be read; it is written to only while it is ``claimed``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def store(self) -> Path:
        return self.path / TRAININGS

    @property
    def report(self) -> Path:
        return self.path / REPORT

    @property
    def is_study(self) -> bool:
        """Whether a study was begun here."""
        return (self.path / STUDY).exists()

    @property
    def answer(self) -> StudyAnswer:
        """The answer so far.

        Raises:
            DamagedError: there is none, or none of this version.
        """
        try:
            return read_record(self.path / STUDY, StudyAnswer)
        except DamagedError:
            raise DamagedError(self.path / STUDY, "its study command again mends it") from None

    @property
    def known(self) -> StudyAnswer | None:
        """The same; None where there is none, or a damaged one, which a writer will replace."""
        try:
            return self.answer if self.is_study else None
        except DamagedError:
            return None

    def case(self, name: str) -> ComparisonFolder:
        return ComparisonFolder(self.path / name)

    def results(self, cases: Sequence[CaseAnswer]) -> dict[str, CaseResult]:
        """Results of the finished comparisons, by name; answers to another request do not count."""
        results = {}
        for case in cases:
            folder = self.case(case.name)
            try:
                if not folder.is_comparison or not folder.is_finished:
                    continue
                record = folder.record
                if fingerprint(record.request, record.task) == case.request:
                    results[case.name] = CaseResult(folder.summary, _evidence(folder), _curves(folder))
            except DamagedError:  # it has no answer until its comparison mends it
                continue
        return results

    @contextmanager
    def claimed(self, study: str, profile: str) -> Iterator[None]:
        """Take the folder for a study, and keep others out until the end.

        Raises:
            RequestError: it holds something else or another study, or somebody is at work there.
        """
        known = self.known
        if known is not None and (known.study, known.profile) != (study, profile):
            reason = f"belongs to the study {known.study}, profile {known.profile}; name another folder"
            raise SettingError("out", self.path, reason)
        is_ours = known is not None or (self.is_study and self.store.is_dir())  # damaged
        if not is_ours and self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir()):
            raise SettingError("out", self.path, "holds something else; name an empty or a new folder")
        try:
            own_folder(self.path)
        except OSError as error:
            reason = f"cannot be written to ({error.strerror}); name another"
            raise SettingError("out", self.path, reason) from None
        with locked(self.path):
            remove_half_written(self.path)
            yield

    def write(self, answer: StudyAnswer, results: Results) -> None:
        """Write study.json and table.csv."""
        write_json(self.path / STUDY, to_dict(answer))
        write_atomically(self.path / TABLE, _table(answer, results))

    def write_error(self, case: str, text: str) -> Path:
        """Write down why a comparison has failed."""
        path = own_folder(self.case(case).path) / ERROR
        write_atomically(path, text)
        return path

    def forget_error(self, case: str) -> None:
        """Remove what an earlier try has left; a file of that name that is no traceback is somebody's own."""
        path = self.case(case).path / ERROR
        if not path.parent.is_symlink() and path.is_file() and path.read_bytes().startswith(TRACEBACK):
            path.unlink()


def _curves(folder: ComparisonFolder) -> dict[str, list[Curve]]:
    """Of each arm, by seed, the validations of label training; an empty curve where there are none."""
    curves: dict[str, list[Curve]] = {}
    for name in folder.record.run_names:
        run = read_run(folder.runs / name)
        curves.setdefault(run.record.arm, []).append([(row["step"], row["val_acc"]) for row in run.phase("label")])
    return curves


def _evidence(folder: ComparisonFolder) -> "Evidence | None":
    """What a diagnosis of this comparison has measured; None if there is none."""
    record = folder.record
    findings = read_diagnosis(folder.path, {name: read_run(folder.runs / name) for name in record.run_names})
    if findings is None:
        return None
    from selfpretrain.explain.conclude import gather  # here, so that other reports do not wait for pandas

    absolute = record.request.model.positions in ABSOLUTE
    return gather(folder.summary, findings.table, absolute_positions=absolute)


def _table(answer: StudyAnswer, results: Results) -> str:
    """One row a run, in the order of cases, arms and seeds; FLOPs are the mean over an arm's seeds."""
    axes = dict.fromkeys(axis for case in answer.cases for axis in case.axes)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS[:2], *axes, *COLUMNS[2:]], lineterminator="\n")
    writer.writeheader()
    for case in answer.cases:
        if case.name not in results:
            continue
        summary = results[case.name].summary
        for arm, entry in summary.arms.items():
            for seed in ARMS[arm].reported_seeds(len(entry.test_acc)):
                row = {
                    **case.axes,
                    "study": answer.study,
                    "comparison": case.name,
                    "task": summary.task.name,
                    "arm": arm,
                    "seed": seed,
                    "flops": entry.flops_pretrain + entry.flops_label,
                    **{
                        name: getattr(entry, name)[seed]
                        for name in ("lr", "train_acc", "val_acc", "test_acc", "seconds")
                    },
                }
                writer.writerow(row)
    return text.getvalue()
