"""Which way of hiding positions does the gain need?"""

from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Profile, Study, along

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
    minutes=6,
    claims=tuple(
        Ahead(text=f"{said} beats scratch", case=f"hide-{way}")
        for way, said in (
            ("ratio-0.5", "Self-pretraining with half of the positions masked"),
            ("next", "Self-pretraining on the next symbol, under causal attention,"),
            ("ratio-0.15", "Self-pretraining with 15% masked"),
            ("ratio-0.85", "Self-pretraining with 85% masked"),
            ("span", "Self-pretraining on masked stretches"),
        )
    ),
    cases=_cases,
)
