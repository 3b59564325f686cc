"""Reading files: every format gives the same task, what is guessed is right, and what real files hold is noticed."""

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from conftest import TINY_FLAGS
from selfpretrain.cli import main
from selfpretrain.data.load import load_task
from selfpretrain.data.split import UNLABELLED
from selfpretrain.errors import RequestError, SettingError

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
        "1 20; splits: cut 70/15/15, stratified by class; guessed; to change: --sequence, --kind, --label"
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
    assert "2 symbols occur only in validation or test, and are read as unknown" in task.notes


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
    left_out = f"{name} is not read as a step; --sequence names the steps"
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
    tasks.append(load_task(mixed, series="patient", time="minute", sequence="pulse,flow"))
    raw = {(tuple(STEPS[n, : 5 - n % 2]), LABELS[n]) for n in range(N)}
    for task in tasks:
        assert f"each row is a time step; column patient groups them into {N} sequences" in task.notes
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


# What is read is what was meant.

WIDE = tuple(f"t{t}" for t in range(6))


def wide(path, x=STEPS, header=(*WIDE, "label"), labels=LABELS):
    return write(path, [(*row, label) for row, label in zip(x, labels, strict=True)], header)


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_test_file_is_matched_by_the_names_of_its_columns(tmp_path, extension):
    table = {**dict(zip(WIDE, STEPS.T.tolist(), strict=True)), "label": LABELS}
    train = written(tmp_path / f"train.{extension}", table)
    mixed = dict(reversed([*table.items(), ("weather", [1] * N)]))
    expected = load_task(train, test=written(tmp_path / f"same.{extension}", table))
    task = load_task(train, test=written(tmp_path / f"mixed.{extension}", mixed))
    assert task.fingerprint == expected.fingerprint
    assert f"not used of mixed.{extension}: weather" in task.notes
    short = written(tmp_path / f"short.{extension}", {name: table[name] for name in (*WIDE[2:], "label")})
    with pytest.raises(RequestError, match=r"short\..*: columns t0, t1 are missing, which training has"):
        load_task(train, test=short)
    with pytest.raises(RequestError, match=r"no column 'label' for the class"):
        load_task(train, test=written(tmp_path / f"bare.{extension}", dict(list(table.items())[:6])))


def test_channels_of_a_test_file_are_matched_by_name(tmp_path):
    rows = long_rows()
    train, test = (write(tmp_path / f"{name}.csv", rows, LONG) for name in ("train", "same"))
    order = [3, 0, 4, 2, 1]
    mixed = write(tmp_path / "mixed.csv", [[row[k] for k in order] for row in rows], [LONG[k] for k in order])
    tasks = [load_task(train, test=file, series="patient", time="minute") for file in (test, mixed)]
    assert tasks[0].fingerprint == tasks[1].fingerprint


def test_a_whole_number_step_without_repeats_is_a_step_in_both_files(tmp_path):
    train, test = (np.random.default_rng(seed).integers(4000, size=(N, 6)) for seed in (0, 1))
    train[:, 3] = np.random.default_rng(2).permutation(4000)[:N]
    task = load_task(wide(tmp_path / "a.csv", train), test=wide(tmp_path / "b.csv", test))
    assert task.length == 6
    first = task.codec.encode([test[0].tolist()])[0]
    assert np.array_equal(task.test.x[0], first[0])


@pytest.mark.parametrize(
    "extra",
    [
        {"id": range(N)},
        {"id": range(N), "recorded_at": range(1700000000, 1700000000 + 37 * N, 37)},
        {"subject": [f"p{n % 4}" for n in range(N)], "age": [30 + n % 5 for n in range(N)]},
        {"Unnamed: 0": range(N)},
    ],
)
def test_identifiers_subjects_and_times_are_no_steps(tmp_path, extra):
    expected = load_task(wide(tmp_path / "a.csv"), test=wide(tmp_path / "b.csv"))
    rows = list(zip(*extra.values(), *STEPS.T, LABELS, strict=True))
    with_extra = write(tmp_path / "extra.csv", rows, (*extra, *WIDE, "label"))
    for test in ("b.csv", "extra.csv"):  # the test file may have them or not
        task = load_task(with_extra, test=tmp_path / test)
        assert task.fingerprint == expected.fingerprint
    if "Unnamed: 0" not in extra:
        assert task.data.unused == tuple(extra)


def test_identifiers_are_left_out_where_steps_have_no_numbers(tmp_path):
    names = ("low", "mid", "high", "day", "night", "noon")
    rows = [(n, *row, label) for n, (row, label) in enumerate(zip(STEPS, LABELS, strict=True))]
    for first in ("anything", "id"):
        assert load_task(write(tmp_path / "a.csv", rows, (first, *names, "label"))).length == 6
    rows = [(n * n, *row[1:]) for n, row in enumerate(rows)]  # no counter: a measurement
    assert load_task(write(tmp_path / "a.csv", rows, ("anything", *names, "label"))).length == 7


def test_a_table_of_class_first_without_a_header_is_read_whole(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("".join("\t".join(map(str, (1 + n % 2, *row))) + "\n" for n, row in enumerate(STEPS)))
    task = load_task(path)
    assert (task.classes, task.data.rows, task.length) == (("1", "2"), N, 6)
    assert "the class is taken from column1; --label overrides" in task.notes
    path.write_text("".join("\t".join(map(str, (*row, 1 + n % 2))) + "\n" for n, row in enumerate(STEPS)))
    assert load_task(path).data.label == "column7"
    path.write_text("".join(f"{n % 2}\t{row[0]}\t{n % 3}\n" for n, row in enumerate(STEPS)))
    with pytest.raises(RequestError, match="either of column1 and column3 looks like the class; name it with --label"):
        load_task(path)


ACCELEROMETER = ("recording", "t", "x", "y", "z", "activity")


@pytest.mark.parametrize("names", [ACCELEROMETER, ("recording", "seq", "x", "x.1", "x.2", "class")])
def test_a_row_a_time_step_is_recognised_before_a_column_is_taken_by_name(tmp_path, names):
    rows = [(n, t, *STEPS[n, t : t + 3], ("walk", "sit")[n % 2]) for n in range(N) for t in range(4)]
    path = write(tmp_path / "a.csv", rows, names)
    with pytest.raises(RequestError, match=f"read it with --series recording --time {names[1]} --label {names[5]}"):
        load_task(path)
    task = load_task(path, series="recording", time=names[1], label=names[5])
    assert (task.inputs.channels, task.length, task.data.rows) == (3, 4, N)
    assert load_task(path, series="recording", time=names[1]).fingerprint == task.fingerprint


def test_the_steps_of_a_series_are_ordered_by_the_value_of_time(tmp_path):
    clock = [f"{9 + t}:05" for t in range(5)]  # 10:05 sorts before 9:05 as a word
    rows = [(f"p{n}", clock[t], STEPS[n, t], LABELS[n]) for n in range(N) for t in (1, 0, 2)]
    path = write(tmp_path / "a.csv", rows, ("patient", "at", "pulse", "label"))
    task = load_task(path, series="patient", time="at")
    expected = load_task(STEPS[:, :3], LABELS)
    assert task.fingerprint == expected.fingerprint


@pytest.mark.parametrize(("cell", "message"), [("[0.1 ... 0.2]", "entries were left out"), ("[0.1 0.2", "bracket")])
def test_a_cell_that_begins_like_a_list_is_never_read_as_text(tmp_path, cell, message):
    rows = [(str(np.array(row)), label) for row, label in zip(STEPS, LABELS, strict=True)]
    rows[4] = (cell, "a")
    with pytest.raises(RequestError, match=f"row 5: .*{message}"):
        load_task(write(tmp_path / "a.csv", rows))
    texts = [(f"text number {n}, and more words", label) for n, label in enumerate(LABELS)]
    texts[4] = ("(sic) a remark", "a")
    with pytest.raises(RequestError, match=r"row 5: not a list: .* --kind bytes if the column holds text"):
        load_task(write(tmp_path / "a.csv", texts))
    assert load_task(tmp_path / "a.csv", kind="bytes").kind == "bytes"


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_missing_symbol_is_refused_or_filled_and_counted(tmp_path, extension):
    sequences = [[n % 5, *[1, 2, 3, 4, 2, 1][: 3 + n % 3]] for n in range(N)]
    holed = [list(row) for row in sequences]
    holed[3][1] = None
    spell = (lambda row: " ".join("nan" if x is None else str(x) for x in row)) if extension == "csv" else list
    path = written(tmp_path / f"a.{extension}", {"sequence": list(map(spell, holed)), "label": LABELS})
    with pytest.raises(RequestError, match=r"row 4: position 2 is missing; .* --allow-missing \(1 is missing\)"):
        load_task(path)
    task = load_task(path, allow_missing=True)
    assert task.codec.vocabulary == tuple("01234")
    assert "1 missing symbols are read as the unknown symbol" in task.notes
    assert [5 in row for split in splits(task) for row in rows_of(split)].count(True) == 1
    last = load_task(path, allow_missing="last")
    holed[3][1] = holed[3][0]
    assert everything(last) == everything(load_task(holed, LABELS))


def test_nan_among_whole_numbers_of_an_array_is_missing(tmp_path):
    x = RNG.integers(5, size=(N, 8)).astype(float)
    x[3, 4] = x[7, 0] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.array(LABELS))
    with pytest.raises(RequestError, match=r"row 4: position 5 is missing; .* --allow-missing \(2 are missing\)"):
        load_task(tmp_path / "a.npz")
    task = load_task(tmp_path / "a.npz", allow_missing=True)
    assert (task.kind, task.codec.vocabulary) == ("symbols", tuple("01234"))
    assert "2 missing symbols are read as the unknown symbol" in task.notes


def test_arrays_that_pandas_wrote_over_several_lines_are_read_as_they_are(tmp_path):
    x = RNG.normal(size=(N, 40))
    texts = [str(row) for row in x]
    assert "\n" in texts[0]
    task = load_task(write(tmp_path / "a.csv", zip(texts, LABELS, strict=True)))
    printed = np.array([[float(cell) for cell in text.strip("[]").split()] for text in texts])
    assert task.fingerprint == load_task(printed, LABELS).fingerprint


def test_a_tail_of_nan_is_a_shorter_sequence_and_a_gap_is_filled_as_asked(tmp_path):
    padded = np.array([[*row[:6], *[np.nan] * (6 - len(row[:6]))] for row in VALUES])
    np.savez(tmp_path / "a.npz", x=padded, y=np.array(LABELS))
    task = load_task(tmp_path / "a.npz")
    assert task.fingerprint == load_task([row[:6] for row in VALUES], LABELS).fingerprint
    shorter = sum(len(row) < 6 for row in VALUES)
    assert f"{shorter} sequences end in missing entries and are read as shorter ones" in task.notes
    holed = STEPS.copy()
    holed[:, 2] = np.nan
    mean, last, mask = (load_task(holed, LABELS, allow_missing=how) for how in ("mean", "last", "mask"))
    assert mean.fingerprint == load_task(holed, LABELS, allow_missing=True).fingerprint
    assert (mean.train.x[:, 2] == 0).all()
    assert np.array_equal(last.train.x[:, 2], last.train.x[:, 1])
    assert mask.inputs.channels == 2
    flags = mask.train.x[..., 1]
    assert (flags[:, 2] == flags.max()).all() and (np.delete(flags, 2, axis=1) == flags.min()).all()
    assert np.array_equal(mask.codec.encode(holed[mask.test.numbers])[0], mask.test.x)


@pytest.mark.parametrize("as_file", [True, False])
def test_a_constant_channel_stays_small(tmp_path, as_file):
    x = np.stack([STEPS, np.full_like(STEPS, 0.1)], axis=2)
    np.savez(tmp_path / "a.npz", x=x, y=np.array(LABELS))
    task = load_task(tmp_path / "a.npz") if as_file else load_task(x, LABELS)
    assert task.codec.std[1] == 1
    x[..., 1] += np.random.default_rng(0).choice([0.0, 1e-17, 2e-17], size=STEPS.shape)  # varies by rounding
    assert load_task(x, LABELS).codec.std[1] == 1
    assert abs(task.codec.encode([[[0.5, 0.1001]]])[0][0, 0, 1]) < 1e-3


def test_numbers_have_a_strict_spelling(tmp_path):
    words = [(f"48_{n % 5} 12_3 48_{n % 3} {n % 2}_0", LABELS[n]) for n in range(N)]
    task = load_task(write(tmp_path / "a.csv", words))
    assert task.kind == "symbols" and "48_0" in task.codec.vocabulary
    for cell in ("0,5 1,25 2,0", "0,5;1,25;2,0"):
        rows = [(cell, label) for label in LABELS]
        with pytest.raises(RequestError, match=r"row 1: '0,5' can be the number 0\.5 or two, .* --decimal ,"):
            load_task(write(tmp_path / "a.csv", rows))
        task = load_task(write(tmp_path / "a.csv", [(cell[:-1] + str(n), LABELS[n]) for n in range(N)]), decimal=",")
        assert (task.kind, task.length) == ("values", 3)
        assert np.array_equal(task.codec.encode(["0,5 1,25"])[0], task.codec.encode([[0.5, 1.25]])[0])
    with pytest.raises(RequestError, match=r"row 1: column 't0': '0,5' can be the number"):
        load_task(wide(tmp_path / "a.csv", [["0,5"] * 6] * N))


def test_words_that_repeat_are_symbols_and_large_vocabularies_get_a_hint(tmp_path):
    generator = np.random.default_rng(0)
    genes = ["".join(generator.choice(list("ACGTN"), size=40)) for _ in range(N)]
    kmers = [(" ".join(gene[k : k + 3] for k in range(38)), label) for gene, label in zip(genes, LABELS, strict=True)]
    task = load_task(write(tmp_path / "a.csv", kmers))
    assert task.kind == "symbols" and {"AAA", "NAN"} <= {*task.codec.vocabulary}  # a word, not a missing one
    assert any("words of 3 letters that overlap, k-mers, are read as symbols" in note for note in task.notes)
    words = [(" ".join(f"w{'o' * int(k % 7)}rd{k}" for k in generator.integers(100, size=30)), a) for a in LABELS]
    task = load_task(write(tmp_path / "a.csv", words))
    assert task.kind == "bytes"
    assert any("different words that repeat; --kind symbols reads each" in note for note in task.notes)
    task = load_task(generator.integers(500, size=(N, 9)), LABELS)
    assert any("different whole numbers are read as amounts; if they are codes" in note for note in task.notes)


def test_case_is_folded_when_asked_and_hinted_at(tmp_path):
    genes = ["".join(RNG.choice(list("ACGTacgt"), size=30)) for _ in range(N)]
    task = load_task(genes, LABELS)
    assert "upper and lower case are different letters here; fold_case makes them one" in task.notes
    folded = load_task(genes, LABELS, fold_case=True)
    assert folded.fingerprint == load_task([gene.lower() for gene in genes], LABELS).fingerprint
    assert not any("fold_case" in note for note in folded.notes)
    assert np.array_equal(folded.codec.encode(["ACGT"])[0], folded.codec.encode(["acgt"])[0])
    symbols = load_task([list(gene) for gene in genes], LABELS)
    assert "some symbols differ by upper and lower case alone; fold_case makes them one" in symbols.notes
    assert load_task([list(gene) for gene in genes], LABELS, fold_case=True).codec.vocabulary == tuple("acgt")


def test_channels_first_are_suspected_and_read_when_told(tmp_path):
    x = RNG.normal(size=(N, 3, 50))
    np.savez(tmp_path / "a.npz", x=x, y=np.array(LABELS))
    for task in (load_task(tmp_path / "a.npz"), load_task(x, LABELS)):
        (warning,) = [note for note in task.notes if note.startswith("warning")]
        assert "(40, 3, 50) is read as (N, T, C)" in warning and "(N, C, T)" in warning
        assert re.search('--axes nct reads it so|axes="nct" reads it so', warning)
    narrow = RNG.normal(size=(N, 3, 4))  # with a mask for each channel it has eight, which are not meant
    assert not any(note.startswith("warning") for note in load_task(narrow, LABELS, allow_missing="mask").notes)
    turned = load_task(tmp_path / "a.npz", axes="nct")
    assert turned.fingerprint == load_task(x.transpose(0, 2, 1), LABELS).fingerprint
    assert turned.fingerprint == load_task(list(x), LABELS, axes="nct").fingerprint
    assert np.array_equal(turned.codec.encode(x[turned.test.numbers])[0], turned.test.x)
    for told in (turned, load_task(x, LABELS, axes="ntc")):
        assert not any(note.startswith("warning") for note in told.notes)


def test_classes_of_two_files_have_one_spelling(tmp_path):
    train = wide(tmp_path / "a.csv", labels=[n % 2 for n in range(N)])
    test = wide(tmp_path / "b.csv", labels=[f" {n % 2}.0" for n in range(N)])
    assert load_task(train, test=test).data.classes == {"0": N, "1": N}


def test_minus_one_is_the_same_in_every_format(tmp_path):
    labels = [(0, 1, -1)[n % 3] for n in range(N)]
    table = {**dict(zip(WIDE, STEPS.T.tolist(), strict=True)), "label": labels}
    np.savez(tmp_path / "a.npz", x=STEPS, label=np.array(labels))
    for path in [written(tmp_path / f"a.{extension}", table) for extension in ("csv", "jsonl", "parquet")] + [
        tmp_path / "a.npz"
    ]:
        task = load_task(path)
        assert (task.classes, task.data.unlabelled) == (("0", "1"), 13)
        assert any("--unlabelled none reads -1 as a class" in note for note in task.notes)
        assert load_task(path, unlabelled="none").classes == ("-1", "0", "1")


def test_the_first_line_says_it_all_and_is_in_the_summary(tmp_path):
    rows = [(n, *row, f"class {n % 10}") for n, row in enumerate(STEPS)]
    task = load_task(write(tmp_path / "a.csv", rows, ("id", *WIDE, "label")))
    assert task.notes[0] == (
        "a.csv: 40 rows, sequence from columns t0 .. t5 as values (1 channel), 6 steps, classes from label: class 0 4, "
        "class 1 4, class 2 4, class 3 4, class 4 4, class 5 4, class 6 4, class 7 4, ... (10 classes in all); "
        "splits: cut 70/15/15, stratified by class; not used: id; "
        "guessed; to change: --sequence, --kind, --label"
    )
    data = task.describe().data
    assert (data.rows, data.steps, data.channels, data.symbols) == (N, (6, 6), 1, 0)
    assert data.classes == {f"class {n}": 4 for n in range(10)}
    assert (data.unused, data.guessed) == (("id",), ("sequence", "kind", "label"))
    told = load_task(tmp_path / "a.csv", sequence="t*", kind="values", label="label")
    assert "guessed" not in told.notes[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sequence": TEXTS, "text": TEXTS, "label": LABELS}, "sequence and text could both be the sequence"),
        ({"sequence": TEXTS, "label": LABELS, "class": LABELS}, "label and class could both be the class"),
        ({"one": TEXTS, "two": TEXTS, "label": LABELS}, "one and two could both be the sequence"),
        ({"seq": list(range(N)), "label": LABELS}, "column 'seq' has one number a row, which is no sequence"),
        (
            {**{f"x_{t}": STEPS[:, t] for t in range(3)}, **{f"y_{t}": STEPS[:, t] for t in range(3)}, "label": LABELS},
            "x_0, x_1 .. and y_0, y_1 .. are columns of two kinds",
        ),
        ({"note": TEXTS, **{f"t{t}": STEPS[:, t] for t in range(6)}, "label": LABELS}, "note and t0 .. t5 could both"),
        ({**{f"t{t}": STEPS[:, t] for t in range(6)}, "x": 1, "y": 2, "z": 3}, "no column is called label"),
    ],
)
def test_what_can_be_taken_two_ways_is_refused_with_the_option_that_decides(tmp_path, table, message):
    table = {name: [cells] * N if isinstance(cells, int) else list(cells) for name, cells in table.items()}
    with pytest.raises(RequestError, match=message) as caught:
        load_task(written(tmp_path / "a.csv", table))
    assert "--sequence" in str(caught.value) or "--label" in str(caught.value)


# Rows that belong together.


def people(path, n=60, own=6, **extra):
    """Rows of persons, some of each class, with what else is asked for."""
    rows = [(f"p{i // own}", *STEPS[i], LABELS[i], *(column[i] for column in extra.values())) for i in range(n)]
    return write(path, rows, ("subject", *(f"t{k}" for k in range(6)), "label", *extra))


def persons(task):
    """The persons in each split, by the rows of the file."""
    return [{number // 6 for number in split.numbers.tolist()} for split in splits(task)]


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.setitem(globals(), "STEPS", RNG.normal(size=(60, 6)).round(3))
    monkeypatch.setitem(globals(), "LABELS", [("a", "b")[i % 2] for i in range(60)])


def test_a_person_is_in_one_split_and_no_step(steps, tmp_path):
    task = load_task(people(tmp_path / "t.csv"), group="subject")
    train, val, test = persons(task)
    assert not (train & val or train & test or val & test) and len(train | val | test) == 10 and val and test
    assert task.length == 6 and (task.test.groups == task.test.numbers // 6).all() and task.test.n_groups == len(test)
    assert "10 groups from subject; splits: cut 70/15/15, by subject" in task.notes[0]
    assert task.fingerprint != load_task(people(tmp_path / "t.csv")).fingerprint


def test_equal_sequences_of_two_persons_keep_both_together(steps, tmp_path):
    STEPS[6] = STEPS[0]
    task = load_task(people(tmp_path / "t.csv"), group="subject")
    assert sum({0, 1} <= part for part in persons(task)) == 1


def test_arrays_and_frames_take_groups_too(steps, tmp_path):
    own = [f"p{i // 6}" for i in range(60)]
    of_file = load_task(people(tmp_path / "t.csv"), group="subject")
    of_array = load_task(STEPS, LABELS, group=own)
    frame = {"subject": own, **{f"t{k}": STEPS[:, k] for k in range(6)}}
    of_frame = load_task(frame, LABELS, group="subject")
    told_apart = load_task({name: frame[name] for name in frame if name != "subject"}, LABELS, group=own)
    for task in (of_array, of_frame, told_apart):
        assert [part.numbers.tolist() for part in splits(task)] == [part.numbers.tolist() for part in splits(of_file)]
        assert (task.test.groups == of_file.test.groups).all()
    assert of_array.data.group == "group"
    with pytest.raises(SettingError, match="group subject is no list; give a list with an entry for each row"):
        load_task(STEPS, LABELS, group="subject")


def test_series_of_a_person_stay_together(tmp_path):
    rows = [(f"r{i}", f"p{i // 6}", t, round(float(RNG.normal()), 3), "ab"[i % 2]) for i in range(60) for t in range(5)]
    path = write(tmp_path / "long.csv", rows, ("recording", "person", "t", "x", "label"))
    task = load_task(path, series="recording", time="t", group="person")
    assert task.codec.inputs.channels == 1
    train, val, test = persons(task)
    assert not (train & val or train & test or val & test)
    hinted = load_task(path, series="recording", time="t")
    assert hinted.data.perhaps_group == ("person",) and hinted.test.groups is None
    gap = [(*row[:1], "" if row[0] == "r7" else row[1], *row[2:]) for row in rows]
    with pytest.raises(RequestError, match="row 36: column 'person' says nothing"):
        gap_file = write(tmp_path / "gap.csv", gap, ("recording", "person", "t", "x", "label"))
        load_task(gap_file, series="recording", time="t", group="person")
    rows[3] = (*rows[3][:1], "p9", *rows[3][2:])
    with pytest.raises(RequestError, match="row 4: series 'r0' has p0 and p9 in column 'person'"):
        load_task(write(path, rows, ("recording", "person", "t", "x", "label")), series="recording", group="person")


def test_rows_without_a_label_of_persons_in_test_are_not_pretrained_on(steps, tmp_path):
    path = people(tmp_path / "t.csv")
    lines = path.read_text().splitlines()
    more = [f"p{i % 10},{','.join(map(str, RNG.normal(size=6).round(3)))}," for i in range(20)]
    path.write_text("\n".join([*lines, *more]))
    task = load_task(path, group="subject")
    train, *_ = persons(task)
    assert {(number - 60) % 10 for number in task.unlabelled.numbers.tolist()} == train
    assert any("their sequences or groups (subject) stand in validation or test" in note for note in task.notes)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"group": "persons"}, r"no column 'persons' \(--group\)"),
        ({"group": "label"}, "--group names the column 'label', which is taken"),
        ({"group": "half"}, r"the validation split is empty: there are too few groups \(half\)"),
        ({"group": "gap"}, "row 5: column 'gap' says nothing of what the row shares"),
        ({"group": "subject", "split": "part"}, r"the rows of 'p0' \(column 'subject'\) stand in train and in test"),
    ],
)
def test_groups_that_cannot_be_kept_are_refused(steps, tmp_path, how, words):
    extra = {
        "half": [f"h{i % 2}" for i in range(60)],
        "gap": ["" if i == 4 else "g" for i in range(60)],
        "part": [("train", "train", "test")[i % 3] for i in range(60)],
    }
    used = {name: extra[name] for name in how.values() if name in extra}
    with pytest.raises(RequestError, match=words):
        load_task(people(tmp_path / "t.csv", **used), **how)


def test_a_class_of_a_single_person_is_for_training_and_the_reader_is_told(steps, tmp_path):
    who = ["q" if name == "b" else f"p{i}" for i, name in enumerate(LABELS)]
    task = load_task(people(tmp_path / "t.csv", who=who), group="who", sequence="t*")
    assert set(task.train.y) == {0, 1} and set(task.test.y) == {0}
    assert "warning: class 'b' is not in test: too few groups (who) have rows of it" in task.notes


def test_groups_of_a_test_file_are_its_own(steps, tmp_path):
    train, test = people(tmp_path / "train.csv"), people(tmp_path / "test.csv")
    with pytest.raises(RequestError, match=r"the rows of 'p0' \(column 'subject'\) stand in train and in test"):
        load_task(train, group="subject", test=test)
    STEPS[:] = RNG.normal(size=(60, 6)).round(3)
    test.write_text(people(test).read_text().replace("\np", "\nq"))
    task = load_task(train, group="subject", test=test)
    assert task.test.n_groups == 10 and len(task.test) == 60
    test.write_text(test.read_text().replace("subject", "person"))
    with pytest.raises(RequestError, match="column 'subject' is missing, which training has"):
        load_task(train, group="subject", test=test)


def test_columns_that_look_like_persons_or_things_are_named(steps, tmp_path):
    path = people(tmp_path / "t.csv", row_id=range(60), document=[i // 3 for i in range(60)], weather=["dry"] * 60)
    task = load_task(path, sequence="t*")
    assert task.data.perhaps_group == ("subject", "document")
    assert any("subject, document have the same values in several rows" in note for note in task.notes)
    assert load_task(path, sequence="t*", group="document").data.perhaps_group == ()


def test_arrays_by_split_may_say_what_rows_share(steps, tmp_path):
    own = np.repeat(np.arange(10), 6)
    parts = {"train": slice(0, 36), "val": slice(36, 48), "test": slice(48, 60)}
    arrays = {
        f"{name}_{part}": array[where]
        for part, where in parts.items()
        for name, array in (("x", STEPS), ("y", np.arange(60) % 2), ("Person", own))
    }
    np.savez(tmp_path / "t.npz", **arrays)
    assert load_task(tmp_path / "t.npz").data.perhaps_group == ("person",)
    task = load_task(tmp_path / "t.npz", group="person")
    assert [part.n_groups for part in splits(task)] == [6, 2, 2]
    np.savez(tmp_path / "t.npz", **arrays | {"Person_test": own[:5]})
    with pytest.raises(RequestError, match=r"x_test \(12, 6\) and Person_test \(5,\); they need a row for each"):
        load_task(tmp_path / "t.npz", group="person")


WORDS_OF = {label: [f"{label}{'abcdefgh'[n % 8]}{n}" for n in range(40)] for label in ("x", "y")}


def labelled(path, more=()):
    rows = [f"{text},{label}" for label, texts in WORDS_OF.items() for text in texts]
    path.write_text("\n".join(["text,label", *rows, *more]) + "\n")
    return path


def test_a_file_without_labels_joins_self_pretraining_and_moves_no_row(tmp_path):
    """As rows with an empty label in one file do; labelled rows stay in their splits."""
    train = labelled(tmp_path / "train.csv")
    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({"text": f"new{n}", "label": "z"}) + "\n" for n in range(25)))
    alone, task = load_task(train), load_task(train, unlabelled_file=more)
    for part in ("train", "val", "test"):
        before, after = getattr(alone, part), getattr(task, part)
        assert before.numbers.tolist() == after.numbers.tolist() and before.y.tolist() == after.y.tolist()
    assert task.classes == ("x", "y") and len(task.unlabelled) == 25
    assert set(task.unlabelled.numbers).isdisjoint(alone.train.numbers)
    in_one = load_task(labelled(tmp_path / "one.csv", [f"new{n}," for n in range(25)]))
    assert np.array_equal(in_one.pretrain_rows.x, task.pretrain_rows.x)
    assert "train.csv and more.jsonl: 105 rows" in task.notes[0]
    assert load_task(task.source).fingerprint == task.fingerprint


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("words\nabc\n", {}, "more.csv: column 'text' is missing, which the first file has"),
        ("text\nabc\n\n", {"group": "label"}, "does not go with --group"),
        ("", {}, "more.csv: the file is empty"),
        (None, {}, "more.csv: no such file"),
    ],
)
def test_a_file_without_labels_that_cannot_be_used_is_refused(tmp_path, content, options, says):
    if content is not None:
        (tmp_path / "more.csv").write_text(content)
    with pytest.raises(RequestError) as refused:
        load_task(labelled(tmp_path / "train.csv"), unlabelled_file=tmp_path / "more.csv", **options)
    assert says in str(refused.value)
