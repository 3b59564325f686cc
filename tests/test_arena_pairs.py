"""Retrieval: tables of pairs in the true format, small; damage is refused in a line."""

import numpy as np
import pytest

from selfpretrain.arena.pairs import RetrievalSmall
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

PAPERS = ["Attention, again\n\twith tabs", '"A quoted" title', "Caf\u00e9 graph", "plain words of a paper", "x" * 9000]


def rows_of(n, seed):
    rng = np.random.default_rng(seed)
    return [(i % 2, *rng.integers(len(PAPERS), size=2).tolist(), int(rng.integers(1000))) for i in range(n)]


def shown(paper):
    """As Python writes its bytes."""
    return str(paper.encode())


def write(path, rows):
    """As the archive has them: a label like 1.0, two names, two papers as Python writes bytes; nothing is quoted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        for label, a, b, salt in rows:
            texts = [shown(f"{salt} {PAPERS[k]}") for k in (a, b)]
            file.write("\t".join([f"{label}.0", f"P{a}", f"P{b}", *texts]) + "\n")


@pytest.fixture(params=["lra_release/lra_release/tsv_data", "lra_release/tsv_data", "tsv_data"])
def archive(request, tmp_path):
    folder = tmp_path / request.param
    folder.mkdir(parents=True)
    rows = {part: rows_of(n, n) for part, n in (("train", 30), ("eval", 8), ("test", 6))}
    for part, some in rows.items():
        write(folder / f"new_aan_pairs.{part}.tsv", some)
    return rows, folder, tmp_path


def test_pairs_are_read_in_their_splits(archive):
    rows, _, folder = archive
    task = load_task("lra-retrieval", data_dir=folder)
    assert (task.kind, task.classes, task.inputs.per_row) == ("bytes", ("no", "yes"), 2)
    for split, theirs in ((task.train, "train"), (task.val, "eval"), (task.test, "test")):
        texts = [bytes(x[:n]) for x, n in zip(split.x, split.lengths, strict=True)]
        papers = [f"{salt} {PAPERS[k]}" for _, a, b, salt in rows[theirs] for k in (a, b)]
        expected = [shown(paper).encode()[:4000] for paper in papers]
        assert texts == expected
        assert split.y.tolist() == [label for label, *_ in rows[theirs]]


def test_the_small_sister_takes_the_first_pairs_and_is_named_so(archive, monkeypatch):
    rows, _, folder = archive
    monkeypatch.setattr(RetrievalSmall, "taken", (20, 4, 5))
    task = load_task("lra-retrieval-small", data_dir=folder)
    assert [len(split) for split in (task.train, task.val, task.test)] == [20, 4, 5]
    assert task.name == "lra-retrieval-small"
    assert task.length <= RetrievalSmall.bytes_kept
    assert task.train.y.tolist() == [label for label, *_ in rows["train"][:20]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.0\tP1\tP2\tonly one paper\n", "row 3 is not a label .* it has 4 columns"),
        ("2\tP1\tP2\ta\tb\n", r"row 3 is not a label \(0 or 1\)"),
        ("1.0\tP1\tP2\ta\tb''\textra\n", "it has 6 columns"),
        ("0.0\tP1\tP2\t\ud800\tb\n", r"cannot be read \(.*get it again"),
    ],
)
def test_damaged_rows_are_refused_with_their_number(archive, line, message):
    rows, files, folder = archive
    path = files / "new_aan_pairs.eval.tsv"
    write(path, rows["eval"][:2])
    with path.open("ab") as file:
        file.write(line.encode("utf-8", errors="surrogatepass"))
    with pytest.raises(RequestError, match=message) as caught:
        load_task("lra-retrieval", data_dir=folder)
    assert str(path) in str(caught.value)


def test_a_missing_table_is_refused(archive):
    _, files, folder = archive
    (files / "new_aan_pairs.test.tsv").unlink()
    with pytest.raises(
        RequestError, match=r"new_aan_pairs.test.tsv: cannot be read \(.*get it again, unpacked from lra"
    ):
        load_task("lra-retrieval", data_dir=folder)


def test_pairs_with_an_empty_text_are_left_out_and_counted(archive):
    rows, files, folder = archive
    with (files / "new_aan_pairs.train.tsv").open("a") as file:
        file.write("1.0\tP1\tP2\t\tb'text'\n1.0\tP1\tP2\t\"one quote\tb'text'\n")
    task = load_task("lra-retrieval", data_dir=folder)
    assert len(task.train) == len(rows["train"]) + 1
    assert "1 pairs with an empty text are left out" in task.notes
    assert bytes(task.train.x[-2, : task.train.lengths[-2]]) == b'"one quote'
