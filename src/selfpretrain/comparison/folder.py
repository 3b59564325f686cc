"""The folder of a comparison: the only place that knows its files. One writer at a time; readers need no torch.

config.json        the latest request, and the data it was made for
environment.json   versions, device, command, commit
summary.json       the answer
runs/              a folder for each arm and seed (see ``runs``)
trainings/         the store of trainings (see ``training.store``), unless another one is shared
uses.json          which trainings the latest request and its diagnosis use
transplants/       the runs of the causal test
diagnosis/         what ``diagnose`` measured and concluded
report.html        the page
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from selfpretrain.arms.registry import reported_seeds
from selfpretrain.comparison.runs import RESULT, Run, run_name
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.results import Look, Summary
from selfpretrain.serial import fingerprint, to_dict
from selfpretrain.storage import own_folder, read_json, read_record, remove_half_written, write_json

CONFIG, ENVIRONMENT, SUMMARY, USES = "config.json", "environment.json", "summary.json", "uses.json"
TRAININGS = "trainings"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a folder was asked for.

    Attributes:
        task: fingerprint of the data.
        source: where they came from; None from Python.
        store: the folder of trainings, relative to the comparison's.
        asked: fingerprint of the command under a budget whose resolved request this is; None without a budget.
    """

    request: CompareConfig
    task: str
    source: TaskConfig | None
    store: str = TRAININGS
    asked: str | None = None

    @property
    def question(self) -> str:
        """Fingerprint of everything but how many seeds and which arms: what several looks have in common."""
        default = CompareConfig()
        same = replace(self.request, seeds=default.seeds, looks=default.looks, arms=default.arms)
        return fingerprint(self.task, same)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Arm and seed of its runs."""
        return [(arm, k) for arm in self.request.arms for k in reported_seeds(arm, self.request.seeds)]

    @property
    def run_names(self) -> list[str]:
        """Names of its runs."""
        return [run_name(arm, seed) for arm, seed in self.runs]


@dataclass(frozen=True, kw_only=True)
class Uses:
    """Keys of the trainings that are used, and the fingerprint of the request that was answered last."""

    request: str = ""
    comparison: tuple[str, ...] = ()
    transplants: tuple[str, ...] = ()


class ComparisonFolder:
    """A folder, to be read; ``claimed`` also writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.path / "runs"

    @property
    def transplants(self) -> Path:
        """The folder of the causal test's runs."""
        return self.path / "transplants"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def is_comparison(self) -> bool:
        """Whether something was compared here, finished or not. (A run has a config.json, too, and a result.)"""
        return (self.path / CONFIG).exists() and not (self.path / RESULT).exists()

    @property
    def is_finished(self) -> bool:
        """Whether the latest request has been answered."""
        return (self.path / SUMMARY).exists() and self.uses.request == fingerprint(self.request.request)

    @property
    def request(self) -> Request:
        """The latest request."""
        return read_record(self.path / CONFIG, Request)

    @property
    def store(self) -> Path:
        """The folder of trainings."""
        return self.path / self.request.store

    @property
    def summary(self) -> Summary:
        """The answer."""
        return read_record(self.path / SUMMARY, Summary)

    @property
    def environment(self) -> dict[str, Any]:
        """What it ran on."""
        content = read_json(self.path / ENVIRONMENT)
        if not isinstance(content, dict):
            raise DamagedError(self.path / ENVIRONMENT)
        return content

    @property
    def uses(self) -> Uses:
        """Which trainings are used; none where nobody has said so yet."""
        return read_record(self.path / USES, Uses) if (self.path / USES).exists() else Uses()

    def run(self, arm: str, seed: int) -> Run:
        """A finished run.

        Raises:
            DamagedError: it is not finished, or damaged.
        """
        return Run(self.runs / run_name(arm, seed))

    def runs_of(self, config: CompareConfig) -> dict[str, list[Run]]:
        """Every run of a request: of each arm, by seed; the one run of a classical model stands for every seed."""
        last = {arm: reported_seeds(arm, config.seeds)[-1] for arm in config.arms}
        return {arm: [self.run(arm, min(k, last[arm])) for k in range(config.seeds)] for arm in config.arms}

    @contextmanager
    def claimed(self, config: CompareConfig, task: Any, store: Path | None, asked: str | None = None) -> Iterator[None]:
        """Make the folder ours for a request; holds a lock while work is going on.

        Args:
            asked: of a request that was resolved here before (see ``Request``); a kill must not lose it.

        Raises:
            RequestError: it holds something else, or other data, or somebody is at work there.
        """
        wanted = Request(
            request=config,
            task=task.fingerprint,
            source=task.source,
            store=TRAININGS if store is None else self._relative(store),
            asked=asked,
        )
        try:
            self._make()
        except OSError as error:
            said = f"cannot be written to ({error.strerror}); name another"
            raise SettingError("out", self.path, said) from None
        with self.locked():
            if self.is_comparison:
                self._check_data(wanted)
            for folder in (self.path, self.runs):
                remove_half_written(own_folder(folder))
            if (self.path / USES).exists():  # until it is answered, the folder is of no finished request
                write_json(self.path / USES, to_dict(replace(self._known_uses, request="")))
            write_json(self.path / CONFIG, to_dict(wanted))
            yield

    def _relative(self, store: Path) -> str:
        """A shared store as seen from here; absolute where there is no way from here to there."""
        owner = ComparisonFolder(store.parent)
        if owner.is_comparison and owner.path.resolve() != self.path.resolve():
            said = f"belongs to the comparison {owner.path}; name a folder beside the comparisons"
            raise SettingError("store", store, said)
        try:
            return os.path.relpath(store.resolve(), self.path.resolve())
        except ValueError:  # another drive
            return str(store.resolve())

    def _make(self) -> None:
        # Hidden files may be what is left of a start that was killed.
        others = self.path.is_dir() and any(path.name[0] != "." for path in self.path.iterdir())
        if others and not self.is_comparison:
            raise SettingError("out", self.path, "holds something else; name an empty or a new folder")
        own_folder(self.path)

    def _check_data(self, asked: Request) -> None:
        try:
            there = self.request
        except DamagedError:
            said = "has a config.json that is damaged, or is no comparison of this version; name another folder"
            raise SettingError("out", self.path, said) from None
        if there.task != asked.task:
            said = f"belongs to other data ({_difference(there, asked)}); name another folder, or delete this one"
            raise SettingError("out", self.path, said)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out.

        Raises:
            RequestError: somebody is at work there.
        """
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise RequestError(f"{self.path}: another selfpretrain is at work there; wait for it") from None
        try:
            yield
        finally:
            lock.release()

    def resolved(self, asked: str | None) -> CompareConfig | None:
        """What a command under a budget was resolved to here; None if it was not, or there is no budget."""
        try:
            there = self.request if asked is not None and self.is_comparison else None
        except RequestError:  # refused where the folder is claimed
            return None
        return there.request.stages[-1] if there is not None and there.asked == asked else None

    def write_request(self, config: CompareConfig, asked: str | None) -> None:
        """Write the resolved request."""
        write_json(self.path / CONFIG, to_dict(replace(self.request, request=config, asked=asked)))

    @property
    def looks(self) -> Mapping[str, tuple[Look, ...]]:
        """The looks at answers here, by question."""
        try:
            return self.summary.looks
        except RequestError:  # nothing was answered here, or it is damaged
            return {}

    def write_environment(self, environment: dict[str, Any]) -> None:
        """Write environment.json."""
        write_json(self.path / ENVIRONMENT, environment)

    @property
    def _known_uses(self) -> Uses:
        """The uses, or none where they are damaged, for a writer that mends them."""
        try:
            return self.uses
        except DamagedError:
            return Uses()

    def write_answer(self, summary: Summary, used: Sequence[str]) -> None:
        """Write the answer to the request, and which trainings it rests on; from now on it is finished."""
        write_json(self.path / SUMMARY, to_dict(summary))
        uses = replace(self._known_uses, request=fingerprint(self.request.request), comparison=tuple(used))
        write_json(self.path / USES, to_dict(uses))

    def write_transplants(self, used: Sequence[str]) -> None:
        """Write down which trainings the transplants rest on."""
        write_json(self.path / USES, to_dict(replace(self._known_uses, transplants=tuple(used))))


def _difference(there: Request, here: Request) -> str:
    """The first setting in which two sources of data differ, in words."""
    if there.source is not None and here.source is not None:
        old, new = to_dict(there.source), to_dict(here.source)
        old, new = old | old.pop("options"), new | new.pop("options")
        for name in old | new:
            if old.get(name) != new.get(name):
                return f"{name} is {old.get(name)!r} there and {new.get(name)!r} here"
    return "the data have changed"
