"""The section ``data`` of the diagnosis."""

from selfpretrain.explain.section import Section, later, once

DATA = Section(
    name="data",
    says="whether the label could see the local structure at all",
    cost=1.0,
    parts=once,
    measure=later("selfpretrain.explain.data.measure", "measure"),
    pictures=later("selfpretrain.explain.data.pictures", "pictures"),
)
