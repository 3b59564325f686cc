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
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import fresh_model
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.objectives import label_metrics, make_objective
from selfpretrain.train.training import Training
from selfpretrain.train.work import feed_of
from selfpretrain.watch import Watch

WARM_STEPS, MIN_STEPS, TIMED_SECONDS = 3, 5, 2.0
"""Steps before timing starts, the fewest that are timed, and for how long (ours)."""
FIXED_SECONDS = 0.15
"""Time that every training takes for its folder and files (ours, a guess)."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one sort of training.

    Attributes:
        step: one optimiser step.
        validation: one validation.
        sequence: one sequence of a whole split, when the selected checkpoint is evaluated.
        started: time of the clock at which timing began.
    """

    step: float
    validation: float
    sequence: float
    started: float = 0.0

    def seconds(self, training: Training, task: Task) -> float:
        """Of a whole training."""
        plan = training.plan
        evaluated = 0 if training.phase == "pretrain" else len(task.train)
        validations = -(-plan.steps // plan.evaluate_every)
        return FIXED_SECONDS + plan.steps * self.step + validations * self.validation + evaluated * self.sequence


def cost_sort(training: Training) -> str:
    """Equal for trainings whose steps cost alike."""
    model = replace(training.model, init="default", proximity_bias=0.0, position_scale=1.0)
    plan = training.plan
    return fingerprint(training.task, training.objective, model, plan.batch_size, plan.optimizer, training.precision)


def time_trainings(
    task: Task, trainings: Iterable[Training], *, recompute: bool = False, workers: int, watch: Watch
) -> tuple[dict[str, Timing], float]:
    """The timing of every sort among these, while all workers are busy; and how long the workers took to start.

    Args:
        task: whose trainings they are.
        trainings: of which one of each sort is timed.
        recompute: as they will be run; see ``SequenceModel``.
        workers: processes.
        watch: gets events.
    """
    begun = time.time()
    sorts = {cost_sort(training): training for training in trainings}
    if not sorts:
        return {}, 0.0
    jobs = [TimingJob(f"{s} {n}", training, recompute) for s, training in sorts.items() for n in range(workers)]
    with LocalEngine(task, workers=workers, watch=watch) as engine:
        results: list[Timing] = engine.do(jobs)
    timings = {}
    for place, sort in enumerate(sorts):
        copies = results[place * workers : (place + 1) * workers]
        timings[sort] = Timing(
            *(float(np.mean([getattr(t, name) for t in copies])) for name in ("step", "validation", "sequence"))
        )
    return timings, max(0.0, min(timing.started for timing in results) - begun)


@dataclass(frozen=True)
class TimingJob(Job):
    """Time some steps and a validation of one training."""

    key: str
    training: Training
    recompute: bool
    saves = False

    def perform(self, shared: Task, tell: Watch, stop: Callable[[], bool]) -> Timing:
        """Do it; nothing is kept."""
        started = time.time()
        # Nothing is validated on the way, so that steps are timed alone.
        training = replace(self.training, plan=replace(self.training.plan, steps=2**40, evaluate_every=2**40))
        task = shared
        with threads(training.threads):
            model = fresh_model(training.model, task.inputs, training.seed).to(torch.device(training.device))
            model.recompute = self.recompute
            forward = ByLength(model, task.inputs.per_row)
            objective = make_objective(training.objective, training.settings, task.inputs)
            feed = feed_of(training, objective, task)
            state = TrainState(make_optimizers(model, training.plan))
            for number in range(WARM_STEPS):
                update(model, objective, feed.batch(number), training, state, forward)
            begun, steps = time.monotonic(), 0
            while steps < MIN_STEPS or time.monotonic() - begun < TIMED_SECONDS:
                update(model, objective, feed.batch(WARM_STEPS + steps), training, state, forward)
                steps += 1
            stepped = time.monotonic()
            model.eval()
            with torch.inference_mode():
                objective.validate(forward, feed)
            validated = time.monotonic()
            label_metrics(forward, feed.validation(), task.inputs)
            done = time.monotonic()
        return Timing((stepped - begun) / steps, validated - stepped, (done - validated) / len(task.val), started)
