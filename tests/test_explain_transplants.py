"""Transplants: every cell asks for the training that its name says, from the donor of its own seed, and is tuned.

What a training makes of its start, noise and frozen groups is tested in test_model_groups.py and test_train_work.py;
the matrix of cells in test_explain_cells.py.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import TINY_DIAGNOSIS
from selfpretrain import diagnose
from selfpretrain.arms.builtin import SLOPE
from selfpretrain.comparison.perform import pick_lr
from selfpretrain.comparison.plan import FIRST_TUNING_SEED
from selfpretrain.comparison.run import read_run
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain import transplants as module
from selfpretrain.explain.cells import (
    HANDMADE,
    HANDMADE_FROZEN,
    MAPS,
    NOISE,
    SHUFFLED,
    Cell,
    all_but,
    alone,
    everything,
)
from selfpretrain.explain.subject import Subject
from selfpretrain.files import from_dict, read_json, to_dict
from selfpretrain.model.groups import ENCODER
from selfpretrain.train.store import TrainingFolder
from selfpretrain.train.training import Start, TrainingResult
from selfpretrain.watch import Done, ignore
from stand_in import fail

GRID, SEED = (1e-3, 1e-2), 1
CELLS = [
    alone("query-key"),
    Cell("spt", "embedding and query-key", ("embedding", "query-key"), ("embedding", "query-key")),
    Cell("random", "query-key", ("query-key",), ("query-key",)),
    SHUFFLED,
    everything(("embedding", "query-key"), "shuffled"),
    MAPS,
    HANDMADE,
    HANDMADE_FROZEN,
]


def conducted(subject, chosen):
    """Rows and the names of jobs that were done."""
    events = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "cells", lambda groups: chosen)
        rows = [row.plain() for row in module.conduct(subject, (), 1, LocalEngine, events.append)]
    return rows, [event.job for event in events if isinstance(event, Done)]


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """Some cells, tuned, of a comparison whose seed 0 failed in one arm."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("transplants") / "comparison")
    fail(folder, "scratch", 0)
    subject = Subject(folder, TINY_DIAGNOSIS)
    config = subject.request.config
    subject.request = replace(subject.request, config=replace(config, train=replace(config.train, lr=GRID)))
    return subject, *conducted(subject, CELLS)


def shuffled(donor):
    return replace(donor, settings={**donor.settings, "control": "shuffled"})


def expected(subject, cell, seed, lr):
    """The training of a cell, from those of the arms."""
    labels, donor = subject.run("scratch", SEED).labels, subject.run("spt", SEED).pretraining
    donor = replace(donor, seed=seed)
    if cell.donor == "maps":
        return replace(
            labels, seed=seed, start=Start(source=donor, groups=(), maps=True), plan=replace(labels.plan, lr=lr)
        )
    if cell.donor == "shuffled":
        donor = shuffled(donor)
    training = replace(labels, seed=seed, plan=replace(labels.plan, lr=lr), frozen=cell.frozen)
    if cell.donor == "handmade":
        return replace(training, model=replace(labels.model, proximity_bias=SLOPE))
    return replace(training, start=Start(source=donor, groups=cell.taken, noise=cell.donor == "random"))


def picked(rows, cell, name="transplant_lr"):
    (row,) = [row for row in rows if (row["name"], row["of"], row["seed"]) == (name, to_dict(cell), SEED)]
    return row["values"]


def path_of(subject, cell, seed=SEED):
    return subject.comparison.path / f"transplants/{cell.name}-seed{seed}"


def run_of(subject, cell, seed=SEED):
    return read_run(path_of(subject, cell, seed))


def test_seeds_in_which_an_arm_failed_are_left_out(made):
    _, rows, _ = made
    assert {row["seed"] for row in rows} == {SEED}
    assert {from_dict(Cell, row["of"]) for row in rows} == set(CELLS)


def test_some_cells_alone_can_be_asked_for_and_a_wrong_name_is_refused_before_anything_is_measured(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "comparison")
    names = (all_but("query-key", ENCODER).name, alone("query-key").name)
    subject = Subject(folder, replace(TINY_DIAGNOSIS, cells=names))
    assert {cell.name for cell in module.matrix(subject.request, names)} == set(names)
    assert {from_dict(Cell, row.of).name for row in module.conduct(subject, (), 1, LocalEngine, ignore)} == set(names)
    with pytest.raises(SettingError, match=r"spt\.key\.free is no transplant here; they are spt\.embedding\.free"):
        diagnose(folder, TINY_DIAGNOSIS, sections=("data", "transplants"), cells=("spt.key.free",))
    assert not list((folder / "diagnosis").glob("*.json"))


def test_cells_that_are_known_stay_when_others_are_asked_for(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "comparison")
    (path := folder / "summary.json").write_text(path.read_text().replace('"no detectable effect"', '"helps"'))
    one, two = alone("query-key").name, alone("norms").name

    def made(*cells):
        events = []
        content = diagnose(
            folder, TINY_DIAGNOSIS, sections=("transplants",), cells=cells or None, watch=events.append
        ).content
        named = {from_dict(Cell, row["of"]).name for row in content["sections"]["transplants"]}
        return named, [event.job for event in events if isinstance(event, Done)]

    assert made(one)[0] == {one}
    both, jobs = made(two)
    assert both == {one, two}
    assert not any(one in job for job in jobs)
    assert made(one) == ({one, two}, [])


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_is_the_training_that_it_is_named_for(cell, made):
    subject, rows, _ = made
    record = run_of(subject, cell).record
    assert record.training == expected(subject, cell, SEED, picked(rows, cell))
    assert (record.arm, record.seed, record.task) == (cell.name, SEED, subject.task.fingerprint)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_has_a_rate_picked_from_its_own_trials_with_the_arms_grid_and_tuning_seeds(cell, made):
    subject, rows, _ = made
    trials = {lr: expected(subject, cell, FIRST_TUNING_SEED, lr) for lr in GRID}
    results = [(lr, subject.store.finished(trial).result) for lr, trial in trials.items()]
    assert picked(rows, cell) == pick_lr(GRID, results, len(subject.task.val)).lr


def test_nothing_else_is_trained_and_shared_donors_once(made, finished):
    subject, rows, done = made
    made_in = subject.comparison.path
    wanted = [expected(subject, cell, FIRST_TUNING_SEED, lr) for cell in CELLS for lr in GRID]
    wanted += [expected(subject, cell, SEED, picked(rows, cell)) for cell in CELLS]
    keys = {each.key for training in wanted for each in training.chain}
    before, after = ({path.name for path in (folder / "trainings").iterdir()} for folder in (finished, made_in))
    assert after - before == keys - before
    # What they may use was written down before, for every rate that might have been picked.
    assert keys <= set(read_json(subject.comparison.transplants / "trainings.json"))
    # The donor of the tuning seed, and the shuffled ones of both; that of the reported seed is the arm's.
    assert sum(name.endswith("pretrain") for name in done) == 3
    assert sum(name.endswith("label") for name in done) == len(CELLS) * (len(GRID) + 1)


def test_what_is_reported_is_accuracy_on_test_data_and_on_training_data(made):
    subject, rows, _ = made
    for cell in CELLS:
        run, task = run_of(subject, cell), subject.task
        predicted = load_file(path_of(subject, cell) / "predictions.safetensors")["predicted"]
        assert picked(rows, cell, "transplant_test_acc") == pytest.approx(np.mean(predicted == task.test.y), rel=1e-6)
        best = max(row["train_sample_acc"] for row in run.phase("label"))
        assert picked(rows, cell, "transplant_train_acc") == pytest.approx(best, rel=1e-6)


def test_a_second_call_trains_nothing_and_says_the_same(made):
    subject, rows, _ = made
    assert conducted(subject, CELLS) == (rows, [])


def test_a_failed_shuffled_donor_costs_its_cells_that_seed_and_no_others(comparison):
    subject = Subject(comparison, replace(TINY_DIAGNOSIS, transplant_seeds=2))
    donor = subject.run("spt", 0).pretraining
    donor = shuffled(donor)
    with TrainingFolder(subject.store, donor) as folder:
        folder.finish(TrainingResult(failure="loss stopped being finite"))
    rows, _ = conducted(subject, [alone("norms"), SHUFFLED, NOISE])
    with_accuracy = {
        (from_dict(Cell, row["of"]), row["seed"])
        for row in rows
        if row["name"] == "transplant_test_acc" and row["values"] is not None
    }
    assert with_accuracy == {*((cell, seed) for cell in (alone("norms"), NOISE) for seed in (0, 1)), (SHUFFLED, 1)}


def test_a_failed_transplant_has_no_accuracy(comparison):
    subject = Subject(comparison, TINY_DIAGNOSIS)
    labels, cell = subject.run("scratch", 0).labels, alone("norms")
    start = Start(source=subject.run("spt", 0).pretraining, groups=("norms",))
    with TrainingFolder(subject.store, replace(labels, start=start)) as folder:
        folder.finish(TrainingResult(failure="loss stopped being finite"))
    rows, _ = conducted(subject, [cell])
    assert {row["name"]: row["values"] for row in rows} == {
        "transplant_test_acc": None,
        "transplant_train_acc": None,
        "transplant_lr": 1e-2,
    }


def test_without_a_seed_of_both_arms_there_is_nothing_to_transplant(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    subject.runs = [run for run in subject.runs if (run.arm == "spt") == (run.seed == 0)]
    with pytest.raises(RequestError):
        module.conduct(subject, (), 1, LocalEngine, ignore)


def test_another_number_of_seeds_is_another_experiment(comparison, monkeypatch):
    """Transplants of one seed are no answer to who asks for two; runs that are there are kept."""
    monkeypatch.setattr(module, "cells", lambda groups: [alone("query-key")])
    for seeds in (1, 2):
        config = replace(TINY_DIAGNOSIS, sections=("transplants",), transplant_seeds=seeds)
        rows = diagnose(comparison, config).content["sections"]["transplants"]
        assert {row["seed"] for row in rows} == set(range(seeds))
