"""The report of a finished comparison: read from its folder, never from memory, and never training."""

from pathlib import Path

from selfpretrain.diagnosis.files import read_diagnosis
from selfpretrain.errors import RequestError
from selfpretrain.report.page import render, render_run
from selfpretrain.report.reading import read_comparison
from selfpretrain.report.terminal import print_conclusion, print_summary
from selfpretrain.runs import write_atomically

__all__ = ["print_conclusion", "print_summary", "write_report"]


def write_report(folder: Path) -> Path:
    """Draw ``report.html`` in the folder of a finished comparison, or of a diagnosed run, and give its path.

    Raises:
        RequestError: the folder holds neither.
    """
    path = folder / "report.html"
    try:
        if (folder / "summary.json").exists():
            page = render(read_comparison(folder))
        elif (diagnosis := read_diagnosis(folder)) is not None:
            page = render_run(folder.resolve().name, diagnosis)
        else:
            state = "is not finished; run its compare command again" if (folder / "config.json").exists() else "is none"
            raise RequestError(f"{folder}: no comparison to draw: the folder {state}")
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"{folder}: a file of it is missing or damaged ({error}); run compare again") from None
    write_atomically(path, page)
    return path
