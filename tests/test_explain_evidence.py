"""What a conclusion rests on is taken from the right arm, stage, loss and seed."""

import math
from dataclasses import replace

from selfpretrain.explain.evidence import Shape, Signals, gather
from selfpretrain.explain.transplants.cells import alone
from selfpretrain.results import ArmSummary, ContrastSummary, Summary, TaskSummary
from selfpretrain.serial import to_dict


def row(name, values, seed, arm="scratch", stage="start", **fields):
    return {"name": name, "values": values, "seed": seed, "arm": arm, "stage": stage, **fields}


def contrast(arm, against, outcome, n_seeds=3):
    return ContrastSummary(
        arm=arm,
        against=against,
        matched="label compute",
        effect=0.0,
        ci95=(None, None),
        p=None,
        p_adjusted=None,
        primary=True,
        n_seeds=n_seeds,
        n_test=9,
        seeds_ahead=0,
        seeds_needed=None,
        train_effect=0.0,
        train_ci95=(None, None),
        compute_ratio=1.0,
        outcome=outcome,
        cause="none",
    )


def entry(*test_acc):
    nothing = (None,) * len(test_acc)
    return ArmSummary(
        train_acc=nothing,
        val_acc=nothing,
        test_acc=test_acc,
        test_ci95=(None, None),
        train_sample_acc=nothing,
        best_train_acc=nothing,
        val_reconstruction=nothing,
        val_without_context=nothing,
        val_lowest=nothing,
        choice=None,
        steps_to_fit=nothing,
        peak_memory_bytes=nothing,
        lr=0.01,
        lr_tried={},
        steps_pretrain=0,
        steps_label=0,
        flops_pretrain=0,
        flops_label=0,
        seconds=nothing,
        failures={},
    )


TASK = TaskSummary(
    name="made",
    kind="symbols",
    n_train=84,
    n_val=18,
    n_test=18,
    n_unlabelled=0,
    length=8,
    classes=2,
    majority=0.5,
    fingerprint="0" * 16,
)
EMPTY = Summary(
    task=TASK, arms={}, comparisons=(), tested=True, warnings=(), observations=(), looks={}, level=0.05, verdict=""
)
SUMMARY = replace(
    EMPTY,
    arms={
        "spt": entry(0.7, 0.8, 0.9),
        "scratch-long": entry(0.4, 0.4, 0.4),
        "scratch": entry(0.1, None, 0.3),
    },
    comparisons=(contrast("spt", "scratch-long", "loses", 5), contrast("spt", "scratch", "helps", 2)),
)


def test_the_start_is_the_one_that_scratch_and_spt_share():
    gradients = [
        row(name, value + more, seed, arm=arm, loss=loss, n=100)
        for seed in range(3)
        for arm, shift in (("scratch", 0.0), ("mimetic", 5.0))
        for loss, value in (("label", shift + 0.1), ("reconstruction", shift + 0.2))
        for name, more in (("proximity_snr", 0.0), ("direction_snr", 1.0))
    ]
    found = gather(EMPTY, {"gradients": gradients}, absolute_positions=True)
    assert found.signals == [Signals(0.1, 0.2, 1.1, 1.2, 100)] * 3
    assert found.outcome == "not compared"


def test_the_shape_is_of_the_head_that_looks_nearest():
    names = ("position_window_mass_relative", "position_toeplitz_r2", "position_slope")
    models = {
        ("scratch", "start"): ([[1.1, 1.0]], [[0.1, 0.3]], [[0.001, -0.001]]),
        ("mimetic", "start"): ([[9.0, 9.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
        ("spt", "after-pretrain"): ([[1.0, 5.0]], [[0.9, 0.6]], [[0.2, -0.1]]),
        ("spt", "after-label"): ([[8.0, 8.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
        ("joint", "after-pretrain"): ([[7.0, 7.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
    }
    rows = [
        row(name, value, 0, *model)
        for model, values in models.items()
        for name, value in zip(names, values, strict=True)
    ]
    found = gather(EMPTY, {"attention": rows}, absolute_positions=True)
    assert found.shapes == [(Shape(1.1, 0.1, 0.001), Shape(5.0, 0.6, -0.1))]


def test_the_gain_is_that_of_spt_over_scratch():
    found = gather(SUMMARY, {}, absolute_positions=True)
    assert (found.outcome, found.n_seeds) == ("helps", 2)


def test_cells_and_ends_are_matched_by_seed():
    """Seed 1 failed in scratch, so the transplants are of 0 and 2; they come in any order, and one run failed."""
    frozen = alone("norms", frozen=True)
    rows = [
        row("transplant_test_acc", value, seed, of=to_dict(cell))
        for cell, by_seed in {frozen: {2: 0.32, 0: 0.12}, alone("norms"): {0: 0.15, 2: None}}.items()
        for seed, value in by_seed.items()
    ]
    found = gather(SUMMARY, {"transplants": rows}, absolute_positions=True)
    assert (found.scratch, found.spt) == ([0.1, 0.3], [0.7, 0.9])
    assert list(found.cells) == [frozen, alone("norms")]
    assert found.cells[frozen] == [0.12, 0.32]
    assert found.cells[alone("norms")][0] == 0.15
    assert math.isnan(found.cells[alone("norms")][1])


def test_pairs_are_those_in_order_first():
    rows = [row("pair_classifier_shuffled", 0.5, None, n=60), row("pair_classifier", 0.9, None, n=60)]
    assert gather(SUMMARY, {"data": rows}, absolute_positions=True).pairs == (0.9, 0.5, 60)
    assert gather(SUMMARY, {"data": rows[:1]}, absolute_positions=True).pairs is None
    undefined = [row("pair_classifier", None, None, n=60) for _ in rows]  # of one class there is nothing to tell apart
    assert gather(SUMMARY, {"data": undefined}, absolute_positions=True).pairs is None
