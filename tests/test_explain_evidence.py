"""What a conclusion rests on is taken from the right arm, stage, loss and seed."""

import math

from selfpretrain.diagnosis.evidence import Shape, Signals, gather


def row(name, values, seed, arm="scratch", stage="init", **fields):
    return {"name": name, "values": values, "seed": seed, "arm": arm, "stage": stage, **fields}


def test_the_start_is_the_one_that_scratch_and_spt_share():
    gradients = [
        row(name, value + more, seed, arm=arm, loss=loss, n=100)
        for seed in range(3)
        for arm, shift in (("scratch", 0.0), ("mimetic", 5.0))
        for loss, value in (("label", shift + 0.1), ("reconstruction", shift + 0.2))
        for name, more in (("proximity_snr", 0.0), ("direction_snr", 1.0))
    ]
    summary = {"comparisons": [], "arms": {"scratch": {"test_acc": [0.5] * 3}}}
    found = gather(summary, {"gradients": gradients}, absolute_positions=True)
    assert found.signals == [Signals(0.1, 0.2, 1.1, 1.2, 100)] * 3
    assert found.outcome == "not compared"


def test_the_shape_is_of_the_head_that_looks_nearest():
    names = ("position_near_mass_relative", "position_toeplitz_r2", "position_slope")
    models = {
        ("scratch", "init"): ([[1.1, 1.0]], [[0.1, 0.3]], [[0.001, -0.001]]),
        ("mimetic", "init"): ([[9.0, 9.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
        ("spt", "pretrained"): ([[1.0, 5.0]], [[0.9, 0.6]], [[0.2, -0.1]]),
        ("spt", "trained"): ([[8.0, 8.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
    }
    rows = [
        row(name, value, 0, *model)
        for model, values in models.items()
        for name, value in zip(names, values, strict=True)
    ]
    found = gather({"comparisons": [], "arms": {}}, {"attention": rows}, absolute_positions=True)
    assert found.shapes == [(Shape(1.1, 0.1, 0.001), Shape(5.0, 0.6, -0.1))]


def contrast(arm, against, outcome, n_seeds=3):
    return {"arm": arm, "against": against, "outcome": outcome, "n_seeds": n_seeds}


SUMMARY = {
    "comparisons": [contrast("spt", "scratch-long", "hurts", 5), contrast("spt", "scratch", "helps", 2)],
    "arms": {
        "spt": {"test_acc": [0.7, 0.8, 0.9]},
        "scratch-long": {"test_acc": [0.4, 0.4, 0.4]},
        "scratch": {"test_acc": [0.1, None, 0.3]},
    },
}


def test_the_gain_is_that_of_spt_over_scratch():
    found = gather(SUMMARY, {}, absolute_positions=True)
    assert (found.outcome, found.n_seeds) == ("helps", 2)


def test_cells_and_ends_are_matched_by_seed():
    """Seed 1 failed in scratch, so the transplants are of 0 and 2; they come in any order, and one run failed."""
    rows = [
        row("transplant_test_acc", value, seed, group=cell)
        for cell, by_seed in {"a": {2: 0.32, 0: 0.12}, "b": {0: 0.15, 2: None}}.items()
        for seed, value in by_seed.items()
    ]
    found = gather(SUMMARY, {"transplants": rows}, absolute_positions=True)
    assert (found.scratch, found.spt) == ([0.1, 0.3], [0.7, 0.9])
    assert found.cells["a"] == [0.12, 0.32]
    assert found.cells["b"][0] == 0.15
    assert math.isnan(found.cells["b"][1])


def test_pairs_are_those_in_order_first():
    rows = [row("pair_classifier_shuffled", 0.5, None, n=60), row("pair_classifier", 0.9, None, n=60)]
    assert gather(SUMMARY, {"data": rows}, absolute_positions=True).pairs == (0.9, 0.5, 60)
    assert gather(SUMMARY, {"data": rows[:1]}, absolute_positions=True).pairs is None
    undefined = [row("pair_classifier", None, None, n=60) for _ in rows]  # of one class there is nothing to tell apart
    assert gather(SUMMARY, {"data": undefined}, absolute_positions=True).pairs is None
