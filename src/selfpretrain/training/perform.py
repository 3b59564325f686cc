"""Doing one training: the model at its start, the loop, and what it came to."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfpretrain.config import FITTED
from selfpretrain.errors import NonFiniteError, TrainingFailed
from selfpretrain.events import Done, Watch
from selfpretrain.feed import Feed
from selfpretrain.kinds import InputSpec
from selfpretrain.machine import peak_memory_bytes, threads
from selfpretrain.model.borrowed import BorrowedAttention
from selfpretrain.model.transfer import freeze, transfer
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.objectives.labels import label_metrics
from selfpretrain.objectives.objective import make_objective
from selfpretrain.objectives.reference import loss_without_context, lowest_loss
from selfpretrain.results import Metrics, Row, TrainingResult
from selfpretrain.streams import torch_stream
from selfpretrain.tasks.task import Task
from selfpretrain.training.loop import train
from selfpretrain.training.store import Finished, Store, TrainingFolder
from selfpretrain.training.training import Training


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
        recompute: see ``SequenceModel``.
    """

    name: str
    training: Training
    snapshots: int
    checkpoint_seconds: float
    recompute: bool = False

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
                with threads(self.training.threads):
                    _train(self.training, shop, folder, self.snapshots, self.recompute)
        tell(Done(self.name, _outcome(shop.store.finished(self.training).result)))


def _train(training: Training, shop: Workshop, folder: TrainingFolder, snapshots: int, recompute: bool) -> None:
    """From a fresh start to a finished folder; a training that cannot go on is finished, too, with the reason."""
    task, start = shop.tasks[training.task], training.start
    if training.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    objective = make_objective(training.objective, training.reconstruction, task.inputs)
    feed = Feed(
        task,
        training.phase,
        seed=training.seed,
        batch_size=training.plan.batch_size,
        device=torch.device(training.device),
        dropout=training.model.dropout > 0,
    )
    model = model_of(training, task.inputs)
    if isinstance(model, SequenceModel):
        model.recompute, model.by_length = recompute, True
    freeze(model, training.frozen)
    model.to(feed.device)
    taken, weights = None, None
    try:
        if start is not None:
            donated = _donated(shop.store.finished(start.source))
            noise = torch_stream(training.seed, "noise") if start.noise else None
            taken = transfer(donated, model, start.groups, noise=noise)
            if isinstance(model, BorrowedAttention):
                model.lender.load_state_dict(donated)
        state = train(model, objective, feed, training, recorder=folder, snapshots=snapshots, resume=folder.latest())
        result = TrainingResult(
            steps=state.step,
            selected_step=state.best_step,
            seconds=state.seconds,
            **_scores(training, shop.tasks[training.task], model, feed, folder.rows, state.best_step),
            peak_memory_bytes=peak_memory_bytes(training.device),
        )
        weights = model.state_dict()
    except TrainingFailed as error:
        result = TrainingResult(failure=str(error))
    folder.finish(result, taken, weights)


def model_of(training: Training, inputs: InputSpec) -> SequenceModel | BorrowedAttention:
    """The model of a training at its fresh start; one that borrows attention holds the lender's weights, too."""
    own = fresh_model(training.model, inputs, training.seed)
    if training.start is None or not training.start.maps:
        return own
    return BorrowedAttention(own, fresh_model(training.start.source.model, inputs, training.seed))


def _donated(source: Finished) -> dict[str, Tensor]:
    """The weights to start from."""
    if (why := source.result.failure) is not None:
        raise TrainingFailed(f"its start failed: {why}")
    return source.weights


def _scores(
    training: Training,
    task: Task,
    model: SequenceModel | BorrowedAttention,
    feed: Feed,
    rows: list[Row],
    best_step: int,
) -> dict[str, Any]:
    """What the kept weights score: beside what needs no context, or on labels and on the way there."""
    selected = next(row for row in rows if row["step"] == best_step)
    if training.phase == "pretrain":
        assert training.reconstruction is not None, "self-pretraining reconstructs"
        settings = (training.reconstruction, model.inputs, feed)
        return {
            "val_reconstruction": selected["val_loss"],
            "val_without_context": loss_without_context(*settings),
            "val_lowest": lowest_loss(*settings, task.posterior),
        }
    on_train = label_metrics(model, feed.training(), model.inputs)
    if not math.isfinite(on_train.loss):
        raise NonFiniteError("train loss", "label", best_step)
    return {
        "train": on_train,
        "val": Metrics(acc=selected["val_acc"], loss=selected["val_loss"]),
        "train_sample_acc": selected["train_sample_acc"],
        "best_train_sample_acc": max(row["train_sample_acc"] for row in rows),
        "steps_to_fit": next((row["step"] for row in rows if row["train_sample_acc"] >= FITTED), None),
    }


def _outcome(result: TrainingResult) -> str:
    if result.failure is not None:
        return f"failed: {result.failure}"
    if result.val is None:
        return "done"
    assert result.train is not None, "both or none"
    return f"accuracy train {result.train.acc:.3f}, val {result.val.acc:.3f}"
