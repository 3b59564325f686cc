"""Which way of hiding positions does the gain need?"""

from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study

WAYS: dict[str, dict[str, Any]] = {
    "ratio-0.15": {"mask_ratio": 0.15},
    "ratio-0.5": {"mask_ratio": 0.5},
    "ratio-0.85": {"mask_ratio": 0.85},
    "span": {"objective": "span"},
    "next": {"objective": "causal"},
    "shuffled": {"control": "shuffled"},
    "random": {"control": "random"},
}


def _cases(ground: Ground) -> list[Case]:
    def change(config: CompareConfig, way: str) -> CompareConfig:
        return replace(config, objective=replace(config.objective, **WAYS[way]))

    return ground.along("hide", tuple(WAYS), change)


MASKING = Study(
    name="masking",
    question="Which kind of masking does the gain need: what ratio, single positions or spans, or next position only?",
    expected="Independent masks at a ratio of a half teach neighbours best; stretches hide the neighbours themselves.",
    minutes=8,
    claims=tuple(
        Ahead(text=f"{words} beats scratch", case=f"hide-{way}")
        for way, words in (
            ("ratio-0.5", "Self-pretraining with half of the positions masked"),
            ("next", "Self-pretraining on the next symbol, under causal attention,"),
            ("ratio-0.15", "Self-pretraining with 15% masked"),
            ("ratio-0.85", "Self-pretraining with 85% masked"),
            ("span", "Self-pretraining on masked stretches"),
        )
    )
    + tuple(  # that nothing can be learnt from them is the answer here
        Ahead(text=f"{words} beats scratch", case=f"hide-{way}", even_untested=True)
        for way, words in (
            ("shuffled", "Self-pretraining on shuffled sequences, a control,"),
            ("random", "Self-pretraining that asks for another sequence's symbols, a control,"),
        )
    ),
    cases=_cases,
    own_data=True,
)
