"""What either loss teaches attention, in pictures. Imports no torch."""

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.drawing import NARROW, PALETTE, WIDE, Picture, legend
from selfpretrain.explain.view import LOSS_COLOURS, PHASE_WORDS, View, signal_axis


def signal_by_group(view: View, figure: Figure) -> bool:
    """Signal-to-noise of the gradient on every group of weights at the start, every seed a point."""
    groups = list(dict.fromkeys(row["group"] for row in view.rows("gradients", "gradient_snr", **view.start)))
    if not groups:
        return False
    ax = figure.subplots()
    for place, group in enumerate(groups):
        for shift, (loss, colour) in zip((0.13, -0.13), LOSS_COLOURS.items(), strict=True):
            values = view.arrays("gradients", "gradient_snr", group=group, loss=loss, **view.start)
            ax.plot(
                values, [place + shift] * len(values), "o", color=colour, alpha=0.7, label=loss if place == 0 else None
            )
    ax.set_yticks(range(len(groups)), groups)
    signal_axis(ax, view.rows("gradients", "gradient_snr", **view.start), "x")
    ax.set_xlabel("signal-to-noise ratio of one sequence's gradient")
    ax.margins(x=0.05)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return True


def signal_by_lag(view: View, figure: Figure) -> bool:
    """Signal-to-noise of both losses at the start, by lag, mean over heads: looking near, and looking ahead."""
    titles = {"proximity": "look near (k and -k alike)", "direction": "look ahead (k against -k)"}
    both = [view.arrays("gradients", f"{part}_snr_by_lag", **view.start) for part in titles]
    if both[0] and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*both, strict=True)):
        titles = {"proximity": "look back by k (nobody may look ahead)"}  # a causal model has no two sides
    axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    drawn = False
    for ax, (part, title) in zip(axes, titles.items(), strict=True):
        for loss, colour in LOSS_COLOURS.items():
            rows = view.arrays("gradients", f"{part}_snr_by_lag", loss=loss, **view.start)
            found = [a.mean(axis=(0, 1)) for a in rows]
            for seed in found:
                ax.plot(np.arange(1, len(seed) + 1), seed, color=colour, alpha=0.3, linewidth=1)
            if found:
                mean = np.mean(found, axis=0)
                ax.plot(np.arange(1, len(mean) + 1), mean, color=colour, linewidth=2.2, label=loss)
                drawn = True
        signal_axis(ax, view.rows("gradients", f"{part}_snr_by_lag", **view.start))
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("lag, positions")
    axes[0].set_ylabel("signal-to-noise ratio")
    legend(axes[0])
    return drawn


def signal_along(view: View, figure: Figure) -> bool:
    """Signal-to-noise on proximity along training, mean over seeds, a panel for each way to train."""
    panels = [("spt", "along-pretrain"), ("spt", "along-label"), ("scratch", "along-label")]
    panels = [p for p in panels if view.has("gradients", "proximity_snr", arm=p[0], stage=p[1])]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (arm, phase) in zip(axes, panels, strict=True):
        for loss, colour in LOSS_COLOURS.items():
            by_step: dict[int, list[float]] = {}
            for row in view.rows("gradients", "proximity_snr", arm=arm, stage=phase, loss=loss):
                by_step.setdefault(row["step"], []).append(row["values"] if row["values"] is not None else np.nan)
            steps = sorted(by_step)
            means = [np.mean([value for value in by_step[s] if np.isfinite(value)] or [np.nan]) for s in steps]
            ax.plot(steps, means, "o-", color=colour, markersize=4, label=loss)
            for step in steps:
                ax.plot([step] * len(by_step[step]), by_step[step], ".", color=colour, alpha=0.3)
        ax.set_title(f"{arm}, {PHASE_WORDS[phase]}", fontsize=10)
        ax.set_xlabel("step")
        signal_axis(ax, view.rows("gradients", "proximity_snr", arm=arm, stage=phase))
    axes[0].set_ylabel("signal-to-noise ratio")
    legend(axes[0])
    return True


def update_ratios(view: View, figure: Figure) -> bool:
    """Size of the updates relative to the weights, by group, first seed."""
    panels = [("spt", "along-pretrain"), ("spt", "along-label"), ("scratch", "along-label")]
    panels = [p for p in panels if view.has("gradients", "update_ratio", arm=p[0], stage=p[1])]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (arm, phase) in zip(axes, panels, strict=True):
        first = min(row["seed"] for row in view.rows("gradients", "update_ratio", arm=arm, stage=phase))
        rows = [
            r for r in view.rows("gradients", "update_ratio", arm=arm, stage=phase, seed=first) if r["group"] != "head"
        ]
        for colour, row in zip(PALETTE, rows, strict=False):
            steps, ratios = np.array(row["values"], dtype=np.float64).T
            ax.plot(steps, ratios, color=colour, label=row["group"], linewidth=1.6)
        ax.set_yscale("log")
        ax.set_title(f"{arm}, {PHASE_WORDS[phase]}", fontsize=10)
        ax.set_xlabel("step")
    axes[0].set_ylabel("update / weight")
    legend(axes[0], fontsize=7.5)
    return True


def pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "How strong a signal each group of weights gets",
            signal_by_group,
            "Signal-to-noise ratio: the squared mean of single sequences' gradients over their variance. One over it "
            "is the batch size at which both are equal. At the start, on the same weights and sequences, every seed "
            "a point. Where the label's points lie in the grey (chance), its gradient is all noise.",
            NARROW,
        ),
        Picture(
            "What each loss says about attention at the start",
            signal_by_lag,
            "Signal in the gradient on the scores, grey: chance; logarithmic from 0.01 on. Left: pressure to look "
            "nearer or farther. If the reconstruction's line lies above the grey there and the label's does not, "
            "the label is locally blind to proximity. Right: pressure to look to one side. Locally blind is not the "
            "same as cannot learn.",
            WIDE,
        ),
        Picture(
            "The same along training, for proximity",
            signal_along,
            "Signal on looking near, at snapshots; grey: chance, for one seed. Look whether the reconstruction's "
            "grows before attention has formed, and whether the label's ever does in scratch (whose reconstruction "
            "head was never trained).",
            WIDE,
        ),
        Picture(
            "How fast weights move",
            update_ratios,
            "Size of an update over size of the weights, first seed. Adam moves weights whether or not the gradient "
            "says something, so a small signal is no small step.",
            WIDE,
        ),
    ]
