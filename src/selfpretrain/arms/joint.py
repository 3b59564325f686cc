"""Labels and the masked loss at the same time."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.errors import RequestError
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Both losses from a fresh start.

    Raises:
        RequestError: nothing is masked under causal prediction.
    """
    if setting.config.objective.objective == "causal":
        raise RequestError("the arm joint fills in masked positions; use the objective masked or span")
    return setting.labels(seed, lr, objective="joint")


JOINT = Arm(
    name="joint",
    title="Joint training",
    says="labels and masked reconstruction together",
    colour="#009E73",
    marker="^",
    contrasts=(Versus("scratch", "label steps"),),
    train=train,
)
