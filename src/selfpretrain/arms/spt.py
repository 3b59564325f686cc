"""Self-pretraining, then labels: the arm that this project is about."""

from selfpretrain.arms.arm import Arm, Setting, Versus
from selfpretrain.training.training import Start, Training


def train(setting: Setting, seed: int, lr: float) -> Training:
    """Labels from the self-pretrained encoder of the same seed and rate."""
    return setting.labels(seed, lr, start=Start(source=setting.pretraining(seed, lr)))


SPT = Arm(
    name="spt",
    title="Self-pretraining",
    says="self-pretraining, then labels",
    colour="#0072B2",
    marker="D",
    contrasts=(
        Versus("scratch", "label compute", primary=True),
        Versus("scratch-long", "total compute", primary=True),
        Versus("joint", "label steps"),
        Versus("joint-corrupted", "label steps"),
        Versus("classical", "data"),
        Versus("quant", "data"),
        Versus("rocket", "data"),
    ),
    train=train,
)
