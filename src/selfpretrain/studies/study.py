"""What a study is: comparisons along one axis or more, and the claims that they are to decide. Imports no torch.

Everything is declared before anything runs: the question, what is expected, the claims in their order, and what would
refute each.
"""

import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.errors import RequestError
from selfpretrain.presets import preset
from selfpretrain.serial import fingerprint
from selfpretrain.studies.case import Axis, Case
from selfpretrain.studies.claims import Claim

Profile = Literal["small", "full"]
"""small: at most 20 minutes on two cores; full: ten seeds and a larger model, for an accelerator (both ours)."""


@dataclass(frozen=True)
class Study:
    """Comparisons, and what they are to decide.

    Attributes:
        name: what a person types, and part of the folder's name.
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

    @property
    def declared(self) -> str:
        """Fingerprint of the declaration."""
        return fingerprint(*self.declaration, *map(repr, self.claims))

    def cases_of(self, profile: Profile) -> list[Case]:
        """The comparisons of a profile, checked against each other and the claims.

        Raises:
            RequestError: its function fails, or what it gives does not fit; the message names the line.
        """
        try:
            cases = list(self.cases(profile))
        except Exception as error:
            where = inspect.getsourcefile(inspect.unwrap(self.cases)) or self.name
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == where]
            place = f"{where}, line {lines[-1] if lines else '?'}"
            raise RequestError(f"{place}: {type(error).__name__}: {error}") from None
        names = [case.name for case in cases]
        if len(set(names)) < len(names):
            raise RequestError(f"the study {self.name} has two cases of one name; their axes must differ")
        for claim in self.claims:
            if (wrong := claim.wrong(cases)) is not None:
                raise RequestError(f"the study {self.name} claims '{claim.text}', but {wrong}")
        return cases


def ground(profile: Profile) -> tuple[CompareConfig, TaskConfig]:
    """The comparison and the task on which built-in studies stand: scratch and spt on ``proximity``."""
    if profile == "small":
        return replace(CompareConfig(), arms=("scratch", "spt"), seeds=3), TaskConfig()
    config = replace(preset("small").config, arms=("scratch", "spt"), seeds=10)
    return config, TaskConfig(options={"symbols": 16, "length": 256, "sequences": 20_000})


def along(
    axis: str, values: Sequence[Axis], change: Callable[[CompareConfig, Any], CompareConfig], profile: Profile
) -> list[Case]:
    """A case for each value of an axis, by what it changes in the ground's comparison."""
    config, task = ground(profile)
    return [Case({axis: value}, change(config, value), task) for value in values]


def along_model(setting: str, values: Sequence[Axis], profile: Profile) -> list[Case]:
    """A case for each value of one setting of the model, by which the axis is called."""

    def change(config: CompareConfig, value: Axis) -> CompareConfig:
        model: dict[str, Any] = {setting: value}
        return replace(config, model=replace(config.model, **model))

    return along(setting, values, change, profile)
