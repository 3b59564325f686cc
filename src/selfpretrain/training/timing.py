"""How long trainings take on this machine: some steps of each kind, timed in as many processes as will work."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.events import Watch
from selfpretrain.feed import Feed
from selfpretrain.machine import threads
from selfpretrain.model.transformer import fresh_model
from selfpretrain.objectives.labels import label_metrics
from selfpretrain.objectives.objective import make_objective
from selfpretrain.serial import fingerprint
from selfpretrain.tasks.task import Task
from selfpretrain.training.loop import TrainState, make_optimizers, update
from selfpretrain.training.training import Training

WARM_STEPS, LEAST_STEPS = 3, 5
TIMED_SECONDS = 2.0
"""Steps are timed for so long, and for at least ``LEAST_STEPS`` (ours)."""
FIXED_SECONDS = 0.15
"""Of every training, for its folder and files (ours, a guess)."""


@dataclass(frozen=True)
class Timing:
    """Seconds that a kind of training takes.

    Attributes:
        step: one optimiser step.
        validation: one validation.
        sequence: one sequence of a whole split, when the kept weights are evaluated.
    """

    step: float
    validation: float
    sequence: float

    def seconds(self, training: Training, task: Task) -> float:
        """Of a whole training."""
        plan = training.plan
        evaluated = 0 if training.phase == "pretrain" else len(task.train)
        validations = -(-plan.steps // plan.evaluate_every)
        return FIXED_SECONDS + plan.steps * self.step + validations * self.validation + evaluated * self.sequence


def cost_kind(training: Training) -> str:
    """What trainings that cost alike have in common."""
    model = replace(training.model, init="default", proximity_bias=0.0, position_scale=1.0)
    plan = training.plan
    return fingerprint(training.task, training.objective, model, plan.batch_size, plan.optimizer, training.precision)


def time_trainings(
    tasks: Mapping[str, Task],
    trainings: Iterable[Training],
    *,
    recompute: bool = False,
    workers: int,
    watch: Watch,
) -> tuple[dict[str, Timing], float]:
    """The timing of every kind among these, while all workers are busy; and what starting the workers took.

    Args:
        recompute: as they will be done; see ``SequenceModel``.
    """
    begun = time.time()
    kinds = {cost_kind(training): training for training in trainings}
    jobs = [Job(f"{kind} {copy}", training) for kind, training in kinds.items() for copy in range(workers)]
    engine: LocalEngine[Mapping[str, Task], Training, tuple[Timing, float]]
    with LocalEngine(partial(_time, recompute), tasks, workers=workers, watch=watch) as engine:
        found = engine.do(jobs)
    by_kind = {kind: found[place * workers : (place + 1) * workers] for place, kind in enumerate(kinds)}
    names = ("step", "validation", "sequence")
    timings = {
        kind: Timing(*(float(np.mean([getattr(t, name) for t, _ in copies])) for name in names))
        for kind, copies in by_kind.items()
    }
    return timings, max(0.0, min(at for _, at in found) - begun)


def _time(
    recompute: bool, tasks: Mapping[str, Task], training: Training, tell: Watch, stop: Callable[[], bool]
) -> tuple[Timing, float]:
    """Time one kind of training, and say when that began: a function of this module, for the engine."""
    started = time.time()
    task, plan = tasks[training.task], training.plan
    # Nothing is validated on the way, so that steps are timed alone.
    training = replace(training, plan=replace(plan, steps=2**40, evaluate_every=2**40))
    dropout = training.model.dropout > 0
    device = torch.device(training.device)
    with threads(training.threads):
        model = fresh_model(training.model, task.inputs, training.seed).to(device)
        model.recompute, model.by_length = recompute, True  # as in training
        feed = Feed(task, training.phase, seed=0, batch_size=plan.batch_size, device=device, dropout=dropout)
        objective = make_objective(training.objective, training.reconstruction, task.inputs)
        state = TrainState(make_optimizers(model, training.plan))
        for number in range(WARM_STEPS):
            update(model, objective, feed.batch(number), training, state)
        begun, steps = time.monotonic(), 0
        while steps < LEAST_STEPS or time.monotonic() - begun < TIMED_SECONDS:
            update(model, objective, feed.batch(WARM_STEPS + steps), training, state)
            steps += 1
        stepped = time.monotonic()
        model.eval()
        with torch.inference_mode():
            objective.validate(model, feed)
        validated = time.monotonic()
        label_metrics(model, feed.validation(), task.inputs)
        done = time.monotonic()
    return Timing((stepped - begun) / steps, validated - stepped, (done - validated) / len(task.val)), started
