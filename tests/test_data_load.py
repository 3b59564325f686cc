"""A task by its name, from a file or from memory: what is taken, what is refused, and that nothing else decides."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from selfpretrain.config import TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError, SettingError

N = 60
CHANCE = np.random.default_rng(0)
STEPS = CHANCE.normal(size=(N, 6)).round(3)
CLASSES = ["up" if n % 2 else "down" for n in range(N)]


def test_arrays_and_lists_are_taken_from_memory():
    task = load_task(STEPS, np.arange(N) % 2)
    assert (task.kind, task.length, len(task.classes), task.source) == ("values", 6, 2, None)
    assert "in memory: 60 rows, sequences (60, 6) as values" in task.notes[0]
    channels = load_task(CHANCE.normal(size=(N, 5, 3)), CLASSES)
    assert channels.train.x.shape[1:] == (5, 3)
    ragged = load_task([list(CHANCE.integers(0, 9, 1 + n % 4)) for n in range(N)], CLASSES, kind="symbols")
    assert set(ragged.train.lengths) == {1, 2, 3, 4}
    text = load_task([f"word {n}" * (1 + n % 2) for n in range(N)], CLASSES)
    assert text.kind == "bytes"
    split = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    given = load_task(STEPS, CLASSES, split=split)
    assert (len(given.train), given.test.numbers.tolist()) == (40, list(range(50, 60)))
    hidden = load_task(STEPS, [None if n > 40 else n % 2 for n in range(N)])
    assert len(hidden.unlabelled) == N - 41


def test_an_array_is_the_same_as_its_rows():
    for x in (STEPS, CHANCE.integers(9, size=(N, 6)), CHANCE.integers(256, size=(N, 6, 2), dtype=np.uint8)):
        assert load_task(x, CLASSES).fingerprint == load_task(list(x), CLASSES).fingerprint


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((STEPS, CLASSES[:5]), {}, "60 sequences, 5 labels"),
        ((STEPS,), {}, r"load_task\(x, y\)"),
        (([], []), {}, "no sequences"),
        ((STEPS, CLASSES), {"split": ["train"]}, "60 sequences, 1 splits; give one split a sequence"),
        ((STEPS, CLASSES), {"group": ["p", "q"]}, "60 sequences, 2 groups; give one group a sequence"),
        ((STEPS, ["a"] * N), {}, "all labels are 'a'"),
        ((STEPS * np.nan, CLASSES), {}, "row 1: the sequence is empty"),
        (("noise",), {"probability": 0.5}, "probability 0.5 does not apply to the task 'noise'"),
        (("noise",), {"kind": "bytes"}, "kind bytes does not apply"),
        (("noise",), {"data_dir": "x"}, "data_dir x does not apply"),
        (("digits",), {"length": 9}, "its options: none"),
        (("proximity",), {"symbols": 2}, "3 or more"),
        (("proximity",), {"symbols": 2.5}, "symbols"),
        (("proximity",), {"fraction": 1.5}, "lies between"),
        (("proximity",), {"label_fraction": 0.0}, "lies between"),
        (("nope",), {}, "neither a built-in task"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(arguments, options, message):
    with pytest.raises(RequestError, match=message) as caught:
        load_task(*arguments, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("nonsense", 1), ("symbols", 3), ("label", "c"), ("test", "t.csv"), ("pair", "b")]
)
def test_an_option_that_sequences_in_memory_do_not_have_is_a_wrong_setting(name, value):
    with pytest.raises(
        SettingError, match=f"{name} {value} is no option of .* memory; they are allow_missing"
    ) as caught:
        load_task(STEPS, CLASSES, **{name: value})
    assert caught.value.setting == name


def test_a_share_of_training_has_so_many_of_each_class_and_test_data_stay_the_same():
    whole, part = (load_task("proximity", sequences=400, fraction=fraction) for fraction in (1.0, 0.25))
    assert len(part.train) == pytest.approx(len(whole.train) / 4, abs=1)
    assert abs(int((part.train.y == 0).sum()) - int((part.train.y == 1).sum())) <= 1
    assert set(part.train.numbers) < set(whole.train.numbers)
    for split in ("val", "test"):
        assert np.array_equal(getattr(part, split).x, getattr(whole, split).x)
    assert "70 of 280 training sequences are used (fraction 0.25)" in part.notes


def test_a_share_of_the_labels_hides_the_others_and_keeps_every_sequence():
    whole, fifth, tenth = (load_task("proximity", sequences=400, label_fraction=share) for share in (1.0, 0.2, 0.1))
    assert set(tenth.train.numbers) < set(fifth.train.numbers) < set(whole.train.numbers)
    assert np.bincount(tenth.train.y).tolist() == [14, 14]
    for task in (fifth, tenth):
        assert set(task.pretrain_rows.numbers) == set(whole.train.numbers)
        truth = dict(zip(whole.train.numbers.tolist(), whole.train.y.tolist(), strict=True))
        assert [truth[number] for number in task.train.numbers.tolist()] == task.train.y.tolist()
        for split in ("val", "test"):
            assert np.array_equal(getattr(task, split).x, getattr(whole, split).x)
    assert "28 of 280 training labels are used (label fraction 0.1)" in tenth.notes


def test_random_labels_are_as_many_of_each_class_and_say_nothing():
    true, random = (load_task("digits", random_labels=mixed) for mixed in (False, True))
    for split in ("train", "val", "test"):
        one, other = getattr(true, split), getattr(random, split)
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(np.bincount(one.y), np.bincount(other.y))
        assert np.mean(one.y == other.y) < 0.2
    assert true.fingerprint != random.fingerprint
    assert any("can only be memorised" in note for note in random.notes)


def test_data_depend_on_the_data_seed_alone():
    first, again, other = (load_task("proximity", sequences=100, data_seed=s) for s in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert (
        first.notes[0]
        == "built-in task proximity: symbols 8, length 80, probability 0.5, law mirror, step 2, sequences 100"
    )
    assert load_task(TaskConfig(data="proximity"), sequences=100).source == first.source


IN_ANOTHER_PROCESS = """
import sys
from selfpretrain import registry
from selfpretrain.data.load import load_task
registry.metadata.entry_points = lambda group: [type("Point", (), {"load": lambda self: None})()]
homes = []
registry.import_module = homes.append
registry.load_plugins()
task = load_task(sys.argv[1], sequence="first", pair="second")
print(homes, task.fingerprint, task.notes, task.codec)
try:
    load_task(sys.argv[1], series="first", sequence="second")
except ValueError as error:
    print(error)
"""


@pytest.mark.whole
def test_nothing_depends_on_the_order_of_a_set(tmp_path):
    rows = [
        {"first": f"{n % 7} x {n}", "second": f"w{n}", "label": f"class {n % 3}", f"other {n}": 1} for n in range(N)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    outputs = {
        subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS, tmp_path / "a.jsonl"],
            env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(2)
    }  # fmt: skip
    assert len(outputs) == 1
    assert "selfpretrain.data.builtin" in outputs.pop()


def test_labels_in_a_frame_never_become_a_step():
    steps, classes = {f"x{n}": STEPS[:, n].tolist() for n in range(3)}, [n % 2 for n in range(N)]
    holders = [classes, [float(c) for c in classes], np.array(classes), list(map(str, classes))]
    for outcome in holders:
        with pytest.raises(RequestError, match="the frame has the column 'outcome' and y is given, too"):
            load_task({**steps, "outcome": outcome}, classes)
    with pytest.raises(RequestError, match="the frame has the column 'label' and y is given, too"):
        load_task({**steps, "label": ["a"] * N}, classes)
    assert load_task(steps, classes).length == 3
