"""Every picture shows the numbers it says: the right arm, seed, layer, lag and colour."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from selfpretrain.report import why as pictures
from selfpretrain.report.why import LOSS_COLOURS, Why

HEADS, LAGS = 2, 5


def row(name, values, arm="scratch", stage="init", seed=0, n=1000, **fields):
    return {"name": name, "values": np.asarray(values).tolist(), "arm": arm, "stage": stage, "seed": seed, "n": n} | {
        key: value for key, value in fields.items() if value is not None
    }


def painted(paint, **parts):
    figure = Figure()
    assert paint(Why({"parts": parts, "conclusion": {}}), figure)
    return figure.axes


def lines(ax, colour):
    return [line for line in ax.lines if to_hex(line.get_color()).upper() == colour.upper()]


def test_the_start_is_not_the_one_of_mimetic():
    rows = [row("position_profile", np.zeros((1, HEADS, 5)), arm=arm) for arm in ("mimetic", "scratch")]
    assert Why({"parts": {"attention": rows}}).start == {"stage": "init", "arm": "scratch"}


def test_lag_zero_is_in_the_middle_of_a_profile():
    profile = np.zeros((1, HEADS, 2 * LAGS + 1))
    profile[..., LAGS] = 3.0
    profile[..., LAGS + 2] = 1.0
    (ax,) = painted(pictures.lag_profiles, attention=[row("position_profile", profile)])
    for line in ax.lines:
        at = dict(zip(*line.get_data(), strict=True))
        assert (at[0], at[2], at[-2]) == (3.0, 1.0, 0.0)


def test_maps_are_of_the_last_layer_and_the_first_seed():
    def maps(seed, level):
        return row("attention_map", np.stack([np.full((HEADS, 4, 4), level + layer) for layer in range(3)]), seed=seed)

    axes = painted(pictures.attention_maps, attention=[maps(1, 10.0), maps(0, 0.5)])
    shown = [ax.images[0].get_array() for ax in axes if ax.images and ax.get_xlabel() != "times uniform attention"]
    assert all((image == 2.5).all() for image in shown[:HEADS])


def test_signal_by_lag_begins_at_lag_one():
    def snr(part, loss, first):
        values = np.zeros((1, HEADS, LAGS))
        values[..., 0] = first
        return row(f"{part}_snr_by_lag", values, loss=loss)

    levels = {("proximity", "label"): 0.1, ("proximity", "reconstruction"): 0.2}
    levels |= {("direction", "label"): 0.3, ("direction", "reconstruction"): 0.4}
    axes = painted(pictures.signal_by_lag, gradients=[snr(*key, level) for key, level in levels.items()])
    for ax, part in zip(axes, ("proximity", "direction"), strict=True):
        for loss, colour in LOSS_COLOURS.items():
            for line in lines(ax, colour):
                at = dict(zip(*line.get_data(), strict=True))
                assert at[1] == pytest.approx(levels[part, loss])
                assert min(at) == 1


def test_a_causal_model_has_one_side_only():
    rows = [row(f"{part}_snr_by_lag", np.ones((1, HEADS, LAGS)), loss="label") for part in ("proximity", "direction")]
    (ax,) = painted(pictures.signal_by_lag, gradients=rows)
    assert "back" in ax.get_title()


def test_signal_along_training_is_of_the_arm_in_the_title():
    levels = {("spt", "pretrain"): 0.1, ("spt", "label"): 0.2, ("scratch", "label"): 0.3}
    rows = [
        row("proximity_snr", level, arm=arm, stage=stage, step=step, loss=loss)
        for (arm, stage), level in levels.items()
        for loss in LOSS_COLOURS
        for step in (5, 10)
    ]
    axes = painted(pictures.signal_along, gradients=rows)
    for ax, level in zip(axes, levels.values(), strict=True):
        for line in lines(ax, LOSS_COLOURS["label"]):
            assert set(line.get_ydata()) == {level}
    assert [ax.get_title() for ax in axes] == [
        "spt, self-pretraining",
        "spt, label training",
        "scratch, label training",
    ]


def test_a_slice_is_the_change_from_no_bias():
    strengths = [-2.0, 0.0, 2.0]
    rows = [row("proximity_strengths", strengths)]
    rows += [row("proximity_slice", [[[5.0, 4.0, 1.0]] * HEADS], loss=loss) for loss in LOSS_COLOURS]
    axes = painted(pictures.proximity_slices, landscape=rows)
    for colour in LOSS_COLOURS.values():
        for line in lines(axes[0], colour):
            assert dict(zip(*line.get_data(), strict=True)) == {-2.0: 1.0, 0.0: 0.0, 2.0: -3.0}


def test_the_plane_has_its_first_direction_across():
    """Loss = 10 a + b: levels rise from left to right."""
    a, b = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), indexing="ij")
    ax = painted(pictures.planes, landscape=[row("random_plane", 10 * a + b, stage="trained")])[0]
    contours = next(c for c in ax.collections if hasattr(c, "levels"))
    first = [path.vertices[:, 0].mean() for path in contours.get_paths() if len(path.vertices)]
    assert first == sorted(first)


def test_a_transplant_is_measured_against_scratch_of_its_own_seed():
    names = ("spt.query-key.free", "spt.norms.free", "spt.embedding.free")
    leads = dict(zip(names, (0.4, 0.0, 0.2), strict=True))
    ends = {"scratch": [0.1, 0.3], "spt": [0.5, 0.7]}  # a gain of .4 in both seeds
    rows = [
        row("transplant_test_acc", ends["scratch"][seed] + lead, seed=seed, group=name)
        for name, lead in leads.items()
        for seed in (0, 1)
    ]
    answers = dict(zip(names, ("recovers", "does not", "undecided"), strict=True))
    recoveries = [{"cell": name, "answer": answer} for name, answer in answers.items()]
    figure = Figure()
    content = {"parts": {"transplants": rows}, "conclusion": {"ends": ends, "recoveries": recoveries}}
    assert pictures.transplants(Why(content), figure)
    colours = {"recovers": "#009E73", "does not": "#D55E00", "undecided": "#777777"}  # green, orange, grey
    for name, lead in leads.items():
        (points,) = [line for line in lines(figure.axes[0], colours[answers[name]]) if line.get_marker() == "o"]
        np.testing.assert_allclose(points.get_xdata(), lead / 0.4)
