"""A cheap classical classifier that no clever model should lose to."""

from typing import TYPE_CHECKING, Any

from selfpretrain.arms.arm import Arm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Task


def fit(task: "Task", n_trials: int) -> "tuple[RunResult, NDArray[Any]]":
    """Logistic regression."""
    from selfpretrain.arms.baseline import linear_baseline

    return linear_baseline(task, n_trials)


LINEAR = Arm(
    name="linear",
    title="A linear model",
    says="logistic regression on counts or summary statistics",
    colour="#666666",
    marker="P",
    fit=fit,
)
