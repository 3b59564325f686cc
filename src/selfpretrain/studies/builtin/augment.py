"""Do augmentation and softer labels do what self-pretraining does?"""

from dataclasses import replace

from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Ground, Study

TASKS = ("proximity", "digits")
TRICKS = {"augment": "masked copies", "cutmix": "CutMix", "smoothing": "label smoothing"}


def _cases(ground: Ground) -> list[Case]:
    return ground.over(TASKS, replace(ground.config, arms=("scratch", "spt", *TRICKS)))


AUGMENT = Study(
    name="augment",
    question="Do masked copies, CutMix or label smoothing do what self-pretraining does?",
    expected="Not on proximity; CutMix might, since it breaks the symmetry between positions. They help on digits.",
    minutes=5,
    claims=(
        *(
            Ahead(text=f"On {task} self-pretraining beats {said}", case=f"data-{task}", against=trick)
            for task in TASKS
            for trick, said in TRICKS.items()
        ),
        *(
            Ahead(text=f"On {task} {said} beats plain labels", case=f"data-{task}", arm=trick)
            for task in TASKS
            for trick, said in TRICKS.items()
        ),
    ),
    cases=_cases,
)
