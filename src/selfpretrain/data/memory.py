"""Rows that Python has in memory, as columns and cells like those of a file: arrays, tensors, frames, generators."""

import array
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import types

from selfpretrain.data.spelling import DEEPEST, first_line, refuse
from selfpretrain.errors import RequestError

TAKEN = "a NumPy array, a tensor, a list of sequences, or a frame of pandas, polars or Arrow"
PLAIN = {type(None), str, bool, int, float}
"""Types of cells and entries that stay as they are."""
UNREADABLE = (pyarrow.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError)
"""What libraries raise for objects that they do not know."""


class Frame(dict[str, Any]):
    """Columns by name.

    Attributes:
        unreadable: columns that cannot be read, with the reason; they matter only if they are asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: dict[str, str] = {}

    def add(self, name: str, read: Callable[..., Any], *arguments: Any) -> None:
        """Add what ``read`` gives, or the reason why it cannot be read."""
        try:
            self[name] = read(*arguments)
        except RequestError as error:
            self.unreadable[name] = str(error)

    def __missing__(self, name: str) -> Any:
        if name in self.unreadable:
            raise RequestError(self.unreadable[name])
        raise KeyError(name)


def columns_of(data: Any) -> Frame | None:
    """The columns of a frame by their names; None where ``data`` is none.

    A frame is one of pandas, polars or Arrow, a structured array, a dict of columns, or records: a list of dicts, named
    tuples, or rows of a pandas frame.

    Raises:
        RequestError: a frame that is not there yet, or one with a name twice.
    """
    if isinstance(data, Frame):
        return data
    if hasattr(data, "toarray"):  # sparse matrices, of which one is a dict
        return None
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):
        raise RequestError("the frame is lazy; give frame.collect()")
    if (records := _records(data)) is not None:
        names: list[Any] = list(dict.fromkeys(name for record in records for name in record))
        cells = [[record.get(name) for record in records] for name in names]
    elif isinstance(data, Mapping):
        names, cells = list(data), list(data.values())
    elif isinstance(data, np.ndarray) and data.dtype.names:
        names, cells = list(data.dtype.names), [data[name] for name in data.dtype.names]
    elif hasattr(data, "column_names") and hasattr(data, "column"):  # Arrow
        names, cells = list(data.column_names), [data.column(place) for place in range(len(data.column_names))]
    elif hasattr(data, "columns") and len(getattr(data, "shape", ())) == 2:  # pandas, polars
        names = list(data.columns)
        cells = [data.iloc[:, place] if hasattr(data, "iloc") else data[name] for place, name in enumerate(names)]
        levels = [
            (name, data.index.get_level_values(name))
            for name in getattr(getattr(data, "index", None), "names", ())
            if name
        ]
        names, cells = [*(name for name, _ in levels), *names], [*(own for _, own in levels), *cells]
    else:
        return None
    frame = Frame()
    for name, own in zip((str(name).strip() for name in names), cells, strict=True):
        if name in frame or name in frame.unreadable:
            frame.pop(name, None)
            frame.unreadable[name] = f"column '{name}' of the frame occurs twice; rename one"
            continue
        frame.add(name, column, f"column '{name}'", own)
    return frame


def column(where: Path | str, cells: Any) -> Any:
    """An array, a tensor, a column of a frame, a list or a generator as an array, an Arrow column or a list.

    Raises:
        RequestError: something else; a cell that is neither text, list, array nor number.
    """
    try:
        return _column(where, cells)
    except RequestError:
        raise
    except (*UNREADABLE, RuntimeError) as error:
        problem = f"{where} is a {_type(cells)} that cannot be read ({first_line(error)})"
        raise RequestError(f"{problem}; give {TAKEN}") from None


def plain(where: Path | str, cells: Any) -> Any:
    """An Arrow column without dictionaries, binary and large types.

    Raises:
        RequestError: binary cells that are no UTF-8 text.
    """
    whole = cells if isinstance(cells, pyarrow.ChunkedArray) else pyarrow.chunked_array([cells])
    if types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    kind = whole.type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        try:
            return whole.cast(pyarrow.binary()).cast(pyarrow.string())
        except pyarrow.ArrowInvalid:
            return [_cell(where, row, cell) for row, cell in enumerate(whole.to_pylist())]
    if types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return whole.cast(pyarrow.string())
    if types.is_decimal(kind) or types.is_float16(kind):
        return whole.cast(pyarrow.float64())
    if types.is_nested(kind) and not _is_of_numbers_or_texts(kind):
        return [_cell(where, row, cell) for row, cell in enumerate(whole.to_pylist())]
    if isinstance(kind, pyarrow.BaseExtensionType):
        raise RequestError(f"{where} holds {kind}; give numbers or text")
    return whole


def _is_of_numbers_or_texts(kind: Any) -> bool:
    """Whether a list type holds what needs no look at every entry."""
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_of_numbers_or_texts(kind.value_type)
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind) or types.is_boolean(kind))


def _column(where: Path | str, cells: Any) -> Any:
    if isinstance(cells, str | bytes):
        raise RequestError(f"{where} is one text; give a list of rows, [text]")
    if isinstance(cells, pyarrow.ChunkedArray | pyarrow.Array):
        return plain(where, cells)
    if hasattr(cells, "to_arrow") and not hasattr(cells, "columns"):  # polars
        return plain(where, cells.to_arrow())
    if hasattr(cells, "iloc") and len(cells.shape) == 1 and not any(isinstance(cell, tuple) for cell in cells[:1]):
        try:
            return plain(where, pyarrow.Array.from_pandas(cells))
        except UNREADABLE:
            pass  # objects of several types: cell by cell
    if hasattr(cells, "toarray"):
        raise RequestError(f"{where} is a {_type(cells)}; give x.toarray()")
    if hasattr(cells, "read"):
        raise RequestError(f"{where} is an open file; give its path")
    if (whole := _array(where, cells)) is not None:
        if whole.ndim == 0:
            raise RequestError(f"{where} is the single value {whole}; give {TAKEN}")
        if whole.dtype.kind in "mM":
            return plain(where, pyarrow.array(whole.ravel())) if whole.ndim == 1 else list(whole)
        if whole.dtype != object:
            return whole
        cells = list(whole)
    if isinstance(cells, set | frozenset):
        raise RequestError(f"{where} is a set, which has no order; give {TAKEN}")
    try:
        rows = list(cells)
    except TypeError:
        raise RequestError(f"{where} is a {_type(cells)}, which holds no rows; give {TAKEN}") from None
    return [_cell(where, row, cell) for row, cell in enumerate(rows)]


def _records(data: Any) -> list[Mapping[Any, Any]] | None:
    """A list of rows that name their entries, as dicts; None where it is none."""
    if not isinstance(data, list) or not data:
        return None
    if all(isinstance(row, Mapping) for row in data):
        return data
    if all(hasattr(row, "_fields") for row in data):
        return [row._asdict() for row in data]
    if all(hasattr(row, "iloc") and len(row.shape) == 1 and all(isinstance(n, str) for n in row.index) for row in data):
        return [row.to_dict() for row in data]
    return None


def _array(where: Path | str, cells: Any) -> Any:
    """A NumPy array of a tensor, an array or a masked array, without what is masked; None of anything else."""
    if hasattr(cells, "detach") and hasattr(cells, "dtype"):  # torch
        if cells.layout != cells.detach().layout or str(cells.layout) != "torch.strided":
            raise RequestError(f"{where} is a sparse tensor; give x.to_dense()")
        tensor = cells.detach().cpu().resolve_conj().resolve_neg()
        whole = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    elif isinstance(cells, np.ma.MaskedArray):
        masked, whole = np.ma.getmaskarray(cells), np.asarray(cells.data)
        if masked.any() and whole.dtype.kind in "iuf":
            whole = np.where(masked, np.nan, whole.astype(np.float64))
        elif masked.any():
            whole = whole.astype(object)
            whole[masked] = None
    elif isinstance(cells, array.array | memoryview):
        whole = np.array(cells)
    elif isinstance(cells, list | tuple | Iterator) or not hasattr(cells, "__array__"):
        return None
    else:
        whole = np.asarray(cells)  # of a matrix, too
    if whole.dtype.kind in "cV":
        cure = "give np.stack([z.real, z.imag], axis=-1)" if whole.dtype.kind == "c" else "give numbers or text"
        raise RequestError(f"{where} is of {whole.dtype}; {cure}")
    if whole.dtype.kind == "S":
        return np.char.decode(whole, "utf-8")
    if whole.dtype.kind == "f" and whole.dtype.itemsize > 8:
        whole = whole.astype(np.float64)
    return whole if whole.dtype.isnative else whole.astype(whole.dtype.newbyteorder("="))


def _cell(where: Path | str, row: int, cell: Any, depth: int = 0) -> Any:
    """A text, a plain number, a list, a tuple or an array, and so are its entries."""
    if type(cell) in PLAIN:
        return cell
    if isinstance(cell, list | tuple):
        if {type(entry) for entry in cell} <= PLAIN:
            return cell
        if depth > DEEPEST:
            refuse(where, row, "lists within lists within lists; a row is a list of numbers, or of lists of channels")
        entries = [_cell(where, row, entry, depth + 1) for entry in cell]
        return tuple(entries) if isinstance(cell, tuple) else entries
    if isinstance(cell, bytes | bytearray):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            refuse(where, row, "bytes that are no UTF-8 text; decode them, or write them as lists of numbers")
    if type(cell).__name__ in ("NAType", "NaTType") or cell is np.ma.masked:  # what pandas and NumPy have for nothing
        return None
    if isinstance(cell, pyarrow.Scalar | pyarrow.Array):
        return _cell(where, row, cell.as_py() if isinstance(cell, pyarrow.Scalar) else cell.to_pylist(), depth)
    if isinstance(cell, Decimal | Fraction | np.floating):
        return float(cell)
    if isinstance(cell, np.generic) and cell.dtype.kind not in "cVmM":
        return cell.item()
    if hasattr(cell, "to_numpy"):  # pandas, polars: a column, or a frame with a column a channel
        return _cell(where, row, cell.to_numpy(), depth)
    if (whole := _array(f"{where}: row {row + 1}", cell)) is not None:
        if whole.ndim == 0:
            return whole.item()
        return _cell(where, row, whole.tolist(), depth) if whole.dtype == object else whole
    if isinstance(cell, range | Iterator):
        return _cell(where, row, list(cell), depth)
    if isinstance(cell, str | int | float | dict) or type(cell).__module__ in ("datetime", "pandas"):
        return cell
    refuse(where, row, f"is a {_type(cell)}; give a text, a list or an array")


def unwrapped(cells: Any) -> Any:
    """Rows of a single text or list as these texts and lists, as a column of shape (N, 1) holds them."""
    if isinstance(cells, np.ndarray):
        return cells[:, 0].tolist() if cells.ndim == 2 and cells.shape[1] == 1 and cells.dtype.kind == "U" else cells
    if not isinstance(cells, list) or not all(isinstance(row, list | tuple) and len(row) == 1 for row in cells):
        return cells
    inner = [row[0] for row in cells]
    if not all(isinstance(entry, str | list | tuple | np.ndarray) for entry in inner):
        return cells
    # Lists of one length are positions with channels, each the only one of its row.
    are_vectors = not any(isinstance(entry, str) for entry in inner) and len(set(map(len, inner))) == 1
    return cells if are_vectors else inner


def _type(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}".removeprefix("builtins.")
