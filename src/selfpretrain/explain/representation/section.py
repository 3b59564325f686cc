"""The section ``representation`` of the diagnosis."""

from selfpretrain.explain.section import Section, each_seed, later

REPRESENTATION = Section(
    name="representation",
    says="what hidden states hold, and which weights have moved",
    cost=3.0,
    parts=each_seed,
    measure=later("selfpretrain.explain.representation.measure", "measure"),
)
