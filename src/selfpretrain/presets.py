"""Named settings.

``minimal`` is the smallest model that shows the effect (ours), ``small`` a first model for real data (ours), ``amos-*``
one for each row of the configurations published with Amos et al. (2024), ``lra-*-small`` one for each short sister of a
long task (ours, but for the mask ratio).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.errors import SettingError


@dataclass(frozen=True)
class Preset:
    """Named settings, on which single options stand."""

    config: CompareConfig = field(default_factory=CompareConfig)
    task: TaskConfig = field(default_factory=TaskConfig)


def preset(name: str) -> Preset:
    """The settings of that name; everything they do not set keeps its default.

    Raises:
        SettingError: unknown name; the message lists the presets.

    >>> preset("small").config.model.depth
    2
    """
    if name not in PRESETS:
        raise SettingError("preset", name, f"is unknown; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]


def _amos(*, lr: tuple[float, ...] = (1e-3, 5e-4, 1e-4), **row: Any) -> Preset:
    """A preset from one row of the official configurations of Amos et al. (2024).

    Source: github.com/IdoAmos/not-from-scratch, configs/experiment/lra/transformer-lra-*.yaml at f919137a;
    mask ratios from section 2 of the paper; the rate grid is the paper's example of a fine-tuning grid. All
    rows: pre-norm, GELU, no dropout, no clipping, constant rate after a linear warm-up. Pixels of contours are filled
    in by squared error (ours): theirs is the cross-entropy of grey values, and a comment of theirs warns of the
    absolute error, whose best answer on such images is the background.
    """
    config = CompareConfig(
        model=ModelConfig(init="tied", **row["model"]),
        objective=ObjectiveConfig(**{name: row[name] for name in ("mask_ratio", "value_loss") if name in row}),
        pretrain=PhaseConfig(**row["pretrain"]),
        label=PhaseConfig(**row["label"]),
        train=TrainConfig(lr=lr, clip=None),
    )
    return Preset(config, TaskConfig(max_length=row["length"]))


def _phase(epochs: int, batch_size: int, warmup_steps: int, weight_decay: float = 0.0) -> dict[str, Any]:
    return {
        "duration": f"{epochs}epochs",
        "batch_size": batch_size,
        "warmup": f"{warmup_steps}steps",
        "weight_decay": weight_decay,
        "evaluate_every": "1epochs",
    }


def _small(
    *,
    mask_ratio: float,
    value_loss: Literal["l1", "l2"] = "l1",
    steps: tuple[int, int] = (1500, 800),
    batch_size: int = 64,
    **model: Any,
) -> Preset:
    """Of the small sister of a long task: minutes on two cores, three seeds, one rate (ours).

    Args:
        steps: of self-pretraining, and of the labels.
    """
    config = CompareConfig(
        arms=("scratch", "spt", "scratch-long"),
        seeds=3,
        model=ModelConfig(**{"depth": 2, "width": 64, "heads": 4, **model}),
        objective=ObjectiveConfig(mask_ratio=mask_ratio, value_loss=value_loss),
        pretrain=PhaseConfig(duration=f"{steps[0]}steps", batch_size=batch_size),
        label=PhaseConfig(duration=f"{steps[1]}steps", batch_size=batch_size),
        train=TrainConfig(lr=(1e-3,)),
    )
    return Preset(config)


LONG_SMALL: dict[str, Any] = {"value_loss": "l2", "width": 32, "heads": 2, "pooling": "max", "attention_block": 256}
"""Loss and model for 1,024 positions within minutes; pooling and blocks as for the long tasks, four blocks a row."""

PRESETS: dict[str, Preset] = {
    "minimal": Preset(),
    "small": Preset(
        CompareConfig(
            model=ModelConfig(depth=2, width=64, heads=4),
            pretrain=PhaseConfig(duration="3000steps"),
            label=PhaseConfig(duration="2000steps"),
            train=TrainConfig(lr=(3e-4, 1e-3, 3e-3)),
        )
    ),
    "lra-listops-small": _small(mask_ratio=0.10),
    "lra-image-small": _small(mask_ratio=0.5, steps=(500, 300), batch_size=32),
    "lra-text-small": _small(mask_ratio=0.15, steps=(500, 300), batch_size=32),
    "lra-retrieval-small": _small(mask_ratio=0.15, steps=(500, 300), batch_size=16),
    "lra-pathfinder-small": _small(mask_ratio=0.5, value_loss="l2", steps=(500, 300), batch_size=32),
    "lra-pathx-small": _small(mask_ratio=0.5, steps=(400, 200), batch_size=8, **LONG_SMALL),
    "lra-pathx256-small": _small(mask_ratio=0.5, steps=(400, 200), batch_size=8, **LONG_SMALL),
    "amos-listops": _amos(
        length=2048,
        model={"depth": 6, "width": 512, "heads": 8, "ff_factor": 4},
        label=_phase(100, 32, 2000),
        pretrain=_phase(100, 32, 2000),
        mask_ratio=0.10,
    ),
    "amos-text": _amos(
        length=4096,
        model={"depth": 6, "width": 512, "heads": 8, "ff_factor": 4, "label_head": "mlp"},
        label=_phase(65, 32, 2000, 0.1),
        pretrain=_phase(32, 32, 5000, 0.1),
        mask_ratio=0.15,
    ),
    "amos-retrieval": _amos(
        length=4096,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 4, "label_head": "mlp"},
        label=_phase(32, 32, 5000),
        pretrain=_phase(32, 32, 2000),
        mask_ratio=0.15,
    ),
    "amos-image": _amos(
        length=1024,
        model={"depth": 3, "width": 64, "heads": 4, "ff_factor": 2, "label_head": "mlp"},
        label=_phase(200, 50, 2000),
        pretrain=_phase(50, 32, 2500),
        mask_ratio=0.5,
    ),
    "amos-pathfinder": _amos(
        length=1024,
        model={"depth": 4, "width": 128, "heads": 8, "ff_factor": 1},
        label=_phase(200, 32, 5000),
        pretrain=_phase(50, 32, 2500),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    "amos-pathx": _amos(
        length=16384,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 1, "pooling": "max", "attention_block": 4096},
        label=_phase(200, 32, 5000),
        pretrain=_phase(200, 32, 5000),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    "amos-pathx-256": _amos(
        length=65536,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 4, "pooling": "max", "attention_block": 8192},
        label=_phase(200, 32, 5000),
        pretrain=_phase(200, 32, 5000),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    "amos-scifar": _amos(
        length=1024,
        model={
            "depth": 6,
            "width": 256,
            "heads": 4,
            "ff_factor": 2,
            "positions": "rotary",
            "label_head": "mlp",
        },
        label=_phase(200, 50, 2000, 0.05),
        pretrain=_phase(200, 50, 2000, 0.05),
        mask_ratio=0.5,
    ),
    # Warm-up is ours: the original lowers the rate on a plateau (SC) or at fixed epochs (BIDMC, a regression).
    "amos-sc": _amos(
        length=16384,
        model={
            "depth": 4,
            "width": 128,
            "heads": 4,
            "ff_factor": 1,
            "positions": "rotary",
            "pooling": "max",
            "attention_block": 4000,
        },
        label=_phase(200, 16, 2000, 0.05),
        pretrain=_phase(200, 16, 2000, 0.05),
        mask_ratio=0.25,
    ),
    "amos-bidmc": _amos(
        length=4096,
        model={"depth": 4, "width": 112, "heads": 8, "ff_factor": 1, "positions": "rotary"},
        label=_phase(500, 32, 500, 0.05),
        pretrain=_phase(500, 32, 500, 0.05),
        mask_ratio=0.25,
    ),
}
