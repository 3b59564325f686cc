"""Real data that studies ask about: files that ``examples/real_data.py`` makes. Imports no torch."""

from dataclasses import dataclass


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
