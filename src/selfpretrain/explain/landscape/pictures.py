"""The loss around the weights, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.drawing import PALETTE, WIDE, Picture, legend
from selfpretrain.explain.view import LOSS_COLOURS, View, colour_of, stage_name


def proximity_slices(view: View, figure: Figure) -> bool:
    """Change of both losses over the strength of a proximity bias on one head: at the start; then each loss later."""
    axes = figure.subplots(1, 3)
    start, *later = view.main_stages or [("none", "start")]
    curves = [(axes[0], loss, colour, *start, f"{loss} loss") for loss, colour in LOSS_COLOURS.items()]
    for ax, loss in zip(axes[1:], LOSS_COLOURS, strict=True):
        curves += [(ax, loss, colour_of(*one), *one, stage_name(*one)) for one in later]
    drawn = False
    for ax, loss, colour, arm, stage, label in curves:
        strengths = view.arrays("landscape", "proximity_strengths", arm=arm, stage=stage)
        for losses in view.arrays("landscape", "proximity_slice", arm=arm, stage=stage, loss=loss):
            heads = losses.reshape(-1, losses.shape[-1])
            change = heads - heads[:, [heads.shape[1] // 2]]
            style = "--" if stage == "after-pretrain" else "-"
            ax.plot(strengths[0], change.T, style, color=colour, linewidth=1.4)[0].set_label(label)
            drawn = True
    for ax, title in zip(axes, ("start", "label loss, later", "reconstruction loss, later"), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("strength of the bias t")
        ax.ticklabel_format(axis="y", scilimits=(-2, 3))
        legend(ax, fontsize=8)
    axes[0].set_ylabel("change of the loss")
    return drawn


def spectra(view: View, figure: Figure) -> bool:
    """Density of the label loss's Hessian eigenvalues, all weights and queries and keys alone."""
    axes = figure.subplots(1, 2, sharey=True)
    drawn = False
    for ax, group in zip(axes, (None, "query-key"), strict=True):
        for colour, (arm, stage) in zip(PALETTE, view.main_stages, strict=False):
            for grid, density in view.arrays("landscape", "hessian_density", arm=arm, stage=stage, group=group):
                ax.plot(grid, np.maximum(density, 1e-6), color=colour, linewidth=1.4, label=stage_name(arm, stage))
                drawn = True
        ax.set_yscale("log")
        ax.set_ylim(bottom=1e-4)
        ax.set_title(f"{group or 'all'} weights", fontsize=10)
        ax.set_xlabel("eigenvalue")
    axes[0].set_ylabel("density")
    legend(axes[0], fontsize=8)
    return drawn


def paths(view: View, figure: Figure) -> bool:
    """The label loss on straight lines between weights, and around the ends."""
    axes = figure.subplots(1, 2)
    drawn = False
    for colour, row in zip(PALETTE[2:], view.rows("landscape", "path"), strict=False):
        shares, losses = np.array(row["values"])
        ends = (stage_name(**row["of"][end]) for end in ("start", "end"))
        axes[0].plot(shares, losses, color=colour, linewidth=1.6, label=" to ".join(ends))
        for aligned in view.arrays("landscape", "path_aligned", of=row["of"]):
            axes[0].plot(aligned[0], aligned[1], color=colour, linewidth=1.2, linestyle=":")
        drawn = True
    for arm, stage in view.main_stages:
        for line in view.arrays("landscape", "random_line", arm=arm, stage=stage):
            axes[1].plot(
                np.linspace(-1, 1, len(line)),
                line,
                color=colour_of(arm, stage),
                label=stage_name(arm, stage),
            )
    axes[0].set_title("between weights (dotted: aligned)", fontsize=10)
    axes[0].set_xlabel("share of the way")
    axes[0].set_ylabel("label loss, nats")
    axes[1].set_title("around the ends, a random direction", fontsize=10)
    axes[1].set_xlabel("step, in norms of each row")
    for ax in axes:
        legend(ax, fontsize=7.5)
    return drawn


def planes(view: View, figure: Figure) -> bool:
    """The label loss on a plane of two random directions around each end."""
    found = [(row["arm"], np.array(row["values"])) for row in view.rows("landscape", "random_plane")]
    if not found:
        return False
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for ax, (arm, plane) in zip(axes, found, strict=True):
        steps = np.linspace(-1, 1, len(plane))
        drawn = ax.contourf(steps, steps, plane.T, levels=14, cmap="viridis")
        ax.plot(0, 0, "+", color="white", markersize=9)
        ax.set_title(stage_name(arm, "after-label"), fontsize=10)
        ax.set_xlabel("step, first direction")
        ax.set_ylabel("step, second direction")
        ax.set_aspect("equal")
        ax.grid(visible=False)
        figure.colorbar(drawn, ax=ax, shrink=0.8)
    return True


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Would proximity lower the loss?",
            proximity_slices,
            "A bias towards near positions of strength t is added to one head's scores; a line for each head of the "
            "first seed. A line that falls to the right wants proximity; a flat one does not care. After label "
            "training the reconstruction head is the one of self-pretraining, and in scratch one that was never "
            "trained.",
            WIDE,
        ),
        Picture(
            "Curvature of the label loss",
            spectra,
            "Density of the Hessian's eigenvalues. Mass far from 0 for the query-key weights means that the label "
            "loss reacts to them; sharpness describes stability and explains nothing by itself.",
            WIDE,
        ),
        Picture(
            "Paths and surroundings",
            paths,
            "Left: the label loss on straight lines; dotted ones have heads and hidden units aligned. A hump "
            "between scratch and SPT is no news: they were trained on different things. Right: the loss around each "
            "end.",
            WIDE,
        ),
        Picture(
            "The plane around each end",
            planes,
            "The label loss on two random directions, scaled row by row to the weights; every picture has colours "
            "of its own, and the cross is the trained model. Two directions of thousands: a picture, no proof.",
            WIDE,
        ),
    ]
