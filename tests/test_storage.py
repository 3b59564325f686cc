"""Files whole or not at all; sealed folders whose every piece of damage shows; nothing of others removed."""

import hashlib
import json
import os
import pickle
import stat

import pytest

from selfpretrain.config import ModelConfig
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.storage import (
    HALF_WRITTEN,
    Sealed,
    is_sealed,
    own_folder,
    read_json,
    read_record,
    remove_half_written,
    seal,
    unseal,
    write_atomically,
    write_json,
)


@pytest.fixture
def folder(tmp_path):
    made = own_folder(tmp_path / "f")
    own_folder(made / "deep")
    write_json(made / "a.json", {"depth": 3})
    write_atomically(made / "deep/b.bin", b"\x00\x01\x02")
    (made / ".lock").write_text("")
    seal(made, ("a.json", "deep/b.bin", "never-written.json"))
    return made


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_honour_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_sealed_folder_reads_as_it_was_written(folder):
    files = Sealed(folder)
    assert files.names == ["a.json", "deep/b.bin"]
    assert files.read("deep/b.bin") == b"\x00\x01\x02"
    assert files.record("a.json", ModelConfig) == ModelConfig(depth=3)
    files.check()


@pytest.mark.parametrize("name", ["a.json", "deep/b.bin"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_every_damage_is_named(folder, name, damage):
    path = folder / name
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            {"flip": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[: len(data) // 2], "empty": b""}[damage]
        )
    with pytest.raises(DamagedError, match=path.name) as caught:
        Sealed(folder).check()
    assert caught.value.path == path


def test_an_edited_manifest_breaks_the_seal(folder):
    sums = json.loads((folder / "manifest.json").read_text())
    del sums["a.json"]
    (folder / "manifest.json").write_text(json.dumps(sums, indent=2) + "\n")
    with pytest.raises(DamagedError, match="manifest"):
        Sealed(folder)


def test_what_is_not_finished_is_no_sealed_folder(tmp_path):
    assert not is_sealed(tmp_path)
    with pytest.raises(DamagedError, match="DONE"):
        Sealed(tmp_path)


def test_unsealing_removes_what_it_is_told_and_nothing_else(folder):
    (folder / "thesis.txt").write_text("dear")
    unseal(folder, ("a.json", "deep/b.bin", "never-written.json"))
    assert {path.name for path in folder.rglob("*")} == {".lock", "deep", "thesis.txt"}


@pytest.mark.parametrize("content", ["null", "5", "[1]", "{", '"text"'])
def test_a_manifest_that_is_none_is_damaged_even_under_its_own_seal(folder, content):
    (folder / "manifest.json").write_text(content)
    (folder / "DONE").write_text(hashlib.sha256(content.encode()).hexdigest() + "\n")
    with pytest.raises(DamagedError, match="manifest"):
        Sealed(folder)


@pytest.mark.parametrize("error", [SettingError("lr", 3, "is wrong"), DamagedError("x.json", "do that")])
def test_errors_come_whole_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_link_in_the_place_of_a_folder_is_refused_and_its_target_untouched(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / f"{HALF_WRITTEN}dear").write_text("")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(RequestError, match="symbolic link"):
        own_folder(tmp_path / "link")
    assert (target / f"{HALF_WRITTEN}dear").exists()


def test_only_half_written_files_of_ours_are_removed(tmp_path):
    for name in (f"{HALF_WRITTEN}1", ".hidden", ".a.json.x"):
        (tmp_path / name).write_text("")
    remove_half_written(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", ".a.json.x"}


@pytest.mark.parametrize("content", ["{", "[1, 2]", '"text"', '{"nonsense": 1}', '{"depth": "three"}', "", "\xff"])
def test_json_that_holds_something_else_is_one_clear_error(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(DamagedError, match=r"a\.json: missing or damaged"):
        read_record(path, ModelConfig)


def test_a_missing_file_is_damaged_and_a_forbidden_one_says_so(tmp_path, monkeypatch):
    with pytest.raises(DamagedError):
        read_json(tmp_path / "no.json")

    def forbid(*_, **__):
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "read_text", forbid)
    with pytest.raises(RequestError, match="permissions"):
        read_json(tmp_path / "no.json")
