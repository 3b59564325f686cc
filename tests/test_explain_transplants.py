"""Transplants: every cell asks for the training that its name says, from the donor of its own seed, and is tuned.

What a training makes of its start, noise and frozen groups is tested in test_model_groups.py and test_train_work.py;
the matrix of cells in test_explain_cells.py.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from conftest import TINY_DIAGNOSIS
from selfpretrain import diagnose
from selfpretrain.arms.builtin import SLOPE
from selfpretrain.comparison.run import read_run
from selfpretrain.comparison.summary import ContrastSummary
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
from selfpretrain.explain.table import pick, tidy
from selfpretrain.files import read_json
from selfpretrain.model.groups import ENCODER
from selfpretrain.train.store import TrainingFolder
from selfpretrain.train.training import Start, TrainingResult
from selfpretrain.watch import Done, ignore
from stand_in import fail, numbers
from stand_in import made as made_up

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


def conducted(subject, chosen, known=None):
    """The table, None where nothing is to be added to what is known, and the names of jobs that were done."""
    events = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "cells", lambda groups: chosen)
        rows = module.conduct(subject, known, 1, LocalEngine, events.append)
    jobs = [event.job for event in events if isinstance(event, Done)]
    return None if rows is None else tidy("transplants", rows), jobs


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


def donor_of(subject, cell, seed, lr):
    """The self-pretraining that a cell takes weights from; None for one that takes none."""
    if cell.donor == "handmade":
        return None
    donor = subject.run("spt", SEED).pretraining
    donor = replace(donor, seed=seed, plan=replace(donor.plan, lr=lr))
    return shuffled(donor) if cell.donor == "shuffled" else donor


def expected(subject, cell, seed, lr, donor):
    """The training of a cell, from those of the arms."""
    labels = subject.run("scratch", SEED).labels
    training = replace(labels, seed=seed, plan=replace(labels.plan, lr=lr), frozen=cell.frozen)
    if cell.donor == "handmade":
        return replace(training, model=replace(labels.model, proximity_bias=SLOPE))
    if cell.donor == "maps":
        return replace(training, start=Start(source=donor, groups=(), maps=True))
    return replace(training, start=Start(source=donor, groups=cell.taken, noise=cell.donor == "random"))


def searched(subject, cell):
    """Donors and label trainings of every rate, and the picks of either, by plain comparisons of results."""

    def result(training):
        return subject.store.finished(training).result

    donors = [donor_of(subject, cell, SEED, lr) for lr in GRID]
    donor = donors[0] and min(donors, key=lambda donor: result(donor).val_reconstruction)
    trials = [expected(subject, cell, SEED, lr, donor) for lr in GRID]
    return [d for d in donors if d], trials, max(trials, key=lambda t: (result(t).val.acc, -result(t).val.loss))


def picked(table, cell, name="transplant_lr"):
    return numbers(table, name, cell=cell.name, seed=SEED)


def run_of(subject, cell):
    return read_run(subject.comparison.path / f"transplants/{cell.name}-seed{SEED}")


def test_seeds_in_which_an_arm_failed_are_left_out(made):
    _, table, _ = made
    assert set(table["seed"]) == {SEED}
    assert set(table["cell"]) == {cell.name for cell in CELLS}


def test_some_cells_alone_can_be_asked_for_and_a_wrong_name_is_refused_before_anything_is_measured(comparison):
    names = (all_but("query-key", ENCODER).name, alone("query-key").name)
    subject = Subject(comparison, replace(TINY_DIAGNOSIS, cells=names))
    assert {cell.name for cell in module.matrix(subject.request, names)} == set(names)
    with pytest.raises(SettingError, match=r"spt\.key\.free is no transplant here; they are spt\.embedding\.free"):
        diagnose(comparison, TINY_DIAGNOSIS, sections=("data", "transplants"), cells=("spt.key.free",))
    assert not (comparison / "diagnosis").exists()


def test_cells_that_are_known_stay_when_others_are_asked_for(comparison):
    one, two = alone("query-key").name, alone("norms").name

    def asked(cell, seeds=1):
        """Cells and seeds in the table, and of which something was trained."""
        events, settings = [], replace(TINY_DIAGNOSIS, sections=("transplants",), transplant_seeds=seeds)
        table = diagnose(comparison, settings, cells=(cell,), watch=events.append).table
        jobs = " ".join(event.job for event in events if isinstance(event, Done))
        return set(table["cell"]), set(table["seed"]), {name for name in (one, two) if name in jobs}

    assert asked(one) == ({one}, {0}, {one})
    assert asked(two) == ({one, two}, {0}, {two})
    assert asked(one) == ({one, two}, {0}, set())
    # Transplants of one seed are no answer to who asks for two.
    assert asked(one, seeds=2) == ({one}, {0, 1}, {one})


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_cell_is_the_training_that_it_is_named_for_with_rates_picked_by_its_own_seed(cell, made):
    subject, table, _ = made
    _, _, training = searched(subject, cell)
    run, y = run_of(subject, cell), subject.task.test.y
    assert run.record.training == training
    assert picked(table, cell) == training.plan.lr
    assert (run.record.arm, run.record.seed, run.record.task) == (cell.name, SEED, subject.task.fingerprint)
    # What is reported is accuracy on test data, and the best on training data.
    assert picked(table, cell, "transplant_test_acc") == pytest.approx(np.mean(run.predicted == y), rel=1e-6)
    best = max(row["train_sample_acc"] for row in run.phase("label"))
    assert picked(table, cell, "transplant_train_acc") == pytest.approx(best, rel=1e-6)


def test_nothing_else_is_trained_and_shared_donors_once(made, finished):
    subject, _, done = made
    made_in = subject.comparison.path
    keys = {training.key for cell in CELLS for part in searched(subject, cell)[:2] for training in part}
    before, after = ({path.name for path in (folder / "trainings").iterdir()} for folder in (finished, made_in))
    assert after - before == keys - before
    # What they may use was written down before, for every rate that might have been picked.
    assert keys <= set(read_json(subject.comparison.transplants / "trainings.json"))
    # Donors at the rate that the comparison had not tried, and shuffled ones at both.
    assert sum(" pretrain " in name for name in done) == 3
    assert sum(" label " in name for name in done) == len(CELLS) * len(GRID)


def test_a_second_call_trains_nothing_and_says_the_same(made):
    subject, table, _ = made
    again, jobs = conducted(subject, CELLS)
    assert again.equals(table) and not jobs
    assert conducted(subject, CELLS, table) == (None, [])


def test_a_failed_shuffled_donor_costs_its_cells_that_seed_and_no_others(comparison):
    subject = Subject(comparison, replace(TINY_DIAGNOSIS, transplant_seeds=2))
    with TrainingFolder(subject.store, shuffled(subject.run("spt", 0).pretraining)) as folder:
        folder.finish(TrainingResult(failure="loss stopped being finite"))
    table, _ = conducted(subject, [alone("norms"), SHUFFLED, NOISE])
    with_accuracy = pick(table, "transplant_test_acc").dropna(subset="value")[["cell", "seed"]]
    expected = {*((cell.name, seed) for cell in (alone("norms"), NOISE) for seed in (0, 1)), (SHUFFLED.name, 1)}
    assert set(with_accuracy.itertuples(index=False, name=None)) == expected


def test_a_failed_transplant_has_no_accuracy(comparison):
    subject = Subject(comparison, TINY_DIAGNOSIS)
    labels, cell = subject.run("scratch", 0).labels, alone("norms")
    start = Start(source=subject.run("spt", 0).pretraining, groups=("norms",))
    with TrainingFolder(subject.store, replace(labels, start=start)) as folder:
        folder.finish(TrainingResult(failure="loss stopped being finite"))
    table, _ = conducted(subject, [cell])
    by_name = table.set_index("name")["value"].to_dict()
    expected = {"transplant_test_acc": np.nan, "transplant_train_acc": np.nan, "transplant_lr": 1e-2}
    np.testing.assert_equal(by_name, expected)


def test_without_a_seed_of_both_arms_there_is_nothing_to_transplant(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    subject.runs = [run for run in subject.runs if (run.arm == "spt") == (run.seed == 0)]
    with pytest.raises(RequestError):
        module.conduct(subject, None, 1, LocalEngine, ignore)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"whole": False}, "single run"),
        ({"arms": ("scratch", "joint")}, "has no spt"),
        ({"arms": ("spt",)}, "has no scratch"),
        *(({"outcome": outcome}, f"'{outcome}'") for outcome in ("loses", "no detectable effect")),
        ({"outcome": None}, "'not compared'"),
    ],
)
def test_without_a_gain_between_scratch_and_spt_nothing_is_transplanted_and_why_is_said(facts, why, finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    subject.whole = facts.get("whole", True)
    config = subject.request.config
    subject.request = replace(subject.request, config=replace(config, arms=facts.get("arms", config.arms)))
    outcome = facts.get("outcome", "helps")
    contrast = made_up(ContrastSummary, arm="spt", against="scratch", outcome=outcome)
    subject.summary = replace(subject.summary, comparisons=() if outcome is None else (contrast,))
    events = []
    assert module.conduct(subject, None, 1, LocalEngine, events.append) is None
    assert [why in event.text for event in events] == [True]
