"""Label training alone: what every other arm is measured against."""

from selfpretrain.arms.arm import Arm, Setting
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from a fresh start."""
    return setting.labels(seed, lr)


SCRATCH = Arm(name="scratch", title="Label training", says="labels only", colour="#D55E00", marker="o", train=train)
