"""What each arm does: pairing, matched compute, the test set untouched while tuning, transfer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_info

import selfpretrain.train as training
from conftest import ragged_task, tiny_config, tiny_run
from selfpretrain import arms, objectives
from selfpretrain.arms import COMPARISONS, RECIPES, build_model, execute, pick_device, plan_steps, step_flops
from selfpretrain.config import ARMS, ObjectiveConfig, PhaseConfig, TransplantConfig
from selfpretrain.errors import Interrupted, RequestError
from selfpretrain.runs import RunFolder
from selfpretrain.transfer import ENCODER, group_of


def do(run, task, path, **events):
    with RunFolder(path / run.name, run, task.fingerprint, **events) as folder:
        return execute(run, task, folder)


def test_every_arm_has_a_recipe_and_comparisons_name_arms():
    assert set(RECIPES) == set(ARMS)
    assert {name for a, b, _ in COMPARISONS for name in (a, b)} == set(ARMS)


@pytest.mark.parametrize("kind", ["symbols", "values"])
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_runs_on_ragged_data(arm, kind, tmp_path):
    task = ragged_task(kind)
    result = do(tiny_run(arm), task, tmp_path)
    assert 0 <= result["test_acc"] <= 1
    predicted = load_file(tmp_path / f"{arm}-seed0/predictions.safetensors")["predicted"]
    assert (predicted.numpy() == task.test.y).mean() == result["test_acc"]


@pytest.mark.parametrize("objective", ["span", "causal"])
def test_other_objectives_run(objective, tmp_path, tiny_task):
    run = tiny_run(objective=ObjectiveConfig(objective=objective, span_length=3))
    assert "failure" not in do(run, tiny_task, tmp_path)
    assert build_model(run, tiny_task).causal == (objective == "causal")


def test_arms_of_one_seed_start_from_the_same_weights(tiny_task):
    models = {arm: build_model(tiny_run(arm), tiny_task).state_dict() for arm in ARMS if arm != "linear"}
    for name, weight in models["scratch"].items():
        for arm, state in models.items():
            if arm != "mimetic" or group_of(name) != "query-key":
                assert torch.equal(state[name], weight), (arm, name)
    other = build_model(tiny_run("scratch", seed=1), tiny_task).state_dict()
    assert not torch.equal(other["label_head.weight"], models["scratch"]["label_head.weight"])


def test_scratch_long_gets_the_total_compute_of_spt(tiny_task):
    config = tiny_config(pretrain=PhaseConfig(duration="700", batch_size=16))
    pretrain_flops, label_flops = step_flops(config, "spt", tiny_task).values()
    spt = plan_steps(config, "spt", tiny_task)
    long = plan_steps(config, "scratch-long", tiny_task)
    assert long[0] == 0
    difference = long[1] * label_flops - (spt[0] * pretrain_flops + spt[1] * label_flops)
    assert abs(difference) <= label_flops / 2
    assert plan_steps(config, "scratch", tiny_task) == (0, spt[1])


def test_after_self_pretraining_everything_but_the_heads_arrives(tmp_path, tiny_task):
    run = tiny_run(label_steps=1)
    do(run, tiny_task, tmp_path)
    report = json.loads((tmp_path / "spt-seed0/transfer.json").read_text())
    names = {name for name, _ in build_model(run, tiny_task).named_parameters()}
    heads = {name for name in names if "head" in name}
    assert set(report["loaded"]) == names - heads
    assert set(report["reset"]) == heads
    assert heads <= set(report["left_out"])
    pretrained = load_file(tmp_path / "spt-seed0/checkpoint/pretrained.safetensors")
    assert pretrained.keys() == build_model(run, tiny_task).state_dict().keys()


def test_self_pretraining_moves_no_label_weight_and_labels_no_reconstruction_weight(tmp_path, tiny_task):
    do(tiny_run(), tiny_task, tmp_path)
    start = build_model(tiny_run(), tiny_task).state_dict()
    pretrained = load_file(tmp_path / "spt-seed0/checkpoint/pretrained.safetensors")
    final = load_file(tmp_path / "spt-seed0/model/model.safetensors")
    assert torch.equal(pretrained["label_head.weight"], start["label_head.weight"])
    assert not torch.equal(pretrained["reconstruction_head.weight"], start["reconstruction_head.weight"])
    assert torch.equal(final["reconstruction_head.weight"], start["reconstruction_head.weight"])


def test_tuning_never_touches_the_test_set(tmp_path, tiny_task, monkeypatch):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError("the test split was touched")

    blind = replace(tiny_task, test=Untouchable())
    monkeypatch.setattr(type(blind), "fingerprint", "blind")
    result = do(tiny_run(purpose="tune"), blind, tmp_path)
    assert not any(key.startswith("test") for key in result)


def test_the_test_set_is_evaluated_once(tmp_path, tiny_task, monkeypatch):
    seen, real = [], objectives.label_logits
    for module in (arms, objectives):
        monkeypatch.setattr(module, "label_logits", lambda model, rows, at: seen.append(rows) or real(model, rows, at))
    do(tiny_run(), tiny_task, tmp_path)
    assert sum(rows is tiny_task.test for rows in seen) == 1
    assert seen[-1] is tiny_task.test


def test_all_arms_train_on_the_same_label_batches(tmp_path, tiny_task, monkeypatch):
    batches, real = [], training.make_batch
    monkeypatch.setattr(training, "make_batch", lambda rows, at: batches.append(rows.x.tobytes()) or real(rows, at))
    seen = {}
    for arm in ("scratch", "spt", "scratch-long", "joint", "mimetic"):
        batches.clear()
        do(tiny_run(arm, label_steps=14 if arm == "scratch-long" else 9), tiny_task, tmp_path)
        seen[arm] = batches[12 if arm == "spt" else 0 :][:9]
    assert len(set(seen["scratch"])) == 9
    assert all(of_arm == seen["scratch"] for of_arm in seen.values())


def test_a_run_that_stops_being_finite_is_finished_with_its_reason(tmp_path, tiny_task, monkeypatch):
    monkeypatch.setattr(arms, "build_model", _with_an_infinite_head)
    result = do(tiny_run("scratch"), tiny_task, tmp_path)
    assert list(result) == ["failure"]
    assert "loss stopped being finite at step 1 of label training" in result["failure"]
    assert (tmp_path / "scratch-seed0/DONE").exists()


def _with_an_infinite_head(config, task):
    model = build_model(config, task)
    with torch.no_grad():
        model.label_head.weight.fill_(float("inf"))
    return model


def test_what_is_not_finite_after_training_ends_that_run_alone(tmp_path):
    task = ragged_task("values")
    task.test.x[0] = 3e38
    result = do(tiny_run("scratch"), task, tmp_path)
    assert list(result) == ["failure"]
    assert "test_loss" in result["failure"]


def test_joint_pays_for_a_masked_pass_over_its_label_batch():
    task = ragged_task()
    config = tiny_config(
        label=PhaseConfig(duration="9", batch_size=20), pretrain=PhaseConfig(duration="9", batch_size=5)
    )
    each = {arm: step_flops(config, arm, task) for arm in ("spt", "joint")}
    assert each["joint"]["label"] - each["spt"]["label"] == pytest.approx(4 * each["spt"]["pretrain"], rel=1e-6)


def test_a_finished_run_is_not_done_again(tmp_path, tiny_task):
    first = do(tiny_run(), tiny_task, tmp_path)
    stamp = (tmp_path / "spt-seed0/metrics.jsonl").stat().st_mtime_ns
    assert do(tiny_run(), tiny_task, tmp_path) == first
    assert (tmp_path / "spt-seed0/metrics.jsonl").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("arm", ["spt", "linear"])
def test_a_run_keeps_to_its_threads_and_gives_them_back(tmp_path, tiny_task, monkeypatch, arm):
    torch.set_num_threads(2)
    seen = []

    def look(*arguments):
        seen.append((torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}))
        return {"test_acc": 0.5}

    monkeypatch.setattr(arms, "_linear" if arm == "linear" else "_network", look)
    do(tiny_run(arm), tiny_task, tmp_path)
    assert seen == [(1, {1})]
    assert torch.get_num_threads() == 2


def test_an_absent_device_is_refused_with_those_that_are_there():
    if not torch.cuda.is_available():
        with pytest.raises(RequestError, match="available: cpu"):
            pick_device("cuda")
    assert pick_device("cpu").type == "cpu"


def transplanted(tmp_path, tiny_task, *groups, source="spt-seed0", **settings):
    """Label training of scratch with some groups from a donor next to it."""
    what = TransplantConfig(name="cell", groups=groups, source=Path("..") / source, **settings)
    return do(tiny_run("scratch", transplant=what), tiny_task, tmp_path)


def test_everything_taken_is_the_arm_spt_and_nothing_is_scratch(tmp_path, tiny_task):
    spt, scratch = do(tiny_run("spt"), tiny_task, tmp_path), do(tiny_run("scratch"), tiny_task, tmp_path)
    volatile = ("seconds_pretrain", "seconds_label", "peak_memory_bytes", "flops_pretrain", "steps_pretrain")
    for arm, groups in ((spt, ENCODER), (scratch, ())):
        shutil.rmtree(tmp_path / "cell-seed0", ignore_errors=True)
        cell = transplanted(tmp_path, tiny_task, *groups)
        assert {k: v for k, v in cell.items() if k not in volatile} == {k: arm[k] for k in cell if k not in volatile}


def test_a_transplant_from_the_own_fresh_start_changes_nothing(tmp_path, tiny_task):
    scratch = do(tiny_run("scratch"), tiny_task, tmp_path)
    donor = tmp_path / "fresh" / "checkpoint"
    donor.mkdir(parents=True)
    save_file(build_model(tiny_run("scratch"), tiny_task).state_dict(), donor / "pretrained.safetensors")
    cell = transplanted(tmp_path, tiny_task, *ENCODER, source="fresh")
    assert cell["test_loss"] == scratch["test_loss"]


def test_frozen_transplants_end_as_they_came(tmp_path, tiny_task):
    do(tiny_run("spt"), tiny_task, tmp_path)
    transplanted(tmp_path, tiny_task, "query-key", "norms", frozen=("query-key", "norms"))
    pretrained = load_file(tmp_path / "spt-seed0/checkpoint/pretrained.safetensors")
    final = load_file(tmp_path / "cell-seed0/model/model.safetensors")
    for name, weight in final.items():
        if "reconstruction" not in name:
            assert torch.equal(weight, pretrained[name]) == (group_of(name) in ("query-key", "norms")), name


def test_noise_is_of_the_donors_norms_and_another_for_every_seed(tmp_path, tiny_task):
    weights = []
    for seed in (0, 1):
        do(tiny_run("spt", seed=seed), tiny_task, tmp_path)
        what = TransplantConfig(
            name="cell",
            groups=("query-key",),
            source=Path(f"../spt-seed{seed}"),
            random=True,
            frozen=("query-key",),
        )
        do(tiny_run("scratch", seed=seed, transplant=what), tiny_task, tmp_path)
        donor = load_file(tmp_path / f"spt-seed{seed}/checkpoint/pretrained.safetensors")
        final = load_file(tmp_path / f"cell-seed{seed}/model/model.safetensors")
        name = "blocks.0.attention.query.weight"
        torch.testing.assert_close(final[name].norm(), donor[name].norm())
        assert not torch.allclose(final[name], donor[name], atol=1e-2)
        weights.append(final[name] / final[name].norm())
    assert not torch.allclose(*weights, atol=1e-2)
    assert not list(tmp_path.glob("cell-*/checkpoint/snapshot-*"))  # nothing looks along a transplant


def test_a_damaged_result_is_done_again_with_the_same_numbers(tmp_path, tiny_task):
    first = do(tiny_run("spt"), tiny_task, tmp_path)
    rows = (tmp_path / "spt-seed0/metrics.jsonl").read_text().count("\n")
    (tmp_path / "spt-seed0/result.json").write_text("{")
    again = do(tiny_run("spt"), tiny_task, tmp_path)
    volatile = ("seconds_pretrain", "seconds_label", "peak_memory_bytes")
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in first.items() if k not in volatile
    }
    assert (tmp_path / "spt-seed0/metrics.jsonl").read_text().count("\n") == rows


def test_a_run_that_goes_on_keeps_its_transplant_frozen(tmp_path, tiny_task):
    do(tiny_run("spt"), tiny_task, tmp_path)
    what = TransplantConfig(name="cell", groups=("query-key",), source=Path("../spt-seed0"), frozen=("query-key",))
    run = tiny_run("scratch", transplant=what, train=replace(tiny_run().train, checkpoint_seconds=0.0))
    asked = iter([False] * 5 + [True] * 10)
    with pytest.raises(Interrupted):
        do(run, tiny_task, tmp_path, stop=lambda: next(asked))
    do(run, tiny_task, tmp_path)
    pretrained = load_file(tmp_path / "spt-seed0/checkpoint/pretrained.safetensors")
    final = load_file(tmp_path / "cell-seed0/model/model.safetensors")
    name = "blocks.0.attention.query.weight"
    assert torch.equal(final[name], pretrained[name])


def test_reported_runs_keep_snapshots_and_others_do_not(tmp_path, tiny_task):
    do(tiny_run("spt"), tiny_task, tmp_path)
    kept = sorted(path.name for path in (tmp_path / "spt-seed0/checkpoint").glob("snapshot-*"))
    assert len(kept) == 16
    assert kept[-1] == "snapshot-pretrain-000000012.safetensors"
    do(tiny_run("scratch", purpose="tune"), tiny_task, tmp_path)
    assert not list(tmp_path.glob("scratch-*/checkpoint/snapshot-*"))
