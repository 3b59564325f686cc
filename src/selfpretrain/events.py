"""What a comparison tells the one who watches it, from whichever process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Planned:
    """Work that is about to begin."""

    costs: Mapping[str, Mapping[str, float]]
    """Runs by name; of each, its phases and what they cost, in FLOPs."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    run: str
    phase: str
    step: int
    total: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Note:
    """Something to read, of one run or (run None) of the comparison."""

    text: str
    run: str | None = None


@dataclass(frozen=True)
class Finished:
    """A run is done."""

    run: str
    result: Mapping[str, Any]


Event = Planned | Progress | Note | Finished
Watch = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
