"""The page of a study: the picture that answers the question, the declaration, the claims, the cost."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from selfpretrain.comparison.summary import Summary, mean_of
from selfpretrain.drawing import WIDE, Picture, in_points, interval_bar, legend
from selfpretrain.registry import ARMS
from selfpretrain.report.page import drawn, flops_unit, page_of
from selfpretrain.studies.folder import StudyFolder
from selfpretrain.studies.study import ClaimAnswer, StudyAnswer

OUTCOME_COLOURS = {"holds": "#009E73", "does not hold": "#D55E00", "undecided": "#777777"}


@dataclass(frozen=True)
class StudyContent:
    """A study's folder, read.

    Attributes:
        summaries: answers of the comparisons that are finished, by the names of their cases.
    """

    answer: StudyAnswer
    summaries: Mapping[str, Summary]

    @classmethod
    def read(cls, folder: StudyFolder) -> "StudyContent":
        """Read it.

        Raises:
            RequestError: something is damaged.
        """
        answer = folder.answer
        results = folder.results([case for case in answer.cases if case.failure is None])
        return cls(answer, {name: result.summary for name, result in results.items()})

    @property
    def labels(self) -> dict[str, str]:
        """What to call each finished comparison: its values on the axes, in the order of the study."""
        return {c.name: ", ".join(c.axes.values()) for c in self.answer.cases if c.name in self.summaries}

    @property
    def families(self) -> list[str]:
        """Families of claims, of a data set each; empty where there is but one."""
        families = list(dict.fromkeys(claim.family for claim in self.answer.claims))
        return families if len(families) > 1 else []

    @property
    def matrix(self) -> dict[str, list[ClaimAnswer | None]]:
        """What is claimed, without the family's name, and what came out of it for each family; None: not claimed."""
        rows: dict[str, dict[str, ClaimAnswer]] = {}
        for claim in self.answer.claims:
            rows.setdefault(claim.claim.removeprefix(f"On {claim.family} "), {})[claim.family] = claim
        return {text: [row.get(family) for family in self.families] for text, row in rows.items()}

    @property
    def axes(self) -> str:
        """The names of the axes."""
        return ", ".join(dict.fromkeys(axis for case in self.answer.cases for axis in case.axes))


def effects(content: StudyContent, figure: Figure) -> bool:
    """The effect of every claim that was measured, with its interval, in the order of the declaration.

    Points of accuracy, percentages of something else, and factors have an axis each.
    """
    shown = [claim for claim in content.answer.claims if claim.effect is not None]
    kinds = [(claim.is_factor, claim.unit.startswith("points")) for claim in shown]
    scales = [
        [claim for claim, kind in zip(shown, kinds, strict=True) if kind == wanted]
        for wanted in sorted(set(kinds), reverse=True)
    ]
    if not scales:
        return False
    figure.set_figheight(0.4 + sum(0.5 + 0.33 * len(claims) for claims in scales))
    axes = figure.subplots(len(scales), squeeze=False, height_ratios=[len(claims) for claims in scales])[:, 0]
    for ax, claims in zip(axes, scales, strict=True):
        for place, claim in enumerate(reversed(claims)):
            colour = OUTCOME_COLOURS[claim.outcome]
            unit, effect = (1 if claim.is_factor else 100), claim.effect or 0.0
            low, high = claim.ci95
            if claim.is_factor and (low is not None or high is not None):  # unbounded: to where its estimate lies
                low, high = (effect if bound is None else bound for bound in claim.ci95)
                marker = "o" if None not in claim.ci95 else ">" if claim.ci95[1] is None else "<"
                interval_bar(ax, place, effect, (low, high), across=True, fmt=marker, color=colour)
            else:
                interval_bar(ax, place, unit * effect, in_points(claim.ci95), across=True, fmt="o", color=colour)
            ax.plot([unit * claim.least] * 2, [place - 0.3, place + 0.3], color="black", linestyle=":", linewidth=1)
        ax.axvline(0, color="black", linewidth=1)
        labels = ["\n".join(textwrap.wrap(claim.claim, 60)) for claim in reversed(claims)]
        ax.set_yticks(range(len(claims)), labels, fontsize=8.5)
        ax.set_ylim(-0.6, len(claims) - 0.4)
        if claims[0].is_factor:
            ax.xaxis.set_major_formatter(lambda doublings, _: f"{2**doublings:.3g}")
        ax.set_xlabel("\n".join(dict.fromkeys(claim.unit for claim in claims)), fontsize=8.5)
    return True


def accuracies(content: StudyContent, figure: Figure) -> bool:
    """Test accuracy of every arm in every comparison: every seed a point, with the mean and its interval."""
    ax = figure.subplots()
    arms = list(dict.fromkeys(arm for summary in content.summaries.values() for arm in summary.arms))
    room = 0.8 / max(len(arms), 1)
    for place, name in enumerate(content.labels):
        for number, arm in enumerate(arms):
            entry = content.summaries[name].arms.get(arm)
            if entry is None:
                continue
            own = len(ARMS[arm].reported_seeds(len(entry.test_acc)))
            points = [value for value in entry.test_acc[:own] if value is not None]
            x = place + (number - (len(arms) - 1) / 2) * room
            colour = ARMS[arm].colour
            ax.plot([x] * len(points), points, ARMS[arm].marker, color=colour, alpha=0.6, markersize=5)
            if points:
                mean = float(np.mean(points))
                interval_bar(ax, x + room / 4, mean, entry.test_ci95, fmt="_", capsize=3, markersize=9)
    for arm in arms:
        ax.plot([], [], ARMS[arm].marker, color=ARMS[arm].colour, label=arm)
    ax.set_xticks(range(len(content.labels)), list(content.labels.values()))
    ax.set_xlabel(content.axes)
    ax.set_ylabel("test accuracy")
    legend(ax, ncol=len(arms))
    return bool(content.summaries)


def gains(content: StudyContent, figure: Figure) -> bool:
    """The lead of spt over scratch in every comparison, with its interval; every seed a point."""
    ax = figure.subplots()
    shown = {
        name: c for name in content.labels if (c := content.summaries[name].contrast("spt", "scratch")) is not None
    }
    for place, (name, contrast) in enumerate(shown.items()):
        pairs = zip(*(content.summaries[name].arms[arm].test_acc for arm in ("spt", "scratch")), strict=True)
        points = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
        ax.plot([place - 0.08] * len(points), points, "o", color=ARMS["spt"].colour, alpha=0.6)
        interval_bar(ax, place + 0.08, 100 * contrast.effect, in_points(contrast.ci95), fmt="_")
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(range(len(shown)), [content.labels[name] for name in shown])
    ax.set_xlabel(content.axes)
    ax.set_ylabel("spt - scratch, points")
    return bool(shown)


PICTURES = (
    Picture(
        "The claims",
        effects,
        "The effect of every claim, as the claim has it, with its 95% interval. Green: holds; orange: does not hold; "
        "grey: undecided. A dotted line marks the least that counts as an effect: a claim does not hold if its whole "
        "interval lies to the left of it.",
        (9.6, 4.2),
    ),
    Picture(
        "The gain",
        gains,
        "Lead of self-pretraining over scratch in test accuracy at equal label steps. Each point is one seed; the bar "
        "is the mean with its 95% interval, over other seeds and other test sequences.",
        WIDE,
    ),
    Picture(
        "Test accuracy",
        accuracies,
        "Each mark is one seed of an arm; the black bar is the mean with its 95% interval.",
        WIDE,
    ),
)
"""In the order of the report."""


def render_study(content: StudyContent) -> str:
    """The page, self-contained."""
    entries = [entry for summary in content.summaries.values() for entry in summary.arms.values()]
    unit, size = flops_unit(max(e.flops_pretrain, e.flops_label) for e in entries)
    rows = [
        {
            "case": label,
            "name": name,
            "arm": arm,
            "entry": entry,
            "test": entry.mean_score("accuracy"),
            "flops": f"{(entry.flops_pretrain + entry.flops_label) / size:.3g}",
            "seconds": mean_of(entry.seconds),
        }
        for name, label in content.labels.items()
        for arm, entry in content.summaries[name].arms.items()
    ]
    answer = content.answer
    pending = [c.name for c in answer.cases if c.name not in content.summaries and c.failure is c.left_out is None]
    return page_of(
        "study.html",
        answer=answer,
        families=content.families,
        matrix=content.matrix,
        axes=content.axes,
        figures=drawn(PICTURES, content),
        rows=rows,
        flops_unit=unit,
        failures=[case for case in answer.cases if case.failure is not None],
        left_out=[case for case in answer.cases if case.left_out is not None],
        pending=pending,
    )
