"""What is diagnosed, and with which sequences; what cannot be is refused with status 2 and one line that names it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import filelock
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY_DIAGNOSIS, ragged_task, tiny_config
from selfpretrain import diagnose
from selfpretrain.cli import main
from selfpretrain.config import LEAST_SAMPLE, DiagnoseConfig, ModelConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain import sampling
from selfpretrain.explain.sampling import Sampling
from selfpretrain.explain.subject import Subject
from selfpretrain.feed import make_batch
from selfpretrain.tasks.codec import Codec
from selfpretrain.tasks.task import Split, Task
from stand_in import fail, seal_again

FLAGS = ("--sample=20", "--large-sample=40", "--max-lag=2", "--sections=data")
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
    "a run of an unfinished comparison": (f"comparison/{SPT}", removed("summary.json"), "not finished"),
    "an unfinished run": (f"comparison/{SPT}", removed(f"{SPT}/DONE"), f"{SPT}/DONE"),
    "a run of another request": (
        "comparison/runs/joint-seed0",
        lambda f: (f / "runs/joint-seed0").mkdir(),
        "spt-seed0",
    ),
    "no snapshots": ("comparison", without_snapshots, "--snapshots"),
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


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_summary_is_named(text, ask, comparison):
    (comparison / "summary.json").write_text(text)
    status, error = ask("comparison", *FLAGS)
    assert status == 2
    assert "comparison/summary.json" in error.splitlines()[-1]


def test_a_refusal_is_one_line_in_a_process_of_its_own(cli, comparison):
    result = cli("diagnose", "comparison/runs", *FLAGS)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


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
    assert diagnose(comparison, TINY_DIAGNOSIS, task=tiny_task, sections=("data",)).content["sections"]["data"]
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
    files = {
        run.stages[1]: pretrain / "weights.safetensors",
        run.stages[2]: label / "weights.safetensors",
        run.along[1]: pretrain / "snapshots/000000006.safetensors",
        run.along[4]: label / "snapshots/000000009.safetensors",
    }
    for stage, path in files.items():
        stored = load_file(path)
        for name, weight in subject.model(run, stage).state_dict().items():
            # Along and after label training the reconstruction head is the one that self-pretraining left.
            of_head = name.startswith("reconstruction") and path.is_relative_to(label)
            assert torch.equal(weight, (before if of_head else stored)[name]), (stage, name)
    # The model at its last stage predicts what the run has predicted.
    batch = make_batch(subject.task.test, torch.device("cpu"))
    logits = subject.model(run, run.stages[2]).eval()(batch.x, batch.keep_mask)
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


def beginnings(split, length):
    """What may be drawn: class and number by the first so many positions of every sequence that has them."""
    there = zip(split.x, split.y, split.numbers, split.lengths, strict=True)
    return {(x[:length].astype(np.int64).tobytes(), y, number) for x, y, number, n in there if n >= length}


def drawn(sample):
    rows = zip(sample.batch.x, sample.batch.y.tolist(), sample.batch.draws.rows.tolist(), strict=True)
    return [(x.numpy().tobytes(), y, number) for x, y, number in rows]


def test_samples_are_fixed_of_one_length_and_keep_their_labels():
    task, objective = ragged_task(n=400), tiny_config().objective
    sizes = Sampling.of(task, ModelConfig(), DiagnoseConfig(sample=120, max_lag=2))
    assert 3 < sizes.length < task.length
    assert 120 == sizes.n_sample < sizes.n_large <= 200
    small, again, large = (sizes.draw(task.train, count, objective) for count in (120, 120, sizes.n_large))
    assert (len(small), len(large)) == (120, sizes.n_large)
    assert drawn(small) == drawn(again) == drawn(large)[:120]
    assert torch.equal(small.chosen, again.chosen)
    assert torch.equal(small.chosen, large.chosen[:120])
    for sample in (small, large):
        assert sample.batch.keep_mask is None
        assert sample.chosen.any(1).all()
        assert len(set(drawn(sample))) == len(sample)
        assert set(drawn(sample)) <= beginnings(task.train, sizes.length)
    held_out = sizes.draw(task.val, 40, objective)
    assert set(drawn(held_out)) <= beginnings(task.val, sizes.length)
    assert drawn(small) != sorted(drawn(small), key=lambda row: row[2])  # at random, not the first of the file


def test_models_are_looked_at_with_training_sequences_and_probes_scored_on_validation(finished):
    subject = Subject(finished, TINY_DIAGNOSIS)
    task, length = subject.task, subject.length
    assert (len(subject.sample), len(subject.large_sample), length) == (20, 40, 8)
    assert drawn(subject.sample) == drawn(subject.large_sample)[:20]
    assert set(drawn(subject.large_sample)) <= beginnings(task.train, length)
    assert sorted(drawn(subject.held_out())) == sorted(beginnings(task.val, length))


def test_ragged_sequences_need_no_flags():
    """Of lengths 1 to 30 neither all nor the longest alone: as many positions in all as possible."""
    lengths = np.arange(240) % 30 + 1
    generator = np.random.default_rng(0)
    splits = [Split(generator.integers(4, size=(n, 30)), lengths[:n], np.arange(n) % 2) for n in (240, 60, 60)]
    codec = Codec(kind="symbols", classes=("a", "b"), length=30, vocabulary=tuple("pqrs"))
    found = Sampling.of(Task("ragged", codec, *splits), ModelConfig(), DiagnoseConfig())
    assert found.length in (15, 16)
    assert found.n_sample == found.n_large == 8 * (31 - found.length)


def test_validation_sequences_shorter_than_the_rest_are_no_obstacle():
    task = ragged_task(n=200)
    task = replace(task, val=task.val.rows(np.flatnonzero(task.val.lengths <= 5)))
    assert Sampling.of(task, ModelConfig(), replace(TINY_DIAGNOSIS, max_lag=1)).length <= 5
    with pytest.raises(SettingError) as caught:
        Sampling.of(task, ModelConfig(), replace(TINY_DIAGNOSIS, max_lag=4))
    assert caught.value.setting == "max_lag"


def test_too_few_or_too_short_sequences_are_refused(tiny_task):
    few = replace(tiny_task, train=tiny_task.train.rows(np.arange(LEAST_SAMPLE - 1)))
    with pytest.raises(RequestError):
        Sampling.of(few, ModelConfig(), DiagnoseConfig())
    short = replace(tiny_task, train=replace(tiny_task.train, lengths=np.full(84, 2)))
    with pytest.raises(RequestError):
        Sampling.of(short, ModelConfig(), DiagnoseConfig(max_lag=1))


def test_longer_and_deeper_means_fewer_sequences(tiny_task, monkeypatch):
    each = 2 * 3 * tiny_task.length**2  # heads, layers
    monkeypatch.setattr(sampling, "SAMPLE_SCORES", 20 * each)
    monkeypatch.setattr(sampling, "LARGE_SAMPLE_SCORES", 60 * each)

    def sizes(depth, **asked):
        found = Sampling.of(tiny_task, ModelConfig(heads=2, depth=depth), DiagnoseConfig(max_lag=2, **asked))
        return found.n_sample, found.n_large

    assert sizes(3) == (20, 60)
    assert sizes(2) == (30, 84)  # there are no more
    assert sizes(6) == (LEAST_SAMPLE, 30)
    assert sizes(6, sample=40, large_sample=50) == (40, 50)  # as asked for
