"""What the tasks of the arena share: published results, files that a person supplies, and rows drawn one by one."""

import csv
import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.data.builtin import VARIABLE, BuiltinTask, Published, Source
from selfpretrain.errors import RequestError
from selfpretrain.files import DAMAGED_NPZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows

DAMAGED = (*DAMAGED_NPZ, TypeError, SyntaxError, csv.Error, tarfile.TarError)
"""Exceptions that reading a damaged file raises; a broken PNG is a SyntaxError to Pillow."""
LARGEST_MEMBER = 200_000_000
"""Larger files in an archive are not read, in bytes; the largest that is needed has 31 million."""
DESCRIBED_SECONDS, FEWEST = 20.0, 20
"""``data describe`` draws rows for this long, and at least so many (ours)."""


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


class DrawnTask(ArenaTask):
    """A task whose rows are drawn one by one, each from a seed of its own: in pieces, by several processes.

    A file that ``selfpretrain data make TASK --out DATA_FOLDER/TASK.npz`` has made is read instead of drawing again.
    """

    reads_folder = True
    classes: ClassVar[tuple[str, ...]]
    version: ClassVar[int] = 1
    """Of the rule: count up when it draws other rows, so that older files are not taken for them."""
    sequences: int
    """Number of rows N."""

    @property
    def seconds_per_row(self) -> float:
        """Time to draw a row on one core, roughly."""
        raise NotImplementedError

    @property
    def hint(self) -> str:
        """How to draw faster, after a comma; empty where there is no way."""
        return ""

    def draw(self, seeds: "NDArray[np.int64]") -> "tuple[NDArray[Any], NDArray[np.int64]]":
        """A row for each seed: values (N, T) or (N, T, C), and classes (N,)."""
        raise NotImplementedError

    def split(self) -> list[str]:
        """The split of each row (N,): all training rows, then all of validation, then all of the test."""
        raise NotImplementedError

    def made(self, x: "NDArray[Any]", y: "NDArray[np.int64]") -> "Rows":
        """The task's rows from what was drawn for all seeds, in their order."""
        from selfpretrain.data.rows import made

        return made("values", self.classes, x, y, self.split())

    def seeds(self, generator: "np.random.Generator") -> "NDArray[np.int64]":
        """A seed for each row (N,)."""
        return generator.integers(2**63, size=self.sequences)

    def build(self, generator: "np.random.Generator") -> "Rows":
        """Draw all rows in this process."""
        return self.made(*self.draw(self.seeds(generator)))

    def rows(self, source: Source) -> "Rows":
        """The rows from the file that was made of them, else drawn."""
        from selfpretrain.arena.pieces import read_or_draw

        return read_or_draw(self, source)

    def make_file(self, source: Source, out: Path, write: "Callable[..., str]") -> str:
        """Make the file ``out``; an interrupted call goes on where it was stopped."""
        from selfpretrain.arena.pieces import make_file

        return make_file(self, source, out, write)

    @classmethod
    def state(cls, folder: Path) -> tuple[str, str]:
        """Whether its file lies in the folder; nothing has to be supplied."""
        return ("ready" if (folder / f"{cls.name}.npz").exists() else "made"), ""

    @classmethod
    def sample_size(cls, most: int) -> int:
        """Fewer where a row takes long."""
        return max(FEWEST, min(most, int(DESCRIBED_SECONDS / cls().seconds_per_row)))


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
        """Whether one of the files is there."""
        return ("ready", "") if any((folder / name).exists() for name in cls.files) else ("missing", cls.wanted())


class PackagedTask(FolderTask):
    """A task whose sequences lie in an archive of a package registry. Nothing in it is run.

    Its only file is a wheel (zip), or an npm archive (tar, compressed by gzip).
    """

    sha256: ClassVar[str]
    """Checksum of the archive."""

    def members(self, path: Path, suffix: str = "") -> list[tuple[str, bytes]]:
        """Name and content of every file in the archive whose name ends in ``suffix``, sorted by name.

        Raises:
            RequestError: it is truncated, or another version.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            problem = f"has the SHA-256 {digest[:12]}..., not {self.sha256[:12]}...: another version, or truncated"
            raise RequestError(f"{path}: {problem}")
        return sorted(_zip_members(path, suffix) if path.suffix == ".whl" else _tar_members(path, suffix))


def _zip_members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(suffix) and member.file_size <= LARGEST_MEMBER:
                yield member.filename, archive.read(member)


def _tar_members(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(suffix) and member.size <= LARGEST_MEMBER:
                file = archive.extractfile(member)
                assert file is not None, "a file has content"
                yield member.name, file.read()


@contextmanager
def reading(path: Path, cure: str = "") -> Iterator[None]:
    """Turn what a damaged file raises in this block into a refusal that names the file."""
    try:
        yield
    except RequestError:
        raise
    except DAMAGED as error:
        problem = str(error).partition("\n")[0]
        raise RequestError(f"{path}: cannot be read ({problem}){cure}") from None


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
