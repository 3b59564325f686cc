"""The built-in arms: what each asks for, and matched compute."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import ragged_task, tiny_config, tiny_training
from selfpretrain.arms.arm import Rates
from selfpretrain.arms.builtin import SLOPE, contrasts_of, expanded, lacking
from selfpretrain.classifier import load_model
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.run import read_run
from selfpretrain.config import CompareConfig, PhaseConfig, TrainConfig
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
    with pytest.raises(
        SettingError, match=r"did you mean joint\W+the arms are scratch, spt, scratch-long, spt-labelled, joint, "
    ):
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


def test_spt_labelled_is_spt_on_a_task_without_the_other_rows(tmp_path):
    """The same weights bit for bit; in one comparison with spt, which sees all rows."""
    whole = ragged_task(n=80)
    task = replace(whole, train=whole.train.rows(np.arange(20)), unlabelled=whole.train.rows(np.arange(20, 40)))
    alone = replace(task, unlabelled=None)
    config = tiny_config(arms=("scratch", "spt", "spt-labelled"), seeds=3, train=TrainConfig(lr=(1e-2,)))
    done = compare(task, config, out=tmp_path / "both")
    by_hand = compare(alone, replace(config, arms=("spt",)), out=tmp_path / "alone")
    assert done.answer.arms["spt-labelled"].test_acc == by_hand.answer.arms["spt"].test_acc
    names = {"both": "spt-labelled-seed0", "alone": "spt-seed0"}
    runs = {folder: read_run(tmp_path / folder / "runs" / name) for folder, name in names.items()}
    assert runs["both"].result.flops_pretrain == runs["alone"].result.flops_pretrain
    weights = [load_model(tmp_path / folder / "runs" / name).model for folder, name in names.items()]
    assert all(map(torch.equal, *(model.state_dict().values() for model in weights)))
    assert {(c.arm, c.against) for c in done.answer.comparisons} == {
        ("spt", "scratch"),
        ("spt", "spt-labelled"),
        ("spt-labelled", "scratch"),
    }
    assert "--arms usual,spt-labelled" not in str(done.answer.warnings)
    epochs = Request(tiny_config(pretrain=PhaseConfig(duration="3epochs", batch_size=16)), task)
    steps = [ARMS[arm].recipe(epochs, 0, Rates(1e-2, 1e-2)).source.plan.steps for arm in ("spt", "spt-labelled")]
    assert steps[0] == steps[1]  # as many as spt has, whatever an epoch is
    with pytest.raises(RequestError, match="the arm spt-labelled is spt where every row has a label; leave it out"):
        Request.of(alone, config)


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
