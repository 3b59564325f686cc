"""From raw rows to numbers: fitted on training rows, and saved with every model, so that a model can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind
from selfpretrain.errors import RequestError
from selfpretrain.kinds import InputSpec
from selfpretrain.tasks import checks
from selfpretrain.tasks.parsing import Sequences, interleaved, numbers_first, parse_cells

BYTES = 256


class Coded(NamedTuple):
    """Sequences of symbols whose entries are coded once: each entry indexes ``table``."""

    sequences: Sequences
    table: NDArray[np.str_]


def code_symbols(sequences: Sequences) -> Coded:
    """Sequences of text as indices of a table of all of them, in the order of first sight."""
    seen: dict[str, int] = {}
    coded = [np.array([seen.setdefault(s, len(seen)) for s in row.tolist()], dtype=np.int32) for row in sequences]
    return Coded(coded, np.array(list(seen), dtype=np.str_))


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How rows of one data set become arrays, and what its classes are called.

    Attributes:
        classes: class names, in the order of the model's logits.
        length: positions of the longest training sequence; longer rows are cut.
        vocabulary: the symbols; ids index it, and ``len(vocabulary)`` is the unknown symbol. Empty for other kinds.
        mean, std: of each channel over the real positions of the labelled training sequences; empty for symbols.
        allow_missing: whether missing and infinite values become the mean, or are refused.
        per_row: sequences of a row: 1, or the 2 of a pair.
    """

    kind: Kind
    classes: tuple[str, ...]
    length: int
    vocabulary: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    allow_missing: bool = False
    per_row: int = 1

    @classmethod
    def fit(
        cls,
        kind: Kind,
        classes: Sequence[str],
        train: Sequences,
        *,
        labelled: Sequences,
        table: NDArray[np.str_] | None = None,
        allow_missing: bool = False,
        per_row: int = 1,
    ) -> "Codec":
        """The codec of these training sequences.

        Args:
            train: all of them; symbols coded by ``code_symbols``, values as they are.
            labelled: those with a label, whose values give means and deviations.
            table: of the coded symbols.

        Raises:
            RequestError: a channel without any value.
        """
        length = max(map(len, train))
        vocabulary: tuple[str, ...] = ()
        mean, std = np.empty(0), np.empty(0)
        if kind == "symbols":
            assert table is not None, "symbols come coded"
            seen = table[np.unique(np.concatenate(train))]
            vocabulary = tuple(sorted(seen.tolist(), key=numbers_first))
        if kind == "values":
            mean, std = _moments(labelled)
        return cls(
            kind=kind,
            classes=tuple(classes),
            length=length,
            vocabulary=vocabulary,
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            allow_missing=allow_missing,
            per_row=per_row,
        )

    @cached_property
    def inputs(self) -> InputSpec:
        """What a model must know."""
        return InputSpec(
            kind=self.kind,
            symbols={"symbols": len(self.vocabulary), "bytes": BYTES, "values": 0}[self.kind],
            channels=len(self.mean),
            length=self.length,
            classes=len(self.classes),
            per_row=self.per_row,
        )

    def ids(self, table: NDArray[np.str_]) -> NDArray[np.int64]:
        """The id of each entry of a table of symbols; the unknown symbol's for what training never had."""
        known = {symbol: index for index, symbol in enumerate(self.vocabulary)}
        return np.array([known.get(symbol, len(known)) for symbol in table.tolist()], dtype=np.int64)

    def arrays(
        self, sequences: Sequences, table: NDArray[np.str_] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Parsed sequences as one zero-padded array, and their lengths (N,).

        Symbols and bytes (N, T), in the smallest unsigned integers that hold them: uint8 up to 256 symbols, the
        unknown one among them. Values (N, T, C) float32, standardised, 0 where they are missing or beyond
        ``checks.LARGEST``. T is ``length``.

        Args:
            table: of symbols coded by ``code_symbols``; None for bytes and values.
        """
        lengths = np.array([min(len(sequence), self.length) for sequence in sequences], dtype=np.int64)
        if self.kind == "values":
            x: NDArray[Any] = np.zeros((len(sequences), self.length, len(self.mean)), dtype=np.float32)
            mean, std = np.array(self.mean), np.array(self.std)
            for row, sequence in zip(x, sequences, strict=True):
                kept = sequence[: self.length]
                row[: len(kept)] = np.where(np.abs(kept) < checks.LARGEST, (kept - mean) / std, 0.0)
            return x, lengths
        ids = None if table is None else self.ids(table)
        x = np.zeros((len(sequences), self.length), dtype=np.min_scalar_type(max(len(self.vocabulary), 1)))
        for row, sequence in zip(x, sequences, strict=True):
            kept = sequence[: self.length]
            row[: len(kept)] = kept if ids is None else ids[kept]
        return x, lengths

    def encode(self, rows: Sequence[Any], where: Path | str = "rows") -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Raw rows, as they stand in a file or as Python has them, as ``arrays`` gives them.

        Args:
            rows: each a string, a list or an array; for values a list of lists has channels. A pair is two of these.
            where: what to call them in a refusal.

        Raises:
            RequestError: a row that cannot be read as this kind.
        """
        if len(rows) == 0:
            raise RequestError(f"{where}: there are no rows; give one or more")
        sequences = interleaved([self._parsed(where, column) for column in _columns(where, rows, self.per_row)])
        if self.kind == "symbols":
            return self.arrays(*code_symbols(sequences))
        return self.arrays(sequences)

    def _parsed(self, where: Path | str, cells: Sequence[Any]) -> Sequences:
        sequences = parse_cells(where, cells, self.kind)
        checks.check_sequences(where, sequences, self.kind, allow_missing=self.allow_missing)
        if self.kind == "values" and sequences[0].shape[1] != len(self.mean):
            there, here = sequences[0].shape[1], len(self.mean)
            raise RequestError(f"{where}: {there} channels where training had {here}; give rows as in training")
        return sequences


def _columns(where: Path | str, rows: Sequence[Any], per_row: int) -> list[Sequence[Any]]:
    """The first sequences of all rows, then the second ones, if rows are pairs."""
    if per_row == 1:
        return [rows]
    for number, row in enumerate(rows):
        if not isinstance(row, tuple | list) or len(row) != per_row:
            checks.refuse(where, number, "is no pair, and training had pairs; give (first, second)")
    return list(zip(*rows, strict=True))


def _moments(sequences: Sequences) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel over present values; a channel that does not vary has deviation 1."""
    if all(sequence.dtype == np.uint8 for sequence in sequences):
        return _moments_of_bytes(sequences)
    observed = np.concatenate(sequences)  # (positions, C)
    observed = np.where(np.abs(observed) < checks.LARGEST, observed, np.nan)
    for channel in np.flatnonzero(np.isnan(observed).all(axis=0)):
        raise RequestError(f"channel {channel + 1} has no value at all in training; leave it out")
    mean, std = np.nanmean(observed, axis=0), np.nanstd(observed, axis=0)
    return mean, np.where(std > 0, std, 1.0)


def _moments_of_bytes(sequences: Sequences) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same of values from 0 to 255, by how often each occurs: without a copy of all of them."""
    counts = np.zeros((sequences[0].shape[1], 256), dtype=np.int64)
    for sequence in sequences:
        for channel, entries in enumerate(sequence.T):
            counts[channel] += np.bincount(entries, minlength=256)
    value, n = np.arange(256.0), counts.sum(axis=1)
    mean = (counts * value).sum(axis=1) / n
    std = np.sqrt((counts * (value - mean[:, None]) ** 2).sum(axis=1) / n)
    return mean, np.where(std > 0, std, 1.0)
