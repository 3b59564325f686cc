"""QUANT: quantiles of intervals of a series, and trees (Dempster et al. 2024)."""

from typing import TYPE_CHECKING, Any

from selfpretrain.arms.aeon_models import obstacle
from selfpretrain.arms.arm import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Task


def fit(task: "Task") -> "tuple[RunResult, NDArray[Any]]":
    """As aeon has it, with its own settings."""
    from aeon.classification.interval_based import QUANTClassifier

    from selfpretrain.arms.aeon_models import fitted

    return fitted("quant", QUANTClassifier(random_state=0), task)


QUANT = Arm(
    name="quant",
    title="QUANT",
    says="quantiles of intervals of a series, and trees (Dempster et al. 2024)",
    colour="#661100",
    marker="x",
    fit=fit,
    obstacle=obstacle,
)
