"""Writing a report."""

from pathlib import Path

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.run import RESULT, read_run
from selfpretrain.errors import RequestError
from selfpretrain.explain.files import read_diagnosis
from selfpretrain.files import is_sealed, write_atomically
from selfpretrain.report.content import Content
from selfpretrain.report.page import render, render_run
from selfpretrain.report.study import StudyContent, render_study
from selfpretrain.studies.folder import StudyFolder


def write_report(folder: Path) -> Path:
    """Draw ``report.html`` in the folder of a finished comparison, a diagnosed run or a study, and give its path.

    Raises:
        RequestError: the folder holds none of them, or something in it is missing or damaged.
    """
    study = StudyFolder(folder)
    if study.is_study:
        return _write_study(study)
    comparison = ComparisonFolder(folder)
    if comparison.is_comparison:
        if not comparison.is_finished:
            raise RequestError(f"{folder}: no comparison to draw: it is not finished; run its compare command again")
        page = render(Content.read(comparison))
    else:
        run = read_run(folder) if is_sealed(folder) and (folder / RESULT).is_file() else None
        diagnosis = None if run is None else read_diagnosis(folder, {run.record.name: run})
        if run is None or diagnosis is None:
            raise RequestError(f"{folder}: no comparison to draw, and no run that was diagnosed; name one of these")
        page = render_run(run.record.name, diagnosis)
    write_atomically(comparison.report, page)
    return comparison.report


def _write_study(folder: StudyFolder) -> Path:
    """The page of a study, and those of its finished comparisons, to which it links."""
    content = StudyContent.read(folder)
    for name in content.summaries:
        write_report(folder.case(name).path)
    write_atomically(folder.report, render_study(content))
    return folder.report
