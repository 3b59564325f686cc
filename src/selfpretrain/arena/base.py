"""What the tasks of the arena share: published results, and reading files that a person supplies."""

import csv
import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.data.builtin import VARIABLE, BuiltinTask, Published, Source
from selfpretrain.errors import RequestError
from selfpretrain.files import reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows


class ArenaTask(BuiltinTask):
    """A task of the Long Range Arena, or a stand-in for one."""

    @classmethod
    def published(cls) -> Sequence[Published]:
        """From the column of the task in ``lra_records.csv``; stand-ins and small sisters have none.

        Cells of the printed tables that we could not read are left out.
        """
        text = (resources.files("selfpretrain.arena") / "lra_records.csv").read_text(encoding="utf-8")
        return [
            Published(row["model"], row[cls.name] or None, row["source"], row["status"])
            for row in csv.DictReader(text.splitlines())
            if cls.name in row
        ]


class FolderTask(ArenaTask):
    """A task whose files a person has to supply; they are read, and nothing is downloaded."""

    reads_folder = True
    files: ClassVar[Mapping[str, str]]
    """Names in the folder of data, the first of which is read, each with where to get it."""

    def read(self, path: Path) -> "Rows":
        """The rows in the file or folder of one of these names.

        Raises:
            RequestError: it is damaged or something else; ``rows`` adds where to get it.
        """
        raise NotImplementedError

    def rows(self, source: Source) -> "Rows":
        """Read the first file that is there.

        Raises:
            RequestError: there is none, or it cannot be used; says what to get.
        """
        for name, origin in self.files.items():
            if (path := source.folder / name).exists():
                try:
                    with reading(path):
                        return self.read(path)
                except RequestError as error:
                    raise RequestError(f"{error}; get it again, {origin}") from None
        where = f"--data-dir or {VARIABLE} names another folder"
        raise RequestError(f"{self.name}: its data are not in {source.folder}; put there {self.wanted()} ({where})")

    @classmethod
    def wanted(cls) -> str:
        """What to put into the folder of data, in words."""
        return "; or ".join(f"{name}, {origin}" for name, origin in cls.files.items())

    @classmethod
    def state(cls, folder: Path) -> tuple[str, str]:
        return ("ready", "") if any((folder / name).exists() for name in cls.files) else ("missing", cls.wanted())


class PackagedTask(FolderTask):
    """A task whose sequences lie in an archive of a package registry. Nothing in it is run.

    Its only file is a wheel (zip), or an npm archive (tar, compressed by gzip).
    """

    sha256: ClassVar[str]
    """Checksum of the archive: what is in it needs no other check."""

    def members(self, path: Path, pattern: str) -> dict[str, bytes]:
        """Name and content of every file in the archive whose name matches, sorted by name.

        Raises:
            RequestError: it is truncated, or another version.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            problem = f"has the SHA-256 {digest[:12]}..., not {self.sha256[:12]}...: another version, or truncated"
            raise RequestError(f"{path}: {problem}")
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                return {name: wheel.read(name) for name in sorted(wheel.namelist()) if re.search(pattern, name)}
        with tarfile.open(path) as archive:
            matching = (member for member in archive if re.search(pattern, member.name))
            files = {member.name: content.read() for member in matching if (content := archive.extractfile(member))}
        return dict(sorted(files.items()))


def expect(path: Path, what: str, actual: Any, wanted: Any) -> None:
    """Refuse a file that holds something else than it should."""
    if actual != wanted:
        raise RequestError(f"{path}: {what}: {actual}, not {wanted}")


def saved_rows(folder: Path, columns: Mapping[str, type]) -> Iterator[tuple[Any, ...]]:
    """The columns of every row of a split that Hugging Face's ``datasets`` has saved with ``save_to_disk``.

    Args:
        folder: of the split; it holds Arrow streams.
        columns: their names and types.

    Raises:
        RequestError: there are no such files, or something else is in them.
    """
    import pyarrow

    files = sorted(folder.glob("*.arrow"))
    if not files:
        raise RequestError(f"{folder}: no .arrow file; save the whole data set with save_to_disk")
    for path in files:
        with reading(path), pyarrow.memory_map(str(path)) as stream, pyarrow.ipc.open_stream(stream) as batches:
            for batch in batches:
                for row in zip(*(batch[name].to_pylist() for name in columns), strict=True):
                    if not all(map(isinstance, row, columns.values())):
                        raise RequestError(f"{path}: a row lacks {' or '.join(columns)}")
                    yield row


def in_order(train: int, val: int, test: int) -> list[str]:
    """The split of rows that follow each other: so many for training, then for validation, then for the test."""
    return ["train"] * train + ["val"] * val + ["test"] * test


def first_bytes(text: str, count: int) -> str:
    """The characters that lie wholly in the first bytes of a text, as UTF-8.

    >>> first_bytes("café", 3), first_bytes("café", 4)
    ('caf', 'caf')
    """
    return text.encode()[:count].decode(errors="ignore")


def shrunk(images: "NDArray[Any]", side: int, smaller: int) -> "NDArray[Any]":
    """Images (N, side^2), row by row, with ``smaller`` pixels a side (N, smaller^2): means of square blocks."""
    if side == smaller:
        return images
    block = side // smaller
    means: NDArray[Any] = images.reshape(-1, smaller, block, smaller, block).mean(axis=(2, 4)).reshape(-1, smaller**2)
    return means
