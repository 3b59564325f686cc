"""Which sequences are looked at: how many, how long, and with which masks."""

from dataclasses import dataclass

import numpy as np
import torch

from selfpretrain.config import LARGE_SAMPLE, LEAST_SAMPLE, SAMPLE, DiagnoseConfig, ModelConfig, ObjectiveConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.sample import Sample
from selfpretrain.feed import make_batch
from selfpretrain.objectives.masking import choose_positions
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.task import Split, Task

SAMPLE_SCORES, LARGE_SAMPLE_SCORES = 2**27, 2**29
"""Scores, over layers and heads, that a sample may have: longer sequences are taken in smaller numbers (ours)."""


@dataclass(frozen=True)
class Sampling:
    """The sizes of what is looked at.

    Attributes:
        length: positions of every sequence; longer ones are cut.
        n_sample, n_large: sequences of the sample, and of the large one that begins with it.
    """

    length: int
    n_sample: int
    n_large: int

    @classmethod
    def of(cls, task: Task, model: ModelConfig, config: DiagnoseConfig) -> "Sampling":
        """What is asked for, or what the task's lengths allow.

        Raises:
            RequestError: a sample that the data cannot fill.
        """
        length = _common_length(task, config)
        there = int((task.train.lengths >= length).sum())

        def affordable(most: int, scores: int) -> int:
            return min(most, there, max(LEAST_SAMPLE, scores // (model.heads * model.depth * length**2)))

        n_sample = config.sample or affordable(SAMPLE, SAMPLE_SCORES)
        wanted = config.large_sample or affordable(LARGE_SAMPLE, LARGE_SAMPLE_SCORES)
        return cls(length, n_sample, min(there, max(n_sample, wanted)))

    def draw(self, rows: Split, count: int, objective: ObjectiveConfig) -> Sample:
        """``count`` of the rows that are long enough, at random but always the same, with fixed masks."""
        long_enough = np.flatnonzero(rows.lengths >= self.length)
        index = long_enough[numpy_stream(0, "sample").permutation(len(long_enough))[:count]]
        lengths = np.full(len(index), self.length)
        cut = Split(rows.x[index, : self.length], lengths, rows.y[index], rows.numbers[index])
        batch = make_batch(cut, torch.device("cpu"))
        return Sample(batch, choose_positions(batch, objective, batch.draws.keys("sample")), objective)


def _common_length(task: Task, config: DiagnoseConfig) -> int:
    """The longest length that enough sequences reach.

    Of ragged sequences as many positions in all as possible are looked at. With the lengths sorted downwards, c
    sequences share the length l_c; the c between ``LEAST_SAMPLE`` and ``SAMPLE`` that maximises c l_c is taken.
    """
    lengths = np.sort(task.train.lengths)[::-1]
    if len(lengths) < max(LEAST_SAMPLE, config.sample or 0):
        has = f"the task has {len(lengths)} training sequences"
        if len(lengths) < LEAST_SAMPLE:
            raise RequestError(f"a sample takes {LEAST_SAMPLE}, and {has}; diagnose needs more data")
        raise SettingError("sample", config.sample, f"does not fit: {has}; give {len(lengths)} or fewer")
    counts = np.arange(min(SAMPLE, len(lengths)), LEAST_SAMPLE - 1, -1)
    count = config.sample or int(counts[(counts * lengths[counts - 1]).argmax()])
    held_out = np.sort(task.val.lengths)[::-1]
    few = min(LEAST_SAMPLE, len(held_out))  # validation sequences have to reach it, too, for probes and similarity
    length = int(min(lengths[count - 1], held_out[few - 1]))
    if length < 3:
        raise RequestError(f"the task's sequences are too short to look at: they share only {length} positions")
    if length <= config.max_lag + 1:
        shared = f"{count} training and {few} validation sequences share only {length} positions"
        cure = f"give {length - 2} or fewer, or a smaller sample"
        raise SettingError("max_lag", config.max_lag, f"does not fit: {shared}; {cure}")
    return length
