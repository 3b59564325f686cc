"""What a study is: comparisons along one axis or more, and the claims that they are to decide. Imports no torch.

Everything is declared before anything runs: the question, what is expected, the claims in their order, and what would
refute each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.presets import preset
from selfpretrain.studies.claims import Claim

Profile = Literal["small", "full"]
"""small: at most 20 minutes on two cores; full: ten seeds and a larger model, for an accelerator (both ours)."""
Axis = str | int | float


@dataclass(frozen=True)
class Case:
    """One comparison of a study.

    Attributes:
        axes: where it lies, for example {"depth": 2}.
    """

    axes: Mapping[str, Axis]
    config: CompareConfig
    task: TaskConfig

    @property
    def name(self) -> str:
        """Its folder, and how claims call it.

        >>> Case({"depth": 2}, CompareConfig(), TaskConfig()).name
        'depth-2'
        """
        return "-".join(f"{axis}-{value}" for axis, value in self.axes.items())


@dataclass(frozen=True)
class Study:
    """Comparisons, and what they are to decide.

    Attributes:
        name: what a person types.
        expected: what its authors expected before it ran.
        minutes: expected on two cores, profile small.
        claims: the first two are primary and taken in their order; Holm's rule corrects the others.
        cases: the comparisons of a profile.
    """

    name: str
    question: str
    expected: str
    minutes: float
    claims: Sequence[Claim]
    cases: Callable[[Profile], Sequence[Case]]

    def __post_init__(self) -> None:
        if not self.claims:
            raise ValueError(f"the study {self.name} claims nothing: say what it is to decide")

    @property
    def declaration(self) -> list[str]:
        """The question, what is expected, and each claim with what would refute it."""
        claims = [f"claim {n}: {each.text}; refuted by {each.refuted_by}" for n, each in enumerate(self.claims, 1)]
        return [self.question, f"expected: {self.expected}", *claims]


def ground(profile: Profile) -> tuple[CompareConfig, TaskConfig]:
    """The comparison and the task on which built-in studies stand: scratch and spt on ``proximity``."""
    if profile == "small":
        return replace(CompareConfig(), arms=("scratch", "spt"), seeds=3), TaskConfig()
    config = replace(preset("small").config, arms=("scratch", "spt", "scratch-long"), seeds=10)
    return config, TaskConfig(options={"symbols": 16, "length": 256, "sequences": 20_000})


def one_rate(config: CompareConfig, lr: float) -> CompareConfig:
    """The same with one learning rate for every arm and no tuning."""
    return replace(config, train=replace(config.train, lr=(lr,)))


def along(
    axis: str, values: Sequence[Axis], change: Callable[[CompareConfig, Any], CompareConfig], profile: Profile
) -> list[Case]:
    """A case for each value of an axis, by what it changes in the ground's comparison."""
    config, task = ground(profile)
    return [Case({axis: value}, change(config, value), task) for value in values]
