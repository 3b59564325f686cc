"""Every picture shows the numbers it says: the right arm, seed, layer, lag and colour."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from selfpretrain.explain.cells import alone
from selfpretrain.explain.files import Findings
from selfpretrain.explain.pictures import (
    LOSS_COLOURS,
    SHARES,
    attention_maps,
    class_difference,
    lag_profiles,
    main_stages,
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
from selfpretrain.explain.table import Measurement, tidy
from selfpretrain.files import to_dict

HEADS, LAGS = 2, 5
AXES = ("head", "x", "y")
STEPS = {"step": [5, 10]}


def row(name, values, *axes, arm="scratch", stage="start", seed=0, n=1000, **fields):
    return Measurement(name=name, values=values, unit="1", axes=axes, arm=arm, stage=stage, seed=seed, n=n, **fields)


def painted(paint, *rows, protocol=None, **conclusion):
    figure = Figure()
    assert paint(Findings(protocol or {}, tidy("a section", rows), conclusion), figure)
    return figure.axes


def lines(ax, colour):
    return [line for line in ax.lines if to_hex(line.get_color()).upper() == colour.upper()]


def test_the_start_is_not_the_one_of_mimetic():
    rows = [row("position_slope", 0.0, arm=arm) for arm in ("mimetic", "scratch")]
    assert main_stages(tidy("attention", rows)) == [("scratch", "start")]


def test_without_a_start_of_its_own_nothing_is_drawn_as_one():
    """A run of an arm that changes the initialisation, looked at alone, has no start that scratch and spt share."""
    place = {"coordinates": {"x": [-1.0, 0.0, 1.0]}, "layer": 0, "arm": "mimetic", "loss": "label"}
    rows = [
        row("proximity_slice", [[1.0, 2.0, 3.0]], "head", "x", stage=stage, **place)
        for stage in ("start", "after-label")
    ]
    first, labels, _ = painted(proximity_slices, *rows)
    assert (len(first.lines), len(labels.lines)) == (0, 1)


def test_a_profile_is_drawn_over_its_lags():
    profile = np.arange(2.0 * HEADS * LAGS).reshape(2, HEADS, LAGS)
    lags = {"lag": range(-2, 3)}
    rows = row("position_profile", profile[0], "head", "lag", coordinates=lags, layer=0)
    (ax,) = painted(lag_profiles, rows, replace(rows, values=profile[1], layer=1))
    assert all(list(line.get_xdata()) == [-2, -1, 0, 1, 2] for line in ax.lines)
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], profile.reshape(-1, LAGS))


def test_maps_are_of_the_last_layer_and_the_first_seed_with_queries_downwards():
    level = np.arange(16.0).reshape(4, 4)
    rows = [
        row("attention_map", np.stack([level + 100 * layer + seed] * HEADS), *AXES, seed=seed, layer=layer)
        for seed in (1, 0)
        for layer in range(3)
    ]
    axes = painted(attention_maps, *rows)
    assert len(axes) == HEADS + 1  # and the bar of colours
    for ax in axes[:HEADS]:
        np.testing.assert_array_equal(ax.images[0].get_array(), level + 200)


def test_maps_of_long_sequences_have_the_numbers_of_positions():
    blocks = row("attention_map", np.ones((1, 4, 4)), *AXES, layer=0)
    ax = painted(attention_maps, blocks, protocol={"sample_length": 101})[0]
    assert [list(axis.get_ticklocs()) for axis in (ax.xaxis, ax.yaxis)] == [[0, 50, 100]] * 2
    assert ax.images[0].get_extent() == [-0.5, 100.5, 100.5, -0.5]


def snr_by_lag(part, loss, first):
    values = np.zeros((1, HEADS, LAGS))
    values[..., 0] = first
    lags = {"lag": range(1, LAGS + 1)}
    return row(f"{part}_snr_by_lag", values, "layer", "head", "lag", coordinates=lags, loss=loss)


def test_signal_by_lag_has_the_colour_of_its_loss():
    levels = {("proximity", "label"): 0.1, ("proximity", "reconstruction"): 0.2}
    levels |= {("direction", "label"): 0.3, ("direction", "reconstruction"): 0.4}
    axes = painted(signal_by_lag, *(snr_by_lag(*key, level) for key, level in levels.items()))
    for ax, part in zip(axes, ("proximity", "direction"), strict=True):
        for loss, colour in LOSS_COLOURS.items():
            assert len(lines(ax, colour)) == 2  # the seed and the mean
            for line in lines(ax, colour):
                assert list(line.get_xdata()) == [1, 2, 3, 4, 5]
                assert line.get_ydata()[0] == pytest.approx(levels[part, loss])


def test_a_causal_model_has_one_side_only():
    (ax,) = painted(signal_by_lag, *(snr_by_lag(part, "label", 1.0) for part in ("proximity", "direction")))
    assert "back" in ax.get_title()


def test_signal_along_training_is_of_the_arm_in_the_title():
    levels = {("spt", "along-pretrain"): 0.1, ("spt", "along-label"): 0.2, ("scratch", "along-label"): 0.3}
    rows = [
        row("proximity_snr", level, arm=arm, stage=stage, step=step, loss=loss)
        for (arm, stage), level in levels.items()
        for loss in LOSS_COLOURS
        for step in (5, 10)
    ]
    axes = painted(signal_along, *rows)
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
    (ax,) = painted(signal_by_group, *rows)
    places = {text.get_text(): place for place, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    for (group, loss), level in levels.items():
        points = [point for line in lines(ax, LOSS_COLOURS[loss]) for point in zip(*line.get_data(), strict=True)]
        (found,) = [x for x, y in points if abs(y - places[group]) < 0.5]
        assert found == level


def test_sizes_of_updates_are_of_the_first_seed_without_the_heads():
    rows = [
        row("update_ratio", [ratio] * 2, "step", coordinates=STEPS, stage="along-label", seed=seed, group=group)
        for (seed, group), ratio in {(1, "norms"): 0.1, (0, "norms"): 0.2, (0, "head"): 0.3}.items()
    ]
    (ax,) = painted(update_ratios, *rows)
    (line,) = ax.lines
    assert (line.get_label(), *line.get_xdata(), *line.get_ydata()) == ("norms", 5, 10, 0.2, 0.2)


def test_shares_of_the_scores_are_means_over_heads_and_seeds_side_by_side():
    def shares(seed, first):
        return [
            row(name, [share] * HEADS, "head", seed=seed)
            for name, share in zip(SHARES, (first, 0.1, 0.1, 0.2), strict=True)
        ]

    (ax,) = painted(score_parts, *shares(0, 0.2), *shares(1, 0.6))
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0.0, 0.4), (0.4, 0.1), (0.5, 0.1), (0.6, 0.2)])


def test_a_slice_is_the_change_from_no_bias():
    curve = row("proximity_slice", [[[5.0, 4.0, 1.0]] * HEADS], "layer", "head", "x", coordinates={"x": [-2, 0, 2]})
    axes = painted(proximity_slices, *(replace(curve, loss=loss) for loss in LOSS_COLOURS))
    for colour in LOSS_COLOURS.values():
        assert len(lines(axes[0], colour)) == HEADS
        for line in lines(axes[0], colour):
            assert dict(zip(*line.get_data(), strict=True)) == {-2.0: 1.0, 0.0: 0.0, 2.0: -3.0}


def test_spectra_are_of_all_weights_and_of_queries_and_keys():
    levels = {None: 0.5, "query-key": 0.25}
    rows = [row("hessian_density", [level] * 2, "x", group=group) for group, level in levels.items()]
    axes = painted(spectra, *rows)
    for ax, level in zip(axes, levels.values(), strict=True):
        assert [list(line.get_ydata()) for line in ax.lines] == [[level] * 2]


def test_a_path_has_the_aligned_one_of_its_own_ends_beside_it():
    def path(name, level, arm, other_arm):
        ends = {"arm": arm, "other_arm": other_arm, "stage": "after-label", "other_stage": "after-label"}
        return row(name, [level] * 2, "x", **ends)

    ends = (("scratch", "spt"), ("spt", "joint"))
    rows = [path(name, level, *ends[level // 2]) for level, name in enumerate(("path", "path_aligned") * 2)]
    by_colour = {}
    for line in painted(paths, *rows)[0].lines:
        by_colour.setdefault(line.get_color(), []).append((line.get_linestyle(), line.get_ydata()[0]))
    assert list(by_colour.values()) == [[("-", 0.0), (":", 1.0)], [("-", 2.0), (":", 3.0)]]


def test_class_differences_are_drawn_over_their_lags():
    names = ("beta", "beta_symmetric", "beta_shuffled", "beta_chance")
    rows = [row(name, [level, 0.0], "lag", coordinates={"lag": [1, 2]}) for level, name in enumerate(names)]
    (ax,) = painted(class_difference, *rows)
    assert [next(zip(*line.get_data(), strict=True)) for line in ax.lines] == [(1, level) for level in range(4)]


def test_the_plane_has_its_first_direction_across():
    """Loss = 10 a + b: levels rise from left to right."""
    steps = np.linspace(-1, 1, 5)
    a, b = np.meshgrid(steps, steps, indexing="ij")
    along = {"x": steps, "y": steps}
    ax = painted(planes, row("random_plane", 10 * a + b, "x", "y", coordinates=along, stage="after-label"))[0]
    contours = next(c for c in ax.collections if hasattr(c, "levels"))
    first = [path.vertices[:, 0].mean() for path in contours.get_paths() if len(path.vertices)]
    assert first == sorted(first)


def test_a_transplant_is_measured_against_scratch_of_its_own_seed():
    cells = (alone("query-key"), alone("norms"), alone("embedding"))
    leads = dict(zip(cells, (0.4, 0.0, 0.2), strict=True))
    ends = {"scratch": [0.1, 0.3, None], "spt": [0.5, 0.7, 0.9]}  # a gain of .4 in both seeds that have one
    rows = [
        row("transplant_test_acc", (ends["scratch"][seed] or 0.0) + lead, seed=seed, cell=cell.name)
        for cell, lead in leads.items()
        for seed in range(3)
    ]
    answers = dict(zip(cells, ("recovers", "does not", "undecided"), strict=True))
    recoveries = [{"cell": to_dict(cell), "answer": answer} for cell, answer in answers.items()]
    (ax,) = painted(transplants, *rows, ends=ends, recoveries=recoveries)
    colours = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}  # green, orange, grey
    for cell, lead in leads.items():
        (points,) = [line for line in lines(ax, colours[answers[cell]]) if line.get_marker() == "o"]
        np.testing.assert_allclose(points.get_xdata(), [lead / 0.4] * 2)  # of the seeds in which all three ended well
    assert [text.get_text() for text in ax.get_yticklabels()] == [cell.words for cell in cells]
    nothing = Findings({}, tidy("transplants", []), {"ends": ends, "recoveries": recoveries})
    assert not transplants(nothing, Figure())  # their rows are damaged, or of another number of seeds


def test_the_plateau_is_a_line_for_each_seed_of_an_arm_along_label_training():
    rows = [
        row(name, [value + step / 100, value + step / 100 + 0.2], "layer", stage="along-label", step=step, seed=seed)
        for name, value in (("state_cosine", 0.5), ("pattern_mass_relative", 2.0))
        for seed in (0, 1)
        for step in (20, 10)
    ]
    rows.append(row("state_cosine", [9.0], "layer", stage="along-pretrain", step=5))
    for ax, value in zip(painted(plateau, *rows), (0.5, 2.0), strict=True):
        assert len(ax.lines) == 2
        for line in ax.lines:
            assert list(line.get_xdata()) == [10, 20]
            np.testing.assert_allclose(line.get_ydata(), [value + 0.2, value + 0.3])  # the mean over layers
