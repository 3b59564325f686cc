"""A diagnosis as its pictures see it: rows to ask for, and words and colours that they share. Imports no torch."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from selfpretrain.drawing import NARROW, PALETTE, WIDE, Picture, legend
from selfpretrain.explain.cells import Cell
from selfpretrain.explain.conclude import HALF
from selfpretrain.explain.files import Findings
from selfpretrain.explain.measurement import Row, select
from selfpretrain.files import from_dict
from selfpretrain.registry import ARMS
from selfpretrain.stats import chance_snr

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LOSS_COLOURS = {"label": "#D55E00", "reconstruction": "#0072B2"}
STAGE_WORDS = {"start": "start", "after-pretrain": "after SPT", "after-label": "after labels"}
PHASE_WORDS = {"along-pretrain": "self-pretraining", "along-label": "label training"}


class View:
    """A diagnosis, to be asked for rows.

    Args:
        findings: as ``files.read_diagnosis`` gives them.
    """

    def __init__(self, findings: Findings) -> None:
        self.sections, self.conclusion, self.protocol = findings.sections, findings.conclusion, findings.protocol

    def rows(self, section: str, name: str, **match: Any) -> Iterator[Row]:
        """Measurements of that name whose fields are as asked for."""
        return select(self.sections, section, name, **match)

    def has(self, section: str, name: str, **match: Any) -> bool:
        """Whether there is one."""
        return any(True for _ in self.rows(section, name, **match))

    def arrays(self, section: str, name: str, **match: Any) -> list[NDArray[np.float64]]:
        """Their values; undefined ones are NaN."""
        return [np.array(row["values"], dtype=np.float64) for row in self.rows(section, name, **match)]

    @property
    def _everything(self) -> Iterator[Row]:
        return (row for rows in self.sections.values() for row in rows)

    @property
    def start(self) -> dict[str, str]:
        """What finds the start that scratch and spt share: it was looked at under one arm; mimetic has another."""
        arms = (row["arm"] for row in self._everything if row.get("stage") == "start")
        return {"stage": "start", "arm": next((arm for arm in arms if not ARMS[arm].own_start), "none")}

    @property
    def main_stages(self) -> list[tuple[str, str]]:
        """(arm, stage): the start, and what scratch and spt became; without these arms, all."""
        ends = (row for row in self._everything if row.get("stage") in ("after-pretrain", "after-label"))
        seen = list(dict.fromkeys((row["arm"], row["stage"]) for row in ends))
        main = [key for key in seen if key[0] in ("scratch", "spt")] or seen
        main.sort(key=lambda key: (key[0] == "spt", key[1] == "after-label"))
        return [*([(self.start["arm"], "start")] if self.start["arm"] != "none" else []), *main]

    def seed(self, section: str, name: str) -> int | None:
        """The first seed of which every main stage was looked at; None if there is none."""
        by_stage = [{row["seed"] for row in self.rows(section, name, arm=a, stage=s)} for a, s in self.main_stages]
        return min(set.intersection(*by_stage), default=None) if by_stage else None


def stage_name(arm: str, stage: str) -> str:
    """A model in words."""
    return "start" if stage == "start" else f"{arm}, {STAGE_WORDS[stage]}"


def colour_of(arm: str, stage: str) -> str:
    """The colour of a model."""
    return "#333333" if stage == "start" else ARMS[arm].colour


def signal_axis(ax: "Axes", rows: Iterable[Row], which: Literal["x", "y"] = "y") -> None:
    """An axis for signal-to-noise ratios: grey where an estimate from so many sequences may be chance."""
    reach = max((chance_snr(row["n"]) for row in rows), default=0.0)
    if which == "y":
        ax.set_yscale("symlog", linthresh=0.01)
        ax.axhspan(-reach, reach, color="black", alpha=0.08, linewidth=0)
        ax.axhline(0, color="black", linewidth=0.8)
    else:
        ax.set_xscale("symlog", linthresh=0.01)
        ax.axvspan(-reach, reach, color="black", alpha=0.08, linewidth=0)
        ax.axvline(0, color="black", linewidth=0.8)


ANSWER_COLOURS = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}


def transplants(view: View, figure: Figure) -> bool:
    """Share of the gain that each transplant recovers, every seed a point."""
    recoveries = view.conclusion["recoveries"]
    scratch, spt = (np.array(view.conclusion["ends"][arm], dtype=np.float64) for arm in ("scratch", "spt"))
    gains = (spt - scratch)[np.isfinite(spt - scratch)]
    gain = float(gains.mean()) if recoveries and len(gains) else 0.0
    if not gain:
        return False
    seeds = sorted({row["seed"] for row in view.rows("transplants", "transplant_test_acc")})
    ax = figure.subplots()
    for place, r in enumerate(recoveries):
        rows = view.rows("transplants", "transplant_test_acc", of=r["cell"])
        finished = [row for row in rows if row["values"] is not None]
        points = [(row["values"] - scratch[seeds.index(row["seed"])]) / gain for row in finished]
        ax.plot(points, [place] * len(points), "o", color=ANSWER_COLOURS[r["answer"]], alpha=0.75)
    ax.axvline(0, color="black", linewidth=1)
    ax.axvline(1, color="black", linewidth=1)
    ax.axvline(HALF, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(recoveries)), [from_dict(Cell, r["cell"]).words for r in recoveries], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlabel("share of the gain (0: scratch, 1: SPT)")
    return True


def transplants_pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Which weights carry the gain",
            transplants,
            "Weights taken from self-pretraining into a fresh start, then label training; every seed a point. Look "
            "for a group that reaches 1 alone and whose absence (all but it) leaves 0. Shuffled sequences and noise "
            "should stay at 0; the hand-made bias reaches 1 if proximity is enough. Green: recovers more than half "
            "of the gain; orange: does not; grey: undecided.",
            (9.6, 6.4),
        ),
    ]


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
        shares_by_seed = view.arrays("attention", "energy_share", arm=arm, stage=stage)
        shares = np.mean([share.mean(axis=(0, 2)) for share in shares_by_seed], axis=0)
        left = 0.0
        for colour, name, share in zip(PALETTE, SHARE_NAMES, shares, strict=False):
            ax.barh(place, share, left=left, color=colour, label=name if place == 0 else None)
            left += share
    ax.set_yticks(range(len(stages)), [stage_name(*stage) for stage in stages])
    ax.invert_yaxis()
    ax.set_xlabel("share of the scores' variation")
    legend(ax, loc="upper center", bbox_to_anchor=(0.4, -0.2), ncol=2)
    return bool(stages)


def attention_pictures() -> list[Picture]:
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
            label_of_line = arm if first else None
            ax.plot(*zip(*points, strict=True), ".-", color=ARMS[arm].colour, alpha=0.7, label=label_of_line)
        ax.set_xlabel("label step")
        ax.set_ylabel(label)
    legend(axes[0])
    return True


def plateau_pictures() -> list[Picture]:
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
            by_seed = [a.mean(axis=(0, 1)) for a in rows]
            for seed in by_seed:
                ax.plot(np.arange(1, len(seed) + 1), seed, color=colour, alpha=0.3, linewidth=1)
            if by_seed:
                mean = np.mean(by_seed, axis=0)
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


def gradients_pictures() -> list[Picture]:
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
    panels = [(row["arm"], np.array(row["values"])) for row in view.rows("landscape", "random_plane")]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (arm, plane) in zip(axes, panels, strict=True):
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


def landscape_pictures() -> list[Picture]:
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


def class_difference(view: View, figure: Figure) -> bool:
    """How much classes differ in pairs, by lag, beside what random labels give."""
    ax = figure.subplots()
    words = {
        "beta": "pairs in order",
        "beta_symmetric": "pairs whatever the order",
        "beta_shuffled": "positions shuffled",
        "beta_chance": "labels at random",
    }
    drawn = False
    for colour, (name, label) in zip(PALETTE, words.items(), strict=False):
        for values in view.arrays("data", name):
            ax.plot(np.arange(1, len(values) + 1), values, "o-", color=colour, label=label)
            drawn = True
    ax.set_xlabel("lag, positions")
    ax.set_ylabel("class difference β (0: none, 1: all)")
    ax.set_ylim(bottom=0)
    legend(ax)
    return drawn


def data_pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Could the label see it?",
            class_difference,
            "Class difference of pairs of positions, from the data alone, as a share of what pairs there are. Blue "
            "above the line for random labels means that classes differ; where shuffled positions give as much, "
            "they may differ in single positions alone. What a classifier makes of pairs is said above.",
            NARROW,
        ),
    ]
