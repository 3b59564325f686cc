"""Labels learnt from sequences with other positions hidden in every step."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from masked copies: what self-pretraining sees, without what it asks."""
    return setting.labels(seed, lr, objective="masked-labels")


AUGMENT = Arm(
    name="augment",
    title="Masked copies",
    says="labels only, with other positions masked in every step",
    colour="#DDCC77",
    marker="8",
    contrasts=(Versus("scratch", "label compute"),),
    train=train,
    is_free=True,
)
