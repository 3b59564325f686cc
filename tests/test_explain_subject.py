"""What is diagnosed: the right weights at every stage; what cannot be is refused with one line that names it."""

import json
from types import SimpleNamespace

import filelock
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY_DIAGNOSIS, ragged_task
from selfpretrain import diagnose
from selfpretrain.cli import main
from selfpretrain.data.feed import make_batch
from selfpretrain.errors import RequestError
from selfpretrain.explain.subject import Subject
from stand_in import fail, seal_again

FLAGS = ("--sample=20", "--max-lag=2", "--sections=data")
SPT = "runs/spt-seed0"


def trainings_of(folder):
    """Folders of the label training of a run, and of the self-pretraining that it starts from."""
    run = Subject(folder, TINY_DIAGNOSIS).run("spt", 0)
    return run.store.path(run.labels), run.store.path(run.pretraining)


def without_snapshots(folder):
    """As if they had never been kept."""
    for training in trainings_of(folder):
        for path in (training / "snapshots").iterdir():
            path.unlink()
        seal_again(training)


def removed(name):
    return lambda folder: (folder / name).unlink()


def with_text(name, text):
    return lambda folder: (folder / name).write_text(text)


REFUSED = {
    "no folder": ("nowhere", lambda folder: None, "nowhere"),
    "a file": ("comparison/summary.json", lambda folder: None, "comparison/summary.json"),
    "another folder": ("comparison/runs", lambda folder: None, "comparison/runs"),
    "a training": ("comparison/trainings/spt", lambda f: trainings_of(f)[0].rename(f / "trainings/spt"), "spt"),
    "an unfinished comparison": ("comparison", removed("summary.json"), "not finished"),
    "a damaged summary": ("comparison", with_text("summary.json", "{}"), "not finished"),
    "a run of an unfinished comparison": (f"comparison/{SPT}", removed("summary.json"), "not finished"),
    "an unfinished run": (f"comparison/{SPT}", removed(f"{SPT}/DONE"), f"{SPT}/DONE"),
    "a run of another request": (
        "comparison/runs/joint-seed0",
        lambda f: (f / "runs/joint-seed0").mkdir(),
        "spt-seed0",
    ),
    "no snapshots": ("comparison", without_snapshots, "TrainConfig.snapshots"),
    "a damaged request": ("comparison", with_text("config.json", "{"), "config.json"),
    "an empty request": ("comparison", with_text("config.json", "{}"), "config.json"),
    "a file in the way": ("comparison", with_text("diagnosis", ""), "comparison/diagnosis"),
}


@pytest.fixture
def ask(monkeypatch, tmp_path, capsys):
    """The command line in this process, which saves its start: exit status and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(["diagnose", *arguments])
        printed = capsys.readouterr()
        assert printed.out == ""
        return status, printed.err

    return run


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_finished_comparison_is_refused(case, ask, comparison):
    target, spoil, named = REFUSED[case]
    spoil(comparison)
    status, error = ask(target, *FLAGS)
    assert status == 2
    assert named in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--sample=1000",), ("--sample 1000", "84")),
        (("--sample=20", "--max-lag=7"), ("--max-lag 7", "6")),
        (("--sample=3",), ("--sample 3", "16")),
        (("--sections=attention,dreams",), ("--sections dreams", "landscape")),
        (("--sample=20", "--grid=3,3"), ("--grid 3,3", "8")),
        (("--grid=3",), ("--grid 3", "HEIGHT,WIDTH")),
        (("--grid=a,b",), ("--grid",)),
        (("--workers=0",), ("--workers 0", "1")),
        (("--samlpe=3",), ("--samlpe", "--sample")),
        (("--transplant-seeds=0",), ("--transplant-seeds 0", "1")),
    ],
)
def test_a_request_that_does_not_fit_is_refused_with_the_flag_and_what_would_fit(flags, named, ask, comparison):
    status, error = ask("comparison", "--max-lag=2", *flags)
    assert status == 2
    assert all(words in error for words in named)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("of", "name"),
    [
        *(("run", name) for name in ("result.json", "metrics.jsonl", "config.json", "model/model.safetensors")),
        *(("label", name) for name in ("weights.safetensors", "result.json", "snapshots/000000009.safetensors")),
        *(("pretrain", name) for name in ("weights.safetensors", "manifest.json")),
    ],
)
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.unlink()])
def test_a_damaged_file_of_a_run_or_a_training_is_named(of, name, damage, ask, comparison):
    folders = {"run": comparison / SPT, **dict(zip(("label", "pretrain"), trainings_of(comparison), strict=True))}
    damage(folders[of] / name)
    status, error = ask("comparison", *FLAGS)
    assert status == 2
    assert str((folders[of] / name).relative_to(comparison)) in error
    assert not (comparison / "diagnosis").exists()


def test_a_run_that_another_run_does_not_need_may_be_damaged(ask, comparison):
    (comparison / SPT / "result.json").write_text("{")
    assert diagnose(comparison / "runs/scratch-seed0", TINY_DIAGNOSIS, sections=("data",)).folder.is_dir()


def test_a_comparison_may_lie_in_a_folder_named_runs(comparison, tmp_path):
    """As it does where no --out is given."""
    (tmp_path / "runs").mkdir()
    assert Subject(comparison.rename(tmp_path / "runs/proximity"), TINY_DIAGNOSIS).whole


def edited(folder, **source):
    """The request, with another source of its data."""
    known = json.loads((folder / "config.json").read_text())
    known["source"] = {**known["source"], **source} if source else None
    (folder / "config.json").write_text(json.dumps(known))


def test_data_that_changed_are_refused(comparison):
    edited(comparison, data_seed=1)
    with pytest.raises(RequestError, match="the data have changed"):
        Subject(comparison, TINY_DIAGNOSIS)


def test_data_that_are_gone_are_refused(comparison):
    edited(comparison, data="nowhere.csv", options={})
    with pytest.raises(RequestError, match=r"nowhere\.csv"):
        Subject(comparison, TINY_DIAGNOSIS)


def test_a_task_from_python_must_be_given_again(comparison, tiny_task):
    edited(comparison)
    with pytest.raises(RequestError, match="task="):
        diagnose(comparison, TINY_DIAGNOSIS, sections=("data",))
    assert len(diagnose(comparison, TINY_DIAGNOSIS, task=tiny_task, sections=("data",)).table)
    with pytest.raises(RequestError, match="the data have changed"):
        diagnose(comparison, TINY_DIAGNOSIS, task=ragged_task(n=120), sections=("data",))


def test_another_at_work_is_said(ask, comparison):
    with filelock.FileLock(comparison / ".lock"):
        status, error = ask("comparison", *FLAGS)
    assert status == 2
    assert "at work there" in error


def test_stages_hold_the_weights_they_are_named_for(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    run = subject.run("spt", 0)
    assert [stage.name for stage in run.stages] == ["start", "after-pretrain", "after-label"]
    assert [(stage.name, stage.step) for stage in run.along] == [
        ("start", 0),
        *(("along-pretrain", 6), ("along-pretrain", 12), ("along-label", 5), ("along-label", 9)),
    ]
    label, pretrain = trainings_of(finished)
    before = load_file(pretrain / "weights.safetensors")
    files = [
        (run.stages[1], pretrain / "weights.safetensors"),
        (run.stages[2], label / "weights.safetensors"),
        (run.along[1], pretrain / "snapshots/000000006.safetensors"),
        (run.along[4], label / "snapshots/000000009.safetensors"),
    ]
    for stage, path in files:
        stored = load_file(path)
        for name, weight in subject.model(run, stage).state_dict().items():
            # Along and after label training the reconstruction head is the one that self-pretraining left.
            of_head = name.startswith("reconstruction") and path.is_relative_to(label)
            assert torch.equal(weight, (before if of_head else stored)[name]), (stage, name)
    # The model at its last stage predicts what the run has predicted.
    batch = make_batch(subject.task.test, torch.device("cpu"))
    logits = subject.model(run, run.stages[2]).eval()(batch.x, batch.keep_mask).logits
    assert torch.equal(logits.argmax(1), load_file(finished / SPT / "predictions.safetensors")["predicted"])


def test_the_start_is_the_seeds_own_and_looked_at_once(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    starts = {(run.arm, run.seed): subject.model(run, run.stages[0]).state_dict() for run in subject.runs}

    def same(a, b):
        return all(torch.equal(weight, starts[b][name]) for name, weight in starts[a].items())

    assert same(("scratch", 1), ("spt", 1))
    assert not same(("scratch", 1), ("scratch", 0))
    assert not same(("scratch", 1), ("mimetic", 1))
    measured = {(run.arm, run.seed) for run in subject.runs if subject.stages(run)[0].name == "start"}
    assert measured == {(arm, seed) for arm in ("scratch", "mimetic") for seed in range(3)}
    spt = subject.run("spt", 1)
    assert subject.stages(spt, among=[spt])[0].name == "start"


def test_a_stage_has_the_step_of_the_validation_that_was_kept(comparison):
    label, pretrain = trainings_of(comparison)
    for training, step in ((label, 3), (pretrain, 8)):
        result = json.loads((training / "result.json").read_text())
        (training / "result.json").write_text(json.dumps({**result, "selected_step": step}))
        seal_again(training)
    assert [stage.step for stage in Subject(comparison, TINY_DIAGNOSIS).run("spt", 0).stages] == [0, 8, 3]


def test_failed_runs_and_classical_models_are_left_out_with_the_reason(comparison):
    fail(comparison, "spt", 0)
    subject = Subject(comparison, TINY_DIAGNOSIS)
    assert subject.run("spt", 0) is None
    assert [run.name for run in subject.by_seed[0]] == ["scratch-seed0", "mimetic-seed0"]
    assert subject.skipped[0].startswith("spt-seed0: loss stopped being finite")
    assert [text.split(":")[0] for text in subject.skipped[1:]] == ["classical-seed0"]  # it has one run


def test_landscapes_are_of_the_first_seed_that_has_both(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)

    def pictured(*runs):
        subject.runs = [SimpleNamespace(arm=arm, seed=seed) for arm, seed in runs]
        return [(run.arm, run.seed) for run in subject.pictured]

    both = [("scratch", 1), ("spt", 1)]
    assert pictured(("scratch", 2), *both, ("spt", 2)) == both
    assert pictured(("scratch", 0), *both) == both
    assert pictured(("spt", 1), ("mimetic", 0)) == [("spt", 1)]
    assert pictured(("joint", 1), ("joint", 0), ("mimetic", 0), ("scratch-long", 0)) == [("joint", 0), ("mimetic", 0)]
