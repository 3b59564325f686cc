"""Reading files: every format gives the same task, lengths may differ, and what is guessed is right."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from conftest import TINY_FLAGS
from selfpretrain.tasks.load import load_task
from selfpretrain.tasks.parsing import guess_kind
from selfpretrain.tasks.splitting import UNLABELLED

N = 40
RNG = np.random.default_rng(0)
SYMBOLS = [RNG.integers(5, size=RNG.integers(3, 9)).tolist() for _ in range(N)]
VALUES = [RNG.normal(size=RNG.integers(3, 9)).round(3).tolist() for _ in range(N)]
CHANNELS = [RNG.normal(size=(RNG.integers(3, 9), 2)).round(3).tolist() for _ in range(N)]
LABELS = [("a", "b")[i % 2] for i in range(N)]


def write_csv(path, rows, delimiter=",", header=("sequence", "label")):
    quoted = [[f'"{cell}"' if delimiter in str(cell) else str(cell) for cell in row] for row in rows]
    path.write_text("\n".join(delimiter.join(row) for row in [header, *quoted]) + "\n")
    return path


def everything(task):
    """All rows of a task, in an order that does not depend on the split, as (sequence, class)."""
    rows = []
    for split in (task.train, task.val, task.test):
        rows += [
            (x[:n].round(4).tolist(), task.classes[y]) for x, n, y in zip(split.x, split.lengths, split.y, strict=True)
        ]
    return sorted(rows, key=str)


def formats(tmp_path, sequences, as_text):
    """The same rows in every format that can hold them."""
    rows = list(zip(sequences, LABELS, strict=True))
    texts = [(as_text(s), label) for s, label in rows]
    yield write_csv(tmp_path / "a.csv", texts)
    yield write_csv(tmp_path / "a.tsv", texts, "\t")
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text("\n".join(json.dumps({"sequence": s, "label": label}) for s, label in rows))
    yield jsonl
    parquet.write_table(pa.table({"sequence": list(sequences), "label": LABELS}), tmp_path / "a.parquet")
    yield tmp_path / "a.parquet"


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_symbols_are_the_same_from_every_format(tmp_path, separator):
    expected = sorted(zip(SYMBOLS, LABELS, strict=True), key=str)
    for path in formats(tmp_path, SYMBOLS, lambda s: separator.join(map(str, s))):
        task = load_task(path)
        assert (task.kind, task.codec.vocabulary, task.classes) == ("symbols", tuple("01234"), ("a", "b"))
        assert everything(task) == [(s, label) for s, label in expected], path


def test_values_are_the_same_from_every_format(tmp_path):
    tasks = [load_task(p) for p in formats(tmp_path, VALUES, lambda s: " ".join(map(str, s)))]
    assert {task.kind for task in tasks} == {"values"}
    assert len({task.fingerprint for task in tasks}) == 1
    inside = np.concatenate([x[:n] for x, n in zip(tasks[0].train.x, tasks[0].train.lengths, strict=True)])
    assert abs(inside.mean()) < 1e-6
    assert inside.std() == pytest.approx(1, abs=1e-6)


def test_lists_of_lists_are_channels(tmp_path):
    tasks = [load_task(p) for p in formats(tmp_path, CHANNELS, json.dumps) if p.suffix != ".csv"]
    assert {(task.kind, task.inputs.channels) for task in tasks} == {("values", 2)}
    assert len({task.fingerprint for task in tasks}) == 1


def test_text_is_bytes(tmp_path):
    words = ["the cat sat on the mat", "Ünïcode täxt, too", "x", "a longer sentence with words, commas and so on"]
    rows = [(f"{words[i % 4]} {i} {RNG.integers(10**9)}", LABELS[i]) for i in range(N)]
    task = load_task(write_csv(tmp_path / "t.csv", rows))
    assert (task.kind, task.inputs.symbols, task.train.x.dtype) == ("bytes", 256, np.uint8)
    decoded = {
        bytes(x[:n]).decode()
        for split in (task.train, task.val, task.test)
        for x, n in zip(split.x, split.lengths, strict=True)
    }
    assert decoded == {text for text, _ in rows}


def test_digits_in_a_text_column_stay_text(tmp_path):
    """0101 is a sequence of four characters and not the number 101; the class 01 is not 1."""
    rows = [("".join(map(str, s)), ("01", "1")[i % 2]) for i, s in enumerate(SYMBOLS)]
    task = load_task(write_csv(tmp_path / "t.csv", rows))
    assert (task.kind, task.classes) == ("bytes", ("01", "1"))
    assert sum(len(part) for part in (task.train, task.val, task.test)) == N


def test_one_column_a_step_with_empty_cells_at_the_end(tmp_path):
    rows = [[*(row + [""] * (8 - len(row))), label] for row, label in zip(VALUES, LABELS, strict=True)]
    path = write_csv(tmp_path / "wide.csv", rows, header=(*(f"t{i}" for i in range(8)), "label"))
    narrow = load_task(
        write_csv(tmp_path / "n.csv", [(" ".join(map(str, s)), c) for s, c in zip(VALUES, LABELS, strict=True)])
    )
    assert load_task(path).fingerprint == narrow.fingerprint
    assert load_task(path, sequence="t*").fingerprint == narrow.fingerprint
    assert load_task(path, sequence="t0,t1,t2").length == 3


def test_npz_with_and_without_splits(tmp_path):
    x, y = RNG.normal(size=(N, 6, 2)), np.arange(N) % 2
    np.savez(tmp_path / "one.npz", x=x, y=y)
    task = load_task(tmp_path / "one.npz")
    assert (task.kind, task.inputs.channels, task.length, len(task.train)) == ("values", 2, 6, 28)
    np.savez(tmp_path / "two.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    task = load_task(tmp_path / "two.npz")
    assert (len(task.train) + len(task.val), len(task.test)) == (30, 10)
    assert task.test.y.tolist() == y[30:].tolist()


def test_given_splits_are_kept_and_what_is_missing_is_cut_from_training(tmp_path):
    rows = [(" ".join(map(str, SYMBOLS[i])), LABELS[i], "test" if i >= 30 else "train") for i in range(N)]
    task = load_task(write_csv(tmp_path / "s.csv", rows, header=("sequence", "label", "split")))
    assert len(task.test) == 10
    assert len(task.val) == 6  # of 15 training rows a class, 15/85 is 2.6
    rows = [(*row[:2], ("val", "train", "TEST ")[i % 3]) for i, row in enumerate(rows)]
    task = load_task(write_csv(tmp_path / "v.csv", rows, header=("sequence", "label", "split")))
    assert (len(task.train), len(task.val), len(task.test)) == (13, 14, 13)


def test_a_test_file_gives_the_test_split(tmp_path):
    rows = [(" ".join(map(str, s)), label) for s, label in zip(SYMBOLS, LABELS, strict=True)]
    train = write_csv(tmp_path / "train.csv", rows[:30])
    test = write_csv(tmp_path / "test.csv", rows[30:])
    task = load_task(train, test=test)
    assert len(task.test) == 10
    assert task.test.x[0, : task.test.lengths[0]].tolist() == SYMBOLS[30]


def test_rows_without_a_label_are_for_self_pretraining_alone(tmp_path):
    rows = [
        (" ".join(map(str, s)), label if i % 4 else "")
        for i, (s, label) in enumerate(zip(SYMBOLS, LABELS, strict=True))
    ]
    task = load_task(write_csv(tmp_path / "u.csv", rows))
    assert (task.unlabelled.y == UNLABELLED).all()
    assert len(task.unlabelled) == 10
    assert len(task.pretrain_rows) == len(task.train) + 10
    assert "no label" in " ".join(task.notes)


def test_training_alone_defines_the_vocabulary(tmp_path):
    rows = [
        (" ".join(map(str, SYMBOLS[i])) + (" 9 9" if i == 39 else ""), LABELS[i], "test" if i >= 30 else "train")
        for i in range(N)
    ]
    task = load_task(write_csv(tmp_path / "s.csv", rows, header=("sequence", "label", "split")))
    assert task.codec.vocabulary == tuple("01234")
    assert (task.test.x[-1] == 5).sum() == 2  # the unknown symbol
    assert "2 symbols" in " ".join(task.notes)


def test_exact_duplicates_stay_on_one_side_and_given_leaks_are_told(tmp_path):
    rows = [("1 2 3 4", "a")] * 10 + [(" ".join(map(str, s)), c) for s, c in zip(SYMBOLS, LABELS, strict=True)]
    task = load_task(write_csv(tmp_path / "d.csv", rows))
    holding = [
        part
        for part in (task.train, task.val, task.test)
        if any(x[:n].tolist() == [1, 2, 3, 4] for x, n in zip(part.x, part.lengths, strict=True))
    ]
    assert len(holding) == 1
    given = [(*row, "test" if i < 3 else "train") for i, row in enumerate(rows)]
    told = load_task(write_csv(tmp_path / "g.csv", given, header=("sequence", "label", "split"))).notes
    assert any("training sequences stand in validation or test too" in note for note in told)


def test_long_sequences_are_cut_and_counted(tmp_path):
    path = write_csv(tmp_path / "l.csv", [(" ".join(map(str, s)), c) for s, c in zip(SYMBOLS, LABELS, strict=True)])
    task = load_task(path, max_length=4)
    longer = sum(len(s) > 4 for s in SYMBOLS)
    assert task.length == 4
    assert f"{longer} sequences were longer than --max-length 4 and were cut" in task.notes


def test_missing_values_are_imputed_when_asked_and_said(tmp_path):
    rows = [(" ".join(map(str, s)), c) for s, c in zip(VALUES, LABELS, strict=True)]
    rows[3] = ("1.0 nan inf 2.0", "b")
    task = load_task(write_csv(tmp_path / "m.csv", rows), allow_missing=True)
    assert any(note.startswith("2 missing or infinite values") for note in task.notes)
    assert all(np.isfinite(part.x).all() for part in (task.train, task.val, task.test))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1 2 3", "2 2 1"], "symbols"),
        (["0.1 2 3", "2 2 1"], "values"),
        (["a b a b", "b a b a"], "symbols"),
        (["a quick brown fox jumps", "over some lazy dogs"], "bytes"),
        (["ACGT", "GGCA"], "bytes"),
        (["[1, 2]", "[2, 2]"], "symbols"),
        (["[[1, 2], [2, 2]]", "[[1, 1]]"], "values"),
        ([["x", "y"], ["y"]], "symbols"),
        (["1 2 3 x " + "4 " * 40, "2 " * 40], "symbols"),
        (["1.5 2.5 x " + "4.25 " * 40, "2 " * 40], "values"),
    ],
)
def test_the_kind_is_guessed(cells, kind):
    assert guess_kind(cells) == kind


def test_what_was_guessed_is_the_first_note(tmp_path):
    path = write_csv(tmp_path / "l.csv", [(" ".join(map(str, s)), c) for s, c in zip(SYMBOLS, LABELS, strict=True)])
    assert load_task(path).notes[0] == (
        "l.csv: 40 rows, sequence from column sequence as symbols (guessed; --kind overrides), label from label "
        "(2 classes), splits: cut 70/15/15, stratified by class"
    )


def test_rows_without_a_label_never_bring_test_sequences_into_self_pretraining(tmp_path):
    rows = [(" ".join(map(str, s)), c) for s, c in zip(SYMBOLS, LABELS, strict=True)]
    task = load_task(write_csv(tmp_path / "u.csv", [*rows, *((text, "") for text, _ in rows)]))
    seen = {tuple(x[:n]) for x, n in zip(task.pretrain_rows.x, task.pretrain_rows.lengths, strict=True)}
    for part in (task.val, task.test):
        assert not seen & {tuple(x[:n]) for x, n in zip(part.x, part.lengths, strict=True)}
    assert len(task.unlabelled) == len(task.train)
    assert any("12 rows without a label are left out" in note for note in task.notes)


def test_an_index_column_is_no_step(tmp_path):
    header = ("", *(f"t{i}" for i in range(4)), "label")
    rows = [[i, *RNG.normal(size=4).round(3), LABELS[i]] for i in range(N)]
    task = load_task(write_csv(tmp_path / "p.csv", rows, header=header))
    assert task.length == 4
    assert "t0 .. t3, 4 steps" in task.notes[0]


def test_the_order_of_classes_does_not_hang_on_the_hash_seed(tmp_path):
    labels = ["nan", "NA", "b", "c", "1", "2", "inf"]
    rows = [(" ".join(map(str, s)), labels[i % 7]) for i, s in enumerate(SYMBOLS)]
    assert load_task(write_csv(tmp_path / "n.csv", rows)).classes == ("1", "2", "NA", "b", "c", "inf", "nan")


def test_an_npz_split_is_kept(tmp_path):
    split = np.array(["train"] * 30 + ["test"] * 10)
    np.savez(tmp_path / "s.npz", x=RNG.normal(size=(N, 6)), y=np.array(LABELS, dtype="S1"), split=split)
    task = load_task(tmp_path / "s.npz")
    assert (len(task.test), task.classes) == (10, ("a", "b"))


def test_json_text_may_hold_any_line_separator(tmp_path):
    rows = [{"text": f"one\u2028two \x85 {i} words", "label": LABELS[i]} for i in range(N)]
    (tmp_path / "l.jsonl").write_text("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows), newline="")
    assert load_task(tmp_path / "l.jsonl").kind == "bytes"


def test_notes_of_mending_are_printed_by_the_command(tmp_path, cli):

    rows = [
        (" ".join(map(str, s)), c, "train" if i < 30 else "test")
        for i, (s, c) in enumerate(zip(SYMBOLS, LABELS, strict=True))
    ]
    rows[39] = ("1 1 8", "b", "test")
    write_csv(tmp_path / "s.csv", rows, header=("sequence", "label", "split"))
    flags = [flag for flag in TINY_FLAGS if not flag.startswith(("--symbols", "--length", "--sequences"))]
    result = cli("compare", "s.csv", *flags, "--max-length=5", "--arms=classical", "--out=o")
    assert result.returncode == 0, result.stderr
    assert "1 symbols outside training never occur in it and count as unknown" in result.stderr
    assert "sequences were longer than --max-length 5 and were cut" in result.stderr
    write_csv(
        tmp_path / "v.csv",
        [*((" ".join(map(str, s)), c) for s, c in zip(VALUES, LABELS, strict=True)), ("1 nan 0.5", "a")],
    )
    result = cli("compare", "v.csv", *flags, "--allow-missing", "--arms=classical", "--out=v")
    assert result.returncode == 0, result.stderr
    assert "1 missing or infinite values become their channel's training mean" in result.stderr


def test_rows_keep_their_place_in_their_file(tmp_path):
    rows = [(" ".join(map(str, s)), c) for s, c in zip(SYMBOLS, LABELS, strict=True)]
    task = load_task(write_csv(tmp_path / "a.csv", rows[:30]), test=write_csv(tmp_path / "b.csv", rows[30:]))
    assert sorted([*task.train.numbers, *task.val.numbers]) == list(range(30))
    assert task.test.numbers.tolist() == list(range(10))
    for split, offset in ((task.train, 0), (task.test, 30)):
        for x, n, number in zip(split.x, split.lengths, split.numbers, strict=True):
            assert x[:n].tolist() == SYMBOLS[offset + number]


def test_sequences_longer_than_any_in_training_are_cut_and_counted(tmp_path):
    rows = [("1 2 3 " * (3 if i >= 30 else 1), LABELS[i], "test" if i >= 30 else "train") for i in range(N)]
    rows = [(f"{text}{i % 4}", *rest) for i, (text, *rest) in enumerate(rows)]
    task = load_task(write_csv(tmp_path / "s.csv", rows, header=("sequence", "label", "split")))
    assert task.length == 4
    assert "10 sequences outside training are longer than any in it and were cut to 4" in task.notes


def test_raw_rows_are_coded_as_the_task_was(tmp_path):
    for sequences, as_text in ((SYMBOLS, lambda s: " ".join(map(str, s))), (CHANNELS, json.dumps)):
        path = tmp_path / "r.jsonl"
        path.write_text(
            "\n".join(json.dumps({"sequence": s, "label": c}) for s, c in zip(sequences, LABELS, strict=True))
        )
        task = load_task(path)
        for form in (sequences, [as_text(s) for s in sequences], [np.array(s) for s in sequences]):
            x, lengths = task.codec.encode([form[number] for number in task.test.numbers])
            assert np.array_equal(x, task.test.x)
            assert np.array_equal(lengths, task.test.lengths)
