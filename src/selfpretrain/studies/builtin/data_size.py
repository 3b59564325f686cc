"""How many times the data is self-pretraining worth?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Ground, Study

FRACTIONS = (0.125, 0.25, 0.5, 1.0)


def _cases(ground: Ground) -> list[Case]:
    return [Case({"fraction": f}, ground.config, replace(ground.task, fraction=f)) for f in FRACTIONS]


DATA_SIZE = Study(
    name="data-size",
    question="How many times the data does scratch need to match self-pretraining, at the same number of label steps?",
    expected="At least eight times on proximity: scratch with all of it stays at chance.",
    minutes=6,
    claims=(
        Ahead(text="With all the data self-pretraining beats scratch", case="fraction-1.0"),
        *(
            Ahead(
                text=f"Self-pretraining and labels on {words} of the data beat scratch on all of it",
                case=f"fraction-{fraction}",
                other="fraction-1.0",
            )
            for fraction, words in ((0.5, "half"), (0.25, "a quarter"), (0.125, "an eighth"))
        ),
        Changes(text="The gain falls with more data", axis="fraction", falls=True),
    ),
    cases=_cases,
    own_data=True,
)
