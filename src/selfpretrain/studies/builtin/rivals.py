"""Can a free start or a label-only trick do as well as self-pretraining?"""

from dataclasses import replace

from selfpretrain.config import TaskConfig
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Profile, Study, ground

TASKS = ("proximity", "digits")


def _cases(profile: Profile) -> list[Case]:
    config, task = ground(profile)
    config = replace(config, arms=("scratch", "spt", "mimetic", "bias", "rotary", "joint"))
    return [Case({"data": name}, config, task if name == task.data else TaskConfig(data=name)) for name in TASKS]


RIVALS = Study(
    name="rivals",
    question="Can a free start, or a masked loss beside the labels, do as well as self-pretraining?",
    expected="On proximity a hand-made bias towards near positions does; on digits nothing is needed.",
    minutes=6,
    claims=tuple(
        Ahead(text=f"On {task} self-pretraining beats {rival}", case=f"data-{task}", against=rival)
        for task in TASKS
        for rival in ("scratch", "bias", "mimetic", "rotary", "joint")
    ),
    cases=_cases,
)
