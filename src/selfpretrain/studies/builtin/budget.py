"""How few steps of self-pretraining suffice?"""

from dataclasses import replace

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Ground, Profile, Study

STEPS: dict[Profile, tuple[int, ...]] = {
    "small": (100, 200, 400, 800),
    "full": (100, 200, 400, 800, 1600, 3200),
}


def _cases(ground: Ground) -> list[Case]:
    def change(config: CompareConfig, steps: int) -> CompareConfig:
        return replace(config, pretrain=replace(config.pretrain, duration=f"{steps}steps"))

    return ground.along("spt-steps", STEPS[ground.profile], change)


BUDGET = Study(
    name="budget",
    question="How few steps of self-pretraining suffice?",
    expected="As many as the reconstruction needs to leave its plateau: some hundred, and more of them add little.",
    minutes=4,
    claims=(  # that so few steps teach nothing is an answer here
        *(
            Ahead(text=f"SPT of {steps} steps beats scratch", case=f"spt-steps-{steps}", even_untested=True)
            for steps in (800, 400, 200, 100)
        ),
        Changes(text="The gain rises with the steps of self-pretraining", axis="spt-steps", even_untested=True),
    ),
    cases=_cases,
    own_data=True,
)
