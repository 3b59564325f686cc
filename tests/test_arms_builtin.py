"""The built-in arms: what each asks for, and matched compute."""

from dataclasses import replace

import pytest

from conftest import ragged_task, tiny_config, tiny_training
from selfpretrain.arms.builtin import SLOPE, contrasts_of, expanded, lacking
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, PhaseConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.model.groups import ENCODER
from selfpretrain.registry import ARMS
from selfpretrain.train.work import step_flops


def test_rivals_stands_for_the_default_and_every_free_arm_and_self_pretraining_is_held_against_them():
    free = [name for name, arm in ARMS.items() if arm.is_free]
    assert free == ["mimetic", "mimetic-qk", "impulse", "bias", "rotary", "cutmix", "smoothing", "augment"]
    usual = ("scratch", "spt", "scratch-long", "classical")
    assert expanded(CompareConfig().arms) == usual
    assert expanded(("rivals", "joint", "bias")) == (*usual, *free, "joint")
    assert {versus.against for versus in contrasts_of("spt")} >= set(free)
    assert [versus.against for versus in contrasts_of("bias")] == ["scratch"]
    with pytest.raises(SettingError, match=r"did you mean joint\W+the arms are scratch, spt, scratch-long, joint, "):
        expanded(("scratch", "joints"))


def test_what_each_arm_asks_for(tiny_task):
    of = {name: tiny_training(tiny_task, name) for name, arm in ARMS.items() if arm.recipe is not None}
    scratch = of["scratch"]
    assert scratch.start is None
    assert (of["spt"].start.groups, of["spt"].start.noise) == (ENCODER, False)
    assert replace(of["spt"], start=None) == scratch
    assert (of["spt"].source.seed, of["spt"].source.plan.lr) == (scratch.seed, scratch.plan.lr)
    assert replace(of["scratch-long"], plan=scratch.plan) == scratch
    for start in ("mimetic", "mimetic-qk", "impulse"):
        assert of[start] == replace(scratch, model=replace(scratch.model, init=start))
    objectives = {"cutmix": "cutmix", "smoothing": "smoothing", "augment": "masked-labels"}
    for arm, objective in {**objectives, "joint": "joint", "joint-corrupted": "joint-corrupted"}.items():
        assert of[arm] == replace(scratch, objective=objective, settings=of[arm].settings)
    assert of["bias"] == replace(scratch, model=replace(scratch.model, proximity_bias=SLOPE))
    assert of["rotary"] == replace(scratch, model=replace(scratch.model, positions="rotary"))
    assert {name for name, arm in ARMS.items() if arm.own_start} == {
        name for name, training in of.items() if training.model != scratch.model
    }


def test_scratch_long_gets_the_total_compute_of_spt(tiny_task):
    settings = {"pretrain": PhaseConfig(duration="700", batch_size=16)}
    spt, long, scratch = (tiny_training(tiny_task, arm, **settings) for arm in ("spt", "scratch-long", "scratch"))
    label = step_flops(scratch, tiny_task)
    spent = sum(each.plan.steps * step_flops(each, tiny_task) for each in spt.chain)
    assert abs(long.plan.steps * label - spent) <= label / 2


def test_a_classical_model_has_one_run_for_all_seeds():
    assert (ARMS["spt"].reported_seeds(4), ARMS["classical"].reported_seeds(4)) == (range(4), range(1))


def test_minirocket_is_a_usual_arm_wherever_it_can_be_used(monkeypatch):
    series, symbols = ragged_task("values"), ragged_task()
    for there in (True, False):
        monkeypatch.setattr("selfpretrain.arms.classical.find_spec", lambda name, there=there: there or None)
        assert ("minirocket" in Request.of(series, CompareConfig()).config.arms) is there
        assert [arm.name for arm in lacking(("scratch",), series)] == ([] if there else ["minirocket"])
        assert "minirocket" not in Request.of(symbols, CompareConfig()).config.arms
        assert lacking(("scratch",), symbols) == []
        assert Request.of(series, CompareConfig(arms=("scratch", "spt"))).config.arms == ("scratch", "spt")


@pytest.mark.parametrize("arm", ["quant", "rocket", "minirocket"])
def test_a_missing_package_is_said_with_what_installs_it(arm, monkeypatch):
    monkeypatch.setattr("selfpretrain.arms.classical.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'selfpretrain\[aeon\]'"):
        Request.of(ragged_task("values"), tiny_config(arms=("scratch", arm)))
