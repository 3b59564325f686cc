"""Files and records: JSON records that are read strictly, files that appear whole or not at all, sealed folders.

A finished folder is sealed: ``manifest.json`` holds the SHA-256 of each of its files, and ``DONE``, written last, that
of the manifest. What is read from a sealed folder is compared with it, so damage and edits show. Only files that a
manifest names, with the checksum it names, are ever removed.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

import filelock
import msgspec

from selfpretrain.errors import DamagedError, RequestError, SettingError

RecordT = TypeVar("RecordT")
TensorT = TypeVar("TensorT")
MANIFEST, DONE, LOCK = "manifest.json", "DONE", ".lock"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors that say that a disk is full."""
HALF_WRITTEN = ".selfpretrain-"
"""Prefix of the names of files that are being written."""
OCCUPIED = "is there; name another file, or remove it"


@contextlib.contextmanager
def reading(path: Path, cure: str = "; save it again") -> Iterator[None]:
    """The door for bytes that are not ours: whatever reading them raises becomes a refusal that names the file."""
    try:
        yield
    except RequestError:
        raise
    except MemoryError:
        raise RequestError(f"{path}: what it says that it holds does not fit into memory{cure}") from None
    except Exception as error:  # libraries raise what they like
        problem = str(error).partition("\n")[0].rstrip(".") or "no reason is given"
        if isinstance(error, UnicodeEncodeError) and not str(path).isprintable():
            cure = "; give it a name that is valid text"
        name = "" if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: "
        raise RequestError(f"{path}: cannot be read ({name}{problem}){cure}") from None


@contextlib.contextmanager
def locked(folder: Path, *, seconds: float = 0) -> Iterator[None]:
    """Keep others out of a folder; refused where somebody is at work there for so long."""
    try:
        lock = filelock.FileLock(folder / LOCK, timeout=seconds).acquire()
    except filelock.Timeout:
        raise RequestError(f"{folder}: another selfpretrain is at work there; wait for it") from None
    except OSError as error:
        raise RequestError(f"{folder / LOCK}: cannot be used ({error.strerror}); remove it") from None
    with lock:
        yield


def to_dict(record: Any) -> dict[str, Any]:
    """A dataclass as JSON types: dictionaries, tuples as lists, paths as strings. NaN and infinity are refused."""
    # Not by msgspec, which leaves out defaults of the records that it made itself.
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record), default=_plain, allow_nan=False))
    return plain


def _plain(value: Any) -> Any:
    """NumPy's scalars as numbers, anything else as text."""
    return value.item() if hasattr(value, "item") and not getattr(value, "ndim", 0) else str(value)


def from_dict(cls: type[RecordT], values: Any) -> RecordT:
    """The inverse of ``to_dict``, strict about keys and types.

    Raises:
        RequestError: an unknown or missing key, or a value of another type.

    >>> from selfpretrain.config import ModelConfig
    >>> from_dict(ModelConfig, to_dict(ModelConfig(depth=3))).depth
    3
    """
    try:
        record = msgspec.convert(values, cls, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, SettingError):
            raise error.__cause__ from None
        raise RequestError(f"{cls.__name__}: {error}") from None
    for unknown in _ignored(values, msgspec.to_builtins(record, enc_hook=str)):
        names = ", ".join(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]
        raise RequestError(f"unknown setting '{unknown}' of {cls.__name__}; valid: {names}")
    return record


def _ignored(values: Any, back: Any) -> Iterator[str]:
    """Keys that did not make it into the record."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _ignored(value, back[key]) if key in back else (str(key),)
    elif isinstance(values, list | tuple):
        yield from chain.from_iterable(map(_ignored, values, back))


def fingerprint(*parts: Any) -> str:
    """Short SHA-256 of JSON-able parts; dataclasses count by their fields."""
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def write_atomically(path: Path, data: bytes | str | Iterable[bytes], *, new: bool = False) -> None:
    """Write a file, or the pieces of a large one, so that it appears whole or not at all, also when the power fails.

    Args:
        new: whether to refuse to replace what is there by then, as ``require_absent`` does.
    """
    pieces = [data.encode()] if isinstance(data, str) else [data] if isinstance(data, bytes) else data
    beside = path.parent / f"{HALF_WRITTEN}{secrets.token_hex(8)}"
    try:
        with beside.open("xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _appear(beside, path)
        else:
            beside.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(beside):
            error.filename = str(path)
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # flush the folder's entry, too, where the system can
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _appear(beside: Path, path: Path) -> None:
    """Rename a file to a name that nothing has, also where two do so at once."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise SettingError("out", path, OCCUPIED) from None
    except OSError:  # a file system without hard links
        require_absent(path)
        beside.replace(path)
    else:
        beside.unlink()


def require_absent(path: Path) -> None:
    """Refuse to write where something is that may be somebody's."""
    if os.path.lexists(path):
        raise SettingError("out", path, OCCUPIED)


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON atomically; NaN and infinity are refused."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedError: there is no such file, or it is not JSON.
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
    """Create a folder, or take an existing one; see ``require_own``."""
    require_own(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def require_own(path: Path) -> None:
    """Refuse what stands where a folder of ours is or will be: a file, or a symbolic link, to whatever that leads."""
    if path.is_symlink():
        raise RequestError(f"{path}: is a symbolic link to {path.readlink()}; name that itself, or remove the link")
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def remove_half_written(folder: Path) -> None:
    """Remove the temporary files of a killed writer, and nothing else."""
    for path in folder.glob(f"{HALF_WRITTEN}*"):
        path.unlink()


def seal(folder: Path, names: Iterable[str]) -> None:
    """Declare a folder finished: record the checksums of those of these files that exist."""
    sums = {name: checksum((folder / name).read_bytes()) for name in sorted(names) if (folder / name).is_file()}
    manifest = json.dumps(sums, indent=2) + "\n"
    write_atomically(folder / MANIFEST, manifest)
    write_atomically(folder / DONE, checksum(manifest.encode()) + "\n")


def is_sealed(folder: Path) -> bool:
    """Whether the folder says that it is finished; its files may still be damaged."""
    return (folder / DONE).exists()


def unseal(folder: Path, names: Iterable[str]) -> None:
    """Make room to write the files ``names`` of a folder anew; it may be missing, unfinished, or damaged.

    Files that the manifest names with their checksum are removed. Anything else that stands in the way, damaged or
    somebody's own, is renamed to ``NAME.set-aside``. Links are never followed.
    """
    require_own(folder)
    try:
        Sealed(folder).remove()
    except DamagedError:
        (folder / DONE).unlink(missing_ok=True)
    for name in (*names, MANIFEST):
        if (path := _in_the_way(folder, Path(name))) is not None:
            places = (path.with_name(f"{path.name}{number}.set-aside") for number in chain([""], count(2)))
            path.rename(next(place for place in places if not os.path.lexists(place)))


def _in_the_way(folder: Path, name: Path) -> Path | None:
    """What stands where ``name`` is going to be written: it, or a link or a file in the place of a folder above it."""
    above = [folder / part for part in reversed(name.parents[:-1])]
    blocked = [path for path in above if path.is_symlink() or path.is_file()]
    return next((path for path in (*blocked, folder / name) if os.path.lexists(path)), None)


class Sealed:
    """A finished folder, to read from.

    Raises:
        DamagedError: it is not finished, or its seal is broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in (folder / DONE, folder / MANIFEST):
            if not path.is_file():  # nor is a pipe, which would be waited for
                raise DamagedError(path)
        try:
            manifest, done = (folder / MANIFEST).read_bytes(), (folder / DONE).read_text()
            sums = json.loads(manifest)
        except (OSError, ValueError, RecursionError):
            raise DamagedError(folder / (MANIFEST if is_sealed(folder) else DONE)) from None
        is_whole = done.strip() == checksum(manifest) and isinstance(sums, dict)
        if not is_whole or any(Path(name).is_absolute() or ".." in Path(name).parts for name in sums):
            raise DamagedError(folder / MANIFEST)
        self._sums = sums

    @property
    def names(self) -> list[str]:
        return sorted(self._sums)

    def read(self, name: str) -> bytes:
        """The content of a file; a DamagedError where it is not what was sealed."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            if path.is_file() and checksum(data := path.read_bytes()) == self._sums.get(name):
                return data
        raise DamagedError(path)

    def json(self, name: str) -> Any:
        return self._parsed(name, self.read(name))

    def lines(self, name: str) -> list[Any]:
        """The records of a JSON-lines file."""
        return [self._parsed(name, line) for line in self.read(name).splitlines()]

    def tensors(self, name: str, load: Callable[[bytes], dict[str, TensorT]]) -> dict[str, TensorT]:
        """The tensors of a safetensors file, by their names; ``load`` is that of safetensors for numpy or for torch."""
        from safetensors import SafetensorError

        try:
            return load(self.read(name))
        except SafetensorError:
            raise DamagedError(self.folder / name) from None

    def _parsed(self, name: str, text: bytes) -> Any:
        """What was sealed may have been sealed by somebody else."""
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise DamagedError(self.folder / name) from None

    def record(self, name: str, cls: type[RecordT]) -> RecordT:
        return read_record(self.folder / name, cls, self.json(name))

    def check(self) -> None:
        """Read every file."""
        for name in self.names:
            self.read(name)

    def remove(self) -> None:
        """Remove the folder's files, as far as they are what was sealed, and folders that are then empty."""
        (self.folder / DONE).unlink()
        folders = {self.folder}
        for name in self.names:
            path = self.folder / name
            if any(parent.is_symlink() for parent in (path, *path.parents) if self.folder in parent.parents):
                continue  # what a link points to is not ours
            with contextlib.suppress(DamagedError):
                self.read(name)
                path.unlink()
                folders.add(path.parent)
        (self.folder / MANIFEST).unlink()
        for folder in sorted(folders - {self.folder}, reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
