"""Folders of runs: the only writer during training, and the only place that knows their files.

    runs/<arm>-seed<k>/
      config.json           the run's settings, and the fingerprint of them and the task together
      metrics.jsonl         one validation a line
      checkpoint/           the two latest states, until the end; snapshots along the training
                            (snapshot-<phase>-<step>.safetensors); the self-pretrained weights (pretrained.safetensors)
      model/                config.json and model.safetensors
      transfer.json         which weights arrived from self-pretraining (arms with two phases, transplants)
      predictions.safetensors   predicted test classes (reported runs)
      result.json           the numbers
      DONE                  written last

Every file appears whole or not at all: it is written beside its place, flushed to the disk, and renamed. The one
exception, metrics.jsonl, is appended to, cut to the latest state when a run goes on, and written anew at the end.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import filelock
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from selfpretrain.config import ModelConfig, RunConfig, fingerprint, to_dict
from selfpretrain.events import Note, Progress, Watch, ignore
from selfpretrain.model import InputSpec
from selfpretrain.train import PhaseName

KEPT_CHECKPOINTS = 2
"""The latest, and one to fall back on when it is damaged."""
PRETRAINED = "pretrained.safetensors"
SNAPSHOT = "snapshot-"
_ORDER: dict[PhaseName, int] = {"pretrain": 1, "label": 2}

PROGRESS_SECONDS = 0.2
"""Least time between two progress events of a run."""


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file that appears whole or not at all, also when the power fails."""
    data = data.encode() if isinstance(data, str) else data
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too
        finally:
            os.close(folder)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """``write_atomically`` of readable JSON; NaN and infinity are refused, being no JSON."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote."""
    return json.loads(path.read_text())


def run_path(root: Path, run: RunConfig) -> Path:
    """The folder of a run in the folder of its comparison."""
    return root / ("runs" if run.purpose == "report" else "tuning") / run.name


class RunFolder:
    """One run on disk. Use as a context manager: it holds the folder's lock.

    A killed run's orphan may live for a moment; the lock makes its successor wait for its last write.

    Args:
        tell: gets what a watcher may want to see.
        stop: whether the run was asked to stop.
    """

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        task_fingerprint: str,
        *,
        tell: Watch = ignore,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path, self.config = path, config
        self._tell, self._stop = tell, stop
        self._fingerprint = fingerprint(config, task_fingerprint)
        self._rows: list[dict[str, Any]] = []
        self._told = 0.0
        self._lock = filelock.FileLock(path / ".lock", timeout=60)

    def __enter__(self) -> "RunFolder":
        (self.path / "checkpoint").mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        for half_written in (*self.path.glob(".*.*"), *self.path.glob("*/.*.*")):  # by a killed predecessor
            half_written.unlink()
        write_json(self.path / "config.json", {**to_dict(self.config), "fingerprint": self._fingerprint})
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def finished(self) -> dict[str, Any] | None:
        """The result of a finished run, or None."""
        done = self.path / "DONE"
        if not done.exists() or done.read_text().strip() != self._fingerprint:
            return None
        try:
            result: dict[str, Any] = read_json(self.path / "result.json")
        except (OSError, ValueError):
            self.note("result.json is missing or damaged; the run is done again")
            return None
        return result

    # What the training loop reports (train.Recorder).

    def record(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        self._rows.append(row)
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def snapshot(self, phase: PhaseName, step: int, weights: dict[str, Tensor]) -> None:
        """Keep weights to look at later."""
        name = f"{SNAPSHOT}{phase}-{step:09d}.safetensors"
        write_atomically(self.path / "checkpoint" / name, _weights_to_bytes(weights))

    def progress(self, phase: PhaseName, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Pass on how far the run is."""
        if step == total or time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._tell(Progress(self.config.name, phase, step, total, dict(metrics)))

    def stop_requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._stop()

    def checkpoint(self, phase: PhaseName, step: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Write a state. Its name ends in the checksum of its content, so that damage shows."""
        state = json.dumps({"phase": phase, "meta": meta, "rows": self._rows, "run": self._fingerprint})
        data = tensors_to_bytes({k: t.contiguous().cpu() for k, t in tensors.items()}, {"state": state})
        checksum = hashlib.sha256(data).hexdigest()[:16]
        folder = self.path / "checkpoint"
        write_atomically(folder / f"{_ORDER[phase]}-{phase}-{step:09d}-{checksum}.safetensors", data)
        for old in self._checkpoints()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def latest(self) -> tuple[PhaseName, dict[str, Tensor], dict[str, Any]] | None:
        """The newest good state as (phase, tensors, meta), after cutting metrics.jsonl to what it knows.

        A damaged or foreign state is removed and told of, and the one before it is taken; None starts from the
        beginning.
        """
        for path in self._checkpoints():
            found = _read_checkpoint(path)
            if found is not None and found[1]["run"] == self._fingerprint:
                tensors, state = found
                self._set_rows(state["rows"])
                return state["phase"], tensors, state["meta"]
            self.note(
                f"checkpoint {path.name} is damaged or of other settings, and is removed; going on from before it"
            )
            path.unlink()
        self._set_rows([])
        return None

    def _checkpoints(self) -> list[Path]:
        return sorted((self.path / "checkpoint").glob("[0-9]-*.safetensors"), reverse=True)

    def _set_rows(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        write_atomically(self.path / "metrics.jsonl", "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))

    # What a run adds around its trainings.

    def note(self, text: str) -> None:
        """Tell the watcher something in words."""
        self._tell(Note(text, self.config.name))

    def save_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the self-pretrained weights."""
        write_atomically(self.path / "checkpoint" / PRETRAINED, _weights_to_bytes(weights))

    def save_transfer(self, report: dict[str, Any]) -> None:
        """Keep the list of what moved into the start of label training."""
        write_json(self.path / "transfer.json", report)

    def save_model(self, model: ModelConfig, inputs: InputSpec, weights: Mapping[str, Tensor]) -> None:
        """Write model/: what ``SequenceModel`` needs to be built again, and its weights."""
        folder = self.path / "model"
        folder.mkdir(exist_ok=True)
        causal = self.config.objective.causal
        write_json(folder / "config.json", {"model": to_dict(model), "inputs": to_dict(inputs), "causal": causal})
        write_atomically(folder / "model.safetensors", _weights_to_bytes(weights))

    def save_predictions(self, predicted: Tensor) -> None:
        """Write the predicted classes of the test split (N,), in its order."""
        write_atomically(self.path / "predictions.safetensors", tensors_to_bytes({"predicted": predicted}))

    def finish(self, result: dict[str, Any]) -> None:
        """Write the numbers, then DONE; drop the states that only served to go on."""
        self._set_rows(self._rows)
        write_json(self.path / "result.json", result)
        write_atomically(self.path / "DONE", self._fingerprint + "\n")
        for path in self._checkpoints():
            path.unlink()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The validations so far."""
        return self._rows

    def ends(self) -> dict[PhaseName, dict[str, Any]]:
        """The last validation of each phase, which is its last step."""
        return {row["phase"]: row for row in self._rows}


def read_rows(run: Path) -> list[dict[str, Any]]:
    """The validations of a run, from its metrics.jsonl; none where there is no such file."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, from one of the safetensors files of a run."""
    weights: dict[str, Tensor] = load_file(path)
    return weights


def _weights_to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    data: bytes = tensors_to_bytes({name: weight.detach().contiguous().cpu() for name, weight in weights.items()})
    return data


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of a checkpoint, or None if its checksum does not hold."""
    checksum = path.stem.rsplit("-", 1)[-1]
    if hashlib.sha256(path.read_bytes()).hexdigest()[:16] != checksum:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state: dict[str, Any] = json.loads(file.metadata()["state"])
    except (SafetensorError, KeyError, ValueError):
        return None
    return tensors, state
