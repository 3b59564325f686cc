"""What a training minimises, and how it is judged. An objective owns its settings: they are the fields of its class.

Shapes: B batch, T positions, C channels, M chosen positions, N rows, Y classes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from selfpretrain.config import MetricName, ModelConfig, ObjectiveConfig, PhaseName
from selfpretrain.data.feed import TRAIN_SAMPLE, Batch, Feed, over_positions
from selfpretrain.data.kinds import KINDS, InputSpec, Kind
from selfpretrain.data.task import Task
from selfpretrain.draws import below, bernoulli, permutation
from selfpretrain.metrics import Metrics
from selfpretrain.model.patch import in_patches, over_their_positions
from selfpretrain.model.transformer import Outputs
from selfpretrain.registry import OBJECTIVES, register
from selfpretrain.train import flops

Model = Callable[..., Outputs]
"""Maps (x, keep_mask, chosen, keys, labels) to ``Outputs``: a ``SequenceModel``, or anything that wraps one."""
SMOOTHING = 0.1
"""Probability that smoothing spreads over all classes (Szegedy et al. 2016)."""
HIDDEN = 0.15
"""Expected share of positions that ``masked-labels`` hides (ours; the share that BERT hides)."""
CORRUPTED, REPLACED = 0.3, 1 / 3
"""Share of positions that ``joint-corrupted`` corrupts, and of these that show another symbol instead of the mask."""


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """What a training minimises. Everything random comes from the batch's draws, so it has no seed and no state.

    Attributes:
        inputs: what the model reads; every further field of a subclass is a setting.
    """

    sort: ClassVar[str] = "objective"
    name: ClassVar[str]
    phase: ClassVar[PhaseName] = "label"
    inputs: InputSpec

    @property
    def kind(self) -> Kind:
        return KINDS[self.inputs.kind]

    @property
    def needs_partners(self) -> bool:
        """Whether each row of a batch has to come with a partner."""
        return False

    @classmethod
    def settings(cls, config: ObjectiveConfig, kind: Kind, **of_labels: Any) -> dict[str, Any]:
        """The settings of a training with this objective: those of its fields that the request sets.

        Args:
            **of_labels: settings of label training.
        """
        names = [field.name for field in fields(cls) if field.name != "inputs"]
        given = {**{field.name: getattr(config, field.name) for field in fields(config)}, **of_labels, **config.options}
        given["loss_name"] = config.value_loss if config.value_loss in kind.losses else kind.losses[0]
        return {name: given[name] for name in names if name in given}

    @abstractmethod
    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Scalar training loss of one batch."""

    @abstractmethod
    def validate(self, model: Model, feed: Feed) -> dict[str, float]:
        """Metrics to record; the model is in evaluation mode."""

    def n_validated(self, task: Task) -> int:
        """Rows that a validation looks at."""
        return len(task.val)

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """What selects the checkpoint: the larger, the better."""
        return (-metrics["val_loss"],)

    @abstractmethod
    def step_flops(self, model: ModelConfig, task: Task, batch_size: int) -> int:
        """Operations of one optimiser step on real positions; see ``flops``."""


def make_objective(name: str, settings: Mapping[str, Any], inputs: InputSpec) -> Objective:
    """The objective of that name with its settings."""
    return OBJECTIVES[name](inputs=inputs, **settings)


def _wide(tensor: Tensor) -> Tensor:
    """float32 or wider: losses are not taken in bfloat16."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def draw_mask(
    keys: Tensor, keep_mask: Tensor | None, length: int, ratio: float, span_length: int = 1, patch: int = 1
) -> Tensor:
    """Which positions to mask, (B, T), True = masked; padding never is, and every sequence has at least one.

    A worked example, symbols, V = 8 (mask id 9):

        targets   3 4 5 1 2
        mask      . # . . #      (# = masked, True)
        inputs    3 9 5 1 9
        loss      cross-entropy at the two # only, averaged over them

    ``span_length`` 1 masks every position independently with probability ``ratio`` (Amos et al. 2024). Above 1,
    every position starts a run with probability ``1 - (1 - ratio)^(1/s)`` and a run covers s positions, cut at the
    end, so that away from the beginning a position is masked with probability ``ratio``. A sequence left without a
    mask gets one uniformly drawn position.

    Args:
        keys: (B,) of the rows; a sequence's mask depends on its key alone.
        keep_mask: (B, T), True = a real position; None when all are.
        length: T.
        patch: positions that are masked together; each patch is then drawn as a position is, and spans are of patches.
    """
    if patch > 1:
        tokens = None if keep_mask is None else in_patches(keep_mask, patch).any(-1)
        drawn = draw_mask(keys, tokens, -(-length // patch), ratio, span_length)
        mask = over_their_positions(drawn, patch, length)
        return mask if keep_mask is None else mask & keep_mask
    mask = bernoulli(keys, length, 1.0 - (1.0 - ratio) ** (1.0 / span_length))
    starts = mask
    for shift in range(1, min(span_length, length)):
        mask = mask | F.pad(starts, (shift, 0))[:, :length]
    if keep_mask is not None:
        mask = mask & keep_mask
    lengths = length if keep_mask is None else keep_mask.sum(1)
    fallback = below(keys, lengths)
    bare = ~mask.any(dim=1, keepdim=True)
    return mask | (bare & (torch.arange(length, device=mask.device) == fallback[:, None]))


# Labels.


def class_logits(model: Model, batch: Batch, inputs: InputSpec, hidden: Tensor | None = None) -> Tensor:
    """Class logits of a batch, (B, Y) float32 or wider, with the positions ``hidden`` (B, T) masked."""
    x = KINDS[inputs.kind].hide(batch.x, hidden, inputs)
    logits = model(x, batch.keep_mask, None, batch.dropout_keys).logits
    assert logits is not None, "they were asked for"
    return _wide(logits)


def label_losses(model: Model, batch: Batch, inputs: InputSpec) -> Tensor:
    """Cross-entropy of every sequence's label in nats, (B,)."""
    return F.cross_entropy(class_logits(model, batch, inputs), batch.y, reduction="none")


def predict_logits(model: Model, batches: Iterable[Batch], inputs: InputSpec) -> tuple[Tensor, Tensor]:
    """Class logits (N, Y) float64 and classes (N,) of all rows, on the CPU; the model is in evaluation mode."""
    logits, classes = [], []
    with torch.inference_mode():
        for batch in batches:  # one at a time: all of them together may be large
            logits.append(class_logits(model, batch, inputs).cpu())
            classes.append(batch.y.cpu())
    return torch.cat(logits).double(), torch.cat(classes)


def label_metrics(
    model: Model, batches: Iterable[Batch], inputs: InputSpec, metric: MetricName = "accuracy"
) -> Metrics:
    """What a model scores on batches."""
    logits, classes = predict_logits(model, batches, inputs)
    return Metrics.of_logits(logits.numpy(), classes.numpy(), metric)


@register
@dataclass(frozen=True, kw_only=True)
class Labels(Objective):
    """Cross-entropy of the label.

    Attributes:
        metric: selects the checkpoint.
        class_weights: of the loss of a row, by its class; empty: all rows count alike.
    """

    name = "labels"
    metric: MetricName = "accuracy"
    class_weights: Sequence[float] = ()

    def loss(self, model: Model, batch: Batch) -> Tensor:
        return self.label_loss(class_logits(model, batch, self.inputs), batch.y)

    def label_loss(self, logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of a batch, weighted by class.

        Args:
            y: classes (B,), or their probabilities (B, Y).
        """
        weight = logits.new_tensor(self.class_weights) if self.class_weights else None
        return F.cross_entropy(logits, y, weight=weight, label_smoothing=smoothing)

    def validate(self, model: Model, feed: Feed) -> dict[str, float]:
        """Scores on validation, and on a fixed sample of the clean training rows."""
        val = label_metrics(model, feed.validation(), self.inputs, self.metric)
        sample = label_metrics(model, feed.train_sample(), self.inputs)
        return {
            "val_loss": val.loss,
            "val_acc": val.acc,
            **({} if val.score is None else {"val_score": val.score}),
            "train_sample_loss": sample.loss,
            "train_sample_acc": sample.acc,
        }

    def n_validated(self, task: Task) -> int:
        return len(task.val) + min(TRAIN_SAMPLE, len(task.train))

    def score(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The metric on validation; the loss decides ties."""
        return metrics.get("val_score", metrics["val_acc"]), -metrics["val_loss"]

    def step_flops(self, model: ModelConfig, task: Task, batch_size: int) -> int:
        return flops.label_step(model, task.inputs, task.train.lengths, batch_size)


@register
@dataclass(frozen=True, kw_only=True)
class Smoothing(Labels):
    """Cross-entropy of ``(1 - s)`` of the label and ``s`` of the uniform distribution."""

    name = "smoothing"

    def loss(self, model: Model, batch: Batch) -> Tensor:
        return self.label_loss(class_logits(model, batch, self.inputs), batch.y, SMOOTHING)


@register
@dataclass(frozen=True, kw_only=True)
class MaskedLabels(Labels):
    """Cross-entropy of the label from masked sequences: the input of self-pretraining without its question."""

    name = "masked-labels"

    def loss(self, model: Model, batch: Batch) -> Tensor:
        keys, patch = batch.draws.keys("label-masks"), self.inputs.patch
        hidden = draw_mask(keys, batch.keep_mask, batch.x.shape[1], HIDDEN, patch=patch)
        return self.label_loss(class_logits(model, batch, self.inputs, hidden), batch.y)


@register
@dataclass(frozen=True, kw_only=True)
class CutMix(Labels):
    """Cross-entropy of mixed labels from mixed sequences. A worked example:

        sequence   a a a a a a      label A
        partner    b b b b b b      label B
        mixed      a a b b a a      2/3 A + 1/3 B

    Source: Yun et al. (2019), arXiv 1905.04899, for images; with its uniform share.
    """

    name = "cutmix"
    needs_partners = True

    def loss(self, model: Model, batch: Batch) -> Tensor:
        mixed, labels = cut_and_mixed(batch, self.inputs.classes)
        logits = class_logits(model, mixed, self.inputs)
        return self.label_loss(logits, labels.to(logits.dtype))


def cut_and_mixed(batch: Batch, classes: int) -> tuple[Batch, Tensor]:
    """The batch with a stretch of each sequence taken from its partner, and the mixed labels (B, Y); rows sum to 1.

    The length of the stretch is uniform on 0..n and its start uniform, with n the length of the shorter of the two. Its
    share of the sequence's positions is the share of the partner's label; of a pair, the mean of both.
    """
    assert batch.partner is not None, "the feed gives partners"
    partner, length = batch.partner, batch.x.shape[1]
    keys = batch.draws.keys("cutmix")
    both = torch.minimum(batch.lengths, partner.lengths)
    count = below(keys, both + 1)
    start = below(keys, both - count + 1, word=1)
    places = torch.arange(length, device=keys.device)
    taken = (places >= start[:, None]) & (places < (start + count)[:, None])
    other = partner.x[:, torch.minimum(places, partner.lengths.max() - 1)]  # as wide as the batch
    x = torch.where(over_positions(taken, batch.x), other, batch.x)
    share = (count / batch.lengths).view(-1, batch.per_row).mean(1, keepdim=True)
    return replace(batch, x=x), (1 - share) * F.one_hot(batch.y, classes) + share * F.one_hot(partner.y, classes)


# Reconstruction.


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Objective):
    """Predict chosen positions from the others.

    Attributes:
        loss_name: the loss of an entry, one of the kind's.
        control: "shuffled": every sequence in a random order, the same in every epoch; "random": the targets are those
            of the row's partner, so that nothing in sight determines them; "none": no control.
    """

    phase = "pretrain"
    loss_name: str = ""
    control: str = "none"

    @property
    def needs_partners(self) -> bool:
        return self.control == "random"

    @abstractmethod
    def choose(self, batch: Batch, keys: Tensor) -> Tensor:
        """The positions to predict, (B, T)."""

    def view(self, seen: Tensor, chosen: Tensor) -> Tensor:
        return self.kind.hide(seen, chosen, self.inputs)

    def targets(self, truth: Tensor) -> Tensor:
        """The target of each position, (B, T) or (B, T, C)."""
        return truth

    def entry_losses(self, model: Model, batch: Batch, chosen: Tensor) -> Tensor:
        """Loss of every entry at the chosen positions: (M,) for symbols, (M, C) for values."""
        seen, truth = self._controlled(batch)
        outputs = model(self.view(seen, chosen), batch.keep_mask, chosen, batch.dropout_keys, labels=False)
        assert outputs.predictions is not None, "positions were chosen"
        return self.kind.entry_losses(_wide(outputs.predictions), self.targets(truth)[chosen], self.loss_name)

    def sequence_losses(self, model: Model, batch: Batch, chosen: Tensor) -> Tensor:
        """Mean loss of every sequence over its chosen positions, (B,); each has at least one."""
        entries = self.entry_losses(model, batch, chosen)
        entries = entries.reshape(len(entries), -1).mean(dim=1)
        total = entries.new_zeros(len(chosen)).index_add(0, chosen.nonzero()[:, 0], entries)
        return total / chosen.sum(dim=1)

    def _controlled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The sequences before masking, and those that give the targets: the same, unless this is a control."""
        x = batch.x
        if self.control == "shuffled":
            order = permutation(replace(batch.draws, step=0).keys("shuffle"), x.shape[1], batch.keep_mask)
            x = x.gather(1, over_positions(order, x))
        if self.control != "random":
            return x, x
        assert batch.partner is not None, "the feed gives partners"
        # A shorter partner is read again from its beginning.
        places = torch.arange(x.shape[1], device=x.device) % batch.partner.lengths[:, None]
        return x, batch.partner.x.gather(1, over_positions(places, batch.partner.x))

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """Mean loss over the entries drawn for this step."""
        entries = self.entry_losses(model, batch, self.choose(batch, batch.draws.keys("masks")))
        return entries.sum() / max(entries.numel(), 1)  # under causal prediction single positions have no targets

    def validate(self, model: Model, feed: Feed) -> dict[str, float]:
        """Loss on the validation sequences, with masks that stay the same for the whole training."""
        total, count = 0.0, 0
        for batch in feed.validation():
            chosen = self.choose(batch, batch.draws.keys("validation-masks"))
            entries = self.entry_losses(model, batch, chosen)
            total, count = total + float(entries.sum()), count + entries.numel()
        return {"val_loss": total / max(count, 1)}

    @abstractmethod
    def chosen_positions(self, lengths: NDArray[np.int64]) -> float:
        """Expected number of positions that the head predicts in a sequence."""

    def step_flops(self, model: ModelConfig, task: Task, batch_size: int) -> int:
        lengths = (task.pretrain_rows if self.phase == "pretrain" else task.train).lengths
        return flops.reconstruction_step(model, task.inputs, lengths, batch_size, self.chosen_positions(lengths))


@register
@dataclass(frozen=True, kw_only=True)
class Masked(Reconstruction):
    """Fill in positions that are masked independently."""

    name = "masked"
    mask_ratio: float = 0.5

    def choose(self, batch: Batch, keys: Tensor) -> Tensor:
        return draw_mask(keys, batch.keep_mask, batch.x.shape[1], self.mask_ratio, patch=self.inputs.patch)

    def chosen_positions(self, lengths: NDArray[np.int64]) -> float:
        return float(self.mask_ratio * np.mean(lengths))


@register
@dataclass(frozen=True, kw_only=True)
class Span(Masked):
    """Fill in masked stretches."""

    name = "span"
    span_length: int = 8

    def choose(self, batch: Batch, keys: Tensor) -> Tensor:
        length, patch = batch.x.shape[1], self.inputs.patch
        return draw_mask(keys, batch.keep_mask, length, self.mask_ratio, self.span_length, patch)


@register
@dataclass(frozen=True, kw_only=True)
class Causal(Reconstruction):
    """Predict the next position, under causal attention; of patches, the next patch."""

    name = "causal"

    def choose(self, batch: Batch, keys: Tensor) -> Tensor:
        patch = self.inputs.patch
        return F.pad(batch.real[:, patch:], (0, min(patch, batch.x.shape[1])))  # where there is a next one

    def view(self, seen: Tensor, chosen: Tensor) -> Tensor:
        return self.kind.hide(seen, None, self.inputs)

    def targets(self, truth: Tensor) -> Tensor:
        return truth.roll(-self.inputs.patch, dims=1)

    def chosen_positions(self, lengths: NDArray[np.int64]) -> float:
        return float(np.mean(np.maximum(lengths - self.inputs.patch, 0)))


# Both.


@register
@dataclass(frozen=True, kw_only=True)
class Joint(Labels):
    """Label loss plus weighted masked loss, each on its own view of the same batch; judged by the label alone.

    Dropout, if there is any, drops the same entries of a sequence in both views.

    Attributes:
        reconstruction: settings of the other objective, masked or span.
    """

    name = "joint"
    objective: str = "masked"
    reconstruction: Mapping[str, Any]
    joint_weight: float = 1.0

    @classmethod
    def settings(cls, config: ObjectiveConfig, kind: Kind, **of_labels: Any) -> dict[str, Any]:
        inner = OBJECTIVES[config.objective].settings(config, kind)
        return {**super().settings(config, kind, **of_labels), "reconstruction": inner}

    @property
    def inner(self) -> Objective:
        return make_objective(self.objective, self.reconstruction, self.inputs)

    @property
    def needs_partners(self) -> bool:
        return self.inner.needs_partners

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """``label + joint_weight * masked``: one clean and one masked pass."""
        return super().loss(model, batch) + self.joint_weight * self.inner.loss(model, batch)

    def step_flops(self, model: ModelConfig, task: Task, batch_size: int) -> int:
        return super().step_flops(model, task, batch_size) + self.inner.step_flops(
            model, replace(task, unlabelled=None), batch_size
        )


@register
@dataclass(frozen=True, kw_only=True)
class JointCorrupted(Labels):
    """``label + reconstruction``, both from one corrupted view; judged by the label of the clean sequence alone.

    30% of the positions are chosen. Two thirds of them are masked; a third shows what stands elsewhere in the sequence,
    so that values have replacements, too. The model predicts the label and *every* position, and both losses count
    alike.

    Source: Miralles-Gonzalez et al., arXiv 2501.14850, and its code.
    """

    name = "joint-corrupted"
    loss_name: str = ""

    def loss(self, model: Model, batch: Batch) -> Tensor:
        shown, masked = corrupted(batch, self.inputs.patch)
        real = batch.real
        outputs = model(self.kind.hide(shown, masked, self.inputs), batch.keep_mask, real, batch.dropout_keys)
        assert outputs.predictions is not None and outputs.logits is not None, "both were asked for"
        label = self.label_loss(_wide(outputs.logits), batch.y)
        return label + self.kind.entry_losses(_wide(outputs.predictions), batch.x[real], self.loss_name).mean()

    def step_flops(self, model: ModelConfig, task: Task, batch_size: int) -> int:
        """One pass; the second head runs on all positions."""
        lengths = task.train.lengths
        head = flops.reconstruction_step(model, task.inputs, None, batch_size, float(np.mean(lengths)))
        return flops.label_step(model, task.inputs, lengths, batch_size, positions=math.inf) + head


def corrupted(batch: Batch, patch: int = 1) -> tuple[Tensor, Tensor]:
    """The sequences with some positions replaced, as ``batch.x``; and the positions to mask besides, (B, T)."""
    keys, length = batch.draws.keys("masks"), batch.x.shape[1]
    chosen = draw_mask(keys, batch.keep_mask, length, CORRUPTED, patch=patch)
    others = batch.draws.keys("label-masks")
    replaced = chosen & over_their_positions(bernoulli(others, -(-length // patch), REPLACED), patch, length)
    order = permutation(others + 1, length, batch.keep_mask)
    elsewhere = batch.x.gather(1, over_positions(order, batch.x))
    return torch.where(over_positions(replaced, batch.x), elsewhere, batch.x), chosen & ~replaced
