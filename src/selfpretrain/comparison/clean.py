"""What a comparison's folder holds that its latest request does not use, and its removal."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.run import RunRecord
from selfpretrain.errors import RequestError
from selfpretrain.files import LOCK, Sealed, is_sealed, locked, read_record
from selfpretrain.train.training import Training


@dataclass(frozen=True)
class Unused:
    """A training or a run that neither the report nor the diagnosis uses.

    Attributes:
        is_finished: whether its files can be told from somebody's own; others are left alone.
    """

    path: Path
    size_bytes: int
    is_finished: bool


def unused(folder: ComparisonFolder) -> list[Unused]:
    """Trainings and runs that neither the report nor the diagnosis uses.

    Raises:
        RequestError: the comparison is not finished, so nobody knows yet what it uses; or its trainings are shared.
    """
    if not folder.is_comparison:
        raise RequestError(f"{folder.path}: no comparison to clean; name what compare --out made")
    if not folder.is_finished:
        raise RequestError(f"{folder.path}: the comparison is not finished; run its compare command first")
    if folder.record.store != TRAININGS:
        raise RequestError(f"{folder.path}: its trainings are shared with other comparisons in {folder.store}")
    paths = [*_left(folder.store, Training, folder.used), *_left(folder.runs, RunRecord, folder.record.run_names)]
    return [Unused(path, _size_bytes(path), is_sealed(path)) for path in paths]


def clean(folder: ComparisonFolder) -> list[Path]:
    """Remove the files of what is unused and finished, and the folders where nothing else is in them.

    Files whose names and checksums stand in a folder's manifest are removed, and nothing else.

    Returns:
        The folders that were emptied.

    Raises:
        RequestError: somebody is at work there, or see ``unused``.
    """
    with locked(folder.path):
        paths = [entry.path for entry in unused(folder) if entry.is_finished]
        for path in paths:
            Sealed(path).remove()
            if (lock := path / LOCK).is_file() and not lock.is_symlink() and not lock.stat().st_size:
                lock.unlink()
            if not any(path.iterdir()):
                path.rmdir()
        return paths


def _left(parent: Path, cls: type[Training] | type[RunRecord], used: Collection[str]) -> list[Path]:
    """Folders of trainings or runs that are not used. Links are not followed."""
    paths = [] if parent.is_symlink() or not parent.is_dir() else sorted(parent.iterdir())
    folders = (path for path in paths if path.is_dir() and not path.is_symlink())
    return [path for path in folders if path.name not in used and _is(path, cls)]


def _is(path: Path, cls: type[Training] | type[RunRecord]) -> bool:
    """Whether the folder is of this training or run: its config.json says so, and its name."""
    try:
        record = read_record(path / "config.json", cls)
    except RequestError:
        return False
    return path.name == (record.key if isinstance(record, Training) else record.name)


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
