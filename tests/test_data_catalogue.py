"""The catalogue: every task is listed and described, and a file that is made of one is that task again."""

import json
from dataclasses import fields

import numpy as np
import pytest

from selfpretrain.config import TaskConfig
from selfpretrain.data.catalogue import described, listed, make_file
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.registry import TASKS

FEWER = {"proximity": {"sequences": 40}, "noise": {"sequences": 40}, "skew": {"sequences": 40}, "digits": {}}
RAGGED = {"lra-listops": {"sequences": 60, "min_tokens": 5, "max_tokens": 60}}


def test_every_task_is_listed(tmp_path):
    lines = [line for line in listed(tmp_path) if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == list(TASKS)
    for line in lines:
        cls = TASKS[line.split()[0]]
        assert line.endswith(cls.__doc__.splitlines()[0])
        assert cls.size in line and line.split()[1] in ("made", "missing", "ready")


def test_the_size_of_a_task_is_that_of_its_defaults():
    for name, cls in TASKS.items():
        if not cls.__module__.startswith("selfpretrain."):
            continue
        own = {field.name: field.default for field in fields(cls)}
        rows, positions = cls.size.split(" x ")
        assert "sequences" not in own or rows == f"{own['sequences']:,}"
        for option in ("length", "bytes_kept", "piece_bytes"):
            assert option not in own or positions == f"{own[option]:,}"
        assert cls.grid is None or positions == f"{cls.grid[0] * cls.grid[1]:,}", name


@pytest.mark.parametrize("name", FEWER)
def test_a_task_is_described_with_rules_options_licence_and_statistics(name):
    text, task = described(TaskConfig(data=name, options=FEWER[name])), load_task(name, **FEWER[name])
    assert f"statistics of {40 if FEWER[name] else 1797} sequences" in text
    assert text.startswith(TASKS[name].__doc__.splitlines()[0])
    assert f"{len(task.train)} for training, {len(task.val)} for validation, {len(task.test)} for the test" in text
    assert "licence: " in text and text.endswith(f"most common class of the test split: {task.majority:.3f}")
    assert all(f"--{key.replace('_', '-')}" in text for key in FEWER[name])


@pytest.mark.parametrize(("name", "options"), (FEWER | RAGGED).items())
def test_a_file_that_was_made_of_a_task_is_that_task_again(name, options, tmp_path):
    own = load_task(name, **options)
    path = tmp_path / "sub" / ("made.jsonl" if own.kind == "symbols" else "made.npz")
    assert "sequences of" in make_file(TaskConfig(data=name, options=options), path)
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
    ("name", "out", "options", "message"),
    [
        ("listop", "x.npz", {}, "listop is unknown; did you mean lra-listops"),
        ("digits", "x.csv", {}, r"out .*x.csv cannot be made; name a file that ends in .jsonl, or in .npz for values"),
        ("digits", "x.jsonl", {}, "x.jsonl does not fit values; name a file that ends in .npz"),
        ("noise", "x.npz", {}, "does not fit symbols; name a file that ends in .jsonl"),
        ("digits", "x.npz", {"sequences": 5}, "sequences 5 does not apply to the task 'digits'"),
    ],
)
def test_a_file_that_cannot_be_made_is_refused_and_none_is_left(name, out, options, message, tmp_path):
    with pytest.raises(RequestError, match=message):
        make_file(TaskConfig(data=name, options=options), tmp_path / out)
    assert not list(tmp_path.iterdir())
