"""Labels that are softened."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels with a tenth of their weight spread over all classes (Szegedy et al. 2016)."""
    return setting.labels(seed, lr, objective="smoothing")


SMOOTHING = Arm(
    name="smoothing",
    title="Label smoothing",
    says="labels only, smoothed",
    colour="#88CCEE",
    marker="d",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    is_free=True,
)
