"""Does the gain need depth?"""

from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Ground, Profile, Study

DEPTHS: dict[Profile, tuple[int, ...]] = {"small": (1, 2, 4), "full": (1, 2, 4, 8)}


def _cases(ground: Ground) -> list[Case]:
    return ground.along_model("depth", DEPTHS[ground.profile])


DEPTH = Study(
    name="depth",
    question="Does the gain of self-pretraining need depth?",
    expected="No: it is there with a single layer, and as large with more, as long as labels alone get stuck.",
    minutes=8,
    claims=(
        Ahead(text="Self-pretraining beats scratch with one layer", case="depth-1"),
        Ahead(text="Self-pretraining beats scratch with four layers", case="depth-4"),
        Changes(text="The gain falls with depth", axis="depth", falls=True),
    ),
    cases=_cases,
    own_data=True,
)
