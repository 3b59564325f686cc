"""The random draws of a sequence: a function of (seed, stream, step, row), and never of its neighbours in a batch.

Padding, packing, sorting, shards and evaluation batches of another size therefore change nothing that is drawn. Each
row has a 64-bit key; its draws are the outputs of SplitMix64 from that key:

    word j of key k = mix(k + j G),   G = 2^64 / golden ratio

Source: Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA. Integers wrap around
at 64 bits, as int64 tensors do on every device.

Shapes: B sequences.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from selfpretrain.streams import Stream, stream_state


def _signed(word: int) -> int:
    """The int64 with the same 64 bits."""
    return (word + 2**63) % 2**64 - 2**63


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def mix(word: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place, on int64 words."""
    for shift, factor in _ROUNDS:
        word ^= (word >> shift) & (2 ** (64 - shift) - 1)  # a logical shift: the sign must not come along
        if factor != 1:
            word *= _signed(factor)
    return word


@dataclass(frozen=True)
class Draws:
    """Where the draws of a batch's sequences come from.

    Attributes:
        rows: (B,) int64, the number of each row in its file.
    """

    seed: int
    step: int
    rows: Tensor

    def keys(self, stream: Stream) -> Tensor:
        """The key of every row, (B,) int64."""
        state = (stream_state(self.seed, stream) + (self.step + 1) * _GOLDEN) % 2**64
        for shift, factor in _ROUNDS:  # ``mix`` of one Python integer, which is quicker
            state = (state ^ (state >> shift)) * factor % 2**64
        return mix((self.rows + 1) * _GOLDEN + _signed(state))


def words(keys: Tensor, count: int, first: int = 0) -> Tensor:
    """Words ``first`` to ``first + count - 1`` of each key: (B,) to (B, count), int64."""
    steps = torch.arange(first, first + count, device=keys.device) * _GOLDEN
    return mix(keys[:, None] + steps)


def bernoulli(keys: Tensor, count: int, probability: float) -> Tensor:
    """``count`` independent draws of each key, (B, count) bool, True with ``probability`` (to 2^-32).

    Draw t comes from one half of word 1 + t // 2, so it does not depend on ``count``.
    """
    halves = words(keys, (count + 1) // 2, first=1).view(torch.int32)
    return halves[:, :count] < min(round(probability * 2**32) - 2**31, 2**31 - 1)


def below(keys: Tensor, bound: Tensor | int, word: int = 0) -> Tensor:
    """One draw of each key from 0 to ``bound - 1``, (B,) int64.

    ``floor(u bound)`` with u of 32 bits, in integers, which every device has.

    Args:
        bound: below 2^31.
        word: which word of the key; word 0 is independent of the draws of ``bernoulli``.
    """
    return (((words(keys, 1, first=word)[:, 0] >> 32) & (2**32 - 1)) * bound) >> 32


def permutation(keys: Tensor, count: int, keep_mask: Tensor | None = None) -> Tensor:
    """A random order of the real positions of each key, (B, count) int64; padding stays where it is, at the end.

    Args:
        keep_mask: (B, count), True = a real position; None when all are.
    """
    order = words(keys, count, first=1)
    if keep_mask is not None:
        order = order.masked_fill(~keep_mask, 2**63 - 1)
    return order.argsort(dim=1, stable=True)
