"""Both losses beside each other."""

from torch import Tensor, nn

from selfpretrain.config import ObjectiveConfig
from selfpretrain.feed import Batch
from selfpretrain.kinds import InputSpec
from selfpretrain.objectives.labels import LabelObjective
from selfpretrain.objectives.reconstruction import ReconstructionObjective


class JointObjective(LabelObjective):
    """Label loss plus weighted masked loss, each on its own view of the same batch; judged by the label alone.

    Dropout, if there is any, drops the same entries of a sequence in both views.
    """

    def __init__(self, config: ObjectiveConfig, inputs: InputSpec) -> None:
        super().__init__(inputs)
        self.reconstruction = ReconstructionObjective(config, inputs)
        self.weight = config.joint_weight

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """``label + joint_weight * masked``: one clean and one masked pass."""
        return super().loss(model, batch) + self.weight * self.reconstruction.loss(model, batch)
