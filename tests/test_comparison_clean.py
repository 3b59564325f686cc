"""Cleaning: what the latest request does not use goes, and nothing else."""

import shutil
from dataclasses import replace

import pytest

from conftest import TINY_DIAGNOSIS, tiny_config
from selfpretrain.cli import main
from selfpretrain.comparison.clean import clean, unused
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.config import TrainConfig
from selfpretrain.errors import RequestError
from selfpretrain.explain.diagnose import diagnose
from selfpretrain.report.write import write_report
from selfpretrain.watch import Done


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_transplants_and_the_report_use_stays_and_the_rest_goes(explained, tmp_path, tiny_task):
    folder = ComparisonFolder(shutil.copytree(explained[0], tmp_path / "o"))
    assert unused(folder) == []
    (folder.path / "trainings/mine").mkdir()
    (folder.path / "trainings/mine/thesis.txt").write_text("dear")
    config = folder.record.request
    compare(tiny_task, config, out=folder.path, arms=("scratch", "spt"), seeds=1)
    left = unused(folder)
    # Of three arms with three seeds and a classical model with one, all but two runs.
    assert len([entry for entry in left if entry.path.parent.name == "runs"]) == 3 * 3 + 1 - 2
    clean(folder)
    assert unused(folder) == []
    assert (folder.path / "trainings/mine/thesis.txt").exists()
    write_report(folder.path)
    events = []
    compare(tiny_task, config, out=folder.path, arms=("scratch", "spt"), seeds=1, watch=events.append)
    assert not [event for event in events if isinstance(event, Done)]


def test_what_the_report_uses_stays_whatever_happens_to_other_files(comparison):
    for name in ("environment.json", "diagnosis", "transplants"):
        shutil.rmtree(comparison / name, ignore_errors=True)
        (comparison / name).unlink(missing_ok=True)
    before = tree(comparison)
    assert clean(ComparisonFolder(comparison)) == []
    assert tree(comparison) == before


def test_only_files_of_the_manifest_with_their_checksum_go(comparison, tmp_path, tiny_task):
    folder, config = ComparisonFolder(comparison), ComparisonFolder(comparison).record.request
    compare(tiny_task, config, out=comparison, arms=("scratch", "classical"))
    unused_training = next(e.path for e in unused(folder) if (e.path / "snapshots").exists())
    mine = ("thesis.safetensors", "snapshots/mine.safetensors", "notes.json")
    for name in mine:
        (unused_training / name).write_text("dear")
    (unused_training / "metrics.jsonl").write_text("changed by hand")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "000000001.safetensors").write_text("dear")
    linked = next(e.path for e in unused(folder) if (e.path / "snapshots").exists() and e.path != unused_training)
    shutil.rmtree(linked / "snapshots")
    (linked / "snapshots").symlink_to(elsewhere)
    clean(folder)
    assert tree(unused_training) == {*mine, "metrics.jsonl"}
    assert (elsewhere / "000000001.safetensors").read_text() == "dear"


def test_only_folders_that_say_they_are_ours_are_cleaned_and_files_of_others_stay(comparison, finished, tiny_task):
    folder = ComparisonFolder(comparison)
    nested = shutil.copytree(finished, comparison / "runs/noise")  # where compare puts it without --out
    shutil.copytree(comparison / "runs/spt-seed0", comparison / "runs/spt-seed0-backup")
    shutil.copytree(comparison / "runs/spt-seed0/model", comparison / "trainings/my-model")
    before = tree(nested), tree(comparison / "runs/spt-seed0-backup"), tree(comparison / "trainings/my-model")
    assert unused(folder) == []
    (comparison / "runs/spt-seed2/notes.txt").write_text("dear")
    compare(tiny_task, folder.record.request, out=comparison, seeds=2)
    left = unused(folder)
    assert comparison / "runs/spt-seed2" in [entry.path for entry in left]
    clean(folder)
    assert tree(comparison / "runs/spt-seed2") == {"notes.txt"}
    assert not (comparison / "runs/scratch-seed2").exists()
    after = tree(nested), tree(comparison / "runs/spt-seed0-backup"), tree(comparison / "trainings/my-model")
    assert after == before


def test_what_an_interrupted_diagnosis_has_made_is_not_unused(comparison, tiny_task):
    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, Done) and event.job.startswith("spt.norms"):
            raise Stop

    with pytest.raises(Stop):
        diagnose(comparison, TINY_DIAGNOSIS, sections=("transplants",), watch=stop)
    assert unused(ComparisonFolder(comparison)) == []


def test_trials_stay_though_the_same_command_is_killed_at_its_start(tmp_path, tiny_task):
    """The trainings that tried other rates are used as well."""
    config = tiny_config(arms=("scratch",), seeds=1)

    def killed(event):
        raise KeyboardInterrupt

    compare(tiny_task, config, out=tmp_path / "o")
    with pytest.raises(KeyboardInterrupt):
        compare(replace(tiny_task, notes=("word",)), config, out=tmp_path / "o", watch=killed)
    folder = ComparisonFolder(tmp_path / "o")
    assert len(list(folder.store.iterdir())) == 2
    assert unused(folder) == []


@pytest.mark.parametrize("name", ["trainings", "runs", "runs/*", "trainings/*"])
def test_links_are_not_followed(comparison, tmp_path, tiny_task, name):
    """Whatever is behind a link, and be it ours, is none of this comparison's."""
    folder = ComparisonFolder(comparison)
    compare(tiny_task, folder.record.request, out=comparison, arms=("scratch", "classical"))
    path = comparison / name
    if "*" in name:
        path = next(entry.path for entry in unused(folder) if entry.path.parent == path.parent)
    target = shutil.move(path, tmp_path / path.name)
    path.symlink_to(target)
    before = tree(target)
    clean(folder)
    assert tree(target) == before
    assert path.is_symlink()


def test_shared_trainings_and_what_is_not_finished_are_refused(tmp_path, tiny_task):
    with pytest.raises(RequestError, match="no comparison to clean"):
        unused(ComparisonFolder(tmp_path / "no"))
    config = tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1)
    compare(tiny_task, config, out=tmp_path / "a", store=tmp_path / "t")
    with pytest.raises(RequestError, match="shared"):
        unused(ComparisonFolder(tmp_path / "a"))
    (tmp_path / "a/summary.json").unlink()
    with pytest.raises(RequestError, match="is not finished"):
        unused(ComparisonFolder(tmp_path / "a"))


def test_the_command_lists_before_it_deletes_and_asks(tmp_path, tiny_task, capsys):
    out, config = tmp_path / "o", tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",))

    def cleaned(*arguments):
        assert main(["clean", str(out), *arguments]) == 0
        return capsys.readouterr().err

    compare(tiny_task, config, out=out)
    assert "nothing to remove" in cleaned()
    compare(tiny_task, config, out=out, seeds=1)
    before = tree(out)
    listed = cleaned()
    assert listed.count("MB") == 4  # two trainings and two runs
    assert "--yes" in listed
    assert tree(out) == before
    assert "removed 4 folders" in cleaned("--yes")
    assert len(list((out / "trainings").iterdir())) == 1
    write_report(out)
