"""Every random number of the project: separate streams, each a function of (seed, stream, counter).

The streams are counter-based: what is drawn at step t depends on t and not on what was drawn before. A resumed
training therefore needs its step and nothing else, and no stream can disturb another. What is drawn for one sequence
of a batch is in ``draws.py``.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Stream = Literal[
    "data",
    "split",
    "init",
    "pretrain-batches",
    "label-batches",
    "masks",
    "validation-masks",
    "dropout",
    "sample",
    "noise",
    "shuffle",
    "curvature",
    "train-sample",
    "pair-sample",
    "label-masks",
    "cutmix",
    "fraction",
    "random-labels",
    "partner",
]
# A stream's number is part of every published result: add names at the end, never move one.
_NUMBERS: dict[Stream, int] = {name: number for number, name in enumerate(get_args(Stream), start=1)}


def numpy_stream(seed: int, stream: Stream, counter: int = 0) -> np.random.Generator:
    """NumPy generator of one stream at one counter value.

    >>> bool(numpy_stream(0, "data").random() == numpy_stream(0, "data").random())
    True
    >>> bool(numpy_stream(0, "data").random() == numpy_stream(0, "split").random())
    False
    """
    return np.random.default_rng([seed, _NUMBERS[stream], counter])


def torch_stream(seed: int, stream: Stream, counter: int = 0) -> "torch.Generator":
    """CPU torch generator of one stream at one counter value (CPU, so that devices draw alike)."""
    import torch  # here, so that reading data does not wait for torch

    return torch.Generator().manual_seed(stream_state(seed, stream, counter))


@lru_cache(maxsize=256)
def stream_state(seed: int, stream: Stream, counter: int = 0) -> int:
    """64 bits that name a stream at one counter value."""
    return int(np.random.SeedSequence([seed, _NUMBERS[stream], counter]).generate_state(1, np.uint64)[0])


def batch_indices(seed: int, stream: Stream, step: int, batch_size: int, n_rows: int) -> NDArray[np.int64]:
    """Rows of batch ``step``: consecutive slices of one shuffled epoch after another.

    Every row comes once an epoch and every batch is full; a batch may end one epoch and begin the next.

    Args:
        step: zero-based.
        batch_size: rows a batch, at most ``n_rows``.

    >>> first_epoch = [batch_indices(0, "label-batches", step, 2, 6) for step in range(3)]
    >>> sorted(int(i) for i in np.concatenate(first_epoch))
    [0, 1, 2, 3, 4, 5]
    """
    start = step * batch_size
    epochs = range(start // n_rows, (start + batch_size - 1) // n_rows + 1)
    order = np.concatenate([_epoch_order(seed, stream, epoch, n_rows) for epoch in epochs])
    offset = start - epochs[0] * n_rows
    return order[offset : offset + batch_size]


@lru_cache(maxsize=4)  # of the training that this process is in the middle of
def _epoch_order(seed: int, stream: Stream, epoch: int, n_rows: int) -> NDArray[np.int64]:
    return numpy_stream(seed, stream, epoch).permutation(n_rows)
