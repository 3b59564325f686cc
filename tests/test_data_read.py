"""Reading files: every format gives the same task, what is guessed is right, and what real files hold is noticed."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from conftest import TINY_FLAGS
from selfpretrain.cli import main
from selfpretrain.data.load import load_task
from selfpretrain.data.split import UNLABELLED
from selfpretrain.errors import RequestError

N = 40
RNG = np.random.default_rng(0)
SYMBOLS = [RNG.integers(5, size=RNG.integers(3, 9)).tolist() for _ in range(N)]
VALUES = [RNG.normal(size=RNG.integers(3, 9)).round(3).tolist() for _ in range(N)]
CHANNELS = [RNG.normal(size=(RNG.integers(3, 9), 2)).round(3).tolist() for _ in range(N)]
STEPS = RNG.normal(size=(N, 6)).round(3)
LABELS = [("a", "b")[i % 2] for i in range(N)]
TEXTS = [" ".join(map(str, row)) for row in SYMBOLS]
SPLIT = ("sequence", "label", "split")


def write(path, rows, header=("sequence", "label")):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([header, *rows])
    return path


def write_jsonl(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def splits(task):
    return task.train, task.val, task.test


def rows_of(split):
    """Its sequences without their padding."""
    return [x[:n].tolist() for x, n in zip(split.x, split.lengths, strict=True)]


def everything(task):
    """All rows of a task as (sequence, class), sorted."""
    rows = [(x, task.classes[y]) for split in splits(task) for x, y in zip(rows_of(split), split.y, strict=True)]
    return sorted(rows, key=str)


# Formats.


def formats(tmp_path, sequences, as_text):
    """The same rows in every format that can hold them."""
    texts = [as_text(sequence) for sequence in sequences]
    for suffix in ("csv", "tsv"):
        yield write(tmp_path / f"a.{suffix}", zip(texts, LABELS, strict=True))
    rows = [{"sequence": s, "label": label} for s, label in zip(sequences, LABELS, strict=True)]
    yield write_jsonl(tmp_path / "a.jsonl", rows)
    for name, column in (("lists", sequences), ("texts", texts)):
        table = pa.table({"sequence": column, "label": LABELS})
        parquet.write_table(table, tmp_path / f"{name}.parquet", row_group_size=13)
        yield tmp_path / f"{name}.parquet"


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_symbols_are_the_same_from_every_format(tmp_path, separator):
    expected = sorted(zip(SYMBOLS, LABELS, strict=True), key=str)
    for path in formats(tmp_path, SYMBOLS, lambda s: separator.join(map(str, s))):
        task = load_task(path)
        assert (task.kind, task.codec.vocabulary, task.classes) == ("symbols", tuple("01234"), ("a", "b"))
        assert everything(task) == [(s, label) for s, label in expected], path


def test_values_are_the_same_from_every_format(tmp_path):
    tasks = [load_task(path) for path in formats(tmp_path, VALUES, lambda s: " ".join(map(str, s)))]
    assert {task.kind for task in tasks} == {"values"}
    assert len({task.fingerprint for task in tasks}) == 1
    inside = np.concatenate([x[:n] for x, n in zip(tasks[0].train.x, tasks[0].train.lengths, strict=True)])
    assert abs(inside.mean()) < 1e-6
    assert inside.std() == pytest.approx(1, abs=1e-6)


def test_lists_of_lists_are_channels(tmp_path):
    tasks = [load_task(path) for path in formats(tmp_path, CHANNELS, json.dumps)]
    assert {(task.kind, task.inputs.channels) for task in tasks} == {("values", 2)}
    assert len({task.fingerprint for task in tasks}) == 1


def test_digits_in_a_text_column_stay_text(tmp_path):
    """The text 0101 has four characters and is not the number 101; the class 01 is not 1."""
    rows = [("".join(map(str, s)), ("01", "1")[i % 2]) for i, s in enumerate(SYMBOLS)]
    rows[0] = ("Ünïcode täxt, too", "01")
    task = load_task(write(tmp_path / "t.csv", rows))
    assert (task.kind, task.inputs.symbols, task.train.x.dtype, task.classes) == ("bytes", 256, np.uint8, ("01", "1"))
    assert {bytes(row).decode() for split in splits(task) for row in rows_of(split)} == {text for text, _ in rows}
    assert task.notes[0] == (
        "t.csv: 40 rows, sequence from column sequence as bytes (text), 3 to 20 steps, classes from label: 01 20, "
        "1 20; splits: cut 70/15/15, stratified by class; guessed, and overridden by --sequence, --kind, --label"
    )


def test_json_text_may_hold_any_line_separator(tmp_path):
    rows = [{"text": f"one\u2028two \x85 {i} words", "label": LABELS[i]} for i in range(N)]
    (tmp_path / "l.jsonl").write_text("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), newline="")
    assert load_task(tmp_path / "l.jsonl").kind == "bytes"


def test_one_column_a_step_with_empty_cells_at_the_end(tmp_path):
    rows = [[*row, *[""] * (8 - len(row)), label] for row, label in zip(VALUES, LABELS, strict=True)]
    path = write(tmp_path / "wide.csv", rows, (*(f"t{i}" for i in range(8)), "label"))
    texts = [" ".join(map(str, row)) for row in VALUES]
    narrow = load_task(write(tmp_path / "n.csv", zip(texts, LABELS, strict=True)))
    assert load_task(path).fingerprint == load_task(path, sequence="t*").fingerprint == narrow.fingerprint
    assert load_task(path, sequence="t0,t1,t2").length == 3


def test_npz_with_and_without_splits(tmp_path):
    x, y = RNG.normal(size=(N, 6, 2)), np.arange(N) % 2
    np.savez(tmp_path / "one.npz", x=x, y=y)
    task = load_task(tmp_path / "one.npz")
    assert (task.kind, task.inputs.channels, task.length, len(task.train)) == ("values", 2, 6, 28)
    np.savez(tmp_path / "two.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    task = load_task(tmp_path / "two.npz")
    assert (len(task.train) + len(task.val), len(task.test)) == (30, 10)
    assert (task.test.y.tolist(), task.test.numbers.tolist()) == (y[30:].tolist(), list(range(10)))
    for kind in ("U", "S"):
        split = np.array(["train"] * 30 + ["test"] * 10, dtype=kind)
        np.savez(tmp_path / "s.npz", x=x, y=np.array(LABELS, dtype="S1"), split=split)
        task = load_task(tmp_path / "s.npz")
        assert (len(task.test), task.classes) == (10, ("a", "b"))
    np.savez(tmp_path / "s.npz", x=x, y=y, split=split[:7])
    with pytest.raises(RequestError, match=r"s\.npz: x \(40, 6, 2\) and split \(7,\)"):
        load_task(tmp_path / "s.npz")


def test_rows_keep_their_place_in_their_file(tmp_path):
    rows = list(zip(TEXTS, LABELS, strict=True))
    train, test = write(tmp_path / "a.csv", rows[:30]), write(tmp_path / "b.csv", rows[30:])
    for task in (load_task(train, test=test), load_task(str(train), test=str(test))):
        assert sorted([*task.train.numbers, *task.val.numbers]) == list(range(30))
        assert task.test.numbers.tolist() == list(range(10))
        for split, offset in ((task.train, 0), (task.test, 30)):
            assert rows_of(split) == [SYMBOLS[offset + number] for number in split.numbers]


@pytest.mark.parametrize("sequences", [SYMBOLS, CHANNELS])
def test_raw_rows_are_coded_as_the_task_was(tmp_path, sequences):
    rows = [{"sequence": s, "label": label} for s, label in zip(sequences, LABELS, strict=True)]
    task = load_task(write_jsonl(tmp_path / "r.jsonl", rows))
    for form in (sequences, list(map(json.dumps, sequences)), list(map(np.array, sequences))):
        x, lengths = task.codec.encode([form[number] for number in task.test.numbers])
        assert np.array_equal(x, task.test.x)
        assert np.array_equal(lengths, task.test.lengths)


# Splits and labels.


def test_given_splits_are_kept_and_what_is_missing_is_cut_from_training(tmp_path):
    parts = ["test" if i >= 30 else "train" for i in range(N)]
    task = load_task(write(tmp_path / "s.csv", zip(TEXTS, LABELS, parts, strict=True), SPLIT))
    assert (len(task.val), len(task.test)) == (6, 10)  # of 15 training rows a class, 15/85 is 2.6
    assert "splits: train and test given, val cut from train" in task.notes[0]
    parts = [("val", "train", "TEST ")[i % 3] for i in range(N)]
    task = load_task(write(tmp_path / "v.csv", zip(TEXTS, LABELS, parts, strict=True), SPLIT))
    assert [len(part) for part in splits(task)] == [13, 14, 13]


def test_rows_without_a_label_are_for_self_pretraining_alone(tmp_path):
    labels = [label if i % 4 else "" for i, label in enumerate(LABELS)]
    task = load_task(write(tmp_path / "u.csv", zip(TEXTS, labels, strict=True)))
    assert (task.unlabelled.y == UNLABELLED).all()
    assert len(task.unlabelled) == 10
    assert len(task.pretrain_rows) == len(task.train) + 10
    assert "10 training rows have no label; only self-pretraining uses them" in task.notes


def test_rows_without_a_label_never_bring_test_sequences_into_self_pretraining(tmp_path):
    rows = [*zip(TEXTS, LABELS, strict=True), *((text, "") for text in TEXTS)]
    task = load_task(write(tmp_path / "u.csv", rows))
    seen = set(map(tuple, rows_of(task.pretrain_rows)))
    for part in (task.val, task.test):
        assert not seen & set(map(tuple, rows_of(part)))
    assert len(task.unlabelled) == len(task.train)
    assert any("12 rows without a label are left out" in note for note in task.notes)


def test_minus_one_among_whole_numbers_is_no_label_unless_it_is_one_of_two_classes(tmp_path):
    y = np.arange(N) % 2
    y[30:] = -1
    np.savez(tmp_path / "a.npz", x=STEPS, y=y)
    task = load_task(tmp_path / "a.npz")
    assert "classes from y: 0 15, 1 15, 10 without" in task.notes[0]
    assert len(task.unlabelled) == 10
    np.savez(tmp_path / "a.npz", x=STEPS, y=np.where(np.arange(N) % 2, 1, -1))
    assert load_task(tmp_path / "a.npz").classes == ("-1", "1")


def test_training_alone_defines_the_vocabulary_and_the_length(tmp_path):
    texts = [text if i < 30 else "1 2 3 " * 4 + ("9 9" if i == 39 else "1") for i, text in enumerate(TEXTS)]
    parts = ["test" if i >= 30 else "train" for i in range(N)]
    task = load_task(write(tmp_path / "s.csv", zip(texts, LABELS, parts, strict=True), SPLIT))
    assert (task.codec.vocabulary, task.length) == (tuple("01234"), max(map(len, SYMBOLS[:30])))
    assert f"10 sequences outside training are longer than any in it and were cut to {task.length}" in task.notes
    texts[39] = "1 9 9"
    task = load_task(write(tmp_path / "s.csv", zip(texts, LABELS, parts, strict=True), SPLIT))
    assert rows_of(task.test)[-1] == [1, 5, 5]  # the unknown symbol
    assert "2 symbols outside training never occur in it and count as unknown" in task.notes


def test_exact_duplicates_stay_in_one_split_and_given_leaks_are_noted(tmp_path):
    rows = [("1 2 3 4", "a")] * 10 + list(zip(TEXTS, LABELS, strict=True))
    task = load_task(write(tmp_path / "d.csv", rows))
    assert sum([1, 2, 3, 4] in rows_of(part) for part in splits(task)) == 1
    given = [(*row, "test" if i < 3 else "train") for i, row in enumerate(rows)]
    notes = load_task(write(tmp_path / "g.csv", given, SPLIT)).notes
    assert any("training sequences stand in validation or test too" in note for note in notes)


def test_numbers_come_before_words_among_classes(tmp_path):
    labels = ["no", "NA", "b", "c", "1", "10", "inf", "2"]
    rows = [(text, labels[i % 8]) for i, text in enumerate(TEXTS)]
    assert load_task(write(tmp_path / "n.csv", rows)).classes == ("1", "2", "10", "NA", "b", "c", "inf", "no")


# What is cut, mended or left out is noted.


def test_long_sequences_are_cut_and_counted(tmp_path):
    task = load_task(write(tmp_path / "l.csv", zip(TEXTS, LABELS, strict=True)), max_length=4)
    longer = sum(len(s) > 4 for s in SYMBOLS)
    assert task.length == 4
    assert f"{longer} sequences were longer than --max-length 4 and were cut" in task.notes


def test_missing_values_are_imputed_when_asked_and_noted(tmp_path):
    rows = [(" ".join(map(str, s)), label) for s, label in zip(VALUES, LABELS, strict=True)]
    rows[3] = ("1.0 nan inf 2.0", "b")
    task = load_task(write(tmp_path / "m.csv", rows), allow_missing=True)
    assert any(note.startswith("2 missing or infinite values") for note in task.notes)
    assert all(np.isfinite(part.x).all() for part in splits(task))


def written(path, table):
    """A file of columns by their names."""
    rows = list(zip(*table.values(), strict=True))
    if path.suffix == ".npz":
        np.savez(path, **table)
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table(table), path)
    elif path.suffix == ".jsonl":
        write_jsonl(path, [dict(zip(table, row, strict=True)) for row in rows])
    else:
        write(path, rows, list(table))
    return path


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet", "npz"])
def test_what_is_not_used_is_named_in_every_format(tmp_path, extension):
    table = {"sequence": STEPS if extension == "npz" else TEXTS, "label": LABELS, "weather": [1] * N}
    assert load_task(written(tmp_path / f"a.{extension}", table)).data.unused == ("weather",)


@pytest.mark.parametrize(
    ("name", "entries", "noted"),
    [
        ("key", [f"case {n}" for n in range(N)], True),
        ("key", list(range(1000, 1000 + N)), True),
        ("", list(range(N)), False),  # the index that pandas writes
    ],
)
def test_an_identifier_among_step_columns_is_left_out(tmp_path, name, entries, noted):
    rows = [(entry, *row, label) for entry, row, label in zip(entries, STEPS, LABELS, strict=True)]
    task = load_task(write(tmp_path / "a.csv", rows, (name, *(f"t{t}" for t in range(6)), "label")))
    assert task.length == 6
    assert "columns t0 .. t5 as values (1 channel), 6 steps" in task.notes[0]
    left_out = f"{name} is no step, and left out of training and test (--sequence names the steps)"
    assert (left_out in task.notes) == noted


def test_step_columns_of_distinct_whole_numbers_stay(tmp_path):
    x = np.random.default_rng(2).permuted(np.tile(np.arange(1000, 1000 + N), (6, 1)), axis=1).T
    rows = [(*row, label) for row, label in zip(x, LABELS, strict=True)]
    assert load_task(write(tmp_path / "a.csv", rows, (*(f"t{t}" for t in range(6)), "label"))).length == 6


def test_notes_are_printed_by_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "s.csv", zip(TEXTS, LABELS, strict=True))
    flags = [flag for flag in TINY_FLAGS if not flag.startswith(("--symbols", "--length", "--sequences"))]
    assert main(["compare", str(path), *flags, "--max-length=5", "--arms=classical", "--workers=1", "--out=o"]) == 0
    assert "sequences were longer than --max-length 5 and were cut" in capsys.readouterr().err


# A row for each time step.

LONG = ("patient", "minute", "pulse", "flow", "label")


def long_rows():
    return [(f"p{n}", 10 * t, *STEPS[n, t : t + 2], LABELS[n]) for n in range(N) for t in range(5 - n % 2)]


def test_a_long_table_is_recognised_and_read_with_the_options_that_are_named(tmp_path):
    rows = long_rows()
    ordered = write(tmp_path / "ordered.csv", rows, LONG)
    mixed = write(tmp_path / "mixed.csv", [rows[k] for k in np.random.default_rng(1).permutation(len(rows))], LONG)
    with pytest.raises(RequestError, match="--series patient --time minute"):
        load_task(ordered)
    tasks = [load_task(ordered, series="patient", sequence="pulse,flow")]
    tasks.append(load_task(mixed, series="patient", time="minute"))
    raw = {(tuple(STEPS[n, : 5 - n % 2]), LABELS[n]) for n in range(N)}
    for task in tasks:
        assert f"a row is a time step; {N} sequences by column patient" in task.notes
        assert (task.kind, task.inputs.channels) == ("values", 2)
        mean, std = task.codec.mean[0], task.codec.std[0]
        read = [(tuple(round(x * std + mean, 3) for x, _ in row), label) for row, label in everything(task)]
        assert len(read) == N and set(read) == raw


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({4: "sideways"}, "has a and sideways in column 'label'; give each series one"),
        ({0: ""}, "row 4: column 'patient' is empty"),
        ({1: ""}, "row 4: column 'minute' is empty"),
        ({1: "noon"}, "row 4: 'noon' in column 'minute' is no time"),
    ],
)
def test_a_long_table_that_contradicts_itself_is_refused(tmp_path, cells, message):
    rows = [dict(zip(LONG, row, strict=True)) for row in long_rows()]
    rows[3] |= {LONG[place]: cell or None for place, cell in cells.items()}
    with pytest.raises(RequestError, match=message):
        load_task(write_jsonl(tmp_path / "long.jsonl", rows), series="patient", time="minute")


@pytest.mark.parametrize("name", ["split", "patient", "minute"])
@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_a_list_in_a_column_of_plain_cells_is_refused_by_name(tmp_path, name, extension):
    table = {**dict(zip(LONG, map(list, zip(*long_rows(), strict=True)), strict=True)), "split": ["train"] * 180}
    table[name] = [[cell] for cell in table[name]]
    with pytest.raises(RequestError, match=f"row 1: column '{name}' holds a list"):
        load_task(written(tmp_path / f"a.{extension}", table), series="patient", time="minute")
