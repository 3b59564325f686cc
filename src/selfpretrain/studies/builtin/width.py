"""Does the gain shrink as the model grows?"""

from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Ground, Profile, Study

WIDTHS: dict[Profile, tuple[int, ...]] = {"small": (16, 32, 64, 128), "full": (16, 32, 64, 128, 256, 512)}


def _cases(ground: Ground) -> list[Case]:
    return ground.along_model("width", WIDTHS[ground.profile])


WIDTH = Study(
    name="width",
    question="Does the gain of self-pretraining shrink as the model grows wider?",
    expected="It stays: a wider model has the same trouble with labels, within the same steps.",
    minutes=12,
    claims=(
        Ahead(text="Self-pretraining beats scratch at width 16", case="width-16"),
        Ahead(text="Self-pretraining beats scratch at width 128", case="width-128"),
        Changes(text="The gain falls with the width", axis="width", falls=True),
    ),
    cases=_cases,
    own_data=True,
)
