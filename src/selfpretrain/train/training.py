"""A training: one phase of one model, the unit of all work. Imports no torch.

Arms, tuning trials, transplants and their donors are combinations of trainings. A training is found by its key, whoever
asked for it first. The key covers everything that changes the numbers, and excludes everything else: the other rates of
a grid, the number of seeds, snapshot and checkpoint intervals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from selfpretrain.config import ModelConfig, PhaseName
from selfpretrain.files import fingerprint, from_dict, to_dict
from selfpretrain.metrics import Metrics
from selfpretrain.model.groups import ENCODER, Group
from selfpretrain.train.phase import PhasePlan

NUMERICS = 2
"""Revision of our numerics: raised by whoever changes the numbers of a training, so that old ones are not reused."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights of another training, copied into the initialisation of a training's own seed.

    Attributes:
        noise: copy Gaussian noise instead, of the norm that each of the source's tensors has.
        maps: attend as the source does, throughout; see ``model.borrowed``.
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
        settings: of the objective: those that it has, and no others.
        start: None is the initialisation of the seed.
        frozen: groups of weights that are not trained.
        device: resolved; other devices round otherwise.
        threads: of the CPU; they can change the last bit.
    """

    task: str
    model: ModelConfig
    objective: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: PhasePlan
    seed: int
    start: Start | None = None
    frozen: tuple[Group, ...] = ()
    clip: float | None
    precision: Literal["float32", "bfloat16"]
    device: str
    threads: int
    numerics: int = NUMERICS

    @cached_property
    def key(self) -> str:
        """Its name in a store, from its values after a round trip through JSON, where 4 and 4.0 are one number."""
        return fingerprint(from_dict(Training, to_dict(self)))

    @cached_property
    def beginning(self) -> str:
        """Equal for trainings of which the shorter is the beginning of the longer."""
        steps = 0 if self.plan.schedule == "constant" else self.plan.steps
        return fingerprint(replace(self, plan=replace(self.plan, steps=steps)))

    @property
    def phase(self) -> PhaseName:
        return self.plan.phase

    @property
    def source(self) -> "Training | None":
        return None if self.start is None else self.start.source

    @property
    def chain(self) -> Iterator["Training"]:
        """Every training that it rests on, in order, and itself."""
        if self.source is not None:
            yield from self.source.chain
        yield self


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The numbers of one training.

    Attributes:
        failure: why it ended early; everything else is then 0 or None.
        steps: fewer than planned after early stopping.
        seconds, step_seconds: of the training loop, and of its optimiser steps alone.
        selected_step: the validation whose checkpoint was selected.
        peak_memory_bytes: None where the system does not say.
        train, val: of the selected checkpoint on the whole splits (label training).
        train_sample_acc: of the selected checkpoint on the clean training sample (label training).
        best_train_sample_acc: the best such accuracy of any validation.
        steps_to_fit: first validation at which that sample was fitted; None if never.
        val_reconstruction: validation loss of the selected checkpoint (self-pretraining).
        val_without_context: the best such loss without looking at other positions (self-pretraining).
        val_lowest: the lowest such loss that can be expected, where the law of the sequences is known.
        versions: of the packages that made it.
    """

    failure: str | None = None
    steps: int = 0
    selected_step: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    train: Metrics | None = None
    val: Metrics | None = None
    train_sample_acc: float | None = None
    best_train_sample_acc: float | None = None
    steps_to_fit: int | None = None
    val_reconstruction: float | None = None
    val_without_context: float | None = None
    val_lowest: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


Row = Mapping[str, Any]
"""One validation: a line of metrics.jsonl."""
