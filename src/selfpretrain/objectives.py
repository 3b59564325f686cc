"""Masking and losses: the only place that knows what "masked" means.

A worked example, symbols, K = 8 (mask id 9):

    targets   3 4 5 1 2
    mask      . # . . #      (# = masked, True)
    inputs    3 9 5 1 9
    loss      cross-entropy at the two # only, averaged over them

Values are set to 0, the training mean, and a last channel carries the flag: (v, 0) kept, (0, 1) masked. Label
training gives the same channels with the flag at 0.

Shapes: B batch, T positions, C channels, M masked positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selfpretrain.config import ObjectiveConfig
from selfpretrain.evaluate import classification_metrics
from selfpretrain.model import InputSpec, SequenceModel
from selfpretrain.streams import Stream, numpy_stream, torch_stream
from selfpretrain.tasks import Split, Task

EVALUATION_BATCH = 256
TRAIN_PROBE = 512
"""Training sequences on which the clean training accuracy is followed (ours)."""


@dataclass(frozen=True)
class Batch:
    """Sequences on the device, trimmed to the longest of them.

    Attributes:
        x: symbols (B, T) int64, or values (B, T, C) float32; nothing is masked yet.
        keep_mask: (B, T), True = a real position; None when all are.
        y: (B,) classes.
    """

    x: Tensor
    keep_mask: Tensor | None
    y: Tensor


def make_batch(rows: Split, device: torch.device) -> Batch:
    """Move rows to the device."""
    longest = int(rows.lengths.max())
    lengths = torch.from_numpy(rows.lengths)
    keep_mask = None
    if int(rows.lengths.min()) < longest:
        keep_mask = (torch.arange(longest) < lengths[:, None]).to(device)
    x = torch.from_numpy(rows.x[:, :longest])
    return Batch(x.to(device), keep_mask, torch.from_numpy(rows.y).to(device))


def batches(rows: Split, device: torch.device) -> Iterator[Batch]:
    """All rows in order, for evaluation."""
    for start in range(0, len(rows), EVALUATION_BATCH):
        yield make_batch(rows.rows(np.arange(start, min(start + EVALUATION_BATCH, len(rows)))), device)


def draw_mask(keep_mask: Tensor, ratio: float, span_length: int, generator: torch.Generator) -> Tensor:
    """Which positions to mask, (B, T), True = masked; padding never is, and every sequence has at least one.

    ``span_length`` 1 masks every position independently with probability ``ratio`` (Amos et al. 2024). Above 1,
    every position starts a run with probability ``1 - (1 - ratio)^(1/s)`` and a run covers s positions, cut at the
    end, so that away from the beginning a position is masked with probability ``ratio``. A sequence left without a
    mask gets one uniformly drawn position.

    Args:
        keep_mask: (B, T) on the CPU, True = a real position.
        generator: the mask stream at this step.
    """
    start_probability = 1.0 - (1.0 - ratio) ** (1.0 / span_length)
    starts = torch.rand(keep_mask.shape, generator=generator) < start_probability
    fallback = torch.rand(keep_mask.shape, generator=generator).masked_fill(~keep_mask, -1.0).argmax(dim=1)
    mask: Tensor = starts.clone()
    for shift in range(1, span_length):
        mask |= F.pad(starts, (shift, 0))[:, : starts.shape[1]]
    mask &= keep_mask
    bare = ~mask.any(dim=1)
    mask[bare, fallback[bare]] = True
    return mask


def model_inputs(x: Tensor, mask: Tensor | None, inputs: InputSpec) -> Tensor:
    """What the model sees: ``x`` with the masked positions hidden; ``mask`` None hides nothing."""
    if inputs.kind != "values":
        return x if mask is None else x.masked_fill(mask, inputs.mask_id)
    if mask is None:
        return F.pad(x, (0, 1))
    flag = mask[..., None].to(x.dtype)
    return torch.cat((x * (1 - flag), flag), dim=-1)


def choose_positions(batch: Batch, config: ObjectiveConfig, generator: torch.Generator) -> Tensor:
    """Where to reconstruct, (B, T): the masked positions, or under causal prediction all that have a next one."""
    keep = batch.keep_mask
    if keep is None:
        keep = torch.ones(batch.x.shape[:2], dtype=torch.bool, device=batch.x.device)
    if config.causal:
        return keep & F.pad(keep[:, 1:], (0, 1))  # position t predicts t + 1; the last has nothing to predict
    span = config.span_length if config.objective == "span" else 1
    return draw_mask(keep.cpu(), config.mask_ratio, span, generator).to(keep.device)


def _errors(
    model: SequenceModel, batch: Batch, chosen: Tensor, config: ObjectiveConfig, reduction: Literal["sum", "none"]
) -> tuple[Tensor, int]:
    """Reconstruction losses of the entries at the chosen positions, or their sum; and the number of entries."""
    inputs = model_inputs(batch.x, None if config.causal else chosen, model.inputs)
    targets = (batch.x.roll(-1, dims=1) if config.causal else batch.x)[chosen]
    predictions = model.reconstruct(inputs, batch.keep_mask, chosen)
    if predictions.dtype == torch.bfloat16:
        predictions = predictions.float()
    if model.inputs.kind != "values":
        return F.cross_entropy(predictions, targets, reduction=reduction), len(targets)
    error = predictions - targets
    each = error.abs() if config.value_loss == "l1" else error.square()
    return (each.sum() if reduction == "sum" else each.mean(dim=1)), each.numel()


def label_losses(model: SequenceModel, batch: Batch) -> Tensor:
    """Cross-entropy of every sequence's label, (B,)."""
    logits = model.classify(model_inputs(batch.x, None, model.inputs), batch.keep_mask)
    return F.cross_entropy(logits, batch.y, reduction="none")


def reconstruction_losses(model: SequenceModel, batch: Batch, chosen: Tensor, config: ObjectiveConfig) -> Tensor:
    """Mean reconstruction loss of every sequence over its chosen positions, (B,).

    Args:
        chosen: (B, T), as from ``choose_positions``; at least one position of every sequence.
    """
    each, _ = _errors(model, batch, chosen, config, "none")
    row = chosen.nonzero()[:, 0]
    total = each.new_zeros(len(chosen)).index_add(0, row, each)
    return total / chosen.sum(dim=1)


class Objective(Protocol):
    """What a phase minimises, on which rows, and how it is judged.

    ``loss`` draws what it needs from streams at ``step``, so a phase can be resumed at any step.
    """

    rows: Split
    batch_stream: Stream

    def loss(self, model: SequenceModel, batch: Batch, step: int) -> Tensor:
        """Scalar training loss of one batch."""

    def validate(self, model: SequenceModel, device: torch.device) -> dict[str, float]:
        """Metrics to record; ``model`` is in evaluation mode."""

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """By what weights are selected: the larger, the better."""


class LabelObjective:
    """Cross-entropy of the label, nothing masked."""

    batch_stream: Stream = "label-batches"

    def __init__(self, task: Task) -> None:
        self.rows, self.val = task.train, task.val
        # At random: the order of a file's rows may be that of their classes, or alternate between them.
        self.probe = task.train.rows(numpy_stream(0, "probe").permutation(len(task.train))[:TRAIN_PROBE])

    def loss(self, model: SequenceModel, batch: Batch, step: int) -> Tensor:
        """Mean cross-entropy in nats."""
        logits = model.classify(model_inputs(batch.x, None, model.inputs), batch.keep_mask)
        return F.cross_entropy(logits.float(), batch.y)

    def validate(self, model: SequenceModel, device: torch.device) -> dict[str, float]:
        """Loss and accuracy on validation and on a fixed part of the clean training set."""
        val = label_metrics(model, self.val, device)
        probe = label_metrics(model, self.probe, device)
        return {
            "val_loss": val["loss"],
            "val_acc": val["acc"],
            "train_loss": probe["loss"],
            "train_acc": probe["acc"],
        }

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """Validation accuracy; the loss decides between equals."""
        return metrics["val_acc"], -metrics["val_loss"]


class ReconstructionObjective:
    """Fill in the masked positions, or predict the next one."""

    batch_stream: Stream = "pretrain-batches"

    def __init__(self, task: Task, config: ObjectiveConfig, seed: int) -> None:
        self.rows, self.val = task.pretrain_rows, task.val
        self.config, self.seed = config, seed

    def loss(self, model: SequenceModel, batch: Batch, step: int) -> Tensor:
        """Mean reconstruction loss over the positions drawn for this step."""
        total, count = self._sum(model, batch, torch_stream(self.seed, "masks", step))
        return total / max(count, 1)  # under causal prediction a batch of single positions has no targets

    def validate(self, model: SequenceModel, device: torch.device) -> dict[str, float]:
        """Loss on the validation sequences, with masks that stay the same for the whole run."""
        total, count = 0.0, 0
        for number, batch in enumerate(batches(self.val, device)):
            part, n = self._sum(model, batch, torch_stream(self.seed, "validation-masks", number))
            total, count = total + float(part), count + n
        return {"val_loss": total / max(count, 1)}

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """Validation loss, downwards."""
        return (-metrics["val_loss"],)

    def _sum(self, model: SequenceModel, batch: Batch, generator: torch.Generator) -> tuple[Tensor, int]:
        """Summed loss and number of predicted entries."""
        chosen = choose_positions(batch, self.config, generator)
        return _errors(model, batch, chosen, self.config, "sum")


class JointObjective(LabelObjective):
    """Label loss plus weighted masked loss, each on its own view of the same batch; judged by the label alone."""

    def __init__(self, task: Task, config: ObjectiveConfig, seed: int) -> None:
        super().__init__(task)
        self.reconstruction = ReconstructionObjective(task, config, seed)
        self.weight = config.joint_weight

    def loss(self, model: SequenceModel, batch: Batch, step: int) -> Tensor:
        """``label + joint_weight * masked``: one clean and one masked pass."""
        masked = self.reconstruction.loss(model, batch, step)
        return super().loss(model, batch, step) + self.weight * masked


def label_logits(model: SequenceModel, rows: Split, device: torch.device) -> Tensor:
    """Class logits of all rows (N, Y), on the CPU, dropout off."""
    model.eval()
    with torch.inference_mode():
        parts = [
            model.classify(model_inputs(b.x, None, model.inputs), b.keep_mask).float().cpu()
            for b in batches(rows, device)
        ]
    return torch.cat(parts)


def label_metrics(model: SequenceModel, rows: Split, device: torch.device) -> dict[str, float]:
    """The metrics of ``evaluate.classification_metrics`` for a model."""
    logits: NDArray[np.float64] = label_logits(model, rows, device).double().numpy()
    return classification_metrics(logits, rows.y)
