"""Run folders: atomic, checked, resumable, one writer."""

import json
from dataclasses import replace

import filelock
import pytest
import torch

from conftest import tiny_run
from selfpretrain.events import Note
from selfpretrain.runs import KEPT_CHECKPOINTS, RunFolder, write_atomically, write_json


def folder(path, events=None, **settings):
    tell = (lambda event: None) if events is None else events.append
    return RunFolder(path / "run", tiny_run(**settings), "task", tell=tell)


def save(run, step, value, phase="label"):
    run.record({"phase": phase, "step": step, "val_acc": value})
    run.checkpoint(phase, step, {"model.w": torch.full((3,), value)}, {"step": step})


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_latest_state_comes_back_with_its_rows(tmp_path):
    with folder(tmp_path) as run:
        for step in range(1, 5):
            save(run, step, step / 4, "pretrain" if step < 3 else "label")
        run.record({"phase": "label", "step": 5, "val_acc": 0.0})  # after the last checkpoint
        assert len(list((run.path / "checkpoint").iterdir())) == KEPT_CHECKPOINTS
    with folder(tmp_path) as run:
        phase, tensors, meta = run.latest()
        assert (phase, meta) == ("label", {"step": 4})
        assert tensors["model.w"].tolist() == [1.0] * 3
        assert [row["step"] for row in run.rows] == [1, 2, 3, 4]
        lines = (run.path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def truncate(data):
    return data[: len(data) // 2]


def alter(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


@pytest.mark.parametrize("damage", [truncate, alter, lambda data: b""])
def test_a_damaged_state_gives_way_to_the_one_before_and_is_told(tmp_path, damage):
    with folder(tmp_path) as run:
        save(run, 1, 0.5)
        save(run, 2, 1.0)
        newest = max((run.path / "checkpoint").iterdir())
        newest.write_bytes(damage(newest.read_bytes()))
    events = []
    with folder(tmp_path, events) as run:
        _, tensors, meta = run.latest()
        assert meta == {"step": 1}
        assert tensors["model.w"].tolist() == [0.5] * 3
    assert [type(event) for event in events] == [Note]
    assert "damaged" in events[0].text
    assert newest.name in events[0].text


def test_without_a_good_state_the_run_begins_again(tmp_path):
    with folder(tmp_path) as run:
        save(run, 1, 0.5)
        for path in (run.path / "checkpoint").iterdir():
            path.write_bytes(b"x")
    with folder(tmp_path) as run:
        assert run.latest() is None
        assert run.rows == []
        assert (run.path / "metrics.jsonl").read_text() == ""


def test_a_state_of_other_settings_is_not_taken(tmp_path):
    with folder(tmp_path) as run:
        save(run, 1, 0.5)
    with folder(tmp_path, lr=0.5) as run:
        assert run.latest() is None


def test_done_is_believed_for_its_own_settings_only(tmp_path):
    with folder(tmp_path) as run:
        save(run, 1, 0.5)
        assert run.finished() is None
        run.finish({"test_acc": 1.0})
        assert run.finished() == {"test_acc": 1.0}
        assert not list((run.path / "checkpoint").iterdir())
    with folder(tmp_path, seed=1) as run:
        assert run.finished() is None


def test_a_folder_has_one_writer(tmp_path):
    with folder(tmp_path) as run:
        other = filelock.FileLock(run.path / ".lock", timeout=0, is_singleton=False)
        with pytest.raises(filelock.Timeout):
            other.acquire()


def test_names():
    assert tiny_run().name == "spt-seed0"
    assert replace(tiny_run(), purpose="tune", seed=10_000).name == "spt-seed10000-lr0.01"
