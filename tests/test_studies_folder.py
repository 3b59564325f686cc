"""The folder of a study: one owner, one writer, and nothing taken for an answer that is none."""

import csv
import shutil
from dataclasses import replace

import pytest

from selfpretrain.errors import RequestError
from selfpretrain.report.write import write_report
from selfpretrain.studies import run as running
from selfpretrain.studies.folder import StudyFolder
from selfpretrain.studies.run import run_study
from selfpretrain.watch import Done
from test_studies_run import TINY, tiny_cases

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    return run_study(TINY, out=tmp_path_factory.mktemp("study") / "o")


def test_the_table_has_a_row_for_each_run_and_the_answer_its_claims(ran):
    result = ran
    rows = list(csv.DictReader((result.folder / "table.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 3
    assert set(rows[0]) >= {"study", "comparison", "steps", "task", "arm", "seed", "lr", "test_acc", "flops", "seconds"}
    summary = StudyFolder(result.folder).case("steps-9").summary
    found = [float(row["test_acc"]) for row in rows if (row["comparison"], row["arm"]) == ("steps-9", "spt")]
    assert found == list(summary.arms["spt"].test_acc)
    assert [claim.claim for claim in result.answer.claims] == [claim.text for claim in TINY.claims]
    page = write_report(result.folder).read_text()
    assert "Is it tiny?" in page
    assert (result.folder / "steps-6/report.html").exists()


def test_what_answers_another_request_is_no_answer(ran, tmp_path, monkeypatch):
    """A study file that was edited between two runs: old comparisons are done again, and until then do not count."""
    folder = shutil.copytree(ran.folder, tmp_path / "o")
    seen = []

    def stop(task, config, **how):
        seen.append(StudyFolder(folder).answer)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "compare", stop)
    edited = replace(TINY, cases=lambda ground: [replace(c, config=replace(c.config, seeds=4)) for c in tiny_cases()])
    with pytest.raises(KeyboardInterrupt):
        run_study(edited, out=folder)
    assert [claim.outcome for claim in seen[0].claims] == ["undecided", "undecided"]
    assert all(claim.why.endswith("has no answer") for claim in seen[0].claims)


def test_a_damaged_comparison_has_no_answer_until_it_is_mended(ran, tmp_path):
    folder = shutil.copytree(ran.folder, tmp_path / "o")
    (folder / "steps-6/summary.json").write_text("{}")
    assert "not finished" in write_report(folder).read_text()
    assert run_study(TINY, out=folder).answer == ran.answer


def test_two_at_once_in_one_folder_are_refused(ran):
    with StudyFolder(ran.folder).claimed("tiny", "small"), pytest.raises(RequestError, match="is at work there"):
        run_study(TINY, out=ran.folder)


def test_a_folder_of_something_else_is_refused(ran, tmp_path):
    with pytest.raises(RequestError, match="belongs to the study tiny"):
        run_study(replace(TINY, name="other"), out=ran.folder)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match="holds something else"):
        run_study(TINY, out=tmp_path)
    with pytest.raises(RequestError, match="cannot be written to"):
        run_study(TINY, out=tmp_path / "file")


def test_a_damaged_answer_is_said_with_the_cure_and_the_study_mends_it(ran, tmp_path):
    folder = shutil.copytree(ran.folder, tmp_path / "o")
    (folder / "study.json").write_text('{"study": 1}')
    with pytest.raises(RequestError, match=r"study.json: missing or damaged; its study command again mends it"):
        write_report(folder)
    events = []
    assert run_study(TINY, out=folder, watch=events.append).answer == ran.answer
    assert not [event for event in events if isinstance(event, Done)]
