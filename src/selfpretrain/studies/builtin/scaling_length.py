"""How do scratch and self-pretraining fare as the sequence grows?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Ground, Profile, Study

LENGTHS: dict[Profile, tuple[int, ...]] = {"small": (20, 40, 80, 160), "full": (20, 40, 80, 160, 320, 640)}


def _cases(ground: Ground) -> list[Case]:
    return [
        Case({"length": length}, ground.config, replace(ground.task, options={**ground.task.options, "length": length}))
        for length in LENGTHS[ground.profile]
    ]


SCALING_LENGTH = Study(
    name="scaling-length",
    question="How well do scratch and self-pretraining do as sequences get longer?",
    expected="Short sequences can be learnt from labels alone; the longer they are, the more self-pretraining gains.",
    minutes=10,
    claims=(
        Ahead(text="Self-pretraining beats scratch at length 160", case="length-160"),
        Changes(text="The gain rises with the length", axis="length"),
    ),
    cases=_cases,
)
