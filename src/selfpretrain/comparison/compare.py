"""Train every arm with every seed, compare them in pairs, and write the answer."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfpretrain.arms.arm import Setting
from selfpretrain.arms.registry import arm_named, expanded
from selfpretrain.arms.tuning import Candidate, tune_and_train
from selfpretrain.comparison.cleaning import unused
from selfpretrain.comparison.evaluation import EvaluateJob
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.planning import candidates, plan_of, seconds_of, within
from selfpretrain.comparison.runs import RunRecord
from selfpretrain.comparison.summary import is_clear, summarise
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Watch, ignore
from selfpretrain.machine import environment
from selfpretrain.results import Summary
from selfpretrain.serial import fingerprint, to_dict
from selfpretrain.tasks.load import load_task
from selfpretrain.tasks.task import Task
from selfpretrain.training.laboratory import Laboratory
from selfpretrain.training.perform import Workshop
from selfpretrain.training.store import Store
from selfpretrain.training.training import Training


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
    if isinstance(settings.get("seeds"), int):  # a number of seeds takes the place of a range
        settings.setdefault("looks", ())
    config = dataclasses.replace(config or CompareConfig(), **settings).stages[-1]
    config = dataclasses.replace(config, arms=expanded(config.arms))
    arms = [arm_named(name) for name in config.arms]
    if budget is not None:
        seconds_of(budget)  # refuses what is no time before anything is read
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")
    task = task if isinstance(task, Task) else load_task(task, workers=workers, watch=watch)
    folder = ComparisonFolder(Path(out) if out is not None else Path("runs") / task.name)
    asked = None if budget is None else fingerprint(config, budget)
    resolved = folder.resolved(asked)
    config = resolved or config
    setting = Setting(config, task)
    for arm in arms:  # an arm that cannot do this refuses before anything is written
        if arm.train is not None:
            arm.train(setting, 0, config.train.lr[0])
        if arm.obstacle is not None and (why := arm.obstacle(task)) is not None:
            raise RequestError(f"the arm {arm.name} {why}")
    with folder.claimed(config, task, None if store is None else Path(store), None if resolved is None else asked):
        folder.write_environment(environment(setting.device))
        for text in task.notes:
            watch(Note(text))
        shop = Workshop({task.fingerprint: task}, Store(folder.store))

        def evaluate(candidate: Candidate, seed: int, training: Training | None) -> tuple[str, EvaluateJob]:
            record = RunRecord(arm=candidate.name, seed=seed, task=task.fingerprint, training=training)
            path = folder.runs / record.name
            return f"{record.name} test", EvaluateJob(path, record, arm_named(candidate.name).fit)

        if budget is not None and resolved is None:
            watch(Note(f"timing some steps, to fit {budget}"))
            for candidate in candidates(setting):
                if candidate.train is None:  # nobody can say how long it takes, so it comes first
                    evaluate(candidate, 0, None)[1].perform(shop, watch, lambda: False)
            ground = default or CompareConfig()
            plan = within(task, config, ground, budget, begun=begun, workers=workers, watch=watch)
            config = plan.config
            setting = Setting(config, task)
            folder.write_request(config, asked)
        else:
            plan = plan_of(task, config)
        for line in plan.lines:
            watch(Note(line))
        with Laboratory(
            shop, settings=config.train, device=setting.device, workers=workers, engine=engine, watch=watch
        ) as laboratory:
            for stage in config.stages:
                folder.write_request(stage, asked)
                tuned = tune_and_train(
                    laboratory,
                    candidates(Setting(stage, task)),
                    settings=config.train,
                    n_val=len(task.val),
                    snapshots=config.train.snapshots,
                    evaluate=evaluate,
                    watch=watch,
                )
                runs, question = folder.runs_of(stage), folder.request.question
                answer = summarise(stage, task.describe(), task.test.y, runs, tuned, folder.looks, question)
                folder.write_answer(answer, laboratory.used)
                if is_clear(answer):
                    break
                if stage != config.stages[-1]:
                    watch(Note(f"after {stage.seeds} seeds it is not clear at p < {answer.level:g}; going on"))
        if store is None and (left := unused(folder)):
            said = f"{len(left)} trainings and runs here are of other requests"
            watch(Note(f"{said}; selfpretrain clean {folder.path} removes them"))
    return Comparison(folder.path, answer)
