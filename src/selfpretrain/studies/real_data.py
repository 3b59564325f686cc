"""Real data that studies ask about: files that ``examples/real_data.py`` makes. Imports no torch."""

import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SELFPRETRAIN_DATA"
"""Environment variable that names the folder of the files."""
FOLDER = Path("data")
"""Where they are looked for otherwise."""


@dataclass(frozen=True)
class RealData:
    """A file of real data.

    Attributes:
        kind: what it is.
    """

    name: str
    kind: str
    suffix: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.name}{self.suffix}"


SMARTWATCH = RealData("smartwatch", "time series", ".npz")
SPLICE = RealData("splice", "DNA", ".csv")
NEWSGROUPS = RealData("newsgroups", "text", ".csv")
VOWELS = RealData("vowels", "audio", ".jsonl")
MNIST_ROWS = RealData("mnist-rows", "images by rows", ".npz")
MNIST_PIXELS = RealData("mnist-pixels-labelled", "images by pixels", ".npz")
CARTPOLE = RealData("cartpole", "reinforcement learning", ".npz")


def data_folder(asked: Path | None) -> Path:
    """Where the files are: what was asked for, or what ``SELFPRETRAIN_DATA`` names, or ``data``."""
    return asked or Path(os.environ.get(VARIABLE) or FOLDER)
