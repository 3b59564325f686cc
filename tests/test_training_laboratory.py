"""The laboratory: each training once, whoever asks; what is there is found; what is left is counted."""

import pytest

from conftest import tiny_config, tiny_training
from selfpretrain.engines.local import LocalEngine
from selfpretrain.events import Done, Planned
from selfpretrain.training.flops import step_flops
from selfpretrain.training.laboratory import Laboratory
from selfpretrain.training.perform import Workshop
from selfpretrain.training.store import Store


@pytest.fixture
def open_laboratory(tmp_path, tiny_task):
    def make(events, workers=1):
        shop = Workshop({tiny_task.fingerprint: tiny_task}, Store(tmp_path / "trainings"))
        settings = tiny_config().train
        return Laboratory(
            shop, settings=settings, device="cpu", workers=workers, engine=LocalEngine, watch=events.append
        )

    return make


def done(events):
    return [event.job for event in events if isinstance(event, Done)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.whole
def test_what_two_ask_for_is_done_once_and_before_what_rests_on_it(open_laboratory, tiny_task, workers):
    events = []
    spt = tiny_training(tiny_task, "spt")
    longer = tiny_training(tiny_task, "spt", label=tiny_config().label.__class__(duration="5", batch_size=16))
    assert longer.source == spt.source
    with open_laboratory(events, workers) as laboratory:
        laboratory.do({"a": spt, "b": longer})
        assert sorted(done(events)) == ["a label", "a pretrain", "b label"]
        assert done(events)[0] == "a pretrain"
        laboratory.do({"c": spt, "d": longer.source})
    assert len(done(events)) == 3
    assert laboratory.used == sorted({spt.key, longer.key, spt.source.key})


def test_what_is_there_is_counted_with_what_it_rests_on(open_laboratory, tiny_task):
    events = []
    spt, scratch = (tiny_training(tiny_task, arm) for arm in ("spt", "scratch"))
    with open_laboratory(events) as laboratory:
        assert laboratory.count([spt, scratch, spt]) == (0, 3)
        laboratory.do({"a": spt.source})
        assert laboratory.count([spt, scratch]) == (1, 3)
        assert laboratory.has(spt.source)
        assert not laboratory.has(spt)


def test_only_missing_work_is_planned_with_its_cost(open_laboratory, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    with open_laboratory([]) as laboratory:
        laboratory.do({"a": spt.source})
    events = []
    with open_laboratory(events) as laboratory:  # another day
        laboratory.do({"a": spt}, later=7.0)
    planned = [event for event in events if isinstance(event, Planned)]
    assert planned == [Planned({"a label": 9.0 * step_flops(spt, tiny_task)}, later=7.0)]


def test_work_that_follows_waits_for_its_training_and_is_left_out_when_done(open_laboratory, tiny_task):
    order = []

    class After:
        is_done = False

        def perform(self, shop, tell, stop):
            order.append(shop.store.finished(scratch).result.steps)
            self.is_done = True

    events, after, scratch = [], After(), tiny_training(tiny_task, "scratch")
    with open_laboratory(events) as laboratory:
        laboratory.do({"a": scratch}, then=[("a test", after, scratch)])
        laboratory.do({"a": scratch}, then=[("a test", after, scratch)])
    assert order == [9]
