"""A whole comparison: folder, summary, tuning, pairing, failures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import selfpretrain
from conftest import tiny_config
from selfpretrain import arms
from selfpretrain.arms import COMPARISONS
from selfpretrain.comparison import (
    FIRST_TUNING_SEED,
    _pick_lrs,
    _plan_reported,
    _plan_tuning,
    _with_more_compute,
    compare,
)
from selfpretrain.config import ARMS, PhaseConfig, TrainConfig
from selfpretrain.errors import NonFiniteError
from selfpretrain.events import Finished, Note, Planned
from selfpretrain.tasks import load_task


@pytest.fixture(scope="module")
def everything(tmp_path_factory, tiny_task):
    """All arms, with events."""
    events = []
    result = compare(tiny_task, tiny_config(arms=ARMS), out=tmp_path_factory.mktemp("c") / "o", watch=events.append)
    return result, events


def test_the_folder_holds_what_is_promised(everything):
    result, _ = everything
    assert {p.name for p in result.folder.iterdir() if p.name[0] != "."} == {
        *("summary.json", "config.json", "environment.json", "runs", "tuning")
    }
    for arm in ARMS:
        for seed in range(3):
            run = result.folder / "runs" / f"{arm}-seed{seed}"
            assert {"config.json", "DONE", "checkpoint"} <= {p.name for p in run.iterdir()}
            if arm != "linear":
                assert (run / "model/config.json").exists()
                assert (run / "model/model.safetensors").exists()
                rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                assert {row["phase"] for row in rows} == ({"pretrain", "label"} if arm == "spt" else {"label"})
    environment = json.loads((result.folder / "environment.json").read_text())
    assert {"python", "packages", "device", "command", "commit"} <= environment.keys()


def test_the_summary_has_the_promised_keys(everything):
    summary = everything[0].summary
    assert summary == json.loads((everything[0].folder / "summary.json").read_text())
    assert summary["task"].keys() >= {
        *("name", "kind", "n_train", "n_val", "n_test", "length", "classes", "majority", "fingerprint")
    }
    for arm in ARMS:
        entry = summary["arms"][arm]
        for key in ("train_acc", "val_acc", "test_acc", "seconds"):
            assert len(entry[key]) == 3
        assert {"lr", "flops_pretrain", "flops_label"} <= entry.keys()
    assert [(c["arm"], c["against"], c["matched"]) for c in summary["comparisons"]] == list(COMPARISONS)


def test_effects_and_intervals_follow_from_the_lists(everything):
    summary = everything[0].summary
    for c in summary["comparisons"]:
        a, b = (np.array(summary["arms"][c[side]]["test_acc"]) for side in ("arm", "against"))
        assert c["effect"] == pytest.approx((a - b).mean())
        assert c["n_seeds"] == 3
        if (a - b).std() > 0:
            theirs = stats.ttest_rel(a, b)
            assert c["ci95"] == pytest.approx(list(theirs.confidence_interval()))
            assert c["p"] == pytest.approx(theirs.pvalue)
        assert c["p_holm"] >= c["p"]


def test_compute_is_counted_where_it_is_spent(everything):
    entries = everything[0].summary["arms"]
    assert entries["scratch"]["flops_pretrain"] == 0
    assert entries["spt"]["flops_label"] == entries["scratch"]["flops_label"]
    total = entries["spt"]["flops_pretrain"] + entries["spt"]["flops_label"]
    step = entries["scratch"]["flops_label"] / entries["scratch"]["steps_label"]
    assert abs(entries["scratch-long"]["flops_label"] - total) <= step / 2 + 1
    assert entries["joint"]["flops_label"] > 1.9 * entries["scratch"]["flops_label"]


def test_every_arm_tries_the_same_rates_with_seeds_that_are_not_reported(tiny_task):
    config = tiny_config(arms=ARMS, train=TrainConfig(lr=(1e-3, 1e-2), tune_seeds=2))
    tuning = _plan_tuning(config, tiny_task)
    for arm in set(ARMS) - {"linear"}:
        tried = {(run.lr, run.seed) for run in tuning if run.arm == arm}
        assert tried == {(lr, FIRST_TUNING_SEED + k) for lr in (1e-3, 1e-2) for k in range(2)}
    assert all(run.purpose == "tune" for run in tuning)
    assert not {run.seed for run in tuning} & {run.seed for run in _plan_reported(config, tiny_task, {})}


def test_the_rate_is_picked_on_validation(tiny_task):
    config = tiny_config(arms=("scratch", "spt"), train=TrainConfig(lr=(1e-3, 1e-2, 3e-2)))
    runs = _plan_tuning(config, tiny_task)
    table = {
        ("scratch", 1e-3): {"val_acc": 0.52},
        ("scratch", 1e-2): {"val_acc": 0.5},  # within .05 of the best, and in the middle
        ("scratch", 3e-2): {"failure": "loss"},
        ("spt", 1e-3): {"val_acc": 0.9},
        ("spt", 1e-2): {"val_acc": 0.8},
        ("spt", 3e-2): {"val_acc": 0.1},
    }
    lrs, tried = _pick_lrs(config, runs, [table[run.arm, run.lr] for run in runs], n_val=100)
    assert lrs == {"scratch": 1e-2, "spt": 1e-3}
    assert tried["scratch"] == {"0.001": 0.52, "0.01": 0.5, "0.03": None}
    sure, _ = _pick_lrs(config, runs, [table[run.arm, run.lr] for run in runs], n_val=10_000)
    assert sure == {"scratch": 1e-3, "spt": 1e-3}
    failed, _ = _pick_lrs(config, runs, [{"failure": "loss"} for _ in runs], n_val=100)
    assert failed == {"scratch": 1e-2, "spt": 1e-2}


def test_events_cover_the_whole_work(everything):
    _, events = everything
    planned = next(event for event in events if isinstance(event, Planned))
    finished = [event.run for event in events if isinstance(event, Finished)]
    assert sorted(planned.costs) == sorted(finished)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("proximity" in note for note in notes)
    assert sum("picked on validation" in note for note in notes) == 5


def test_the_same_request_again_does_nothing_and_says_the_same(everything, tiny_task):
    result, _ = everything
    stamps = {p: p.stat().st_mtime_ns for p in result.folder.rglob("result.json")}
    again = compare(tiny_task, tiny_config(arms=ARMS), out=result.folder)
    assert again.summary == result.summary
    assert stamps == {p: p.stat().st_mtime_ns for p in result.folder.rglob("result.json")}


def test_a_failing_run_ends_alone_and_its_seed_is_left_out(tmp_path, tiny_task, monkeypatch):
    real = arms._network

    def sometimes(config, task, folder):
        if config.arm == "spt" and config.seed == 1:
            raise NonFiniteError("loss", "label", 7)
        return real(config, task, folder)

    monkeypatch.setattr(arms, "_network", sometimes)
    config = replace(tiny_config(arms=("scratch", "spt")), train=TrainConfig(lr=(1e-2,)), seeds=4)
    summary = compare(tiny_task, config, out=tmp_path / "o").summary
    assert summary["arms"]["spt"]["failures"] == {"1": "loss stopped being finite at step 7 of label training"}
    assert [acc is None for acc in summary["arms"]["spt"]["test_acc"]] == [False, True, False, False]
    assert None not in summary["arms"]["scratch"]["test_acc"]
    assert summary["comparisons"][0]["n_seeds"] == 3


def test_two_seeds_give_no_verdict(tmp_path, tiny_task):
    config = replace(tiny_config(), train=TrainConfig(lr=(1e-2,)), seeds=2)
    summary = compare(tiny_task, config, out=tmp_path / "o").summary
    assert summary["verdict"].startswith("No verdict from 2 finished seeds")
    assert {c["outcome"] for c in summary["comparisons"]} == {"no detectable effect"}


def test_workers_give_the_same_numbers_as_this_process(tmp_path, tiny_task):
    config = replace(tiny_config(), train=TrainConfig(lr=(1e-2,)))
    summaries = [compare(tiny_task, config, out=tmp_path / str(n), workers=n).summary for n in (1, 2)]
    for summary in summaries:
        for entry in summary["arms"].values():
            del entry["seconds"], entry["peak_memory_bytes"]
    assert summaries[0] == summaries[1]


def test_the_public_names_are_there():
    assert selfpretrain.compare is compare
    assert selfpretrain.load_task("noise", sequences=50).name == "noise"
    with pytest.raises(AttributeError):
        _ = selfpretrain.nonsense


def test_the_cause_of_other_comparisons_does_not_come_from_scratch_long():
    from test_verdict import planted

    contrasts = [
        planted(0.4, 0.4),
        replace(planted(0.4, 0.4, "total compute"), against="scratch-long"),
        replace(planted(0.4, 0.4), against="mimetic"),
    ]
    found = [_with_more_compute(contrast, contrasts) for contrast in contrasts]
    assert found == [contrasts[1], contrasts[1], None]


def test_the_request_on_disk_says_where_the_task_came_from(tmp_path, tiny_task):
    config = replace(tiny_config(), train=TrainConfig(lr=(1e-2,)), seeds=1, arms=("linear",))
    compare(load_task("noise", sequences=60, length=8), config, out=tmp_path / "n")
    assert json.loads((tmp_path / "n/config.json").read_text())["request"]["task"]["data"] == "noise"
    compare(replace(tiny_task, config=None), config, out=tmp_path / "h")
    assert json.loads((tmp_path / "h/config.json").read_text())["request"]["task"] is None


def test_early_stopping_shows_in_the_compute_ratio(tmp_path, tiny_task):
    config = tiny_config(
        pretrain=PhaseConfig(duration="60", batch_size=16, evaluate_every="1steps", patience=1),
        train=TrainConfig(lr=(1e-2,)),
    )
    summary = compare(tiny_task, config, out=tmp_path / "o").summary
    total = next(c for c in summary["comparisons"] if c["matched"] == "total compute")
    assert total["compute_ratio"] < 0.98
    assert "early stopping made their total compute unequal" in summary["verdict"]
