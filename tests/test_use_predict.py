"""A file is scored: the model's own probabilities, every row in its place, whatever the format and the piece."""

import csv
import json
from decimal import Decimal

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from selfpretrain.classifier import Classifier
from selfpretrain.cli import main
from selfpretrain.config import ModelConfig, TaskConfig
from selfpretrain.data import table
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.model.transformer import fresh_model
from selfpretrain.use.evaluate import evaluate_file
from selfpretrain.use.predict import predict_file

RNG = np.random.default_rng(0)
N = 60
TEXTS = ["".join(RNG.choice(list("abcé,"), size=int(RNG.integers(3, 9)))) + f"{i:02d}" for i in range(N)]
LABELS = [("no", "yes")[i % 2] for i in range(N)]


def untrained(task):
    return Classifier(task.codec, fresh_model(ModelConfig(width=8, heads=2), task.codec.inputs, seed=0).eval())


def score(*arguments, **settings):
    return predict_file(*arguments, **{"overwrite": True, **settings})


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def of_texts(tmp_path):
    """A model of texts, and a file of rows beside an identifier."""
    data = write_csv(tmp_path / "train.csv", ["id", "text", "label"], zip(range(N), TEXTS, LABELS, strict=True))
    return untrained(load_task(data, kind="bytes", label="label", sequence="text")), data


def read(path):
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("block", [64, 2**22])
def test_every_row_gets_the_models_probabilities_beside_its_own_cells(tmp_path, of_texts, ending, block, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", block)
    model, data = of_texts
    out = tmp_path / f"out.{ending}"
    assert score(model, data, out).lines == []
    scored, expected = read(out), model.predict_proba(TEXTS)
    assert [row["id"] for row in scored] == list(map(str, range(N)))
    assert [row["text"] for row in scored] == TEXTS
    assert list(scored[0]) == ["id", "text", "label", "predicted", "p_no", "p_yes"]
    assert [row["predicted"] for row in scored] == model.predict(TEXTS).tolist()
    own = np.array([[float(row["p_no"]), float(row["p_yes"])] for row in scored])
    np.testing.assert_allclose(own, expected, atol=1e-6)


def test_files_are_read_in_pieces_and_a_row_longer_than_a_piece_is_read_too(tmp_path, of_texts, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    long = write_csv(tmp_path / "long.csv", ["id", "text"], [*enumerate(TEXTS[:9]), (9, "a" * 200), (10, "b\nc" * 3)])
    pieces = list(table.tables(long, TaskConfig(data=str(long))))
    assert len(pieces) > 2
    assert [cell for piece in pieces for cell in piece.columns["text"].to_pylist()][8:] == [
        TEXTS[8],
        "a" * 200,
        "b\nc" * 3,
    ]
    monkeypatch.setattr(table, "ROWS", 4)
    for ending in ("jsonl", "parquet"):
        whole, out = tmp_path / f"in.{ending}", tmp_path / "out.jsonl"
        if ending == "parquet":
            parquet.write_table(pyarrow.table({"id": range(N), "text": TEXTS}), whole)
        else:
            whole.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)))
        assert len(list(table.tables(whole, TaskConfig(data=str(whole))))) == N / 4
        score(of_texts[0], whole, out)
        assert [row["id"] for row in read(out)] == list(range(N))


def test_blank_lines_before_a_long_row_repeat_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    path = tmp_path / "blank.csv"
    path.write_text("id,text\n0,a\n\n\n" + "".join(f"{i},abc\n" for i in range(1, 30)) + f"30,{'x' * 900}\n31,b\n")
    for whole in (True, False):
        pieces = table.tables(path, TaskConfig(data=str(path)), whole=whole)
        assert [int(cell) for piece in pieces for cell in piece.columns["id"].to_pylist()] == list(range(32))


def test_pieces_with_other_columns_keep_every_cell_in_its_own(tmp_path, of_texts, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 2)
    data, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    data.write_text('{"text":"abc","a":1}\n{"text":"abc","a":2}\n{"a":3,"text":"abd"}\n{"text":"abd"}\n')
    score(of_texts[0], data, out)
    assert [(row["text"], row["a"]) for row in read(out)] == [("abc", "1"), ("abc", "2"), ("abd", "3"), ("abd", "")]
    data.write_text('{"text":"abc"}\n{"text":"abc"}\n{"b":3,"text":"abd"}\n')
    with pytest.raises(RequestError, match="the column 'b' appears first in a later row"):
        score(of_texts[0], data, tmp_path / "other.csv")
    score(of_texts[0], data, tmp_path / "out.parquet")
    assert [row["b"] for row in read(tmp_path / "out.parquet")] == [None, None, 3]


def test_columns_that_are_not_read_are_written_as_they_are(tmp_path, of_texts, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 1)
    columns = {
        "blob": [b"a", b"\xff"],
        "text": ["abc", "abd"],
        "price": pyarrow.array([Decimal("12345678901234567890.12"), None]),
    }
    data, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    parquet.write_table(pyarrow.table(columns), data)
    score(of_texts[0], data, out)
    rows = read(out)
    assert [row["blob"] for row in rows] == columns["blob"]
    assert rows[0]["price"] == Decimal("12345678901234567890.12") and list(rows[0])[:3] == list(columns)


def test_odd_cells_survive_and_values_beyond_any_are_refused(tmp_path, of_texts):
    cells = ["x\ry", "a\nb", 'q"q', "é"]
    data = tmp_path / "in.jsonl"
    data.write_text("".join(json.dumps({"odd": odd, "text": "abc"}) + "\n" for odd in cells))
    score(of_texts[0], data, tmp_path / "out.csv")
    assert [row["odd"] for row in read(tmp_path / "out.csv")] == cells
    data.write_text('{"n": NaN, "text": "abc"}\n')
    score(of_texts[0], data, tmp_path / "out.jsonl")
    assert "NaN" not in (tmp_path / "out.jsonl").read_text() and read(tmp_path / "out.jsonl")[0]["n"] is None
    model = untrained(load_task(RNG.normal(size=(N, 4)), LABELS))
    with pytest.raises(RequestError, match="rows: row 2: the model gives no finite probabilities"):
        model.predict_proba([[1.0, 2.0, 3.0, 4.0], [1e29, 1e29, -1e29, 1e29]])


def test_sequences_that_are_cut_are_counted(tmp_path, of_texts):
    data = write_csv(tmp_path / "long.csv", ["text"], [("a" * 50,), ("abc",), ("b" * 60,)])
    scored = score(of_texts[0], data, tmp_path / "out.csv")
    assert scored.lines == ["2 sequences are longer than any in training and were cut to its longest"]


def test_symbols_that_training_never_had_are_counted_and_a_row_of_them_alone_is_no_row_to_guess_on(tmp_path):
    rows = [(f"{i % 3} {i % 5 % 3} 1 2", "ab"[i % 2]) for i in range(40)]
    model = untrained(load_task(write_csv(tmp_path / "train.csv", ["sequence", "label"], rows)))
    new = write_csv(tmp_path / "new.csv", ["sequence", "label"], [("0 1", "a"), ("7 1 9", "b"), ("8 8", "a")])
    with pytest.raises(RequestError, match=r"new.csv: row 3: training had none of its symbols.*--skip-bad"):
        score(model, new, tmp_path / "out.csv")
    lines = score(model, new, tmp_path / "out.csv", skip_bad=True).lines
    assert lines[0] == "2 symbols do not occur in training and were read as unknown"
    assert lines[1:] == ["1 of 3 rows has no prediction", "row 3: training had none of its symbols"]
    assert [row["predicted"] for row in read(tmp_path / "out.csv")][2] == ""
    with pytest.raises(RequestError, match=r"rows: row 1: training had none of its symbols"):
        model.predict_proba([["z", "y"]])
    # The truth of a labelled row is known: it counts in an evaluation, and is mentioned.
    evaluation = evaluate_file(model, new)
    assert evaluation.rows == 3
    assert "4 symbols do not occur in training and were read as unknown" in evaluation.notes


def test_a_pair_with_one_sequence_of_unknown_symbols_is_named_by_its_row(tmp_path):
    rows = [(f"{i % 3} 1", f"2 {i % 2}", "ab"[i % 2]) for i in range(40)]
    data = write_csv(tmp_path / "train.csv", ["one", "two", "label"], rows)
    model = untrained(load_task(data, sequence="one", pair="two", label="label", kind="symbols"))
    with pytest.raises(RequestError, match="rows: row 2: training had none of its symbols"):
        model.predict_proba([("0 1", "2 1"), ("0 1", "9 9")])


def test_a_row_that_cannot_be_read_is_named_or_skipped_and_counted(tmp_path, of_texts, monkeypatch):
    monkeypatch.setattr(table, "BLOCK_BYTES", 64)
    model, _ = of_texts
    texts = [*TEXTS[:20], "", *TEXTS[20:30], "", *TEXTS[30:40]]
    data, out = write_csv(tmp_path / "bad.csv", ["id", "text"], enumerate(texts)), tmp_path / "out.csv"
    with pytest.raises(RequestError, match=r"bad.csv: row 21: the sequence is empty; mend it, or give --skip-bad"):
        score(model, data, out)
    assert not list(tmp_path.glob("out*")) and not list(tmp_path.glob(".selfpretrain*"))
    scored = score(model, data, out, skip_bad=True)
    assert list(scored.bad) == [20, 31] and scored.rows == len(texts)
    assert scored.lines[0] == "2 of 42 rows have no prediction" and scored.lines[1].startswith("row 21: the sequence")
    rows = read(out)
    assert [number for number, row in enumerate(rows) if row["predicted"] == row["p_no"] == ""] == [20, 31]
    good = [row["p_yes"] for row in rows if row["p_yes"]]
    np.testing.assert_allclose([float(p) for p in good], model.predict_proba(TEXTS[:40])[:, 1], atol=1e-6)
    nothing = write_csv(tmp_path / "nothing.csv", ["id", "text"], [(1, ""), (2, "")])
    with pytest.raises(RequestError, match="row 1: the sequence is empty"):
        score(model, nothing, tmp_path / "none.csv", skip_bad=True)


def test_columns_of_steps_with_gaps_and_whole_number_classes(tmp_path):
    values = RNG.normal(size=(N, 4)).round(3)
    rows = [[*map(str, own), str(i % 3)] for i, own in enumerate(values)]
    data = write_csv(tmp_path / "steps.csv", ["t1", "t2", "t3", "t4", "class"], rows)
    model, out = untrained(load_task(data)), tmp_path / "out.parquet"
    rows[5][1] = "oops"
    score(model, write_csv(data, ["t1", "t2", "t3", "t4", "class"], rows), out, skip_bad=True)
    scored = read(out)
    assert [row["predicted"] for row in scored[:5]] == model.predict(values[:5]).tolist()
    assert scored[5]["predicted"] is None and type(scored[0]["predicted"]) is int
    assert scored[7]["t2"] == str(values[7, 1]) and sum(row["predicted"] is None for row in scored) == 1


def test_a_series_of_rows_gets_one_row(tmp_path):
    rows = [(f"s{i}", t, f"{RNG.normal():.3f}", "ab"[i % 2]) for t in range(5) for i in range(N)]
    data = write_csv(tmp_path / "long.csv", ["who", "when", "value", "class"], rows)
    model = untrained(load_task(data, series="who", time="when", label="class", sequence="value"))
    out = tmp_path / "out.jsonl"
    assert score(model, data, out).rows == N
    scored = read(out)
    assert [row["who"] for row in scored] == [f"s{i}" for i in range(N)]
    series = [[float(value) for who, _, value, _ in rows if who == f"s{i}"] for i in range(N)]
    np.testing.assert_allclose([row["p_a"] for row in scored], model.predict_proba(series)[:, 0], atol=1e-6)
    with pytest.raises(RequestError, match="skip_bad True is for tables with a row a sequence"):
        score(model, data, out, skip_bad=True)


def test_a_model_of_sequences_without_names_takes_the_usual_or_the_named_column(tmp_path):
    task = load_task("proximity", symbols=4, length=8, sequences=120)
    model, out = untrained(task), tmp_path / "out.jsonl"
    lines = [{"id": i, "sequence": [0, 1, 2, 3], "other": [3, 2, 1, 0]} for i in range(3)]
    data = tmp_path / "in.jsonl"
    data.write_text("\n".join(map(json.dumps, lines)))
    score(model, data, out)
    one = read(out)
    assert [row["other"] for row in one] == [[3, 2, 1, 0]] * 3
    score(model, data, out, config=TaskConfig(data=str(data), sequence="other"))
    assert read(out)[0]["p_up"] != one[0]["p_up"]
    np.savez(tmp_path / "in.npz", x=np.tile([0, 1, 2, 3], (3, 1)), person=[7, 8, 9])
    score(model, tmp_path / "in.npz", out)
    assert [(row["person"], row["p_up"]) for row in read(out)] == [(n, one[0]["p_up"]) for n in (7, 8, 9)]
    data.write_text(json.dumps({"a": [1], "b": [2]}))
    with pytest.raises(RequestError, match=r"had no column names; name the column .* with --sequence; there are a, b"):
        score(model, data, out)


@pytest.mark.parametrize(
    ("header", "rows", "name", "message"),
    [
        (["id", "words"], [(1, "abc")], "out.csv", r"column 'text' is missing, .* are id, words; --sequence names it"),
        (["text", "predicted"], [("abc", 1)], "out.csv", "a column 'predicted', which is to be written; rename it"),
        (["text"], [], "out.csv", "there are no rows"),
        (["text"], [("abc",)], "out.xlsx", r"out.xlsx cannot be written; name a file that ends in .csv"),
        (["text"], [("abc",)], "in.csv", "is the file that is read; name another one"),
        (["text"], [("abc",)], "there.csv", "there.csv is there; name another file, or give --overwrite"),
        (["text"], [("abc",)], "folder.csv", "folder.csv is there"),
        (["text"], [("abc",)], "nowhere/out.csv", "there is no folder .*nowhere; make it, or name another"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_leaves_nothing(tmp_path, of_texts, header, rows, name, message):
    data = write_csv(tmp_path / "in.csv", header, rows)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RequestError, match=message):
        score(of_texts[0], data, tmp_path / name, overwrite=False)
    assert sorted(tmp_path.iterdir()) == before


def test_columns_of_several_types_become_texts_where_they_must(tmp_path, of_texts, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 1)
    data = tmp_path / "in.jsonl"
    data.write_text('{"text": "abc", "n": 1}\n{"text": "abd", "n": {"a": [1]}}\n')
    score(of_texts[0], data, tmp_path / "out.jsonl")
    assert [row["n"] for row in read(tmp_path / "out.jsonl")] == [1, {"a": [1]}]
    score(of_texts[0], data, tmp_path / "out.csv")
    assert [row["n"] for row in read(tmp_path / "out.csv")] == ["1", '{"a": [1]}']
    score(of_texts[0], data, tmp_path / "out.parquet")
    assert [row["n"] for row in read(tmp_path / "out.parquet")] == ["1", "{'a': [1]}"]


def test_a_pair_is_found_by_both_names(tmp_path):
    rows = zip(TEXTS, TEXTS[::-1], LABELS, strict=True)
    data = write_csv(tmp_path / "pairs.csv", ["one", "two", "label"], rows)
    model = untrained(load_task(data, sequence="one", pair="two", kind="bytes"))
    score(model, data, tmp_path / "out.csv")
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    own = [float(row["p_no"]) for row in read(tmp_path / "out.csv")]
    np.testing.assert_allclose(own, model.predict_proba(pairs)[:, 0], atol=1e-6)
    with pytest.raises(RequestError, match="sequence one and --pair go together"):
        score(model, data, tmp_path / "o.csv", config=TaskConfig(data=str(data), sequence="one"))


@pytest.mark.whole
def test_of_the_file_that_was_compared_evaluate_takes_the_test_rows_and_says_when_it_cannot(tmp_path, capsys):
    data, out, model = tmp_path / "all.csv", tmp_path / "o", tmp_path / "fitted"
    rows = [("".join(RNG.choice(list(("aab", "abb")[i % 2]), size=12)) + f"{i:03d}", "xy"[i % 2]) for i in range(200)]
    write_csv(data, ["text", "label"], rows)
    steps = ["--width=8", "--lr=3e-2", "--label.duration=60", "--preset=minimal", "--workers=1"]
    request = [str(data), "--sequence=text", "--arms=scratch", "--seeds=1", f"--out={out}", *steps]
    assert main(["compare", *request, "--json"]) == 0
    reported = json.loads(capsys.readouterr().out)["arms"]["scratch"]["test_acc"][0]

    def evaluation(folder):
        assert main(["evaluate", str(folder), str(data), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    result = evaluation(out / "runs/scratch-seed0/model")
    assert (result["rows"], result["scores"]["accuracy"]) == (30, pytest.approx(reported, abs=1e-12))
    assert result["notes"] == ["of 200 rows only the 30 of the comparison's test split are used"]
    moved = (out / "runs/scratch-seed0/model").rename(tmp_path / "moved")
    assert evaluation(moved)["rows"] == 200  # nothing says any more where it is from
    moved.rename(out / "runs/scratch-seed0/model")
    write_csv(data, ["text", "label"], [*rows[1:], rows[0]])
    result = evaluation(out / "runs/scratch-seed0")
    assert result["rows"] == 200 and "has changed since" in result["notes"][0]
    assert main(["fit", str(data), "--sequence=text", "--arm=scratch", f"--out={model}", *steps]) == 0
    assert "trained on this file" in evaluation(model)["notes"][0]


@pytest.mark.whole
def test_on_the_command_line_a_comparison_scores_its_own_test_rows(tmp_path, capsys):
    """The accuracy of what predict writes, and that of evaluate, are those that the comparison reports."""
    train, test, out = tmp_path / "train.csv", tmp_path / "test.csv", tmp_path / "o"
    rows = [("".join(RNG.choice(list(("aab", "abb")[i % 2]), size=12)) + f"{i:02d}", "xy"[i % 2]) for i in range(120)]
    write_csv(train, ["text", "label"], rows[:90])
    write_csv(test, ["text", "label"], rows[90:])
    steps = ["--width=8", "--seeds=3", "--lr=3e-2", "--pretrain.duration=2", "--label.duration=60"]
    data = [str(train), f"--test={test}", "--sequence=text", "--arms=scratch,spt", f"--out={out}", "--json"]
    assert main(["compare", *data, *steps, "--preset=minimal", "--workers=1"]) == 0
    printed = capsys.readouterr()
    assert "spt-seed0 pretrain lr 0.03: held-out loss " in printed.err and ", without context " in printed.err
    use = json.loads(printed.out)["recommended"]
    by = f", by {use['arm']}, seed {use['seed']} (validation {100 * use['val']:.1f}%, test {100 * use['test']:.1f}%)"
    for folder in (out, out / "best", out / f"runs/{use['arm']}-seed{use['seed']}"):
        assert main(["predict", str(folder), str(test), f"--out={tmp_path}/scored.csv", "--overwrite"]) == 0
        assert f"scored.csv: 30 rows{by if folder == out else ''}\n" in capsys.readouterr().err
        right = [row["predicted"] == row["label"] for row in read(tmp_path / "scored.csv")]
        assert np.mean(right) == pytest.approx(use["test"], abs=1e-12)
    assert main(["evaluate", str(out), str(test), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["scores"]["accuracy"] == pytest.approx(use["test"], abs=1e-12)
    assert np.sum(result["confusion"]) == result["rows"] == 30
    assert main(["evaluate", str(out), str(test)]) == 0
    assert "balanced accuracy" in capsys.readouterr().out
    assert main(["evaluate", str(out), str(train)]) == 0
    assert "trained on this file, so these scores are too good" in capsys.readouterr().out
    assert main(["predict", str(out), "nowhere.csv", "--out=x.csv"]) == 2
    wrong = capsys.readouterr().err
    assert wrong.count("\n") == 1 and "nowhere.csv: no such file" in wrong
