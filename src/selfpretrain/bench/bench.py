"""Everything that ``selfpretrain bench`` measures, in one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from selfpretrain.bench.answer import Answer, time_answer
from selfpretrain.bench.contestants import RIVALS, require_rivals
from selfpretrain.bench.steps import StepTimes, time_steps
from selfpretrain.config import CompareConfig
from selfpretrain.machine import cores, environment
from selfpretrain.watch import Watch


@dataclass(frozen=True)
class Bench:
    """What was measured, and with which versions."""

    environment: dict[str, Any]
    steps: Sequence[StepTimes]
    answer: Answer


def bench(*, quick: bool, watch: Watch) -> Bench:
    """Measure steps and the time to an answer on the CPU.

    Args:
        quick: fewer and shorter rounds, one seed, and a tenth of the Trainer's steps to the answer: about three minutes
            on two cores, instead of about fifteen.

    Raises:
        RequestError: a package to measure against is missing.
    """
    require_rivals()
    known = environment("cpu")
    known["packages"] |= {name: metadata.version(name) for name in RIVALS}
    steps = list(time_steps(rounds=3 if quick else 7, seconds=0.2 if quick else 1.5, watch=watch))
    answer = time_answer(1 if quick else CompareConfig().seeds, cores(), 0.1 if quick else 1.0, watch)
    return Bench(known, steps, answer)
