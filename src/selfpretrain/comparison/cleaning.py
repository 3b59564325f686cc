"""What a comparison's folder holds that its latest request does not use, and its removal."""

import shutil
from pathlib import Path

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.runs import run_name
from selfpretrain.errors import RequestError
from selfpretrain.storage import own_folder


def unused(folder: ComparisonFolder) -> list[Path]:
    """Folders of trainings and runs that neither the report nor the diagnosis uses.

    Only folders of ours: those that have the config.json which a training or a run begins with.

    Raises:
        RequestError: the comparison is not finished, so nobody knows yet what it uses; or its trainings are shared.
    """
    if not folder.is_comparison or not folder.is_finished:
        said = "is not finished; run its compare command first" if folder.is_comparison else "is none"
        raise RequestError(f"{folder.path}: no comparison to clean: the folder {said}")
    request, uses = folder.request, folder.uses
    if request.store != TRAININGS:
        raise RequestError(f"{folder.path}: its trainings are shared with other comparisons in {folder.store}")
    kept = {*uses.comparison, *uses.transplants}
    runs = {run_name(arm, seed) for arm in request.request.arms for seed in range(request.request.seeds)}
    found = [path for path in _ours(folder.store) if path.name not in kept]
    return found + [path for path in _ours(folder.runs) if path.name not in runs]


def clean(folder: ComparisonFolder, paths: list[Path]) -> None:
    """Remove folders that ``unused`` gave.

    Raises:
        RequestError: somebody is at work there.
    """
    with folder.locked():
        for path in set(paths) & set(unused(folder)):
            shutil.rmtree(own_folder(path))


def size_bytes(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _ours(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if (path / "config.json").is_file() and not path.is_symlink())
