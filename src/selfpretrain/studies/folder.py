"""The folder of a study: the only place that knows its files. Readers need no torch.

study.json    the declaration, the claims as far as they are decided, the cases
table.csv     one row a run
<case>/       a folder for each comparison (see ``comparison.folder``), or error.txt in it
trainings/    the store that all of them share
report.html   the page
"""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.errors import DamagedError, SettingError
from selfpretrain.results import StudyAnswer, Summary
from selfpretrain.serial import to_dict
from selfpretrain.storage import own_folder, read_record, write_atomically, write_json

STUDY, TABLE, ERROR, REPORT = "study.json", "table.csv", "error.txt", "report.html"


class StudyFolder:
    """A folder, to be read; ``claimed`` makes it ours."""

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
    def _known(self) -> StudyAnswer | None:
        """The same; None where it is damaged, for a writer that mends it."""
        try:
            return self.answer
        except DamagedError:
            return None

    def case(self, name: str) -> ComparisonFolder:
        """The folder of a comparison."""
        return ComparisonFolder(self.path / name)

    def found(self, names: Iterator[str] | list[str]) -> dict[str, Summary]:
        """The answers of the comparisons that are finished, by name."""
        folders = {name: self.case(name) for name in names}
        return {name: f.summary for name, f in folders.items() if f.is_comparison and f.is_finished}

    def claim(self, study: str, profile: str) -> None:
        """Make the folder ours.

        Raises:
            SettingError: it holds something else, or another study.
        """
        if self.is_study:
            there = self._known
            if there is not None and (there.study, there.profile) != (study, profile):
                said = f"belongs to the study {there.study}, profile {there.profile}; name another folder"
                raise SettingError("out", self.path, said)
        elif self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir()):
            raise SettingError("out", self.path, "holds something else; name an empty or a new folder")
        try:
            own_folder(self.path)
        except OSError as error:
            said = f"cannot be written to ({error.strerror}); name another"
            raise SettingError("out", self.path, said) from None

    def write(self, answer: StudyAnswer, found: Mapping[str, Summary]) -> None:
        """Write what is known: study.json and table.csv."""
        write_json(self.path / STUDY, to_dict(answer))
        write_atomically(self.path / TABLE, _table(answer, found))


def _table(answer: StudyAnswer, found: Mapping[str, Summary]) -> str:
    """One row a run, in the order of cases, arms and seeds."""
    axes = list(dict.fromkeys(axis for case in answer.cases for axis in case.axes))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    numbers = ("lr", "train_acc", "val_acc", "test_acc", "flops", "seconds")
    writer.writerow(["study", "comparison", *axes, "task", "arm", "seed", *numbers])
    for case in answer.cases:
        if case.name not in found:
            continue
        summary = found[case.name]
        for arm, entry in summary.arms.items():
            for seed, test in enumerate(entry.test_acc):
                row = (entry.lr, entry.train_acc[seed], entry.val_acc[seed], test)
                spent = (entry.flops_pretrain + entry.flops_label, entry.seconds[seed])
                where = [answer.study, case.name, *(case.axes.get(axis, "") for axis in axes), summary.task.name]
                writer.writerow([*where, arm, seed, *("" if value is None else value for value in (*row, *spent))])
    return text.getvalue()
