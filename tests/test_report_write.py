"""A report is drawn from the folder alone, of what is whole there and belongs to the latest request."""

import shutil

import pytest

from conftest import TINY_DIAGNOSIS
from selfpretrain import diagnose
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.errors import RequestError
from selfpretrain.explain.files import section_file
from selfpretrain.report.write import write_report


def test_it_is_drawn_from_the_folder_alone_and_twice_the_same(everything, tmp_path):
    folder = shutil.copytree(everything[0].folder, tmp_path / "o")
    first = write_report(folder).read_text()
    (folder / "report.html").unlink()
    assert write_report(folder).read_text() == first
    for arm in everything[0].answer.arms:
        assert f"<b>{arm}</b>" in first
    assert 'id="why"' not in first  # without a diagnosis


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no comparison to draw, and no run"),
        ({"DONE": "", "config.json": "{}"}, "no comparison to draw, and no run"),  # as best/ is
        ({"config.json": "{}"}, r"config\.json: missing or damaged"),
    ],
)
def test_a_folder_without_a_finished_comparison_is_refused(files, said, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RequestError, match=said):
        write_report(tmp_path)


def test_a_comparison_whose_answer_is_damaged_is_not_finished(comparison):
    (comparison / "summary.json").write_text('{"arms": {}')
    with pytest.raises(RequestError, match="is not finished"):
        write_report(comparison)


def test_of_a_damaged_diagnosis_the_rest_is_shown_and_the_cure_is_named(explained, tmp_path):
    folder = shutil.copytree(explained[0], tmp_path / "o")
    for name, damage in (("attention", "{"), ("transplants", "")):
        section_file(folder / "diagnosis", name).write_text(damage)
    page = write_report(folder).read_text()
    assert "Where attention looks" not in page
    assert "What each loss says about attention at the start" in page
    for damage in ("{", "[]"):
        (folder / "diagnosis/conclusion.json").write_text(damage)
        with pytest.raises(RequestError, match=r"conclusion\.json.*run diagnose again"):
            write_report(folder)


def test_a_diagnosis_of_another_request_is_not_shown(explained, tmp_path, tiny_task):
    folder = shutil.copytree(explained[0], tmp_path / "o")
    page = write_report(folder).read_text()
    assert 'id="why"' in page and "Where attention looks" in page
    compare(tiny_task, ComparisonFolder(folder).record.request, out=folder, seeds=2)
    assert 'id="why"' not in write_report(folder).read_text()
    diagnose(folder, TINY_DIAGNOSIS, sections=("data",))
    assert 'id="why"' in write_report(folder).read_text()
