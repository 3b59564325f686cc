"""Sequences of very different lengths in one batch, without paying for their padding.

The rows of a batch are put into groups of similar lengths, each group is computed by itself, and what comes out is put
back in order. Every row is computed as before, so results are equal but for rounding.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


def back_in_order(parts: list[Tensor], groups: list[Tensor], counts: Tensor) -> Tensor:
    """Entries of groups, in the order of the batch's rows.

    Args:
        parts: of each group (E, ...), the entries of its rows one after the other.
        groups: row numbers.
        counts: (B,) entries of each row.
    """
    rows = torch.cat(groups)
    taken = counts[rows]
    first = (counts.cumsum(0) - counts)[rows]  # where a row's entries begin in the end
    within = torch.arange(int(taken.sum()), device=counts.device) - (taken.cumsum(0) - taken).repeat_interleave(taken)
    place = first.repeat_interleave(taken) + within
    return torch.cat(parts)[place.argsort()]
