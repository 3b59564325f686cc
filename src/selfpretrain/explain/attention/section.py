"""The section ``attention`` of the diagnosis."""

from selfpretrain.explain.section import Section, each_run, later

ATTENTION = Section(
    name="attention",
    says="what attention looks at, and what its scores are made of",
    cost=1.0,
    parts=each_run,
    measure=later("selfpretrain.explain.attention.measure", "measure"),
    pictures=later("selfpretrain.explain.attention.pictures", "pictures"),
)
