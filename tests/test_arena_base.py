"""What every task of the arena promises: a description, its source, published results, and what to get."""

import csv
import inspect
import re
from importlib import resources

import numpy as np
import pytest

from selfpretrain.arena.base import ArenaTask, FolderTask, shrunk
from selfpretrain.data.catalogue import listed
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.registry import TASKS

ARENA = {name: cls for name, cls in TASKS.items() if issubclass(cls, ArenaTask) and "selfpretrain" in cls.__module__}
FOLDER = {name: cls for name, cls in ARENA.items() if issubclass(cls, FolderTask)}
LONG = ("listops", "text", "retrieval", "image", "pathfinder", "pathx", "pathx256")


def test_all_tasks_are_registered():
    stand_ins = {"fashion", "mnist5k", "newsgroups", "spam", "brown-pairs"}
    assert set(ARENA) == {f"lra-{name}{end}" for name in LONG for end in ("", "-small")} | stand_ins


@pytest.mark.parametrize("name", ARENA)
def test_every_task_says_whose_it_is_and_long_ones_have_a_sister(name):
    cls = ARENA[name]
    text = inspect.getdoc(cls) or ""
    assert re.match(r"[A-Z0-9].{40,}[.:]$", text.splitlines()[0]), "the first line says what it is"
    assert "Source: " in text or "(ours)" in text or name.endswith("-small")
    assert ("no task of the" in text) == (not name.startswith("lra-") or name.endswith("-small"))
    assert cls.small == (f"{name}-small" if name in {f"lra-{long}" for long in LONG} else None)


def test_published_results_stand_beside_the_six_tasks_of_the_arena():
    text = (resources.files("selfpretrain.arena") / "lra_records.csv").read_text()
    printed = list(csv.DictReader(text.splitlines()))
    for name, cls in ARENA.items():
        records = cls.published()
        if name not in {f"lra-{long}" for long in LONG} - {"lra-pathx256"}:
            assert not records
            continue
        assert [(r.model, r.percent or "") for r in records] == [(row["model"], row[name]) for row in printed]
        for record in records:
            assert record.source and record.status.startswith(("read there", "quoted by"))
            assert record.percent is None or 10 < float(record.percent) < 100
        assert sum(record.percent is not None for record in records) >= 3
    assert [r.percent for r in ARENA["lra-image"].published()][:2] == ["42.44", "40.83"]


@pytest.mark.parametrize("name", FOLDER)
def test_where_nothing_lies_a_refusal_names_the_files_and_where_to_get_them(name, tmp_path):
    with pytest.raises(RequestError) as refused:
        load_task(name, data_dir=tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{name}: its data are not in {tmp_path}; put there {next(iter(FOLDER[name].files))}, ")
    assert message.endswith("(--data-dir or SELFPRETRAIN_DATA names another folder)") and "\n" not in message
    for file, origin in FOLDER[name].files.items():
        assert f"{file}, {origin}" in message
    assert any(line.endswith(f"not in {tmp_path}; put there {FOLDER[name].wanted()}") for line in listed(tmp_path))


def test_a_task_is_ready_when_one_of_its_files_is_there(tmp_path):
    for cls in FOLDER.values():
        assert cls.state(tmp_path) == ("missing", cls.wanted())
        last = tmp_path / list(cls.files)[-1]
        if last.is_relative_to(tmp_path):
            last.mkdir(parents=True)
            assert cls.state(tmp_path) == ("ready", "")
            last.rmdir()


def test_the_folder_of_data_is_the_option_before_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFPRETRAIN_DATA", str(tmp_path / "variable"))
    with pytest.raises(RequestError, match="variable; put there"):
        load_task("spam")
    with pytest.raises(RequestError, match="option; put there"):
        load_task("spam", data_dir=tmp_path / "option")


def test_images_shrink_to_means_of_blocks():
    image = np.arange(36).reshape(1, 36)
    assert shrunk(image, 6, 2).tolist() == [[(0 + 1 + 2 + 6 + 7 + 8 + 12 + 13 + 14) / 9, 10, 25, 28]]
    assert shrunk(image, 6, 6) is image
