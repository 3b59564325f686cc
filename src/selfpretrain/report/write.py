"""Writing a report."""

from pathlib import Path

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.errors import RequestError
from selfpretrain.explain.files import read_diagnosis
from selfpretrain.report.content import Content
from selfpretrain.report.page import render, render_run
from selfpretrain.storage import write_atomically


def write_report(folder: Path) -> Path:
    """Draw ``report.html`` in the folder of a finished comparison, or of a diagnosed run, and give its path.

    Raises:
        RequestError: the folder holds neither, or something in it is missing or damaged.
    """
    comparison = ComparisonFolder(folder)
    if comparison.is_finished:
        page = render(Content.read(comparison))
    elif (diagnosis := read_diagnosis(folder)) is not None:
        page = render_run(folder.resolve().name, diagnosis)
    else:
        state = "is not finished; run its compare command again" if comparison.is_comparison else "is none"
        raise RequestError(f"{folder}: no comparison to draw: the folder {state}")
    write_atomically(comparison.report, page)
    return comparison.report
