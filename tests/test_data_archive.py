"""Files of the UCR and UEA archives: small ones in the true formats, and broken ones."""

import gzip
import io
import json

import numpy as np
import pytest
from scipy.io.arff import loadarff

from selfpretrain.classifier import load_model
from selfpretrain.cli import main
from selfpretrain.config import TaskConfig
from selfpretrain.data import archive, table
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

HEADER = """#The header of a problem
%and more of it
@problemName Vowels
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true one two
@data
"""
ROWS = [
    ([[1.5, 2, 3], [4, 5, -6e-1]], "one"),
    ([[1, 2], [7, np.nan]], "two"),
    ([[0.25], [8]], "one"),
]


def ts(rows, header=HEADER):
    """As aeon and sktime write it."""
    lines = (":".join([*(",".join("?" if v != v else str(v) for v in c) for c in x), y]) for x, y in rows)
    return header + "\n".join(lines) + "\n"


def read(path, **config):
    return table.read_table(path, TaskConfig(data=str(path), **config))


def test_each_dimension_is_a_channel_and_a_question_mark_is_missing(tmp_path):
    path = tmp_path / "v.ts"
    path.write_text(ts(ROWS))
    (tmp_path / "v.ts.gz").write_bytes(gzip.compress(path.read_bytes()))
    for columns in (read(path).columns, read(tmp_path / "v.ts.gz").columns):
        assert columns["label"] == ["one", "two", "one"]
        for cell, (channels, _) in zip(columns["x"], ROWS, strict=True):
            np.testing.assert_array_equal(cell, np.array(channels).T)


def test_a_single_dimension_has_no_axis_of_channels_and_a_file_may_have_no_classes(tmp_path):
    (tmp_path / "v.ts").write_text("@univariate true\n@classLabel false\n@DATA\n1,2,3\n\n4, 5, 6\n")
    columns = read(tmp_path / "v.ts").columns
    assert list(columns) == ["x"]
    assert [cell.tolist() for cell in columns["x"]] == [[1, 2, 3], [4, 5, 6]]


def test_it_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 2)
    (tmp_path / "v.ts").write_text(ts(ROWS))
    pieces = table.tables(tmp_path / "v.ts", TaskConfig(data="x"))
    assert [len(piece) for piece in pieces] == [2, 1]


def problem(count):
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 9, size=count)
    return [
        (rng.normal(2 * (i % 2), size=(2, n)).round(4).tolist(), ("one", "two")[i % 2]) for i, n in enumerate(lengths)
    ]


def test_train_and_test_files_make_a_task_and_a_model_scores_new_series(tmp_path, capsys):
    rows = problem(140)
    train, test = tmp_path / "Vowels_TRAIN.ts", tmp_path / "Vowels_TEST.ts"
    train.write_text(ts(rows[:120]))
    test.write_text(ts(rows[120:]))
    task = load_task(train, test=test)
    assert (task.kind, task.classes, len(task.test)) == ("values", ("one", "two"), 20)
    assert task.codec.inputs.channels == 2
    assert not any("beside" in note for note in task.notes)
    assert any(f"--test {test}" in note for note in load_task(train).notes)
    flags = ["--arms=scratch", "--seeds=3", "--lr=0.01", "--label.duration=40steps", "--width=8", "--workers=1"]
    assert main(["compare", str(train), "--test", str(test), *flags, f"--out={tmp_path / 'o'}"]) == 0
    assert main(["predict", str(tmp_path / "o"), str(test), f"--out={tmp_path / 'p.jsonl'}"]) == 0
    scored = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["label"] for row in scored] == [y for _, y in rows[120:]]
    expected = load_model(tmp_path / "o").predict_proba([np.array(x).T for x, _ in rows[120:]])
    np.testing.assert_allclose([[row["p_one"], row["p_two"]] for row in scored], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("@dimensions 2", "@dimensions 3"), "row 1: has 2 dimensions, and the header says 3"),
        (("@dimensions 2", "@dimensions two"), "'@dimensions' is no whole number"),
        (("@timeStamps false", "@timeStamps maybe"), "'@timeStamps' is neither true nor false"),
        (("@timeStamps false", "@timeStamps true"), "has a time for every value"),
        (("@equalLength false", "@equalLength true\n@seriesLength 3"), "row 2: has 2 values, and the header says 3"),
        (("one two", "one three"), "row 2: has the class 'two', which is not among those of @classLabel"),
        (("1,2:7,?", "1,2:7"), "row 2: has channels of 1 and of 2 values"),
        (("4,5", "4,five"), "row 1: holds what is no number"),
        (("@data\n", ""), "its header has the line '1.5,2,3"),
        (("@classLabel true one two", "@targetLabel true"), "has numbers to predict"),
    ],
)
def test_a_header_that_disagrees_with_its_data_is_refused(tmp_path, change, message):
    text = ts(ROWS).replace("2,nan", "2")
    assert change[0] in text
    (tmp_path / "v.ts").write_text(text.replace(*change))
    with pytest.raises(RequestError) as refused:
        read(tmp_path / "v.ts")
    assert str(refused.value).startswith(f"{tmp_path / 'v.ts'}: ")
    assert message in str(refused.value)


def test_a_file_that_ends_in_its_header_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_TAGS", 5)
    (tmp_path / "v.ts").write_text("@problemName x\n")
    with pytest.raises(RequestError, match="there is no line @data"):
        read(tmp_path / "v.ts")
    (tmp_path / "v.ts").write_text("# a\n" * 9 + "@data\n1:a\n")
    with pytest.raises(RequestError, match="there is no line @data"):
        read(tmp_path / "v.ts")


ARFF = """% of Weka
@relation Leaf
@attribute att0 numeric
@attribute att1 real
@attribute target {oak,'white ash'}
@data
0.5,2,oak
-1,?,'white ash'
"""
RELATIONAL = """@relation Motions
@attribute signal relational
  @attribute t0 numeric
  @attribute t1 numeric
  @attribute t2 numeric
@end signal
@attribute activity {run,walk}
@data
'1,2,3\\n4,5,6',run
'7,8,?\\n10,11,12',walk
"""


def test_attributes_are_columns_and_relational_ones_hold_a_channel_a_line(tmp_path):
    (tmp_path / "l.arff").write_text(ARFF)
    columns = read(tmp_path / "l.arff").columns
    assert columns["target"] == ["oak", "white ash"]
    np.testing.assert_array_equal(columns["att1"], [2, np.nan])
    (tmp_path / "m.arff").write_text(RELATIONAL)
    columns = read(tmp_path / "m.arff").columns
    assert columns["activity"] == ["run", "walk"]
    np.testing.assert_array_equal(columns["signal"][0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(columns["signal"][1], [[7, 10], [8, 11], [np.nan, 12]])


def test_texts_are_read_and_agree_with_scipy_where_it_reads_a_file(tmp_path):
    plain = ARFF.replace("'white ash'", "ash")
    (tmp_path / "l.arff").write_text(plain)
    theirs, meta = loadarff(io.StringIO(plain))
    ours = read(tmp_path / "l.arff").columns
    assert list(ours) == meta.names()
    for name in ("att0", "att1"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    (tmp_path / "s.arff").write_text(
        "@relation r\n@attribute 'a b' string\n@attribute c {x,y}\n@data\n'hi, you',x\n?,y\n"
    )
    assert read(tmp_path / "s.arff").columns == {"a b": ["hi, you", None], "c": ["x", "y"]}


def test_an_arff_file_of_steps_makes_a_task(tmp_path):
    rng = np.random.default_rng(0)
    header = "@relation r\n" + "".join(f"@attribute att{i} numeric\n" for i in range(6))
    rows = "".join(",".join(map(str, rng.normal(size=6).round(3))) + f",{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "r.arff").write_text(f"{header}@attribute target {{a,b}}\n@data\n{rows}")
    task = load_task(tmp_path / "r.arff")
    assert (task.kind, task.classes, task.length) == ("values", ("a", "b"), 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ARFF.replace("-1,", "-1,3,"), "row 2: has 4 values, and the header 3 attributes"),
        (ARFF.replace("-1,", "x,"), "row 2: has 'x' as att0, which is a number by the header"),
        (ARFF.replace("2,oak", "2,elm"), "row 1: has 'elm' as target, which is not among its values"),
        (ARFF.replace("0.5,2,oak", "{0 0.5}"), "row 1: is sparse"),
        (ARFF.replace("@data", ""), "its header has the line '0.5,2,oak', which is no @attribute"),
        (ARFF.partition("@data")[0], "there is no line @data"),
        (ARFF.replace("att1", "att0"), "attribute 'att0' occurs twice"),
        (RELATIONAL.replace("'1,2,3", "'1,2"), "row 1: has channels of 2 and of 3 values"),
        ("PK\x03\x04", "which is no @attribute"),
    ],
)
def test_a_broken_arff_file_is_refused(tmp_path, text, message):
    (tmp_path / "l.arff").write_text(text)
    with pytest.raises(RequestError) as refused:
        read(tmp_path / "l.arff")
    assert str(refused.value).startswith(f"{tmp_path / 'l.arff'}: ")
    assert message in str(refused.value)
