"""Presets of the long tasks: ``amos-*`` as published, ``lra-*-small`` for their short sisters (ours)."""

from typing import Any, Literal

from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.presets import Preset
from selfpretrain.registry import register


def _amos(name: str, *, lr: tuple[float, ...] = (1e-3, 5e-4, 1e-4), **row: Any) -> Preset:
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
    return Preset(name, config, TaskConfig(max_length=row["length"]))


def _phase(epochs: int, batch_size: int, warmup_steps: int, weight_decay: float = 0.0) -> dict[str, Any]:
    return {
        "duration": f"{epochs}epochs",
        "batch_size": batch_size,
        "warmup": f"{warmup_steps}steps",
        "weight_decay": weight_decay,
        "evaluate_every": "1epochs",
    }


def _small(
    name: str,
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
    return Preset(name, config)


LONG_SMALL: dict[str, Any] = {"value_loss": "l2", "width": 32, "heads": 2, "pooling": "max", "attention_block": 256}
"""Loss and model for 1,024 positions within minutes; pooling and blocks as for the long tasks, four blocks a row."""

for _preset in (
    _small("lra-listops-small", mask_ratio=0.10),
    _small("lra-image-small", mask_ratio=0.5, steps=(500, 300), batch_size=32),
    _small("lra-text-small", mask_ratio=0.15, steps=(500, 300), batch_size=32),
    _small("lra-retrieval-small", mask_ratio=0.15, steps=(500, 300), batch_size=16),
    _small("lra-pathfinder-small", mask_ratio=0.5, value_loss="l2", steps=(500, 300), batch_size=32),
    _small("lra-pathx-small", mask_ratio=0.5, steps=(400, 200), batch_size=8, **LONG_SMALL),
    _small("lra-pathx256-small", mask_ratio=0.5, steps=(400, 200), batch_size=8, **LONG_SMALL),
    _amos(
        "amos-listops",
        length=2048,
        model={"depth": 6, "width": 512, "heads": 8, "ff_factor": 4},
        label=_phase(100, 32, 2000),
        pretrain=_phase(100, 32, 2000),
        mask_ratio=0.10,
    ),
    _amos(
        "amos-text",
        length=4096,
        model={"depth": 6, "width": 512, "heads": 8, "ff_factor": 4, "label_head": "mlp"},
        label=_phase(65, 32, 2000, 0.1),
        pretrain=_phase(32, 32, 5000, 0.1),
        mask_ratio=0.15,
    ),
    _amos(
        "amos-retrieval",
        length=4096,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 4, "label_head": "mlp"},
        label=_phase(32, 32, 5000),
        pretrain=_phase(32, 32, 2000),
        mask_ratio=0.15,
    ),
    _amos(
        "amos-image",
        length=1024,
        model={"depth": 3, "width": 64, "heads": 4, "ff_factor": 2, "label_head": "mlp"},
        label=_phase(200, 50, 2000),
        pretrain=_phase(50, 32, 2500),
        mask_ratio=0.5,
    ),
    _amos(
        "amos-pathfinder",
        length=1024,
        model={"depth": 4, "width": 128, "heads": 8, "ff_factor": 1},
        label=_phase(200, 32, 5000),
        pretrain=_phase(50, 32, 2500),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    _amos(
        "amos-pathx",
        length=16384,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 1, "pooling": "max", "attention_block": 4096},
        label=_phase(200, 32, 5000),
        pretrain=_phase(200, 32, 5000),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    _amos(
        "amos-pathx-256",
        length=65536,
        model={"depth": 4, "width": 128, "heads": 4, "ff_factor": 4, "pooling": "max", "attention_block": 8192},
        label=_phase(200, 32, 5000),
        pretrain=_phase(200, 32, 5000),
        mask_ratio=0.5,
        value_loss="l2",
    ),
    _amos(
        "amos-scifar",
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
    _amos(
        "amos-sc",
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
    _amos(
        "amos-bidmc",
        length=4096,
        model={"depth": 4, "width": 112, "heads": 8, "ff_factor": 1, "positions": "rotary"},
        label=_phase(500, 32, 500, 0.05),
        pretrain=_phase(500, 32, 500, 0.05),
        mask_ratio=0.25,
    ),
):
    register(_preset)
