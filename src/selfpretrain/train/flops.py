"""The analytic count of floating-point operations, by which compute is matched.

Counted: every matrix product, 2 operations a multiply-add; not counted: softmax, norms, activations, lookups. A
counter that watches the kernels is no substitute: on the CPU it misses fused attention, and on CUDA it charges
flash attention's recomputation, so budgets would depend on the device. Real positions count, padding does not. Of the
last block what a head reads counts: the positions that self-pretraining fills in, or the one of the poolings cls and
last. All queries count where all are computed (see ``Attention``).
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import ModelConfig
from selfpretrain.data.kinds import KINDS, InputSpec

Share = float | NDArray[np.float64]
TRAIN_FACTOR = 3
"""Forward and backward cost three forwards: each product is followed by two of its size."""


def attended_pairs(n: NDArray[np.int64], block: int | None) -> NDArray[np.int64]:
    """Pairs of positions that attend to each other: ``n^2``, or those of the same and of neighbouring blocks.

    >>> attended_pairs(np.array([5, 3]), None).tolist(), attended_pairs(np.array([5, 3]), 2).tolist()
    ([25, 9], [21, 9])
    """
    if block is None:
        return n**2
    full, rest = n // block, n % block
    neighbours = np.maximum(full - 1, 0) * block**2 + np.minimum(full, 1) * block * rest
    return full * block**2 + rest**2 + 2 * neighbours


def block_flops(
    n: NDArray[np.int64], width: int, hidden: int, block: int | None = None, asking: Share = 1.0, read: Share = 1.0
) -> NDArray[Any]:
    """Forward pass of one Transformer block: ``4 n D^2 + a (2 n D^2 + 4 P D) + r (2 n D^2 + 4 n D F)``.

    Keys and values of all positions; queries, scores and mixing of P pairs of positions, for a share a of them; outputs
    and two feed-forward layers of hidden width F for a share r.

    Args:
        n: sequence lengths, any shape.
        block: of ``attended_pairs``.
        asking, read: one number, or one for each length.

    >>> int(block_flops(np.array(128), width=64, hidden=256)) * 2  # a batch of two, as a kernel counter sees it
    33554432
    """
    projection = 2.0 * n * width**2
    attended = projection + 4 * attended_pairs(n, block) * width
    return 2 * projection + asking * attended + read * (projection + 4 * n * width * hidden)


def encoder_flops(
    config: ModelConfig, inputs: InputSpec, lengths: NDArray[np.int64], positions: float | None = None
) -> float:
    """Forward pass of embedding and blocks for one sequence, the mean over ``lengths`` (N,).

    Args:
        positions: that are read of a sequence, on average, in whole patches; None: those that pooling reads. At most
            all.
    """
    n = -(-lengths // config.patch) + (config.pooling == "cls")
    embedding = lengths * KINDS[inputs.kind].embedding_flops(inputs, config.width)
    of_blocks = partial(block_flops, n, config.width, config.hidden_width, config.attention_block)
    read: Share = 1.0
    if positions is not None:
        read = min(1.0, positions / config.patch / float(np.mean(n)))
    elif config.pooling in ("cls", "last"):
        read = 1.0 / n
    asking = read if config.asks_alone else 1.0
    return float(np.mean(embedding + (config.depth - 1) * of_blocks() + of_blocks(asking, read)))


def label_step(
    config: ModelConfig, inputs: InputSpec, lengths: NDArray[np.int64], batch_size: int, positions: float | None = None
) -> int:
    """One step of label training on a batch of rows; ``positions`` as in ``encoder_flops``."""
    features = config.width * inputs.head_vectors
    head = 2 * features * inputs.classes
    if config.label_head == "mlp":
        head = 2 * features * config.width + 2 * config.width * inputs.classes
    return round(
        TRAIN_FACTOR * batch_size * (inputs.per_row * encoder_flops(config, inputs, lengths, positions) + head)
    )


def reconstruction_step(
    config: ModelConfig, inputs: InputSpec, lengths: NDArray[np.int64] | None, batch_size: int, positions: float
) -> int:
    """One step of self-pretraining on a batch of rows, with the head at so many positions of each sequence.

    Without ``lengths`` only the head is counted.
    """
    encoder = 0.0 if lengths is None else encoder_flops(config, inputs, lengths, positions)
    head = 2 * positions * config.width * KINDS[inputs.kind].targets(inputs)
    return round(TRAIN_FACTOR * batch_size * inputs.per_row * (encoder + head))
