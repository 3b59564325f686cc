"""Does self-pretraining beat scratch on the built-in tasks?"""

from dataclasses import replace

from selfpretrain.config import TaskConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Profile, Study, ground

TASKS = ("proximity", "digits", "skew", "noise")


def _cases(profile: Profile) -> list[Case]:
    config, _ = ground(profile)
    config = replace(config, arms=("scratch", "spt", "scratch-long"), seeds=5)
    return [Case({"task": name}, config, TaskConfig(data=name)) for name in TASKS]


REPLICATE = Study(
    name="replicate",
    question="Does self-pretraining beat scratch on the built-in tasks, at equal label and at equal total compute?",
    expected="Yes on proximity, both ways; less on digits and skew, where labels alone learn; not at all on noise.",
    minutes=15,
    claims=(
        Ahead(
            text="On proximity self-pretraining beats scratch at equal label compute",
            refuted_by="a lead that is reliably below 3 points",
            case="task-proximity",
        ),
        Ahead(
            text="On proximity it beats scratch at equal total compute",
            refuted_by="a lead that is reliably below 3 points",
            case="task-proximity",
            against="scratch-long",
        ),
        *(
            Ahead(
                text=f"On {task} self-pretraining beats {against} at equal {compute} compute",
                refuted_by="a lead that is reliably below 3 points",
                case=f"task-{task}",
                against=against,
            )
            for task in ("digits", "skew", "noise")
            for against, compute in (("scratch", "label"), ("scratch-long", "total"))
        ),
    ),
    cases=_cases,
)
