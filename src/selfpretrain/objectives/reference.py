"""The losses between which self-pretraining moves: the best without context, and the lowest possible.

Shapes: B batch, T positions, V symbols, C channels, M chosen positions.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig
from selfpretrain.feed import Feed
from selfpretrain.kinds import KINDS, InputSpec
from selfpretrain.objectives.reconstruction import ReconstructionObjective
from selfpretrain.tasks.task import Posterior, Split

TABLE_POSITIONS = 2**24
"""Positions from which a table is taken, of rows at even distances (ours); torch takes no median of more."""


class ContextFree(nn.Module):
    """A "model" that answers every position from a table, whatever stands around it.

    Args:
        table: (T, V+1) log frequencies, or (T, C).
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.float())

    def forward(self, x: Tensor, keep_mask: Tensor | None, chosen: Tensor, keys: Tensor | None = None) -> Tensor:
        """Predictions at the chosen positions, as from ``SequenceModel``."""
        return self.table[chosen.nonzero()[:, 1]]


def loss_without_context(config: ObjectiveConfig, inputs: InputSpec, feed: Feed) -> float:
    """Validation loss of the best of these tables, on the masks on which the model is validated.

    Frequencies (symbols, bytes) or medians or means (values) of the training rows: over all positions, and by position
    where all training sequences are equally long. Of more than ``TABLE_POSITIONS`` positions some rows are taken.
    """
    objective = ReconstructionObjective(config, inputs)
    models = (ContextFree(table).to(feed.device) for table in _tables(feed.rows, config, inputs))
    return min(objective.validate(model, feed)["val_loss"] for model in models)


class KnownLaw(nn.Module):
    """A "model" that knows the law of the sequences, and so answers as well as can be."""

    def __init__(self, posterior: Posterior, inputs: InputSpec) -> None:
        super().__init__()
        self.posterior, self.inputs = posterior, inputs

    def forward(self, x: Tensor, keep_mask: Tensor | None, chosen: Tensor, keys: Tensor | None = None) -> Tensor:
        """Log probabilities (M, V+1) of the chosen positions; the unknown symbol never occurs."""
        hidden = torch.where(x == self.inputs.mask_id, -1, x.long()).cpu().numpy()
        known = torch.from_numpy(self.posterior(hidden)).float().to(x.device)
        return nn.functional.pad(known, (0, 1), value=-torch.inf)[chosen]


def lowest_loss(config: ObjectiveConfig, inputs: InputSpec, feed: Feed, posterior: Posterior | None) -> float | None:
    """The lowest validation loss that any model can expect, on the same masks; None where nobody knows it.

    Args:
        posterior: the task's.
    """
    if posterior is None or config.objective == "causal" or config.control != "none":
        return None
    return ReconstructionObjective(config, inputs).validate(KnownLaw(posterior, inputs), feed)["val_loss"]


def _tables(rows: Split, config: ObjectiveConfig, inputs: InputSpec) -> Iterator[Tensor]:
    kind, length = KINDS[inputs.kind], rows.x.shape[1]
    most = max(1, TABLE_POSITIONS // (length * rows.per_row))
    if len(rows) > most:
        rows = rows.rows(np.linspace(0, len(rows) - 1, most).astype(np.int64))
    x, lengths = torch.from_numpy(rows.x), torch.from_numpy(rows.lengths)
    x = x if x.is_floating_point() else x.long()
    overall = kind.constant(x[torch.arange(length) < lengths[:, None]], inputs, config, None)
    yield overall.expand(length, -1)
    if int(lengths.min()) == length and config.control != "shuffled":
        here = torch.stack([kind.constant(x[:, t], inputs, config, overall) for t in range(length)])
        yield here.roll(-1, dims=0) if config.objective == "causal" else here  # position t predicts the next
