"""Does self-pretraining beat scratch on the built-in tasks?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

TASKS = ("proximity", "digits", "skew", "noise")


def _cases(ground: Ground) -> list[Case]:
    config = replace(ground.config, arms=("scratch", "spt", "scratch-long"), seeds=max(5, ground.config.seeds))
    return ground.over(TASKS, config)


REPLICATE = Study(
    name="replicate",
    question="Does self-pretraining beat scratch on built-in tasks, at equal label compute and equal total compute?",
    expected="Yes on proximity, both ways; less on digits and skew, where labels alone learn; not at all on noise.",
    minutes=15,
    claims=tuple(
        Ahead(
            text=f"On {task} self-pretraining beats {against} at equal {compute} compute",
            case=f"data-{task}",
            against=against,
        )
        for task in TASKS
        for against, compute in (("scratch", "label"), ("scratch-long", "total"))
    ),
    cases=_cases,
)
