"""Does one paper cite the other? The task Retrieval of the Long Range Arena."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.base import FiledTask, Made, first_bytes

FOLDERS = ("lra_release/lra_release/tsv_data", "lra_release/tsv_data", "tsv_data")
"""Where the three files lie in what the archive unpacks to, and in what others make of it."""
PARTS = {"train": "train", "val": "eval", "test": "test"}
"""Our names of the splits, and theirs."""
COLUMNS = 5
LARGEST_FIELD = 2**26
"""Characters of a paper, far more than any has."""


@dataclass(frozen=True, kw_only=True)
class Retrieval(FiledTask):
    """Retrieval of the Long Range Arena: pairs of papers byte by byte, and whether one cites the other.

    Both papers go through the same encoder. Of their vectors a and b the label head sees [a, b, a - b, a * b]. Papers
    are read as they stand in the Arena's files, as there: the way in which Python writes bytes, b'...', with escapes.
    The first 4,000 bytes of each count, and the splits are the Arena's. It has 147,086 pairs for training, 18,090 for
    validation and 17,437 for the test, as others report; that is not checked.

    Source: Radev et al. (2013), the ACL Anthology Network; Tay et al. (2021).
    """

    name = "lra-retrieval"
    size = "182,613 pairs x 4,000"
    preset = "amos-retrieval"
    licence = "none in writing; it is used for research by custom"
    wants = "lra_release, the folder that the archive lra_release.gz of google-research/long-range-arena unpacks to"
    bytes_kept: ClassVar[int] = 4000
    rows: ClassVar[dict[str, int | None]] = {"train": None, "val": None, "test": None}
    """Pairs that are taken of each split, the first ones; None: all."""

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether the unpacked archive is."""
        return any((folder / name).is_dir() for name in FOLDERS)

    def read(self, folder: Path) -> Made | None:
        """Read the three tables of pairs."""
        import numpy as np

        where = next((folder / name for name in FOLDERS if (folder / name).is_dir()), None)
        if where is None and (folder / "lra_release").exists():
            raise RequestError(f"{folder / 'lra_release'}: has no folder tsv_data; unpack the whole archive again")
        if where is None and (packed := folder / "lra_release.gz").exists():
            raise RequestError(f"{packed}: unpack it there first: tar -xf lra_release.gz")
        if where is None:
            return None
        x: list[str] = []
        y: list[int] = []
        split: list[str] = []
        empty = 0
        for part, theirs in PARTS.items():
            for first, second, label in islice(self._pairs(where / f"new_aan_pairs.{theirs}.tsv"), self.rows[part]):
                if not first or not second:
                    empty += 1
                    continue
                x += [first, second]
                y.append(label)
                split.append(part)
        notes = (f"{empty} pairs with an empty paper are left out",) if empty else ()
        return Made("bytes", ("no", "yes"), x, np.array(y, dtype=np.int64), split, per_row=2, notes=notes)

    def _pairs(self, path: Path) -> Iterator[tuple[str, str, int]]:
        """The beginnings of both papers, and the class, of every row: label, two names, two papers."""
        csv.field_size_limit(LARGEST_FIELD)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for number, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)):
                    if len(row) != COLUMNS:
                        said = f"{len(row)} columns, not a label, two names and two papers"
                        raise RequestError(f"{path}: row {number + 1} has {said}; unpack the archive again")
                    if row[0] not in ("0", "1", "0.0", "1.0"):
                        raise RequestError(f"{path}: row {number + 1}: '{row[0][:20]}' is no label, 0 or 1")
                    first, second = (first_bytes(text, self.bytes_kept) for text in row[3:])
                    yield first, second, int(float(row[0]))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RequestError(f"{path}: cannot be read ({error}); unpack the archive again") from None


@dataclass(frozen=True, kw_only=True)
class RetrievalSmall(Retrieval):
    """The first 256 bytes of both papers of 5,000 pairs: for a look within minutes, no task of the Long Range Arena.

    The first 3,500 pairs for training, and the first 750 of the other splits (ours).
    """

    name = "lra-retrieval-small"
    size = "5,000 pairs x 256"
    preset = "lra-retrieval-small"
    bytes_kept = 256
    rows: ClassVar[dict[str, int | None]] = {"train": 3500, "val": 750, "test": 750}
