"""Sequences of different lengths, stored end to end: the form in which all data pass from a file to a task.

Shapes: N sequences, P positions in all, C channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """N sequences, one after the other.

    Attributes:
        entries: (P,) codes of symbols or bytes, small unsigned integers; or (P, C) numbers.
        lengths: (N,) positions of each sequence.
        names: the symbol of each code; None where entries are not symbols.
    """

    entries: NDArray[Any]
    lengths: NDArray[np.int64]
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, parts: Sequence[NDArray[Any]], names: tuple[str, ...] | None = None) -> "Sequences":
        """From an array for each sequence, (T,) or (T, C)."""
        return cls(np.concatenate(parts), np.array([len(part) for part in parts], dtype=np.int64), names)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.concatenate(([0], np.cumsum(self.lengths)))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> NDArray[Any]:
        """One sequence, (T,) or (T, C)."""
        return self.entries[self._starts[number] : self._starts[number + 1]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[number] for number in range(len(self)))

    def rows(self, index: NDArray[np.int64]) -> "Sequences":
        """The sequences of ``index``, in its order."""
        lengths = self.lengths[index]
        where: Any = consecutive(index)
        if isinstance(where, slice):
            entries = self.entries[self._starts[where.start] : self._starts[where.stop]]
        elif len(self) and (self.lengths == self.lengths[0]).all():
            rest = self.entries.shape[1:]
            entries = self.entries.reshape(len(self), -1, *rest)[index].reshape(-1, *rest)
        else:
            entries = self.entries[np.repeat(self._starts[index], lengths) + _positions(lengths)]
        return replace(self, entries=entries, lengths=lengths)

    def cut(self, longest: int) -> "Sequences":
        """The same, longer sequences cut."""
        if self.lengths.max(initial=0) <= longest:
            return self
        kept = _positions(self.lengths) < longest
        return replace(self, entries=self.entries[kept], lengths=np.minimum(self.lengths, longest))

    def throughout(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which sequences (N,) have only positions that are chosen (P,).

        >>> Sequences(np.array([1, 2, 3]), np.array([1, 2])).throughout(np.array([True, True, False])).tolist()
        [True, False]
        """
        all_chosen: NDArray[np.bool_] = np.logical_and.reduceat(chosen, self._starts[:-1])
        return all_chosen

    def without_tails(self, absent: NDArray[np.bool_]) -> "Sequences":
        """The same without the positions at each sequence's end that are absent (P,).

        >>> x = Sequences(np.array([1, 2, 3, 4]), np.array([3, 1]))
        >>> x.without_tails(np.array([True, False, True, False])).lengths.tolist()
        [2, 1]
        """
        if not absent.any():
            return self
        place = _positions(self.lengths)
        lengths = np.maximum.reduceat(np.where(absent, 0, place + 1), self._starts[:-1])
        return replace(self, entries=self.entries[place < np.repeat(lengths, self.lengths)], lengths=lengths)

    def filled_forward(self, absent: NDArray[np.bool_]) -> NDArray[Any]:
        """The entries, with the last one before it in its sequence, if there is one, for each that is absent.

        >>> x = Sequences(np.array([1, 0, 0, 4]), np.array([2, 2]))
        >>> x.filled_forward(np.array([False, True, True, False])).tolist()
        [1, 1, 0, 4]
        """
        place = np.arange(len(self.entries)).reshape(-1, *[1] * (self.entries.ndim - 1))
        first = np.repeat(self._starts[:-1], self.lengths).reshape(place.shape)
        last = np.maximum.accumulate(np.where(absent, -1, place), axis=0)
        source = np.where(last >= first, last, place)
        filled: NDArray[Any] = np.take_along_axis(self.entries, source, axis=0)
        return filled

    def padded(self, length: int) -> NDArray[Any]:
        """One array (N, T) or (N, T, C), filled up with zeros; sequences are no longer than ``length``.

        >>> Sequences(np.array([1, 2, 3]), np.array([1, 2])).padded(3).tolist()
        [[1, 0, 0], [2, 3, 0]]
        """
        if bool((self.lengths == length).all()):
            return self.entries.reshape(len(self), length, *self.entries.shape[1:])
        x = np.zeros((len(self), length, *self.entries.shape[1:]), dtype=self.entries.dtype)
        x[np.arange(length) < self.lengths[:, None]] = self.entries
        return x

    @classmethod
    def joined(cls, parts: "Sequence[Sequences]") -> "Sequences":
        """One after the other; codes are translated where parts have other codes for their symbols.

        >>> a, b = (Sequences(np.array([0, 1]), np.array([2]), names) for names in (("x", "y"), ("y", "z")))
        >>> both = Sequences.joined([a, b])
        >>> both.entries.tolist(), both.names
        ([0, 1, 1, 2], ('x', 'y', 'z'))
        """
        names = tuple(dict.fromkeys(name for part in parts for name in part.names or ()))
        entries = [part.entries for part in parts]
        if parts[0].names is not None:
            code = {name: number for number, name in enumerate(names)}
            small = np.min_scalar_type(len(names))
            tables = [np.array([code[name] for name in part.names or ()], dtype=small) for part in parts]
            entries = [table[codes] for table, codes in zip(tables, entries, strict=True)]
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate(entries), lengths, None if parts[0].names is None else names)


def consecutive(index: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Row numbers as a slice where they follow each other: it copies nothing, and images come by the gigabyte."""
    if len(index) and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def _positions(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) the position of each entry in its sequence."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def interleaved(columns: Sequence[Sequences]) -> Sequences:
    """Sequences of a table's columns, row by row: a row's first sequence, then its second, and so on."""
    if len(columns) == 1:
        return columns[0]
    order = np.arange(len(columns) * len(columns[0])).reshape(len(columns), -1).T.ravel()
    return Sequences.joined(columns).rows(order)
