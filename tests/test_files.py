"""Records to JSON and back, strictly; files whole or not at all; sealed folders; nothing of others removed."""

import hashlib
import json
import os
import pickle
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.errors import DamagedError, RequestError, SettingError
from selfpretrain.files import (
    HALF_WRITTEN,
    Sealed,
    fingerprint,
    from_dict,
    is_sealed,
    own_folder,
    read_json,
    read_record,
    remove_half_written,
    seal,
    to_dict,
    unseal,
    write_atomically,
    write_json,
)


@dataclass(frozen=True)
class Pile:
    models: tuple[ModelConfig, ...] = ()


RECORDS = [
    CompareConfig(seeds="3-10", train=TrainConfig(lr=(1e-3, 3e-2)), model=ModelConfig(attention_block=4)),
    TaskConfig(data="a.csv", test=Path("b.csv"), options={"a": 1, "b": "c"}),
    Pile((ModelConfig(), ModelConfig(depth=2))),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_goes_round(record):
    plain = json.loads(json.dumps(to_dict(record)))
    assert from_dict(type(record), plain) == record
    assert to_dict(from_dict(type(record), plain)) == plain


def test_a_record_read_from_few_keys_is_written_with_all_of_them():
    """What was left out has its default; so the fingerprint does not depend on how a record was made."""
    read = from_dict(CompareConfig, {"model": {"depth": 2}})
    assert to_dict(read) == to_dict(CompareConfig(model=ModelConfig(depth=2)))
    assert fingerprint(read) == fingerprint(CompareConfig(model=ModelConfig(depth=2)))
    assert fingerprint(from_dict(ModelConfig, {"ff_factor": 2})) == fingerprint(ModelConfig(ff_factor=2.0))


@pytest.mark.parametrize(
    ("cls", "values", "words"),
    [
        (ModelConfig, {"dept": 3}, "unknown setting 'dept' of ModelConfig; valid: depth, width"),
        (CompareConfig, {"model": {"dept": 3}}, "unknown setting 'dept'"),
        (Pile, {"models": [{}, {"dept": 3}]}, "unknown setting 'dept'"),
        (ModelConfig, {"depth": "3"}, "depth"),
        (ModelConfig, {"depth": True}, "depth"),
        (ModelConfig, {"depth": 1.5}, "depth"),
        (ModelConfig, {"positions": "rotari"}, "positions"),
        (ModelConfig, [], "ModelConfig"),
        (TrainConfig, {"lr": "fast"}, "lr"),
        (TrainConfig, {"lr": [[1]]}, "lr"),
        (CompareConfig, {"model": 3}, "model"),
        (PhaseConfig, {}, "duration"),
    ],
)
def test_what_does_not_fit_a_record_is_refused(cls, values, words):
    with pytest.raises(RequestError, match=words):
        from_dict(cls, values)


def test_the_fingerprint_sees_every_setting():
    base = CompareConfig()
    others = [replace(base, seeds=4), replace(base, model=ModelConfig(depth=2))]
    assert len({fingerprint(config) for config in [base, *others]}) == 3
    assert fingerprint(base, "a") != fingerprint(base, "b")
    assert fingerprint(TaskConfig(options={"a": 1})) != fingerprint(TaskConfig(options={"a": 2}))


# Files and sealed folders.


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
    path.unlink()
    if damage != "remove":
        path.write_bytes({"flip": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:1], "empty": b""}[damage])
    with pytest.raises(DamagedError, match=path.name) as caught:
        Sealed(folder).check()
    assert caught.value.path == path


def test_an_edited_manifest_breaks_the_seal_and_without_one_there_is_none(folder):
    sums = json.loads((folder / "manifest.json").read_text())
    del sums["a.json"]
    (folder / "manifest.json").write_text(json.dumps(sums, indent=2) + "\n")
    with pytest.raises(DamagedError, match="manifest"):
        Sealed(folder)
    (folder / "DONE").unlink()
    assert not is_sealed(folder)
    with pytest.raises(DamagedError, match="DONE"):
        Sealed(folder)


NAMES = ("a.json", "deep/b.bin", "never-written.json")


def contents(folder):
    """The text of every file below, by its path; where a link points to."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes().decode("latin-1")
        for path in paths
    }


def test_unsealing_removes_what_was_sealed_and_nothing_else(folder):
    (folder / "thesis.txt").write_text("dear")
    unseal(folder, NAMES)
    assert contents(folder) == {".lock": "", "thesis.txt": "dear"}
    assert not (folder / "deep").exists()
    unseal(folder / "no", NAMES)
    assert not (folder / "no").exists()


def test_unsealing_sets_aside_what_was_changed_or_is_not_ours(folder):
    (folder / "a.json").write_text("changed")
    (folder / "never-written.json").write_text("somebody's own")
    unseal(folder, NAMES)
    kept = {".lock": "", "a.json.set-aside": "changed", "never-written.json.set-aside": "somebody's own"}
    assert contents(folder) == kept
    (folder / "a.json").write_text("changed again")
    (folder / "never-written.json").mkdir()
    unseal(folder, NAMES)
    assert contents(folder) == {**kept, "a.json2.set-aside": "changed again"}
    assert (folder / "never-written.json2.set-aside").is_dir()


@pytest.mark.parametrize("damaged", ["manifest.json", "DONE"])
def test_nothing_is_removed_by_a_broken_manifest(folder, damaged):
    text = (folder / "manifest.json").read_text()
    (folder / damaged).write_text("{}")
    unseal(folder, NAMES)
    assert not is_sealed(folder)
    assert contents(folder) == {
        ".lock": "",
        "a.json.set-aside": '{\n  "depth": 3\n}\n',
        "deep/b.bin.set-aside": "\x00\x01\x02",
        "manifest.json.set-aside": "{}" if damaged == "manifest.json" else text,
    }


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", ["a.json", "deep", "deep/b.bin", "manifest.json", "DONE"])
def test_unsealing_follows_no_link(folder, tmp_path, name, sealed):
    target = tmp_path / "target"
    (folder / name).rename(target)
    (folder / name).symlink_to(target)
    if not sealed:
        (folder / "DONE").unlink()
    before = {path: text for path, text in contents(tmp_path).items() if path.startswith("target")}
    unseal(folder, NAMES)
    write_atomically(own_folder(folder / "deep") / "b.bin", b"new")
    after = contents(tmp_path)
    assert after["f/deep/b.bin"] == "new"
    assert {path: text for path, text in after.items() if path.startswith("target")} == before
    with pytest.raises(RequestError, match="symbolic link"):
        (tmp_path / "link").symlink_to(folder)
        unseal(tmp_path / "link", NAMES)


@pytest.mark.parametrize("name", ["../own.txt", "{}/own.txt"])
def test_a_manifest_that_names_a_file_elsewhere_is_damaged(folder, tmp_path, name):
    (tmp_path / "own.txt").write_text("dear")
    sums = {name.format(tmp_path): hashlib.sha256(b"dear").hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(sums))
    (folder / "DONE").write_text(hashlib.sha256(json.dumps(sums).encode()).hexdigest())
    unseal(folder, NAMES)
    assert (tmp_path / "own.txt").read_text() == "dear"
    assert (folder / "manifest.json.set-aside").exists()


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
