"""What one training is: everything that changes its numbers, and nothing else.

Arms, tuning trials, transplants and donors are combinations of trainings. A training is found again by its key, whoever
asked for it first. So its fields leave out what only the one who asks knows: the other rates of a grid, the number of
seeds, how many snapshots are kept, how often the state is saved.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from selfpretrain.config import Kind, ModelConfig, ObjectiveConfig, ObjectiveName, PhaseName
from selfpretrain.model.groups import ENCODER, Group
from selfpretrain.serial import fingerprint, from_dict, to_dict
from selfpretrain.training.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights of another training, put into the fresh start of a training's own seed.

    Attributes:
        groups: what is taken; the rest stays fresh.
        noise: take Gaussian noise instead, of the norm that each of the source's tensors has.
        maps: attend as the source does, all along; see ``model.borrowed``.
    """

    source: "Training"
    groups: tuple[Group, ...] = ENCODER
    noise: bool = False
    maps: bool = False


@dataclass(frozen=True, kw_only=True)
class Training:
    """One phase of one model.

    Attributes:
        task: fingerprint of the task.
        objective: what is minimised.
        reconstruction: how positions are hidden, where the objective hides any; see ``relevant``.
        start: None is the fresh start of the seed.
        frozen: groups of weights that stay as they start.
        device: resolved; other devices round otherwise.
        threads: of the CPU; they can change the last bit.
    """

    task: str
    model: ModelConfig
    objective: ObjectiveName
    reconstruction: ObjectiveConfig | None = None
    plan: Plan
    seed: int
    start: Start | None = None
    frozen: tuple[Group, ...] = ()
    clip: float | None
    precision: Literal["float32", "bfloat16"]
    device: str
    threads: int

    @cached_property
    def key(self) -> str:
        """Its name in a store: of what it is after a way through JSON, in which 4 and 4.0 are one number."""
        return fingerprint(from_dict(Training, to_dict(self)))

    @property
    def phase(self) -> PhaseName:
        """Whether it learns labels."""
        return "pretrain" if self.objective == "reconstruction" else "label"

    @property
    def source(self) -> "Training | None":
        """The training that it waits for."""
        return None if self.start is None else self.start.source

    @property
    def chain(self) -> Iterator["Training"]:
        """What it rests on, first things first, and itself."""
        if self.source is not None:
            yield from self.source.chain
        yield self


def relevant(config: ObjectiveConfig, kind: Kind, objective: ObjectiveName) -> ObjectiveConfig | None:
    """The settings that change the numbers of an objective; the others at their defaults.

    >>> config = relevant(ObjectiveConfig(span_length=3, mask_ratio=0.25), "symbols", "reconstruction")
    >>> config.span_length, config.mask_ratio
    (8, 0.25)
    """
    if objective not in ("reconstruction", "joint", "joint-corrupted"):
        return None
    default, corrupted = ObjectiveConfig(), objective == "joint-corrupted"  # which has a way of its own to hide
    unused = {
        "objective": corrupted,
        "mask_ratio": config.objective == "causal" or corrupted,
        "span_length": config.objective != "span" or corrupted,
        "control": corrupted,
        "value_loss": kind != "values",
        "joint_weight": objective != "joint",
    }
    return replace(config, **{name: getattr(default, name) for name, idle in unused.items() if idle})
