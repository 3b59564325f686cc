"""What a check of the data must see, planted, with counts by hand; and what it must not."""

import json

import numpy as np
import pytest

from selfpretrain.cli import main
from selfpretrain.data.check import checked
from selfpretrain.data.load import load_task

LETTERS = "abcdefgh"
RNG = np.random.default_rng(0)


def words(n, length=12):
    return ["".join(RNG.choice(list(LETTERS), size=length)) for _ in range(n)]


def series(n, length=9, channels=2):
    return [RNG.normal(size=(length, channels)) for _ in range(n)]


def seen(rows, labels, split=None, **settings):
    how = {} if split is None else {"split": split}
    return {check.what: check for check in checked(load_task(rows, labels, **how, **settings)).checks}


def alternating(n, classes="xy"):
    """Classes at random, so that the order of rows tells nothing."""
    return [str(c) for c in np.random.default_rng(1).permutation([classes[i % len(classes)] for i in range(n)])]


def splits(train, val, test):
    return ["train"] * train + ["val"] * val + ["test"] * test


@pytest.mark.parametrize("make", [words, series])
def test_of_data_without_a_flaw_nothing_is_said(make):
    checks = seen(make(300), alternating(300))
    assert [check.what for check in checks.values() if check.cure] == []
    assert checks["equal rows"].result == "0 in training, 0 of validation and 0 of test equal a training row"


def test_equal_rows_are_counted_within_training_across_splits_and_with_other_classes():
    rows, labels = words(160), alternating(160)
    rows[1] = rows[2] = rows[0]  # two more of one in training
    labels[0], labels[1], labels[2] = "x", "x", "y"  # one of the three with another class
    rows[100] = rows[3]  # validation
    labels[100] = labels[3]
    rows[130] = rows[131] = rows[4]  # test
    labels[130] = labels[131] = labels[4]
    checks = seen(rows, labels, splits(100, 30, 30))
    assert checks["equal rows"].result == "2 in training, 1 of validation and 2 of test equal a training row"
    assert "remove them from test" in checks["equal rows"].cure
    assert checks["equal rows, other class"].result == "3 rows"
    assert checks["nearly equal rows"].result.startswith("0 of 30 test rows")  # equal ones are counted above


def test_rows_that_are_all_but_equal_are_counted():
    rows, labels = series(160), alternating(160)
    for test, train in zip(range(130, 140), range(10), strict=True):
        rows[test] = rows[train] + RNG.normal(scale=1e-3, size=rows[train].shape)
    check = seen(rows, labels, splits(100, 30, 30))["nearly equal rows"]
    assert check.result.startswith("10 of 30 test rows (cosine 0.99 of ")
    assert "--group" in check.cure


def test_a_length_a_mark_and_an_order_that_give_the_class_away():
    labels = alternating(300)
    by_length = seen([word[: 6 if y == "x" else 9] for word, y in zip(words(300), labels, strict=True)], labels)
    assert by_length["length"].result.startswith("the length alone is right for 100.0% of validation rows")
    assert by_length["length"].cure
    marked = seen(
        [f"{word[:4]}{'p' if y == 'x' else 'q'}{word[4:]}" for word, y in zip(words(300), labels, strict=True)], labels
    )
    assert marked["position"].result.startswith("position 5 alone is right for 100.0%")
    assert "leave it out" in marked["position"].cure and not marked["length"].cure
    values = series(300)
    for x, y in zip(values, labels, strict=True):
        x[3, 1] = 5.0 if y == "x" else -5.0
    assert seen(values, labels)["position"].result.startswith("position 4 of channel 2 alone is right for 100.0%")
    blocks = [("x", "y")[row // 10 % 2] for row in range(300)]  # recordings of ten rows
    order = seen(words(300), blocks)["row order"]
    assert "--group" in order.cure
    assert not seen([word[: 6 if y == "x" else 9] for word, y in zip(words(300), labels, strict=True)], labels)[
        "position"
    ].cure  # what is no position is no mark
    many = [chr(0x4E00 + i) for i in RNG.integers(40, size=2000)]
    parity = ["xy"[ord(first) % 2] for first in many]
    told = seen([[first, *word] for first, word in zip(many, words(2000), strict=True)], parity)["position"]
    assert told.result.startswith("position 1 alone is right for 100.0%")
    twice = [*["x"] * 100, *["y"] * 100] * 2  # two sorted files, one after the other
    assert not seen(words(400), twice)["row order"].cure
    by_class = seen(words(300), sorted(labels))["row order"]
    assert by_class.result.startswith("training rows are sorted by class") and not by_class.cure


def test_half_telling_positions_are_no_flaw():
    labels = alternating(2000)
    rows = [
        ("p" if (y == "x") != (RNG.random() < 0.25) else "q") + word
        for word, y in zip(words(2000), labels, strict=True)
    ]
    check = seen(rows, labels)["position"]
    assert check.result.startswith("position 1 alone is right for 7") and not check.cure


def test_constant_channels_and_small_classes_are_named():
    values, labels = series(200, channels=3), ["rare"] * 12 + alternating(188)
    for x in values:
        x[:, 1] = 0.5
    checks = seen(values, labels)
    assert checks["constant channels"].result == "2"
    assert "rare" in checks["classes"].result and "fewer than 10 rows" in checks["classes"].cure
    assert "--class-weights balanced" in checks["classes"].cure


def test_the_command_says_what_to_do_and_gives_json(tmp_path, capsys, monkeypatch):
    rows = zip(words(180), alternating(180), range(180), strict=True)
    lines = ["text,label,patient", *(f"{word},{label},p{row // 6}" for word, label, row in rows)]
    (tmp_path / "notes.csv").write_text("\n".join(lines) + "\n")
    odd = [line.replace(",x,", ",[/b]\x1b[31m,") for line in lines]
    (tmp_path / "odd.csv").write_text("\n".join(odd) + "\n")
    monkeypatch.chdir(tmp_path)

    def printed(*arguments, status=0):
        assert main(["data", *arguments]) == status
        return capsys.readouterr()

    marked = printed("check", "odd.csv")
    assert "\x1b" not in marked.out + marked.err and "[/b]" in marked.out
    shown = printed("check", "notes.csv").out
    assert "1 to look at:" in shown
    assert "--group patient keeps rows of one value in one split" in shown
    as_json = json.loads(printed("check", "notes.csv", "--group", "patient", "--json").out)
    assert {"what": "groups", "result": "30 from patient; none is in two splits", "cure": ""} in as_json["checks"]
    for arguments, says in (
        (("check",), "data check: name a file or a task"),
        (("check", "absent.csv"), "absent.csv"),
        (("describe", "notes.csv"), "data describe: 'notes.csv' is no built-in task; data check reads files"),
        (("make", "proximity", "--max-length", "5", "--out", "a.jsonl"), "--max-length 5 is for data check"),
        (("describe", "proximity", "--label", "y"), "--label y does not apply to the task 'proximity'"),
    ):
        assert says in printed(*arguments, status=2).err
