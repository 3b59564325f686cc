"""The sections of a diagnosis: what each measures, by which jobs, and how it is drawn. Imports no torch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selfpretrain.arms.arm import later
from selfpretrain.registry import register

if TYPE_CHECKING:
    from pandas import DataFrame

    from selfpretrain.drawing import Picture
    from selfpretrain.engines.engine import MakeEngine
    from selfpretrain.explain.subject import Subject
    from selfpretrain.explain.table import Measurement
    from selfpretrain.watch import Watch

Part = tuple[str, ...]
"""What one job of a section looks at: names of runs, or whatever the section says."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section either measures existing models (``measure``) or trains new ones (``conduct``).

    Attributes:
        name: what a person types, and the ``section`` of its rows in the table.
        says: for ``--help``.
        cost: of one job relative to others, for the time left.
        parts: what each job looks at.
        measure: does one job.
        conduct: called with the rows of an earlier diagnosis, the workers and the engine; returns all rows, or None if
            nothing changes.
        protocol: settings of ``DiagnoseConfig`` on which an experiment depends; looking depends on all.
        pictures: for the report, in order; a function, so that nobody waits for a drawing library.
    """

    sort: ClassVar[str] = "section"
    name: str
    says: str
    cost: float = 1.0
    parts: Callable[["Subject"], Sequence[Part]] = lambda subject: ()
    measure: Callable[["Subject", Part], Iterable["Measurement"]] = lambda subject, part: ()
    conduct: "Callable[[Subject, DataFrame | None, int, MakeEngine, Watch], Iterable[Measurement] | None] | None" = None
    protocol: tuple[str, ...] = ()
    pictures: Callable[[], Sequence["Picture"]] = tuple


def once(subject: "Subject") -> list[Part]:
    """A single job."""
    return [()]


def each_run(subject: "Subject") -> list[Part]:
    """A job for every run."""
    return [(run.name,) for run in subject.runs]


def each_seed(subject: "Subject") -> list[Part]:
    """A job for all runs of a seed."""
    return [tuple(run.name for run in runs) for runs in subject.by_seed.values()]


PATHS = "paths"
"""Begins the job of the paths between models."""


def each_pictured(subject: "Subject") -> list[Part]:
    """A job for each of the pictured runs, and one for the paths between all of them."""
    names = tuple(run.name for run in subject.pictured)
    return [*((name,) for name in names), (PATHS, *names)]


HOME, PICTURES = "selfpretrain.explain", "selfpretrain.explain.pictures"
for _section in (
    Section(
        name="transplants",
        says="which group of weights carries the gain, found by copying one group at a time (trains models)",
        conduct=later(f"{HOME}.transplants", "conduct"),
        protocol=("transplant_seeds",),
        pictures=later(PICTURES, "transplants_pictures"),
    ),
    Section(
        name="attention",
        says="where attention looks, and how much of its scores comes from position and content",
        parts=each_run,
        measure=later(f"{HOME}.attention", "measure"),
        pictures=later(PICTURES, "attention_pictures"),
    ),
    Section(
        name="plateau",
        says="whether label training is stuck or making progress: hidden states and attention during training",
        parts=each_seed,
        measure=later(f"{HOME}.plateau", "measure"),
        pictures=later(PICTURES, "plateau_pictures"),
    ),
    Section(
        name="gradients",
        says="what each of the two losses teaches attention, at the start and during training",
        cost=6.0,
        parts=each_run,
        measure=later(f"{HOME}.gradients", "measure"),
        pictures=later(PICTURES, "gradients_pictures"),
    ),
    Section(
        name="landscape",
        says="curvature of the label loss, slices of the loss, and paths between models",
        cost=20.0,
        parts=each_pictured,
        measure=later(f"{HOME}.landscape", "measure"),
        pictures=later(PICTURES, "landscape_pictures"),
    ),
    Section(
        name="data",
        says="whether the labels carry any information about the local structure",
        parts=once,
        measure=later(f"{HOME}.data", "measure"),
        pictures=later(PICTURES, "data_pictures"),
    ),
    Section(
        name="representation",
        says="what hidden states encode, and which weights changed",
        cost=3.0,
        parts=each_seed,
        measure=later(f"{HOME}.representation", "measure"),
    ),
):
    register(_section)
