"""Text of the Long Range Arena: both kinds of files in their true format, small; damage is refused in a line."""

import json
from collections import Counter

import pyarrow
import pytest

from selfpretrain.cli import main
from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.text import Text, TextSmall, read_reviews
from selfpretrain.tasks.load import load_task

N_TRAIN, N_TEST = 60, 20


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Counts of the small files."""
    monkeypatch.setattr(Text, "counts", (N_TRAIN, N_TEST))
    monkeypatch.setattr(Text, "bytes_kept", 40)


def review(part, label, number):
    """Longer than what is kept; umlauts are two bytes."""
    return f"{part} {label} {number:02d} " + "säßöü" * 6


def rows():
    """(split, class, text) of everything."""
    for part, n in (("train", N_TRAIN), ("test", N_TEST)):
        for label in (0, 1):
            for number in range(n // 2):
                yield part, label, review(part, label, number)


def as_arrow(folder):
    schema = pyarrow.schema([("text", pyarrow.string()), ("label", pyarrow.int64())])
    for part in ("train", "test"):
        (folder / "imdb" / part).mkdir(parents=True)
        texts, labels = zip(*((text, label) for p, label, text in rows() if p == part), strict=True)
        path = str(folder / f"imdb/{part}/data-00000-of-00001.arrow")
        with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
            writer.write_batch(pyarrow.record_batch([list(texts), list(labels)], schema=schema))


def as_folders(folder):
    for number, (part, label, text) in enumerate(rows()):
        path = folder / "aclImdb" / part / ("neg", "pos")[label] / f"{number:04d}_7.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "aclImdb/train/unsup").mkdir()
    (folder / "aclImdb/train/unsup/0_0.txt").write_text("never read: no outside data")


FORMATS = {"imdb": as_arrow, "aclImdb": as_folders}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_reviews_in_the_same_splits(kind, tmp_path):
    FORMATS[kind](tmp_path)
    task = load_task("lra-text", data_dir=tmp_path)
    assert [len(split) for split in (task.train, task.val, task.test)] == [54, 6, N_TEST]
    assert (task.kind, task.classes) == ("bytes", ("negative", "positive"))
    assert Counter(task.val.y.tolist()) == {0: 3, 1: 3}
    for split, part, numbers in ((task.train, "train", range(27)), (task.val, "train", range(27, 30))):
        found = {bytes(x[:n]).decode() for x, n in zip(split.x, split.lengths, strict=True)}
        expected = {review(part, label, k).encode()[:40].decode(errors="ignore") for label in (0, 1) for k in numbers}
        assert found == expected
    assert 38 <= task.length <= 40  # half a character at the end is dropped


def test_the_small_sister_takes_the_first_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setattr(TextSmall, "of_class", 10)
    as_arrow(tmp_path)
    made = TextSmall().read(tmp_path)
    assert Counter(made.split) == {"train": 18, "val": 2, "test": 20}
    assert made.x[0] == review("train", 0, 0)  # shorter than 256 bytes


def test_a_file_of_it_is_made_and_read_again(tmp_path):
    as_arrow(tmp_path)
    out = tmp_path / "text.jsonl"
    assert main(["data", "make", "lra-text", f"--data-dir={tmp_path}", f"--out={out}"]) == 0
    first = json.loads(out.read_text().splitlines()[0])
    assert first["split"] == "train" and first["label"] == "negative" and first["sequence"].startswith("train 0 00 s")
    own, read = load_task("lra-text", data_dir=tmp_path), load_task(out, kind="bytes")
    assert [len(split) for split in (read.train, read.val, read.test)] == [54, 6, N_TEST]
    assert read.length == own.length


def test_where_nothing_lies_it_is_said_what_to_get(tmp_path):
    assert read_reviews(tmp_path, (N_TRAIN, N_TEST)) is None
    with pytest.raises(RequestError, match=r"lra-text: its data are not in .*; put there imdb, as datasets"):
        load_task("lra-text", data_dir=tmp_path)


DAMAGE = {
    "one gone": (
        "aclImdb",
        lambda path: next((path / "test/pos").glob("*.txt")).unlink(),
        "of test reviews it has 10 negative and 9 positive ones, not 10 and 10; get it again",
    ),
    "no text": (
        "aclImdb",
        lambda path: next((path / "train/neg").glob("*.txt")).write_bytes(b"\xff\xfe"),
        "cannot be read ('utf-8' codec",
    ),
    "too large": (
        "aclImdb",
        lambda path: next((path / "train/neg").glob("*.txt")).write_text("x" * 1_000_001),
        "is no review, it is too large",
    ),
    "no class": (
        "aclImdb",
        lambda path: (path / "train/pos").rename(path / "train/good"),
        "30 negative and 0 positive",
    ),
    "cut short": (
        "imdb",
        lambda path: (path / "train/data-00000-of-00001.arrow").write_bytes(b"xy"),
        "no stream with text and label as in stanfordnlp/imdb",
    ),
    "no test": (
        "imdb",
        lambda path: (path / "test/data-00000-of-00001.arrow").unlink(),
        "test: no .arrow file; save the whole data set again",
    ),
}


@pytest.mark.parametrize(("kind", "damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_what_is_wrong(kind, damage, said, tmp_path):
    FORMATS[kind](tmp_path)
    damage(tmp_path / kind)
    with pytest.raises(RequestError) as refused:
        load_task("lra-text", data_dir=tmp_path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("columns", [{"text": [1], "label": [0]}, {"text": ["a"], "label": ["no number"]}, {"x": [1]}])
def test_rows_of_another_kind_are_refused(columns, tmp_path):
    as_arrow(tmp_path)
    table = pyarrow.table(columns)
    path = str(tmp_path / "imdb/train/data-00000-of-00001.arrow")
    with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(RequestError, match=r"no text with a class|no stream with text and label"):
        load_task("lra-text", data_dir=tmp_path)
