"""The section ``landscape`` of the diagnosis."""

from typing import TYPE_CHECKING

from selfpretrain.explain.section import Part, Section, later

if TYPE_CHECKING:
    from selfpretrain.explain.subject import Subject

PATHS = "paths"
"""Begins the job of the paths between models."""


def parts(subject: "Subject") -> list[Part]:
    """A job for what surrounds each of the pictured runs, and one for the paths between all of them."""
    names = tuple(run.name for run in subject.pictured)
    return [*((name,) for name in names), (PATHS, *names)]


LANDSCAPE = Section(
    name="landscape",
    says="curvature of the label loss, slices and paths",
    cost=20.0,
    parts=parts,
    measure=later("selfpretrain.explain.landscape.measure", "measure"),
    pictures=later("selfpretrain.explain.landscape.pictures", "pictures"),
)
