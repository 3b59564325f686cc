"""``selfpretrain predict``: classes and probabilities of the rows of a file, beside its other columns."""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray
from pyarrow import parquet

from selfpretrain.classifier import Classifier
from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import listed, sequence_columns
from selfpretrain.data.labels import typed_classes
from selfpretrain.data.packed import extension
from selfpretrain.data.table import Table
from selfpretrain.errors import RequestError, RowError, SettingError
from selfpretrain.files import write_atomically
from selfpretrain.use.rows import tables_for
from selfpretrain.watch import Note, Watch, ignore

PREDICTED, PROBABILITY = "predicted", "p_"
"""The column of the class, and what the column of a class's probability begins with."""
MOST_NAMED = 5
"""Rows that cannot be read are named up to this many (ours)."""
NOTED_ROWS = 100_000
"""Progress is said after so many rows (ours)."""
TYPES = {"int": pyarrow.int64(), "float": pyarrow.float64(), "bool": pyarrow.bool_(), "str": pyarrow.string()}
"""Of the column of classes, by the type of the labels."""
Columns = Mapping[str, Any]


@dataclass
class Scored:
    """What became of a file.

    Attributes:
        rows: rows, or sequences of a table with a row a time step.
        cut: sequences that are longer than the longest of training, and were cut to it.
        unknown: symbols that training never had, in rows that have others.
        bad: why rows could not be read, by their zero-based number.
    """

    rows: int = 0
    cut: int = 0
    unknown: int = 0
    bad: dict[int, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """For a reader: what was cut, what was unknown, and the rows without a prediction."""
        counted = {
            "{} sequences are longer than any in training and were cut to its longest": self.cut,
            "{} symbols do not occur in training and were read as unknown": self.unknown,
        }
        lines = [text.format(count) for text, count in counted.items() if count]
        if not self.bad:
            return lines
        verb = "has" if len(self.bad) == 1 else "have"
        more = [f"and {len(self.bad) - MOST_NAMED} more"] if len(self.bad) > MOST_NAMED else []
        named = [f"row {row + 1}: {problem}" for row, problem in list(self.bad.items())[:MOST_NAMED]]
        return [*lines, f"{len(self.bad)} of {self.rows} rows {verb} no prediction", *named, *more]


def predict_file(
    model: Classifier,
    path: Path,
    out: Path,
    *,
    config: TaskConfig | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    watch: Watch = ignore,
) -> Scored:
    """Write the class and the probabilities of every row beside its other columns, in the order of the file.

    CSV, Parquet and JSONL files may be larger than memory. Of a table with a row a time step every sequence gets one.

    Args:
        model: see ``load_model``.
        path: a table as ``compare`` reads it.
        out: .csv, .parquet or .jsonl; appears whole or not at all.
        config: how the text of ``path`` is spelt, and what its columns are called where they have other names.
        overwrite: replace a file that is there.
        skip_bad: leave rows that cannot be read without a prediction; otherwise the first one is refused.

    Raises:
        RequestError: the file cannot be read as the training data were, or has a column that would be written.
    """
    suffix = out.suffix.lower()
    if suffix not in WRITERS:
        raise SettingError("out", out, f"cannot be written; name a file that ends in {', '.join(WRITERS)}")
    if out.exists() and path.exists() and out.samefile(path):
        raise SettingError("out", out, "is the file that is read; name another one")
    if out.is_dir() or (not overwrite and os.path.lexists(out)):
        raise SettingError("out", out, "is there; name another file, or give --overwrite")
    if not out.parent.is_dir():
        raise SettingError("out", out, f"cannot be written: there is no folder {out.parent}; make it, or name another")
    if skip_bad and model.codec.schema.series is not None:
        raise SettingError("skip_bad", True, "is for tables with a row a sequence; here a sequence has several rows")
    scored, config = Scored(), config or TaskConfig(data=str(path))
    # Parquet's columns have one type, and those of JSON lines show theirs in all rows together alone.
    whole = suffix == ".parquet" and extension(path) in (".jsonl", ".ndjson")
    pieces = _scored(model, path, config, scored, skip_bad, watch, whole)
    data = WRITERS[suffix](_alike(path, pieces) if suffix != ".jsonl" else pieces)
    write_atomically(out, data, new=not overwrite)
    return scored


def _alike(path: Path, pieces: Iterator[Columns]) -> Iterator[Columns]:
    """The pieces, all with the columns of the first."""
    names: list[str] | None = None
    for columns in pieces:
        names = names or list(columns)
        if more := [name for name in columns if name not in names]:
            raise RequestError(f"{path}: the column '{more[0]}' appears first in a later row; write .jsonl")
        yield {name: columns[name] for name in names}


def _scored(
    model: Classifier, path: Path, config: TaskConfig, scored: Scored, skip_bad: bool, watch: Watch, whole: bool
) -> Iterator[Columns]:
    """The columns to write, piece by piece."""
    for named, table in tables_for(model, path, config, whole=whole):
        new = [PREDICTED, *(f"{PROBABILITY}{name}" for name in model.classes)]
        if clash := [name for name in new if name in table.names]:
            raise RequestError(f"{path}: there is a column '{clash[0]}', which is to be written; rename it")
        before, columns = scored.rows, _other_columns(path, named, table)
        probabilities = _probabilities(named, path, table, scored, skip_bad)
        is_bad = np.isnan(probabilities[:, 0])
        names = typed_classes(model.classes, model.codec.schema)
        predicted = names[probabilities.argmax(axis=1)].astype(object)
        predicted[is_bad] = None
        values = probabilities.astype(object)
        values[is_bad] = None
        kinds = [TYPES[model.codec.schema.label_type], *[pyarrow.float64()] * len(model.classes)]
        cells = [predicted.tolist(), *values.T.tolist()]
        yield columns | {
            name: pyarrow.chunked_array([own], kind) for name, own, kind in zip(new, cells, kinds, strict=True)
        }
        if before // NOTED_ROWS < scored.rows // NOTED_ROWS:
            watch(Note(f"{scored.rows:,} rows are done"))
    if scored.rows == len(scored.bad):
        row, problem = next(iter(scored.bad.items()))
        raise RowError(path, row, problem)


def _other_columns(path: Path, model: Classifier, table: Table) -> dict[str, Any]:
    """The columns that a table of predictions can hold; of series their names alone."""
    schema = model.codec.schema
    if schema.series is not None:
        first = sequence_columns(path, table.columns, schema)[1]
        names = listed(table.columns[schema.series])
        return {schema.series: [names[row] for row in first]}
    columns = table.columns if table.raw is None else table.raw
    return {
        name: cells for name, cells in columns.items() if getattr(cells, "ndim", 1) == 1 and len(cells) == len(table)
    }


def _probabilities(model: Classifier, path: Path, table: Table, scored: Scored, skip_bad: bool) -> NDArray[np.float64]:
    """(N, classes); NaN for rows that are skipped."""
    schema, before = model.codec.schema, scored.rows
    needed = [name for name in (*schema.cells, schema.series, schema.time) if name is not None]
    columns = {name: table.columns[name] for name in needed}

    def of_rows(start: int, stop: int) -> NDArray[np.float64]:
        try:
            sequences = model.codec.parse({name: cells[start:stop] for name, cells in columns.items()}, path)
            p = model.probabilities_of(sequences, path)
            scored.cut += int((sequences.lengths > model.codec.length).sum())
            scored.unknown += int(model.codec.unknown(sequences.cut(model.codec.length)).sum())
            return p
        except RequestError as error:
            if not skip_bad:
                if not isinstance(error, RowError):
                    raise
                # Cures of training, such as another kind of data, are none here.
                cure = "; mend it, or give --skip-bad to leave such rows without a prediction"
                problem = _without_cure(error.problem) + ("; mend it" if schema.series is not None else cure)
                raise RowError(path, before + start + error.row, problem) from None
            if stop - start == 1:
                scored.bad[before + start] = _without_cure(getattr(error, "problem", str(error)))
                return np.full((1, len(model.classes)), np.nan)
        middle = (start + stop) // 2
        return np.concatenate([of_rows(start, middle), of_rows(middle, stop)])

    probabilities = of_rows(0, len(table))
    scored.rows += len(probabilities)
    return probabilities


def _without_cure(problem: str) -> str:
    return problem.partition("; ")[0]


# What is written.


def _as_jsonl(pieces: Iterator[Columns]) -> Iterator[bytes]:
    for columns in pieces:
        for cells in zip(*map(listed, columns.values()), strict=True):
            row = dict(zip(columns, cells, strict=True))
            yield json.dumps(_finite(row), default=_plain, allow_nan=False).encode() + b"\n"


def _finite(cell: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if isinstance(cell, dict):
        return {name: _finite(inner) for name, inner in cell.items()}
    return [_finite(inner) for inner in cell] if isinstance(cell, list | tuple | np.ndarray) else cell


def _plain(cell: Any) -> Any:
    return cell.tolist() if hasattr(cell, "tolist") else str(cell)


def _as_csv(pieces: Iterator[Columns]) -> Iterator[bytes]:
    for number, columns in enumerate(pieces):
        rows = list(zip(*([_cell(cell) for cell in listed(cells)] for cells in columns.values()), strict=True))
        text = io.StringIO(newline="")
        # Python quotes a cell with a line feed, and not one with a carriage return.
        has_return = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
        writer = csv.writer(
            text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL
        )
        if number == 0:
            writer.writerow(columns)
        writer.writerows(rows)
        yield text.getvalue().encode(errors="backslashreplace")


def _cell(cell: Any) -> Any:
    """What stands in a CSV: lists and dicts as JSON."""
    return json.dumps(cell, default=_plain) if isinstance(cell, list | tuple | dict | np.ndarray) else cell


class _Sink(io.RawIOBase):
    """A file that gives away what was written."""

    def __init__(self) -> None:
        super().__init__()
        self._written, self._place = list[bytes](), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._place += len(self._written[-1])
        return len(self._written[-1])

    def taken(self) -> list[bytes]:
        taken, self._written = self._written, []
        return taken


def _as_parquet(pieces: Iterator[Columns]) -> Iterator[bytes]:
    sink, writer = _Sink(), None
    for columns in pieces:
        table = _arrow(columns)
        writer = writer or parquet.ParquetWriter(sink, table.schema)
        writer.write_table(table)
        yield from sink.taken()
    if writer is not None:
        writer.close()
    yield from sink.taken()


def _arrow(columns: Columns) -> pyarrow.Table:
    """An Arrow table; a column of several types becomes one of texts."""
    return pyarrow.table({name: _arrow_column(cells) for name, cells in columns.items()})


def _arrow_column(cells: Any) -> Any:
    try:
        return cells if isinstance(cells, pyarrow.ChunkedArray) else pyarrow.array(cells)
    except (pyarrow.ArrowException, OverflowError, UnicodeError):
        texts = [None if cell is None else str(cell).encode(errors="backslashreplace") for cell in cells]
        return pyarrow.array(texts, pyarrow.binary()).cast(pyarrow.string())


WRITERS: Mapping[str, Callable[[Iterator[Columns]], Iterator[bytes]]] = {
    ".csv": _as_csv,
    ".parquet": _as_parquet,
    ".jsonl": _as_jsonl,
}
