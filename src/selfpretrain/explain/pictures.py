"""The pictures of a diagnosis: each draws a query on its table. Imports no torch."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from selfpretrain.drawing import PALETTE, WIDE, Picture, legend
from selfpretrain.explain.cells import Cell
from selfpretrain.explain.conclude import HALF, shared_start
from selfpretrain.explain.files import Findings
from selfpretrain.explain.table import pick
from selfpretrain.files import from_dict
from selfpretrain.registry import ARMS
from selfpretrain.stats import chance_snr

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LOSS_COLOURS = {"label": "#D55E00", "reconstruction": "#0072B2"}
STAGE_WORDS = {"start": "start", "after-pretrain": "after SPT", "after-label": "after labels"}
ALONG = {
    ("spt", "along-pretrain"): "spt, self-pretraining",
    ("spt", "along-label"): "spt, label training",
    ("scratch", "along-label"): "scratch, label training",
}
"""The trainings that are followed, and their words."""


def main_stages(table: DataFrame) -> list[tuple[str, str]]:
    """(arm, stage): the start, and what scratch and spt became; without these arms, all."""
    ends = table[table["stage"].isin(["after-pretrain", "after-label"]) & table["other_arm"].isna()]
    stages = list(ends[["arm", "stage"]].drop_duplicates().itertuples(index=False, name=None))
    main = [stage for stage in stages if stage[0] in ("scratch", "spt")] or stages
    main.sort(key=lambda stage: (stage[0] == "spt", stage[1] == "after-label"))
    return [*((arm, "start") for arm in shared_start(table)["arm"].unique()[:1]), *main]


def stage_name(arm: str, stage: str) -> str:
    """A model in words."""
    return "start" if stage == "start" else f"{arm}, {STAGE_WORDS[stage]}"


def colour_of(arm: str, stage: str) -> str:
    """The colour of a model."""
    return "#333333" if stage == "start" else ARMS[arm].colour


def signal_axis(ax: "Axes", rows: DataFrame, which: Literal["x", "y"] = "y") -> None:
    """An axis for signal-to-noise ratios: grey where an estimate from so many sequences may be chance."""
    reach = chance_snr(int(rows["n"].min())) if len(rows) else 0.0
    scale, span, line = (
        (ax.set_xscale, ax.axvspan, ax.axvline) if which == "x" else (ax.set_yscale, ax.axhspan, ax.axhline)
    )
    scale("symlog", linthresh=0.01)
    span(-reach, reach, color="black", alpha=0.08, linewidth=0)
    line(0, color="black", linewidth=0.8)


ANSWER_COLOURS = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}


def transplants(findings: Findings, figure: Figure) -> bool:
    """Share of the gain that each transplant recovers, every seed a point."""
    recoveries = findings.conclusion["recoveries"]
    scratch, spt = (np.array(findings.conclusion["ends"][arm], dtype=np.float64) for arm in ("scratch", "spt"))
    accuracies = pick(findings.table, "transplant_test_acc").pivot(index="seed", columns="cell", values="value")
    if not recoveries or accuracies.empty:
        return False
    cells = [from_dict(Cell, r["cell"]) for r in recoveries]
    ax = figure.subplots()
    for place, (cell, r) in enumerate(zip(cells, recoveries, strict=True)):
        leads = accuracies[cell.name].to_numpy() - scratch
        ended = np.isfinite(leads + spt)  # as in the conclusion, the gain is that of the same seeds
        if (gain := float((spt - scratch)[ended].sum())) != 0:
            shares = leads[ended] * ended.sum() / gain
            ax.plot(shares, [place] * len(shares), "o", color=ANSWER_COLOURS[r["answer"]], alpha=0.75)
    ax.axvline(0, color="black", linewidth=1)
    ax.axvline(1, color="black", linewidth=1)
    ax.axvline(HALF, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(cells)), [cell.words for cell in cells], fontsize=8.5)
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


SHARES = {
    "energy_position_position": "position-position",
    "energy_position_content": "position-content",
    "energy_content_position": "content-position",
    "energy_content_content": "content-content",
}
MAP_TOP = 6.0
"""Attention, in multiples of uniform attention, from which maps show the darkest colour."""


def lag_profiles(findings: Findings, figure: Figure) -> bool:
    """Position part of the scores by lag, every seed's heads; models side by side."""
    stages, profiles = main_stages(findings.table), pick(findings.table, "position_profile")
    if profiles.empty:
        return False
    axes = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for ax, (arm, stage) in zip(axes, stages, strict=True):
        heads = pick(profiles, "position_profile", arm=arm, stage=stage)
        lines = heads.pivot(index="lag", columns=["seed", "layer", "head"], values="value")
        ax.plot(lines.index, lines.to_numpy(), color=colour_of(arm, stage), alpha=0.4, linewidth=1)
        ax.set_title(stage_name(arm, stage), fontsize=10)
        ax.set_xlabel("lag, positions")
    axes[0].set_ylabel("position part of the score")
    return True


def attention_maps(findings: Findings, figure: Figure) -> bool:
    """Mean attention of one seed over uniform attention, a column a model, a row a head of the last layer."""
    rows = pick(findings.table, "attention_map")
    stages = [key for key in main_stages(findings.table) if len(pick(rows, "attention_map", arm=key[0], stage=key[1]))]
    if not stages:
        return False
    last_layer = rows[rows["layer"] == rows["layer"].max()]
    heads = min(2, last_layer["head"].max() + 1)
    last = findings.protocol.get("sample_length", last_layer["x"].max() + 1) - 1  # maps of long sequences have blocks
    edges = (-0.5, last + 0.5, last + 0.5, -0.5)
    axes = figure.subplots(heads, len(stages), squeeze=False)
    for column, (arm, stage) in enumerate(stages):
        for head in range(heads):
            one = pick(last_layer, "attention_map", arm=arm, stage=stage, head=head)
            matrix = one[one["seed"] == one["seed"].min()].pivot(index="x", columns="y", values="value")
            ax = axes[head][column]
            image = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=MAP_TOP, interpolation="nearest", extent=edges)
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


def score_parts(findings: Findings, figure: Figure) -> bool:
    """Shares of the scores' energy, mean over seeds, layers and heads."""
    stages, rows = main_stages(findings.table), findings.table[findings.table["name"].isin(SHARES)]
    if rows.empty or not stages:
        return False
    shares = rows.groupby(["arm", "stage", "name"])["value"].mean()
    ax = figure.subplots()
    left = np.zeros(len(stages))
    for colour, (name, words) in zip(PALETTE, SHARES.items(), strict=False):
        widths = np.array([shares.get((*stage, name), np.nan) for stage in stages])
        ax.barh(range(len(stages)), widths, left=left, color=colour, label=words)
        left += widths
    ax.set_yticks(range(len(stages)), [stage_name(*stage) for stage in stages])
    ax.invert_yaxis()
    ax.set_xlabel("share of the scores' variation")
    legend(ax, loc="upper center", bbox_to_anchor=(0.4, -0.2), ncol=2)
    return True


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
            "Mean attention of one seed's last layer, relative to uniform attention. A band along the "
            "diagonal is attention to neighbours; an even light blue is attention to everything.",
            (9.6, 4.6),
        ),
        Picture(
            "What the scores are made of",
            score_parts,
            "How much of the scores' variation comes from positions (blue) and from content; a large blue part is a "
            "pattern of attention that no sequence's content changes.",
        ),
    ]


PANELS = {
    "state_cosine": "cosine of states at two positions",
    "pattern_mass_relative": "attention on SPT's pattern, relative to uniform",
}


def plateau(findings: Findings, figure: Figure) -> bool:
    """Means over layers along label training, every seed a line."""
    rows = {name: pick(findings.table, name, stage="along-label") for name in PANELS}
    drawn = [name for name in PANELS if len(rows[name])]
    if not drawn:
        return False
    axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    for ax, name in zip(axes, drawn, strict=True):
        lines = rows[name].pivot_table(index="step", columns=["arm", "seed"], values="value", sort=False)
        for arm, seed in lines:
            points = lines[arm, seed].dropna().sort_index()
            label = arm if seed == rows[name]["seed"].min() else None
            ax.plot(points.index, points, ".-", color=ARMS[arm].colour, alpha=0.7, label=label)
        ax.set_xlabel("label step")
        ax.set_ylabel(PANELS[name])
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


def signal_by_group(findings: Findings, figure: Figure) -> bool:
    """Signal-to-noise of the gradient on every group of weights at the start, every seed a point."""
    rows = pick(shared_start(findings.table), "gradient_snr")
    groups = list(rows["group"].unique())
    if not groups:
        return False
    ax = figure.subplots()
    for shift, (loss, colour) in zip((0.13, -0.13), LOSS_COLOURS.items(), strict=True):
        points = rows[rows["loss"] == loss]
        places = [groups.index(group) + shift for group in points["group"]]
        ax.plot(points["value"], places, "o", color=colour, alpha=0.7, label=loss)
    ax.set_yticks(range(len(groups)), groups)
    signal_axis(ax, rows, "x")
    ax.set_xlabel("signal-to-noise ratio of one sequence's gradient")
    ax.margins(x=0.05)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return True


def signal_by_lag(findings: Findings, figure: Figure) -> bool:
    """Signal-to-noise of both losses at the start, by lag, mean over heads: looking near, and looking ahead."""
    rows = {part: pick(shared_start(findings.table), f"{part}_snr_by_lag") for part in ("proximity", "direction")}
    if rows["proximity"].empty:
        return False
    titles = {"proximity": "look near (k and -k alike)", "direction": "look ahead (k against -k)"}
    if np.array_equal(rows["proximity"]["value"], rows["direction"]["value"], equal_nan=True):
        titles = {"proximity": "look back by k (nobody may look ahead)"}  # a causal model has no two sides
    axes = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for ax, (part, title) in zip(axes, titles.items(), strict=True):
        for loss, colour in LOSS_COLOURS.items():
            of_loss = rows[part][rows[part]["loss"] == loss]
            seeds = of_loss.pivot_table(index="lag", columns="seed", values="value")
            ax.plot(seeds.index, seeds.to_numpy(), color=colour, alpha=0.3, linewidth=1)
            ax.plot(seeds.index, seeds.mean(axis=1), color=colour, linewidth=2.2, label=loss)
        signal_axis(ax, rows[part])
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("lag, positions")
    axes[0].set_ylabel("signal-to-noise ratio")
    legend(axes[0])
    return True


def signal_along(findings: Findings, figure: Figure) -> bool:
    """Signal-to-noise on proximity along training, mean over seeds, a panel for each way to train."""
    rows = {(arm, stage): pick(findings.table, "proximity_snr", arm=arm, stage=stage) for arm, stage in ALONG}
    panels = [panel for panel in ALONG if len(rows[panel])]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        for loss, colour in LOSS_COLOURS.items():
            points = rows[panel][rows[panel]["loss"] == loss]
            mean = points.groupby("step")["value"].mean()
            ax.plot(mean.index, mean, "o-", color=colour, markersize=4, label=loss)
            ax.plot(points["step"], points["value"], ".", color=colour, alpha=0.3)
        ax.set_title(ALONG[panel], fontsize=10)
        ax.set_xlabel("step")
        signal_axis(ax, rows[panel])
    axes[0].set_ylabel("signal-to-noise ratio")
    legend(axes[0])
    return True


def update_ratios(findings: Findings, figure: Figure) -> bool:
    """Size of the updates relative to the weights, by group, first seed."""
    rows = {(arm, stage): pick(findings.table, "update_ratio", arm=arm, stage=stage) for arm, stage in ALONG}
    panels = [panel for panel in ALONG if len(rows[panel])]
    if not panels:
        return False
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        first = rows[panel][(rows[panel]["seed"] == rows[panel]["seed"].min()) & (rows[panel]["group"] != "head")]
        lines = first.pivot(index="step", columns="group", values="value")
        for colour, group in zip(PALETTE, lines, strict=False):
            ax.plot(lines.index, lines[group], color=colour, label=group, linewidth=1.6)
        ax.set_yscale("log")
        ax.set_title(ALONG[panel], fontsize=10)
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


def proximity_slices(findings: Findings, figure: Figure) -> bool:
    """Change of both losses over the strength of a proximity bias on one head: at the start; then each loss later."""
    rows = pick(findings.table, "proximity_slice")
    if rows.empty:
        return False
    stages = main_stages(findings.table)
    axes = figure.subplots(1, 3)
    curves = [
        (axes[0], loss, colour, arm, stage, f"{loss} loss")
        for arm, stage in stages
        if stage == "start"
        for loss, colour in LOSS_COLOURS.items()
    ]
    for ax, loss in zip(axes[1:], LOSS_COLOURS, strict=True):
        curves += [(ax, loss, colour_of(*one), *one, stage_name(*one)) for one in stages if one[1] != "start"]
    for ax, loss, colour, arm, stage, label in curves:
        of_model = pick(rows, "proximity_slice", arm=arm, stage=stage, loss=loss)
        heads = of_model.pivot(index="x", columns=["seed", "layer", "head"], values="value")
        if len(heads):
            change = heads - heads.iloc[len(heads) // 2]
            style = "--" if stage == "after-pretrain" else "-"
            ax.plot(change.index, change.to_numpy(), style, color=colour, linewidth=1.4)[0].set_label(label)
    for ax, title in zip(axes, ("start", "label loss, later", "reconstruction loss, later"), strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("strength of the bias t")
        ax.ticklabel_format(axis="y", scilimits=(-2, 3))
        legend(ax, fontsize=8)
    axes[0].set_ylabel("change of the loss")
    return True


def spectra(findings: Findings, figure: Figure) -> bool:
    """Density of the label loss's Hessian eigenvalues, all weights and queries and keys alone."""
    axes = figure.subplots(1, 2, sharey=True)
    drawn = False
    for ax, group in zip(axes, (None, "query-key"), strict=True):
        for colour, (arm, stage) in zip(PALETTE, main_stages(findings.table), strict=False):
            density = pick(findings.table, "hessian_density", arm=arm, stage=stage, group=group)
            if len(density):
                label = stage_name(arm, stage)
                ax.plot(density["x"], density["value"].clip(lower=1e-6), color=colour, linewidth=1.4, label=label)
                drawn = True
        ax.set_yscale("log")
        ax.set_ylim(bottom=1e-4)
        ax.set_title(f"{group or 'all'} weights", fontsize=10)
        ax.set_xlabel("eigenvalue")
    axes[0].set_ylabel("density")
    legend(axes[0], fontsize=8)
    return drawn


def paths(findings: Findings, figure: Figure) -> bool:
    """The label loss on straight lines between weights, and around the ends."""
    axes = figure.subplots(1, 2)
    ends = ["arm", "stage", "other_arm", "other_stage"]
    for name, style in (("path", "-"), ("path_aligned", ":")):
        lines = pick(findings.table, name).groupby(ends, sort=False)
        for colour, ((arm, stage, other_arm, other_stage), line) in zip(PALETTE[2:], lines, strict=False):
            words = f"{stage_name(arm, stage)} to {stage_name(other_arm, other_stage)}" if style == "-" else None
            axes[0].plot(line["x"], line["value"], style, color=colour, linewidth=1.4, label=words)
    for arm, stage in main_stages(findings.table):
        line = pick(findings.table, "random_line", arm=arm, stage=stage)
        axes[1].plot(line["x"], line["value"], color=colour_of(arm, stage), label=stage_name(arm, stage))
    axes[0].set_title("between weights (dotted: aligned)", fontsize=10)
    axes[0].set_xlabel("share of the way")
    axes[0].set_ylabel("label loss, nats")
    axes[1].set_title("around the ends, a random direction", fontsize=10)
    axes[1].set_xlabel("step, in norms of each row")
    for ax in axes:
        legend(ax, fontsize=7.5)
    return not pick(findings.table, "path").empty


def planes(findings: Findings, figure: Figure) -> bool:
    """The label loss on a plane of two random directions around each end."""
    by_arm = list(pick(findings.table, "random_plane").groupby("arm", sort=False))
    if not by_arm:
        return False
    axes = figure.subplots(1, len(by_arm), squeeze=False)[0]
    for ax, (arm, points) in zip(axes, by_arm, strict=True):
        plane = points.pivot(index="y", columns="x", values="value")
        drawn = ax.contourf(plane.columns, plane.index, plane, levels=14, cmap="viridis")
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


BETAS = {
    "beta": "pairs in order",
    "beta_symmetric": "pairs whatever the order",
    "beta_shuffled": "positions shuffled",
    "beta_chance": "labels at random",
}


def class_difference(findings: Findings, figure: Figure) -> bool:
    """How much classes differ in pairs, by lag, beside what random labels give."""
    ax = figure.subplots()
    for colour, (name, label) in zip(PALETTE, BETAS.items(), strict=False):
        rows = pick(findings.table, name)
        if len(rows):
            ax.plot(rows["lag"], rows["value"], "o-", color=colour, label=label)
    ax.set_xlabel("lag, positions")
    ax.set_ylabel("class difference β (0: none, 1: all)")
    ax.set_ylim(bottom=0)
    legend(ax)
    return bool(ax.lines)


def data_pictures() -> list[Picture]:
    """In the order of the report."""
    return [
        Picture(
            "Could the label see it?",
            class_difference,
            "Class difference of pairs of positions, from the data alone, as a share of what pairs there are. Blue "
            "above the line for random labels means that classes differ; where shuffled positions give as much, "
            "they may differ in single positions alone. What a classifier makes of pairs is said above.",
        ),
    ]
