"""Which way of hiding positions does the gain need?"""

from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Profile, Study, along

WAYS: dict[str, dict[str, Any]] = {
    "ratio-0.15": {"mask_ratio": 0.15},
    "ratio-0.5": {"mask_ratio": 0.5},
    "ratio-0.85": {"mask_ratio": 0.85},
    "span": {"objective": "span"},
    "next": {"objective": "causal"},
}


def _cases(profile: Profile) -> list[Case]:
    def change(config: CompareConfig, way: str) -> CompareConfig:
        return replace(config, objective=replace(config.objective, **WAYS[way]))

    return along("hide", tuple(WAYS), change, profile)


MASKING = Study(
    name="masking",
    question="Which way of hiding positions does the gain need: how many, alone or in stretches, or just the next one?",
    expected="Independent masks at a ratio of a half teach neighbours best; stretches hide the neighbours themselves.",
    minutes=8,
    claims=(
        Ahead(
            text="Self-pretraining with half of the positions masked beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="hide-ratio-0.5",
        ),
        Ahead(
            text="Self-pretraining on the next symbol beats scratch, both with causal attention",
            refuted_by="a lead that is reliably below 3 points",
            case="hide-next",
        ),
        Ahead(
            text="Self-pretraining with 15% masked beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="hide-ratio-0.15",
        ),
        Ahead(
            text="Self-pretraining with 85% masked beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="hide-ratio-0.85",
        ),
        Ahead(
            text="Self-pretraining on masked stretches beats scratch",
            refuted_by="a lead that is reliably below 3 points",
            case="hide-span",
        ),
    ),
    cases=_cases,
)
