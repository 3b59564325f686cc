"""A finished comparison, diagnosed: everything measured, nothing else changed, finished sections kept."""

import hashlib
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conftest import TINY_DIAGNOSIS, do, ragged_task, tiny_config, tiny_training
from selfpretrain import diagnose
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.config import ModelConfig, ObjectiveConfig, PhaseConfig, TrainConfig
from selfpretrain.explain import attention, data, gradients, representation
from selfpretrain.explain.files import read_diagnosis
from selfpretrain.explain.subject import TrainedRun
from selfpretrain.explain.transplants import obstacle
from selfpretrain.registry import SECTIONS
from selfpretrain.report.write import write_report
from selfpretrain.train.store import Store
from selfpretrain.watch import Done, Note
from stand_in import fail, stand_in


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def sections_of(folder, *names, **settings):
    return diagnose(folder, TINY_DIAGNOSIS, sections=names, **settings).content["sections"]


def told(events):
    """The sections of which something was measured."""
    return {event.job.split()[0] for event in events if isinstance(event, Done)}


def test_every_measurement_says_what_it_is(explained):
    _, content = explained
    assert list(content["sections"]) == list(SECTIONS)
    for section, rows in content["sections"].items():
        for row in rows:
            assert np.shape(row["values"]) == tuple(row["shape"]), row["name"]
            assert len(row["shape"]) == len(row["axes"])
            assert row["unit"]
            if section in ("attention", "gradients"):
                assert {"arm", "seed", "stage", "step", "dtype"} <= row.keys(), row["name"]
    json.dumps(content, allow_nan=False)


NAMES = {
    "attention": "score_profile attention_profile attention_distance_relative window_mass_relative entropy_relative "
    "score_toeplitz_r2 position_toeplitz_r2 position_slope energy_share position_scores rank_collapse head_divergence",
    "gradients": "proximity_snr direction_snr blindness_ratio gradient_norm gradient_snr gradient_cosine update_ratio",
    "landscape": "proximity_slice hessian_largest hessian_smallest hessian_trace hessian_density random_line "
    "random_plane path barrier barrier_aligned critical_sharpness curvature_along_update",
    "representation": "linear_probe weight_change cka",
    "data": "beta beta_symmetric pair_classifier",
    "transplants": "transplant_test_acc transplant_train_acc transplant_lr",
}


def test_what_a_person_looks_for_is_there(explained):
    _, content = explained
    for section, names in NAMES.items():
        assert set(names.split()) <= {row["name"] for row in content["sections"][section]}
    # One start serves the arms that share it; mimetic has its own. The linear baseline has no attention.
    assert {(row["arm"], row["stage"]) for row in content["sections"]["attention"]} == {
        ("scratch", "start"),
        ("scratch", "after-label"),
        ("spt", "after-pretrain"),
        ("spt", "after-label"),
        ("mimetic", "start"),
        ("mimetic", "after-label"),
    }
    along = {row["step"] for row in content["sections"]["gradients"] if row["stage"] == "along-pretrain"}
    assert along == {6, 12}


def test_the_protocol_says_under_what_conditions(explained, tiny_task):
    _, content = explained
    protocol = content["protocol"]
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
    sections_of(comparison / "runs/spt-seed0", "gradients", "landscape")
    assert torch.equal(torch.get_rng_state(), expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002
    assert torch.get_num_threads() == 1


def test_a_second_call_measures_nothing_anew_and_says_the_same(explained):
    folder, content = explained
    events = []
    again = diagnose(folder, TINY_DIAGNOSIS, watch=events.append)
    assert again.content == content == read_diagnosis(folder).content
    assert not told(events)


def test_processes_measure_what_one_process_measures(comparison, explained):
    _, content = explained
    parallel = sections_of(comparison, "attention", "data", workers=2)
    assert parallel == {name: content["sections"][name] for name in ("attention", "data")}


def test_a_finished_section_survives_a_stop_and_a_damaged_one_is_made_anew(comparison, monkeypatch):
    def stop(subject, part):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(data, "measure", stop)
        sections_of(comparison, "attention", "data")  # data comes last, being short
    events = []
    first = sections_of(comparison, "attention", "data", watch=events.append)
    assert told(events) == {"data"}
    (comparison / "diagnosis/attention.json").write_text('{"protocol"')
    events.clear()
    again = sections_of(comparison, "attention", "data", watch=events.append)
    assert told(events) == {"attention"}
    assert again == first


def test_another_protocol_is_measured_anew_and_not_mixed_with_what_is_there(comparison):
    sections_of(comparison, "attention", "data")
    events = []
    assert list(sections_of(comparison, "data", max_lag=3, watch=events.append)) == ["data"]
    assert told(events) == {"data"}
    (left_out,) = [e.text for e in events if isinstance(e, Note) and "--sections" in e.text]
    assert "attention" in left_out and "landscape" not in left_out
    found = read_diagnosis(comparison)
    assert list(found.sections) == ["data"]
    assert found.protocol["max_lag"] == 3


def test_a_run_that_failed_since_is_measured_no_more(comparison):
    sections_of(comparison, "attention")
    fail(comparison, "spt", 1)
    rows = sections_of(comparison, "attention")["attention"]
    assert {row["seed"] for row in rows if row["arm"] == "spt"} == {0, 2}


def test_without_the_first_seed_of_an_arm_the_rest_is_measured_and_drawn(comparison):
    fail(comparison, "spt", 0)
    found = sections_of(comparison, "attention", "gradients", "landscape")
    assert {row["seed"] for row in found["attention"] if row["arm"] == "spt"} == {1, 2}
    assert {row["seed"] for row in found["landscape"]} == {1}
    page = write_report(comparison).read_text()
    for name in ("attention", "landscape"):
        assert SECTIONS[name].pictures()[1].title in page


def test_one_run_is_looked_at_alone_and_in_its_own_folder(comparison):
    run, sealed = comparison / "runs/spt-seed1", hashes(comparison)
    content = diagnose(run, TINY_DIAGNOSIS, sections=("attention", "transplants")).content
    assert (run / "diagnosis/conclusion.json").exists()
    assert not (comparison / "diagnosis").exists()
    assert {(row["arm"], row["seed"]) for row in content["sections"]["attention"]} == {("spt", 1)}
    assert list(content["sections"]) == ["attention"]
    assert content["conclusion"]["carrier"] is None  # there is a gain, and nothing that could say what carries it
    after = hashes(comparison)
    assert {name: after[name] for name in sealed} == sealed


def test_a_run_that_was_mended_may_be_diagnosed_under_other_settings(comparison, tiny_task):
    run = comparison / "runs/spt-seed1"
    sections_of(run, "data")
    (run / "model/model.safetensors").write_text("damaged")
    compare(tiny_task, ComparisonFolder(comparison).record.request, out=comparison)
    sections_of(run, "data", max_lag=3)
    assert sections_of(run, "data", max_lag=3)


def test_without_self_pretraining_there_is_still_something_to_see(comparison):
    content = diagnose(comparison / "runs/scratch-seed0", TINY_DIAGNOSIS).content
    assert list(content["sections"]) == [name for name in SECTIONS if name != "transplants"]
    assert all(content["sections"].values())


def test_a_gain_between_scratch_and_spt_is_what_can_be_transplanted():
    def asked(*, whole=True, arms=("scratch", "spt"), outcome="helps"):
        contrast = None if outcome is None else SimpleNamespace(outcome=outcome)
        summary = SimpleNamespace(contrast=lambda *arms: contrast if arms == ("spt", "scratch") else None)
        return obstacle(
            SimpleNamespace(whole=whole, request=SimpleNamespace(config=SimpleNamespace(arms=arms)), summary=summary)
        )

    assert asked() is None
    assert "single run" in asked(whole=False)
    assert "has no spt" in asked(arms=("scratch", "joint"))
    assert "has no scratch" in asked(arms=("spt",))
    for outcome in ("hurts", "no detectable effect", None):
        assert f"'{outcome or 'not compared'}'" in asked(outcome=outcome)


def test_without_a_gain_nothing_is_transplanted(comparison):
    path = comparison / "summary.json"
    path.write_text(path.read_text().replace('"helps"', '"no detectable effect"'))
    events = []
    content = diagnose(comparison, TINY_DIAGNOSIS, sections=("transplants",), watch=events.append).content
    assert content["conclusion"]["carrier"] == "none"
    assert not (comparison / "transplants").exists()
    assert any(isinstance(event, Note) and "'no detectable effect'" in event.text for event in events)


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
    for run in subject.runs:
        assert [m.plain() for m in gradients.measure(subject, (run.name,))]
        rows = [m.plain() for m in attention.measure(subject, (run.name,))]
        profiles = [row for row in rows if row["name"] in ("attention_profile", "position_profile")]
        assert profiles
        assert {row["shape"][-1] for row in profiles} == {2 * 7 + 1}  # 8 positions, cls not among them


@pytest.mark.whole
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
    content = diagnose(tmp_path / "one", TINY_DIAGNOSIS, task=task).content
    assert list(content["sections"]) == [name for name in SECTIONS if name != "transplants"]
    assert content["protocol"]["sample_length"] <= 7
    profile = next(row for row in content["sections"]["attention"] if row["name"] == "attention_profile")
    ahead = np.array(profile["values"])[..., profile["shape"][-1] // 2 + 1 :]
    assert (ahead == None).all()  # noqa: E711 - nobody looks ahead, and 0 would say that somebody could


def test_a_class_with_one_member_is_no_obstacle(finished, tiny_task):
    y = tiny_task.train.y.copy()
    y[0] = 2
    codec = replace(tiny_task.codec, classes=("a", "b", "c"))
    task = replace(tiny_task, train=replace(tiny_task.train, y=y), codec=codec)
    subject = stand_in(finished, replace(TINY_DIAGNOSIS, large_sample=84), ModelConfig(width=8, heads=2), task)
    names = tuple(run.name for run in subject.runs)
    rows = [m.plain() for m in (*data.measure(subject, ()), *representation.measure(subject, names))]
    probes = [row["values"] for row in rows if row["name"] == "linear_probe"]
    assert probes
    assert all(0 <= accuracy <= 1 for layers in probes for accuracy in layers)


def test_a_training_that_stopped_early_has_snapshots_to_look_at(tiny_task, tmp_path):
    label = PhaseConfig(duration="400steps", batch_size=16, evaluate_every="1steps", patience=1)
    training = tiny_training(tiny_task, "scratch", label=label)
    steps = do(training, tiny_task, tmp_path, snapshots=2).result.steps
    along = TrainedRun(None, training, Store(tmp_path)).along
    assert steps < 200
    assert [(stage.name, stage.step) for stage in along] == [("start", 0), ("along-label", steps)]


def test_the_start_is_near_uniform_attention(explained):
    """Known answer: small random scores look at everything, so relative distance and entropy are about 1."""
    _, content = explained
    starts = [r for r in content["sections"]["attention"] if (r["stage"], r["arm"]) == ("start", "scratch")]
    relative = [row for row in starts if row["name"].endswith("_relative")]
    assert relative
    for row in relative:
        assert all(math.isclose(value, 1.0, abs_tol=0.15) for value in np.ravel(row["values"])), row["name"]
