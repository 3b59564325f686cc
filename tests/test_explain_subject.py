"""What cannot be diagnosed is refused with status 2 and one line that says what would help."""

import json
import shutil
from dataclasses import replace

import filelock
import numpy as np
import pytest
import torch

from conftest import ragged_task, tiny_config
from selfpretrain import diagnose
from selfpretrain.cli import main
from selfpretrain.comparison import compare
from selfpretrain.config import DiagnoseConfig, TrainConfig
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.errors import RequestError
from selfpretrain.objectives import make_batch
from selfpretrain.runs import read_weights
from selfpretrain.tasks import Split, Task

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
    "a file": ("comparison/summary.json", lambda folder: None, "is a file; name the folder"),
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
    "damaged metrics": (
        "comparison",
        with_text(f"{SPT}/metrics.jsonl", "{"),
        "metrics.jsonl or result.json is damaged",
    ),
    "empty metrics": ("comparison", with_text(f"{SPT}/metrics.jsonl", ""), "metrics.jsonl or result.json is damaged"),
    "an empty result": ("comparison", with_text(f"{SPT}/result.json", "{}"), "result.json: missing or damaged"),
    "a result that is a list": ("comparison", with_text(f"{SPT}/result.json", "[]"), "result.json: missing or damaged"),
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


def test_weights_of_another_model_are_named(ask, comparison):
    config = comparison / SPT / "config.json"
    config.write_text(config.read_text().replace('"depth": 1', '"depth": 2'))
    status, error = ask("comparison", *FLAGS[:3], "--parts=attention")
    assert status == 2
    assert "pretrained.safetensors: not the weights of this run" in error


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
    # Snapshots along label training have that head, too.
    along = subject.model(run, run.along[-1]).state_dict()
    assert all(torch.equal(along[name], pretrained[name]) for name in along if name.startswith("reconstruction"))
    # The model at its last stage predicts what the run has predicted.
    batch = make_batch(subject.task.test, torch.device("cpu"))
    logits = subject.model(run, run.stages[2]).eval().classify(batch.x, batch.keep_mask)
    assert torch.equal(logits.argmax(1), read_weights(run.path / "predictions.safetensors")["predicted"])


def test_the_self_pretrained_stage_is_where_validation_was_best(comparison):
    run = Subject(comparison, TINY).run("spt", 0)
    losses = {step: abs(step - 6) for step in (3, 6, 9, 12)}
    rows = [{"phase": "pretrain", "step": step, "val_loss": loss} for step, loss in losses.items()]
    assert replace(run, rows=[*rows, {"phase": "label", "step": 1, "val_loss": -1.0}]).stages[1].step == 6


def test_sequences_keep_their_labels_and_validation_is_held_out(tmp_path):
    task = ragged_task(n=300)
    compare(task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1), out=tmp_path / "made")
    subject = Subject(tmp_path / "made", TINY, task)
    for probe, split in ((subject.probe, task.train), (subject.sample, task.train), (subject.held_out(), task.val)):
        pairs = {
            (row[: probe.length].tobytes(), label)
            for row, label, length in zip(split.x, split.y, split.lengths, strict=True)
            if length >= probe.length
        }
        found = [(x.numpy().tobytes(), y) for x, y in zip(probe.batch.x, probe.batch.y.tolist(), strict=True)]
        assert set(found) <= pairs
        assert len(set(found)) > 10  # sequences of few positions may well be alike


def test_ragged_sequences_need_no_flags(tmp_path):
    """Of lengths 1 to 30 neither all nor the longest alone: as many positions in all as possible."""
    lengths = np.arange(240) % 30 + 1
    generator = np.random.default_rng(0)
    splits = [Split(generator.integers(4, size=(n, 30)), lengths[:n], np.arange(n) % 2) for n in (240, 60, 60)]
    task = Task("ragged", "symbols", ("a", "b"), ("p", "q", "r", "s"), *splits)
    compare(task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1), out=tmp_path / "made")
    subject = Subject(tmp_path / "made", DiagnoseConfig(), task)
    assert subject.length in (15, 16)
    assert len(subject.probe) == len(subject.sample) == 8 * (31 - subject.length)


def test_landscapes_are_of_the_first_seed_that_has_both(comparison):
    """The comparison has one seed; runs of another are made up beside it."""
    subject = Subject(comparison, TINY)
    first = subject.runs
    later = [replace(run, config=replace(run.config, seed=1)) for run in first]
    subject.runs = [*later, *first]
    assert {run.config.seed for run in subject.pictured} == {0}
    subject.runs = [*later, first[0]]
    assert {run.config.seed for run in subject.pictured} == {1}
    others = [
        replace(run, config=replace(run.config, arm=arm)) for run, arm in zip(first, ("joint", "mimetic"), strict=True)
    ]
    subject.runs = [*others, *(replace(run, config=replace(run.config, seed=1)) for run in others)]
    assert [(run.config.arm, run.config.seed) for run in subject.pictured] == [("joint", 0), ("mimetic", 0)]


def test_longer_and_deeper_means_fewer_sequences(comparison):
    subject = Subject(comparison, TINY)
    assert (len(subject.probe), len(subject.sample)) == (20, 40)  # as asked for
    model = subject.request.model
    for factor in (2, 3):
        entries = 20 * factor * model.heads * model.depth * subject.length**2
        subject.request = replace(subject.request, model=replace(model, depth=model.depth * factor))
        assert subject._affordable(1000, entries) == 20
        subject.request = replace(subject.request, model=model)
        assert subject._affordable(1000, entries) == 20 * factor
