"""The catalogue: every task is listed and described, and a file that is made of one is that task again."""

import json
from dataclasses import fields

import numpy as np
import pytest

from selfpretrain.cli import main
from selfpretrain.config import TaskConfig
from selfpretrain.tasks.builtin import builtin_tasks
from selfpretrain.tasks.builtin.listops import evaluate
from selfpretrain.tasks.catalogue import make_file
from selfpretrain.tasks.load import load_task

FEWER = {"proximity": {"sequences": 40}, "noise": {"sequences": 40}, "skew": {"sequences": 40}, "digits": {}}
FEWER["lra-pathfinder"] = FEWER["lra-pathfinder-small"] = {"sequences": 30}
FEWER["lra-listops"] = FEWER["lra-listops-small"] = {"sequences": 60, "min_tokens": 5, "max_tokens": 60}


def test_every_task_is_listed(capsys):
    assert main(["data", "list"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(builtin_tasks())
    assert set(FEWER) <= set(builtin_tasks())
    for line in lines:
        cls = builtin_tasks()[line.split()[0]]
        assert line.endswith(cls.__doc__.splitlines()[0])
        assert cls.size in line and line.split()[1] in ("made", "missing", "ready")


def test_the_size_of_a_task_is_that_of_its_defaults():
    ours = {name: cls for name, cls in builtin_tasks().items() if cls.__module__.startswith("selfpretrain.")}
    for name, cls in ours.items():
        own = {field.name: field.default for field in fields(cls)}
        rows, positions = cls.size.split(" x ")
        assert "sequences" not in own or rows == f"{own['sequences']:,}"
        for option in ("length", "bytes_kept", "piece_bytes"):
            assert option not in own or positions == f"{own[option]:,}"
        assert cls.grid is None or positions == f"{cls.grid[0] * cls.grid[1]:,}", name


def test_a_task_whose_file_lies_in_the_folder_of_data_is_ready(tmp_path, capsys):
    assert main(["data", "list", "--data-dir", str(tmp_path)]) == 0
    assert "lra-pathx             made " in capsys.readouterr().out
    (tmp_path / "lra-pathx.npz").touch()
    (tmp_path / "digits.npz").touch()  # which digits does not read
    (tmp_path / "lra_release.gz").touch()  # which has to be unpacked
    assert main(["data", "list", "--data-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "lra-pathx             ready " in shown
    assert "digits                made " in shown and "lra-retrieval         missing " in shown


def test_describing_writes_no_file_whatever_else_is_asked(tmp_path, capsys):
    assert main(["data", "describe", "noise", "--sequences", "40", "--out", str(tmp_path / "n.jsonl")]) == 0
    assert "statistics of 40 sequences" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FEWER)
def test_a_task_is_described_with_rules_options_licence_and_statistics(name, capsys):
    options = [f"--{key.replace('_', '-')}={value}" for key, value in FEWER[name].items()]
    assert main(["data", "describe", name, *options]) == 0
    said = capsys.readouterr().out
    task = load_task(name, **FEWER[name])
    assert builtin_tasks()[name].__doc__.splitlines()[0] in said
    assert f"{len(task.train)} for training, {len(task.val)} for validation, {len(task.test)} for the test" in said
    assert "licence: " in said and f"always the commonest class of the test: {task.majority:.3f}" in said
    assert all(f"--{key.replace('_', '-')}" in said for key in FEWER[name])


@pytest.mark.parametrize("name", FEWER)
def test_a_file_that_was_made_of_a_task_is_that_task_again(name, tmp_path):
    own = load_task(name, **FEWER[name])
    path = tmp_path / ("made.jsonl" if own.kind == "symbols" else "made.npz")
    assert "sequences of" in make_file(TaskConfig(data=name, options=FEWER[name]), path)
    read = load_task(path, kind=own.kind)
    for ours, theirs in ((own.train, read.train), (own.val, read.val), (own.test, read.test)):
        assert decoded(own, ours) == decoded(read, theirs)


def decoded(task, split):
    """Rows as their symbols or rounded values, each with its class, in any order."""
    rows = []
    for x, length, label in zip(split.x, split.lengths, split.y, strict=True):
        row = [task.codec.vocabulary[i] for i in x[:length]] if task.kind == "symbols" else x[:length].round(3).tolist()
        rows.append(json.dumps([row, task.classes[label]]))
    return sorted(rows)


def test_a_line_of_listops_has_a_sequence_a_label_and_a_split(tmp_path):
    path = tmp_path / "sub" / "listops.jsonl"
    options = ["--sequences=60", "--min-tokens=5", "--max-tokens=60", "--data-seed=3"]
    assert main(["data", "make", "lra-listops", *options, f"--out={path}"]) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 60
    assert all(set(row) == {"sequence", "label", "split"} for row in rows)
    assert all(evaluate(row["sequence"]) == int(row["label"]) for row in rows)
    assert [row["split"] for row in rows].count("train") == 58


def test_values_become_an_archive_without_pickles(tmp_path):
    path = tmp_path / "digits.npz"
    make_file(TaskConfig(data="digits"), path)
    with np.load(path, allow_pickle=False) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "x_train": (1258, 64),
            "y_train": (1258,),
            "x_val": (270, 64),
            "y_val": (270,),
            "x_test": (269, 64),
            "y_test": (269,),
        }


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["describe"], "name a task"),
        (["describe", "listop"], "'listop' is no built-in task; they are proximity"),
        (["make", "digits"], "name the file with --out"),
        (["make", "digits", "--out=x.csv"], "--out x.csv is no file to make; name one that ends in .jsonl, or in .npz"),
        (["make", "digits", "--out=x.jsonl"], "--out x.jsonl does not fit values; name a file that ends in .npz"),
        (["make", "noise", "--out=x.npz"], "name a file that ends in .jsonl"),
        (["make", "digits", "--sequences=5", "--out=x.npz"], "--sequences 5 does not apply to the task 'digits'"),
        (["forget"], "'forget' is none of list, describe, make"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *argv]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
