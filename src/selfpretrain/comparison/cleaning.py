"""What a comparison's folder holds that its latest request does not use, and its removal."""

import contextlib
from pathlib import Path

from selfpretrain.comparison.folder import TRAININGS, ComparisonFolder
from selfpretrain.comparison.runs import RunRecord
from selfpretrain.errors import RequestError
from selfpretrain.storage import HALF_WRITTEN, read_record
from selfpretrain.training.training import Training

OURS = (
    *("config.json", "metrics.jsonl", "start.json", "result.json", "manifest.json", "DONE", ".lock", "report.html"),
    *("*.safetensors", "checkpoint/[0-9]*.safetensors", "snapshots/[0-9]*.safetensors"),
    *("model/*.json", "model/model.safetensors", "model/DONE", "diagnosis/*.json", "diagnosis/.lock"),
    f"{HALF_WRITTEN}*",
)
"""What we write into the folder of a training or a run; anything else there is somebody's own, and stays."""


def unused(folder: ComparisonFolder) -> list[Path]:
    """Folders of trainings and runs that neither the report nor the diagnosis uses.

    Raises:
        RequestError: the comparison is not finished, so nobody knows yet what it uses; or its trainings are shared.
    """
    if not folder.is_comparison:
        raise RequestError(f"{folder.path}: no comparison to clean; name what compare --out made")
    if not folder.is_finished:
        raise RequestError(f"{folder.path}: the comparison is not finished; run its compare command first")
    request, uses = folder.request, folder.uses
    if request.store != TRAININGS:
        raise RequestError(f"{folder.path}: its trainings are shared with other comparisons in {folder.store}")
    kept = {*uses.comparison, *uses.transplants}
    trainings = [path for path in _folders(folder.store) if _is(path, Training) and path.name not in kept]
    runs = [path for path in _folders(folder.runs) if _is(path, RunRecord) and path.name not in request.run_names]
    return trainings + runs


def clean(folder: ComparisonFolder, paths: list[Path]) -> list[Path]:
    """Remove our files from folders that ``unused`` gave, and the folders where nothing else is in them.

    Returns:
        The folders that were emptied.

    Raises:
        RequestError: somebody is at work there.
    """
    with folder.locked():
        found = [path for path in unused(folder) if path in paths]
        for path in found:
            for pattern in OURS:
                for file in path.glob(pattern):
                    file.unlink()
            for inner in ("model", "checkpoint", "snapshots", "diagnosis", "."):
                with contextlib.suppress(OSError):  # not there, or not empty
                    (path / inner).rmdir()
        return found


def size_bytes(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _folders(parent: Path) -> list[Path]:
    return (
        sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()) if parent.is_dir() else []
    )


def _is(path: Path, cls: type[Training] | type[RunRecord]) -> bool:
    """Whether the folder is of this training or run: its config.json says so, and its name."""
    try:
        record = read_record(path / "config.json", cls)
    except RequestError:
        return False
    return path.name == (record.key if isinstance(record, Training) else record.name)
