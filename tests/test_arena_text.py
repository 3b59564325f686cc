"""Text of the Long Range Arena: both kinds of files in their true format, small; damage is refused in a line."""

import json
from collections import Counter

import pyarrow
import pytest

from selfpretrain.arena.text import Text, TextSmall
from selfpretrain.config import TaskConfig
from selfpretrain.data.builtin import Source
from selfpretrain.data.catalogue import make_file
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

N = 30
"""Reviews of each class and split."""


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Sizes of the small files."""
    monkeypatch.setattr(Text, "count", N)
    monkeypatch.setattr(Text, "bytes_kept", 40)


def review(part, label, number):
    """Longer than what is kept; umlauts are two bytes."""
    return f"{part} {label} {number:02d} " + "säßöü" * 6


def rows():
    """(split, class, text) of everything."""
    for part in ("train", "test"):
        for label in (0, 1):
            for number in range(N):
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
    assert [len(split) for split in (task.train, task.val, task.test)] == [54, 6, 60]
    assert (task.kind, task.classes) == ("bytes", ("negative", "positive"))
    assert Counter(task.val.y.tolist()) == {0: 3, 1: 3}
    for split, part, numbers in ((task.train, "train", range(27)), (task.val, "train", range(27, 30))):
        texts = {bytes(x[:n]).decode() for x, n in zip(split.x, split.lengths, strict=True)}
        expected = {review(part, label, k).encode()[:40].decode(errors="ignore") for label in (0, 1) for k in numbers}
        assert texts == expected
    assert 38 <= task.length <= 40  # half a character at the end is dropped


def test_the_small_sister_takes_the_first_of_each_class(tmp_path, monkeypatch):
    monkeypatch.setattr(TextSmall, "most", 10)
    as_arrow(tmp_path)
    rows = TextSmall().rows(Source(folder=tmp_path))
    assert Counter(rows.split) == {"train": 18, "val": 2, "test": 20}
    assert rows.columns[0][0] == review("train", 0, 0)  # shorter than 256 bytes


def test_a_file_of_it_is_made_and_read_again(tmp_path):
    as_arrow(tmp_path)
    out = tmp_path / "text.jsonl"
    make_file(TaskConfig(data="lra-text", data_dir=tmp_path), out)
    first = json.loads(out.read_text().splitlines()[0])
    assert first["split"] == "train" and first["label"] == "negative" and first["sequence"].startswith("train 0 00 s")
    own, read = load_task("lra-text", data_dir=tmp_path), load_task(out, kind="bytes")
    assert [len(split) for split in (read.train, read.val, read.test)] == [54, 6, 60]
    assert read.length == own.length


DAMAGE = {
    "one gone": (
        "aclImdb",
        lambda path: next((path / "test/pos").glob("*.txt")).unlink(),
        "test: negative and positive reviews: [30, 29], not [30, 30]; get it again, the folder from ai.stan",
    ),
    "no text": (
        "aclImdb",
        lambda path: next((path / "train/neg").glob("*.txt")).write_bytes(b"\xff\xfe"),
        "cannot be read ('utf-8' codec",
    ),
    "no class": (
        "aclImdb",
        lambda path: (path / "train/pos").rename(path / "train/good"),
        "train: negative and positive reviews: [30, 0], not [30, 30]",
    ),
    "cut short": (
        "imdb",
        lambda path: (path / "train/data-00000-of-00001.arrow").write_bytes(b"xy"),
        "data-00000-of-00001.arrow: cannot be read (",
    ),
    "no test": (
        "imdb",
        lambda path: (path / "test/data-00000-of-00001.arrow").unlink(),
        "test: no .arrow file; save the whole data set",
    ),
}


@pytest.mark.parametrize(("kind", "damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_what_is_wrong(kind, damage, message, tmp_path):
    FORMATS[kind](tmp_path)
    damage(tmp_path / kind)
    with pytest.raises(RequestError) as refused:
        load_task("lra-text", data_dir=tmp_path)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "columns",
    [{"text": [1], "label": [0]}, {"text": ["a"], "label": ["no number"]}, {"text": ["a"], "label": [2]}, {"x": [1]}],
)
def test_rows_of_another_kind_are_refused(columns, tmp_path):
    as_arrow(tmp_path)
    table = pyarrow.table(columns)
    path = str(tmp_path / "imdb/train/data-00000-of-00001.arrow")
    with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(RequestError, match=r"a row lacks text or label|imdb/train.*: cannot be read"):
        load_task("lra-text", data_dir=tmp_path)
