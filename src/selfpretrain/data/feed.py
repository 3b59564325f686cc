"""What a training is fed: batch t of its rows, and the rows it is validated on.

Shapes: B rows of a batch, S sequences of a row (1 or 2), T positions, C channels.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfpretrain.config import PhaseName
from selfpretrain.data.task import Split, Task, sequences_of
from selfpretrain.draws import Draws, below
from selfpretrain.streams import Stream, batch_indices, numpy_stream

EVALUATION_POSITIONS = 2**14
"""Positions of an evaluation batch, padding included (ours); its memory does not grow with the sequences."""
RESIDENT_SHARE = 0.25
"""Of a GPU's free memory, for training sequences that stay there (ours); without room each batch is copied."""
TRAIN_SAMPLE = 512
"""Training sequences on which the clean training accuracy is followed (ours)."""


@dataclass(frozen=True)
class Batch:
    """Sequences on the device, trimmed to the longest of them.

    Attributes:
        x: symbols (B S, T) int64, or values (B S, T, C) float32; nothing is masked yet.
        keep_mask: (B S, T), True = a real position; None when all are.
        y: (B,) classes.
        draws: source of each sequence's random draws.
        dropout_keys: (B S,) for the model's dropout; None where it has none.
        partner: another row of the split for each row, drawn by (seed, step, row); None unless the feed was asked.
    """

    x: Tensor
    keep_mask: Tensor | None
    y: Tensor
    draws: Draws
    dropout_keys: Tensor | None = None
    partner: "Batch | None" = None

    @property
    def per_row(self) -> int:
        """Sequences of a row S."""
        return len(self.x) // len(self.y)

    @property
    def real(self) -> Tensor:
        """(B S, T), True = a real position."""
        if self.keep_mask is None:
            return torch.ones(self.x.shape[:2], dtype=torch.bool, device=self.x.device)
        return self.keep_mask

    @property
    def lengths(self) -> Tensor:
        """(B S,) real positions."""
        return self.real.sum(1)


def over_positions(index_or_mask: Tensor, x: Tensor) -> Tensor:
    """(B, T) as wide as ``x``: (B, T) or (B, T, C)."""
    return index_or_mask[(..., *(None,) * (x.dim() - 2))].expand(*index_or_mask.shape, *x.shape[2:])


def resident(x: NDArray[Any], device: torch.device) -> Tensor | None:
    """The sequences on a device that has memory of its own, and room; else None."""
    if device.type != "cuda":
        return None
    wide = x.dtype.kind == "u" and x.dtype != np.uint8  # of the unsigned types only bytes can be gathered everywhere
    needed = x.size * 8 if wide else x.nbytes
    if needed > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    return torch.tensor(x.astype(np.int64) if wide else x).to(device)


def make_batch(
    rows: Split,
    device: torch.device,
    *,
    seed: int = 0,
    step: int = 0,
    dropout: bool = False,
    x: Tensor | None = None,
) -> Batch:
    """Copy rows to the device; ``seed`` and ``step`` decide what is drawn for them.

    Args:
        x: their sequences, if they are there already.
    """
    longest = int(rows.lengths.max())
    keep_mask = None
    if int(rows.lengths.min()) < longest:
        lengths = torch.tensor(rows.lengths)
        keep_mask = (torch.arange(longest) < lengths[:, None]).to(device)
    x = torch.tensor(rows.x[:, :longest]).to(device) if x is None else x[:, :longest]
    if not x.is_floating_point():
        x = x.long()  # small integers until here, what an embedding takes from here on
    draws = Draws(seed, step, torch.tensor(rows.sequence_numbers).to(device))
    keys = draws.keys("dropout") if dropout else None
    return Batch(x, keep_mask, torch.tensor(rows.y).to(device), draws, keys)


def evaluation_batches(rows: Split, device: torch.device, *, seed: int = 0) -> Iterator[Batch]:
    """All rows in order, as many at a time as have ``EVALUATION_POSITIONS`` together."""
    size = max(1, EVALUATION_POSITIONS // (rows.per_row * int(rows.lengths.max())))
    for start in range(0, len(rows), size):
        yield make_batch(rows.rows(np.arange(start, min(start + size, len(rows)))), device, seed=seed)


@dataclass(eq=False)
class Feed:
    """The batches of one phase with one seed. Batch t depends on t alone, so a training can go on at any step.

    Args:
        task: whose rows.
        phase: self-pretraining also sees rows without a label; phases differ in the order of their rows.
        seed: decides that order, and everything that is drawn for the rows.
        batch_size: in rows.
        device: of the batches.
        dropout: whether the model drops anything.
        partners: whether each row comes with a partner.
    """

    task: Task
    phase: PhaseName
    _: KW_ONLY
    seed: int
    batch_size: int
    device: torch.device
    dropout: bool = False
    partners: bool = False

    def __post_init__(self) -> None:
        of_pretraining = self.phase == "pretrain"
        self.rows, self.val = self.task.pretrain_rows if of_pretraining else self.task.train, self.task.val
        self.stream: Stream = "pretrain-batches" if of_pretraining else "label-batches"
        self.resident = resident(self.rows.x, self.device)

    def batch(self, step: int) -> Batch:
        """The batch of zero-based ``step``."""
        index = batch_indices(self.seed, self.stream, step, self.batch_size, len(self.rows))
        x = None
        if self.resident is not None:
            x = self.resident[torch.from_numpy(sequences_of(index, self.rows.per_row)).to(self.device)]
        batch = make_batch(self.rows.rows(index), self.device, seed=self.seed, step=step, dropout=self.dropout, x=x)
        return self._with_partner(batch, self.rows)

    def validation(self) -> Iterator[Batch]:
        """The validation rows; their draws stay the same for the whole training."""
        return (self._with_partner(b, self.val) for b in evaluation_batches(self.val, self.device, seed=self.seed))

    def training(self) -> Iterator[Batch]:
        """All training rows, in order."""
        return evaluation_batches(self.rows, self.device)

    @cached_property
    def _order_of(self) -> list[NDArray[np.int64]]:
        """Of the training and the validation rows: their places in the order of row numbers."""
        return [np.argsort(rows.numbers) for rows in (self.rows, self.val)]

    @cached_property
    def _train_sample(self) -> Split:
        order = numpy_stream(0, "train-sample").permutation(len(self.rows))
        return self.rows.rows(order[:TRAIN_SAMPLE])

    def train_sample(self) -> Iterator[Batch]:
        """A fixed random sample of the training rows; a file's rows may be sorted by class."""
        return evaluation_batches(self._train_sample, self.device)

    def _with_partner(self, batch: Batch, rows: Split) -> Batch:
        """Each row with another row of the split, drawn by (seed, step, row) and so whatever batch it stands in."""
        if not self.partners:
            return batch
        numbers = batch.draws.rows[:: batch.per_row] // batch.per_row  # row numbers in the file
        order = self._order_of[rows is self.val]
        places = torch.from_numpy(order[np.searchsorted(rows.numbers, numbers.cpu().numpy(), sorter=order)])
        keys = replace(batch.draws, rows=numbers).keys("partner").cpu()
        other = (places + 1 + below(keys, max(len(rows) - 1, 1))) % len(rows)
        return replace(batch, partner=make_batch(rows.rows(other.numpy()), self.device))
