"""The store of trainings: one folder for each, found by its key.

    <store>/<key>/
      config.json           what the training is
      metrics.jsonl         one validation a line; while it trains, as of the latest checkpoint
      checkpoint/           the two latest states, until the end; the last one, until a longer training goes on from it
      snapshots/            weights along the training, by step
      start.json            which weights came from another training, if any did
      weights.safetensors   the selected checkpoint
      result.json           the numbers
      manifest.json, DONE   the checksums of all of these, sealed (see ``files``)

Every file appears whole or not at all.
"""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from selfpretrain.data.task import Task
from selfpretrain.errors import DamagedError
from selfpretrain.files import (
    Sealed,
    checksum,
    is_sealed,
    locked,
    own_folder,
    remove_half_written,
    seal,
    to_dict,
    unseal,
    write_atomically,
    write_json,
)
from selfpretrain.model.groups import TransferReport
from selfpretrain.train.training import Row, Training, TrainingResult
from selfpretrain.watch import Note, Progress, Watch, ignore

CONFIG, METRICS, START, RESULT = "config.json", "metrics.jsonl", "start.json", "result.json"
WEIGHTS, CHECKPOINTS, SNAPSHOTS = "weights.safetensors", "checkpoint", "snapshots"
END = "end"
"""Begins the file name of the last state of a training, where a longer one goes on from it."""
KEPT_CHECKPOINTS = 2
"""The latest, and one to fall back on when it is damaged."""
SEEN_TRIES, SEEN_SECONDS = 60, 1.0
"""How often, and after how long, a shared folder is read again for what another machine has written."""
LOCK_SECONDS = 60.0
"""So long is waited for a worker of a killed process, which may still finish one write."""
PROGRESS_SECONDS = 0.2
"""Minimum time between two progress events of a training."""


@dataclass(frozen=True)
class Finished:
    """A finished training, read and checked piece by piece.

    Raises:
        DamagedError: a piece is not what was sealed.
    """

    files: Sealed

    @property
    def result(self) -> TrainingResult:
        return self.files.record(RESULT, TrainingResult)

    @property
    def rows(self) -> list[Row]:
        return self.files.lines(METRICS)

    @property
    def weights(self) -> dict[str, Tensor]:
        return self._tensors(WEIGHTS)

    @property
    def start(self) -> dict[str, Any] | None:
        return self.files.json(START) if START in self.files.names else None

    @property
    def snapshots(self) -> list[int]:
        """Steps after which weights were kept."""
        prefix = f"{SNAPSHOTS}/"
        return [int(Path(name).stem) for name in self.files.names if name.startswith(prefix)]

    def snapshot(self, step: int) -> dict[str, Tensor]:
        return self._tensors(_snapshot(step))

    def _tensors(self, name: str) -> dict[str, Tensor]:
        tensors = self.files.tensors(name, tensors_from_bytes)
        return dict(sorted(tensors.items()))  # safetensors gives another order each time, and noise is drawn in order


@dataclass(frozen=True)
class Store:
    """A folder of trainings, and the tasks that they are of, by fingerprint."""

    folder: Path
    tasks: Mapping[str, Task] = field(default_factory=dict)

    def path(self, training: Training) -> Path:
        return self.folder / training.key

    def finished(self, training: Training) -> Finished:
        """The training, to read from.

        Raises:
            DamagedError: it is not finished, or its seal is broken.
        """
        return Finished(Sealed(self.path(training)))

    def shows(self, key: str) -> bool:
        """Whether a training that somebody has finished is visible here: on a shared folder that may take a while."""
        for _ in range(SEEN_TRIES):
            if is_sealed(self.folder / key):
                return True
            list(self.folder.iterdir())  # makes a network file system read the folder anew
            time.sleep(SEEN_SECONDS)
        return False

    def handed_over(self, training: Training) -> list[Path]:
        """The last state of a training, where it is kept for a longer one."""
        return sorted((self.path(training) / CHECKPOINTS).glob(f"{END}-*.safetensors"))

    def drop_handed_over(self, training: Training) -> None:
        """Remove that state, which nobody needs any more."""
        for path in self.handed_over(training):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody may have put something there
            (self.path(training) / CHECKPOINTS).rmdir()

    def has(self, training: Training, note: Callable[[str], None] = lambda text: None) -> bool:
        """Whether the training is finished and whole. A damaged one is reported, and counts as not begun."""
        if not is_sealed(self.path(training)):
            return False
        try:
            self.finished(training).files.check()
        except DamagedError as damage:
            note(f"{damage.path}: missing or damaged; its training is done again")
            unseal(self.path(training), (CONFIG, METRICS, START, RESULT, WEIGHTS))
            return False
        return True


@dataclass
class TrainingFolder:
    """A training in progress, to which the loop reports. A context manager: it holds the folder's lock.

    After a crash a worker may still finish one write; the lock makes the restarted training wait for it.

    Attributes:
        name: what to call it in progress events.
        checkpoint_seconds: minimum time between two states.
        stop_requested: whether to save the state and stop.
        shorter: a training that is the beginning of this one; where its last state is kept, this one goes on from it.
        longer: a training of which this one is the beginning, and which will go on from its last state.
        rows: its validations so far.
    """

    store: Store
    training: Training
    name: str = "training"
    checkpoint_seconds: float = 0.0
    tell: Watch = ignore
    stop_requested: Callable[[], bool] = lambda: False
    shorter: Training | None = None
    longer: Training | None = None
    rows: list[Row] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.path = self.store.path(self.training)
        self._lock = locked(self.path, seconds=LOCK_SECONDS)
        self._told, self._saved = 0.0, time.monotonic()
        self._written = -1  # rows in the file

    def __enter__(self) -> "TrainingFolder":
        for folder in (self.store.folder, self.path):
            own_folder(folder)
        self._lock.__enter__()
        if not self.is_finished:
            for folder in (self.path, self.path / CHECKPOINTS, self.path / SNAPSHOTS):
                remove_half_written(own_folder(folder))  # by a killed predecessor
            write_json(self.path / CONFIG, to_dict(self.training))
            if self.longer is not None:  # for its first snapshots
                own_folder(own_folder(self.store.path(self.longer)) / SNAPSHOTS)
                write_json(self.store.path(self.longer) / CONFIG, to_dict(self.longer))
        elif self.shorter is not None:
            self.store.drop_handed_over(self.shorter)
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.__exit__(None, None, None)

    @property
    def is_finished(self) -> bool:
        return is_sealed(self.path)

    def snapshot(self, step: int, weights: dict[str, Tensor], training: Training | None = None) -> None:
        """Keep the weights as they are now, for a later look along this training, or the longer one."""
        write_atomically(self.store.path(training or self.training) / _snapshot(step), weights_to_bytes(weights))

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Tell how far it is, now and then."""
        if step == total or time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            self.tell(Progress(self.name, step, total, dict(metrics)))

    def checkpoint_due(self) -> bool:
        """Whether it is time to keep a state."""
        return time.monotonic() - self._saved >= self.checkpoint_seconds

    def checkpoint(self, step: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Keep a state from which training can go on."""
        self._keep(f"{step:09d}", tensors, meta)
        self._saved = time.monotonic()
        for old in self._checkpoints()[KEPT_CHECKPOINTS:]:
            old.unlink()
        if len(self.rows) != self._written:  # a new validation
            self._write_rows()

    def hand_over(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Keep the last state, for the longer training."""
        self._keep(END, tensors, meta)

    def _keep(self, name: str, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Write a state. Its file's name ends in its checksum, so that damage shows."""
        longer = None if self.longer is None else self.longer.key
        state = json.dumps({"meta": meta, "rows": self.rows, "training": self.training.key, "longer": longer})
        data = tensors_to_bytes({k: t.contiguous().cpu() for k, t in tensors.items()}, {"state": state})
        write_atomically(self.path / CHECKPOINTS / f"{name}-{checksum(data)[:16]}.safetensors", data)

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest good state as (tensors, meta), or None; a damaged one is told of and removed.

        Where there is none of its own, it is the last one of the shorter training.
        """
        handed = [] if self.shorter is None else self.store.handed_over(self.shorter)
        keys = {self.training.key} if self.shorter is None else {self.training.key, self.shorter.key}
        for path in (*self._checkpoints(), *handed):
            state = _read_checkpoint(path)
            if state is not None and state[1]["training"] in keys:
                self.rows = state[1]["rows"]
                if self.longer is not None and state[1].get("longer") != self.longer.key:
                    self.longer = None  # which would lack the snapshots of the steps that are done
                return state[0], state[1]["meta"]
            self.tell(Note(f"checkpoint {path.name} is damaged and is removed; going on from before it", self.name))
            path.unlink()
        self.rows = []
        return None

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / CHECKPOINTS).glob("[0-9]*-*.safetensors"), reverse=True)

    def _write_rows(self) -> None:
        write_atomically(self.path / METRICS, rows_to_text(self.rows))
        self._written = len(self.rows)

    def finish(
        self,
        result: TrainingResult,
        transferred: TransferReport | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the numbers, the selected checkpoint (None of a training that failed) and the seal.

        States that only served to go on are removed.
        """
        self._write_rows()
        if weights is not None:
            write_atomically(self.path / WEIGHTS, weights_to_bytes(weights))
        if transferred is not None:
            write_json(self.path / START, to_dict(transferred))
        write_json(self.path / RESULT, to_dict(result))
        snapshots = (f"{SNAPSHOTS}/{path.name}" for path in (self.path / SNAPSHOTS).glob("[0-9]*.safetensors"))
        seal(self.path, (CONFIG, METRICS, START, WEIGHTS, RESULT, *snapshots))
        for path in self._checkpoints():
            path.unlink()
        with contextlib.suppress(OSError):  # the state for a longer training is there, or something of somebody
            (self.path / CHECKPOINTS).rmdir()
        if self.shorter is not None:
            self.store.drop_handed_over(self.shorter)


def rows_to_text(rows: list[Row]) -> str:
    """The content of a metrics.jsonl."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def weights_to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Tensors by name as the content of a safetensors file."""
    plain = {name: weight.detach().contiguous().cpu() for name, weight in weights.items()}
    data: bytes = tensors_to_bytes(plain)
    return data


def _snapshot(step: int) -> str:
    return f"{SNAPSHOTS}/{step:09d}.safetensors"


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of a checkpoint; None if its checksum does not hold."""
    if checksum(path.read_bytes())[:16] != path.stem.rsplit("-", 1)[-1]:
        return None
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state: dict[str, Any] = json.loads(file.metadata()["state"])
    return tensors, state
