"""What the training loop asks of an objective, and which there are."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig, ObjectiveName
from selfpretrain.feed import Batch, Feed
from selfpretrain.kinds import InputSpec
from selfpretrain.objectives.corrupted import CorruptedObjective
from selfpretrain.objectives.cutmix import CutMixObjective
from selfpretrain.objectives.joint import JointObjective
from selfpretrain.objectives.labels import LabelObjective
from selfpretrain.objectives.masked_labels import MaskedLabelObjective
from selfpretrain.objectives.reconstruction import ReconstructionObjective
from selfpretrain.objectives.smoothing import SmoothedObjective


class Objective(Protocol):
    """What a training minimises, and how it is judged.

    Everything random comes from the batch's draws, so an objective has no seed and no state.
    """

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scalar training loss of one batch."""

    def validate(self, model: nn.Module, feed: Feed) -> dict[str, float]:
        """Metrics to record; ``model`` is in evaluation mode."""

    def score(self, metrics: dict[str, float]) -> tuple[float, ...]:
        """By what weights are selected: the larger, the better."""


OF_LABELS: dict[ObjectiveName, Callable[[InputSpec], Objective]] = {
    "labels": LabelObjective,
    "cutmix": CutMixObjective,
    "smoothing": SmoothedObjective,
    "masked-labels": MaskedLabelObjective,
}
OF_RECONSTRUCTION: dict[ObjectiveName, Callable[[ObjectiveConfig, InputSpec], Objective]] = {
    "reconstruction": ReconstructionObjective,
    "joint": JointObjective,
    "joint-corrupted": CorruptedObjective,
}


def make_objective(name: ObjectiveName, config: ObjectiveConfig | None, inputs: InputSpec) -> Objective:
    """The objective of that name; ``config`` says how positions are hidden, where it hides any."""
    if config is None:
        return OF_LABELS[name](inputs)
    return OF_RECONSTRUCTION[name](config, inputs)
