"""Reviews byte by byte: the task Text of the Long Range Arena."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.base import FiledTask, Made, first_bytes
from selfpretrain.tasks.builtin.saved import saved_rows

CLASSES = ("negative", "positive")
LARGEST_REVIEW = 1_000_000
"""Bytes; the longest of IMDB has some 14,000."""


class Reviews(NamedTuple):
    """IMDB: texts, and their classes 0 or 1."""

    x_train: list[str]
    y_train: list[int]
    x_test: list[str]
    y_test: list[int]


@dataclass(frozen=True, kw_only=True)
class Text(FiledTask):
    """Text of the Long Range Arena: reviews of IMDB byte by byte, and whether they are positive.

    The first 4,096 bytes count, as in S4 and Amos et al. (2024). The Arena selects on its test set; here the last tenth
    of each class's training reviews is for validation, and the test is touched once.

    Source: Maas et al. (2011); Tay et al. (2021).
    """

    name = "lra-text"
    size = "50,000 x 4,096"
    preset = "amos-text"
    licence = "IMDB's has none in writing; it is used for research by custom"
    wants = (
        "imdb, as datasets.load_dataset('stanfordnlp/imdb') has saved it with save_to_disk; or aclImdb, the folder "
        "from ai.stanford.edu/~amaas/data/sentiment"
    )
    counts: ClassVar[tuple[int, int]] = (25_000, 25_000)
    """Training and test reviews, by which what is read is checked."""
    bytes_kept: ClassVar[int] = 4096
    of_class: ClassVar[int | None] = None
    """Reviews of each class that are taken of each split; None: all."""

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether one of the two is."""
        return any((folder / name).exists() for name in KINDS)

    def read(self, folder: Path) -> Made | None:
        """Read what is there, the first of the two kinds."""
        import numpy as np

        reviews = read_reviews(folder, self.counts)
        if reviews is None:
            return None
        x: list[str] = []
        y: list[int] = []
        split: list[str] = []
        for part, texts, labels in (
            ("train", reviews.x_train, reviews.y_train),
            ("test", reviews.x_test, reviews.y_test),
        ):
            for label in range(len(CLASSES)):
                of = [text for text, each in zip(texts, labels, strict=True) if each == label][: self.of_class]
                n_val = len(of) // 10 if part == "train" else 0
                x += [first_bytes(text, self.bytes_kept) for text in of]
                y += [label] * len(of)
                split += [part] * (len(of) - n_val) + ["val"] * n_val
        return Made("bytes", CLASSES, x, np.array(y, dtype=np.int64), split)


@dataclass(frozen=True, kw_only=True)
class TextSmall(Text):
    """The first 256 bytes of 5,000 reviews of IMDB: for a look within minutes, no task of the Long Range Arena.

    The first 1,250 reviews of each class and split (ours).
    """

    name = "lra-text-small"
    size = "5,000 x 256"
    preset = "lra-text-small"
    bytes_kept = 256
    of_class = 1250


def read_reviews(folder: Path, counts: tuple[int, int]) -> Reviews | None:
    """IMDB from what lies in the folder; None if nothing of it does.

    Raises:
        RequestError: what is there is damaged, or of another size.
    """
    for name, read in KINDS.items():
        if (path := folder / name).exists():
            reviews = read(path)
            for part, labels, n in (("training", reviews.y_train, counts[0]), ("test", reviews.y_test, counts[1])):
                if len(labels) != n or labels.count(0) != n // 2 or labels.count(1) != n - n // 2:
                    said = f"of {part} reviews it has {labels.count(0)} negative and {labels.count(1)} positive ones"
                    raise RequestError(f"{path}: {said}, not {n // 2} and {n - n // 2}; get it again")
            return reviews
    return None


def _from_arrow(folder: Path) -> Reviews:
    def rows(part: str) -> tuple[list[str], list[int]]:
        texts, labels = [], []
        for path, (text, label) in saved_rows(folder / part, ("text", "label"), "stanfordnlp/imdb"):
            if not isinstance(text, str) or not isinstance(label, int):
                raise RequestError(f"{path}: a row is no text with a class; save the data set again")
            texts.append(text)
            labels.append(label)
        return texts, labels

    return Reviews(*rows("train"), *rows("test"))


def _from_folders(folder: Path) -> Reviews:
    """A file for each review, in train and test, in neg and pos."""

    def rows(part: str) -> tuple[list[str], list[int]]:
        texts, labels = [], []
        for label, kind in enumerate(("neg", "pos")):
            for path in sorted((folder / part / kind).glob("*.txt")):
                try:
                    if path.stat().st_size > LARGEST_REVIEW:
                        raise RequestError(f"{path}: is no review, it is too large; get the archive again")
                    texts.append(path.read_text(encoding="utf-8"))
                except (OSError, UnicodeDecodeError) as error:
                    raise RequestError(f"{path}: cannot be read ({error}); get the archive again") from None
                labels.append(label)
        return texts, labels

    return Reviews(*rows("train"), *rows("test"))


KINDS: dict[str, Callable[[Path], Reviews]] = {"imdb": _from_arrow, "aclImdb": _from_folders}
"""What is looked for, in this order."""
