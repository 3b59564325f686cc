"""The table of a diagnosis: one row for every number that was measured.

| column                                        | holds                                                                |
|-----------------------------------------------|----------------------------------------------------------------------|
| section, name                                 | what was measured, and by which section                              |
| arm, seed, stage, step                        | the model: its stage, after so many steps of the phase               |
| layer, head, lag                              | the part of the model; the lag is key position minus query position  |
| group                                         | group of weights                                                     |
| loss                                          | label or reconstruction                                              |
| x, y                                          | coordinates of a point: query and key of a map, strength of a bias,  |
|                                               | eigenvalue of a density, share of a path, steps in a plane           |
| other_arm, other_stage, other_layer           | the second model of a pair: the end of a path, the other features    |
| cell                                          | name of a transplant                                                 |
| value, unit, n, dtype                         | the number, its unit, the sequences behind it, the model's precision |

A column that does not apply is empty. ``pandas.read_parquet("diagnosis/table")`` reads the whole table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from selfpretrain.files import write_atomically

WHOLE, REAL = {"seed", "step", "layer", "head", "lag", "other_layer", "n"}, {"x", "y", "value"}
COLUMNS = {
    column: "Int64" if column in WHOLE else "float64" if column in REAL else "string"
    for column in (
        *("section", "name", "arm", "seed", "stage", "step", "layer", "head", "lag", "group", "loss", "x", "y"),
        *("other_arm", "other_stage", "other_layer", "cell", "value", "unit", "n", "dtype"),
    )
}
"""The columns in their order, and their types in pandas."""
PROTOCOL = b"protocol"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number or array, with the columns that identify it.

    Attributes:
        values: a number, array or tensor.
        axes: the column for each dimension of ``values``.
        coordinates: values of an axis, if they are not 0, 1, 2, ...
        unit: "1" for ratios and shares.
        n: sequences it was measured on.
        dtype: precision of the model while it was measured.
    """

    name: str
    values: Any
    unit: str
    axes: tuple[str, ...] = ()
    coordinates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    arm: str | None = None
    seed: int | None = None
    stage: str | None = None
    step: int | None = None
    layer: int | None = None
    group: str | None = None
    loss: str | None = None
    other_arm: str | None = None
    other_stage: str | None = None
    cell: str | None = None
    n: int | None = None
    dtype: str = "float32"

    def columns(self) -> dict[str, Any]:
        """The rows as columns: arrays for the axes and the value, scalars for what all rows share.

        Raises:
            ValueError: the axes do not fit the values.
        """
        values = self.values.detach().cpu() if hasattr(self.values, "detach") else self.values  # a tensor
        array = np.asarray(values, dtype=np.float64)
        array = np.where(np.isfinite(array), array, np.nan)  # what is not finite is undefined
        if array.ndim != len(self.axes):
            raise ValueError(f"{self.name}: {array.ndim} dimensions, named {self.axes}")
        along = [self.coordinates.get(axis, range(size)) for axis, size in zip(self.axes, array.shape, strict=True)]
        grids = [grid.ravel() for grid in np.meshgrid(*along, indexing="ij")]
        shared = {column: getattr(self, column) for column in COLUMNS if hasattr(self, column)}
        return {**shared, **dict(zip(self.axes, grids, strict=True)), "value": array.ravel()}


def tidy(section: str, measurements: Iterable[Measurement]) -> pd.DataFrame:
    """The rows of all measurements of a section."""
    parts: dict[str, list[Any]] = {column: [] for column in COLUMNS}
    for measurement in measurements:
        columns = {**measurement.columns(), "section": section}
        size = len(columns["value"])
        for column, arrays in parts.items():
            value = columns.get(column)
            arrays.append(value if isinstance(value, np.ndarray) else np.full(size, value, dtype=object))
    return _typed({column: np.concatenate(arrays) if arrays else [] for column, arrays in parts.items()})


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables as one."""
    return pd.concat([tidy("", []), *tables], ignore_index=True)


def _typed(columns: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns, columns=list(COLUMNS)).astype(COLUMNS)


def pick(table: pd.DataFrame, name: str, **where: Any) -> pd.DataFrame:
    """Select the rows with this name and these column values; None matches empty cells."""
    keep = table["name"] == name
    for column, value in where.items():
        keep &= table[column].isna() if value is None else (table[column] == value).fillna(False).astype(bool)
    return table[keep]


def write_table(path: Path, table: pd.DataFrame, protocol: Mapping[str, Any]) -> None:
    """Keep the rows of a section as Parquet, with the protocol under which they were measured."""
    rows = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**rows.schema.metadata, PROTOCOL: msgspec.json.encode(protocol)}
    stream = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(metadata), stream)
    write_atomically(path, stream.getvalue().to_pybytes())


def read_table(path: Path, protocol: Mapping[str, Any]) -> pd.DataFrame | None:
    """The rows of a section; None if the file is missing or damaged, or of another protocol."""
    try:
        rows = pq.read_table(path)
        measured_under = msgspec.json.decode((rows.schema.metadata or {})[PROTOCOL])
        return _typed(rows.to_pandas()) if measured_under.items() <= protocol.items() else None
    except (OSError, pa.ArrowException, KeyError, TypeError, AttributeError, ValueError):
        return None
