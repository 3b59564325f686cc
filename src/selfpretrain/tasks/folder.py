"""Where data are that somebody has to get: named by an option, a variable, or nobody. Imports no torch."""

import os
from pathlib import Path

VARIABLE = "SELFPRETRAIN_DATA"
"""Environment variable that names the folder."""
FOLDER = Path("data")
"""Where they are looked for otherwise."""


def data_folder(asked: Path | None) -> Path:
    """What was asked for, or what ``SELFPRETRAIN_DATA`` names, or ``data``."""
    return asked or Path(os.environ.get(VARIABLE) or FOLDER)
