"""Rows drawn in pieces: the same as at once, whoever draws them; kept, found again, and refused where damaged."""

import io
import json
from dataclasses import dataclass

import filelock
import numpy as np
import pytest

from selfpretrain.arena import pieces
from selfpretrain.arena.base import in_order
from selfpretrain.arena.pathfinder import PathfinderSmall
from selfpretrain.arena.pieces import DrawnTask
from selfpretrain.config import TaskConfig
from selfpretrain.data.builtin import Source
from selfpretrain.data.catalogue import described, listed, make_file
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.registry import TASKS
from selfpretrain.streams import numpy_stream
from selfpretrain.watch import Done, Planned, Progress


@dataclass(frozen=True, kw_only=True)
class Cheap(DrawnTask):
    """Three numbers of a seed."""

    name = "cheap"
    size = "40 x 3"
    classes = ("even", "odd")
    sequences: int = 40
    """Number of rows."""
    seconds_per_row = 0.001

    def draw(self, seeds):
        calls.append(len(seeds))
        if len(calls) > limit[0]:
            raise KeyboardInterrupt
        x = np.stack([np.random.default_rng(seed).integers(256, size=3) for seed in seeds]).astype(np.uint8)
        return x, (x[:, 0] % 2).astype(np.int64)

    def split(self):
        held_out = self.sequences // 4
        return in_order(self.sequences - 2 * held_out, held_out, held_out)


calls: list[int] = []
limit = [10**9]


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setitem(TASKS._load(), "cheap", Cheap)
    monkeypatch.setattr(pieces, "PIECE", 7)
    monkeypatch.setattr(Cheap, "seconds_per_row", 0.001)
    calls.clear()
    limit[0] = 10**9


def test_pieces_make_the_same_rows_as_all_at_once(tmp_path):
    rule = Cheap(sequences=40)
    rows = rule.rows(Source(3, folder=tmp_path))
    assert calls == [7] * 5 + [5]
    assert_equal(rows, rule, 3)


def assert_equal(rows, rule, data_seed):
    x, y = rule.draw(numpy_stream(data_seed, "data").integers(2**63, size=rule.sequences))
    assert (rows.columns[0] == x).all()
    assert (rows.labels, rows.split) == ([rule.classes[label] for label in y], rule.split())


@pytest.mark.whole
def test_several_processes_draw_the_same_rows(tmp_path):
    rule, events = PathfinderSmall(sequences=20), []
    rows = rule.rows(Source(0, tmp_path, 2, events.append))
    assert_equal(rows, rule, 0)
    assert isinstance(events[0], Planned) and isinstance(events[-1], Done)
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps[0] == 0 and steps[-1] == 20 and sorted(steps) == steps


def test_an_interrupted_file_goes_on_from_its_pieces(tmp_path):
    config, out = TaskConfig(data="cheap"), tmp_path / "sub" / "cheap.npz"
    limit[0] = 3
    with pytest.raises(KeyboardInterrupt):
        make_file(config, out)
    (folder,) = out.parent.iterdir()
    assert folder.name.startswith("cheap.npz.pieces-") and len(list(folder.glob("*.npz"))) == 3
    calls.clear()
    limit[0] = 10**9
    np.savez(folder / "000001.npz", x=np.zeros((6, 3), np.uint8), y=np.zeros(6, np.int64))  # a row less
    (folder / ".selfpretrain-abc").write_bytes(b"half")
    events = []
    assert make_file(config, out, watch=events.append) == f"{out}: 40 sequences of cheap"
    assert calls == [7, 7, 7, 5]  # the damaged one, and what was missing
    assert next(e.step for e in events if isinstance(e, Progress)) == 14
    assert list(out.parent.iterdir()) == [out]
    calls.clear()
    own, read = load_task("cheap"), load_task(out)
    assert calls  # the folder of data is another one
    assert (own.train.y == read.train.y).all() and own.classes == read.classes
    np.testing.assert_array_equal(own.test.x, read.test.x)


def test_another_request_has_other_pieces(tmp_path):
    limit[0] = 2
    for seed in (0, 1):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            make_file(TaskConfig(data="cheap", data_seed=seed), tmp_path / "c.npz")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_made_file_in_the_folder_of_data_is_the_task(tmp_path):
    make_file(TaskConfig(data="cheap", data_seed=4), tmp_path / "cheap.npz")
    own = load_task("cheap", data_seed=4)
    calls.clear()
    read = load_task("cheap", data_seed=4, data_dir=tmp_path)
    assert not calls
    assert (read.fingerprint, read.name) == (own.fingerprint, "cheap")
    for other in ({"data_seed": 5}, {"data_seed": 4, "sequences": 36}):  # a file of another request is not it
        load_task("cheap", data_dir=tmp_path, **other)
        assert sum(calls) == other.get("sequences", 40)
        calls.clear()
    whole = (tmp_path / "cheap.npz").read_bytes()
    for data in (whole[:-30], b"none", whole[:100]):
        (tmp_path / "cheap.npz").write_bytes(data)
        with pytest.raises(RequestError, match=r"cheap.npz: cannot be read .*make it again"):
            load_task("cheap", data_seed=4, data_dir=tmp_path)
    with np.load(io.BytesIO(whole)) as arrays:
        content = dict(arrays)
    for wrong in ({"y_val": np.array(["else"] * 10)}, {"x_test": content["x_test"][:3]}, {"y_train": content["y_val"]}):
        np.savez(tmp_path / "cheap.npz", **{**content, **wrong})
        with pytest.raises(RequestError, match="cannot be read"):
            load_task("cheap", data_seed=4, data_dir=tmp_path)
    np.savez(tmp_path / "cheap.npz", x_train=np.zeros((3, 2)), y_train=np.zeros(3))  # a person's own, of another kind
    assert len(load_task("cheap", data_dir=tmp_path).train) == 20


def test_a_flipped_byte_is_damage_and_no_traceback(tmp_path):
    make_file(TaskConfig(data="cheap"), tmp_path / "cheap.npz")
    whole = bytearray((tmp_path / "cheap.npz").read_bytes())
    refused = 0
    for place in range(0, len(whole), 7):
        changed = whole.copy()
        changed[place] ^= 255
        (tmp_path / "cheap.npz").write_bytes(changed)
        try:
            load_task("cheap", data_dir=tmp_path)
        except RequestError as error:
            refused += "cannot be read" in str(error)
    assert refused > 20


def test_what_takes_hours_has_to_be_made_first(tmp_path, monkeypatch):
    monkeypatch.setattr(Cheap, "seconds_per_row", 90.0)
    make = r"selfpretrain data make cheap --sequences 36 --data-seed 2 --out .*cheap.npz, which"
    for workers in (1, 2):  # whoever asks: diagnose may have fewer
        with pytest.raises(RequestError, match=rf"sequences 36 take one core about 54 min 0 s to draw; .*: {make}"):
            load_task("cheap", data_dir=tmp_path, sequences=36, data_seed=2, workers=workers)
    assert not calls
    make_file(TaskConfig(data="cheap"), tmp_path / "cheap.npz")  # does not mind
    assert len(load_task("cheap", data_dir=tmp_path).train) == 20
    with pytest.raises(RequestError, match=r"that file, which holds .*\"sequences\": 40.*, has to move"):
        load_task("cheap", data_dir=tmp_path, sequences=36)


def test_what_took_long_is_neither_made_again_nor_replaced(tmp_path):
    config, out = TaskConfig(data="cheap"), tmp_path / "c.npz"
    make_file(config, out)
    calls.clear()
    assert make_file(config, out).endswith("made before")
    for other in (TaskConfig(data="cheap", data_seed=1), TaskConfig(data="cheap", options={"sequences": 36})):
        with pytest.raises(RequestError, match=r"is there and holds what took long, too"):
            make_file(other, out)
    np.savez(tmp_path / "mine.npz", x=np.zeros(3))
    with pytest.raises(RequestError, match="is there and holds another file"):
        make_file(config, tmp_path / "mine.npz")
    assert not calls


def test_somebody_elses_file_among_the_pieces_stays(tmp_path):
    folder = Cheap().pieces_beside(tmp_path / "c.npz", Source(0))
    (folder / "mine.txt").write_text("mine")
    make_file(TaskConfig(data="cheap"), tmp_path / "c.npz")
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_two_at_once_do_not_disturb_each_other(tmp_path):
    folder = Cheap().pieces_beside(tmp_path / "c.npz", Source(0))
    with filelock.FileLock(folder / ".lock"), pytest.raises(RequestError, match="another selfpretrain is at work"):
        make_file(TaskConfig(data="cheap"), tmp_path / "c.npz")
    assert not calls


def test_another_version_of_the_rule_finds_nothing_of_the_old_one(tmp_path, monkeypatch):
    make_file(TaskConfig(data="cheap"), tmp_path / "cheap.npz")
    old = Cheap().pieces_beside(tmp_path / "c.npz", Source(0))
    calls.clear()
    monkeypatch.setattr(Cheap, "version", 2)
    load_task("cheap", data_dir=tmp_path)
    assert sum(calls) == 40
    assert Cheap().pieces_beside(tmp_path / "c.npz", Source(0)) != old


def test_few_rows_are_described_where_one_takes_long(monkeypatch):
    monkeypatch.setattr(pieces, "DESCRIBED_SECONDS", 0.03)
    assert "statistics of 30 sequences" in described(TaskConfig(data="cheap"))
    monkeypatch.setattr(Cheap, "seconds_per_row", 1.0)
    assert "statistics of 20 sequences" in described(TaskConfig(data="cheap"))


def test_a_task_whose_file_lies_in_the_folder_of_data_is_ready(tmp_path):
    assert any(line.startswith("cheap                 made ") for line in listed(tmp_path))
    (tmp_path / "cheap.npz").touch()
    assert any(line.startswith("cheap                 ready ") for line in listed(tmp_path))


def test_a_wrong_ending_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(RequestError, match="does not fit values"):
        make_file(TaskConfig(data="cheap"), tmp_path / "cheap.jsonl")
    assert not calls and not list(tmp_path.iterdir())


def test_a_file_says_of_what_it_was_made(tmp_path):
    make_file(TaskConfig(data="cheap", options={"sequences": 36}), tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as arrays:
        assert json.loads(str(arrays["made"])) == {
            "task": "cheap",
            "version": 1,
            "data_seed": 0,
            "sequences": 36,
        }
