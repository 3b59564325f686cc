"""States and attention along training, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.arms.registry import arm_named
from selfpretrain.drawing import WIDE, Picture, legend
from selfpretrain.explain.view import View

PANELS = (
    ("state_cosine", "cosine of states at two positions"),
    ("pattern_mass_relative", "attention on SPT's pattern, relative to uniform"),
)


def plateau(view: View, figure: Figure) -> bool:
    """Means over layers along label training, every seed a line."""
    panels = [panel for panel in PANELS if view.has("plateau", panel[0], stage="along-label")]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (name, label) in zip(axes, panels, strict=True):
        rows = list(view.rows("plateau", name, stage="along-label"))
        for arm, seed in dict.fromkeys((row["arm"], row["seed"]) for row in rows):
            mine = [row for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
            points = sorted((row["step"], float(np.mean(row["values"]))) for row in mine)
            first = seed == min(row["seed"] for row in rows)
            said = arm if first else None
            ax.plot(*zip(*points, strict=True), ".-", color=arm_named(arm).colour, alpha=0.7, label=said)
        ax.set_xlabel("label step")
        ax.set_ylabel(label)
    legend(axes[0])
    return True


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Stuck, or on its way?",
            plateau,
            "Along label training, every seed a line. Left: how parallel states at two positions of a sequence are; "
            "near 1 they say the same everywhere. Right: attention on the positions to which the finished "
            "self-pretrained model of this seed attends most; 1 is uniform attention. A line that rises while the loss "
            "stands still is on its way; a flat one is not.",
            WIDE,
        ),
    ]
