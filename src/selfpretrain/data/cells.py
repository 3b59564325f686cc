"""From the cells of one column to sequences: what kind of data they hold, and the data themselves.

A column is a list of cells (strings, lists, arrays), an array with a row a cell, or an Arrow column. Columns that
are regular are parsed as a whole, without a Python object for every number; any other is parsed cell by cell, so that a
refusal names the row. Rows are counted from 1, without the header.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Union

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import KindName
from selfpretrain.data.sequences import Sequences
from selfpretrain.errors import RequestError

if TYPE_CHECKING:
    import pyarrow

Cells = Union[Sequence[Any], NDArray[Any], "pyarrow.ChunkedArray", Sequences]

SAMPLE_ROWS = 1000
"""The kind of data is guessed from this many rows (ours)."""
MAX_SYMBOLS = 64
"""Whole numbers or short words with at most this many distinct values are read as symbols (ours)."""
RECURRENCE = 4
"""Symbols recur at least this often on average, which the words of a text do not (ours)."""
NUMERIC_SHARE = 0.9
"""From this share of numbers on, a word among them is taken for an error and not for a symbol (ours)."""
EMPTY = "the sequence is empty; fill it in or remove the row"
"""What is wrong with a row without a sequence, or with one of no positions."""
BLOCK = 2**20
"""Symbols of an array that are coded at a time, to save memory."""
WHITE = r"\p{Z}\t-\r\x1c-\x1f\x{85}"
"""What Python takes for white space, as Arrow spells it."""
UNEVEN = r"^ | $|  |[^\PZ ]|[\t-\r\x1c-\x1f\x{85}]"
"""In a text whose tokens are not separated by single blanks."""


def refuse(where: Path | str, row: int | None, problem: str) -> NoReturn:
    """Raise a ``RequestError`` about a file, or about a zero-based row of it."""
    raise RequestError(f"{where}: {problem}" if row is None else f"{where}: row {row + 1}: {problem}")


def first_line(error: Exception) -> str:
    """The message of a library's error, on one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def label_text(cell: Any) -> str | None:
    """A class or a symbol as text, whole numbers without a point; None for an empty cell."""
    if cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell)


def as_number(token: Any) -> float | None:
    """A number; NaN for None, None for a word."""
    try:
        return math.nan if token is None else float(token)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def numbers_first(name: str) -> tuple[bool, float, str]:
    """Sort key for names: numbers by size, then words."""
    number = as_number(name)
    return (False, number, name) if number is not None and math.isfinite(number) else (True, 0.0, name)


def from_json(where: Path | str, row: int, text: str, cure: str) -> Any:
    """What a text says in JSON; anything else is refused."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        refuse(where, row, f"not valid JSON ({getattr(error, 'msg', first_line(error))}); {cure}")


def check_channels(where: Path | str, sequences: Sequences, channels: int, of_what: str) -> None:
    """Refuse values with another number of channels than ``of_what`` had."""
    if sequences.entries.ndim == 2 and sequences.entries.shape[1] != channels:
        problem = f"{sequences.entries.shape[1]} channels where {of_what} had {channels}; give both the same"
        refuse(where, None, problem)


def guess(column: Cells) -> KindName:
    """The kind of data in a column, from its first rows."""
    sample = _listed(column[:SAMPLE_ROWS])  # type: ignore[index]
    texts = [cell.strip() for cell in sample if isinstance(cell, str)]
    nested = False
    if texts and not all(text.startswith("[") for text in texts):
        rows = [_tokens(text) for text in texts]
        if 2 * sum(len(row) > 1 for row in rows) <= len(rows):
            return "bytes"
    else:
        lists = [_list_or_nothing(cell) for cell in sample]
        rows = [_flat(cell) for cell in lists]
        nested = any(isinstance(entry, list | np.ndarray) for cell in lists for entry in cell[:1])
    flat = list(chain.from_iterable(rows))
    numbers = [number for token in flat if (number := as_number(token)) is not None]
    if not flat:
        return "bytes"
    if len(numbers) >= NUMERIC_SHARE * len(flat):
        whole = all(number.is_integer() for number in numbers if math.isfinite(number))
        return "symbols" if whole and not nested and len(set(numbers)) <= MAX_SYMBOLS else "values"
    if not texts or (len(set(flat)) <= MAX_SYMBOLS and len(flat) >= RECURRENCE * len(set(flat))):
        return "symbols"
    return "bytes"


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[,\s]+", text) if token]


def _list_or_nothing(cell: Any) -> Any:
    """The list in a cell; empty where it is damaged, which is refused later."""
    try:
        return _entries("", 0, cell)
    except RequestError:
        return []


def _flat(cell: Any) -> list[Any]:
    if isinstance(cell, list | np.ndarray):
        return list(chain.from_iterable(map(_flat, cell)))
    return [str(cell) if isinstance(cell, dict) else cell]


def symbols(where: Path | str, column: Cells) -> Sequences:
    """Sequences of symbols, with codes in no particular order."""
    if isinstance(column, Sequences):
        return column
    if (regular := _as_a_whole(column, _coded)) is not None:
        return regular
    code: dict[str, int] = {}
    parts = [
        np.array([code.setdefault(name, len(code)) for name in _symbols_of(where, row, cell)], dtype=np.int32)
        for row, cell in _numbered(where, column)
    ]
    return Sequences.of(parts, tuple(code))


def texts(where: Path | str, column: Cells) -> Sequences:
    """The bytes of texts, uint8."""
    return Sequences.of([_bytes_of(where, row, cell) for row, cell in _numbered(where, column)])


def values(where: Path | str, column: Cells) -> Sequences:
    """Numbers (P, C), float64; or uint8 where all of them are."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.ndim in (2, 3):
        flat = column.reshape(-1, column.shape[2] if column.ndim == 3 else 1)
        entries = flat if column.dtype == np.uint8 else flat.astype(np.float64)  # images come by the gigabyte
        return Sequences(entries, np.full(len(column), column.shape[1]))
    if (regular := _as_a_whole(column, _numbers)) is not None:
        return regular
    parts = [_values_of(where, row, cell) for row, cell in _numbered(where, column)]
    for row, part in enumerate(parts):
        if part.shape[1] != parts[0].shape[1]:
            problem = f"{part.shape[1]} channels where row 1 has {parts[0].shape[1]}; give every row the same"
            refuse(where, row, problem)
    return Sequences.of(parts)


# Regular columns as a whole.


def _as_a_whole(
    column: Any, read: Callable[[Any], tuple[NDArray[Any], tuple[str, ...] | None] | None]
) -> Sequences | None:
    """Sequences of an Arrow column or an array; None where it is not regular enough.

    Args:
        column: of cells.
        read: gives what stands in ``Sequences`` for the flat entries of a piece of the column, or None.
    """
    import pyarrow
    import pyarrow.compute as pc

    chunks: Iterable[Any] = getattr(column, "chunks", ())
    if isinstance(column, np.ndarray) and column.ndim == 2 and column.dtype.kind in "biufU" and column.size:
        rows, length = max(1, BLOCK // column.shape[1]), column.shape[1]
        blocks = (column[start : start + rows] for start in range(0, len(column), rows))
        chunks = (pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block.ravel()), length) for block in blocks)
    parts = []
    for chunk in chunks:
        lists = _lists(chunk)
        if lists is None or (entries := read(lists.flatten())) is None:
            return None
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(Sequences(entries[0], lengths, entries[1]))
    return Sequences.joined(parts) if parts else None


def _lists(chunk: Any) -> Any:
    """A piece of an Arrow column as an Arrow array of lists; None where it holds JSON, nothing, or something else."""
    import pyarrow
    import pyarrow.compute as pc

    types = pyarrow.types
    if chunk.null_count:
        return None
    if types.is_list(chunk.type) or types.is_large_list(chunk.type) or types.is_fixed_size_list(chunk.type):
        return chunk.cast(pyarrow.list_(chunk.type.value_type))
    if not types.is_string(chunk.type):
        return None
    chunk = pc.replace_substring(chunk, ",", " ")
    if pc.any(pc.match_substring_regex(chunk, UNEVEN)).as_py():
        chunk = pc.utf8_trim(pc.replace_substring_regex(chunk, f"[{WHITE}]+", " "), " ")
    return None if pc.any(pc.starts_with(chunk, "[")).as_py() else pc.split_pattern(chunk, " ")


def _coded(entries: Any) -> tuple[NDArray[Any], tuple[str, ...]] | None:
    """Codes of Arrow entries (P,), and the symbol of each code; None where entries are missing or lists."""
    import pyarrow

    if entries.null_count or pyarrow.types.is_nested(entries.type):
        return None
    coded = entries.dictionary_encode()
    names = tuple(filter(None, map(label_text, coded.dictionary.to_pylist())))
    if len(names) < len(coded.dictionary):
        return None
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.min_scalar_type(len(names))), names


def _numbers(entries: Any) -> tuple[NDArray[np.float64], None] | None:
    """Arrow entries as numbers of one channel (P, 1), NaN where they are missing; None where one is no number."""
    import pyarrow

    try:
        return entries.cast(pyarrow.float64()).to_numpy(zero_copy_only=False)[:, None], None
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return None


# One cell at a time.


def _listed(column: Any) -> Sequence[Any]:
    cells: Sequence[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column
    return cells


def _numbered(where: Path | str, column: Any) -> Iterator[tuple[int, Any]]:
    for row, cell in enumerate(_listed(column)):
        if cell is None:
            refuse(where, row, EMPTY)
        yield row, cell


def _entries(where: Path | str, row: int, cell: Any) -> Any:
    """The list in a cell: itself, JSON, or tokens."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list | np.ndarray) else [cell]
    return from_json(where, row, cell, "write a list like [1, 2, 3]") if cell.strip().startswith("[") else _tokens(cell)


def _bytes_of(where: Path | str, row: int, cell: Any) -> NDArray[np.uint8]:
    if not isinstance(cell, str):
        refuse(where, row, "--kind bytes reads text, and this is a list; use symbols or values")
    try:
        return np.frombuffer(cell.encode(), dtype=np.uint8)
    except UnicodeEncodeError as error:
        refuse(where, row, f"position {error.start + 1} is half a character ({error.reason}); mend the text")


def _symbols_of(where: Path | str, row: int, cell: Any) -> Iterator[str]:
    entries = _entries(where, row, cell)
    for position, entry in enumerate(entries.tolist() if isinstance(entries, np.ndarray) else entries, 1):
        if isinstance(entry, list | dict):
            refuse(where, row, f"position {position} is a list, not a symbol; several channels need --kind values")
        if (name := label_text(entry)) is None:
            refuse(where, row, f"position {position} has no symbol; fill it in")
        yield name


def _values_of(where: Path | str, row: int, cell: Any) -> NDArray[Any]:
    entries = _entries(where, row, cell)
    try:
        grey = isinstance(entries, np.ndarray) and entries.dtype == np.uint8
        numbers: NDArray[Any] = entries if grey else np.array(entries, dtype=np.float64)
    except OverflowError:
        refuse(where, row, "a number is too large; mend it")
    except (TypeError, ValueError):
        _refuse_entry(where, row, entries)
    if numbers.ndim > 2:
        refuse(where, row, "lists within lists within a list; a position is a number or a list of channels")
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _refuse_entry(where: Path | str, row: int, entries: Any) -> NoReturn:
    """Say which entry is not a number, or that the channels are ragged."""
    positions = [entry if isinstance(entry, list) else [entry] for entry in entries]
    for position, channels in enumerate(positions, 1):
        if len(channels) != len(positions[0]):
            problem = f"position {position} has {len(channels)}, position 1 has {len(positions[0])}; make them equal"
            refuse(where, row, f"ragged channels: {problem}")
        for entry in channels:
            if as_number(entry) is None:
                cure = "mend it, or give --kind symbols or bytes"
                refuse(where, row, f"'{entry}' at position {position} is not a number; {cure}")
    refuse(where, row, "not a list of numbers; mend it, or give --kind symbols or bytes")
