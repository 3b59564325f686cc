"""One number or array of a diagnosis, with what is needed to read it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = Mapping[str, Any]
"""A measurement as JSON types: what ``Measurement.plain`` gives, and files hold."""
DIGITS = 7
"""Significant digits that are kept; float32 has no more."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measured array and where it comes from; None where a field does not apply."""

    name: str
    values: Any
    """A number, array or tensor; its dimensions are ``axes``."""
    unit: str
    """"1" for ratios and shares."""
    axes: tuple[str, ...] = ()
    arm: str | None = None
    seed: int | None = None
    stage: str | None = None
    """A name of ``stages``."""
    step: int | None = None
    loss: str | None = None
    """label or reconstruction, where it depends on one."""
    group: str | None = None
    """A group of weights."""
    of: Mapping[str, Any] | None = None
    """What else it is of: a cell of the transplants, the two ends of a path, a pair of models, ..."""
    n: int | None = None
    """Sequences it was measured on."""
    dtype: str = "float32"
    """Precision of the model while it was measured."""

    def plain(self) -> Row:
        """As JSON types: rounded, NaN as None, with the shape; fields that do not apply left out."""
        values = self.values.detach().cpu() if hasattr(self.values, "detach") else self.values  # a tensor
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != len(self.axes):
            raise ValueError(f"{self.name}: {array.ndim} dimensions, named {self.axes}")
        row = {field: getattr(self, field) for field in self.__dataclass_fields__}
        row |= {"values": _rounded(array.tolist()), "shape": list(array.shape), "axes": list(self.axes)}
        return {field: value for field, value in row.items() if value is not None or field == "values"}


def select(sections: Mapping[str, Sequence[Row]], section: str, name: str, **fields: Any) -> Iterator[Row]:
    """Measurements of a section that have this name and these fields."""
    for row in sections.get(section, []):
        if row["name"] == name and all(row.get(field) == value for field, value in fields.items()):
            yield row


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
