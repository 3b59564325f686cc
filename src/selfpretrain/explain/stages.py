"""The moments of a run at which its weights are looked at.

| stage          | weights                                                |
|----------------|--------------------------------------------------------|
| start          | fresh, made from the seed                              |
| after-pretrain | of the best validation of self-pretraining             |
| after-label    | of the best validation of label training               |
| along-pretrain | a snapshot of self-pretraining                         |
| along-label    | a snapshot of label training                           |
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from torch import Tensor

from selfpretrain.comparison.runs import Run
from selfpretrain.config import PhaseName
from selfpretrain.results import Row
from selfpretrain.training.store import Store
from selfpretrain.training.training import Training

StageName = Literal["start", "after-pretrain", "after-label", "along-pretrain", "along-label"]
ALONG: dict[PhaseName, StageName] = {"pretrain": "along-pretrain", "label": "along-label"}
RECONSTRUCTION_HEAD = "reconstruction_head"


@dataclass(frozen=True)
class Stage:
    """Weights of a run at one moment.

    Attributes:
        step: steps of the phase that is under way or over; 0 at the start.
        training: whose weights; None at the start.
        snapshot: whether they are the snapshot of that step.
    """

    name: StageName
    step: int
    training: Training | None = None
    snapshot: bool = False


@dataclass(frozen=True)
class TrainedRun:
    """A finished run whose trainings are there to be looked at."""

    run: Run
    labels: Training
    store: Store

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.record.name

    @property
    def arm(self) -> str:
        """Its arm."""
        return self.run.record.arm

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.run.record.seed

    @property
    def where(self) -> dict[str, Any]:
        """Arm and seed, for measurements."""
        return {"arm": self.arm, "seed": self.seed}

    @property
    def rows(self) -> list[Row]:
        """Its validations."""
        return self.run.rows

    @property
    def pretraining(self) -> Training | None:
        """Its self-pretraining; None if it had none."""
        return next((each for each in self.labels.chain if each.phase == "pretrain"), None)

    @cached_property
    def stages(self) -> list[Stage]:
        """At the start, after self-pretraining (where there was any), after label training."""
        ends: list[tuple[StageName, Training | None]] = [
            ("after-pretrain", self.pretraining),
            ("after-label", self.labels),
        ]
        found = [
            Stage(name, self.store.finished(training).result.selected_step, training)
            for name, training in ends
            if training is not None
        ]
        return [Stage("start", 0), *found]

    @cached_property
    def along(self) -> list[Stage]:
        """Snapshots along the phases, in order, after the start."""
        found = [Stage("start", 0)]
        for training in self.labels.chain:
            steps = self.store.finished(training).snapshots
            found += [Stage(ALONG[training.phase], step, training, snapshot=True) for step in steps]
        return found

    def weights(self, stage: Stage) -> dict[str, Tensor]:
        """The weights at a stage after the start.

        Label training does not train the reconstruction head. After it, the head from self-pretraining is put back
        where there is one, so that both losses can be read.

        Raises:
            DamagedError: they are not what was written.
        """
        assert stage.training is not None, "the start is made from the seed"
        finished = self.store.finished(stage.training)
        weights = finished.snapshot(stage.step) if stage.snapshot else finished.weights
        if stage.training.phase == "label" and self.pretraining is not None:
            before = self.store.finished(self.pretraining).weights
            weights |= {name: weight for name, weight in before.items() if name.startswith(RECONSTRUCTION_HEAD)}
        return weights
