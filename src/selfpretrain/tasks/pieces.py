"""Rows that are drawn one by one, for minutes or hours: in pieces, by several processes, and kept in a file.

A file that ``selfpretrain data make TASK --out DATA_FOLDER/TASK.npz`` has made is found in the folder of data, and
nothing is drawn again. Its array ``made`` says what it holds. While it is made, finished pieces lie beside it, so that
the same command goes on.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import TaskConfig
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.events import Done, Planned, Progress, Watch
from selfpretrain.progress import duration_text
from selfpretrain.serial import fingerprint, to_dict
from selfpretrain.storage import own_folder, write_atomically
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.builtin import DrawnTask, Made
from selfpretrain.tasks.splitting import PARTS

PIECE = 50
"""Rows that are drawn together (ours: seconds of work, which is what a kill can cost)."""
PATIENCE_SECONDS = 600.0
"""What takes longer has to be made first, into a file that is kept (ours)."""
RECORD = "made"
"""Name of the array that says of what a file was made."""

Rows = tuple[NDArray[Any], NDArray[np.int64]]


def record_of(rule: DrawnTask, data_seed: int) -> str:
    """What a file of these rows says of itself."""
    return json.dumps({"task": rule.name, "data_seed": data_seed, **to_dict(rule)}, sort_keys=True)


def drawn_or_found(rule: DrawnTask, config: TaskConfig, folder: Path, workers: int, watch: Watch) -> Made:
    """The task: read from the folder of data if it was made there, drawn otherwise.

    Raises:
        RequestError: the file is damaged, or drawing would take longer than anybody waits.
    """
    path = folder / f"{rule.name}.npz"
    found = _read(path, rule, record_of(rule, config.data_seed)) if path.exists() else None
    if found is not None:
        return rule.made(*found)
    seconds = rule.sequences * rule.seconds_each / workers
    if seconds > PATIENCE_SECONDS:
        said = f"take about {duration_text(seconds)} to draw{rule.hint}; ask for fewer, or have them made once, "
        make = f"with selfpretrain data make {rule.name} --out {path}, which goes on where it was stopped"
        raise SettingError("sequences", rule.sequences, said + make)
    return rule.made(*drawn(rule, config.data_seed, workers=workers, watch=watch))


def drawn(rule: DrawnTask, data_seed: int, *, workers: int = 1, watch: Watch, keep: Path | None = None) -> Rows:
    """Draw all rows.

    Args:
        workers: processes.
        keep: a folder of finished pieces; those that are there are not drawn again. None keeps none.
    """
    seeds = rule.seeds(numpy_stream(data_seed, "data"))
    parts = [seeds[start : start + PIECE] for start in range(0, len(seeds), PIECE)]
    names = [f"{number:06d}.npz" for number in range(len(parts))]
    found = {name: rows for name in names if keep is not None and (rows := _piece(keep / name)) is not None}
    jobs = [Job(name, part) for name, part in zip(names, parts, strict=True) if name not in found]
    ready = sum(len(y) for _, y in found.values())

    def done(job: Job[NDArray[np.int64]], rows: Rows) -> None:
        nonlocal ready
        if keep is not None:
            write_atomically(keep / job.key, _bytes(np.savez, x=rows[0], y=rows[1]))
        ready += len(rows[1])
        watch(Progress(rule.name, ready, len(seeds), {}))

    watch(Planned({rule.name: float(len(seeds))}))
    watch(Progress(rule.name, ready, len(seeds), {}))
    with LocalEngine[DrawnTask, NDArray[np.int64], Rows](_draw, rule, workers=workers, watch=watch) as engine:
        results = engine.do(jobs, done)
    watch(Done(rule.name, f"{len(seeds)} sequences drawn"))
    found |= {job.key: rows for job, rows in zip(jobs, results, strict=True)}
    return np.concatenate([found[name][0] for name in names]), np.concatenate([found[name][1] for name in names])


def pieces_beside(out: Path, rule: DrawnTask, data_seed: int) -> Path:
    """The folder of pieces of a file; another request has another one."""
    return own_folder(out.with_name(f"{out.name}.pieces-{fingerprint(record_of(rule, data_seed))}"))


def _draw(rule: DrawnTask, seeds: NDArray[np.int64], watch: Watch, stop: Callable[[], bool]) -> Rows:
    return rule.draw(seeds)


def _piece(path: Path) -> Rows | None:
    """A finished piece; None where there is none that is whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _read(path: Path, rule: DrawnTask, record: str) -> Rows | None:
    """The rows of a made file; None if it was made of another request."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays[RECORD]) != record:
                return None
            x = np.concatenate([arrays[f"x_{part}"] for part in PARTS])
            names = np.concatenate([arrays[f"y_{part}"] for part in PARTS])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"{path}: is no whole file of {rule.name} ({error}); remove it, or make it again") from None
    classes = np.array(rule.made(x[:0], np.zeros(0, dtype=np.int64)).classes)
    return x, (names[:, None] == classes).argmax(axis=1)


def _bytes(save: Callable[..., None], **arrays: Any) -> bytes:
    data = io.BytesIO()
    save(data, **arrays)
    return data.getvalue()
