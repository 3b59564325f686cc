"""What work tells the one who watches it, from whichever process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """Work that is about to begin.

    Attributes:
        costs: of each job by name, in FLOPs (or any one unit).
        later: the cost of jobs that will be planned afterwards; replaces what was said of it before.
    """

    costs: Mapping[str, float]
    later: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    job: str
    step: int
    total: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Note:
    """Something to read, of one job or (None) of all the work."""

    text: str
    job: str | None = None


@dataclass(frozen=True)
class Done:
    """A job is done; ``outcome`` says in words how it came out."""

    job: str
    outcome: str


Event = Planned | Progress | Note | Done
Watch = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
