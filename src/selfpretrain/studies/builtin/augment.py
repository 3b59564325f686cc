"""Do augmentation and softer labels do what self-pretraining does?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

TASKS = ("proximity", "digits")
TRICKS = {"augment": "masked copies", "cutmix": "CutMix", "smoothing": "label smoothing"}


def _cases(ground: Ground) -> list[Case]:
    return ground.over(TASKS, replace(ground.config, arms=("scratch", "spt", *TRICKS)))


AUGMENT = Study(
    name="augment",
    question="Can masked copies, CutMix or label smoothing replace self-pretraining?",
    expected="Not on proximity; CutMix might, since it breaks the symmetry between positions. They help on digits.",
    minutes=5,
    claims=(
        *(
            Ahead(text=f"On {task} self-pretraining beats {words}", case=f"data-{task}", against=trick)
            for task in TASKS
            for trick, words in TRICKS.items()
        ),
        *(
            Ahead(text=f"On {task} {words} beats plain labels", case=f"data-{task}", arm=trick)
            for task in TASKS
            for trick, words in TRICKS.items()
        ),
    ),
    cases=_cases,
)
