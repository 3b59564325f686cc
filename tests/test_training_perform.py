"""One training done: pairing by seed, what moves into a start, what is frozen, failures, resuming."""

import dataclasses
from dataclasses import replace

import pytest
import torch
from threadpoolctl import threadpool_info

from conftest import ARMS, do, ragged_task, tiny_config, tiny_training
from selfpretrain import feed
from selfpretrain.arms.registry import arm_named
from selfpretrain.config import ObjectiveConfig
from selfpretrain.errors import Interrupted
from selfpretrain.model.groups import ENCODER, group_of
from selfpretrain.model.transformer import fresh_model
from selfpretrain.tasks.task import Split
from selfpretrain.training import perform
from selfpretrain.training.perform import TrainJob, Workshop
from selfpretrain.training.store import Store
from selfpretrain.training.training import Start

TRAINED = [arm for arm in ARMS if arm_named(arm).train is not None]
ATTENTION = ("query-key", "value-output")
OWN_STARTS = {"mimetic-qk": ("query-key",), "mimetic": ATTENTION, "impulse": ATTENTION}
QUERY = "blocks.0.attention.query.weight"


def model_of(training, task):
    return fresh_model(training.model, task.inputs, training.seed)


def numbers(finished):
    """A result without what depends on the clock and the machine's memory."""
    return replace(finished.result, seconds=0.0, peak_memory_bytes=None)


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("arm", TRAINED)
def test_every_arm_trains_on_ragged_data(arm, kind, tmp_path):
    task = ragged_task(kind)
    finished = do(tiny_training(task, arm), task, tmp_path)
    assert finished.result.failure is None
    assert 0 <= finished.result.train.acc <= 1
    assert finished.result.best_train_sample_acc == max(row["train_sample_acc"] for row in finished.rows)


@pytest.mark.parametrize("objective", ["span", "causal"])
def test_other_objectives_train(objective, tmp_path, tiny_task):
    training = tiny_training(tiny_task, objective=ObjectiveConfig(objective=objective, span_length=3))
    assert do(training, tiny_task, tmp_path).result.failure is None
    assert training.model.causal == (objective == "causal")


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


def test_after_self_pretraining_everything_but_the_heads_arrives(tmp_path, tiny_task):
    training = tiny_training(tiny_task, label=replace(tiny_config().label, duration="1"))
    start = do(training, tiny_task, tmp_path).start
    names = {name for name, _ in model_of(training, tiny_task).named_parameters()}
    heads = {name for name in names if "head" in name}
    assert set(start["loaded"]) == names - heads
    assert set(start["reset"]) == heads
    assert heads <= set(start["left_out"])


def test_each_phase_leaves_the_other_head_alone(tmp_path, tiny_task):
    training = tiny_training(tiny_task)
    final = do(training, tiny_task, tmp_path).weights
    pretrained = Store(tmp_path).finished(training.source).weights
    start = model_of(training, tiny_task).state_dict()
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


def test_noise_is_of_the_sources_norms_and_another_for_every_seed(tmp_path, tiny_task):
    directions = []
    for seed in (0, 1):
        spt = tiny_training(tiny_task, "spt", seed=seed)
        start = Start(source=spt.source, groups=("query-key",), noise=True)
        final = do(replace(spt, start=start, frozen=("query-key",)), tiny_task, tmp_path).weights[QUERY]
        source = Store(tmp_path).finished(spt.source).weights[QUERY]
        torch.testing.assert_close(final.norm(), source.norm())
        assert not torch.allclose(final, source, atol=1e-2)
        directions.append(final / final.norm())
    assert not torch.allclose(*directions, atol=1e-2)


def test_a_training_that_goes_on_keeps_its_start_and_what_is_frozen(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    cell = replace(spt, start=Start(source=spt.source, groups=("query-key",)), frozen=("query-key",))
    whole = do(cell, tiny_task, tmp_path / "whole")
    do(spt.source, tiny_task, tmp_path / "stopped")
    asked = iter([False] * 5 + [True] * 10)
    shop = Workshop({tiny_task.fingerprint: tiny_task}, Store(tmp_path / "stopped"))
    with pytest.raises(Interrupted):
        TrainJob("cell", cell, 0, 0.0).perform(shop, lambda event: None, lambda: next(asked))
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

    monkeypatch.setattr(perform, "fresh_model", with_an_infinite_embedding)
    training = tiny_training(tiny_task, "spt")
    result = do(training, tiny_task, tmp_path).result
    source = Store(tmp_path).finished(training.source).result
    assert "loss stopped being finite at step 1 of pretrain training" in source.failure
    assert result.failure == f"its start failed: {source.failure}"
    assert dataclasses.asdict(result) == dataclasses.asdict(type(result)(failure=result.failure))


def test_what_is_done_is_not_done_again(tmp_path, tiny_task, monkeypatch):
    training = tiny_training(tiny_task)
    first = do(training, tiny_task, tmp_path)
    monkeypatch.setattr(perform, "_train", pytest.fail)
    assert do(training, tiny_task, tmp_path).result == first.result


def test_a_training_keeps_to_its_threads_and_gives_them_back(tmp_path, tiny_task, monkeypatch):
    torch.set_num_threads(2)
    seen, real = [], perform._train

    def look(*arguments):
        seen.append((torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}))
        return real(*arguments)

    monkeypatch.setattr(perform, "_train", look)
    do(tiny_training(tiny_task, "scratch"), tiny_task, tmp_path)
    assert seen == [(1, {1})]
    assert torch.get_num_threads() == 2


def test_snapshots_are_kept_where_they_are_asked_for(tmp_path, tiny_task):
    training = tiny_training(tiny_task)
    finished = do(training, tiny_task, tmp_path, snapshots=3)
    assert finished.snapshots == [3, 6, 9]
    assert Store(tmp_path).finished(training.source).snapshots == [4, 8, 12]
    assert do(tiny_training(tiny_task, "scratch"), tiny_task, tmp_path).snapshots == []


def test_recomputed_activations_give_the_same_training(tmp_path):
    task = ragged_task()
    training = tiny_training(task, "scratch")
    weights = []
    for recompute in (False, True):
        shop = Workshop({task.fingerprint: task}, Store(tmp_path / str(recompute)))
        TrainJob("it", training, 0, 10.0, recompute).perform(shop, lambda event: None, lambda: False)
        weights.append(shop.store.finished(training).weights)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
