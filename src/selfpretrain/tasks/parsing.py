"""From cells to arrays: what kind of sequence a cell holds, and the sequence itself."""

import json
import math
import re
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind
from selfpretrain.tasks.checks import refuse

SAMPLE_ROWS = 1000
MAX_SYMBOLS = 64
"""Up to so many different whole numbers or short words are taken for symbols (ours)."""
RECURRENCE = 4
"""Symbols recur at least so often on average, which words of a text do not (ours)."""
NUMERIC_SHARE = 0.9
"""From this share of numbers on, a word among them is taken for an error and not for a symbol (ours)."""

Sequences = list[NDArray[Any]]


def first_line(error: Exception) -> str:
    """What a library says is wrong, on one line."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def label_text(cell: Any) -> str | None:
    """A class or a symbol as text, whole numbers without a point; None where there is none."""
    if cell is None or cell == "" or (isinstance(cell, float) and np.isnan(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def guess_kind(cells: Sequence[Any]) -> Kind:
    """Symbols, bytes or values, from the first rows."""
    sample = list(islice(cells, SAMPLE_ROWS))
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
        whole = all(float(number).is_integer() for number in numbers if np.isfinite(number))
        nested = any(isinstance(_first(cell), list | np.ndarray) for cell in sample)
        return "symbols" if whole and not nested and len(set(numbers)) <= MAX_SYMBOLS else "values"
    if not texts or (len(set(flat)) <= MAX_SYMBOLS and len(flat) >= RECURRENCE * len(set(flat))):
        return "symbols"
    return "bytes"


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


def as_number(token: Any) -> float | None:
    """A number, NaN for nothing, None for a word."""
    try:
        return float("nan") if token is None else float(token)
    except OverflowError:
        return float("inf")
    except (TypeError, ValueError):
        return None


def parse_cells(path: Path | str, cells: Sequence[Any], kind: Kind) -> Sequences:
    """Each cell as an array: bytes (T,) uint8, symbols (T,) str, values (T, C) float64, or uint8 if they are that."""
    parse = {"bytes": _parse_bytes, "symbols": _parse_symbols, "values": _parse_values}[kind]
    return [parse(path, row, cell) for row, cell in enumerate(cells)]


def interleaved(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Entries of columns, row by row: the sequences of a table of pairs, a row's two one after the other.

    >>> interleaved([("a", "c"), ("b", "d")])
    ['a', 'b', 'c', 'd']
    """
    return list(chain.from_iterable(zip(*columns, strict=True)))


def numbers_first(name: str) -> tuple[bool, float, str]:
    """Sorts names: numbers by their size, then words."""
    number = as_number(name)
    return (False, number, name) if number is not None and math.isfinite(number) else (True, 0.0, name)


def _parse_bytes(path: Path | str, row: int, cell: Any) -> NDArray[Any]:
    if not isinstance(cell, str):
        refuse(path, row, "--kind bytes reads text, and this is a list; use symbols or values")
    try:
        return np.frombuffer(cell.encode(), dtype=np.uint8)
    except UnicodeEncodeError as error:
        refuse(path, row, f"position {error.start + 1} is half a character ({error.reason}); mend the text")


def _entries(path: Path | str, row: int, cell: Any) -> Any:
    """The list in a cell: itself, JSON, or tokens."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, list | np.ndarray) else [cell]
    if not cell.strip().startswith("["):
        return _tokens(cell)
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        refuse(path, row, f"the list is no JSON ({getattr(error, 'msg', first_line(error))}); write it like [1, 2, 3]")


def _parse_symbols(path: Path | str, row: int, cell: Any) -> NDArray[Any]:
    entries = _entries(path, row, cell)
    if isinstance(entries, np.ndarray):
        if entries.dtype.kind in "iuU" and entries.ndim == 1:
            return entries.astype(np.str_, copy=False)
        entries = entries.tolist()
    for position, entry in enumerate(entries):
        if isinstance(entry, list | dict):
            refuse(path, row, f"position {position + 1} is a list, not a symbol; several channels need --kind values")
        if entry is None or entry == "":
            refuse(path, row, f"position {position + 1} has no symbol; fill it in")
    return np.array([label_text(entry) for entry in entries], dtype=np.str_)


def _parse_values(path: Path | str, row: int, cell: Any) -> NDArray[Any]:
    entries = _entries(path, row, cell)
    try:
        grey = isinstance(entries, np.ndarray) and entries.dtype == np.uint8  # stays small: images come by the gigabyte
        values = entries if grey else np.array(entries, dtype=np.float64)
    except OverflowError:
        refuse(path, row, "a number is too large; mend it")
    except (TypeError, ValueError):
        _refuse_entry(path, row, entries)
    if values.ndim > 2:
        refuse(path, row, "lists within lists within a list; a position is a number or a list of channels")
    return values[:, None] if values.ndim == 1 else values


def _refuse_entry(path: Path | str, row: int, entries: Any) -> Any:
    """Say which entry is not a number, or that the channels are ragged."""
    widths = [len(entry) if isinstance(entry, list) else 1 for entry in entries]
    for position, (entry, width) in enumerate(zip(entries, widths, strict=True)):
        if width != widths[0]:
            refuse(
                path,
                row,
                f"ragged channels: position {position + 1} has {width}, position 1 has {widths[0]}; make them equal",
            )
        for part in entry if isinstance(entry, list) else [entry]:
            if as_number(part) is None:
                refuse(
                    path,
                    row,
                    f"'{part}' at position {position + 1} is not a number; mend it, or give --kind symbols or bytes",
                )
    refuse(path, row, "not a list of numbers; mend it, or give --kind symbols or bytes")
