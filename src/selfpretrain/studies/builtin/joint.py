"""Does a masked loss beside the label's do what one before it does?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

TASKS = ("proximity", "digits")
RECIPES = ("joint", "joint-corrupted")


def _cases(ground: Ground) -> list[Case]:
    return ground.over(TASKS, replace(ground.config, arms=("scratch", "spt", *RECIPES)))


JOINT = Study(
    name="joint",
    question="Does training on the masked loss and the label loss together do what self-pretraining does beforehand?",
    expected="No: within the label's steps the reconstruction does not leave its plateau, in neither recipe.",
    minutes=6,
    claims=(
        *(
            Ahead(text=f"On {task} self-pretraining beats {recipe}", case=f"data-{task}", against=recipe)
            for task in TASKS
            for recipe in RECIPES
        ),
        *(
            Ahead(text=f"On {task} {recipe} beats scratch", case=f"data-{task}", arm=recipe)
            for task in TASKS
            for recipe in RECIPES
        ),
    ),
    cases=_cases,
)
