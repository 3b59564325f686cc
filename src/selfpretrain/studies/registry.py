"""Which studies there are: the built-in ones by name, and anybody's own by its file. Imports no torch."""

import difflib
import runpy
import traceback
from pathlib import Path

from selfpretrain.errors import RequestError
from selfpretrain.studies.budget import BUDGET
from selfpretrain.studies.depth import DEPTH
from selfpretrain.studies.length import LENGTH
from selfpretrain.studies.masking import MASKING
from selfpretrain.studies.pooling import POOLING
from selfpretrain.studies.positions import POSITIONS
from selfpretrain.studies.replicate import REPLICATE
from selfpretrain.studies.rivals import RIVALS
from selfpretrain.studies.study import Study
from selfpretrain.studies.width import WIDTH

_BUILT_IN = (REPLICATE, RIVALS, DEPTH, WIDTH, BUDGET, MASKING, POSITIONS, POOLING, LENGTH)
_STUDIES = {study.name: study for study in _BUILT_IN}


def known_studies() -> dict[str, Study]:
    """Every built-in study by name."""
    return dict(_STUDIES)


def study_named(name: str) -> Study:
    """A built-in study, or the one that a Python file defines as ``STUDY``.

    The file is run, as Python runs it: give your own alone.

    Raises:
        RequestError: there is none, or the file has an error; the message names its line.
    """
    if not name.endswith(".py"):
        if name not in _STUDIES:
            close = difflib.get_close_matches(name, _STUDIES, n=1)
            meant = f"; did you mean {close[0]}?" if close else ";"
            raise RequestError(f"unknown study '{name}'{meant} give {', '.join(_STUDIES)}, or a Python file (mine.py)")
        return _STUDIES[name]
    if not Path(name).is_file():
        raise RequestError(f"{name}: there is no such file")
    try:
        study = runpy.run_path(name).get("STUDY")
    except (Exception, SystemExit) as error:
        raise RequestError(f"{name}, line {_line_of(error, name)}: {type(error).__name__}: {error}") from None
    if not isinstance(study, Study):
        raise RequestError(f"{name}: defines no STUDY; write STUDY = Study(...) as docs/extending.md shows")
    return study


def _line_of(error: BaseException, path: str) -> int | str:
    """The last line of the file that was running, or that cannot be read as Python."""
    if isinstance(error, SyntaxError):
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines and lines[-1] is not None else "?"
