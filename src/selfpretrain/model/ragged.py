"""Sequences of very different lengths in one batch, at little cost for their padding.

The rows of a batch are put into groups of similar lengths, each group goes through the model by itself, and the outputs
are put back in order. Every row is computed as before, so results are equal but for rounding.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfpretrain.data.task import sequences_of
from selfpretrain.model.transformer import Outputs

GROUP_POSITIONS = 256
"""What one more group costs, in positions (ours; about the work of its calls on a CPU at width 64)."""


def length_groups(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Row numbers in groups, for which padded positions and the cost of the groups are least; by dynamic programming.

    Args:
        lengths: (B,).

    >>> [group.tolist() for group in length_groups(np.array([900, 100, 880, 110]))]
    [[1, 3], [2, 0]]
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    rows = np.arange(len(ordered))
    least = np.zeros(len(ordered) + 1)  # least[k]: cost of the k shortest
    begins = np.zeros(len(ordered), dtype=np.int64)
    for last, longest in enumerate(ordered):
        costs = least[: last + 1] + (last + 1 - rows[: last + 1]) * longest + GROUP_POSITIONS
        begins[last] = costs.argmin()
        least[last + 1] = costs[begins[last]]
    groups, stop = [], len(ordered)
    while stop > 0:
        groups.append(order[begins[stop - 1] : stop])
        stop = int(begins[stop - 1])
    return groups[::-1]


class ByLength:
    """A model that is called once for each group of rows of similar lengths.

    Args:
        model: maps (x, keep_mask, chosen, keys) to ``Outputs``: a ``SequenceModel``, compiled or wrapped, too.
        per_row: sequences of a row, which stay together.
    """

    def __init__(self, model: Callable[..., Outputs], per_row: int = 1) -> None:
        self.model, self.per_row = model, per_row

    def __call__(
        self,
        x: Tensor,
        keep_mask: Tensor | None = None,
        chosen: Tensor | None = None,
        keys: Tensor | None = None,
        *,
        labels: bool = True,
    ) -> Outputs:
        if keep_mask is None:
            return self.model(x, None, chosen, keys, labels=labels)
        lengths = keep_mask.sum(-1).cpu().numpy()
        groups = length_groups(lengths.reshape(-1, self.per_row).max(axis=1))
        if len(groups) == 1:
            return self.model(x, keep_mask, chosen, keys, labels=labels)
        sequences, outputs = [], []
        for group in groups:
            index = sequences_of(group, self.per_row)
            rows, longest = torch.from_numpy(index).to(x.device), int(lengths[index].max())
            keep = None if int(lengths[index].min()) == longest else keep_mask[rows, :longest]
            some = None if chosen is None else chosen[rows, :longest]
            own = None if keys is None else keys[rows]
            outputs.append(self.model(x[rows, :longest], keep, some, own, labels=labels))
            sequences.append(rows)
        order = torch.from_numpy(np.concatenate(groups)).to(x.device).argsort()
        logits = (
            torch.cat([output.logits for output in outputs if output.logits is not None])[order] if labels else None
        )
        if chosen is None:
            return Outputs(logits, None)
        rows = torch.cat(sequences)
        row_of_entry = rows.repeat_interleave(chosen.sum(-1)[rows])
        predictions = torch.cat([output.predictions for output in outputs if output.predictions is not None])
        return Outputs(logits, predictions[row_of_entry.argsort(stable=True)])
