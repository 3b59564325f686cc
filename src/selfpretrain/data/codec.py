"""The codec of a data set: how its rows become numbers; fitted on training rows, and saved with every model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import AllowMissing, KindName
from selfpretrain.data.cells import check_channels
from selfpretrain.data.columns import are_numbers, sequence_columns
from selfpretrain.data.kinds import BYTES, KINDS, InputSpec
from selfpretrain.data.memory import column, columns_of, unwrapped
from selfpretrain.data.schema import AS_USUAL, Schema
from selfpretrain.data.sequences import Sequences, interleaved
from selfpretrain.data.spelling import MISSING, refuse
from selfpretrain.errors import RequestError


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How rows of one data set become arrays, and what its classes are called.

    Attributes:
        classes: class names, in the order of the model's logits.
        length: positions of the longest training sequence; longer rows are cut.
        vocabulary: the symbols; ids index it, and ``len(vocabulary)`` is the unknown symbol. Empty for other kinds.
        mean, std: of each channel over the real positions of the labelled training sequences; empty for symbols.
        allow_missing: how missing and infinite values are filled; False refuses them.
        per_row: sequences of a row: 1, or the 2 of a pair.
        schema: how rows were read, and the names of their columns. Not part of what the numbers hang on.
        shortest: positions of the shortest training sequence.
    """

    kind: KindName
    classes: tuple[str, ...]
    length: int
    vocabulary: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    allow_missing: AllowMissing = False
    per_row: int = 1
    schema: Schema = field(default=AS_USUAL, repr=False, compare=False)
    shortest: int = field(default=1, repr=False, compare=False)

    @classmethod
    def fit(
        cls, kind: KindName, classes: Sequence[str], train: Sequences, *, labelled: Sequences, **settings: Any
    ) -> "Codec":
        """The codec of these training sequences; ``labelled`` are those with a label, for means and deviations.

        Raises:
            RequestError: a channel without any value.
        """
        shortest, length = int(train.lengths.min()), int(train.lengths.max())
        fitted = KINDS[kind].fit(train, labelled)
        return cls(kind=kind, classes=tuple(classes), length=length, shortest=shortest, **fitted, **settings)

    @cached_property
    def inputs(self) -> InputSpec:
        return InputSpec(
            kind=self.kind,
            symbols=BYTES if self.kind == "bytes" else len(self.vocabulary),
            channels=len(self.mean),
            length=self.length,
            classes=len(self.classes),
            per_row=self.per_row,
        )

    def arrays(self, sequences: Sequences) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """One zero-padded array (N, T) of ids or (N, T, C) of float32, see ``Kind.encode``, and the lengths (N,)."""
        cut = sequences.cut(self.length)
        return Sequences(KINDS[self.kind].encode(self, cut), cut.lengths).padded(self.length), cut.lengths

    def unknown(self, sequences: Sequences) -> NDArray[np.bool_]:
        """Which entries (P,) are symbols that training never had; missing ones, which are filled, are not among them.

        >>> codec = Codec(kind="symbols", classes=("0", "1"), length=2, vocabulary=("a", "b"))
        >>> codec.unknown(Sequences(np.array([0, 1]), np.array([2]), ("a", "z"))).tolist()
        [False, True]
        """
        if sequences.names is None:
            return np.zeros(len(sequences.entries), dtype=np.bool_)
        known = {*self.vocabulary, MISSING}
        is_unknown = np.array([name not in known for name in sequences.names], dtype=np.bool_)
        chosen: NDArray[np.bool_] = is_unknown[sequences.entries]
        return chosen

    def encode(self, rows: Any, where: Path | str = "rows") -> tuple[NDArray[Any], NDArray[np.int64]]:
        """``arrays`` of raw rows, see ``parse``."""
        return self.arrays(self.parse(rows, where))

    def parse(self, rows: Any, where: Path | str = "rows") -> Sequences:
        """The sequences of raw rows, as they stand in a file or as Python has them; those of a pair side by side.

        Args:
            rows: each a string, a list or an array; for values a list of lists has channels. A pair is two of these.
                Or a frame, whose columns are found by the names that training had.
            where: what to call them in a refusal.

        Raises:
            RequestError: rows that cannot be read as this kind, or a frame without a column of training.
        """
        rows = list(rows) if isinstance(rows, Iterator) else rows
        if hasattr(rows, "iloc") and len(rows.shape) == 1 and all(isinstance(name, str) for name in rows.index):
            raise RequestError(f"{where}: one row of a frame; give frame.iloc[[0]], or a list of rows")
        frame = columns_of(rows)
        columns: list[Any]
        if frame is not None:
            columns = sequence_columns(where, frame, self.schema)[0]
        elif len(cells := column(where, rows)) == 0:
            raise RequestError(f"{where}: there are no rows; give one or more")
        else:
            is_single = self.per_row == 1
            columns = [unwrapped(cells)] if is_single else pair_columns(where, cells, tuple | list | np.ndarray)
        parsed = []
        for cells in columns:
            if are_numbers(cells):
                cure = "Reshape your data: for one row give [row], for several an array (N, T)"
                raise RequestError(f"{where}: {len(cells)} rows of one number each, or one sequence. {cure}")
            sequences = KINDS[self.kind].parse(where, cells, self.schema, self.allow_missing).sequences
            if len(sequences) > 1 and sequences.lengths.max() == 1 < self.shortest:
                problem = f"every row has one entry, and those of training had {self.shortest} or more"
                raise RequestError(f"{where}: {problem}; for one row give [row]")
            check_channels(where, sequences, len(self.mean), "training")
            parsed.append(sequences)
        if frame is None and self.schema.form == "steps":
            self._check_steps(where, max(int(sequences.lengths.max()) for sequences in parsed))
        return interleaved(parsed)

    def _check_steps(self, where: Path | str, longest: int) -> None:
        """Refuse rows without names that cannot be those of the columns of training."""
        names, cure = self.schema.sequence, "give a frame, whose columns are found by name"
        if longest > len(names):
            problem = f"{longest} entries a row, and training had {len(names)} columns, {names[0]} to {names[-1]}"
            raise RequestError(f"{where}: {problem}; {cure}")
        if self.schema.reordered:
            problem = f"training's columns were put in the order {names[0]}, {names[1]} .. {names[-1]}"
            raise RequestError(f"{where}: {problem}, and rows without names may have another; {cure}")


def pair_columns(where: Path | str, rows: Sequence[Any], pair: Any = tuple) -> list[Sequence[Any]]:
    """The first sequences of all rows, and the second ones; ``pair`` is the type of a row."""
    for number, row in enumerate(rows):
        if not isinstance(row, pair) or len(row) != 2:
            refuse(where, number, "is not a pair; give (first, second), as other rows have")
    return list(zip(*rows, strict=True))
