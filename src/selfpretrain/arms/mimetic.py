"""A start without pretraining whose attention already prefers what is alike."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from query-key weights near a scaled identity."""
    return setting.labels(seed, lr, qk_init="mimetic")


MIMETIC = Arm(
    name="mimetic",
    title="Mimetic initialisation",
    says="labels only, query-key weights near a scaled identity",
    colour="#CC79A7",
    marker="v",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    own_start=True,
    is_free=True,
)
