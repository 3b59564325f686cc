"""A start without pretraining in which each head looks at one neighbour."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.config import ABSOLUTE
from selfpretrain.errors import RequestError
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from heads that look at offsets of positions (Zheng et al. 2025).

    Raises:
        RequestError: the model has no absolute positions, or a class token.
    """
    if setting.model.positions not in ABSOLUTE or setting.model.pooling == "cls":
        raise RequestError("the arm impulse needs absolute positions and no class token; leave it out")
    return setting.labels(seed, lr, init="impulse")


IMPULSE = Arm(
    name="impulse",
    title="The impulse start",
    says="labels only, each head started to look at one offset, as in Zheng et al. (2025)",
    colour="#44AA99",
    marker=">",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    own_start=True,
    is_free=True,
)
