"""Transplants: every cell gets what its name says, from the donor of its own seed, with a rate of its own."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from conftest import tiny_config
from selfpretrain import diagnose
from selfpretrain.arms import perform
from selfpretrain.comparison import compare, pick_lr
from selfpretrain.config import DiagnoseConfig, RunConfig, TrainConfig, from_dict
from selfpretrain.diagnosis import transplants
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.diagnosis.transplants import HANDMADE_SLOPE, Cell
from selfpretrain.tasks.task import shuffled
from selfpretrain.transfer import group_of

CELLS = [
    Cell("spt", "embedding and query-key", ("embedding", "query-key"), ("embedding", "query-key")),
    Cell("spt", "query-key", ("query-key",)),
    Cell("random", "query-key", ("query-key",), ("query-key",)),
    Cell("shuffled", "query-key", ("query-key",), ("query-key",)),
    Cell("handmade", "proximity bias", ()),
]
SEED = 1


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_task):
    """Some cells of a comparison whose seed 0 failed in one arm; what was measured, and what rates were picked from."""
    folder = tmp_path_factory.mktemp("transplants") / "comparison"
    config = tiny_config(train=TrainConfig(lr=(1e-3, 1e-2), snapshots=1), arms=("scratch", "spt"), seeds=2)
    compare(tiny_task, config, out=folder)
    (folder / "runs/scratch-seed0/result.json").write_text(json.dumps({"failure": "loss stopped being finite"}))
    subject = Subject(folder, DiagnoseConfig(probe=20, sequences=40, max_lag=2))
    tried = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transplants, "cells", lambda groups: CELLS)
        patched.setattr(transplants, "pick_lr", lambda *args: tried.append(args) or pick_lr(*args))
        rows = [row.plain() for row in transplants.run_transplants(subject, workers=1, watch=lambda event: None)]
    return folder, rows, tried


def final(folder, cell, seed=SEED):
    return load_file(folder / f"transplants/runs/{cell.name}-seed{seed}/model/model.safetensors")


def of_groups(weights, *groups):
    found = {name: weight for name, weight in weights.items() if group_of(name) in groups}
    assert found
    return found


def test_seeds_in_which_an_arm_failed_are_left_out(made):
    _, rows, _ = made
    assert {row["seed"] for row in rows} == {SEED}
    assert {row["group"] for row in rows} == {cell.name for cell in CELLS}


def test_frozen_groups_end_as_the_donor_of_the_same_seed_has_them_and_no_others_do(made):
    folder, _, _ = made
    donor = load_file(folder / f"runs/spt-seed{SEED}/checkpoint/pretrained.safetensors")
    for name, weight in final(folder, CELLS[0]).items():
        if not name.startswith("reconstruction_head"):
            taken = group_of(name) in ("embedding", "query-key")
            assert torch.equal(weight, donor[name]) == taken, name


def test_noise_has_the_donors_norms_and_nothing_else_of_it(made):
    folder, _, _ = made
    donor = load_file(folder / f"runs/spt-seed{SEED}/checkpoint/pretrained.safetensors")
    for name, weight in of_groups(final(folder, CELLS[2]), "query-key").items():
        torch.testing.assert_close(weight.norm(), donor[name].norm())
        if weight.ndim > 1:
            assert torch.nn.functional.cosine_similarity(weight.flatten(), donor[name].flatten(), dim=0) < 0.5


def test_the_shuffled_donor_is_self_pretrained_on_shuffled_sequences(made, tiny_task, tmp_path):
    folder, _, _ = made
    (run,) = (folder / "transplants/shuffled/tuning").glob(f"spt-seed{SEED}-*")
    kept = {key: value for key, value in json.loads((run / "config.json").read_text()).items() if key != "fingerprint"}
    config = from_dict(RunConfig, kept)
    perform((shuffled(tiny_task, 0), tmp_path), config, lambda event: None, lambda: False)
    expected = load_file(tmp_path / "tuning" / run.name / "checkpoint/pretrained.safetensors")
    for name, weight in of_groups(final(folder, CELLS[3]), "query-key").items():
        assert torch.equal(weight, expected[name]), name


def test_the_hand_made_bias_is_in_the_model(made):
    folder, _, _ = made
    for cell in CELLS:
        config = json.loads((folder / f"transplants/runs/{cell.name}-seed{SEED}/model/config.json").read_text())
        assert json.dumps(config).count(f'"proximity_bias": {HANDMADE_SLOPE}') == (cell.donor == "handmade")


def test_every_cell_has_a_rate_picked_from_its_own_trials(made):
    folder, rows, tried = made
    assert len(tried) == len(CELLS)
    for cell, (grid, trials, _) in zip(CELLS, tried, strict=True):
        found = {
            float(re.search(r"-lr(.*)", path.name)[1]): json.loads((path / "result.json").read_text())["val_acc"]
            for path in (folder / "transplants/tuning").glob(f"{cell.name}-seed*")
        }
        assert {lr: result["val_acc"] for lr, result in trials} == found
        assert set(found) == set(grid)
        (picked,) = [row["values"] for row in rows if (row["name"], row["group"]) == ("transplant_lr", cell.name)]
        config = json.loads((folder / f"transplants/runs/{cell.name}-seed{SEED}/config.json").read_text())
        assert picked == config["lr"]


def test_what_is_reported_is_accuracy_on_test_data(made):
    folder, rows, _ = made
    results = {}
    for row in rows:
        if row["name"] == "transplant_test_acc":
            results[row["group"]] = json.loads(
                (folder / f"transplants/runs/{row['group']}-seed{SEED}/result.json").read_text()
            )
            assert row["values"] == pytest.approx(results[row["group"]]["test_acc"], rel=1e-6)
    assert any(result["test_acc"] != result["val_acc"] for result in results.values())


def test_another_number_of_seeds_is_another_experiment(tmp_path, tiny_task):
    """Transplants of one seed are no answer to who asks for two; runs that are there are kept."""
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=1), arms=("scratch", "spt"), seeds=2)
    summary = compare(tiny_task, config, out=tmp_path / "two").summary
    for contrast in summary["comparisons"]:
        contrast["outcome"] = "helps"
    (tmp_path / "two/summary.json").write_text(json.dumps(summary))
    for seeds in (1, 2):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(transplants, "cells", lambda groups: CELLS[1:2])
            asked = DiagnoseConfig(probe=20, sequences=40, max_lag=2, parts=("transplants",), transplant_seeds=seeds)
            rows = diagnose(tmp_path / "two", asked).content["parts"]["transplants"]
        assert {row["seed"] for row in rows} == set(range(seeds))
