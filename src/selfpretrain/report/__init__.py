"""The report of a finished comparison: read from its folder, never from memory, and never training."""

from pathlib import Path

from selfpretrain.errors import RequestError
from selfpretrain.report.page import render
from selfpretrain.report.reading import read_comparison
from selfpretrain.report.terminal import print_conclusion, print_summary
from selfpretrain.runs import write_atomically

__all__ = ["print_conclusion", "print_summary", "write_report"]


def write_report(folder: Path) -> Path:
    """Draw ``report.html`` in the folder of a finished comparison and give its path.

    Raises:
        RequestError: the folder holds no finished comparison.
    """
    if not (folder / "summary.json").exists():
        state = "is not finished; run its compare command again" if (folder / "config.json").exists() else "is none"
        raise RequestError(f"{folder}: no comparison to draw: the folder {state}")
    try:
        findings = read_comparison(folder)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"{folder}: a file of it is missing or damaged ({error}); run compare again") from None
    path = folder / "report.html"
    write_atomically(path, render(findings))
    return path
