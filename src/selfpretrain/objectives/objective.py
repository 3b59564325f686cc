"""What the training loop asks of an objective, and which there are."""

from typing import Literal, Protocol

from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig
from selfpretrain.feed import Batch, Feed
from selfpretrain.kinds import InputSpec
from selfpretrain.objectives.joint import JointObjective
from selfpretrain.objectives.labels import LabelObjective
from selfpretrain.objectives.reconstruction import ReconstructionObjective


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


def make_objective(
    name: Literal["labels", "reconstruction", "joint"], config: ObjectiveConfig | None, inputs: InputSpec
) -> Objective:
    """The objective of that name; ``config`` says how positions are hidden, where it hides any."""
    if config is None:
        return LabelObjective(inputs)
    return (JointObjective if name == "joint" else ReconstructionObjective)(config, inputs)
