"""The best of a few classical models: what no clever model should lose to."""

from typing import TYPE_CHECKING, Any

from selfpretrain.arms.arm import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Task


def fit(task: "Task") -> "tuple[RunResult, NDArray[Any]]":
    """The model that is best on validation."""
    from selfpretrain.arms.classical_models import best_classical

    return best_classical(task)


CLASSICAL = Arm(
    name="classical",
    title="The classical model",
    says="the best of a few scikit-learn models on validation",
    colour="#666666",
    marker="P",
    fit=fit,
)
