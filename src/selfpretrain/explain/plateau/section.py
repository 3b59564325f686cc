"""The section ``plateau`` of the diagnosis."""

from selfpretrain.explain.section import Section, each_seed, later

PLATEAU = Section(
    name="plateau",
    says="whether label training is stuck or on its way: states and attention along training",
    cost=1.0,
    parts=each_seed,
    measure=later("selfpretrain.explain.plateau.measure", "measure"),
    pictures=later("selfpretrain.explain.plateau.pictures", "pictures"),
)
