"""The loss of filling in masked positions, or of predicting the next one.

Shapes: B batch, T positions, C channels, M chosen positions.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig
from selfpretrain.draws import permutation
from selfpretrain.feed import Batch, Feed
from selfpretrain.kinds import KINDS, InputSpec
from selfpretrain.objectives.masking import choose_positions


def entry_losses(model: nn.Module, batch: Batch, chosen: Tensor, config: ObjectiveConfig, inputs: InputSpec) -> Tensor:
    """Loss of every entry at the chosen positions: (M,) for symbols, (M, C) for values.

    Args:
        chosen: (B, T), as from ``choose_positions``.
    """
    kind, causal = KINDS[inputs.kind], config.objective == "causal"
    seen, truth = controlled(batch, config)
    predictions: Tensor = model(
        kind.hide(seen, None if causal else chosen, inputs), batch.keep_mask, chosen, batch.dropout_keys
    )
    if predictions.dtype == torch.bfloat16:
        predictions = predictions.float()
    return kind.losses(predictions, (truth.roll(-1, dims=1) if causal else truth)[chosen], config)


def controlled(batch: Batch, config: ObjectiveConfig) -> tuple[Tensor, Tensor]:
    """What is hidden from, and what is asked for, both (B, T) or (B, T, C): the sequences, unless this is a control.

    ``shuffled``: every sequence in a random order, the same in every epoch. ``random``: asked for is what the next
    sequence of the batch has at these positions (of a pair, the same one of the next pair), so that nothing in sight
    says it.
    """
    x = batch.x
    if config.control == "shuffled":
        order = permutation(replace(batch.draws, step=0).keys("shuffle"), x.shape[1], batch.keep_mask)
        x = x.gather(1, order if x.ndim == 2 else order[..., None].expand(x.shape))
    if config.control != "random":
        return x, x
    other = x.roll(-batch.per_row, dims=0)
    if batch.keep_mask is not None:  # a shorter neighbour is read again from its beginning
        place = torch.arange(x.shape[1], device=x.device) % batch.keep_mask.sum(1).roll(-batch.per_row)[:, None]
        other = other.gather(1, place if x.ndim == 2 else place[..., None].expand(x.shape))
    return x, other


def reconstruction_losses(
    model: nn.Module, batch: Batch, chosen: Tensor, config: ObjectiveConfig, inputs: InputSpec
) -> Tensor:
    """Mean loss of every sequence over its chosen positions, (B,); each has at least one."""
    each = entry_losses(model, batch, chosen, config, inputs)
    each = each if each.ndim == 1 else each.mean(dim=1)
    total = each.new_zeros(len(chosen)).index_add(0, chosen.nonzero()[:, 0], each)
    return total / chosen.sum(dim=1)


class ReconstructionObjective:
    """Fill in the masked positions, or predict the next one."""

    def __init__(self, config: ObjectiveConfig, inputs: InputSpec) -> None:
        self.config, self.inputs = config, inputs

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss over the entries drawn for this step."""
        entries = self._entries(model, batch, batch.draws.keys("masks"))
        return entries.sum() / max(entries.numel(), 1)  # under causal prediction single positions have no targets

    def validate(self, model: nn.Module, feed: Feed) -> dict[str, float]:
        """Loss on the validation sequences, with masks that stay the same for the whole training."""
        total, count = 0.0, 0
        for batch in feed.validation():
            entries = self._entries(model, batch, batch.draws.keys("validation-masks"))
            total, count = total + float(entries.sum()), count + entries.numel()
        return {"val_loss": total / max(count, 1)}

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """Validation loss, downwards."""
        return (-metrics["val_loss"],)

    def _entries(self, model: nn.Module, batch: Batch, keys: Tensor) -> Tensor:
        return entry_losses(model, batch, choose_positions(batch, self.config, keys), self.config, self.inputs)
