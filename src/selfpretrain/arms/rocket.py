"""MultiRocket-Hydra: random convolutions of a series, and a ridge classifier (Dempster et al. 2023)."""

from typing import TYPE_CHECKING, Any

from selfpretrain.arms.aeon_models import obstacle
from selfpretrain.arms.arm import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Task


def fit(task: "Task") -> "tuple[RunResult, NDArray[Any]]":
    """As aeon has it, with its own settings."""
    from aeon.classification.convolution_based import MultiRocketHydraClassifier

    from selfpretrain.arms.aeon_models import fitted

    return fitted("rocket", MultiRocketHydraClassifier(random_state=0), task)


ROCKET = Arm(
    name="rocket",
    title="MultiRocket-Hydra",
    says="random convolutions of a series, and a ridge classifier (Dempster et al. 2023)",
    colour="#6699CC",
    marker="+",
    fit=fit,
    obstacle=obstacle,
)
