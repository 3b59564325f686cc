"""Files that appear whole or not at all, and folders whose files are checked when they are read.

A finished folder is sealed: ``manifest.json`` has the SHA-256 of each of its files, and ``DONE``, written last, that of
the manifest. What is read from a sealed folder is compared with it, so that damage and edits show.
"""

import hashlib
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from selfpretrain.errors import DamagedError, RequestError
from selfpretrain.serial import from_dict

RecordT = TypeVar("RecordT")
DAMAGED_NPZ = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What reading an NPZ raises that is none, or is damaged."""
MANIFEST, DONE = "manifest.json", "DONE"
HALF_WRITTEN = ".selfpretrain-"
"""How the names of files begin that are being written."""


def write_atomically(path: Path, data: bytes | str | Iterable[bytes]) -> None:
    """Write a file that appears whole or not at all, also when the power fails; its mode follows the umask.

    Args:
        data: what it holds; or pieces of it, where the whole would be much.
    """
    pieces = [data.encode()] if isinstance(data, str) else [data] if isinstance(data, bytes) else data
    beside = path.parent / f"{HALF_WRITTEN}{secrets.token_hex(8)}"
    try:
        with beside.open("xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # where a folder can be opened, its new name is flushed too
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, content: Any) -> None:
    """``write_atomically`` of readable JSON; NaN and infinity are refused, being no JSON."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote.

    Raises:
        DamagedError: there is no such file, or it is no JSON.
        RequestError: it may not be read.
    """
    try:
        return json.loads(path.read_text())
    except PermissionError:
        raise RequestError(f"{path}: may not be read; change its permissions") from None
    except (OSError, ValueError, RecursionError):
        raise DamagedError(path) from None


def read_record(path: Path, cls: type[RecordT], content: Any = None) -> RecordT:
    """A dataclass from a JSON file, or from ``content`` that was read from it.

    Raises:
        DamagedError: it holds something else.
    """
    try:
        return from_dict(cls, read_json(path) if content is None else content)
    except DamagedError:
        raise
    except (RequestError, ValueError, TypeError):
        raise DamagedError(path) from None


def own_folder(path: Path) -> Path:
    """Make a folder of ours, or take it as it is.

    Raises:
        RequestError: it is a symbolic link, whose target might be anything.
    """
    if path.is_symlink():
        raise RequestError(f"{path}: is a symbolic link; name its target {path.resolve()} itself, or remove the link")
    path.mkdir(parents=True, exist_ok=True)
    return path


def remove_half_written(folder: Path) -> None:
    """Remove what a killed writer left in a folder of ours; nothing else."""
    for path in folder.glob(f"{HALF_WRITTEN}*"):
        path.unlink()


def seal(folder: Path, names: Iterable[str]) -> None:
    """Declare a folder finished: those of these files that are there, as they are now."""
    sums = {name: _checksum((folder / name).read_bytes()) for name in sorted(names) if (folder / name).is_file()}
    manifest = json.dumps(sums, indent=2) + "\n"
    write_atomically(folder / MANIFEST, manifest)
    write_atomically(folder / DONE, _checksum(manifest.encode()) + "\n")


def unseal(folder: Path, names: Iterable[str]) -> None:
    """Take the seal off a folder and remove these files, so that it can be made anew."""
    for name in (DONE, MANIFEST, *names):
        (folder / name).unlink(missing_ok=True)


def is_sealed(folder: Path) -> bool:
    """Whether the folder says that it is finished; its files may still be damaged."""
    return (folder / DONE).exists()


class Sealed:
    """A finished folder, to read from.

    Raises:
        DamagedError: it is not finished, or its seal is broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            manifest = (folder / MANIFEST).read_bytes()
            if (folder / DONE).read_text().strip() != _checksum(manifest):
                raise DamagedError(folder / MANIFEST)
            self._sums = dict(json.loads(manifest))
        except DamagedError:
            raise
        except (OSError, ValueError, TypeError):
            raise DamagedError(folder / (MANIFEST if is_sealed(folder) else DONE)) from None

    @property
    def names(self) -> list[str]:
        """Its files, in order."""
        return sorted(self._sums)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            DamagedError: it is not what was sealed.
        """
        try:
            data = (self.folder / name).read_bytes()
        except OSError:
            raise DamagedError(self.folder / name) from None
        if self._sums.get(name) != _checksum(data):
            raise DamagedError(self.folder / name)
        return data

    def json(self, name: str) -> Any:
        """The content of a JSON file."""
        return json.loads(self.read(name))

    def record(self, name: str, cls: type[RecordT]) -> RecordT:
        """A dataclass from a JSON file."""
        return read_record(self.folder / name, cls, self.json(name))

    def check(self) -> None:
        """Read every file.

        Raises:
            DamagedError: the first that is not what was sealed.
        """
        for name in self.names:
            self.read(name)


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
