"""From the cells of one column to sequences: what kind of data they hold, and the data themselves.

A column is a list of cells (strings, lists, arrays), an array with a row a cell, or an Arrow column. Columns that
are regular are parsed as a whole, without a Python object for every number; any other is parsed cell by cell, so that a
refusal names the row. Rows are counted from 1, without the header.
"""

import json
import math
import re
from collections.abc import Sequence
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

MAX_TABLE, BLOCK = 2**16, 2**20
"""Whole numbers within such a range are coded by a table, and so many at a time, to save memory."""
UNUSUAL = r"\[|[^\PZ ]|[\x0b\x1c-\x1f\x{85}]"
"""A list in a text, or white space that Arrow and Python do not agree about."""


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
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def numbers_first(name: str) -> tuple[bool, float, str]:
    """Sort key for names: numbers by size, then words."""
    number = as_number(name)
    return (False, number, name) if number is not None and math.isfinite(number) else (True, 0.0, name)


def as_number(token: Any) -> float | None:
    """A number; NaN for None, None for a word."""
    try:
        return math.nan if token is None else float(token)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None


def nonempty(where: Path | str, sequences: Sequences) -> Sequences:
    """The same; an empty sequence is refused."""
    if (empty := np.flatnonzero(sequences.lengths == 0)).size:
        refuse(where, int(empty[0]), "the sequence is empty; fill it in or remove the row")
    return sequences


def guess(column: Cells) -> KindName:
    """The kind of data in a column, from its first rows."""
    sample = list(_listed(column[:SAMPLE_ROWS])) if not isinstance(column, Sequences) else [column.names or [0.5]]
    texts = [cell.strip() for cell in sample if isinstance(cell, str)]
    if texts and not all(text.startswith("[") for text in texts):
        tokens = [_tokens(text) for text in texts]
        several = 2 * sum(len(row) > 1 for row in tokens) > len(tokens)
    else:
        tokens = [_flat(_from_json(cell)) for cell in sample]
        several = True
    flat = list(chain.from_iterable(tokens))
    if not several or not flat:
        return "bytes"
    numbers = [number for token in flat if (number := as_number(token)) is not None]
    if len(numbers) >= NUMERIC_SHARE * len(flat):
        whole = all(float(number).is_integer() for number in numbers if math.isfinite(number))
        nested = any(isinstance(_first(cell), list | np.ndarray) for cell in sample)
        return "symbols" if whole and not nested and len(set(numbers)) <= MAX_SYMBOLS else "values"
    if not texts or (len(set(flat)) <= MAX_SYMBOLS and len(flat) >= RECURRENCE * len(set(flat))):
        return "symbols"
    return "bytes"


def symbols(where: Path | str, column: Cells) -> Sequences:
    """Sequences of symbols; codes are numbered in the order of first sight within a chunk."""
    if isinstance(column, Sequences):
        return column
    if isinstance(column, np.ndarray) and column.ndim == 2 and column.dtype.kind in "iuU" and column.size:
        codes, names = _coded(column.reshape(-1))
        return Sequences(codes, np.full(len(column), column.shape[1]), names)
    if (chunks := _chunks_of_text(column)) is not None:
        return chunks
    parts = [_symbols_of(where, row, cell) for row, cell in enumerate(_listed(column))]
    code: dict[str, int] = {}
    coded = [np.array([code.setdefault(s, len(code)) for s in part], dtype=np.int32) for part in parts]
    whole = Sequences.of(coded, tuple(code))
    return Sequences(whole.entries.astype(np.min_scalar_type(len(code))), whole.lengths, whole.names)


def texts(where: Path | str, column: Cells) -> Sequences:
    """The bytes of texts, uint8."""
    return Sequences.of([_bytes_of(where, row, cell) for row, cell in enumerate(_listed(column))])


def values(where: Path | str, column: Cells) -> Sequences:
    """Numbers (P, C), float64; or uint8 where all of them are."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.ndim in (2, 3):
        flat = column.reshape(-1, column.shape[2] if column.ndim == 3 else 1)
        entries = flat if column.dtype == np.uint8 else flat.astype(np.float64)  # images come by the gigabyte
        return Sequences(entries, np.full(len(column), column.shape[1]))
    if (flat_numbers := _chunks_of_numbers(column)) is not None:
        return flat_numbers
    parts = [_values_of(where, row, cell) for row, cell in enumerate(_listed(column))]
    for row, part in enumerate(parts):
        if part.shape[1:] != parts[0].shape[1:]:
            problem = f"{_channels(part)} where row 1 has {_channels(parts[0])}; give every row the same channels"
            refuse(where, row, problem)
    return Sequences.of(parts)


# Regular columns as a whole.


def _listed(column: Any) -> Sequence[Any]:
    cells: Sequence[Any] = column.to_pylist() if hasattr(column, "to_pylist") else column
    return cells


def _chunks_of_text(column: Any) -> Sequences | None:
    """Symbols of an Arrow column of texts or lists; None where it is not regular enough."""
    import pyarrow
    import pyarrow.compute as pc

    parts: list[Sequences] = []
    for chunk in getattr(column, "chunks", ()):
        lists = _split(chunk)
        if lists is None:
            return None
        entries = lists.flatten()
        if not (pyarrow.types.is_string(entries.type) or pyarrow.types.is_integer(entries.type)) or entries.null_count:
            return None
        if pyarrow.types.is_integer(entries.type):
            codes, names = _coded(entries.to_numpy())
        else:
            coded = entries.dictionary_encode()
            names = tuple(coded.dictionary.to_pylist())
            codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.min_scalar_type(len(names)))
        if "" in names:
            return None
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(Sequences(codes, lengths, names))
    return Sequences.joined(parts) if parts else None


def _coded(entries: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Codes of numbers or texts (P,), and the symbol of each code in rising order."""
    if entries.dtype.kind in "iu" and entries.size and int(entries.max()) - int(entries.min()) < MAX_TABLE:
        offset = int(entries.min())
        seen = np.zeros(int(entries.max()) - offset + 1, dtype=bool)
        blocks = [entries[start : start + BLOCK] for start in range(0, len(entries), BLOCK)]
        for block in blocks:
            seen[block.astype(np.int64) - offset] = True
        numbers = np.flatnonzero(seen) + offset
        table = (np.cumsum(seen) - 1).astype(np.min_scalar_type(len(numbers)))
        codes = np.concatenate([table[block.astype(np.int64) - offset] for block in blocks])
        return codes, tuple(map(str, numbers.tolist()))
    names, codes = np.unique(entries, return_inverse=True)
    return codes.astype(np.min_scalar_type(len(names))).reshape(-1), tuple(map(str, names.tolist()))


def _chunks_of_numbers(column: Any) -> Sequences | None:
    """Numbers of an Arrow column of texts or lists, one channel; None where it is not regular enough."""
    import pyarrow
    import pyarrow.compute as pc

    parts: list[Sequences] = []
    for chunk in getattr(column, "chunks", ()):
        lists = _split(chunk)
        if lists is None:
            return None
        try:
            numbers = pc.cast(lists.flatten(), pyarrow.float64())
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
            return None
        lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(Sequences(numbers.to_numpy(zero_copy_only=False)[:, None], lengths))
    if not parts:
        return None
    return Sequences(np.concatenate([p.entries for p in parts]), np.concatenate([p.lengths for p in parts]))


def _split(chunk: Any) -> Any:
    """A chunk of an Arrow column as lists; None where texts are not simply separated by blanks or by commas."""
    import pyarrow
    import pyarrow.compute as pc

    types = pyarrow.types
    if types.is_list(chunk.type) or types.is_large_list(chunk.type) or types.is_fixed_size_list(chunk.type):
        return None if chunk.null_count else chunk.cast(pyarrow.list_(chunk.type.value_type))
    if not pyarrow.types.is_string(chunk.type) or chunk.null_count:
        return None
    if pc.any(pc.match_substring_regex(chunk, UNUSUAL)).as_py():
        return None
    blank, comma = (pc.any(pc.match_substring_regex(chunk, mark)).as_py() for mark in (r"\s", ","))
    if blank and comma:
        return None
    if comma:
        return pc.split_pattern(chunk, ",")
    return None if pc.any(pc.match_substring_regex(chunk, r"^\s|\s$|\s\s")).as_py() else pc.utf8_split_whitespace(chunk)


# One cell at a time.


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[,\s]+", text.strip()) if token]


def _from_json(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return []


def _first(cell: Any) -> Any:
    listed = _from_json(cell)
    return listed[0] if isinstance(listed, list | np.ndarray) and len(listed) else None


def _flat(cell: Any) -> list[Any]:
    if isinstance(cell, np.ndarray):
        return list(cell.ravel().tolist())
    if isinstance(cell, list):
        return list(chain.from_iterable(_flat(part) for part in cell))
    return [str(cell) if isinstance(cell, dict) else cell]


def _entries(where: Path | str, row: int, cell: Any) -> Any:
    """The list in a cell: itself, JSON, or tokens."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list | np.ndarray) else [cell]
    if not cell.strip().startswith("["):
        return _tokens(cell)
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        message = getattr(error, "msg", first_line(error))
        refuse(where, row, f"the list is not valid JSON ({message}); write it like [1, 2, 3]")


def _bytes_of(where: Path | str, row: int, cell: Any) -> NDArray[np.uint8]:
    if not isinstance(cell, str):
        refuse(where, row, "--kind bytes reads text, and this is a list; use symbols or values")
    try:
        return np.frombuffer(cell.encode(), dtype=np.uint8)
    except UnicodeEncodeError as error:
        refuse(where, row, f"position {error.start + 1} is half a character ({error.reason}); mend the text")


def _symbols_of(where: Path | str, row: int, cell: Any) -> list[str]:
    entries = _entries(where, row, cell)
    names = []
    for position, entry in enumerate(entries.tolist() if isinstance(entries, np.ndarray) else entries):
        if isinstance(entry, list | dict):
            refuse(where, row, f"position {position + 1} is a list, not a symbol; several channels need --kind values")
        name = None if entry is None or entry == "" else label_text(entry)
        if entry is None or entry == "":
            refuse(where, row, f"position {position + 1} has no symbol; fill it in")
        names.append(str(name))
    return names


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
    widths = [len(entry) if isinstance(entry, list) else 1 for entry in entries]
    for position, (entry, width) in enumerate(zip(entries, widths, strict=True), 1):
        if width != widths[0]:
            problem = f"position {position} has {width}, position 1 has {widths[0]}; make them equal"
            refuse(where, row, f"ragged channels: {problem}")
        for part in entry if isinstance(entry, list) else [entry]:
            if as_number(part) is None:
                cure = "mend it, or give --kind symbols or bytes"
                refuse(where, row, f"'{part}' at position {position} is not a number; {cure}")
    refuse(where, row, "not a list of numbers; mend it, or give --kind symbols or bytes")


def _channels(part: NDArray[Any]) -> str:
    return "one channel" if part.shape[1] == 1 else f"{part.shape[1]} channels"
