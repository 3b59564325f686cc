"""The job of one training: build and initialise the model, run the loop, keep the result."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import torch

import selfpretrain
from selfpretrain.config import FITTED
from selfpretrain.data.feed import Feed
from selfpretrain.data.kinds import InputSpec
from selfpretrain.data.task import Task
from selfpretrain.engines.engine import Job
from selfpretrain.errors import Interrupted, NonFiniteError, TrainingFailed
from selfpretrain.machine import peak_memory_bytes, threads
from selfpretrain.metrics import Metrics
from selfpretrain.model.borrowed import BorrowedAttention
from selfpretrain.model.groups import freeze, transfer
from selfpretrain.model.ragged import ByLength
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.streams import torch_stream
from selfpretrain.train import group
from selfpretrain.train.flops import encoder_flops
from selfpretrain.train.loop import train
from selfpretrain.train.objectives import Objective, Reconstruction, label_metrics, make_objective
from selfpretrain.train.reference import loss_without_context, lowest_loss
from selfpretrain.train.store import Store, TrainingFolder
from selfpretrain.train.training import Row, Training, TrainingResult
from selfpretrain.watch import Done, Watch

STEP_OVERHEAD = 5e7
"""FLOPs that take as long as what else a step does (ours; 2.6 ms at 21 GFLOP/s, over 873 trainings of studies)."""


@dataclass(frozen=True, kw_only=True)
class TrainJob(Job):
    """A training, and how to run it; the latter changes no number.

    Attributes:
        name: in progress events.
        recompute: see ``SequenceModel``.
        shorter, longer: see ``TrainingFolder``.
    """

    name: str
    training: Training
    after: tuple[str, ...] = ()
    snapshots: int = 0
    checkpoint_seconds: float = 0.0
    recompute: bool = False
    shorter: Training | None = None
    longer: Training | None = None

    @property
    def key(self) -> str:  # type: ignore[override]
        return self.training.key

    def perform(self, shared: Store, tell: Watch, stop: Callable[[], bool]) -> TrainingResult:
        """Do the training, or what is left of it.

        A training whose numbers stop being finite counts as finished: its result says why.

        Raises:
            Interrupted: it was asked to stop, and its state is saved.
        """
        places = {"shorter": self.shorter, "longer": self.longer}

        def agreed() -> bool:
            return group.agreed(stop())

        with TrainingFolder(
            shared, self.training, self.name, self.checkpoint_seconds, tell, agreed, **places
        ) as folder:
            if folder.is_finished:  # by somebody else
                group.send(None)
                result = shared.finished(self.training).result
            else:
                with threads(self.training.threads):
                    result = self._train(shared, folder)
        tell(Done(self.name, _outcome(result)))
        return result

    def assist(self, shared: Store) -> None:
        """Train along with process 0, unless that has found the training finished, or failed before its first step."""
        training, task = self.training, shared.tasks[self.training.task]
        if (state := group.receive()) is None:
            return
        with threads(training.threads), contextlib.suppress(TrainingFailed, Interrupted):
            model, objective, feed, forward = prepared(training, task, recompute=self.recompute)
            weights, resume = state
            model.load_state_dict(weights)
            sharded = group.Sharded(forward, task.inputs.per_row)
            train(model, objective, feed, training, recorder=group.Assistant(), forward=sharded, resume=resume)

    def _train(self, store: Store, folder: TrainingFolder) -> TrainingResult:
        training, start = self.training, self.training.start
        task = store.tasks[training.task]
        if training.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        model, objective, feed, forward = prepared(training, task, recompute=self.recompute)
        group.require_rows(training)
        transferred, weights, has_begun = None, None, False
        versions = {"selfpretrain": selfpretrain.__version__, "torch": metadata.version("torch")}
        try:
            if start is not None:
                source = store.finished(start.source)
                if (why := source.result.failure) is not None:
                    raise TrainingFailed(f"the training that it starts from failed: {why}")
                noise = torch_stream(training.seed, "noise") if start.noise else None
                transferred = transfer(source.weights, model, start.groups, noise=noise)
                if isinstance(model, BorrowedAttention):
                    model.lender.load_state_dict(source.weights)
            resume = folder.latest()
            group.send((model.state_dict(), resume))
            has_begun = True
            state = train(
                model,
                objective,
                feed,
                training,
                recorder=folder,
                forward=forward if group.size() == 1 else group.Sharded(forward, task.inputs.per_row),
                snapshots=self.snapshots,
                resume=resume,
            )
            model.eval()
            result = TrainingResult(
                steps=state.step,
                selected_step=state.best_step,
                seconds=state.seconds,
                step_seconds=state.step_seconds,
                **_scores(objective, task, forward, feed, folder.rows, state.best_step),
                peak_memory_bytes=peak_memory_bytes(training.device),
                versions=versions,
            )
            weights = model.state_dict()
        except TrainingFailed as error:
            if not has_begun:
                group.send(None)
            result = TrainingResult(failure=str(error), versions=versions)
        folder.finish(result, transferred, weights)
        return result


def prepared(
    training: Training, task: Task, *, recompute: bool = False
) -> tuple[SequenceModel | BorrowedAttention, Objective, Feed, ByLength]:
    """What a training works with: the model at its initialisation, what is minimised, batches, and the forward pass."""
    model = model_of(training, task.inputs)
    objective = make_objective(training.objective, training.settings, model.inputs)
    feed = Feed(
        task,
        training.phase,
        seed=training.seed,
        batch_size=training.plan.batch_size,
        device=torch.device(training.device),
        dropout=training.model.dropout > 0,
        partners=objective.needs_partners,
    )
    if isinstance(model, SequenceModel):
        model.recompute = recompute
    freeze(model, training.frozen)
    model.to(feed.device)
    return model, objective, feed, ByLength(model, task.inputs.per_row)


def model_of(training: Training, inputs: InputSpec) -> SequenceModel | BorrowedAttention:
    """The model of a training at its initialisation; one that borrows attention holds the lender's weights, too."""
    own = fresh_model(training.model, inputs, training.seed)
    if training.start is None or not training.start.maps:
        return own
    return BorrowedAttention(own, fresh_model(training.start.source.model, inputs, training.seed))


def step_flops(training: Training, task: Task) -> int:
    """Operations of one step of a training, as planned: real positions of its rows, on average."""
    inputs, batch_size = replace(task.inputs, patch=training.model.patch), training.plan.batch_size
    objective = make_objective(training.objective, training.settings, inputs)
    flops = objective.step_flops(training.model, task, batch_size)
    if training.start is not None and training.start.maps:  # the forward pass of the model that lends its attention
        sequences = batch_size * task.inputs.per_row
        flops += round(sequences * encoder_flops(training.start.source.model, task.inputs, task.train.lengths))
    return flops


def training_cost(training: Training, task: Task, done: int = 0) -> float:
    """How long a training takes as planned, in FLOPs, without those that it rests on.

    Every step adds ``STEP_OVERHEAD``: short sequences would otherwise seem to cost next to nothing.

    Args:
        done: its first steps, which are there.
    """
    return (training.plan.steps - done) * (step_flops(training, task) + STEP_OVERHEAD)


def _scores(
    objective: Objective, task: Task, forward: ByLength, feed: Feed, rows: list[Row], best_step: int
) -> dict[str, Any]:
    """What the selected checkpoint scores: beside the reference losses, or on labels."""
    selected = next(row for row in rows if row["step"] == best_step)
    if isinstance(objective, Reconstruction):
        return {
            "val_reconstruction": selected["val_loss"],
            "val_without_context": loss_without_context(objective, feed),
            "val_lowest": lowest_loss(objective, feed, task.posterior),
        }
    if objective.phase == "pretrain":
        return {"val_reconstruction": selected["val_loss"]}
    on_train = label_metrics(forward, feed.training(), task.inputs)
    if not math.isfinite(on_train.loss):
        raise NonFiniteError("train loss", "label", best_step)
    return {
        "train": on_train,
        "val": Metrics(acc=selected["val_acc"], loss=selected["val_loss"], score=selected.get("val_score")),
        "train_sample_acc": selected["train_sample_acc"],
        "best_train_sample_acc": max(row["train_sample_acc"] for row in rows),
        "steps_to_fit": next((row["step"] for row in rows if row["train_sample_acc"] >= FITTED), None),
    }


def _outcome(result: TrainingResult) -> str:
    if result.failure is not None:
        return f"failed: {result.failure}"
    if result.val_reconstruction is not None and result.val_without_context is not None:
        return f"held-out loss {result.val_reconstruction:.3f}, without context {result.val_without_context:.3f}"
    if result.val is None or result.train is None:
        return "done"
    return f"accuracy train {result.train.acc:.3f}, val {result.val.acc:.3f}"
