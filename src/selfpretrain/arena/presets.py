"""Presets of the long tasks: ``amos-*`` as published, ``lra-*-small`` for their short sisters (ours)."""

from typing import Any, Literal

from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.presets import Preset
from selfpretrain.registry import register


def _small(
    name: str,
    mask_ratio: float,
    value_loss: Literal["l1", "l2"] = "l1",
    *,
    steps: tuple[int, int] = (500, 300),
    batch_size: int = 32,
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


# 1,024 positions within minutes; pooling and blocks as for the long tasks, four blocks a row.
_LONG: dict[str, Any] = {"width": 32, "heads": 2, "pooling": "max", "attention_block": 256}
for _preset in (
    _small("lra-listops-small", 0.10, steps=(1500, 800), batch_size=64),
    _small("lra-image-small", 0.5),
    _small("lra-text-small", 0.15),
    _small("lra-retrieval-small", 0.15, batch_size=16),
    _small("lra-pathfinder-small", 0.5, "l2"),
    _small("lra-pathx-small", 0.5, "l2", steps=(400, 200), batch_size=8, **_LONG),
    _small("lra-pathx256-small", 0.5, "l2", steps=(400, 200), batch_size=8, **_LONG),
):
    register(_preset)


def _phase(epochs: int, batch_size: int, warmup: int, weight_decay: float = 0.0) -> PhaseConfig:
    return PhaseConfig(
        duration=f"{epochs}epochs",
        batch_size=batch_size,
        warmup=f"{warmup}steps",
        weight_decay=weight_decay,
        evaluate_every="1epochs",
    )


def _amos(
    name: str,
    length: int,
    sizes: tuple[int, int, int, int],
    label: PhaseConfig,
    pretrain: PhaseConfig,
    mask_ratio: float,
    value_loss: Literal["l1", "l2"] = "l1",
    **model: Any,
) -> Preset:
    """A preset from one row of the official configurations of Amos et al. (2024).

    Source: github.com/IdoAmos/not-from-scratch, configs/experiment/lra/transformer-lra-*.yaml at f919137a;
    mask ratios from section 2 of the paper; the rate grid is the paper's example of a fine-tuning grid. All
    rows: pre-norm, GELU, no dropout, no clipping, constant rate after a linear warm-up. Pixels of contours are filled
    in by squared error (ours): theirs is the cross-entropy of grey values, and a comment of theirs warns of the
    absolute error, whose best answer on such images is the background.

    Args:
        sizes: depth, width, heads and feed-forward factor.
    """
    depth, width, heads, ff_factor = sizes
    config = CompareConfig(
        model=ModelConfig(init="tied", depth=depth, width=width, heads=heads, ff_factor=ff_factor, **model),
        objective=ObjectiveConfig(mask_ratio=mask_ratio, value_loss=value_loss),
        pretrain=pretrain,
        label=label,
        train=TrainConfig(lr=(1e-3, 5e-4, 1e-4), clip=None),
    )
    return Preset(name, config, TaskConfig(max_length=length))


_ONCE, _LISTOPS, _LONGEST = _phase(50, 32, 2500), _phase(100, 32, 2000), _phase(200, 32, 5000)
_MLP: dict[str, Any] = {"label_head": "mlp"}
_ROTARY: dict[str, Any] = {"positions": "rotary"}
_SCIFAR, _SC, _BIDMC = _phase(200, 50, 2000, 0.05), _phase(200, 16, 2000, 0.05), _phase(500, 32, 500, 0.05)
for _preset in (
    _amos("amos-listops", 2048, (6, 512, 8, 4), _LISTOPS, _LISTOPS, 0.10),
    _amos("amos-text", 4096, (6, 512, 8, 4), _phase(65, 32, 2000, 0.1), _phase(32, 32, 5000, 0.1), 0.15, **_MLP),
    _amos("amos-retrieval", 4096, (4, 128, 4, 4), _phase(32, 32, 5000), _phase(32, 32, 2000), 0.15, **_MLP),
    _amos("amos-image", 1024, (3, 64, 4, 2), _phase(200, 50, 2000), _ONCE, 0.5, **_MLP),
    _amos("amos-pathfinder", 1024, (4, 128, 8, 1), _LONGEST, _ONCE, 0.5, "l2"),
    _amos("amos-pathx", 16384, (4, 128, 4, 1), _LONGEST, _LONGEST, 0.5, "l2", pooling="max", attention_block=4096),
    _amos("amos-pathx-256", 65536, (4, 128, 4, 4), _LONGEST, _LONGEST, 0.5, "l2", pooling="max", attention_block=8192),
    _amos("amos-scifar", 1024, (6, 256, 4, 2), _SCIFAR, _SCIFAR, 0.5, **_ROTARY, **_MLP),
    # Warm-up is ours: the original lowers the rate on a plateau (SC) or at fixed epochs (BIDMC, a regression).
    _amos("amos-sc", 16384, (4, 128, 4, 1), _SC, _SC, 0.25, pooling="max", attention_block=4000, **_ROTARY),
    _amos("amos-bidmc", 4096, (4, 112, 8, 1), _BIDMC, _BIDMC, 0.25, **_ROTARY),
):
    register(_preset)
