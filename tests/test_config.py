"""Settings: round trips, strict keys, presets, durations."""

from dataclasses import replace

import pytest

from conftest import tiny_run
from selfpretrain.config import (
    CompareConfig,
    ModelConfig,
    ObjectiveConfig,
    PhaseConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
    fingerprint,
    from_dict,
    to_dict,
)
from selfpretrain.errors import RequestError


def test_a_run_goes_round():
    assert from_dict(RunConfig, to_dict(tiny_run())) == tiny_run()


def test_an_unknown_key_is_refused_with_the_valid_ones():
    with pytest.raises(RequestError, match=r"unknown setting 'dept' of ModelConfig; valid: depth, width"):
        from_dict(ModelConfig, {"dept": 3})


def test_the_fingerprint_sees_every_setting():
    base = CompareConfig()
    others = [
        replace(base, seeds=4),
        replace(base, model=ModelConfig(depth=2)),
        replace(base, label=PhaseConfig(duration="401")),
        replace(base, train=TrainConfig(lr=(1e-3,))),
        replace(base, task=TaskConfig(data_seed=1)),
    ]
    assert len({fingerprint(config) for config in [base, *others]}) == 6
    assert fingerprint(base, "a") != fingerprint(base, "b")


@pytest.mark.parametrize(
    ("duration", "steps"), [("800", 800), ("800steps", 800), ("1 step", 1), ("2epochs", 20), ("0.5epochs", 5)]
)
def test_durations_by_hand(duration, steps):
    assert PhaseConfig(duration=duration, batch_size=10).steps("duration", n_rows=100) == steps


def test_a_percentage_is_of_the_phase_and_an_epoch_of_the_rows():
    phase = PhaseConfig(duration="300", batch_size=50, warmup="10%", evaluate_every="1epochs")
    assert phase.steps("warmup", n_rows=1000) == 30
    assert phase.steps("evaluate_every", n_rows=1000) == 20
    assert phase.steps("evaluate_every", n_rows=20) == 1  # the batch is clipped to the rows
    assert replace(phase, warmup="0").steps("warmup", n_rows=1000) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PhaseConfig(duration="10%"), "is no duration"),
        (lambda: PhaseConfig(duration="-3"), "is no duration"),
        (lambda: ModelConfig(heads=3), "does not divide"),
        (lambda: ModelConfig(width=15, heads=5), "even width"),
        (lambda: ModelConfig(width=6, heads=2, positions="rotary"), "even width per head"),
        (lambda: ModelConfig(dropout=1.5), "out of range"),
        (lambda: ObjectiveConfig(mask_ratio=0.0), "out of range"),
        (lambda: TrainConfig(lr=()), "one or more rates"),
        (lambda: TrainConfig(lr=(1e-3, 1e-3)), "twice"),
        (lambda: TrainConfig(threads=0), "too small"),
        (lambda: CompareConfig(arms=("nope",)), "the arms are scratch, spt"),
        (lambda: CompareConfig(arms=("spt", "spt")), "twice"),
        (lambda: CompareConfig(seeds=0), "too small"),
        (
            lambda: CompareConfig(objective=ObjectiveConfig(objective="causal"), model=ModelConfig(pooling="cls")),
            "cls",
        ),
        (lambda: CompareConfig(objective=ObjectiveConfig(objective="causal"), arms=("joint",)), "joint"),
        (lambda: TaskConfig(data="digits", symbols=3).builtin_options(), "does not apply to the task 'digits'"),
        (lambda: TaskConfig(data="noise", label="y").builtin_options(), "does not apply"),
        (lambda: TaskConfig(data="x.csv", symbols=3).file_options(), "built-in tasks only"),
    ],
)
def test_each_check_fires(make, message):
    with pytest.raises(RequestError, match=message):
        make()
