"""A finished comparison, diagnosed: everything measured, nothing else changed, finished parts kept."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import ragged_task, tiny_config
from selfpretrain import diagnose
from selfpretrain.comparison import compare
from selfpretrain.config import (
    PARTS,
    DiagnoseConfig,
    ModelConfig,
    ObjectiveConfig,
    PhaseConfig,
    TaskConfig,
    TrainConfig,
)
from selfpretrain.diagnosis import data, read_diagnosis
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.diagnostics.gradients import gradient_snr, score_gradient
from selfpretrain.events import Finished
from selfpretrain.report import write_report
from selfpretrain.tasks import load_task

TINY = DiagnoseConfig(probe=20, sequences=40, curvature_probe=4, max_lag=2, transplant_seeds=1)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_task):
    """A tiny comparison that no test may change, with a gain written into its summary so that there is one to carry."""
    folder = tmp_path_factory.mktemp("finished") / "comparison"
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=2), arms=("scratch", "spt", "mimetic", "linear"))
    summary = compare(tiny_task, config, out=folder).summary
    for contrast in summary["comparisons"]:
        contrast["outcome"] = "helps"
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def comparison(finished, tmp_path):
    """A copy to diagnose."""
    return shutil.copytree(finished, tmp_path / "comparison")


@pytest.fixture(scope="session")
def diagnosed(finished, tmp_path_factory):
    """A diagnosed copy, transplants included, that no test may change."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("diagnosed") / "comparison")
    return folder, diagnose(folder, TINY).content


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_every_measurement_says_what_it_is(diagnosed):
    _, content = diagnosed
    assert set(content["parts"]) == set(PARTS)
    for part, rows in content["parts"].items():
        for row in rows:
            assert np.shape(row["values"]) == tuple(row["shape"]), row["name"]
            assert len(row["shape"]) == len(row["axes"])
            assert row["unit"]
            if part in ("attention", "gradients"):
                assert {"arm", "seed", "stage", "step", "dtype"} <= row.keys(), row["name"]
    json.dumps(content, allow_nan=False)


def test_what_a_person_looks_for_is_there(diagnosed):
    _, content = diagnosed
    names = {part: {row["name"] for row in rows} for part, rows in content["parts"].items()}
    assert {
        "score_profile",
        "attention_profile",
        "attention_distance_relative",
        "near_mass_relative",
        "entropy_relative",
        "score_toeplitz_r2",
        "position_toeplitz_r2",
        "position_slope",
        "energy_share",
        "position_scores",
        "rank_residual",
        "head_divergence",
    } <= names["attention"]
    assert {
        "proximity_snr",
        "direction_snr",
        "blindness_ratio",
        "gradient_norm",
        "gradient_snr",
        "gradient_cosine",
        "update_ratio",
    } <= names["gradients"]
    assert {
        "proximity_slice",
        "hessian_largest",
        "hessian_smallest",
        "hessian_trace",
        "hessian_density",
        "random_line",
        "random_plane",
        "path",
        "barrier",
        "barrier_aligned",
        "critical_sharpness",
        "curvature_along_update",
    } <= names["landscape"]
    assert {"linear_probe", "weight_change", "cka"} <= names["representation"]
    assert {"beta", "beta_symmetric", "pair_classifier"} <= names["data"]
    stages = {(row["arm"], row["stage"]) for row in content["parts"]["attention"]}
    # One start serves the arms that share it; mimetic has its own. The linear baseline has no attention.
    assert stages == {
        ("scratch", "init"),
        ("scratch", "trained"),
        ("spt", "pretrained"),
        ("spt", "trained"),
        ("mimetic", "init"),
        ("mimetic", "trained"),
    }
    along = {row["step"] for row in content["parts"]["gradients"] if row.get("stage") == "pretrain"}
    assert along == {6, 12}


def test_nothing_else_in_the_folder_changes(finished, diagnosed):
    folder, _ = diagnosed
    before, after = hashes(finished), hashes(folder)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"diagnosis", "transplants"}


def test_the_callers_state_is_left_alone(comparison):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global state is what must not move
    expected = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    diagnose(comparison, TINY, parts=("gradients", "landscape"))
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002
    assert torch.get_num_threads() == 1


def test_a_second_call_measures_nothing_anew_and_says_the_same(diagnosed):
    folder, content = diagnosed
    events = []
    again = diagnose(folder, TINY, watch=events.append)
    assert again.content == content == read_diagnosis(folder)
    assert not told(events)


def test_processes_measure_what_one_process_measures(comparison, diagnosed):
    _, content = diagnosed
    parallel = diagnose(comparison, TINY, parts=("attention", "data"), workers=2).content["parts"]
    assert parallel == {part: content["parts"][part] for part in ("data", "attention")}


def told(events):
    return {event.run.split()[0] for event in events if isinstance(event, Finished)}


def test_a_finished_part_survives_a_stop_and_a_damaged_one_is_made_anew(comparison, monkeypatch):
    def stop(subject):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(data, "measure", stop)
        diagnose(comparison, TINY, parts=("attention", "data"))  # data comes last, being short
    events = []
    first = diagnose(comparison, TINY, parts=("attention", "data"), watch=events.append).content["parts"]
    assert told(events) == {"data"}
    (comparison / "diagnosis/attention.json").write_text('{"protocol"')
    events.clear()
    again = diagnose(comparison, TINY, parts=("attention", "data"), watch=events.append).content["parts"]
    assert told(events) == {"attention"}
    assert again == first


def test_another_protocol_is_measured_anew(comparison):
    diagnose(comparison, TINY, parts=("data",))
    events = []
    diagnose(comparison, TINY, parts=("data",), max_lag=3, watch=events.append)
    assert told(events) == {"data"}


def test_a_part_left_out_for_other_settings_is_named(comparison):
    diagnose(comparison, TINY, parts=("attention", "data"))
    notes = []
    diagnose(comparison, TINY, parts=("data",), max_lag=3, watch=notes.append)
    assert any(
        "left out, as damaged or measured under other settings: attention;" in getattr(n, "text", "") for n in notes
    )


def test_a_run_that_failed_since_is_measured_no_more(comparison):
    diagnose(comparison, TINY, parts=("attention",))
    (comparison / "runs/spt-seed1/result.json").write_text(json.dumps({"failure": "loss stopped being finite"}))
    rows = diagnose(comparison, TINY, parts=("attention",)).content["parts"]["attention"]
    assert {row["seed"] for row in rows if row["arm"] == "spt"} == {0, 2}


def test_who_waits_for_a_long_job_need_not_wait_for_its_end():
    """A job has nothing to save, so its process ends as soon as it should stop."""
    script = (
        "import time; from selfpretrain.diagnosis.jobs import _abandoned_when\n"
        "with _abandoned_when(lambda: True): time.sleep(300)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=120, check=False).returncode == 1


def test_one_run_is_looked_at_alone_and_in_its_own_folder(comparison):
    run = comparison / "runs/spt-seed1"
    content = diagnose(run, TINY, parts=("attention", "transplants")).content
    assert (run / "diagnosis/conclusion.json").exists()
    assert not (comparison / "diagnosis").exists()
    assert {(row["arm"], row["seed"]) for row in content["parts"]["attention"]} == {("spt", 1)}
    assert "transplants" not in content["parts"]
    assert content["conclusion"]["carrier"] is None  # there is a gain, and nothing that could say what carries it


def test_without_self_pretraining_there_is_still_something_to_see(tiny_task, tmp_path):
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch",), seeds=1)
    compare(tiny_task, config, out=tmp_path / "one")
    content = diagnose(tmp_path / "one", TINY).content
    assert set(content["parts"]) == {part for part in PARTS if part != "transplants"}


@pytest.mark.parametrize(
    "model",
    [
        ModelConfig(width=8, heads=2, pooling="cls", positions="learned"),
        ModelConfig(width=8, heads=2, depth=2, positions="rotary", label_head="mlp"),
        ModelConfig(width=8, heads=1, positions="alibi", pooling="max"),
        ModelConfig(width=8, heads=2, positions="none", pooling="last", dropout=0.1),
    ],
)
def test_every_kind_of_model_can_be_looked_at(model, tiny_task, tmp_path):
    config = tiny_config(model=model, train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch", "spt"), seeds=1)
    compare(tiny_task, config, out=tmp_path / "one")
    content = diagnose(tmp_path / "one", TINY, parts=("attention", "gradients")).content
    for row in content["parts"]["attention"]:
        if row["name"] in ("attention_profile", "position_profile"):
            assert row["shape"][-1] == 2 * 7 + 1  # 8 positions, cls not among them


def test_with_cls_pooling_and_one_layer_the_label_does_not_feel_proximity_at_all(tiny_task, tmp_path):
    """Known answer: the label is read at cls, which one layer fills from values; no matter who else looks where."""
    model = ModelConfig(width=8, heads=2, pooling="cls")
    config = tiny_config(model=model, train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch", "spt"), seeds=1)
    compare(tiny_task, config, out=tmp_path / "one")
    rows = diagnose(tmp_path / "one", TINY, parts=("landscape",)).content["parts"]["landscape"]
    slices = [row for row in rows if row["name"] == "proximity_slice"]
    for row in slices:
        moved = np.ptp(np.array(row["values"]), axis=-1).max()
        assert moved < 1e-6 if row["loss"] == "label" else moved > 1e-5, (row["loss"], row["stage"], moved)
    assert len(slices) == 8  # both losses at the start, after SPT, and at both ends


def test_signal_is_summed_up_to_the_lag_that_is_asked_for(tmp_path):
    """Further than lags are kept one by one."""
    task = load_task(TaskConfig(data="proximity", length=24, sequences=200))
    compare(
        task, tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch",), seeds=1), out=tmp_path / "one"
    )
    config = replace(TINY, max_lag=20, parts=("gradients",))
    rows = diagnose(tmp_path / "one", config).content["parts"]["gradients"]
    subject = Subject(tmp_path / "one", config)
    model, probe = subject.model(subject.runs[0], subject.runs[0].stages[0]), subject.sample
    probe.calibrate(model)
    for loss in ("label", "reconstruction"):
        grads = score_gradient(model, probe, lambda model, part, loss=loss: part.losses(model, loss))
        # Along lag k and along -k, over the roots of their lengths; together, over the root of two.
        along = (
            torch.stack(
                [
                    torch.stack(
                        [g.diagonal(k, -2, -1).sum(-1) + g.diagonal(-k, -2, -1).sum(-1) for k in range(1, 21)], -1
                    )
                    for g in grads
                ],
                1,
            )
            / torch.tensor([2.0 * (24 - k) for k in range(1, 21)]).sqrt()
        )
        expected = gradient_snr(along.flatten(1)).item()
        (row,) = [r for r in rows if (r["name"], r["stage"], r.get("loss")) == ("proximity_snr", "init", loss)]
        assert row["values"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_ragged_and_causal_data_can_be_looked_at(kind, tmp_path):
    task = ragged_task(kind, n=120)
    config = tiny_config(
        objective=ObjectiveConfig(objective="causal"),
        train=TrainConfig(lr=(1e-2,), snapshots=1),
        arms=("scratch", "spt"),
        seeds=1,
    )
    compare(task, config, out=tmp_path / "one")
    content = diagnose(tmp_path / "one", TINY, task=task, parts=("data", "attention", "landscape")).content
    assert content["protocol"]["probe_length"] <= 7
    profile = next(row for row in content["parts"]["attention"] if row["name"] == "attention_profile")
    ahead = np.array(profile["values"])[..., profile["shape"][-1] // 2 + 1 :]
    assert (ahead == None).all()  # noqa: E711 - nobody looks ahead, and 0 would say that somebody could


def test_without_a_gain_nothing_is_transplanted(comparison):
    path = comparison / "summary.json"
    path.write_text(path.read_text().replace('"helps"', '"no detectable effect"'))
    notes = []
    content = diagnose(comparison, TINY, parts=("transplants",), watch=notes.append).content
    assert content["conclusion"]["carrier"] == "none"
    assert not (comparison / "transplants").exists()
    assert any("there is no gain to carry" in note.text for note in notes)


def test_a_failed_seed_is_left_out(comparison):
    result = comparison / "runs/spt-seed0/result.json"
    result.write_text(json.dumps({"failure": "loss stopped being finite"}))
    content = diagnose(comparison, TINY, parts=("attention",)).content
    assert {row["seed"] for row in content["parts"]["attention"] if row["arm"] == "spt"} == {1, 2}


def test_the_report_can_be_drawn_without_the_first_seed(comparison):
    (comparison / "runs/spt-seed0/result.json").write_text(json.dumps({"failure": "loss stopped being finite"}))
    diagnose(comparison, TINY, parts=("attention", "gradients", "landscape"))
    page = write_report(comparison).read_text()
    assert "Where attention looks" in page
    assert "Curvature of the label loss" in page


def test_the_report_shows_one_protocol(comparison):
    """Parts measured under other settings than the latest are not mixed with it."""
    diagnose(comparison, TINY, parts=("attention", "data"))
    diagnose(comparison, TINY, parts=("attention",), max_lag=3)
    content = read_diagnosis(comparison)
    assert set(content["parts"]) == {"attention"}
    assert content["protocol"]["max_lag"] == 3


def test_a_start_is_pictured_whatever_arm_comes_first(tiny_task, tmp_path):
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("joint", "spt", "scratch"), seeds=1)
    compare(tiny_task, config, out=tmp_path / "one")
    rows = diagnose(tmp_path / "one", TINY, parts=("landscape",)).content["parts"]["landscape"]
    assert {(row["arm"], row["stage"]) for row in rows if "arm" in row} == {
        ("spt", "init"),
        ("spt", "pretrained"),
        ("spt", "trained"),
        ("scratch", "trained"),
    }


def test_a_class_with_one_member_is_no_obstacle(tiny_task, tmp_path):
    y = tiny_task.train.y.copy()
    y[0] = 2
    task = replace(tiny_task, train=replace(tiny_task.train, y=y), classes=("a", "b", "c"), config=None)
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch",), seeds=1)
    compare(task, config, out=tmp_path / "one")
    parts = diagnose(tmp_path / "one", TINY, task=task, parts=("data", "representation")).content["parts"]
    probes = [row["values"] for row in parts["representation"] if row["name"] == "linear_probe"]
    assert all(0 <= accuracy <= 1 for layers in probes for accuracy in layers)


def test_validation_sequences_shorter_than_the_rest_are_no_obstacle(tmp_path):
    task = ragged_task(n=200)
    short = task.val.rows(np.flatnonzero(task.val.lengths <= 5))
    task = replace(task, val=short)
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch",), seeds=1)
    compare(task, config, out=tmp_path / "one")
    content = diagnose(tmp_path / "one", TINY, task=task, max_lag=1, parts=("representation",)).content
    assert content["protocol"]["probe_length"] <= 5


def test_a_training_that_stopped_early_has_snapshots_to_look_at(tiny_task, tmp_path):
    label = PhaseConfig(duration="400steps", batch_size=16, evaluate_every="1steps", patience=1)
    train = TrainConfig(lr=(1e-2,), snapshots=2)
    compare(tiny_task, tiny_config(train=train, label=label, arms=("scratch",), seeds=1), out=tmp_path / "one")
    rows = diagnose(tmp_path / "one", TINY, parts=("gradients",)).content["parts"]["gradients"]
    assert any(row["stage"] == "label" for row in rows)


def test_the_start_is_near_uniform_attention(diagnosed):
    """Known answer: small random scores look at everything, so relative distance and entropy are about 1."""
    _, content = diagnosed
    for row in content["parts"]["attention"]:
        if row["stage"] == "init" and row["arm"] == "scratch" and row["name"].endswith("_relative"):
            assert all(math.isclose(value, 1.0, abs_tol=0.15) for value in np.ravel(row["values"])), row["name"]
