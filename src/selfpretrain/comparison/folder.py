"""The folder of a comparison: the only place that knows its files. One writer at a time; readers need no torch.

config.json        the latest request, and the data it was made for
environment.json   versions, device, command, commit
splits.csv         the split of each row of the data, by its number from 0
summary.json       the answer
best/              the model that it recommends (see ``classifier``)
average/           the mean of its arm's seeds, where that is better on validation
runs/              a folder for each arm and seed (see ``run``)
trainings/         the store of trainings (see ``train.store``), unless another one is shared
transplants/       the runs of the causal test, and which trainings they may use
diagnosis/         what ``diagnose`` measured and concluded
report.html        the page
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfpretrain.comparison.card import CARD, card_of
from selfpretrain.comparison.run import MODEL, RESULT, RunRecord, run_name
from selfpretrain.comparison.summary import Look, Recommendation, Shortened, Summary
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.data.task import Task
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.files import (
    Sealed,
    fingerprint,
    is_sealed,
    locked,
    own_folder,
    read_json,
    read_record,
    remove_half_written,
    require_own,
    seal,
    to_dict,
    unseal,
    write_atomically,
    write_json,
)
from selfpretrain.registry import ARMS

CONFIG, ENVIRONMENT, SPLITS, SUMMARY = "config.json", "environment.json", "splits.csv", "summary.json"
TRAININGS = "trainings"
USED = "trainings.json"
"""In the folder of transplants: keys of the trainings that they may use."""


@dataclass(frozen=True, kw_only=True)
class FolderRecord:
    """What a folder was asked for.

    Attributes:
        task: fingerprint of the data.
        source: where they came from; None from Python.
        store: the folder of trainings, relative to the comparison's.
        asked: fingerprint of the command under a budget whose resolved request this is; None without a budget.
        shortened: what that budget made of the preset's steps.
    """

    request: CompareConfig
    task: str
    source: TaskConfig | None
    store: str = TRAININGS
    asked: str | None = None
    shortened: Shortened | None = None

    @property
    def run_names(self) -> list[str]:
        config = self.request
        return [run_name(arm, seed) for arm in config.arms for seed in ARMS[arm].reported_seeds(config.seeds)]


class ComparisonFolder:
    """A folder, to be read; ``claimed`` also writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs, self.transplants, self.report = path / "runs", path / "transplants", path / "report.html"
        self.best, self.average = path / "best", path / "average"

    @property
    def is_comparison(self) -> bool:
        """Whether something was compared here, finished or not. (Runs and models have a config.json, too.)"""
        is_other = is_sealed(self.path) or (self.path / RESULT).exists()
        return (self.path / CONFIG).exists() and not is_other

    @property
    def is_finished(self) -> bool:
        """Whether the latest request has been answered."""
        asked = fingerprint(self.record.request)
        try:
            return self.summary.request == asked
        except DamagedError:
            return False

    @property
    def record(self) -> FolderRecord:
        return read_record(self.path / CONFIG, FolderRecord)

    @property
    def store(self) -> Path:
        return self.path / self.record.store

    @property
    def summary(self) -> Summary:
        return read_record(self.path / SUMMARY, Summary)

    @property
    def environment(self) -> dict[str, Any]:
        content = read_json(self.path / ENVIRONMENT)
        if not isinstance(content, dict):
            raise DamagedError(self.path / ENVIRONMENT)
        return content

    @contextmanager
    def claimed(
        self,
        config: CompareConfig,
        task: Task,
        store: Path | None,
        asked: str | None,
        shortened: Shortened | None = None,
    ) -> Iterator[None]:
        """Make the folder ours for a request; holds a lock while work is going on.

        Args:
            store: a shared folder of trainings; None: the folder's own.
            asked, shortened: see ``FolderRecord``.

        Raises:
            RequestError: it holds something else, or other data, or somebody is at work there.
        """
        shared = TRAININGS if store is None else self._relative(store)
        self.refuse_others(task)
        try:
            own_folder(self.path)
        except OSError as error:
            raise self._unwritable(error) from None
        with locked(self.path):
            self.refuse_others(task)
            for folder in (self.path / shared, self.runs, self.best, self.average):
                require_own(folder)  # before anything is written
            remove_half_written(self.path)
            record = FolderRecord(
                request=config,
                task=task.fingerprint,
                source=task.source,
                store=shared,
                asked=asked,
                shortened=shortened,
            )
            write_json(self.path / CONFIG, to_dict(record))  # first: it says whose folder this is
            remove_half_written(own_folder(self.runs))
            write_atomically(self.path / SPLITS, _splits(task))
            yield

    def _relative(self, store: Path) -> str:
        """A shared store as seen from here; absolute where there is no way from here to there."""
        owner = ComparisonFolder(store.parent)
        if owner.is_comparison and owner.path.resolve() != self.path.resolve():
            reason = f"belongs to the comparison {owner.path}; name a folder beside the comparisons"
            raise SettingError("store", store, reason)
        try:
            return os.path.relpath(store.resolve(), self.path.resolve())
        except ValueError:  # another drive
            return str(store.resolve())

    def _unwritable(self, error: OSError) -> SettingError:
        return SettingError("out", self.path, f"cannot be written to ({error.strerror}); name another")

    def refuse_others(self, task: Task) -> None:
        """Refuse a folder that holds something else than a comparison of this task.

        Raises:
            SettingError: it does, or cannot be looked into.
        """
        try:
            # Hidden files may be what is left of a start that was killed.
            is_taken = self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir())
        except OSError as error:
            raise self._unwritable(error) from None
        if is_taken and not self.is_comparison:
            raise SettingError("out", self.path, "holds something else; name an empty or a new folder")
        if not self.is_comparison:
            return
        try:
            record = self.record
        except DamagedError:
            if self._tasks_of_runs == {task.fingerprint}:
                return  # it is written anew
            reason = "has a config.json that is damaged, or is no comparison of this version; name another folder"
            raise SettingError("out", self.path, reason) from None
        if record.task != task.fingerprint:
            difference = _difference(record.source, task.source)
            reason = f"holds a comparison of other data, or of these read otherwise ({difference}); name another folder"
            raise SettingError("out", self.path, reason)

    @property
    def _tasks_of_runs(self) -> set[str]:
        """Fingerprints of the data of the runs that are here."""
        fingerprints = set()
        for path in self.runs.glob(f"*/{CONFIG}"):
            with suppress(DamagedError):
                fingerprints.add(read_record(path, RunRecord).task)
        return fingerprints

    def resolved(self, asked: str) -> FolderRecord | None:
        """The record, if it is what a command under this budget was resolved to; else None."""
        try:
            record = self.record
        except RequestError:  # nothing is there, or it is refused where the folder is claimed
            return None
        return record if record.asked == asked else None

    @property
    def looks_taken(self) -> Mapping[str, tuple[Look, ...]]:
        """The looks at answers here, by question."""
        try:
            return self.summary.looks
        except RequestError:  # nothing was answered here, or it is damaged
            return {}

    def write_request(self, config: CompareConfig) -> None:
        """Write what is done now."""
        write_json(self.path / CONFIG, to_dict(replace(self.record, request=config)))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        write_json(self.path / ENVIRONMENT, environment)

    def write_answer(self, summary: Summary) -> None:
        """Write the model that the answer recommends, and the answer; from now on it is finished."""
        use = summary.recommended
        source = self.record.source
        is_asked = source is not None and source.train_on_test  # for this very model, whatever it has learnt
        is_kept = use is not None and use.saved and (use.learnt or is_asked)
        model = Sealed(self.runs / run_name(use.arm, use.seed) / MODEL) if use is not None and is_kept else None
        unseal(own_folder(self.best), () if model is None else (*model.names, CARD))
        if model is not None:
            for name in model.names:
                write_atomically(self.best / name, model.read(name))
            write_atomically(self.best / CARD, card_of(summary, is_tested=not is_asked))
            seal(self.best, (*model.names, CARD))
        self._write_average(use if is_kept else None, summary, is_asked=is_asked)
        write_json(self.path / SUMMARY, to_dict(summary))

    def _write_average(self, use: Recommendation | None, summary: Summary, *, is_asked: bool) -> None:
        """Write the mean of the recommended arm's seeds, if it is offered."""
        if use is None or use.average_val is None or use.choice:
            if self.average.exists():  # of an earlier answer
                unseal(self.average, ())
            return
        from selfpretrain.classifier import FILES, load_model, save_model
        from selfpretrain.model.average import Average
        from selfpretrain.model.transformer import SequenceModel

        seeds = [seed for seed, acc in enumerate(summary.arms[use.arm].test_acc) if acc is not None]
        members = [load_model(self.runs / run_name(use.arm, seed) / MODEL) for seed in seeds]
        networks = [member.model for member in members if isinstance(member.model, SequenceModel)]
        unseal(own_folder(self.average), (*FILES, CARD))
        save_model(self.average, Average(networks), members[0].codec)
        write_atomically(self.average / CARD, card_of(summary, averaged=True, is_tested=not is_asked))
        seal(self.average, (*Sealed(self.average).names, CARD))

    def write_transplants(self, trainings: Iterable[str]) -> None:
        """Write down which trainings the transplants may use, before the first of them is made."""
        known: list[str] = []
        with suppress(DamagedError):
            known = self._for_transplants
        write_json(own_folder(self.transplants) / USED, sorted({*known, *trainings}))

    @property
    def _for_transplants(self) -> list[str]:
        path = self.transplants / USED
        keys = None
        with suppress(DamagedError):
            keys = read_json(path) if path.exists() else []
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise DamagedError(path, "its diagnose command again mends it")
        return keys

    @property
    def used(self) -> set[str]:
        """Keys of the trainings that the latest request and its diagnosis use."""
        record = self.record
        runs = [read_record(self.runs / name / CONFIG, RunRecord) for name in record.run_names]
        parts = (part.key for run in runs if run.training is not None for part in run.training.chain)
        return {*self._for_transplants, *parts, *(key for run in runs for key in run.trials)}


def _splits(task: Task) -> str:
    """Which row is in which split, as CSV. Rows that are left out have no line."""
    splits = {"train": task.train, "val": task.val, "test": task.test, "unlabelled": task.unlabelled}
    rows = [(number, name) for name, split in splits.items() if split is not None for number in split.numbers.tolist()]
    return "".join(f"{row},{name}\n" for row, name in [("row", "split"), *sorted(rows)])


def _difference(before: TaskConfig | None, now: TaskConfig | None) -> str:
    """The first setting in which two sources of data differ, in words."""
    if before is not None and now is not None:
        old, new = to_dict(before), to_dict(now)
        old, new = old | old.pop("options"), new | new.pop("options")
        for name in old | new:
            if old.get(name) != new.get(name):
                there, here = ("none" if value is None else value for value in (old.get(name), new.get(name)))
                return f"{name} {there} there, {here} here"
    return "the data have changed"
