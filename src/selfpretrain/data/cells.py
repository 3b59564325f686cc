"""From the cells of one column to sequences.

A column is a list of cells (texts, lists, arrays), an array with a row a cell, or an Arrow column. Columns that
are regular are parsed as a whole, without a Python object for every number; any other is parsed cell by cell, so that a
refusal names the row.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import pyarrow
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from selfpretrain.data.schema import AS_USUAL, Schema
from selfpretrain.data.sequences import Sequences
from selfpretrain.data.spelling import (
    LEFT_OUT,
    LIST,
    MISSING,
    OF_NUMBERS,
    TWO_WAYS,
    WHITE,
    as_number,
    blanks_of,
    entries_of,
    refuse,
    spelling,
    two_ways,
)

Cells: TypeAlias = Sequence[Any] | NDArray[Any] | pyarrow.ChunkedArray | Sequences
Flat: TypeAlias = tuple[NDArray[Any], tuple[str, ...] | None] | None

EMPTY = "the sequence is empty; fill it in or remove the row"
"""What is wrong with a row without a sequence, or with one of no positions."""
BLOCK = 2**20
"""Symbols of an array that are coded at a time, to save memory."""
UNEVEN = r"^ | $|  |[^\PZ ]|[\t-\r\x1c-\x1f\x{85}]"
"""In a text whose tokens are not separated by single blanks."""


def symbols(where: Path | str, column: Cells, schema: Schema = AS_USUAL) -> Sequences:
    """Sequences of symbols, with codes in no particular order; a missing one has the name ``MISSING``."""
    if isinstance(column, Sequences):
        return column
    regular = _as_a_whole(where, column, schema, _coded)
    if regular is None:
        code: dict[str, int] = {}
        parts = [
            np.array([code.setdefault(name, len(code)) for name in _symbols_of(where, row, cell, schema)], np.int32)
            for row, cell in _numbered(where, column)
        ]
        regular = Sequences.of(parts, tuple(code))
    blanks = blanks_of(regular.names or ()) if schema.blanks is None else schema.blanks
    names = tuple(MISSING if name in blanks else name for name in regular.names or ())
    if schema.fold_case:
        names = tuple(name.lower() for name in names)
    return Sequences.joined([Sequences(regular.entries, regular.lengths, names)])


def texts(where: Path | str, column: Cells, schema: Schema = AS_USUAL) -> Sequences:
    """The bytes of texts, uint8."""
    return Sequences.of([_bytes_of(where, row, cell, schema) for row, cell in _numbered(where, column)])


def values(where: Path | str, column: Cells, schema: Schema = AS_USUAL) -> Sequences:
    """Numbers (P, C), float64 with NaN where they are missing; or uint8 where all of them are."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.ndim in (2, 3):
        if not column.size:
            refuse(where, None, f"shape {column.shape} holds nothing; the shapes are (N, T) or (N, T, C)")
        if column.ndim == 3 and schema.axes == "nct":
            column = column.transpose(0, 2, 1)
        flat = column.reshape(-1, column.shape[2] if column.ndim == 3 else 1)
        entries = flat if column.dtype == np.uint8 else flat.astype(np.float64)  # images come by the gigabyte
        return Sequences(entries, np.full(len(column), column.shape[1]))
    if (regular := _as_a_whole(where, column, schema, _numbers)) is not None:
        return regular
    parts = [_values_of(where, row, cell, schema) for row, cell in _numbered(where, column)]
    channels = [part.shape[1] for part in parts]
    for row, own in enumerate(channels):
        if own != channels[0]:
            refuse(where, row, f"{own} channels where row 1 has {channels[0]}; give every row the same")
    return Sequences.of(parts)


def _name(entry: Any) -> str:
    """The name of a symbol; a text "nan" keeps its own for now, since it may be a word of DNA."""
    return spelling(entry) or (entry.strip() if isinstance(entry, str) else MISSING)


def check_channels(where: Path | str, sequences: Sequences, channels: int, of_what: str) -> None:
    """Refuse values with another number of channels than ``of_what`` had."""
    if sequences.entries.ndim == 2 and (own := sequences.entries.shape[1]) != channels:
        refuse(where, None, f"{own} channels where {of_what} had {channels}; give both the same")


# Regular columns as a whole.


def _as_a_whole(where: Path | str, column: Any, schema: Schema, read: Callable[[Any], Flat]) -> Sequences | None:
    """Sequences of an Arrow column or an array; None where it is not regular enough.

    ``read`` gives the entries and the names of ``Sequences`` for the flat entries of a piece of the column, or None.
    """
    chunks: Iterable[Any] = getattr(column, "chunks", ())
    if isinstance(column, np.ndarray) and column.ndim == 2 and column.dtype.kind in "biufU" and column.size:
        rows, length = max(1, BLOCK // column.shape[1]), column.shape[1]
        blocks = (column[start : start + rows].ravel() for start in range(0, len(column), rows))
        pieces = (pyarrow.array(block, from_pandas=True) for block in blocks)  # NaN is missing
        chunks = (pyarrow.FixedSizeListArray.from_arrays(piece, length) for piece in pieces)
    parts, row = [], 0
    for chunk in chunks:
        lists = _lists(where, row, chunk, schema)
        if lists is None or (entries := read(lists.flatten())) is None:
            return None
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(Sequences(entries[0], lengths, entries[1]))
        row += len(chunk)
    return Sequences.joined(parts) if parts else None


def _lists(where: Path | str, first_row: int, chunk: Any, schema: Schema) -> Any:
    """A piece of an Arrow column as an Arrow array of lists; None where it is not of single texts or flat lists."""
    if chunk.null_count:
        return None
    if types.is_list(chunk.type) or types.is_large_list(chunk.type) or types.is_fixed_size_list(chunk.type):
        return chunk.cast(pyarrow.list_(chunk.type.value_type))
    if not types.is_string(chunk.type) or schema.decimal != ".":
        return None
    unclear = pc.and_(pc.match_substring_regex(chunk, f"^{OF_NUMBERS}$"), pc.match_substring_regex(chunk, TWO_WAYS))
    if pc.any(unclear).as_py():
        row = pc.index(unclear, True).as_py()
        refuse(where, first_row + row, two_ways(chunk[row].as_py()))
    if not pc.all(pc.match_substring_regex(chunk, f"[,{WHITE}]|^[^;|]*$")).as_py():
        return None  # entries may be separated by ; or |
    if pc.any(pc.match_substring_regex(chunk, rf"{LIST}|,\s*,|^\s*,|{LEFT_OUT}")).as_py():
        return None  # lists, empty entries, or some that were left out
    chunk = pc.replace_substring(chunk, ",", " ")
    if pc.any(pc.match_substring_regex(chunk, UNEVEN)).as_py():
        chunk = pc.utf8_trim(pc.replace_substring_regex(chunk, f"[{WHITE}]+", " "), " ")
    return pc.split_pattern(chunk, " ")


def _coded(entries: Any) -> Flat:
    """Codes of Arrow entries (P,), and the symbol of each code; None where entries are lists."""
    if types.is_nested(entries.type):
        return None
    coded = entries.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    if any(isinstance(entry, str) and "," in entry for entry in distinct):
        return None  # a decimal comma, perhaps
    names = (*map(_name, distinct), MISSING)
    codes = coded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
    return codes.astype(np.min_scalar_type(len(names))), names


def _numbers(entries: Any) -> Flat:
    """Arrow entries as numbers of one channel (P, 1), NaN where they are missing; None where one is no number."""
    try:
        return entries.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)[:, None], None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return None


# One cell at a time.


def unpacked(column: Any) -> Sequence[Any]:
    """An Arrow column as a list; any other as it is."""
    cells: Sequence[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column
    return cells


def _numbered(where: Path | str, column: Any) -> Iterator[tuple[int, Any]]:
    for row, cell in enumerate(unpacked(column)):
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            refuse(where, row, EMPTY)
        yield row, cell


def _bytes_of(where: Path | str, row: int, cell: Any, schema: Schema) -> NDArray[np.uint8]:
    if not isinstance(cell, str):
        refuse(where, row, "--kind bytes reads text, and this is a list; use symbols or values")
    try:
        return np.frombuffer((cell.lower() if schema.fold_case else cell).encode(), dtype=np.uint8)
    except UnicodeEncodeError as error:
        refuse(where, row, f"position {error.start + 1} is half a character ({error.reason}); mend the text")


def _symbols_of(where: Path | str, row: int, cell: Any, schema: Schema) -> Iterator[str]:
    entries = entries_of(where, row, cell, schema)
    for position, entry in enumerate(entries.tolist() if isinstance(entries, np.ndarray) else entries, 1):
        if isinstance(entry, list | tuple | dict | np.ndarray):
            refuse(where, row, f"position {position} is a list, not a symbol; several channels need --kind values")
        yield _name(entry)


def _values_of(where: Path | str, row: int, cell: Any, schema: Schema) -> NDArray[Any]:
    entries = entries_of(where, row, cell, schema)
    try:
        grey = isinstance(entries, np.ndarray) and entries.dtype == np.uint8
        numbers: NDArray[Any] = entries if grey else np.array(_numeric(entries), dtype=np.float64)
    except OverflowError:
        refuse(where, row, "a number is too large; mend it")
    except (TypeError, ValueError):
        _refuse_entry(where, row, entries)
    if numbers.ndim > 2:
        refuse(where, row, "lists within lists within a list; a position is a number or a list of channels")
    if numbers.ndim == 2 and schema.axes == "nct":
        numbers = numbers.T
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _numeric(entry: Any) -> Any:
    """Entries with their texts as numbers; a word raises a ``ValueError``."""
    if isinstance(entry, np.ndarray) and entry.dtype.kind not in "USO":
        return entry
    if isinstance(entry, list | tuple | np.ndarray):
        return [_numeric(inner) for inner in entry]
    number = as_number(entry) if isinstance(entry, str) else entry
    if number is None and entry is not None:
        raise ValueError
    return number


def _refuse_entry(where: Path | str, row: int, entries: Any) -> NoReturn:
    """Say which entry is not a number, or that the channels are ragged."""
    positions = [entry if isinstance(entry, list | tuple) else [entry] for entry in entries]
    for position, channels in enumerate(positions, 1):
        if len(channels) != len(positions[0]):
            problem = f"position {position} has {len(channels)}, position 1 has {len(positions[0])}; make them equal"
            refuse(where, row, f"ragged channels: {problem}")
        for entry in channels:
            if isinstance(entry, dict):
                refuse(where, row, "an object with names; write a list of positions, each a list of channels")
            if as_number(entry) is None:
                cure = "mend it, or give --kind symbols or bytes"
                refuse(where, row, f"'{entry}' at position {position} is not a number; {cure}")
    refuse(where, row, "not a list of numbers; mend it, or give --kind symbols or bytes")
