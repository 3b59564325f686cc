"""Which studies there are: the built-in ones by name, and anybody's own by its file. Imports no torch."""

import difflib
import runpy
import sys
import traceback
from pathlib import Path

from selfpretrain.errors import RequestError
from selfpretrain.studies.builtin.augment import AUGMENT
from selfpretrain.studies.builtin.budget import BUDGET
from selfpretrain.studies.builtin.data_size import DATA_SIZE
from selfpretrain.studies.builtin.depth import DEPTH
from selfpretrain.studies.builtin.domains import DOMAINS
from selfpretrain.studies.builtin.joint import JOINT
from selfpretrain.studies.builtin.masking import MASKING
from selfpretrain.studies.builtin.online import ONLINE
from selfpretrain.studies.builtin.paper import PAPER
from selfpretrain.studies.builtin.pooling import POOLING
from selfpretrain.studies.builtin.positions import POSITIONS
from selfpretrain.studies.builtin.replicate import REPLICATE
from selfpretrain.studies.builtin.rivals import RIVALS
from selfpretrain.studies.builtin.scaling_length import SCALING_LENGTH
from selfpretrain.studies.builtin.transfer import TRANSFER
from selfpretrain.studies.builtin.tuning import TUNING
from selfpretrain.studies.builtin.why_scratch_fails import WHY_SCRATCH_FAILS
from selfpretrain.studies.builtin.width import WIDTH
from selfpretrain.studies.study import Study

_BUILT_IN = (
    REPLICATE,
    DEPTH,
    WIDTH,
    DATA_SIZE,
    ONLINE,
    TUNING,
    TRANSFER,
    MASKING,
    BUDGET,
    POSITIONS,
    RIVALS,
    JOINT,
    POOLING,
    AUGMENT,
    SCALING_LENGTH,
    WHY_SCRATCH_FAILS,
    DOMAINS,
    PAPER,
)
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
    sys.path.insert(0, str(Path(name).resolve().parent))  # as Python does: what lies beside it can be imported
    try:
        study = runpy.run_path(name).get("STUDY")
    except (Exception, SystemExit) as error:
        raise RequestError(f"{name}, line {_line_of(error, name)}: {type(error).__name__}: {error}") from None
    if not isinstance(study, Study):
        raise RequestError(f"{name}: defines no STUDY; write STUDY = Study(...) as docs/extending.md shows")
    if study.name in _STUDIES and study is not _STUDIES[study.name]:
        raise RequestError(f"{name}: the name {study.name} is that of a built-in study; give yours another")
    return study


def _line_of(error: BaseException, path: str) -> int | str:
    """The last line of the file that was running, or that cannot be read as Python."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines and lines[-1] is not None else "?"
