"""The section ``gradients`` of the diagnosis."""

from selfpretrain.explain.section import Section, each_run, later

GRADIENTS = Section(
    name="gradients",
    says="what either loss teaches attention, at the start and along training",
    cost=6.0,
    parts=each_run,
    measure=later("selfpretrain.explain.gradients.measure", "measure"),
    pictures=later("selfpretrain.explain.gradients.pictures", "pictures"),
)
