"""The pictures of a report: each a function from a comparison to SVG, or to None where there is nothing to draw."""

import io
from collections.abc import Callable, Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from selfpretrain.config import Arm
from selfpretrain.report.reading import Curve, Findings
from selfpretrain.stats import t_interval

# Okabe and Ito's palette, which colour-blind readers can tell apart; arms differ in their marker as well.
COLOURS: dict[Arm, str] = {
    "scratch": "#D55E00",
    "spt": "#0072B2",
    "scratch-long": "#E69F00",
    "joint": "#009E73",
    "mimetic": "#CC79A7",
    "linear": "#666666",
}
MARKERS: dict[Arm, str] = {
    "scratch": "o",
    "spt": "D",
    "scratch-long": "s",
    "joint": "^",
    "mimetic": "v",
    "linear": "P",
}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
SIZE_INCHES = (4.8, 3.3)


def draw(paint: Callable[[Findings, Axes], bool], findings: Findings) -> str | None:
    """One picture as an SVG element; None where ``paint`` says that it drew nothing."""
    with mpl.rc_context(cast(Any, {**STYLE, "svg.hashsalt": paint.__name__})):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        return to_svg(figure) if paint(findings, figure.subplots()) else None


def to_svg(figure: Figure) -> str:
    """A figure as an SVG element, without the date."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def accuracies(findings: Findings, ax: Axes) -> bool:
    """Test accuracy: every seed a point, with the mean and its interval."""
    arms = findings.arms
    for place, arm in enumerate(arms):
        points = [value for value in findings.summary["arms"][arm]["test_acc"] if value is not None]
        if not points:
            continue
        spread = np.linspace(-0.14, 0.14, len(points)) if len(points) > 1 else [0.0]
        ax.plot(place + np.asarray(spread), points, MARKERS[arm], color=COLOURS[arm], alpha=0.65, markersize=6)
        interval = t_interval(points)
        if interval.low is not None and interval.high is not None:
            error = [[interval.mean - interval.low], [interval.high - interval.mean]]
            ax.errorbar(place + 0.28, interval.mean, error, fmt="_", color="black", capsize=4, markersize=12)
    _chance(findings, ax)
    ax.set_xticks(range(len(arms)), arms)
    ax.set_xlim(-0.5, len(arms) - 0.5)
    ax.set_ylabel("test accuracy")
    _accuracy_scale(ax)
    return True


def differences(findings: Findings, ax: Axes) -> bool:
    """Paired differences in test accuracy: every seed a point, with the mean and its interval."""
    contrasts = findings.summary["comparisons"]
    for place, contrast in enumerate(reversed(contrasts)):
        pairs = [findings.summary["arms"][contrast[side]]["test_acc"] for side in ("arm", "against")]
        points = [100 * (a - b) for a, b in zip(*pairs, strict=True) if a is not None and b is not None]
        ax.plot(points, [place + 0.12] * len(points), "o", color=COLOURS[contrast["against"]], alpha=0.65)
        if contrast["ci95"][0] is not None:
            low, high = (100 * bound for bound in contrast["ci95"])
            mean = 100 * contrast["effect"]
            ax.errorbar(mean, place - 0.12, xerr=[[mean - low], [high - mean]], fmt="|", color="black", capsize=4)
    ax.axvline(0, color="black", linewidth=1)
    names = [f"{c['arm']} - {c['against']}\n(equal {c['matched']})" for c in reversed(contrasts)]
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("difference in test accuracy, points")
    return bool(contrasts)


def learning_curves(findings: Findings, ax: Axes) -> bool:
    """Label training: training accuracy over label steps, thin for a seed, thick for their mean."""
    drawn = [_curves(ax, arm, findings.phase(arm, "label"), "train_acc", 1.0, 0.0) for arm in findings.arms]
    ax.set_xlabel("label step")
    ax.set_ylabel("training accuracy (clean)")
    _chance(findings, ax)
    _accuracy_scale(ax)
    if any(drawn):
        ax.legend(loc="best")
    return any(drawn)


def compute_curves(findings: Findings, ax: Axes) -> bool:
    """Validation accuracy over everything that was spent, self-pretraining included."""
    drawn = []
    for arm in findings.arms:
        start = findings.summary["arms"][arm]["flops_pretrain"] / 1e12
        scale = findings.step_flops(arm, "label") / 1e12
        drawn.append(_curves(ax, arm, findings.phase(arm, "label"), "val_acc", scale, start))
    ax.set_xlabel("training compute so far, TFLOP")
    ax.set_ylabel("validation accuracy")
    _chance(findings, ax)
    _accuracy_scale(ax)
    if any(drawn):
        ax.legend(loc="best")
    return any(drawn)


def train_against_test(findings: Findings, ax: Axes) -> bool:
    """Best clean training accuracy against test accuracy, every seed a point."""
    for arm in findings.arms:
        entry = findings.summary["arms"][arm]
        pairs = [pair for pair in zip(entry["train_acc_reached"], entry["test_acc"], strict=True) if None not in pair]
        if pairs:
            x, y = zip(*pairs, strict=True)
            ax.plot(x, y, MARKERS[arm], color=COLOURS[arm], alpha=0.7, label=arm)
    low = min(ax.get_xlim()[0], ax.get_ylim()[0])
    ax.plot([low, 1], [low, 1], color="#999999", linestyle=":", linewidth=1)
    ax.set_xlabel("best training accuracy (clean)")
    ax.set_ylabel("test accuracy")
    ax.legend(loc="best")
    return True


def pretraining(findings: Findings, ax: Axes) -> bool:
    """Validation loss of self-pretraining: where it leaves its plateau, if it has one."""
    drawn = [_curves(ax, arm, findings.phase(arm, "pretrain"), "val_loss", 1.0, 0.0) for arm in findings.arms]
    ax.set_xlabel("self-pretraining step")
    ax.set_ylabel("reconstruction loss (validation)")
    return any(drawn)


def _curves(ax: Axes, arm: Arm, curves: Sequence[Curve], key: str, scale: float, start: float) -> bool:
    """Thin lines for seeds and a thick one for their mean over the steps that all of them have."""
    for curve in curves:
        x = [start + scale * row["step"] for row in curve]
        ax.plot(x, [row[key] for row in curve], color=COLOURS[arm], alpha=0.3, linewidth=1)
    if curves:
        shared = min(map(len, curves))
        x = [start + scale * row["step"] for row in curves[0][:shared]]
        mean = np.mean([[row[key] for row in curve[:shared]] for curve in curves], axis=0)
        ax.plot(x, mean, color=COLOURS[arm], linewidth=2.4, marker=MARKERS[arm], markersize=4, label=arm)
    return bool(curves)


def _chance(findings: Findings, ax: Axes) -> None:
    ax.axhline(findings.summary["task"]["majority"], color="black", linestyle="--", linewidth=1, zorder=0)


def _accuracy_scale(ax: Axes) -> None:
    low = min(ax.get_ylim()[0], 1.0)
    ax.set_ylim(max(0.0, low - 0.02), 1.02)
