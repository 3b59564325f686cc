"""How do scratch and self-pretraining fare as the sequence grows?"""

from dataclasses import replace

from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Profile, Study, ground

LENGTHS: dict[Profile, tuple[int, ...]] = {"small": (20, 40, 80, 160), "full": (20, 40, 80, 160, 320, 640)}


def _cases(profile: Profile) -> list[Case]:
    config, task = ground(profile)
    return [
        Case({"length": length}, config, replace(task, options={**task.options, "length": length}))
        for length in LENGTHS[profile]
    ]


LENGTH = Study(
    name="length",
    question="How do scratch and self-pretraining fare as the sequence grows?",
    expected="Short sequences can be learnt from labels alone; the longer they are, the more self-pretraining gains.",
    minutes=10,
    claims=(
        Ahead(text="Self-pretraining beats scratch at length 160", case="length-160"),
        Changes(text="The gain rises with the length", axis="length"),
    ),
    cases=_cases,
)
