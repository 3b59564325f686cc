"""What the training loop asks of an objective."""

from typing import Protocol

from torch import Tensor, nn

from selfpretrain.feed import Batch, Feed


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
