"""Train every arm with every seed, compare them in pairs, and write the answer."""

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from selfpretrain.comparison.budget import CHOSEN, differing, timed, within
from selfpretrain.comparison.clean import unused
from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.judge import is_clear, judge
from selfpretrain.comparison.perform import perform
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import CompareConfig, TaskConfig, seconds_of
from selfpretrain.data.check import checked
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine, require_guard
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.files import fingerprint, from_dict, to_dict
from selfpretrain.machine import environment
from selfpretrain.presets import preset_of
from selfpretrain.registry import PRESETS
from selfpretrain.train.store import Store
from selfpretrain.watch import Note, Watch, ignore


@dataclass(frozen=True)
class Comparison:
    """A finished comparison: its folder and its answer."""

    folder: Path
    answer: Summary

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return to_dict(self.answer)


def compare(
    task: Task | TaskConfig | str | Path = "proximity",
    config: CompareConfig | None = None,
    *,
    out: Path | str | None = None,
    store: Path | str | None = None,
    budget: str | None = None,
    keep: Collection[str] | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
    **settings: Any,
) -> Comparison:
    """Train every arm with every seed, compare them in pairs, and write the answer.

    Existing trainings are reused, whichever request created them. A later call with more seeds, another arm or a larger
    grid trains only what is missing.

    Args:
        task: a ``Task``, or anything that ``load_task`` accepts.
        config: the request; None is the preset ``standard``, and for a built-in task its own preset.
        out: the folder; None is ``runs/<task>``.
        store: a folder of trainings to share with other comparisons; None keeps them in ``out``.
        budget: a time like 10m or 1h, from which durations, rates and seeds are chosen; None takes the config's.
        keep: names of settings that the budget must not change, of seeds, train.lr, pretrain.duration,
            label.duration and model.patch; None: those that differ from their default, or from the preset where
            ``config`` is None, and seeds if it is among ``settings``.
        workers: trainings at a time; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        engine: class of the engine that runs them: ``LocalEngine`` on this machine, ``RayEngine`` on a cluster.
        watch: gets progress.
        **settings: fields of ``CompareConfig`` that replace the config's.

    Raises:
        RequestError: settings or data that cannot be used, or a folder that belongs to other data.
    """
    begun = time.monotonic()
    if isinstance(settings.get("seeds"), int):
        settings.setdefault("looks", ())  # a number of seeds takes the place of a range
    known = [field.name for field in fields(CompareConfig)]
    for name in (name for name in settings if name not in known):
        raise SettingError(name, settings[name], f"is no setting of compare; they are {', '.join(known)}")
    usual = CompareConfig() if config is not None else PRESETS[preset_of(_data(task))].config
    config = replace(config or usual, **settings)
    config = from_dict(CompareConfig, to_dict(config))  # of the right types, before anything is written
    if keep is None:
        keep = differing(config, usual) | ({"seeds"} & settings.keys())
    if budget is not None:
        seconds_of(budget)  # refuses what is no time before anything is read
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")
    if workers > 1 and engine is LocalEngine:
        require_guard()  # before a folder is made

    task = task if isinstance(task, Task) else load_task(task, workers=workers, watch=watch)
    folder = _folder(out, task)
    folder.refuse_others(task)  # before steps are timed
    plan, asked = _plan(Request.of(task, config), folder, budget, keep, begun=begun, workers=workers, watch=watch)
    if plan.seconds is None and watch is not ignore and plan.is_long and not folder.is_comparison:
        plan = timed(plan, workers=workers, watch=watch)
    request = plan.request
    shared = None if store is None else Path(store)
    with folder.claimed(request.config, task, shared, asked, plan.shortened):
        folder.write_environment(environment(request.device))
        for text in (*task.notes, *plan.lines):
            watch(Note(text))
        if task.data is not None and not task.checks:
            watch(Note("checking the data"))
            task = checked(task)
            plan = replace(plan, request=replace(request, task=task))
            for check in task.checks:
                if check.cure:
                    watch(Note(f"{check.what}: {check.result}. {check.cure}"))
        trainings = Store(folder.store, plan.tasks)
        train = request.config.train
        with engine(trainings, workers=workers, watch=watch, threads=train.threads, device=request.device) as running:
            for seeds in request.config.seeds_at_looks:
                look = plan.at(seeds)
                folder.write_request(look.request.config)
                performed = perform(look, folder.runs, trainings, running, watch, snapshots=train.snapshots)
                if look.deadline is not None and performed.n_seeds != seeds:
                    watch(Note(f"the budget was enough for {performed.n_seeds} seeds; {seeds} were planned"))
                    look = look.at(performed.n_seeds)
                    folder.write_request(look.request.config)
                answer = judge(look.request, performed, folder.looks_taken, plan.shortened)
                folder.write_answer(answer)
                if is_clear(answer):
                    break
                if seeds < request.config.seeds:
                    watch(Note(f"after {seeds} seeds it is not clear at p < {answer.level:g}; going on"))
        with suppress(DamagedError):  # of an earlier diagnosis, say: the comparison is done
            if folder.record.store == TRAININGS and (left := unused(folder)):
                text = f"{len(left)} trainings and runs here are of other requests"
                watch(Note(f"{text}; selfpretrain clean {folder.path} removes them"))
    return Comparison(folder.path, answer)


def planned(
    task: Task,
    config: CompareConfig,
    *,
    out: Path | str | None = None,
    budget: str | None = None,
    keep: Collection[str] | None = None,
    workers: int = 1,
) -> Plan:
    """What ``compare`` would do with these arguments, and how long it would take; nothing is written.

    Raises:
        RequestError: settings that cannot be used.
    """
    keep = differing(config, CompareConfig()) if keep is None else keep
    how: dict[str, Any] = {"workers": workers, "watch": ignore}
    folder = _folder(out, task)
    folder.refuse_others(task)
    plan, _ = _plan(Request.of(task, config), folder, budget, keep, begun=time.monotonic(), **how)
    return plan if plan.seconds is not None else timed(plan, **how)


def _data(task: Task | TaskConfig | str | Path) -> str:
    """What was named as the data; nothing for a task that was made from arrays."""
    source = task.source if isinstance(task, Task) else task
    return "" if source is None else str(source.data if isinstance(source, TaskConfig) else source)


def _folder(out: Path | str | None, task: Task) -> ComparisonFolder:
    return ComparisonFolder(Path(out) if out is not None else Path("runs") / task.name)


def _plan(
    request: Request, folder: ComparisonFolder, budget: str | None, keep: Collection[str], **how: Any
) -> tuple[Plan, str | None]:
    """The plan and, with a budget, a fingerprint of the command.

    The same command later goes on with the same plan, with more seeds or another arm, too.
    """
    if budget is None:
        return Plan.of(request), None
    config = request.config
    kept = sorted(set(keep) & set(CHOSEN) - {"seeds"})
    timeless = replace(config, seeds=1, looks=(), arms=("scratch",))
    asked = fingerprint(timeless, budget, kept, request.task.fingerprint)
    record = folder.resolved(asked)
    if record is None:
        return within(request, budget, keep, **how), asked
    known = record.request
    seeds, looks = known.seeds_at_looks[-1], known.looks
    if "seeds" in keep or config.looks:
        seeds, looks = config.seeds, config.looks
    plan = Plan.of(replace(request, config=replace(known, arms=config.arms, seeds=seeds, looks=looks)))
    return replace(plan, shortened=record.shortened), asked
