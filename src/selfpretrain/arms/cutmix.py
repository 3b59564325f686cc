"""Labels learnt from sequences that are stitched together."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels with CutMix (Yun et al. 2019)."""
    return setting.labels(seed, lr, objective="cutmix")


CUTMIX = Arm(
    name="cutmix",
    title="CutMix",
    says="labels only, stretches exchanged between sequences, labels mixed",
    colour="#999933",
    marker="h",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    is_free=True,
)
