"""Rows that Python has in memory, as columns and cells like those of a file: arrays, tensors, frames, generators."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain.data.cells import refuse
from selfpretrain.errors import RequestError

TAKEN = "a NumPy array, a tensor, a list of sequences, or a frame of pandas, polars or Arrow"


def columns_of(data: Any) -> dict[str, Any] | None:
    """The columns of a frame or of a mapping of columns, by their names; None where ``data`` is neither."""
    if isinstance(data, Mapping):
        return {str(name): column(f"column '{name}'", cells) for name, cells in data.items()}
    if hasattr(data, "column_names") and hasattr(data, "column"):  # pyarrow
        return {name: column(f"column '{name}'", data.column(place)) for place, name in enumerate(data.column_names)}
    if hasattr(data, "columns") and hasattr(data, "shape") and len(data.shape) == 2:  # pandas, polars
        names = [str(name) for name in data.columns]
        for name in names:
            if names.count(name) > 1:
                raise RequestError(f"column '{name}' of the frame occurs twice; rename one")
        return {str(name): column(f"column '{name}'", data[name]) for name in data.columns}
    return None


def column(where: Path | str, cells: Any) -> Any:
    """Cells as an array, an Arrow column or a list, one a row.

    Args:
        where: what to call them in a refusal.
        cells: an array, a masked array, a tensor, a column of pandas, polars or Arrow, a list or a generator.

    Raises:
        RequestError: something else; a cell that is neither text, list, array nor number.
    """
    import pyarrow

    if isinstance(cells, str | bytes):
        raise RequestError(f"{where} is one text; give a list of rows, [text]")
    if isinstance(cells, pyarrow.ChunkedArray | pyarrow.Array):
        return plain(where, cells)
    if hasattr(cells, "to_arrow"):  # polars
        return plain(where, cells.to_arrow())
    if hasattr(cells, "iloc"):  # pandas
        try:
            return plain(where, pyarrow.Array.from_pandas(cells))
        except (pyarrow.ArrowException, TypeError, ValueError):
            return column(where, list(cells))
    if (array := _array(cells)) is not None:
        if array.ndim == 0:
            raise RequestError(f"{where} is the single value {array}; give {TAKEN}")
        return column(where, list(array)) if array.dtype == object else array
    if isinstance(cells, set | frozenset):
        raise RequestError(f"{where} is a set, which has no order; give {TAKEN}")
    try:
        rows = list(cells)
    except TypeError:
        cure = "; give x.toarray()" if hasattr(cells, "toarray") else f"; give {TAKEN}"
        raise RequestError(f"{where} is a {_type(cells)}, which holds no rows{cure}") from None
    return [_cell(where, row, cell) for row, cell in enumerate(rows)]


def plain(where: Path | str, cells: Any) -> Any:
    """An Arrow column without dictionaries, binary and large types.

    Raises:
        RequestError: binary cells that are no UTF-8 text.
    """
    import pyarrow

    types = pyarrow.types
    whole = cells if isinstance(cells, pyarrow.ChunkedArray) else pyarrow.chunked_array([cells])
    if types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    kind = whole.type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        try:
            return whole.cast(pyarrow.binary()).cast(pyarrow.string())
        except pyarrow.ArrowInvalid:
            for row, cell in enumerate(whole.to_pylist()):
                if cell is not None and not _is_text(cell):
                    refuse(where, row, "bytes that are no UTF-8 text; decode them, or write them as lists of numbers")
    if types.is_large_string(kind) or types.is_string_view(kind):
        return whole.cast(pyarrow.string())
    if types.is_null(kind):
        return whole.cast(pyarrow.string())
    if types.is_decimal(kind) or types.is_float16(kind):
        return whole.cast(pyarrow.float64())
    return whole


def _is_text(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _array(cells: Any) -> Any:
    """A NumPy array of a tensor, an array or a masked array, whose masked entries become NaN; None of anything else."""
    if hasattr(cells, "detach"):  # torch
        tensor = cells.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if isinstance(cells, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(cells)
        if not masked.any():
            return cells.data
        if cells.dtype.kind in "biuf":
            return np.where(masked, np.nan, cells.data.astype(np.float64))
        plain_cells = cells.data.astype(object)
        plain_cells[masked] = None
        return plain_cells
    if isinstance(cells, np.ndarray):
        return cells.astype(np.str_) if cells.dtype.kind == "S" else cells
    if isinstance(cells, list | tuple | Iterator) or not hasattr(cells, "__array__"):
        return None
    return np.asarray(cells)


def _cell(where: Path | str, row: int, cell: Any) -> Any:
    """A text, a plain number, a list, a tuple or an array."""
    import pyarrow

    if cell is None or isinstance(cell, str | bool | int | float | list | tuple):
        return cell
    if isinstance(cell, bytes):
        if not _is_text(cell):
            refuse(where, row, "bytes that are no UTF-8 text; decode them, or give lists of numbers")
        return cell.decode()
    if type(cell).__name__ in ("NAType", "NaTType"):  # what pandas has for nothing
        return None
    if isinstance(cell, pyarrow.Scalar):
        return cell.as_py()
    if isinstance(cell, np.generic):
        return cell.item()
    if hasattr(cell, "to_numpy"):  # pandas, polars: a Series, or a frame with a column a channel
        return cell.to_numpy()
    if (array := _array(cell)) is not None:
        return array.item() if array.ndim == 0 else array
    if type(cell).__module__ in ("datetime", "decimal"):
        return cell
    refuse(where, row, f"is a {_type(cell)}; give a text, a list or an array")


def _type(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}".removeprefix("builtins.")
