"""Train every arm with every seed, compare them in pairs, and write the answer."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfpretrain.comparison.budget import seconds_of, timed, within
from selfpretrain.comparison.clean import unused
from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.judge import is_clear, judge
from selfpretrain.comparison.perform import perform
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError
from selfpretrain.files import fingerprint, to_dict
from selfpretrain.machine import environment
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
    default: CompareConfig | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
    **settings: Any,
) -> Comparison:
    """Train every arm with every seed, compare them in pairs, and write the answer.

    Trainings that are there are found and not done again, whatever request they were made for. So more seeds, another
    arm or a wider grid go on in the same folder.

    Args:
        task: the sequences; what ``load_task`` takes, or gives.
        config: the request; None is the default.
        out: the folder; None is ``runs/<task>``.
        store: a folder of trainings to share with other comparisons; None keeps them in ``out``.
        budget: a time like 10m or 1h, from which durations, rates and seeds are chosen; None takes the config's.
        default: under a budget, settings that differ from these were asked for and stay; None is ``CompareConfig()``.
        workers: trainings at a time; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        engine: makes what does them: ``LocalEngine`` on this machine, ``RayEngine`` on a cluster.
        watch: gets progress.
        **settings: fields of ``CompareConfig`` that replace the config's.

    Raises:
        RequestError: settings or data that cannot be used, or a folder that belongs to other data.
    """
    begun = time.monotonic()
    if isinstance(settings.get("seeds"), int):
        settings.setdefault("looks", ())  # a number of seeds takes the place of a range
    config = replace(config or CompareConfig(), **settings)
    if budget is not None:
        seconds_of(budget)  # refuses what is no time before anything is read
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")

    task = task if isinstance(task, Task) else load_task(task, workers=workers, watch=watch)
    request = Request.of(task, config)
    folder = ComparisonFolder(Path(out) if out is not None else Path("runs") / task.name)
    asked = None if budget is None else fingerprint(request.config, budget, default or CompareConfig())
    resolved = folder.resolved(asked)
    if budget is None or resolved is not None:
        plan = Plan.of(replace(request, config=resolved or request.config))
    else:
        plan = within(request, budget, default or CompareConfig(), begun=begun, workers=workers, watch=watch)

    with folder.claimed(plan.request.config, task, None if store is None else Path(store), asked):
        folder.write_environment(environment(request.device))
        for text in (*task.notes, *plan.lines):
            watch(Note(text))
        trainings = Store(folder.store, {task.fingerprint: task})
        train = plan.request.config.train
        with engine(trainings, workers=workers, watch=watch, threads=train.threads, device=request.device) as running:
            for look in plan.looks:
                folder.write_request(look.request.config, list(look.tuning))
                performed = perform(look, folder.runs, trainings, running, watch, snapshots=train.snapshots)
                answer = judge(look.request, performed, folder.looks)
                folder.write_answer(answer)
                if is_clear(answer):
                    break
                if look.request.config.seeds < plan.request.config.seeds:
                    seeds = look.request.config.seeds
                    watch(Note(f"after {seeds} seeds it is not clear at p < {answer.level:g}; going on"))
        if folder.record.store == TRAININGS and (left := unused(folder)):
            text = f"{len(left)} trainings and runs here are of other requests"
            watch(Note(f"{text}; selfpretrain clean {folder.path} removes them"))
    return Comparison(folder.path, answer)


def planned(
    task: Task,
    config: CompareConfig,
    *,
    budget: str | None = None,
    default: CompareConfig | None = None,
    workers: int = 1,
) -> Plan:
    """What ``compare`` would do, and how long it would take. Some steps are timed; nothing is written.

    Args:
        task: the sequences.
        config: the request.
        budget, default, workers: as in ``compare``.

    Raises:
        RequestError: settings that cannot be used.
    """
    request = Request.of(task, config)
    if budget is None:
        return timed(request, workers=workers, watch=ignore)
    begun = time.monotonic()
    return within(request, budget, default or CompareConfig(), begun=begun, workers=workers, watch=ignore)
