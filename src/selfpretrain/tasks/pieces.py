"""Rows that are drawn one by one, for minutes or hours: in pieces, by several processes, and kept in a file.

A file that ``selfpretrain data make TASK --out DATA_FOLDER/TASK.npz`` has made is found in the folder of data, and
nothing is drawn again. Its array ``made`` says what it holds. While it is made, finished pieces lie beside it, so that
the same command goes on.
"""

import io
import json
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
from selfpretrain.options import flag
from selfpretrain.progress import duration_text
from selfpretrain.serial import fingerprint, to_dict
from selfpretrain.storage import DAMAGED_NPZ, own_folder, write_atomically
from selfpretrain.streams import numpy_stream
from selfpretrain.tasks.builtin import DrawnTask, Made
from selfpretrain.tasks.splitting import PARTS

PIECE = 50
"""Rows that are drawn together (ours: seconds of work, which is what a kill can cost)."""
PATIENCE_SECONDS = 600.0
"""What takes one core longer has to be made first, into a file that is kept (ours)."""
RECORD = "made"
"""Name of the array that says of what a file was made."""

Rows = tuple[NDArray[Any], NDArray[np.int64]]


def record_of(rule: DrawnTask, data_seed: int) -> str:
    """What a file of these rows says of itself."""
    said = {"task": rule.name, "version": rule.version, "data_seed": data_seed, **to_dict(rule)}
    return json.dumps(said, sort_keys=True)


def drawn_or_found(rule: DrawnTask, config: TaskConfig, folder: Path, workers: int, watch: Watch) -> Made:
    """The task: read from the folder of data if it was made there, drawn otherwise.

    Raises:
        RequestError: the file is damaged, or drawing would take longer than anybody waits.
    """
    path = folder / f"{rule.name}.npz"
    there = record_in(path) if path.exists() else None
    if there == record_of(rule, config.data_seed):
        return rule.made(*_read(path, rule))
    seconds = rule.sequences * rule.seconds_each
    if seconds > PATIENCE_SECONDS:
        options = [f"{flag(name)} {value}" for name, value in {**to_dict(rule), "data_seed": config.data_seed}.items()]
        make = f"selfpretrain data make {rule.name} {' '.join(options)} --out {path}"
        moved = "" if there is None else f"; that file, which holds {there}, has to move"
        said = f"take one core about {duration_text(seconds)} to draw{rule.hint}; ask for fewer, or have them made once"
        raise SettingError("sequences", rule.sequences, f"{said}: {make}, which goes on where it was stopped{moved}")
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
    found = {}
    for name, part in zip(names, parts, strict=True):
        if keep is not None and (rows := _piece(keep / name, len(part))) is not None:
            found[name] = rows
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
    return own_folder(out.with_name(f"{out.name}.pieces-{fingerprint(record_of(rule, data_seed), PIECE)}"))


def _draw(rule: DrawnTask, seeds: NDArray[np.int64], watch: Watch, stop: Callable[[], bool]) -> Rows:
    return rule.draw(seeds)


def _piece(path: Path, n_rows: int) -> Rows | None:
    """A finished piece; None where there is none that is whole."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except DAMAGED_NPZ:
        return None
    return (x, y) if len(x) == len(y) == n_rows else None


def record_in(path: Path) -> str | None:
    """What a file says of what it was made; None if it says nothing.

    Raises:
        RequestError: it is no NPZ, or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return str(arrays[RECORD]) if RECORD in arrays.files else None
    except DAMAGED_NPZ as error:
        raise _damaged(path, error) from None


def _read(path: Path, rule: DrawnTask) -> Rows:
    """The rows of a file that was made of this request."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            x = np.concatenate([arrays[f"x_{part}"] for part in PARTS])
            names = np.concatenate([arrays[f"y_{part}"] for part in PARTS])
    except DAMAGED_NPZ as error:
        raise _damaged(path, error) from None
    here = names[:, None] == np.array(rule.made(x[:0], np.zeros(0, dtype=np.int64)).classes)
    if len(x) != rule.sequences or len(names) != rule.sequences or not here.any(axis=1).all():
        raise _damaged(path, f"{len(x)} sequences and {int(here.any(axis=1).sum())} classes")
    return x, here.argmax(axis=1)


def _damaged(path: Path, why: object) -> RequestError:
    return RequestError(f"{path}: is no whole file that data make has made ({why}); remove it, or make it again")


def _bytes(save: Callable[..., None], **arrays: Any) -> bytes:
    data = io.BytesIO()
    save(data, **arrays)
    return data.getvalue()
