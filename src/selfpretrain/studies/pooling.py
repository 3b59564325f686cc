"""Does the blindness of labels need mean pooling?"""

from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Profile, Study, along

WAYS = ("mean", "max", "cls", "last")


def _cases(profile: Profile) -> list[Case]:
    def change(config: CompareConfig, pooling: Any) -> CompareConfig:
        return replace(config, model=replace(config.model, pooling=pooling))

    return along("pooling", WAYS, change, profile)


POOLING = Study(
    name="pooling",
    question="Does the trouble of labels with attention need mean pooling?",
    expected="No: with every way to pool, scratch gets stuck and self-pretraining helps.",
    minutes=6,
    claims=(
        Ahead(
            text="With mean pooling self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="pooling-mean",
        ),
        Ahead(
            text="With max pooling self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="pooling-max",
        ),
        Ahead(
            text="With a class token self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="pooling-cls",
        ),
        Ahead(
            text="With the last position self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="pooling-last",
        ),
    ),
    cases=_cases,
)
