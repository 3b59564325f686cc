"""One training done: pairing by seed, what moves into a start, what is frozen, failures, interruptions, versions."""

import os
import signal
from dataclasses import replace
from importlib import metadata

import pytest
import torch
from threadpoolctl import threadpool_info

import selfpretrain
from conftest import do, ragged_task, tiny_config, tiny_training
from selfpretrain.comparison.request import Request
from selfpretrain.config import PhaseConfig
from selfpretrain.data import feed
from selfpretrain.data.task import Split
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import Interrupted
from selfpretrain.model.groups import ENCODER, group_of
from selfpretrain.model.transformer import fresh_model
from selfpretrain.registry import ARMS
from selfpretrain.train import work
from selfpretrain.train.store import Store
from selfpretrain.train.training import Start, TrainingResult
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Done, Progress, ignore

TRAINED = [name for name, arm in ARMS.items() if arm.recipe is not None and arm.obstacle is None]
ATTENTION = ("query-key", "value-output")
OWN_STARTS = {"mimetic-qk": ("query-key",), "mimetic": ATTENTION, "impulse": ATTENTION}
QUERY = "blocks.0.attention.query.weight"


def model_of(training, task):
    return fresh_model(training.model, task.inputs, training.seed)


def numbers(finished):
    """A result without what depends on the clock and the machine's memory."""
    return replace(finished.result, seconds=0.0, step_seconds=0.0, peak_memory_bytes=None)


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("arm", TRAINED)
def test_every_arm_trains_on_ragged_data(arm, kind, tmp_path):
    task = ragged_task(kind)
    finished = do(tiny_training(task, arm), task, tmp_path)
    assert finished.result.failure is None
    assert 0 <= finished.result.train.acc <= 1
    assert finished.result.best_train_sample_acc == max(row["train_sample_acc"] for row in finished.rows)


def test_trainings_of_one_seed_start_from_the_same_weights(tiny_task):
    models = {arm: model_of(tiny_training(tiny_task, arm), tiny_task).state_dict() for arm in TRAINED}
    for name, weight in models["scratch"].items():
        for arm, state in models.items():
            if group_of(name) not in OWN_STARTS.get(arm, ()):
                assert torch.equal(state[name], weight), (arm, name)
    other = model_of(tiny_training(tiny_task, "scratch", seed=1), tiny_task).state_dict()
    assert not torch.equal(other["label_head.weight"], models["scratch"]["label_head.weight"])


def test_all_arms_train_on_the_same_label_batches(tmp_path, tiny_task, monkeypatch):
    seen, real = [], feed.Feed.batch

    def watch(self, step):
        batch = real(self, step)
        if self.stream == "label-batches":
            seen.append(batch.draws.rows.tolist())
        return batch

    monkeypatch.setattr(feed.Feed, "batch", watch)
    of = {}
    for arm in TRAINED:
        seen.clear()
        do(tiny_training(tiny_task, arm), tiny_task, tmp_path)
        of[arm] = seen[:9]
    assert len({tuple(batch) for batch in of["scratch"]}) == 9
    assert all(batches == of["scratch"] for batches in of.values())


def test_no_training_touches_the_test_split(tmp_path, tiny_task, monkeypatch):
    class Untouchable(Split):
        def __init__(self):
            pass

        def __getattribute__(self, name):
            raise AssertionError("the test split was touched")

    training = tiny_training(tiny_task)
    blind = replace(tiny_task, test=Untouchable())
    monkeypatch.setattr(type(blind), "fingerprint", training.task)
    assert do(training, blind, tmp_path).result.failure is None


def test_everything_but_the_heads_goes_on_and_each_phase_leaves_the_other_head_alone(tmp_path, tiny_task):
    training = tiny_training(tiny_task)
    finished = do(training, tiny_task, tmp_path)
    pretrained, final = Store(tmp_path).finished(training.source).weights, finished.weights
    start = model_of(training, tiny_task).state_dict()
    heads = {name for name in start if "head" in name}
    assert set(finished.start["loaded"]) == set(start) - heads
    assert set(finished.start["reset"]) == set(finished.start["left_out"]) == heads
    assert torch.equal(pretrained["label_head.weight"], start["label_head.weight"])
    assert not torch.equal(pretrained["reconstruction_head.weight"], start["reconstruction_head.weight"])
    assert torch.equal(final["reconstruction_head.weight"], start["reconstruction_head.weight"])


def test_a_start_of_everything_is_spt_and_of_nothing_is_scratch(tmp_path, tiny_task):
    spt, scratch = tiny_training(tiny_task, "spt"), tiny_training(tiny_task, "scratch")
    for groups, same_as in ((ENCODER, spt), ((), scratch)):
        cell = replace(scratch, start=Start(source=spt.source, groups=groups))
        assert numbers(do(cell, tiny_task, tmp_path)) == numbers(do(same_as, tiny_task, tmp_path))
    assert replace(scratch, start=Start(source=spt.source)) == spt  # the same training, done once


def test_what_is_taken_and_frozen_ends_as_it_came(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    groups = ("query-key", "norms")
    cell = replace(spt, start=Start(source=spt.source, groups=groups), frozen=groups)
    final = do(cell, tiny_task, tmp_path).weights
    pretrained = Store(tmp_path).finished(spt.source).weights
    for name, weight in final.items():
        if "reconstruction" not in name:
            assert torch.equal(weight, pretrained[name]) == (group_of(name) in groups), name


def test_noise_is_of_the_sources_norms_another_for_every_seed_and_the_same_whenever_it_is_drawn(tmp_path, tiny_task):
    """The source's weights are read from a file, which has no order of its own."""
    noise = []
    for folder, seed in (("a", 0), ("again", 0), ("a", 1)):
        spt = tiny_training(tiny_task, "spt", seed=seed)
        start = Start(source=spt.source, noise=True)
        final = do(replace(spt, start=start, frozen=("query-key",)), tiny_task, tmp_path / folder).weights
        source = Store(tmp_path / folder).finished(spt.source).weights[QUERY]
        torch.testing.assert_close(final[QUERY].norm(), source.norm())
        assert not torch.allclose(final[QUERY], source, atol=1e-2)
        noise.append(final)
    first, again, other = noise
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not torch.allclose(*(each[QUERY] / each[QUERY].norm() for each in (first, other)), atol=1e-2)


def test_a_training_that_goes_on_keeps_its_start_and_what_is_frozen(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    cell = replace(spt, start=Start(source=spt.source, groups=("query-key",)), frozen=("query-key",))
    whole = do(cell, tiny_task, tmp_path / "whole")
    do(spt.source, tiny_task, tmp_path / "stopped")
    asked = iter([False] * 5 + [True] * 10)
    store = Store(tmp_path / "stopped", {tiny_task.fingerprint: tiny_task})
    with pytest.raises(Interrupted):
        TrainJob(name="cell", training=cell).perform(store, ignore, lambda: next(asked))
    again = do(cell, tiny_task, tmp_path / "stopped")
    assert numbers(again) == numbers(whole)
    assert all(torch.equal(weight, whole.weights[name]) for name, weight in again.weights.items())
    assert torch.equal(again.weights[QUERY], Store(tmp_path / "stopped").finished(spt.source).weights[QUERY])


def test_a_training_that_stops_being_finite_is_finished_with_its_reason(tmp_path, tiny_task, monkeypatch):
    def with_an_infinite_embedding(*arguments):
        model = fresh_model(*arguments)
        with torch.no_grad():
            model.embedding.weight.fill_(float("inf"))
        return model

    monkeypatch.setattr(work, "fresh_model", with_an_infinite_embedding)
    training = tiny_training(tiny_task, "spt")
    result = do(training, tiny_task, tmp_path).result
    source = Store(tmp_path).finished(training.source).result
    assert "loss stopped being finite at step 1 of pretrain training" in source.failure
    assert result.failure == f"the training that it starts from failed: {source.failure}"
    assert result == TrainingResult(failure=result.failure, versions=source.versions)


def test_what_is_done_is_not_done_again(tmp_path, tiny_task, monkeypatch):
    training = tiny_training(tiny_task)
    first = do(training, tiny_task, tmp_path)
    monkeypatch.setattr(TrainJob, "_train", pytest.fail)
    assert do(training, tiny_task, tmp_path).result == first.result


def test_a_training_keeps_to_its_threads_and_gives_them_back(tmp_path, tiny_task, monkeypatch):
    torch.set_num_threads(2)
    seen, real = [], TrainJob._train

    def look(*arguments):
        seen.append((torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}))
        return real(*arguments)

    monkeypatch.setattr(TrainJob, "_train", look)
    do(tiny_training(tiny_task, "scratch"), tiny_task, tmp_path)
    assert seen == [(1, {1})]
    assert torch.get_num_threads() == 2


def test_snapshots_are_kept_where_they_are_asked_for(tmp_path, tiny_task):
    training = tiny_training(tiny_task)
    finished = do(training, tiny_task, tmp_path, snapshots=3)
    assert finished.snapshots == [3, 6, 9]
    assert Store(tmp_path).finished(training.source).snapshots == [4, 8, 12]
    assert do(tiny_training(tiny_task, "scratch"), tiny_task, tmp_path).snapshots == []


# Who made it, and who stopped it.


def test_a_training_names_the_versions_that_made_it_and_keeps_them(tmp_path, tiny_task, monkeypatch):
    spt = tiny_training(tiny_task, "spt")
    with monkeypatch.context() as other:
        other.setattr(selfpretrain, "__version__", "9.9")
        earlier = do(spt.source, tiny_task, tmp_path).result.versions
    assert earlier == {"selfpretrain": "9.9", "torch": metadata.version("torch")}
    assert do(spt, tiny_task, tmp_path).result.versions == {**earlier, "selfpretrain": selfpretrain.__version__}
    assert do(spt.source, tiny_task, tmp_path).result.versions == earlier


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def interrupting(request):
    """A signal that interrupts, as both do on the command line."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    assert signal.getsignal(request.param) is signal.default_int_handler  # given back
    signal.signal(request.param, before)


def test_a_signal_to_the_only_process_saves_the_training_which_goes_on_bit_for_bit(tmp_path, tiny_task, interrupting):
    """One worker is this process: nobody else could save what it did."""
    training = tiny_training(tiny_task, "scratch", model=replace(tiny_config().model, dropout=0.2))
    whole = do(training, tiny_task, tmp_path / "whole")
    store = Store(tmp_path / "stopped", {tiny_task.fingerprint: tiny_task})
    job = TrainJob(name="it", training=training, checkpoint_seconds=1e9)

    def interrupt(event):
        if isinstance(event, Progress):
            os.kill(os.getpid(), interrupting)

    with pytest.raises(KeyboardInterrupt), LocalEngine(store, workers=1, watch=interrupt) as engine:
        engine.do([job])
    assert [path.name[:9] for path in (store.path(training) / "checkpoint").iterdir()] == ["000000001"]
    events = []
    with LocalEngine(store, workers=1, watch=events.append) as engine:
        engine.do([job])
    assert isinstance(events[0], Progress) and events[0].step == 2 and isinstance(events[-1], Done)
    again = store.finished(training)
    assert numbers(again) == numbers(whole)
    assert all(torch.equal(weight, whole.weights[name]) for name, weight in again.weights.items())


def long_and_short(task, **label):
    """Two label trainings, of which one is the beginning of the other."""
    settings = {"duration": "9steps", "batch_size": 16, "evaluate_every": "3steps", **label}
    request = Request(tiny_config(label=PhaseConfig(**settings)), task)
    return request.labels(0, 1e-2), request.labels(0, 1e-2, extra_steps=8)


def step_by_step(folder, task, short, long, snapshots=3):
    """The longer training, going on from the shorter one; and the steps that were made for it."""
    store, steps = Store(folder, {task.fingerprint: task}), []
    jobs = (
        TrainJob(name="short", training=short, longer=long, snapshots=snapshots),
        TrainJob(name="long", training=long, shorter=short, snapshots=snapshots),
    )
    for job in jobs:
        steps.clear()
        job.perform(store, lambda event: steps.append(event), lambda: False)
    seen = [event.step for event in steps if isinstance(event, Progress)]
    return store.finished(long), min(seen, default=0)


@pytest.mark.parametrize(
    ("label", "first"),
    [
        ({}, 10),
        ({"evaluate_every": "4steps"}, 10),  # the shorter one validates at its end, and the longer one does not
        ({"warmup": "100%", "optimizer": "muon"}, 10),
        ({"evaluate_every": "1steps", "patience": 2}, 0),  # both stop early, at the same step
    ],
)
def test_a_longer_training_goes_on_from_the_shorter_one_and_has_the_same_numbers(label, first, tmp_path, tiny_task):
    short, long = long_and_short(tiny_task, **label)
    assert short.beginning == long.beginning and short.key != long.key
    alone = do(long, tiny_task, tmp_path / "alone", snapshots=3)
    after, began = step_by_step(tmp_path / "after", tiny_task, short, long)
    assert began == first
    assert numbers(after) == numbers(alone)
    strip = ("wall_seconds",)
    rows = [[{k: v for k, v in row.items() if k not in strip} for row in own.rows] for own in (alone, after)]
    assert rows[0] == rows[1]
    assert after.snapshots == alone.snapshots
    for step in alone.snapshots:
        for name, tensor in alone.snapshot(step).items():
            assert torch.equal(tensor, after.snapshot(step)[name])
    assert all(torch.equal(tensor, after.weights[name]) for name, tensor in alone.weights.items())
    assert numbers(Store(tmp_path / "after").finished(short)) == numbers(do(short, tiny_task, tmp_path / "alone"))
    assert not list((tmp_path / "after").glob("*/checkpoint"))


def test_where_the_schedule_knows_the_end_no_training_is_the_beginning_of_another(tiny_task):
    short, long = long_and_short(tiny_task, schedule="cosine")
    assert short.beginning != long.beginning


def test_a_damaged_last_state_makes_the_longer_training_begin_anew(tmp_path, tiny_task):
    short, long = long_and_short(tiny_task)
    store = Store(tmp_path, {tiny_task.fingerprint: tiny_task})
    TrainJob(name="short", training=short, longer=long).perform(store, ignore, lambda: False)
    (state,) = tmp_path.glob("*/checkpoint/end-*.safetensors")
    state.write_bytes(state.read_bytes()[:-1])
    told = []
    TrainJob(name="long", training=long, shorter=short).perform(store, told.append, lambda: False)
    assert any("is damaged and is removed" in str(event) for event in told)
    assert numbers(store.finished(long)) == numbers(do(long, tiny_task, tmp_path / "alone"))
