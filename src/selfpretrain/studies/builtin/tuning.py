"""Does scratch catch up when it is tuned?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from selfpretrain.config import CompareConfig
from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import Case, Ground, Study, longer

SGD_RATES = (0.03, 0.1, 0.3)
"""Plain gradients are smaller than Adam's steps, so their rates are larger (ours)."""
WIDE = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


def _label(**settings: Any) -> Callable[[CompareConfig], CompareConfig]:
    return lambda config: replace(config, label=replace(config.label, **settings))


def _rates(*rates: float) -> Callable[[CompareConfig], CompareConfig]:
    return lambda config: replace(config, train=replace(config.train, lr=rates))


def _times(factor: int) -> Callable[[CompareConfig], CompareConfig]:
    return lambda config: longer(config, factor)


WAYS: dict[str, tuple[str, tuple[Callable[[CompareConfig], CompareConfig], ...]]] = {
    "16x": ("with 16 times the label steps", (_times(16),)),
    "4x": ("with 4 times the label steps", (_times(4),)),
    "rates": ("with five rates from 0.0003 to 0.03", (_rates(*WIDE),)),
    "sgd": ("with gradient descent and momentum", (_label(optimizer="sgd"), _rates(*SGD_RATES))),
    "muon": ("with Muon", (_label(optimizer="muon"),)),
    "muon-4x": ("with Muon and 4 times the label steps", (_label(optimizer="muon"), _times(4))),
    "no-warmup": ("without a warm-up", (_label(warmup="0steps"),)),
    "long-warmup": ("with a warm-up over half of the steps", (_label(warmup="50%"),)),
    "cosine": ("with a cosine schedule", (_label(schedule="cosine"),)),
}


def _cases(ground: Ground) -> list[Case]:
    cases = [Case({"tuned": "as-all"}, ground.config, ground.task)]
    for way, (_, changes) in WAYS.items():
        config = replace(ground.config, arms=("scratch",))
        for change in changes:
            config = change(config)
        cases.append(Case({"tuned": way}, config, ground.task))
    return cases


TUNING = Study(
    name="tuning",
    question="Does scratch catch up with self-pretraining when its rate, optimiser, warm-up or label steps are tuned?",
    expected="Not by rate or warm-up; many more label steps leave the plateau in some seeds, and Muon may.",
    minutes=10,
    claims=(
        Ahead(text="Self-pretraining beats scratch, both tuned alike", case="tuned-as-all"),
        *(
            Ahead(text=f"Self-pretraining beats scratch {words}", case="tuned-as-all", other=f"tuned-{way}")
            for way, (words, _) in WAYS.items()
        ),
    ),
    cases=_cases,
    own_data=True,
)
