"""The folder of a comparison: whose it is, what it was asked for, and one writer at a time."""

import errno
from dataclasses import replace

import pytest

from conftest import TINY_TASK, tiny_config
from selfpretrain import files
from selfpretrain.comparison import folder as folders
from selfpretrain.comparison.card import card_of
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError


def claim(folder, task, *, store=None, asked=None, **settings):
    with folder.claimed(tiny_config(**settings), task, store, asked):
        return folder.record


def test_a_folder_of_other_data_is_refused(tmp_path, tiny_task):
    folder = ComparisonFolder(tmp_path / "o")
    claim(folder, tiny_task)
    before = (tmp_path / "o/config.json").read_text()
    with pytest.raises(RequestError, match="data_seed 0 there, 1 here"):
        claim(folder, load_task("proximity", **TINY_TASK, data_seed=1))
    with pytest.raises(RequestError, match="the data have changed"):
        claim(folder, replace(tiny_task, source=None, test=tiny_task.val))
    assert (tmp_path / "o/config.json").read_text() == before


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_start_that_was_cut_off_after_any_write_can_be_made_again(tmp_path, tiny_task, monkeypatch, written):
    """On a full disk, or by a kill: what is there says whose it is, or is nothing."""
    real, made = files.write_atomically, []

    def full(path, data, **how):
        if len(made) == written:
            raise OSError(errno.ENOSPC, "No space left on device")
        made.append(path)
        real(path, data, **how)

    folder = ComparisonFolder(tmp_path / "o")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(files, "write_atomically", full)
        patch.setattr(folders, "write_atomically", full)
        claim(folder, tiny_task)
        folder.write_environment({})
    assert claim(folder, tiny_task).task == tiny_task.fingerprint


def test_the_request_on_disk_says_where_the_task_came_from(tmp_path, tiny_task):
    source = claim(ComparisonFolder(tmp_path / "n"), load_task("noise", sequences=60, length=8)).source
    assert (source.data, source.options) == ("noise", {"symbols": 8, "length": 8, "sequences": 60})
    assert claim(ComparisonFolder(tmp_path / "h"), replace(tiny_task, source=None)).source is None


def test_a_store_that_belongs_to_a_comparison_is_refused_unless_it_is_its_own(tmp_path, tiny_task):
    owner = ComparisonFolder(tmp_path / "a")
    claim(owner, tiny_task)
    with pytest.raises(RequestError, match="belongs to the comparison"):
        claim(ComparisonFolder(tmp_path / "b"), tiny_task, store=owner.store)
    claim(owner, tiny_task, store=owner.store)
    claim(ComparisonFolder(tmp_path / "b"), tiny_task, store=tmp_path / "shared")
    assert ComparisonFolder(tmp_path / "b").store.resolve() == tmp_path / "shared"


def test_somebody_at_work_there_keeps_others_out(tmp_path, tiny_task):
    folder = ComparisonFolder(tmp_path / "o")
    with (
        folder.claimed(tiny_config(), tiny_task, None, None),
        pytest.raises(RequestError, match="another selfpretrain is at work there"),
    ):
        claim(folder, tiny_task)
    claim(folder, tiny_task)


def test_a_range_of_seeds_is_taken_up_whole_after_a_kill_at_a_look(tmp_path, tiny_task):
    folder, config = ComparisonFolder(tmp_path / "o"), tiny_config(seeds="3-10")
    with folder.claimed(config, tiny_task, None, "the command"):
        folder.write_request(replace(config, seeds=3))
        shortened = folder.record.shortened
    resolved = folder.resolved("the command")
    assert (resolved.request.looks, resolved.shortened) == (config.looks, shortened)
    assert folder.resolved("another command") is None


def test_the_card_of_a_model_has_its_scores_and_the_verdict_and_no_name_breaks_it(finished):
    answer = ComparisonFolder(finished).summary
    use = answer.recommended
    _, head, body = card_of(answer).split("---\n", 2)
    assert head.splitlines()[0] == "library_name: selfpretrain"
    assert f"| {100 * use.val:.1f}% | {100 * use.test:.1f}% |" in body
    assert all(f"| `{arm}` |" in body for arm in answer.arms)
    assert [line[2:] for line in body.splitlines() if line.startswith("* ")] == answer.verdict.lines
    untested = card_of(answer, is_tested=False)  # what fit makes has trained on its test rows
    assert "on test" not in untested and "0 for the test" in untested and "\n* " not in untested
    strange = replace(answer.task, name="a|b`c\n# d", class_names=("x|y", "`z"))
    lines = card_of(replace(answer, task=strange)).splitlines()
    assert any(line.startswith("# a/b'c\\n# d: ") for line in lines)
    assert any(line.endswith("its classes are `x/y`, `'z`.") for line in lines)
