"""Can a free start do as well as self-pretraining?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

TASKS = ("proximity", "digits")
STARTS = ("impulse", "bias", "mimetic", "mimetic-qk", "rotary")


def _cases(ground: Ground) -> list[Case]:
    return ground.over(TASKS, replace(ground.config, arms=("scratch", "spt", *STARTS)))


RIVALS = Study(
    name="rivals",
    question="Can an initialisation that costs nothing do as well as self-pretraining?",
    expected="On proximity those that make attention local do; on digits labels alone need less help.",
    minutes=6,
    claims=tuple(
        Ahead(text=f"On {task} self-pretraining beats {rival}", case=f"data-{task}", against=rival)
        for task in TASKS
        for rival in ("scratch", *STARTS)
    ),
    cases=_cases,
)
