"""The label's loss, and what a classifier scores.

Shapes: B batch, N rows, Y classes.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfpretrain.evaluate import classification_metrics
from selfpretrain.feed import Batch, Feed
from selfpretrain.kinds import KINDS, InputSpec
from selfpretrain.results import Metrics


def class_logits(model: nn.Module, batch: Batch, inputs: InputSpec, hidden: Tensor | None = None) -> Tensor:
    """Class logits of a batch, (B, Y) float32 or wider.

    Args:
        hidden: (B, T), True = masked; None masks nothing.
    """
    x = KINDS[inputs.kind].hide(batch.x, hidden, inputs)
    logits: Tensor = model(x, batch.keep_mask, keys=batch.dropout_keys)
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def label_losses(model: nn.Module, batch: Batch, inputs: InputSpec) -> Tensor:
    """Cross-entropy of every sequence's label in nats, (B,)."""
    return F.cross_entropy(class_logits(model, batch, inputs), batch.y, reduction="none")


def predict_logits(model: nn.Module, batches: Iterable[Batch], inputs: InputSpec) -> Tensor:
    """Class logits of all rows (N, Y) float64, on the CPU, in evaluation mode."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([class_logits(model, batch, inputs).cpu() for batch in batches]).double()


def label_metrics(model: nn.Module, batches: Iterable[Batch], inputs: InputSpec) -> Metrics:
    """Loss and accuracy of a model on batches."""
    labels: list[Tensor] = []

    def watched() -> Iterator[Batch]:
        for batch in batches:  # one at a time: all of them together may be large
            labels.append(batch.y.cpu())
            yield batch

    logits = predict_logits(model, watched(), inputs)
    return classification_metrics(logits.numpy(), torch.cat(labels).numpy())


class LabelObjective:
    """Cross-entropy of the label, nothing masked."""

    def __init__(self, inputs: InputSpec) -> None:
        self.inputs = inputs

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy in nats."""
        return label_losses(model, batch, self.inputs).mean()

    def validate(self, model: nn.Module, feed: Feed) -> dict[str, float]:
        """Loss and accuracy on validation, and on a fixed sample of the clean training rows."""
        val = label_metrics(model, feed.validation(), self.inputs)
        sample = label_metrics(model, feed.train_sample(), self.inputs)
        return {
            "val_loss": val.loss,
            "val_acc": val.acc,
            "train_sample_loss": sample.loss,
            "train_sample_acc": sample.acc,
        }

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """Validation accuracy; the loss decides between equals."""
        return metrics["val_acc"], -metrics["val_loss"]
