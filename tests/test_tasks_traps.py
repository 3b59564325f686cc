"""What real files have that nobody expects: each through the real command line, and from Python."""

import csv
import json

import numpy as np
import pytest

from conftest import TINY_FLAGS
from selfpretrain.errors import RequestError
from selfpretrain.tasks.load import load_task

FLAGS = [flag for flag in TINY_FLAGS if not flag.startswith(("--symbols", "--length", "--sequences"))]
N = 60
CHANCE = np.random.default_rng(0)
STEPS = CHANCE.normal(size=(N, 6)).round(3)
CLASSES = ["up" if n % 2 else "down" for n in range(N)]


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def compare(cli):
    """The first line that the command line says of a file."""

    def run(name, *more, code=0):
        result = cli("compare", name, *FLAGS, "--arms=classical", "--out=o", *more)
        assert result.returncode == code, result.stderr
        return result.stderr

    return run


def long_table(path, *, shuffled=False):
    """A row a time step: patient, minute, two channels, class."""
    rows = [(f"p{n}", 10 * t, *STEPS[n, t : t + 2], CLASSES[n]) for n in range(N) for t in range(5 - n % 2)]
    if shuffled:
        rows = [rows[index] for index in np.random.default_rng(1).permutation(len(rows))]
    return write(path, ("patient", "minute", "pulse", "flow", "label"), rows)


@pytest.mark.whole
def test_minus_one_among_whole_numbers_is_no_label(compare, tmp_path):
    y = np.arange(N) % 2
    y[40:] = -1
    np.savez(tmp_path / "a.npz", x=STEPS, y=y)
    said = compare("a.npz")
    assert "label from y (2 classes, 20 without)" in said
    assert "20 training rows have no label; self-pretraining alone sees them" in said


def test_minus_one_and_one_are_two_classes(tmp_path):
    np.savez(tmp_path / "a.npz", x=STEPS, y=np.where(np.arange(N) % 2, 1, -1))
    assert load_task(tmp_path / "a.npz").classes == ("-1", "1")


@pytest.mark.whole
@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet", "npz"])
def test_what_is_not_used_is_named_in_every_format(compare, tmp_path, extension):
    texts = [" ".join(map(str, row)) for row in STEPS]
    path = tmp_path / f"a.{extension}"
    if extension == "npz":
        np.savez(path, x=STEPS, y=np.arange(N) % 2, weather=np.ones(3))
    elif extension == "jsonl":
        rows = [{"sequence": s, "label": c, "weather": 1} for s, c in zip(texts, CLASSES, strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    elif extension == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"sequence": texts, "label": CLASSES, "weather": [1] * N}), path)
    else:
        separator = "\t" if extension == "tsv" else ","
        lines = [separator.join(row) for row in zip(texts, CLASSES, ["1"] * N, strict=True)]
        path.write_text("\n".join([separator.join(("sequence", "label", "weather")), *lines]))
    assert "not used: weather" in compare(path.name)


@pytest.mark.whole
@pytest.mark.parametrize("names", [[f"case {n}" for n in range(N)], list(range(1000, 1000 + N))])
def test_an_identifier_among_step_columns_is_left_out_and_said(compare, tmp_path, names):
    header = ("key", *(f"t{t}" for t in range(6)), "label")
    write(tmp_path / "a.csv", header, [(k, *row, c) for k, row, c in zip(names, STEPS, CLASSES, strict=True)])
    said = compare("a.csv")
    assert "column key has another value in every row: taken for an identifier and left out" in said
    assert "t0 .. t5, 6 steps" in said


def test_step_columns_of_distinct_whole_numbers_stay(tmp_path):
    header = (*(f"t{t}" for t in range(6)), "label")
    x = np.random.default_rng(2).permuted(np.tile(np.arange(1000, 1000 + N), (6, 1)), axis=1).T
    path = write(tmp_path / "a.csv", header, [(*row, c) for row, c in zip(x, CLASSES, strict=True)])
    assert load_task(path).length == 6


@pytest.mark.whole
def test_a_long_table_is_recognised_and_read_with_the_options_that_are_named(compare, tmp_path):
    long_table(tmp_path / "long.csv", shuffled=True)
    plain = long_table(tmp_path / "plain.csv")
    refused = compare("plain.csv", code=2)
    assert "--series patient --time minute" in refused
    said = compare("long.csv", "--series", "patient", "--time", "minute")
    assert f"a row is a time step; {N} sequences by column patient" in said
    in_order = load_task(plain, series="patient", sequence="pulse,flow")  # whose rows stand in order
    mixed = load_task(tmp_path / "long.csv", series="patient", time="minute")
    assert in_order.codec.kind == "values"
    assert {len(task.train) + len(task.val) + len(task.test) for task in (in_order, mixed)} == {N}
    raw = {tuple(STEPS[n, : 5 - n % 2]) for n in range(N)}
    for task in (in_order, mixed):
        mean, std = (np.array(part) for part in (task.codec.mean, task.codec.std))
        for split in (task.train, task.val, task.test):
            for x, length in zip(split.x, split.lengths, strict=True):
                first = tuple((x[:length, 0] * std[0] + mean[0]).round(3).tolist())
                assert first in raw


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: rows.__setitem__(3, (*rows[3][:4], "sideways")), "give each series one"),
        (lambda rows: rows.__setitem__(3, ("", *rows[3][1:])), "row 4: column 'patient' is empty"),
        (lambda rows: rows.__setitem__(3, (rows[3][0], "", *rows[3][2:])), "row 4: column 'minute' is empty"),
    ],
)
def test_a_long_table_that_contradicts_itself_is_refused(tmp_path, change, match):
    rows = list(csv.reader(long_table(tmp_path / "long.csv").read_text().splitlines()))
    body = [tuple(row) for row in rows[1:]]
    change(body)
    write(tmp_path / "long.csv", rows[0], body)
    with pytest.raises(RequestError, match=match):
        load_task(tmp_path / "long.csv", series="patient", time="minute")


@pytest.mark.whole
def test_the_splits_that_were_cut_are_said(compare, tmp_path):
    texts = [" ".join(map(str, row)) for row in STEPS]
    parts = ["test" if n % 3 == 0 else "train" for n in range(N)]
    write(tmp_path / "a.csv", ("sequence", "label", "split"), list(zip(texts, CLASSES, parts, strict=True)))
    assert "splits: train and test given, val cut from train" in compare("a.csv")


@pytest.mark.whole
def test_the_commonest_class_is_the_test_splits_own(compare, tmp_path):
    texts = [" ".join(map(str, row)) for row in STEPS]
    parts = ["test" if n < 20 else "train" for n in range(N)]
    classes = ["a" if n < 15 or n % 5 == 0 else "b" for n in range(N)]  # commonest in test, rarer in training
    write(tmp_path / "a.csv", ("sequence", "label", "split"), list(zip(texts, classes, parts, strict=True)))
    assert "commonest class 80.0%" in compare("a.csv")


def test_a_test_file_may_be_named_by_a_string(tmp_path):
    texts = [" ".join(map(str, row)) for row in STEPS]
    rows = list(zip(texts, CLASSES, strict=True))
    for name, part in (("a.csv", rows[:40]), ("b.csv", rows[40:])):
        write(tmp_path / name, ("sequence", "label"), part)
    task = load_task(str(tmp_path / "a.csv"), test=str(tmp_path / "b.csv"))
    assert len(task.test) == 20


def test_arrays_and_lists_are_taken_from_memory():
    task = load_task(STEPS, np.arange(N) % 2)
    assert (task.kind, task.length, len(task.classes), task.source) == ("values", 6, 2, None)
    assert "60 rows in memory" in task.notes[0]
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


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        ((STEPS, CLASSES[:5]), {}, "60 sequences, 5 labels"),
        ((STEPS,), {}, "load_task\\(x, y\\)"),
        (([], []), {}, "no sequences"),
        ((STEPS, CLASSES), {"split": ["train"]}, "one split, a sequence"),
        ((STEPS, ["a"] * N), {}, "all labels are 'a'"),
        ((STEPS * np.nan, CLASSES), {}, "missing, NaN or infinite"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(arguments, options, match):
    with pytest.raises(RequestError, match=match) as caught:
        load_task(*arguments, **options)
    assert "\n" not in str(caught.value)
