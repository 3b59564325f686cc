"""Two reference losses of self-pretraining: the best without context, and the lowest possible.

Shapes: B batch, T positions, V symbols, C channels, M chosen positions.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from selfpretrain.data.feed import Feed
from selfpretrain.data.task import Posterior, Split
from selfpretrain.model.transformer import Outputs
from selfpretrain.train.objectives import Causal, Reconstruction

TABLE_POSITIONS = 2**24
"""A table is made of at most this many positions, of rows at even distances (ours); torch takes no median of more."""


def loss_without_context(objective: Reconstruction, feed: Feed) -> float:
    """Validation loss of the best table, on the masks on which the model is validated.

    Frequencies (symbols, bytes) or medians or means (values) of the training rows: over all positions, and by position
    where all training sequences are equally long. Of more than ``TABLE_POSITIONS`` positions some rows are taken.
    """

    def loss(table: Tensor) -> float:
        table = table.float().to(feed.device)

        def predict(x: Tensor, keep_mask: Tensor | None, chosen: Tensor, *rest: Any, labels: bool) -> Outputs:
            return Outputs(None, table[chosen.nonzero()[:, 1]])

        return objective.validate(predict, feed)["val_loss"]

    return min(map(loss, _tables(feed.rows, objective)))


def lowest_loss(objective: Reconstruction, feed: Feed, posterior: Posterior | None) -> float | None:
    """The lowest validation loss that any model can expect, on the same masks; None where it is unknown."""
    if posterior is None or isinstance(objective, Causal) or objective.control != "none":
        return None

    def predict(x: Tensor, keep_mask: Tensor | None, chosen: Tensor, *rest: Any, labels: bool) -> Outputs:
        """Log probabilities (M, V+1) by the law of the sequences; the unknown symbol never occurs."""
        hidden = torch.where(x == objective.inputs.mask_id, -1, x.long()).cpu().numpy()
        known = torch.from_numpy(posterior(hidden)).float().to(x.device)
        return Outputs(None, F.pad(known, (0, 1), value=-torch.inf)[chosen])

    return objective.validate(predict, feed)["val_loss"]


def _tables(rows: Split, objective: Reconstruction) -> Iterator[Tensor]:
    """Log frequencies (T, V+1), or values (T, C)."""
    kind, inputs, length = objective.kind, objective.inputs, rows.x.shape[1]
    most = max(1, TABLE_POSITIONS // (length * rows.per_row))
    if len(rows) > most:
        rows = rows.rows(np.linspace(0, len(rows) - 1, most).astype(np.int64))
    x, lengths = torch.from_numpy(rows.x), torch.from_numpy(rows.lengths)
    x = x if x.is_floating_point() else x.long()
    overall = kind.constant(x[torch.arange(length) < lengths[:, None]], inputs, objective.loss_name, None)
    yield overall.expand(length, -1)
    if int(lengths.min()) == length and objective.control != "shuffled":
        by_position = [kind.constant(x[:, t], inputs, objective.loss_name, overall) for t in range(length)]
        yield objective.targets(torch.stack(by_position)[None])[0]
