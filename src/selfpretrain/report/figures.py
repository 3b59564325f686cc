"""The pictures of a comparison: each a function from its content to a figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from selfpretrain.drawing import Picture, interval_bar, legend
from selfpretrain.metrics import UNITS
from selfpretrain.registry import ARMS
from selfpretrain.report.content import Content, Curve

SPREAD = 0.05
"""The least range of an axis of accuracies, so that small differences look small."""


def accuracies(content: Content, figure: Figure) -> bool:
    """Test accuracy: every seed a point, with the mean and its interval."""
    ax = figure.subplots()
    arms, metric = content.arms, content.summary.metric
    for place, arm in enumerate(arms):
        every = content.summary.arms[arm].scored(metric)
        own = len(ARMS[arm].reported_seeds(len(every)))  # a classical model is fitted once
        points = [value for value in every[:own] if value is not None]
        if not points:
            continue
        spread = np.linspace(-0.14, 0.14, len(points)) if len(points) > 1 else [0.0]
        ax.plot(
            place + np.asarray(spread),
            points,
            ARMS[arm].marker,
            color=ARMS[arm].colour,
            alpha=0.65,
            markersize=6,
        )
        bounds = content.summary.arms[arm].test_ci95
        interval_bar(ax, place + 0.28, float(np.mean(points)), bounds, fmt="_", markersize=12)
    ax.set_xticks(range(len(arms)), arms)
    ax.set_xlim(-0.5, len(arms) - 0.5)
    ax.set_ylabel(f"test {UNITS[metric].title}")
    if metric == "accuracy":
        _accuracy_scale(content, ax)
    return True


def differences(content: Content, figure: Figure) -> bool:
    """Paired differences in test accuracy: every seed a point, with the mean and its interval."""
    ax = figure.subplots()
    contrasts, metric = content.summary.comparisons, content.summary.metric
    unit, sign = UNITS[metric], -1 if metric == "log_loss" else 100
    for place, contrast in enumerate(reversed(contrasts)):
        pairs = [content.summary.arms[side].scored(metric) for side in (contrast.arm, contrast.against)]
        points = [sign * (a - b) for a, b in zip(*pairs, strict=True) if a is not None and b is not None]
        ax.plot(points, [place + 0.12] * len(points), "o", color=ARMS[contrast.against].colour, alpha=0.65)
        low, high = (None if bound is None else abs(sign) * bound for bound in contrast.ci95)
        interval_bar(ax, place - 0.12, abs(sign) * contrast.effect, (low, high), across=True, fmt="|")
    ax.axvline(0, color="black", linewidth=1)
    names = [f"{c.arm} - {c.against}\n(equal {c.matched})" for c in reversed(contrasts)]
    ax.set_yticks(range(len(names)), names, fontsize=8.5)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel(f"difference in test {unit.title}, {unit.unit}{', above 0 is better' if sign < 0 else ''}")
    return bool(contrasts)


def learning_curves(content: Content, figure: Figure) -> bool:
    """Label training: training accuracy over label steps, thin for a seed, thick for their mean."""
    ax = figure.subplots()
    drawn = [_curves(ax, arm, content.phase(arm, "label"), "train_sample_acc", 1.0, 0.0) for arm in content.arms]
    ax.set_xlabel("label step")
    ax.set_ylabel("training accuracy (clean)")
    _accuracy_scale(content, ax)
    legend(ax)
    return any(drawn)


def compute_curves(content: Content, figure: Figure) -> bool:
    """Validation accuracy over everything that was spent, self-pretraining included."""
    ax = figure.subplots()
    drawn = []
    for arm in content.arms:
        start = content.summary.arms[arm].flops_pretrain / 1e12
        scale = content.label_step_flops(arm) / 1e12
        drawn.append(_curves(ax, arm, content.phase(arm, "label"), "val_acc", scale, start))
    ax.set_xlabel("training compute so far, TFLOP")
    ax.set_ylabel("validation accuracy")
    _accuracy_scale(content, ax)
    legend(ax)
    return any(drawn)


def train_against_test(content: Content, figure: Figure) -> bool:
    """Best clean training accuracy against test accuracy, every seed a point."""
    ax = figure.subplots()
    for arm in content.arms:
        entry = content.summary.arms[arm]
        pairs = [pair for pair in zip(entry.best_train_acc, entry.test_acc, strict=True) if None not in pair]
        if pairs:
            x, y = zip(*pairs, strict=True)
            ax.plot(x, y, ARMS[arm].marker, color=ARMS[arm].colour, alpha=0.7, label=arm)
    low = min(ax.get_xlim()[0], ax.get_ylim()[0])
    ax.plot([low, 1], [low, 1], color="#999999", linestyle=":", linewidth=1)
    ax.set_xlabel("best training accuracy (clean)")
    ax.set_ylabel("test accuracy")
    legend(ax)
    return True


def pretraining(content: Content, figure: Figure) -> bool:
    """Validation loss of self-pretraining: where it leaves its plateau, if it has one."""
    ax = figure.subplots()
    drawn = [_curves(ax, arm, content.phase(arm, "pretrain"), "val_loss", 1.0, 0.0) for arm in content.arms]
    for name, style in (("val_without_context", "--"), ("val_lowest", ":")):
        values = [v for entry in content.summary.arms.values() for v in getattr(entry, name) if v is not None]
        if values:
            ax.axhline(float(np.mean(values)), color="black", linestyle=style, linewidth=1, zorder=0)
    ax.set_xlabel("self-pretraining step")
    ax.set_ylabel("reconstruction loss (validation)")
    return any(drawn)


def _curves(ax: Axes, arm: str, curves: Sequence[Curve], key: str, scale: float, start: float) -> bool:
    """Thin lines for seeds and a thick one for their mean over the steps that all of them have."""
    for curve in curves:
        x = [start + scale * row["step"] for row in curve]
        ax.plot(x, [row[key] for row in curve], color=ARMS[arm].colour, alpha=0.3, linewidth=1)
    if curves:
        shared = min(map(len, curves))
        x = [start + scale * row["step"] for row in curves[0][:shared]]
        mean = np.mean([[row[key] for row in curve[:shared]] for curve in curves], axis=0)
        ax.plot(x, mean, color=ARMS[arm].colour, linewidth=2.4, marker=ARMS[arm].marker, markersize=4, label=arm)
    return bool(curves)


def _accuracy_scale(content: Content, ax: Axes) -> None:
    """An axis that shows where the arms lie; the commonest class is a line there, or a word where it lies outside."""
    low, high = ax.dataLim.y0, ax.dataLim.y1
    if not np.isfinite([low, high]).all():  # no arm has drawn anything
        return
    room = max(SPREAD - (high - low), 0.08 * (high - low)) / 2
    low, high = max(0.0, low - room), min(1.0, high + room)
    low, high = max(0.0, min(low, high - SPREAD)), min(1.0, max(high, low + SPREAD))
    edge = 0.02 * (high - low)  # marks at the very end stay whole
    ax.set_ylim(low - edge, high + edge)
    commonest = content.summary.task.majority
    if low <= commonest <= high:
        ax.axhline(commonest, color="black", linestyle="--", linewidth=1, zorder=0)
    else:
        where, place = ("below", 0.02) if commonest < low else ("above", 0.94)
        text = f"commonest class: {commonest:.2f}, {where}"
        ax.annotate(text, (0.02, place), xycoords="axes fraction", fontsize=8, color="#5d5d5d")


PICTURES = (
    Picture(
        "Test accuracy",
        accuracies,
        "Each mark is one seed; the black bar is the mean with its 95% interval, over other seeds and other test "
        "sequences. The axis shows where the arms lie. What always answering the commonest class gives is "
        "the dashed line, or is written at the edge where that lies outside.",
    ),
    Picture(
        "Paired differences",
        differences,
        "Each point is one seed: both arms with the same start and the same label batches. The bar is the mean with "
        "its 95% interval, over other seeds and other test sequences. A bar across 0 leaves both open: no difference, "
        "and one as large as the ends of the bar.",
    ),
    Picture(
        "Learning the labels",
        learning_curves,
        "Accuracy on training sequences while the labels are learnt, clean: with nothing masked or dropped. A flat "
        "line at the bottom is a plateau, a stretch without progress: such an arm does not even fit its own training "
        "labels.",
    ),
    Picture(
        "At equal total compute",
        compute_curves,
        "The same label training, with self-pretraining's compute put in front of it. Compare heights at the same "
        "place on the axis.",
    ),
    Picture(
        "Train against test",
        train_against_test,
        "On the dotted line test equals training accuracy. Arms apart along the line differ in optimisation; one "
        "above the other differs in generalisation.",
    ),
    Picture(
        "Self-pretraining",
        pretraining,
        "How well masked positions are filled in, on validation sequences. The dashed line is the best that can be "
        "done without looking at the other positions; a curve that stays there has learnt nothing. A dotted line is "
        "the lowest loss possible, where it is known. A plateau that is left suddenly is the moment at which attention "
        "begins to use neighbours.",
    ),
)
"""In the order of the report."""
