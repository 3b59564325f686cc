"""Doing one training: the model at its start, the loop, and what it came to."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from selfpretrain.errors import NonFiniteError
from selfpretrain.events import Done, Watch
from selfpretrain.feed import Feed, evaluation_batches
from selfpretrain.kinds import InputSpec
from selfpretrain.machine import peak_memory_bytes, threads
from selfpretrain.model.transfer import freeze, norm_matched_noise, transfer
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.objectives.joint import JointObjective
from selfpretrain.objectives.labels import LabelObjective, label_metrics
from selfpretrain.objectives.objective import Objective
from selfpretrain.objectives.reconstruction import ReconstructionObjective
from selfpretrain.results import Metrics, TrainingResult
from selfpretrain.streams import torch_stream
from selfpretrain.tasks.task import Task
from selfpretrain.training.loop import train
from selfpretrain.training.store import Store, TrainingFolder
from selfpretrain.training.training import Training

FITTED = 0.9
"""Clean training accuracy from which the training set counts as fitted, where speed is compared (ours)."""


@dataclass(frozen=True)
class Workshop:
    """What every piece of work needs: the tasks by fingerprint, and the store."""

    tasks: Mapping[str, Task]
    store: Store


@dataclass(frozen=True)
class TrainJob:
    """A training, and how to treat it on the way; the treatment changes no number.

    Attributes:
        name: for the one who watches.
        snapshots: weights to keep along the way.
    """

    name: str
    training: Training
    snapshots: int
    checkpoint_seconds: float

    def perform(self, shop: Workshop, tell: Watch, stop: Callable[[], bool]) -> None:
        """Do the training, or what is left of it.

        One whose numbers stop being finite is finished too: its result says why.

        Raises:
            Interrupted: it was asked to stop, and its state is saved.
        """
        folder = TrainingFolder(
            shop.store,
            self.training,
            name=self.name,
            checkpoint_seconds=self.checkpoint_seconds,
            tell=tell,
            stop=stop,
        )
        with folder:
            if not folder.is_finished:
                try:
                    with threads(self.training.threads):
                        result = _train(self.training, shop, folder, self.snapshots)
                except NonFiniteError as error:
                    result = TrainingResult(failure=str(error))
                folder.finish(result)
        tell(Done(self.name, _outcome(shop.store.finished(self.training).result)))


def build_model(training: Training, inputs: InputSpec) -> SequenceModel:
    """The fresh start of a training's seed; trainings of one seed share all weights that their settings share."""
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own first
        return SequenceModel(training.model, inputs, generator=torch_stream(training.seed, "init"))


def make_feed(training: Training, task: Task) -> Feed:
    """What the training is fed."""
    pretrain = training.phase == "pretrain"
    return Feed(
        task.pretrain_rows if pretrain else task.train,
        task.val,
        seed=training.seed,
        stream="pretrain-batches" if pretrain else "label-batches",
        batch_size=training.plan.batch_size,
        device=torch.device(training.device),
        dropout=training.model.dropout > 0,
    )


def make_objective(training: Training, inputs: InputSpec) -> Objective:
    """What the training minimises."""
    if training.reconstruction is None:
        return LabelObjective(inputs)
    made = JointObjective if training.objective == "joint" else ReconstructionObjective
    return made(training.reconstruction, inputs)


def _train(training: Training, shop: Workshop, folder: TrainingFolder, snapshots: int) -> TrainingResult:
    task, start = shop.tasks[training.task], training.start
    if training.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    objective, feed = make_objective(training, task.inputs), make_feed(training, task)
    model = build_model(training, task.inputs)
    if start is not None:
        donor = shop.store.finished(start.source)
        if (why := donor.result.failure) is not None:
            return TrainingResult(failure=f"its start failed: {why}")
        weights = norm_matched_noise(donor.weights, training.seed) if start.noise else donor.weights
        folder.save_start(dataclasses.asdict(transfer(weights, model, start.groups)))
    freeze(model, training.frozen)
    model.to(training.device)
    resume = folder.latest()
    state = train(model, objective, feed, training, recorder=folder, snapshots=snapshots, resume=resume)
    folder.save_weights(model.state_dict())
    result = TrainingResult(
        steps=state.step,
        selected_step=state.best_step,
        seconds=state.seconds,
        peak_memory_bytes=peak_memory_bytes(training.device),
    )
    if training.phase == "pretrain":
        return result
    on_train = label_metrics(model, evaluation_batches(feed.rows, feed.device), task.inputs)
    if not math.isfinite(on_train.loss):
        raise NonFiniteError("train loss", training.phase, state.step)
    selected = next(row for row in folder.rows if row["step"] == state.best_step)
    return replace(
        result,
        train=on_train,
        val=Metrics(acc=selected["val_acc"], loss=selected["val_loss"]),
        best_train_sample_acc=max(row["train_sample_acc"] for row in folder.rows),
        steps_to_fit=next((row["step"] for row in folder.rows if row["train_sample_acc"] >= FITTED), None),
    )


def _outcome(result: TrainingResult) -> str:
    if result.failure is not None:
        return f"failed: {result.failure}"
    if result.val is None:
        return "done"
    assert result.train is not None, "both or none"
    return f"accuracy train {result.train.acc:.3f}, val {result.val.acc:.3f}"
