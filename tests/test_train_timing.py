"""How long trainings take: what is timed, once for each sort, and the sums that are made of it."""

import time
from dataclasses import replace

import pytest

from conftest import tiny_config, tiny_training
from selfpretrain.train import timing
from selfpretrain.train.timing import FIXED_SECONDS, Timing, cost_sort, time_trainings
from selfpretrain.train.work import prepared
from selfpretrain.watch import ignore


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, "TIMED_SECONDS", 0.0)


def test_a_whole_training_is_steps_validations_and_the_last_look(tiny_task):
    times, spt = Timing(step=0.01, validation=0.1, sequence=0.001), tiny_training(tiny_task, "spt")
    # 9 steps and 3 validations; the selected checkpoint is evaluated on all 84 training sequences.
    assert times.seconds(spt, tiny_task) == pytest.approx(FIXED_SECONDS + 0.09 + 0.3 + 0.084)
    assert times.seconds(spt.source, tiny_task) == pytest.approx(FIXED_SECONDS + 0.12 + 0.3)


def test_trainings_whose_steps_cost_alike_are_one_sort(tiny_task):
    scratch = tiny_training(tiny_task, "scratch")
    alike = [tiny_training(tiny_task, arm) for arm in ("spt", "scratch-long", "mimetic", "bias")]
    assert {cost_sort(each) for each in (*alike, replace(scratch, seed=5))} == {cost_sort(scratch)}
    smaller = tiny_training(tiny_task, "scratch", label=replace(tiny_config().label, batch_size=8))
    others = [alike[0].source, tiny_training(tiny_task, "joint"), smaller, replace(scratch, precision="bfloat16")]
    assert len({cost_sort(each) for each in (scratch, *others)}) == 5


def test_nothing_to_time_takes_no_time(tiny_task):
    assert time_trainings(tiny_task, [], workers=2, watch=pytest.fail) == ({}, 0.0)


@pytest.mark.whole
@pytest.mark.parametrize("workers", [1, 2])
def test_every_sort_is_timed_and_nothing_is_kept(workers, tiny_task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainings = [tiny_training(tiny_task, arm) for arm in ("scratch", "spt")]
    every = [part for training in trainings for part in training.chain]
    begun = time.monotonic()
    timings, starting = time_trainings(tiny_task, every, workers=workers, watch=ignore)
    assert timings.keys() == {cost_sort(training) for training in every} and len(timings) == 2
    assert all(min(found.step, found.validation, found.sequence) > 0 for found in timings.values())
    assert 0 <= starting < time.monotonic() - begun
    assert not any(tmp_path.iterdir())


def test_a_validation_is_timed_on_some_rows_and_counted_for_all(tiny_task, monkeypatch):
    """Every sequence takes 0.01 s, on a clock that the model turns."""
    clock = [0.0]
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(timing, "TIMED_ROWS", 4)

    def slowly(training, task, recompute):
        made = prepared(training, task, recompute=recompute)

        def forward(x, *rest, **how):
            clock[0] += 0.01 * len(x)
            return made[3](x, *rest, **how)

        return *made[:3], forward

    monkeypatch.setattr(timing, "prepared", slowly)
    spt = tiny_training(tiny_task, "spt")
    sample = min(len(tiny_task.train), 512)
    for training, rows in ((spt, len(tiny_task.val) + sample), (spt.source, len(tiny_task.val))):
        _, step, validation, sequence = timing.TimingJob("", training, recompute=False).perform(tiny_task, ignore, bool)
        assert step == pytest.approx(0.01 * training.plan.batch_size)
        assert validation == pytest.approx(0.01 * rows) and sequence == pytest.approx(0.01)
