"""Can a free start or a label-only trick do as well as self-pretraining?"""

from dataclasses import replace

from selfpretrain.config import TaskConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Profile, Study, ground

TASKS = ("proximity", "digits")


def _cases(profile: Profile) -> list[Case]:
    config, task = ground(profile)
    config = replace(config, arms=("scratch", "spt", "mimetic", "bias", "rotary", "joint"))
    return [Case({"task": name}, config, task if name == task.data else TaskConfig(data=name)) for name in TASKS]


RIVALS = Study(
    name="rivals",
    question="Can a free start, or a masked loss beside the labels, do as well as self-pretraining?",
    expected="On proximity a hand-made bias towards near positions does; on digits nothing is needed.",
    minutes=12,
    claims=(
        Ahead(
            text="On proximity self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="task-proximity",
        ),
        Ahead(
            text="On proximity self-pretraining beats a hand-made proximity bias",
            refuted_by="a lead that is reliably below 3 points: then the bias does as well, for nothing",
            case="task-proximity",
            against="bias",
        ),
        *(
            Ahead(
                text=f"On {task} self-pretraining beats {rival}",
                refuted_by="a lead that is reliably below 3 points",
                case=f"task-{task}",
                against=rival,
            )
            for task in TASKS
            for rival in ("scratch", "mimetic", "bias", "rotary", "joint")
            if (task, rival) not in (("proximity", "scratch"), ("proximity", "bias"))
        ),
    ),
    cases=_cases,
)
