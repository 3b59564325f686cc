"""Every picture shows the numbers it says: the right arm, seed, layer, lag and colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from selfpretrain.explain.cells import alone
from selfpretrain.explain.files import Findings
from selfpretrain.explain.pictures import (
    LOSS_COLOURS,
    View,
    attention_maps,
    class_difference,
    lag_profiles,
    paths,
    planes,
    plateau,
    proximity_slices,
    score_parts,
    signal_along,
    signal_by_group,
    signal_by_lag,
    spectra,
    transplants,
    update_ratios,
)
from selfpretrain.files import to_dict

HEADS, LAGS = 2, 5


def row(name, values, arm="scratch", stage="start", seed=0, n=1000, **fields):
    where = {"arm": arm, "stage": stage, "seed": seed, "n": n}
    return {"name": name, "values": np.asarray(values).tolist(), **where, **fields}


def view(conclusion=None, **sections):
    return View(Findings({}, sections, conclusion or {}))


def painted(paint, **sections):
    figure = Figure()
    assert paint(view(**sections), figure)
    return figure.axes


def lines(ax, colour):
    return [line for line in ax.lines if to_hex(line.get_color()).upper() == colour.upper()]


def test_the_start_is_not_the_one_of_mimetic():
    rows = [row("position_profile", np.zeros((1, HEADS, 5)), arm=arm) for arm in ("mimetic", "scratch")]
    assert view(attention=rows).start == {"stage": "start", "arm": "scratch"}


def test_lag_zero_is_in_the_middle_of_a_profile():
    profile = np.zeros((1, HEADS, 2 * LAGS + 1))
    profile[..., LAGS] = 3.0
    profile[..., LAGS + 2] = 1.0
    (ax,) = painted(lag_profiles, attention=[row("position_profile", profile)])
    for line in ax.lines:
        at = dict(zip(*line.get_data(), strict=True))
        assert (at[0], at[2], at[-2]) == (3.0, 1.0, 0.0)


def test_maps_are_of_the_last_layer_and_the_first_seed():
    def maps(seed, level):
        return row("attention_map", np.stack([np.full((HEADS, 4, 4), level + layer) for layer in range(3)]), seed=seed)

    axes = painted(attention_maps, attention=[maps(1, 10.0), maps(0, 0.5)])
    shown = [ax.images[0].get_array() for ax in axes if ax.images and ax.get_xlabel() != "times uniform attention"]
    assert all((image == 2.5).all() for image in shown[:HEADS])


def test_maps_of_long_sequences_have_the_numbers_of_positions():
    maps = row("attention_map", np.ones((1, HEADS, 4, 4)), seed=0)
    figure = Figure()
    assert attention_maps(View(Findings({"sample_length": 101}, {"attention": [maps]}, {})), figure)
    assert [list(axis.get_ticklocs()) for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)] == [[0, 50, 100]] * 2
    assert figure.axes[0].images[0].get_extent() == [-0.5, 100.5, 100.5, -0.5]


def test_signal_by_lag_begins_at_lag_one():
    def snr(part, loss, first):
        values = np.zeros((1, HEADS, LAGS))
        values[..., 0] = first
        return row(f"{part}_snr_by_lag", values, loss=loss)

    levels = {("proximity", "label"): 0.1, ("proximity", "reconstruction"): 0.2}
    levels |= {("direction", "label"): 0.3, ("direction", "reconstruction"): 0.4}
    axes = painted(signal_by_lag, gradients=[snr(*key, level) for key, level in levels.items()])
    for ax, part in zip(axes, ("proximity", "direction"), strict=True):
        for loss, colour in LOSS_COLOURS.items():
            for line in lines(ax, colour):
                at = dict(zip(*line.get_data(), strict=True))
                assert at[1] == pytest.approx(levels[part, loss])
                assert min(at) == 1


def test_a_causal_model_has_one_side_only():
    rows = [row(f"{part}_snr_by_lag", np.ones((1, HEADS, LAGS)), loss="label") for part in ("proximity", "direction")]
    (ax,) = painted(signal_by_lag, gradients=rows)
    assert "back" in ax.get_title()


def test_signal_along_training_is_of_the_arm_in_the_title():
    levels = {("spt", "along-pretrain"): 0.1, ("spt", "along-label"): 0.2, ("scratch", "along-label"): 0.3}
    rows = [
        row("proximity_snr", level, arm=arm, stage=stage, step=step, loss=loss)
        for (arm, stage), level in levels.items()
        for loss in LOSS_COLOURS
        for step in (5, 10)
    ]
    axes = painted(signal_along, gradients=rows)
    for ax, level in zip(axes, levels.values(), strict=True):
        for line in lines(ax, LOSS_COLOURS["label"]):
            assert set(line.get_ydata()) == {level}
    assert [ax.get_title() for ax in axes] == [
        "spt, self-pretraining",
        "spt, label training",
        "scratch, label training",
    ]


def test_signal_of_a_group_has_the_colour_of_its_loss():
    levels = {("norms", "label"): 0.1, ("norms", "reconstruction"): 0.2}
    levels |= {("query-key", "label"): 0.3, ("query-key", "reconstruction"): 0.4}
    rows = [row("gradient_snr", level, group=group, loss=loss) for (group, loss), level in levels.items()]
    (ax,) = painted(signal_by_group, gradients=rows)
    places = {text.get_text(): place for place, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    for (group, loss), level in levels.items():
        points = [point for line in lines(ax, LOSS_COLOURS[loss]) for point in zip(*line.get_data(), strict=True)]
        (found,) = [x for x, y in points if abs(y - places[group]) < 0.5]
        assert found == level


def test_sizes_of_updates_are_of_the_first_seed_without_the_heads():
    rows = [
        row("update_ratio", [[5, ratio], [10, ratio]], stage="along-label", seed=seed, group=group)
        for (seed, group), ratio in {(1, "norms"): 0.1, (0, "norms"): 0.2, (0, "head"): 0.3}.items()
    ]
    (ax,) = painted(update_ratios, gradients=rows)
    assert [(line.get_label(), *line.get_ydata()) for line in ax.lines] == [("norms", 0.2, 0.2)]


def test_shares_of_the_scores_are_means_over_heads_and_seeds_side_by_side():
    def shares(seed, first):
        return row("energy_share", [[[first] * HEADS, [0.1] * HEADS, [0.1] * HEADS, [0.2] * HEADS]], seed=seed)

    (ax,) = painted(score_parts, attention=[shares(0, 0.2), shares(1, 0.6)])
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0.0, 0.4), (0.4, 0.1), (0.5, 0.1), (0.6, 0.2)])


def test_a_slice_is_the_change_from_no_bias():
    strengths = [-2.0, 0.0, 2.0]
    rows = [row("proximity_strengths", strengths)]
    rows += [row("proximity_slice", [[[5.0, 4.0, 1.0]] * HEADS], loss=loss) for loss in LOSS_COLOURS]
    axes = painted(proximity_slices, landscape=rows)
    for colour in LOSS_COLOURS.values():
        for line in lines(axes[0], colour):
            assert dict(zip(*line.get_data(), strict=True)) == {-2.0: 1.0, 0.0: 0.0, 2.0: -3.0}


def test_spectra_are_of_all_weights_and_of_queries_and_keys():
    levels = {None: 0.5, "query-key": 0.25}
    rows = [
        row("hessian_density", [[0.0, 1.0], [level] * 2], **({"group": group} if group else {}))
        for group, level in levels.items()
    ]
    axes = painted(spectra, landscape=rows)
    for ax, level in zip(axes, levels.values(), strict=True):
        assert [list(line.get_ydata()) for line in ax.lines] == [[level] * 2]


def test_a_path_has_the_aligned_one_of_its_own_ends_beside_it():
    def path(name, level, *arms):
        of = {end: {"arm": arm, "stage": "after-label"} for end, arm in zip(("start", "end"), arms, strict=True)}
        return {"name": name, "values": [[0.0, 1.0], [level] * 2], "of": of, "seed": 0}

    ends = (("scratch", "spt"), ("spt", "joint"))
    rows = [path(name, level, *ends[level // 2]) for level, name in enumerate(("path", "path_aligned") * 2)]
    found = {}
    for line in painted(paths, landscape=rows)[0].lines:
        found.setdefault(line.get_color(), []).append((line.get_linestyle(), line.get_ydata()[0]))
    assert list(found.values()) == [[("-", 0.0), (":", 1.0)], [("-", 2.0), (":", 3.0)]]


def test_class_differences_begin_at_lag_one():
    names = ("beta", "beta_symmetric", "beta_shuffled", "beta_chance")
    rows = [{"name": name, "values": [level, 0.0], "n": 84} for level, name in enumerate(names)]
    (ax,) = painted(class_difference, data=rows)
    assert [next(zip(*line.get_data(), strict=True)) for line in ax.lines] == [(1, level) for level in range(4)]


def test_the_plane_has_its_first_direction_across():
    """Loss = 10 a + b: levels rise from left to right."""
    a, b = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), indexing="ij")
    ax = painted(planes, landscape=[row("random_plane", 10 * a + b, stage="after-label")])[0]
    contours = next(c for c in ax.collections if hasattr(c, "levels"))
    first = [path.vertices[:, 0].mean() for path in contours.get_paths() if len(path.vertices)]
    assert first == sorted(first)


def test_a_transplant_is_measured_against_scratch_of_its_own_seed():
    cells = (alone("query-key"), alone("norms"), alone("embedding"))
    leads = dict(zip(cells, (0.4, 0.0, 0.2), strict=True))
    ends = {"scratch": [0.1, 0.3, None], "spt": [0.5, 0.7, 0.9]}  # a gain of .4 in both seeds that have one
    rows = [
        row("transplant_test_acc", (ends["scratch"][seed] or 0.0) + lead, seed=seed, of=to_dict(cell))
        for cell, lead in leads.items()
        for seed in range(3)
    ]
    answers = dict(zip(cells, ("recovers", "does not", "undecided"), strict=True))
    recoveries = [{"cell": to_dict(cell), "answer": answer} for cell, answer in answers.items()]
    figure = Figure()
    assert transplants(view({"ends": ends, "recoveries": recoveries}, transplants=rows), figure)
    colours = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}  # green, orange, grey
    for cell, lead in leads.items():
        (points,) = [line for line in lines(figure.axes[0], colours[answers[cell]]) if line.get_marker() == "o"]
        np.testing.assert_allclose(points.get_xdata(), [lead / 0.4] * 2 + [np.nan])  # NaN is drawn nowhere
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [cell.words for cell in cells]


def test_the_plateau_is_a_line_for_each_seed_of_an_arm_along_label_training():
    rows = [
        row(name, [value + step / 100, value + step / 100 + 0.2], stage="along-label", step=step, seed=seed)
        for name, value in (("state_cosine", 0.5), ("pattern_mass_relative", 2.0))
        for seed in (0, 1)
        for step in (20, 10)
    ]
    rows.append(row("state_cosine", [9.0], stage="along-pretrain", step=5))
    for ax, value in zip(painted(plateau, plateau=rows), (0.5, 2.0), strict=True):
        assert len(ax.lines) == 2
        for line in ax.lines:
            assert list(line.get_xdata()) == [10, 20]
            np.testing.assert_allclose(line.get_ydata(), [value + 0.2, value + 0.3])  # the mean over layers
