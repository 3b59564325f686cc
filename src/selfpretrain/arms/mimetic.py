"""Mimetic initialisation as published: attention looks at what is alike, and hands on its opposite."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from products of attention weights near scaled identities (Trockman and Kolter 2023)."""
    return setting.labels(seed, lr, init="mimetic")


MIMETIC = Arm(
    name="mimetic",
    title="Mimetic initialisation",
    says="labels only, attention weights started as in Trockman and Kolter (2023)",
    colour="#AA4499",
    marker="<",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    own_start=True,
    is_free=True,
)
