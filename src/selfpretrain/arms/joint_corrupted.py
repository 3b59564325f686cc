"""Labels and reconstruction from one corrupted sequence, at the same time."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Both losses from one corrupted view, as in Miralles-Gonzalez et al. (2025)."""
    return setting.labels(seed, lr, objective="joint-corrupted")


JOINT_CORRUPTED = Arm(
    name="joint-corrupted",
    title="Joint training on corrupted sequences",
    says="labels and reconstruction together, from one corrupted sequence",
    colour="#117733",
    marker="H",
    contrasts=(Versus("scratch", "label steps"),),
    train=train,
)
