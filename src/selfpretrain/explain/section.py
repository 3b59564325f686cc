"""A section of the diagnosis: what is measured, by which jobs, and how it is drawn. Imports no torch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from selfpretrain.engines.engine import MakeEngine
from selfpretrain.events import Watch

if TYPE_CHECKING:
    from selfpretrain.drawing import Picture
    from selfpretrain.explain.measurement import Measurement, Row
    from selfpretrain.explain.subject import Subject

Part = tuple[str, ...]
"""What one job of a section looks at: names of runs, or whatever the section says."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Everything about one section.

    Attributes:
        name: what a person types; its file in ``diagnosis/`` has it, too.
        says: for ``--help``.
        cost: of one job relative to others, for the time left.
        parts: what each job looks at.
        measure: does one job: a function of a module, so that another process finds it.
        pictures: for the report, in order; a function, so that nobody waits for a drawing library.
    """

    name: str
    says: str
    cost: float = 1.0
    parts: Callable[["Subject"], Sequence[Part]]
    measure: Callable[["Subject", Part], Iterable["Measurement"]]
    pictures: Callable[[], Sequence["Picture"]] = tuple


@dataclass(frozen=True, kw_only=True)
class Experiment(Section):
    """A section that trains, instead of looking at what is trained.

    Attributes:
        obstacle: why this subject can have no such experiment; None if it can.
        conduct: the experiment, with what is known of it, by so many workers of an engine.
        protocol: the settings of ``DiagnoseConfig`` that it depends on.
        missing: whether what is known lacks something that was asked for.
    """

    parts: Callable[["Subject"], Sequence[Part]] = lambda subject: ()
    measure: Callable[["Subject", Part], Iterable["Measurement"]] = lambda subject, part: ()
    obstacle: Callable[["Subject"], str | None]
    conduct: Callable[["Subject", Sequence["Row"], int, MakeEngine, Watch], Iterable["Measurement"]]
    protocol: tuple[str, ...] = ()
    missing: Callable[["Subject", Sequence["Row"]], bool] = lambda subject, known: False


def once(subject: "Subject") -> list[Part]:
    """A single job."""
    return [()]


def each_run(subject: "Subject") -> list[Part]:
    """A job for every run."""
    return [(run.name,) for run in subject.runs]


def each_seed(subject: "Subject") -> list[Part]:
    """A job for all runs of a seed."""
    return [tuple(run.name for run in runs) for runs in subject.by_seed.values()]


def later(module: str, function: str) -> Callable[..., Any]:
    """A function that is imported when it is first called; other processes can be sent it."""
    return partial(_call, module, function)


def _call(module: str, function: str, *arguments: Any) -> Any:
    return getattr(import_module(module), function)(*arguments)
