"""Rows that take minutes or hours to draw: in pieces, by several processes, and kept in a file.

The array ``made`` of such a file says what was asked for. While it is made, finished pieces lie in a folder beside it,
and the same command goes on from them.
"""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from selfpretrain.arena.base import DrawnTask, reading
from selfpretrain.data.builtin import Source
from selfpretrain.data.rows import Rows
from selfpretrain.data.split import PARTS
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.files import (
    DAMAGED_NPZ,
    fingerprint,
    own_folder,
    remove_half_written,
    to_dict,
    write_atomically,
)
from selfpretrain.options import flag
from selfpretrain.streams import numpy_stream
from selfpretrain.watch import Done, Planned, Progress, Watch, duration_text

PIECE = 50
"""Rows that are drawn together (ours: seconds of work, which is what a kill can cost)."""
PATIENCE_SECONDS = 600.0
"""Tasks that take one core longer have to be made first, into a file that is kept (ours)."""
CURE = "; remove it, or make it again"
"""Of a damaged file, for the reader."""
Drawn = tuple[NDArray[Any], NDArray[np.int64]]
"""Sequences and classes."""


class Piece(Job):
    """Draws the rows of some seeds; ``shared`` is the rule."""

    saves = False

    def __init__(self, key: str, seeds: NDArray[np.int64]) -> None:
        self.key, self.seeds = key, seeds

    def perform(self, shared: DrawnTask, tell: Watch, stop: Callable[[], bool]) -> Drawn:
        return shared.draw(self.seeds)


def record_of(rule: DrawnTask, data_seed: int) -> str:
    """The array ``made`` of a file with these rows."""
    record = {"task": rule.name, "version": rule.version, "data_seed": data_seed, **to_dict(rule)}
    return json.dumps(record, sort_keys=True)


def read_or_draw(rule: DrawnTask, source: Source) -> Rows:
    """The rows: read from the folder of data if they were made there, drawn otherwise.

    Raises:
        RequestError: the file is damaged, or drawing takes too long to wait for.
    """
    path = source.folder / f"{rule.name}.npz"
    record = record_in(path) if path.exists() else None
    if record == record_of(rule, source.data_seed):
        return rule.made(*_read(path, rule))
    seconds = rule.sequences * rule.seconds_per_row
    if seconds > PATIENCE_SECONDS:
        asked = {**to_dict(rule), "data_seed": source.data_seed}
        options = " ".join(f"{flag(name)} {value}" for name, value in asked.items())
        cost = f"take one core about {duration_text(seconds)} to draw{rule.hint}; ask for fewer, or have them made once"
        make = f"selfpretrain data make {rule.name} {options} --out {path}, which goes on where it was stopped"
        moved = "" if record is None else f"; that file, which holds {record}, has to move"
        raise SettingError("sequences", rule.sequences, f"{cost}: {make}{moved}")
    return rule.made(*drawn(rule, source))


def make_file(rule: DrawnTask, source: Source, out: Path, write: Callable[..., str]) -> str:
    """Draw all rows into ``out``; finished pieces of an earlier call are not drawn again.

    Raises:
        RequestError: another file is in the way, or somebody else makes this one.
    """
    if out.suffix != ".npz":
        raise SettingError("out", out, "does not fit values; name a file that ends in .npz")
    record = record_of(rule, source.data_seed)
    if out.exists():
        if (there := record_in(out)) == record:
            return f"{out}: {rule.sequences} sequences of {rule.name}, made before"
        holds = "another file" if there is None else f"what took long, too ({there})"
        raise SettingError("out", out, f"is there and holds {holds}; name another file, or remove it")
    own_folder(out.parent)
    keep = pieces_beside(out, rule, source.data_seed)
    lock = filelock.FileLock(keep / ".lock", timeout=0)
    try:
        held = lock.acquire()
    except filelock.Timeout:
        raise RequestError(f"{keep}: another selfpretrain is at work there; wait for it") from None
    with held:
        remove_half_written(keep)
        written = write(rule.made(*drawn(rule, source, keep)), made=np.array(record))
        for path in (*keep.glob("*.npz"), Path(lock.lock_file)):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a person's own file lies in it
        keep.rmdir()
    return written


def drawn(rule: DrawnTask, source: Source, keep: Path | None = None) -> Drawn:
    """All rows.

    Args:
        rule: draws them.
        source: with the data seed, the number of processes, and who watches.
        keep: a folder of finished pieces; those that are there are not drawn again. None keeps none.
    """
    seeds = rule.seeds(numpy_stream(source.data_seed, "data"))
    pieces = [Piece(f"{k:06d}.npz", seeds[k * PIECE : (k + 1) * PIECE]) for k in range(-(-len(seeds) // PIECE))]
    rows = {
        piece.key: kept
        for piece in pieces
        if keep is not None and (kept := _kept(keep / piece.key, len(piece.seeds))) is not None
    }

    def finished(piece: Any, result: Drawn) -> None:
        rows[piece.key] = result
        if keep is not None:
            data = io.BytesIO()
            np.savez(data, x=result[0], y=result[1])
            write_atomically(keep / piece.key, data.getvalue())
        tell()

    def tell() -> None:
        source.watch(Progress(rule.name, sum(len(y) for _, y in rows.values()), len(seeds), {}))

    source.watch(Planned({rule.name: float(len(seeds))}))
    tell()
    with LocalEngine(rule, workers=source.workers, watch=source.watch) as engine:
        engine.do([piece for piece in pieces if piece.key not in rows], finished)
    source.watch(Done(rule.name, f"{len(seeds)} sequences drawn"))
    x, y = zip(*(rows[piece.key] for piece in pieces), strict=True)
    return np.concatenate(x), np.concatenate(y)


def pieces_beside(out: Path, rule: DrawnTask, data_seed: int) -> Path:
    """The folder of pieces of a file; another request has another one."""
    return own_folder(out.with_name(f"{out.name}.pieces-{fingerprint(record_of(rule, data_seed), PIECE)}"))


def _kept(path: Path, rows: int) -> Drawn | None:
    """A finished piece; None where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except DAMAGED_NPZ:
        return None
    return (x, y) if len(x) == len(y) == rows else None


def record_in(path: Path) -> str | None:
    """The record in a file; None if there is none.

    Raises:
        RequestError: it is no NPZ, or damaged.
    """
    with reading(path, CURE), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return str(arrays["made"]) if "made" in arrays.files else None


def _read(path: Path, rule: DrawnTask) -> Drawn:
    """The rows of a file that was made of this request."""
    with reading(path, CURE), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        x = np.concatenate([arrays[f"x_{part}"] for part in PARTS])
        names = np.concatenate([arrays[f"y_{part}"] for part in PARTS])
        matches = names[:, None] == np.array(rule.classes)
        if len(x) != rule.sequences or len(names) != rule.sequences or not matches.any(axis=1).all():
            raise ValueError(f"{len(x)} sequences, {int(matches.any(axis=1).sum())} of them with a class")
        return x, matches.argmax(axis=1)
