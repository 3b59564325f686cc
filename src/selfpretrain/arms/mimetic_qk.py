"""A start without pretraining whose queries and keys prefer what is alike."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from query and key weights near a scaled identity."""
    return setting.labels(seed, lr, init="mimetic-qk")


MIMETIC_QK = Arm(
    name="mimetic-qk",
    title="Mimetic queries and keys",
    says="labels only, query-key weights near a scaled identity",
    colour="#CC79A7",
    marker="v",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    own_start=True,
    is_free=True,
)
