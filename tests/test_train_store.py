"""The store: one folder a training, checked, resumable, one writer."""

import json
from dataclasses import replace

import filelock
import pytest
import torch

from conftest import do, tiny_training
from selfpretrain.errors import DamagedError, RequestError
from selfpretrain.files import HALF_WRITTEN
from selfpretrain.train.store import KEPT_CHECKPOINTS, Store, TrainingFolder
from selfpretrain.train.training import TrainingResult
from selfpretrain.watch import Note, ignore


@pytest.fixture
def training(tiny_task):
    return tiny_training(tiny_task, "scratch")


def open_folder(path, training, events=None, **settings):
    return TrainingFolder(Store(path), training, tell=ignore if events is None else events.append, **settings)


def save(folder, step, value):
    folder.rows.append({"phase": "label", "step": step, "val_acc": value})
    folder.checkpoint(step, {"model.w": torch.full((3,), value)}, {"step": step})


def test_the_latest_state_comes_back_with_its_rows(tmp_path, training):
    with open_folder(tmp_path, training) as folder:
        for step in range(1, 5):
            save(folder, step, step / 4)
        folder.rows.append({"phase": "label", "step": 5, "val_acc": 0.0})  # after the last checkpoint
        assert len(list((folder.path / "checkpoint").iterdir())) == KEPT_CHECKPOINTS
    with open_folder(tmp_path, training) as folder:
        tensors, meta = folder.latest()
        assert meta == {"step": 4}
        assert tensors["model.w"].tolist() == [1.0] * 3
        assert [row["step"] for row in folder.rows] == [1, 2, 3, 4]
        lines = (folder.path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: d[:-5] + bytes([d[-5] ^ 1]) + d[-4:], bytes])
def test_a_damaged_state_gives_way_to_the_one_before_and_is_told(tmp_path, training, damage):
    with open_folder(tmp_path, training) as folder:
        save(folder, 1, 0.5)
        save(folder, 2, 1.0)
        newest = max((folder.path / "checkpoint").iterdir())
        newest.write_bytes(b"" if damage is bytes else damage(newest.read_bytes()))
    events = []
    with open_folder(tmp_path, training, events) as folder:
        tensors, meta = folder.latest()
    assert meta == {"step": 1}
    assert tensors["model.w"].tolist() == [0.5] * 3
    assert [type(event) for event in events] == [Note]
    assert newest.name in events[0].text


def test_without_a_good_state_the_training_begins_again(tmp_path, training):
    with open_folder(tmp_path, training) as folder:
        save(folder, 1, 0.5)
        for path in (folder.path / "checkpoint").iterdir():
            path.write_bytes(b"x")
    with open_folder(tmp_path, training) as folder:
        assert folder.latest() is None
        assert folder.rows == []
        save(folder, 1, 0.25)
        lines = (folder.path / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["val_acc"] for line in lines] == [0.25]


def test_a_state_of_another_training_is_not_taken(tmp_path, training):
    with open_folder(tmp_path, training) as folder:
        save(folder, 1, 0.5)
        saved = next((folder.path / "checkpoint").iterdir())
    other = replace(training, seed=9)
    with open_folder(tmp_path, other) as folder:
        saved.rename(folder.path / "checkpoint" / saved.name)
        assert folder.latest() is None


def test_a_finished_training_is_found_by_its_key_and_reads_as_it_was_written(tmp_path, training):
    store = Store(tmp_path)
    with open_folder(tmp_path, training) as folder:
        assert not store.has(training, pytest.fail)
        save(folder, 1, 0.5)
        folder.snapshot(7, {"w": torch.ones(2)})
        folder.finish(TrainingResult(steps=3, selected_step=2), weights={f"w{k}": torch.zeros(2) for k in range(9)})
    assert store.has(training, pytest.fail)
    assert not store.has(replace(training, seed=1), pytest.fail)
    finished = store.finished(training)
    assert finished.result == TrainingResult(steps=3, selected_step=2)
    assert finished.rows == [{"phase": "label", "step": 1, "val_acc": 0.5}]
    assert (finished.snapshots, finished.snapshot(7)["w"].tolist()) == ([7], [1, 1])
    assert (finished.weights["w0"].tolist(), finished.start) == ([0, 0], None)
    assert list(finished.weights) == [f"w{k}" for k in range(9)]  # always in one order: noise is drawn in it
    assert not (store.path(training) / "checkpoint").exists()


@pytest.mark.parametrize(
    "name", ["result.json", "weights.safetensors", "metrics.jsonl", "config.json", "snapshots/000000009.safetensors"]
)
def test_every_file_of_a_finished_training_is_checked(tmp_path, tiny_task, training, name):
    do(training, tiny_task, tmp_path, snapshots=1)
    store, said = Store(tmp_path), []
    path = store.path(training) / name
    data = path.read_bytes()
    path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    with pytest.raises(DamagedError, match=path.name):
        store.finished(training).files.check()
    assert not store.has(training, said.append)
    assert len(said) == 1
    assert str(path) in said[0]
    again = do(training, tiny_task, tmp_path, snapshots=1)
    again.files.check()
    if name not in ("metrics.jsonl", "result.json"):  # which hold times
        assert path.read_bytes() == data


def test_a_folder_has_one_writer(tmp_path, training):
    with open_folder(tmp_path, training) as folder:
        other = filelock.FileLock(folder.path / ".lock", timeout=0, is_singleton=False)
        with pytest.raises(filelock.Timeout):
            other.acquire()


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path, training):
    with open_folder(tmp_path, training) as folder:
        pass
    for name in (f"{HALF_WRITTEN}ab", ".mine", "mine"):
        (folder.path / name).write_text("")
    with open_folder(tmp_path, training):
        assert not (folder.path / f"{HALF_WRITTEN}ab").exists()
        assert (folder.path / ".mine").exists()
        assert (folder.path / "mine").exists()


def test_a_link_in_the_place_of_a_training_is_refused(tmp_path, training):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/.dot").write_text("dear")
    (tmp_path / training.key).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="symbolic link"), open_folder(tmp_path, training):
        pass
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".dot"]


def test_time_decides_when_a_state_is_due(tmp_path, training, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("selfpretrain.train.store.time.monotonic", lambda: now[0])
    with open_folder(tmp_path, training, checkpoint_seconds=5.0) as folder:
        now[0] = 4.0
        assert not folder.checkpoint_due()
        now[0] = 5.0
        assert folder.checkpoint_due()
        save(folder, 1, 0.5)
        assert not folder.checkpoint_due()
