"""What cannot be diagnosed is refused with status 2 and one line that says what would help."""

import json
import shutil

import filelock
import pytest
import torch

from conftest import ragged_task, tiny_config
from selfpretrain import diagnose
from selfpretrain.cli import main
from selfpretrain.comparison import compare
from selfpretrain.config import DiagnoseConfig, TrainConfig
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.errors import RequestError
from selfpretrain.objectives import label_losses
from selfpretrain.runs import read_weights

TINY = DiagnoseConfig(probe=20, sequences=40, curvature_probe=4, max_lag=2)
FLAGS = ("--probe=20", "--sequences=40", "--max-lag=2", "--parts=data")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_task):
    folder = tmp_path_factory.mktemp("subject") / "comparison"
    config = tiny_config(train=TrainConfig(lr=(1e-3, 1e-2), snapshots=2), arms=("scratch", "spt"), seeds=1)
    compare(tiny_task, config, out=folder)
    return folder


@pytest.fixture
def comparison(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "comparison")


def without_snapshots(folder):
    for path in folder.glob("runs/*/checkpoint/snapshot-*"):
        path.unlink()


def with_text(name, text):
    return lambda folder: (folder / name).write_text(text)


SPT = "runs/spt-seed0"
REFUSED = {
    "no folder": ("nowhere", lambda folder: None, "there is no such folder"),
    "a file": ("comparison/summary.json", lambda folder: None, "there is no such folder"),
    "another folder": ("comparison/runs", lambda folder: None, "neither a comparison nor one of its runs"),
    "an unfinished comparison": (
        "comparison",
        lambda f: (f / "summary.json").unlink(),
        "comparison is not finished",
    ),
    "an unfinished run": (f"comparison/{SPT}", lambda f: (f / SPT / "DONE").unlink(), "the run is not finished"),
    "a tuning run": ("comparison/tuning/spt-seed10000-lr0.01", lambda f: None, "only a comparison and the runs in its"),
    "no checkpoints": (
        "comparison",
        without_snapshots,
        "has no stored checkpoints to look at; run compare again",
    ),
    "no self-pretrained weights": (
        f"comparison/{SPT}",
        lambda f: (f / SPT / "checkpoint/pretrained.safetensors").unlink(),
        "has no stored checkpoints",
    ),
    "a damaged request": ("comparison", with_text("config.json", "{"), "config.json: missing or damaged"),
    "a damaged result": ("comparison", with_text(f"{SPT}/result.json", "{"), "result.json: missing or damaged"),
    "a run of an unfinished comparison": (
        f"comparison/{SPT}",
        lambda f: (f / "summary.json").unlink(),
        "the comparison is not finished",
    ),
    "a file in the way": ("comparison", with_text("diagnosis", ""), "diagnosis: a file is in the way"),
    "damaged metrics": ("comparison", with_text(f"{SPT}/metrics.jsonl", "{"), "metrics.jsonl: damaged"),
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
    target, spoil, said = REFUSED[case]
    spoil(comparison)
    status, error = ask(target, *FLAGS)
    assert status == 2
    assert said in error
    assert error.count("\n") == 1


def test_a_refusal_is_one_line_in_a_process_of_its_own(cli, comparison):
    result = cli("diagnose", "comparison/runs", *FLAGS)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--probe=1000",), "--probe 1000 does not fit: the task has 84 training sequences; give --probe 84 or fewer"),
        (("--probe=20", "--max-lag=7"), "give --max-lag 6 or fewer"),
        (("--probe=3",), "--probe 3 is too small; the least is 16"),
        (("--parts=attention,dreams",), "unknown part 'dreams'; the parts are data, attention"),
        (("--probe=20", "--grid=3,3"), "--grid 3,3 has not the 8 positions"),
        (("--grid=3",), "--grid 3: give two numbers, HEIGHT,WIDTH"),
        (("--grid=a,b",), "--grid"),
        (("--workers=0",), "--workers 0 is too small"),
        (("--porbe=3",), "did you mean --probe"),
        (("--transplant-seeds=0",), "--transplant-seeds 0 is too small"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(flags, said, ask, comparison):
    status, error = ask("comparison", "--max-lag=2", *flags)
    assert status == 2
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_weights_are_named(workers, ask, comparison):
    weights = comparison / SPT / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    status, error = ask("comparison", *FLAGS[:3], "--parts=attention", f"--workers={workers}")
    assert status == 2
    assert "model.safetensors: missing or damaged" in error


def test_data_that_changed_are_refused(comparison):
    known = json.loads((comparison / "config.json").read_text())
    known["request"]["task"]["data_seed"] = 1
    (comparison / "config.json").write_text(json.dumps(known))
    with pytest.raises(RequestError, match="the data have changed"):
        diagnose(comparison, TINY)


def test_a_task_from_python_must_be_given_again(tmp_path):
    task = ragged_task(n=120)
    compare(task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1), out=tmp_path / "made")
    with pytest.raises(RequestError, match=r"its data came from Python; call selfpretrain\.diagnose\("):
        diagnose(tmp_path / "made", TINY)
    assert diagnose(tmp_path / "made", TINY, task=task, parts=("data",)).content["parts"]["data"]
    with pytest.raises(RequestError, match="the data have changed"):
        diagnose(tmp_path / "made", TINY, task=ragged_task(n=120, seed=1))


def test_another_at_work_is_said(ask, comparison):
    (comparison / "diagnosis").mkdir()
    with filelock.FileLock(comparison / "diagnosis/.lock"):
        status, error = ask("comparison", *FLAGS)
    assert status == 2
    assert "another selfpretrain is at work there" in error


def test_the_probe_is_fixed_and_of_one_length(tmp_path):
    task = ragged_task(n=200)
    compare(task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1), out=tmp_path / "made")
    probes = [Subject(tmp_path / "made", TINY, task).probe for _ in range(2)]
    assert torch.equal(probes[0].batch.x, probes[1].batch.x)
    assert torch.equal(probes[0].chosen, probes[1].chosen)
    assert len(probes[0]) == 20
    assert probes[0].batch.keep_mask is None
    # Every probe sequence is the beginning of a training sequence that is at least as long.
    known = {
        row[: probes[0].length].tobytes()
        for row, length in zip(task.train.x, task.train.lengths, strict=True)
        if length >= probes[0].length
    }
    assert all(row.numpy().tobytes() in known for row in probes[0].batch.x)
    assert probes[0].chosen.any(1).all()


def test_stages_hold_the_weights_they_are_named_for(comparison):
    subject = Subject(comparison, TINY)
    run = subject.run("spt", 0)
    assert [stage.name for stage in run.stages] == ["init", "pretrained", "trained"]
    assert [(stage.name, stage.step) for stage in run.along] == [
        ("init", 0),
        *(("pretrain", 6), ("pretrain", 12), ("label", 5), ("label", 9)),
    ]
    pretrained = read_weights(run.path / "checkpoint/pretrained.safetensors")
    final = read_weights(run.path / "model/model.safetensors")
    trained = subject.model(run, run.stages[2]).state_dict()
    for name, weight in trained.items():
        # After label training the reconstruction head is the one that self-pretraining left.
        expected = pretrained if name.startswith("reconstruction") else final
        assert torch.equal(weight, expected[name])
    # The model at its last stage does what the run's predictions say it does.
    losses = label_losses(subject.model(run, run.stages[2]), subject.probe.batch)
    assert losses.shape == (20,)
