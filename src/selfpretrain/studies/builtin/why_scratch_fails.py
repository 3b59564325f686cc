"""Why does label training fail: does it not fit its training labels, or does it not generalise?"""

from collections.abc import Sequence
from dataclasses import replace

from selfpretrain.studies.claims import Ahead, Fits, Generalises
from selfpretrain.studies.study import Case, ClaimAnswer, Ground, Study, longer

TIMES = 10


def _cases(ground: Ground) -> list[Case]:
    alone, random = replace(ground.config, arms=("scratch",)), replace(ground.task, random_labels=True)
    return [
        Case({"labels": "true", "steps": "as-given"}, ground.config, ground.task),
        Case({"labels": "true", "steps": f"{TIMES}x"}, longer(alone, TIMES), ground.task),
        Case({"labels": "random", "steps": "as-given"}, alone, random),
        Case({"labels": "random", "steps": f"{TIMES}x"}, longer(alone, TIMES), random),
    ]


def _reading(answers: Sequence[ClaimAnswer]) -> str:
    """The two questions that decide: whether it fits, and whether what it fits carries over."""
    fits, longer, by_heart, carries, _ = (answer.outcome for answer in answers)
    if fits == "does not hold":
        later = {"holds": f"{TIMES} times the steps fit them", "does not hold": f"nor within {TIMES} times the steps"}
        return (
            "Optimisation: within its steps scratch does not fit its own training labels "
            f"({later.get(longer, 'with more steps it is open')})."
        )
    if fits == "holds" and carries == "does not hold":
        heart = ", and random labels as well: it can learn them by heart" if by_heart == "holds" else ""
        return f"Generalisation: scratch fits its training labels{heart}, and does worse on new sequences."
    if fits == "holds" and carries == "holds":
        return "Scratch does not fail: it fits its training labels, and does as well on new sequences."
    return "Open: these seeds do not decide whether scratch fits its training labels, or what they are worth."


WHY_SCRATCH_FAILS = Study(
    name="why-scratch-fails",
    question="Why does label training alone fail here: does it fail to fit the training labels, or fail to generalise?",
    expected="On proximity it does not fit its labels, and fits random ones no sooner.",
    minutes=8,
    claims=(
        Fits(text="Scratch fits its training labels", case="labels-true-steps-as-given"),
        Fits(text=f"Scratch fits them with {TIMES} times the steps", case=f"labels-true-steps-{TIMES}x"),
        Fits(text=f"Scratch fits random labels with {TIMES} times the steps", case=f"labels-random-steps-{TIMES}x"),
        Generalises(text="Scratch is as good on test as on training sequences", case="labels-true-steps-as-given"),
        Ahead(
            text=f"Self-pretraining beats scratch with {TIMES} times the label steps",
            case="labels-true-steps-as-given",
            other=f"labels-true-steps-{TIMES}x",
        ),
    ),
    cases=_cases,
    own_data=True,
    reading=_reading,
)
