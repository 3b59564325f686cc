"""How few steps of self-pretraining suffice?"""

from dataclasses import replace

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead, Changes
from selfpretrain.studies.study import Case, Profile, Study, along

STEPS: dict[Profile, tuple[int, ...]] = {
    "small": (100, 200, 400, 800),
    "full": (100, 200, 400, 800, 1600, 3200),
}


def _cases(profile: Profile) -> list[Case]:
    def change(config: CompareConfig, steps: int) -> CompareConfig:
        return replace(config, pretrain=replace(config.pretrain, duration=f"{steps}steps"))

    return along("spt-steps", STEPS[profile], change, profile)


BUDGET = Study(
    name="budget",
    question="How few steps of self-pretraining suffice?",
    expected="As many as the reconstruction needs to leave its plateau: some hundred, and more of them add little.",
    minutes=6,
    claims=(
        Ahead(
            text="Self-pretraining of 800 steps beats scratch",
            refuted_by="a lead that is reliably below 3 points after 800 steps",
            case="spt-steps-800",
        ),
        Ahead(
            text="Self-pretraining of 400 steps beats scratch",
            refuted_by="a lead that is reliably below 3 points after 400 steps",
            case="spt-steps-400",
        ),
        Ahead(
            text="Self-pretraining of 100 steps beats scratch",
            refuted_by="a lead that is reliably below 3 points after 100 steps",
            case="spt-steps-100",
        ),
        Changes(
            text="The gain rises with the steps of self-pretraining",
            refuted_by="a rise that is reliably below a point for each doubling of the steps",
            cases={steps: f"spt-steps-{steps}" for steps in STEPS["small"]},
        ),
    ),
    cases=_cases,
)
