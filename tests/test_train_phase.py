"""From durations to steps, rates over steps, snapshots."""

from dataclasses import replace

import pytest

from selfpretrain.config import PhaseConfig
from selfpretrain.train.phase import PhasePlan

PHASE = PhaseConfig(duration="300", batch_size=50, warmup="10%", evaluate_every="1epochs")


def plan_of(config=PHASE, n_rows=1000, **settings):
    return PhasePlan.of("label", config, n_rows=n_rows, lr=2.0, **settings)


def test_a_percentage_is_of_the_phase_and_an_epoch_of_the_rows():
    assert (plan_of().warmup_steps, plan_of().evaluate_every) == (30, 20)
    assert plan_of(n_rows=20).evaluate_every == 1  # the batch is clipped to the rows
    assert plan_of(n_rows=20).batch_size == 20
    assert plan_of(replace(PHASE, warmup="0")).warmup_steps == 0
    plan = plan_of(replace(PHASE, duration="2epochs", evaluate_every="30%"))
    assert [step for step in range(1, 41) if plan.validates_after(step)] == [12, 24, 36, 40]


def test_a_longer_arm_begins_as_the_shorter_one_and_is_looked_at_as_often():
    config = PhaseConfig(duration="40", evaluate_every="10%", warmup="10%")
    plans = [plan_of(config, extra_steps=extra) for extra in (0, 80)]
    assert [plan.steps for plan in plans] == [40, 120]
    assert [plan.evaluate_every for plan in plans] == [4, 4]
    assert [plan.warmup_steps for plan in plans] == [4, 4]


def test_the_rate_follows_its_schedule():
    plan = PhasePlan(phase="label", steps=20, batch_size=1, lr=2.0, warmup_steps=4, evaluate_every=1)
    assert [plan.learning_rate(s) for s in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    cosine = replace(plan, schedule="cosine")
    assert cosine.learning_rate(4) == 2.0
    assert cosine.learning_rate(12) == pytest.approx(1.0)
    assert 0 < cosine.learning_rate(19) < 0.03


@pytest.mark.parametrize(("steps", "snapshots"), [(9, 8), (12, 3), (5, 5), (100, 7), (3, 0), (2, 8)])
def test_snapshots_are_as_many_as_asked_for_or_fit_and_the_last_is_of_the_end(steps, snapshots):
    plan = PhasePlan(phase="label", steps=steps, batch_size=1, lr=1.0, evaluate_every=1)
    kept = [step for step in range(1, steps + 1) if plan.keeps_after(step, snapshots)]
    assert len(kept) == min(steps, snapshots)
    assert not kept or kept[-1] == steps
