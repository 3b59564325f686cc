"""What a training is fed: batch t of its rows, and the rows it is validated on.

Shapes: B rows of a batch, S sequences of a row (1 or 2), T positions, C channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from selfpretrain.config import PhaseName
from selfpretrain.draws import Draws
from selfpretrain.streams import Stream, batch_indices, numpy_stream
from selfpretrain.tasks.task import Split, Task

EVALUATION_POSITIONS = 2**14
"""Positions of an evaluation batch, padding included (ours); its memory does not grow with the sequences."""
TRAIN_SAMPLE = 512
"""Training sequences on which the clean training accuracy is followed (ours)."""


@dataclass(frozen=True)
class Batch:
    """Sequences on the device, trimmed to the longest of them.

    Attributes:
        x: symbols (B S, T) int64, or values (B S, T, C) float32; nothing is masked yet.
        keep_mask: (B S, T), True = a real position; None when all are.
        y: (B,) classes.
        draws: where each sequence's random draws come from.
        dropout_keys: (B S,) for the model's dropout; None where it has none.
    """

    x: Tensor
    keep_mask: Tensor | None
    y: Tensor
    draws: Draws
    dropout_keys: Tensor | None = None

    @property
    def per_row(self) -> int:
        """Sequences of a row S."""
        return len(self.x) // len(self.y)


def make_batch(rows: Split, device: torch.device, *, seed: int = 0, step: int = 0, dropout: bool = False) -> Batch:
    """Move rows to the device; ``seed`` and ``step`` decide what is drawn for them."""
    longest = int(rows.lengths.max())
    keep_mask = None
    if int(rows.lengths.min()) < longest:
        lengths = torch.from_numpy(rows.lengths)
        keep_mask = (torch.arange(longest) < lengths[:, None]).to(device)
    x = torch.from_numpy(rows.x[:, :longest]).to(device)
    if not x.is_floating_point():
        x = x.long()  # small integers on the way, what an embedding takes at its end
    draws = Draws(seed, step, torch.from_numpy(rows.sequence_numbers).to(device))
    keys = draws.keys("dropout") if dropout else None
    return Batch(x, keep_mask, torch.from_numpy(rows.y).to(device), draws, keys)


def evaluation_batches(rows: Split, device: torch.device, *, seed: int = 0) -> Iterator[Batch]:
    """All rows in order, so many at a time as have ``EVALUATION_POSITIONS`` together."""
    size = max(1, EVALUATION_POSITIONS // (rows.per_row * int(rows.lengths.max())))
    for start in range(0, len(rows), size):
        yield make_batch(rows.rows(np.arange(start, min(start + size, len(rows)))), device, seed=seed)


class Feed:
    """The batches of one phase with one seed. Batch t depends on t alone, so a training can go on at any step.

    Args:
        phase: self-pretraining sees rows without a label, too; phases differ in the order of their rows.
        seed: decides that order, and everything that is drawn for the rows.
        dropout: whether the model drops anything.
    """

    def __init__(
        self, task: Task, phase: PhaseName, *, seed: int, batch_size: int, device: torch.device, dropout: bool = False
    ) -> None:
        self.rows, self.val = task.pretrain_rows if phase == "pretrain" else task.train, task.val
        self.stream: Stream = "pretrain-batches" if phase == "pretrain" else "label-batches"
        self.seed, self.batch_size, self.device, self.dropout = seed, batch_size, device, dropout

    def batch(self, step: int) -> Batch:
        """The batch of zero-based ``step``."""
        index = batch_indices(self.seed, self.stream, step, self.batch_size, len(self.rows))
        return make_batch(self.rows.rows(index), self.device, seed=self.seed, step=step, dropout=self.dropout)

    def validation(self) -> Iterator[Batch]:
        """The validation rows; what is drawn for them stays the same."""
        return evaluation_batches(self.val, self.device, seed=self.seed)

    def training(self) -> Iterator[Batch]:
        """All training rows, in order."""
        return evaluation_batches(self.rows, self.device)

    def train_sample(self) -> Iterator[Batch]:
        """Training rows at random, always the same: a file's rows may be sorted by class."""
        order = numpy_stream(0, "train-sample").permutation(len(self.rows))
        return evaluation_batches(self.rows.rows(order[:TRAIN_SAMPLE]), self.device)
