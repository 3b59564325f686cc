"""What attention looks at, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.drawing import NARROW, PALETTE, WIDE, Picture, legend
from selfpretrain.explain.view import View, colour_of, stage_name

SHARE_NAMES = ("position-position", "position-content", "content-position", "content-content")
MAP_TOP = 6.0
"""Attention, in multiples of uniform attention, from which maps show the darkest colour."""


def lag_profiles(view: View, figure: Figure) -> bool:
    """Position part of the scores by lag, every seed's heads; models side by side."""
    stages = view.main_stages
    if not view.has("attention", "position_profile"):
        return False
    axes = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for ax, (arm, stage) in zip(axes, stages, strict=True):
        for profile in view.arrays("attention", "position_profile", arm=arm, stage=stage):
            heads = profile.reshape(-1, profile.shape[-1])
            reach = heads.shape[-1] // 2
            ax.plot(np.arange(-reach, reach + 1), heads.T, color=colour_of(arm, stage), alpha=0.4, linewidth=1)
        ax.set_title(stage_name(arm, stage), fontsize=10)
        ax.set_xlabel("lag, positions")
    axes[0].set_ylabel("position part of the score")
    return True


def attention_maps(view: View, figure: Figure) -> bool:
    """Mean attention of the first seed over uniform attention, a column a model, a row a head of the last layer."""
    stages, seed = view.main_stages, view.seed("attention", "attention_map")
    if seed is None:
        return False
    maps = [view.arrays("attention", "attention_map", arm=arm, stage=stage, seed=seed)[0][-1] for arm, stage in stages]
    heads = min(2, len(maps[0]))
    last = view.protocol.get("sample_length", maps[0].shape[-1]) - 1  # maps of long sequences are averaged over blocks
    edges = (-0.5, last + 0.5, last + 0.5, -0.5)
    axes = figure.subplots(heads, len(stages), squeeze=False)
    for column, ((arm, stage), one) in enumerate(zip(stages, maps, strict=True)):
        for head in range(heads):
            ax = axes[head][column]
            image = ax.imshow(one[head], cmap="Blues", vmin=0, vmax=MAP_TOP, interpolation="nearest", extent=edges)
            ax.set_xticks([0, last // 2, last])
            ax.set_yticks([0, last // 2, last])
            ax.tick_params(labelsize=7)
            ax.grid(visible=False)
            if head == 0:
                ax.set_title(stage_name(arm, stage), fontsize=9)
            if column == 0:
                ax.set_ylabel(f"head {head}\nquery position")
            if head == heads - 1:
                ax.set_xlabel("key position")
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.7, label="times uniform attention")
    return True


def score_parts(view: View, figure: Figure) -> bool:
    """Shares of the scores' energy, mean over seeds and heads."""
    stages = view.main_stages
    if not view.has("attention", "energy_share"):
        return False
    ax = figure.subplots()
    for place, (arm, stage) in enumerate(stages):
        found = view.arrays("attention", "energy_share", arm=arm, stage=stage)
        shares = np.mean([share.mean(axis=(0, 2)) for share in found], axis=0)
        left = 0.0
        for colour, name, share in zip(PALETTE, SHARE_NAMES, shares, strict=False):
            ax.barh(place, share, left=left, color=colour, label=name if place == 0 else None)
            left += share
    ax.set_yticks(range(len(stages)), [stage_name(*stage) for stage in stages])
    ax.invert_yaxis()
    ax.set_xlabel("share of the scores' variation")
    legend(ax, loc="upper center", bbox_to_anchor=(0.4, -0.2), ncol=2)
    return bool(stages)


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "What every sequence's scores share",
            lag_profiles,
            "The part of the attention scores that depends on positions alone, by lag (key position minus query "
            "position); a line for each head and seed. Scores that depend on the lag alone are called Toeplitz. A "
            "peak at lag 0 means that near positions are favoured; a flat line, that all are alike.",
            WIDE,
        ),
        Picture(
            "Where attention looks",
            attention_maps,
            "Mean attention of the first seed's last layer, relative to uniform attention. A band along the "
            "diagonal is attention to neighbours; an even light blue is attention to everything.",
            (9.6, 4.6),
        ),
        Picture(
            "What the scores are made of",
            score_parts,
            "How much of the scores' variation comes from positions (blue) and from content; a large blue part is a "
            "pattern of attention that no sequence's content changes.",
            NARROW,
        ),
    ]
