"""Rows that take minutes or hours to draw: in pieces, by several processes, and kept in a file.

The array ``made`` of such a file says what was asked for. While it is made, finished pieces lie in a folder beside it,
and the same command goes on from them.
"""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selfpretrain.arena.base import ArenaTask
from selfpretrain.data.builtin import Source
from selfpretrain.engines.engine import Job
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.files import (
    LOCK,
    fingerprint,
    locked,
    own_folder,
    reading,
    remove_half_written,
    to_dict,
    write_atomically,
)
from selfpretrain.watch import Done, Planned, Progress, Watch, duration_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows

    Drawn = tuple[NDArray[Any], NDArray[np.int64]]

PIECE = 50
"""Rows that are drawn together (ours: seconds of work, which is what a kill can cost)."""
PATIENCE_SECONDS = 600.0
"""Tasks that take one core longer have to be made first, into a file that is kept (ours)."""
DESCRIBED_SECONDS, FEWEST = 20.0, 20
"""``data describe`` draws rows for this long, and at least so many (ours)."""


class DrawnTask(ArenaTask):
    """A task whose rows are drawn one by one, each from a seed of its own: in pieces, by several processes.

    A file that ``selfpretrain data make TASK --out DATA_FOLDER/TASK.npz`` has made is read instead of drawing again.
    """

    reads_folder = True
    classes: ClassVar[tuple[str, ...]]
    version: ClassVar[int] = 1
    """Of the rule: count up when it draws other rows, so that older files are not taken for them."""
    seconds_per_row: ClassVar[float]
    """Time to draw a row on one core, roughly."""
    hint: ClassVar[str] = ""
    """How to draw faster, after a comma."""
    sequences: int
    """Number of rows N."""

    def draw(self, seeds: "NDArray[np.int64]") -> "Drawn":
        """A row for each seed: values (N, T) or (N, T, C), and classes (N,)."""
        raise NotImplementedError

    def split(self) -> list[str]:
        """The split of each row (N,): all training rows, then all of validation, then all of the test."""
        raise NotImplementedError

    def rows(self, source: Source) -> "Rows":
        """The rows: read from the folder of data if they were made there, drawn otherwise.

        Raises:
            RequestError: the file is damaged, or drawing takes too long to wait for.
        """
        path, moved = source.folder / f"{self.name}.npz", ""
        if path.exists():
            with _opened(path) as arrays:
                record = _record_in(arrays)
                if record == self._record(source):
                    return self._made(*self._read(arrays))
            moved = f"; that file, which holds {record}, has to move" if record else ""
        seconds = self.sequences * self.seconds_per_row
        if seconds > PATIENCE_SECONDS:
            from selfpretrain.options import flag

            asked = {**to_dict(self), "data_seed": source.data_seed}
            options = " ".join(f"{flag(name)} {value}" for name, value in asked.items())
            cost = f"take one core about {duration_text(seconds)} to draw{self.hint}"
            make = f"selfpretrain data make {self.name} {options} --out {path}, which goes on where it was stopped"
            cure = f"ask for fewer, or have them made once: {make}{moved}"
            raise SettingError("sequences", self.sequences, f"{cost}; {cure}")
        return self._made(*self._drawn(source))

    def make_file(self, source: Source, out: Path, write: Callable[..., str]) -> str:
        """Draw all rows into ``out``; finished pieces of an earlier call are not drawn again.

        Raises:
            RequestError: another file is in the way, or somebody else makes this one.
        """
        import numpy as np

        if out.suffix != ".npz":
            raise SettingError("out", out, "does not fit values; name a file that ends in .npz")
        record = self._record(source)
        if out.exists():
            with _opened(out) as arrays:
                other = _record_in(arrays)
            if other == record:
                return f"{out}: {self.sequences} sequences of {self.name}, made before"
            holds = "another file" if other is None else f"what took long, too ({other})"
            raise SettingError("out", out, f"is there and holds {holds}; name another file, or remove it")
        own_folder(out.parent)
        keep = self.pieces_beside(out, source)
        with locked(keep):
            remove_half_written(keep)
            written = write(self._made(*self._drawn(source, keep)), made=np.array(record))
            for path in (*keep.glob("*.npz"), keep / LOCK):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a person's own file lies in it
            keep.rmdir()
        return written

    def pieces_beside(self, out: Path, source: Source) -> Path:
        """The folder of pieces of a file; another request has another one."""
        return own_folder(out.with_name(f"{out.name}.pieces-{fingerprint(self._record(source), PIECE)}"))

    @classmethod
    def state(cls, folder: Path) -> tuple[str, str]:
        """Whether its file lies in the folder; nothing has to be supplied."""
        return ("ready" if (folder / f"{cls.name}.npz").exists() else "made"), ""

    @classmethod
    def sample_size(cls, most: int) -> int:
        return max(FEWEST, min(most, int(DESCRIBED_SECONDS / cls.seconds_per_row)))

    def _record(self, source: Source) -> str:
        record = {"task": self.name, "version": self.version, "data_seed": source.data_seed, **to_dict(self)}
        return json.dumps(record, sort_keys=True)

    def _made(self, x: "NDArray[Any]", y: "NDArray[np.int64]") -> "Rows":
        from selfpretrain.data.rows import made

        return made("values", self.classes, x, y, self.split())

    def _drawn(self, source: Source, keep: Path | None = None) -> "Drawn":
        """All rows; ``keep`` is a folder of finished pieces, which are not drawn again."""
        import numpy as np

        from selfpretrain.engines.local import LocalEngine
        from selfpretrain.streams import numpy_stream

        seeds = numpy_stream(source.data_seed, "data").integers(2**63, size=self.sequences)
        pieces = [_Piece(f"{k // PIECE:06d}.npz", seeds[k : k + PIECE]) for k in range(0, len(seeds), PIECE)]
        rows: dict[str, Drawn] = {}

        def finished(piece: Any, result: "Drawn") -> None:
            rows[piece.key] = result
            if keep is not None:
                data = io.BytesIO()
                np.savez(data, x=result[0], y=result[1])
                write_atomically(keep / piece.key, data.getvalue())
            tell()

        def tell() -> None:
            source.watch(Progress(self.name, sum(len(y) for _, y in rows.values()), len(seeds), {}))

        for piece, path in [] if keep is None else [(piece, keep / piece.key) for piece in pieces]:
            with contextlib.suppress(RequestError), _opened(path) as arrays:  # drawn again if it is damaged
                x, y = arrays["x"], arrays["y"]
                if len(x) == len(y) == len(piece.seeds):
                    rows[piece.key] = x, y
        source.watch(Planned({self.name: float(len(seeds))}))
        tell()
        with LocalEngine(self, workers=source.workers, watch=source.watch) as engine:
            engine.do([piece for piece in pieces if piece.key not in rows], finished)
        source.watch(Done(self.name, f"{len(seeds)} sequences drawn"))
        x, y = zip(*(rows[piece.key] for piece in pieces), strict=True)
        return np.concatenate(x), np.concatenate(y)

    def _read(self, arrays: Any) -> "Drawn":
        """The rows of a file that was made of this request."""
        import numpy as np

        from selfpretrain.data.split import PARTS

        x, names = (np.concatenate([arrays[f"{array}_{part}"] for part in PARTS]) for array in "xy")
        matches = names[:, None] == np.array(self.classes)
        if not len(x) == len(names) == matches.sum() == self.sequences:
            raise ValueError(f"{len(x)} sequences, {matches.sum()} of them with a class")
        return x, matches.argmax(axis=1)


class _Piece(Job):
    """Draws the rows of some seeds; ``shared`` is the task."""

    saves = False

    def __init__(self, key: str, seeds: "NDArray[np.int64]") -> None:
        self.key, self.seeds = key, seeds

    def perform(self, shared: DrawnTask, tell: Watch, stop: Callable[[], bool]) -> "Drawn":
        return shared.draw(self.seeds)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The arrays of an NPZ; what is damaged is refused."""
    import numpy as np

    cure = "; remove it, or make it again"
    with reading(path, cure), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


def _record_in(arrays: Any) -> str | None:
    return str(arrays["made"]) if "made" in arrays.files else None
