"""A finished comparison, diagnosed: everything measured, nothing else changed, finished sections kept."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import TINY_DIAGNOSIS, do, ragged_task, tiny_config, tiny_training
from selfpretrain import diagnose
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.config import ModelConfig, ObjectiveConfig, PhaseConfig, TrainConfig
from selfpretrain.explain import data
from selfpretrain.explain.files import read_diagnosis, section_file
from selfpretrain.explain.subject import TrainedRun
from selfpretrain.explain.table import pick
from selfpretrain.registry import SECTIONS
from selfpretrain.report.write import write_report
from selfpretrain.train.store import Store
from selfpretrain.watch import Done, Note
from stand_in import fail, measured, stand_in


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def table_of(folder, *sections, **settings):
    return diagnose(folder, TINY_DIAGNOSIS, sections=sections, **settings).table


def sections_of(table):
    return list(table["section"].unique())


def seeds_of(table, arm):
    return set(table["seed"][table["arm"] == arm])


def told(events):
    """The sections of which something was measured."""
    return {event.job.split()[0] for event in events if isinstance(event, Done)}


def test_every_section_is_there_and_every_model_once(explained):
    table = explained[1].table
    assert sections_of(table) == list(SECTIONS)
    attention, gradients = (table[table["section"] == section] for section in ("attention", "gradients"))
    # One start serves the arms that share it; mimetic has its own. The linear baseline has no attention.
    assert set(attention.groupby(["arm", "stage"]).groups) == {
        ("scratch", "start"),
        ("scratch", "after-label"),
        ("spt", "after-pretrain"),
        ("spt", "after-label"),
        ("mimetic", "start"),
        ("mimetic", "after-label"),
    }
    along = gradients[(gradients["stage"] == "along-pretrain") & (gradients["name"] == "proximity_snr")]
    assert set(along["step"]) == {6, 12}
    assert table[["unit", "dtype"]].notna().all(axis=None)
    assert attention[["arm", "seed", "stage", "step", "layer", "n"]].notna().all(axis=None)
    assert gradients[["arm", "seed", "stage", "step"]].notna().all(axis=None)


def test_the_protocol_says_under_what_conditions(explained, tiny_task):
    protocol = explained[1].findings.protocol
    assert (protocol["task"], protocol["sample_length"]) == (tiny_task.fingerprint, 8)
    assert (protocol["sample"], protocol["large_sample"], protocol["curvature_sample"]) == (20, 40, 4)
    assert set(protocol["runs"]) == {f"{arm}-seed{seed}" for arm in ("scratch", "spt", "mimetic") for seed in range(3)}


def test_nothing_else_in_the_folder_changes(finished, explained):
    folder, _ = explained
    before, after = hashes(finished), hashes(folder)
    assert {name: after.get(name) for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"diagnosis", "transplants", "trainings"}


def test_the_callers_state_is_left_alone(comparison):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not move
    expected = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    table_of(comparison / "runs/spt-seed0", "gradients", "landscape")
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002
    assert torch.get_num_threads() == 1


def test_a_second_call_measures_nothing_anew_and_says_the_same(explained):
    folder, diagnosis = explained
    events = []
    again = diagnose(folder, TINY_DIAGNOSIS, watch=events.append)
    left = read_diagnosis(folder)
    assert again.content == diagnosis.content == json.loads(json.dumps(diagnosis.content, allow_nan=False))
    assert (left.protocol, left.conclusion) == (again.content["protocol"], again.content["conclusion"])
    pd.testing.assert_frame_equal(again.table, diagnosis.table)
    pd.testing.assert_frame_equal(left.table, again.table)
    assert not told(events)


def test_processes_measure_what_one_process_measures(comparison, explained):
    table = explained[1].table
    expected = table[table["section"].isin(["plateau", "data"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(table_of(comparison, "plateau", "data", workers=2), expected)


def test_a_finished_section_survives_a_stop_and_a_damaged_one_is_made_anew(comparison, monkeypatch):
    def stop(subject, part):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(data, "measure", stop)
        table_of(comparison, "plateau", "data")  # data comes last, being short
    events = []
    first = table_of(comparison, "plateau", "data", watch=events.append)
    assert told(events) == {"data"}
    section_file(comparison / "diagnosis", "plateau").write_text("PAR1")
    events.clear()
    pd.testing.assert_frame_equal(table_of(comparison, "plateau", "data", watch=events.append), first)
    assert told(events) == {"plateau"}


def test_another_protocol_is_measured_anew_and_not_mixed_with_what_is_there(comparison):
    table_of(comparison, "plateau", "data")
    events = []
    assert sections_of(table_of(comparison, "data", max_lag=3, watch=events.append)) == ["data"]
    assert told(events) == {"data"}
    (left_out,) = [e.text for e in events if isinstance(e, Note) and "--sections" in e.text]
    assert "plateau" in left_out and "landscape" not in left_out
    left = read_diagnosis(comparison)
    assert (sections_of(left.table), left.protocol["max_lag"]) == (["data"], 3)


def test_a_run_that_failed_since_is_measured_no_more(comparison):
    table_of(comparison, "plateau")
    fail(comparison, "spt", 1)
    assert seeds_of(table_of(comparison, "plateau"), "spt") == {0, 2}


def test_without_the_first_seed_of_an_arm_the_rest_is_measured_and_drawn(comparison):
    fail(comparison, "spt", 0)
    table = table_of(comparison, "attention")
    assert seeds_of(table, "spt") == {1, 2}
    assert set(pick(table, "attention_map")["seed"]) == {1}
    assert "Where attention looks" in write_report(comparison).read_text()


def test_one_run_is_looked_at_alone_and_in_its_own_folder(comparison):
    run, sealed = comparison / "runs/spt-seed1", hashes(comparison)
    diagnosis = diagnose(run, TINY_DIAGNOSIS, sections=("attention", "transplants"))
    assert (run / "diagnosis/conclusion.json").exists()
    assert not (comparison / "diagnosis").exists()
    assert sections_of(diagnosis.table) == ["attention"]
    assert seeds_of(diagnosis.table, "spt") == set(diagnosis.table["seed"]) == {1}
    # There is a gain, and nothing that could say what carries it.
    assert diagnosis.findings.conclusion["carrier"] is None
    after = hashes(comparison)
    assert {name: after[name] for name in sealed} == sealed


def test_a_run_that_was_mended_may_be_diagnosed_under_other_settings(comparison, tiny_task):
    run = comparison / "runs/spt-seed1"
    table_of(run, "data")
    (run / "model/model.safetensors").write_text("damaged")
    compare(tiny_task, ComparisonFolder(comparison).record.request, out=comparison)
    table_of(run, "data", max_lag=3)
    assert len(table_of(run, "data", max_lag=3))


def test_without_self_pretraining_there_is_still_something_to_see(comparison):
    table = diagnose(comparison / "runs/scratch-seed0", TINY_DIAGNOSIS).table
    assert sections_of(table) == [name for name in SECTIONS if name != "transplants"]


def test_without_a_gain_nothing_is_transplanted(comparison):
    path = comparison / "summary.json"
    path.write_text(path.read_text().replace('"helps"', '"no detectable effect"'))
    assert diagnose(comparison, TINY_DIAGNOSIS, sections=("transplants",)).findings.conclusion["carrier"] == "none"
    assert not (comparison / "transplants").exists()


@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(width=8, heads=2, pooling="cls", positions="learned"),
        ModelConfig(width=8, heads=2, depth=2, positions="rotary", label_head="mlp"),
        ModelConfig(width=8, heads=1, positions="alibi", pooling="max"),
        ModelConfig(width=8, heads=2, positions="none", pooling="last", dropout=0.1),
    ],
)
def test_every_kind_of_model_can_be_looked_at(model, finished):
    subject = stand_in(finished, TINY_DIAGNOSIS, model)
    assert len(measured(subject, "gradients"))
    attention = measured(subject, "attention")
    for name in ("attention_profile", "position_profile"):
        assert set(pick(attention, name)["lag"]) == set(range(-7, 8))  # 8 positions, cls not among them


@pytest.mark.whole
def test_ragged_values_and_causal_models_can_be_looked_at(tmp_path):
    task = ragged_task("values", n=120)
    objective, train = ObjectiveConfig(objective="causal"), TrainConfig(lr=(1e-2,), snapshots=1)
    compare(task, tiny_config(objective=objective, train=train, arms=("scratch", "spt"), seeds=1), out=tmp_path / "one")
    diagnosis = diagnose(tmp_path / "one", TINY_DIAGNOSIS, task=task)
    assert sections_of(diagnosis.table) == [name for name in SECTIONS if name != "transplants"]
    assert diagnosis.findings.protocol["sample_length"] <= 7
    profile = pick(diagnosis.table, "attention_profile")
    # Nobody looks ahead, and 0 would say that somebody could.
    assert (profile["value"].isna() == (profile["lag"] > 0)).all()


def test_a_class_with_one_member_is_no_obstacle(finished, tiny_task):
    y = tiny_task.train.y.copy()
    y[0] = 2
    codec = replace(tiny_task.codec, classes=("a", "b", "c"))
    task = replace(tiny_task, train=replace(tiny_task.train, y=y), codec=codec)
    subject = stand_in(finished, replace(TINY_DIAGNOSIS, large_sample=84), ModelConfig(width=8, heads=2), task)
    measured(subject, "data")
    assert pick(measured(subject, "representation"), "linear_probe")["value"].between(0, 1).all()


def test_a_training_that_stopped_early_has_snapshots_to_look_at(tiny_task, tmp_path):
    label = PhaseConfig(duration="400steps", batch_size=16, evaluate_every="1steps", patience=1)
    training = tiny_training(tiny_task, "scratch", label=label)
    steps = do(training, tiny_task, tmp_path, snapshots=2).result.steps
    along = TrainedRun(None, training, Store(tmp_path)).along
    assert steps < 200
    assert [(stage.name, stage.step) for stage in along] == [("start", 0), ("along-label", steps)]


def test_the_start_is_near_uniform_attention(explained):
    """Known answer: small random scores look at everything, so relative distance and entropy are about 1."""
    table = explained[1].table
    at_start = (table["section"] == "attention") & (table["stage"] == "start") & (table["arm"] == "scratch")
    relative = table[at_start & table["name"].str.endswith("_relative")]
    assert relative["name"].nunique() >= 4
    assert relative["value"].between(0.85, 1.15).all()
