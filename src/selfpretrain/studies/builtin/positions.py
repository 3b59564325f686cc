"""Does a position code that prefers near positions replace self-pretraining?"""

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

CODES = ("sinusoidal", "learned", "rotary", "alibi", "none")


def _cases(ground: Ground) -> list[Case]:
    return ground.along_model("positions", CODES)


POSITIONS = Study(
    name="positions",
    question="Can a positional encoding that favours near positions (ALiBi, rotary) replace self-pretraining?",
    expected="ALiBi starts with the preference that self-pretraining has to teach, so scratch learns with it.",
    minutes=7,
    claims=(
        Ahead(text="With sinusoidal positions self-pretraining beats scratch", case="positions-sinusoidal"),
        *(
            Ahead(
                text=f"Scratch with {words} beats scratch with sinusoidal positions",
                case=f"positions-{code}",
                arm="scratch",
                other="positions-sinusoidal",
            )
            for code, words in (("alibi", "ALiBi"), ("rotary", "rotary positions"))
        ),
        Ahead(text="With learned positions self-pretraining beats scratch", case="positions-learned"),
        Ahead(text="With ALiBi self-pretraining still beats scratch", case="positions-alibi"),
    ),
    cases=_cases,
    own_data=True,
)
