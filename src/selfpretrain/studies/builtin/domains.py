"""Does self-pretraining help on real data of other kinds?"""

from dataclasses import replace

from selfpretrain.studies.claims import Ahead
from selfpretrain.studies.study import CARTPOLE, MNIST_ROWS, NEWSGROUPS, SMARTWATCH, SPLICE, VOWELS, Case, Ground, Study

REAL = (SMARTWATCH, SPLICE, NEWSGROUPS, VOWELS, MNIST_ROWS, CARTPOLE)


def _cases(ground: Ground) -> list[Case]:
    config = replace(ground.config, arms=("scratch", "spt", "classical"))
    return [ground.real(data, config) for data in REAL]


DOMAINS = Study(
    name="domains",
    question="Does self-pretraining help on real time series, DNA, text, audio, images and reinforcement learning?",
    expected="By a few points at most where sequences are short: labels alone learn most of these within minutes.",
    minutes=15,
    claims=tuple(
        Ahead(
            text=f"On {data.kind} ({data.name}) self-pretraining beats scratch at equal label compute",
            case=f"data-{data.name}",
        )
        for data in REAL
    ),
    cases=_cases,
)
