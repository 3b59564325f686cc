"""Does the blindness of labels need mean pooling?"""

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

WAYS = ("mean", "max", "cls", "last")


def _cases(ground: Ground) -> list[Case]:
    return ground.along_model("pooling", WAYS)


POOLING = Study(
    name="pooling",
    question="Does label training fail to learn attention only with mean pooling?",
    expected="No: with every way to pool, scratch gets stuck and self-pretraining helps.",
    minutes=6,
    claims=tuple(
        Ahead(text=f"With {words} self-pretraining beats scratch", case=f"pooling-{way}")
        for way, words in (
            ("mean", "mean pooling"),
            ("max", "max pooling"),
            ("cls", "a class token"),
            ("last", "the last position"),
        )
    ),
    cases=_cases,
    own_data=True,
)
