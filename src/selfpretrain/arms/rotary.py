"""A model without pretraining whose position code is relative."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.errors import RequestError
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels with rotary positions (Su et al. 2021) instead of the model's own.

    Raises:
        RequestError: they are the model's own.
    """
    if setting.model.positions == "rotary":
        raise RequestError("the arm rotary is scratch where the model has rotary positions; leave it out")
    return setting.labels(seed, lr, positions="rotary")


ROTARY = Arm(
    name="rotary",
    title="Rotary positions",
    says="labels only, with rotary positions",
    colour="#882255",
    marker="p",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    own_start=True,
    is_free=True,
)
