"""Label training with the total compute of self-pretraining."""

from selfpretrain.arms.arm import Arm, Setting
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from a fresh start, with extra steps worth the FLOPs of self-pretraining."""
    return setting.labels(seed, lr, extra_steps=setting.steps_for_pretraining)


SCRATCH_LONG = Arm(
    name="scratch-long",
    title="Longer label training",
    says="labels only, with the compute of self-pretraining added",
    colour="#E69F00",
    marker="s",
    train=train,
)
