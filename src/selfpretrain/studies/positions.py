"""Does a position code that prefers near positions replace self-pretraining?"""

from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Profile, Study, along

CODES = ("sinusoidal", "learned", "rotary", "alibi", "none")


def _cases(profile: Profile) -> list[Case]:
    def change(config: CompareConfig, code: Any) -> CompareConfig:
        return replace(config, model=replace(config.model, positions=code))

    return along("positions", CODES, change, profile)


POSITIONS = Study(
    name="positions",
    question="Does a position code that prefers near positions (ALiBi, rotary) replace self-pretraining?",
    expected="ALiBi starts with the preference that self-pretraining has to teach, so scratch learns with it.",
    minutes=8,
    claims=(
        Ahead(
            text="With sinusoidal positions self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="positions-sinusoidal",
        ),
        Ahead(
            text="Scratch with ALiBi beats scratch with sinusoidal positions",
            refuted_by="a lead that is reliably below 3 points",
            case="positions-alibi",
            arm="scratch",
            other="positions-sinusoidal",
        ),
        Ahead(
            text="Scratch with rotary positions beats scratch with sinusoidal ones",
            refuted_by="a lead that is reliably below 3 points",
            case="positions-rotary",
            arm="scratch",
            other="positions-sinusoidal",
        ),
        Ahead(
            text="With learned positions self-pretraining beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="positions-learned",
        ),
        Ahead(
            text="With ALiBi self-pretraining still beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="positions-alibi",
        ),
    ),
    cases=_cases,
)
