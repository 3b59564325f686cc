"""Frozen dataclasses to JSON types and back, strictly; and the fingerprint that names what they describe."""

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from selfpretrain.errors import RequestError

RecordT = TypeVar("RecordT")


def to_dict(record: Any) -> dict[str, Any]:
    """A dataclass as JSON types: nested dictionaries, tuples as lists, paths as strings."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record), default=str, allow_nan=False))
    return plain


def from_dict(cls: type[RecordT], values: Any) -> RecordT:
    """The inverse of ``to_dict``.

    Raises:
        RequestError: an unknown key (the message lists the valid ones), or a value of another type.

    >>> from selfpretrain.config import ModelConfig
    >>> from_dict(ModelConfig, to_dict(ModelConfig(depth=3))).depth
    3
    """
    if not isinstance(values, Mapping):
        raise RequestError(f"{cls.__name__} is made from an object, not from {str(values)[:40]!r}")
    types_of = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(names))
    if unknown:
        raise RequestError(f"unknown setting '{unknown[0]}' of {cls.__name__}; valid: {', '.join(names)}")
    try:
        return cls(**{key: _as_type(types_of[key], value, f"{cls.__name__}.{key}") for key, value in values.items()})
    except TypeError as error:
        raise RequestError(f"{cls.__name__}: {error}") from None


def _as_type(kind: Any, value: Any, where: str) -> Any:
    """``value`` as what ``kind`` says: a dataclass, a tuple, a mapping, a choice or a plain type."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in parts:
            return None
        return _as_type(next(part for part in parts if part is not type(None)), value, where)
    if dataclasses.is_dataclass(kind):
        return from_dict(typing.cast(type[Any], kind), value)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(_as_type(part, each, where) for part, each in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {key: _as_type(parts[1], each, where) for key, each in value.items()}
    if origin is Literal and value in parts:
        return value
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise RequestError(f"{where} cannot be {str(value)[:40]!r}")


def fingerprint(*parts: Any) -> str:
    """Short SHA-256 of JSON-able parts; dataclasses count by their fields."""
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
