"""How long trainings take on this machine: some steps of each sort, timed in as many processes as will work."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.files import fingerprint
from selfpretrain.machine import threads
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.objectives import label_metrics
from selfpretrain.train.training import Training
from selfpretrain.train.work import prepared
from selfpretrain.watch import Watch

WARM_STEPS, MIN_STEPS, TIMED_SECONDS = 3, 5, 2.0
"""Steps before timing starts, the fewest that are timed, and for how long (ours)."""
TIMED_ROWS = 128
"""Rows of a split on which validation is timed (ours)."""
FIXED_SECONDS = 0.15
"""Time that every training takes for its folder and files (ours, a guess)."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one sort of training.

    Attributes:
        step: one optimiser step.
        validation: one validation.
        sequence: one sequence of a whole split, when the selected checkpoint is evaluated.
    """

    step: float
    validation: float
    sequence: float

    def seconds(self, training: Training, task: Task, done: int = 0) -> float:
        """Of a whole training, or of what is left after its first steps."""
        plan, steps = training.plan, training.plan.steps - done
        evaluated = 0 if training.phase == "pretrain" else len(task.train)
        validations = -(-steps // plan.evaluate_every)
        return FIXED_SECONDS + steps * self.step + validations * self.validation + evaluated * self.sequence


def cost_sort(training: Training) -> str:
    """Equal for trainings whose steps cost alike."""
    model = replace(training.model, init="default", proximity_bias=0.0, position_scale=1.0)
    plan = training.plan
    return fingerprint(training.task, training.objective, model, plan.batch_size, plan.optimizer, training.precision)


def time_trainings(
    task: Task, trainings: Iterable[Training], *, recompute: bool = False, workers: int, watch: Watch
) -> tuple[dict[str, Timing], float]:
    """The timing of every sort among these, while all workers are busy; and how long the workers took to start."""
    begun = time.time()
    sorts = {cost_sort(training): training for training in trainings}
    if not sorts:
        return {}, 0.0
    jobs = [TimingJob(f"{s} {n}", training, recompute) for s, training in sorts.items() for n in range(workers)]
    with LocalEngine(task, workers=workers, watch=watch) as engine:
        results = np.array(engine.do(jobs)).reshape(len(sorts), workers, 4)
    timings = {sort: Timing(*row) for sort, row in zip(sorts, results[:, :, 1:].mean(axis=1).tolist(), strict=True)}
    return timings, max(0.0, float(results[:, :, 0].min()) - begun)


@dataclass(frozen=True)
class TimingJob(Job):
    """Time some steps and a validation of one training; nothing is kept.

    The result is the time of the clock at which it began, and the seconds of a ``Timing``.
    """

    key: str
    training: Training
    recompute: bool
    saves = False

    def perform(self, shared: Task, tell: Watch, stop: Callable[[], bool]) -> tuple[float, float, float, float]:
        started, task = time.time(), shared
        # Nothing is validated on the way, so that steps are timed alone.
        training = replace(self.training, plan=replace(self.training.plan, steps=2**40, evaluate_every=2**40))
        some = _some_rows(task)
        with threads(training.threads):
            model, objective, feed, forward = prepared(training, task, recompute=self.recompute)
            few = replace(feed, task=some)
            state = TrainState(make_optimizers(model, training.plan))
            for number in range(WARM_STEPS):
                update(model, objective, feed.batch(number), training, state, forward)
            begun, steps = time.monotonic(), 0
            while steps < MIN_STEPS or time.monotonic() - begun < TIMED_SECONDS:
                loss, _ = update(model, objective, feed.batch(WARM_STEPS + steps), training, state, forward)
                steps += 1
            loss.item()  # waits for an accelerator
            stepped = time.monotonic()
            model.eval()
            with torch.inference_mode():
                objective.validate(forward, few)
            validated = time.monotonic()
            label_metrics(forward, few.validation(), task.inputs)
            done = time.monotonic()
        share = objective.n_validated(some) / objective.n_validated(task)
        return started, (stepped - begun) / steps, (validated - stepped) / share, (done - validated) / len(some.val)


def _some_rows(task: Task) -> Task:
    """The task with some of its rows, drawn at random, to time what looks at all of them."""
    some = {name: getattr(task, name).sample(TIMED_ROWS) for name in ("train", "val")}
    return replace(task, **some, unlabelled=None)
