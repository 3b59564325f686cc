"""What is diagnosed: a finished comparison or one of its runs, read from its folder, with a fixed probe."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from selfpretrain.arms import RECIPES, build_model
from selfpretrain.config import (
    IMAGE_GRIDS,
    LEAST_PROBE,
    PROBE,
    SEQUENCES,
    Arm,
    CompareConfig,
    DiagnoseConfig,
    RunConfig,
    TrainConfig,
    from_dict,
)
from selfpretrain.diagnosis.probe import Probe
from selfpretrain.errors import RequestError
from selfpretrain.model import SequenceModel
from selfpretrain.objectives import choose_positions, make_batch
from selfpretrain.runs import PRETRAINED, SNAPSHOT, read_json, read_rows, read_weights
from selfpretrain.streams import numpy_stream, torch_stream
from selfpretrain.tasks import Split, Task, load_task

CPU = torch.device("cpu")
StageName = Literal["init", "pretrained", "trained", "pretrain", "label"]
PROBE_ENTRIES, SAMPLE_ENTRIES = 2**27, 2**29
"""Scores, over layers and heads, that these may have together: longer sequences are taken in smaller numbers (ours)."""


@dataclass(frozen=True)
class Stage:
    """Weights of a run at one moment."""

    name: StageName
    step: int
    """Steps of the phase that is under way or over; 0 at init."""
    path: Path | None
    """None: the start, made from the seed."""


@dataclass(frozen=True)
class Run:
    """A finished run of the comparison."""

    path: Path
    config: RunConfig
    rows: list[dict[str, Any]]
    selected_step: int

    @property
    def where(self) -> dict[str, Any]:
        """Arm and seed, for measurements."""
        return {"arm": self.config.arm, "seed": self.config.seed}

    @property
    def pretrains(self) -> bool:
        """Whether the run has self-pretrained weights."""
        return RECIPES[self.config.arm].pretrains

    @cached_property
    def stages(self) -> list[Stage]:
        """At the start, after self-pretraining (where there was any), after label training."""
        found = [Stage("init", 0, None)]
        if self.pretrains:
            losses = {row["step"]: row["val_loss"] for row in self.rows if row["phase"] == "pretrain"}
            found.append(
                Stage("pretrained", min(losses, key=lambda k: losses[k]), self.path / "checkpoint" / PRETRAINED)
            )
        found.append(Stage("trained", self.selected_step, self.path / "model" / "model.safetensors"))
        return found

    @cached_property
    def along(self) -> list[Stage]:
        """Snapshots along the phases, in order, after the start."""
        found = [Stage("init", 0, None)]
        for phase in ("pretrain", "label"):
            for path in sorted((self.path / "checkpoint").glob(f"{SNAPSHOT}{phase}-*.safetensors")):
                found.append(Stage(phase, int(path.stem.rsplit("-", 1)[1]), path))
        return found


class Subject:
    """A comparison, or one run of it, and the sequences it is looked at with.

    Args:
        folder: of the comparison or the run.
        task: None loads what the comparison names.

    Raises:
        RequestError: nothing finished there, something missing, or a probe that the data cannot fill.
    """

    def __init__(self, folder: Path, config: DiagnoseConfig, task: Task | None = None) -> None:
        self.target, self.config = folder, config
        self.root, only = _find(folder)
        request = _read(self.root / "config.json")
        self.request: CompareConfig = from_dict(
            CompareConfig, {**request["request"], "task": request["request"]["task"] or {}}
        )
        self.task = _load(self.root, request, self.request, task)
        names = (
            [only] if only else [f"{arm}-seed{seed}" for arm in self.request.arms for seed in range(self.request.seeds)]
        )
        self.whole = only is None
        self.skipped: list[str] = []
        self.runs = [run for name in names if (run := self._open(self.root / "runs" / name)) is not None]
        if not self.runs:
            raise RequestError(f"{folder}: no run here has weights to look at ({'; '.join(self.skipped)})")
        self.length = self._common_length()
        self.n_probe = config.probe or self._affordable(PROBE, PROBE_ENTRIES)
        there = int((self.task.train.lengths >= self.length).sum())
        wanted = config.sequences or self._affordable(SEQUENCES, SAMPLE_ENTRIES)
        self.n_sample = min(there, max(self.n_probe, wanted))
        self.grid = config.grid or IMAGE_GRIDS.get(self.task.config.data if self.task.config else "")
        if self.grid is not None and self.grid[0] * self.grid[1] != self.length:
            if config.grid is not None:
                raise RequestError(
                    f"--grid {self.grid[0]},{self.grid[1]} has not the {self.length} positions of the probe"
                )
            self.grid = None

    def run(self, arm: Arm, seed: int) -> Run | None:
        """The run of an arm and a seed, if it can be looked at."""
        return next((run for run in self.runs if (run.config.arm, run.config.seed) == (arm, seed)), None)

    @property
    def by_seed(self) -> dict[int, list[Run]]:
        """The runs of every seed, in order."""
        seeds = sorted({run.config.seed for run in self.runs})
        return {seed: [run for run in self.runs if run.config.seed == seed] for seed in seeds}

    @property
    def pictured(self) -> list[Run]:
        """Runs whose landscape is looked at: of the first seed that has them, one arm with and one without SPT."""
        seeds = list(self.by_seed.values())
        chosen = [[run for run in runs if run.config.arm in ("scratch", "spt")] for runs in seeds]
        return max(chosen, key=len) or seeds[0][:2]

    def stages(self, run: Run, among: Sequence[Run] | None = None) -> list[Stage]:
        """The run's stages, without a start that an earlier run (``among`` these, or all) is looked at for."""
        runs = self.runs if among is None else among
        starts = [self._start(other) for other in runs[: runs.index(run)]]
        return run.stages[1:] if self._start(run) in starts else run.stages

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The comparison's summary."""
        return _read(self.root / "summary.json", "arms")

    @staticmethod
    def _start(run: Run) -> tuple[int, str]:
        """What the first weights depend on, within one comparison."""
        return run.config.seed, RECIPES[run.config.arm].qk_init or run.config.model.qk_init

    def model(self, run: Run, stage: Stage) -> SequenceModel:
        """The model at a stage, in float32 on the CPU.

        Label training does not train the reconstruction head; after it, the head from self-pretraining is put back
        where there is one, so that both losses can be read.
        """
        model = build_model(run.config, self.task)
        if stage.path is None:
            return model
        weights = _weights(stage.path)
        if stage.name in ("label", "trained") and run.pretrains:
            before = _weights(run.path / "checkpoint" / PRETRAINED)
            weights |= {name: weight for name, weight in before.items() if name.startswith("reconstruction_head")}
        try:
            model.load_state_dict(weights)
        except RuntimeError:
            raise RequestError(
                f"{stage.path}: not the weights of this run; run compare again in a new folder"
            ) from None
        return model

    @cached_property
    def probe(self) -> Probe:
        """The probe batch: training sequences, always the same, with fixed masks."""
        return self._probe(self.task.train, self.n_probe)

    @cached_property
    def sample(self) -> Probe:
        """More training sequences, of which the probe is the beginning."""
        return self._probe(self.task.train, self.n_sample)

    def held_out(self) -> Probe:
        """Validation sequences, as many as fit."""
        return self._probe(self.task.val, self.n_sample)

    def _common_length(self) -> int:
        """The longest length that enough training sequences reach; longer ones are cut to it."""
        lengths = np.sort(self.task.train.lengths)[::-1]
        if len(lengths) < max(LEAST_PROBE, self.config.probe or 0):
            wanted = (
                f"--probe {self.config.probe} does not fit" if self.config.probe else f"a probe takes {LEAST_PROBE}"
            )
            cure = (
                f"give --probe {len(lengths)} or fewer" if len(lengths) >= LEAST_PROBE else "diagnose needs more data"
            )
            raise RequestError(f"{wanted}: the task has {len(lengths)} training sequences; {cure}")
        # Of ragged sequences as many positions in all as possible: not every sequence, and not only the longest.
        counts = np.arange(min(PROBE, len(lengths)), LEAST_PROBE - 1, -1)
        count = self.config.probe or int(counts[(counts * lengths[counts - 1]).argmax()])
        held_out = np.sort(self.task.val.lengths)[::-1]
        # Validation sequences have to reach it as well: a few of them, for probes and similarity.
        few = min(LEAST_PROBE, len(held_out))
        length = int(min(lengths[count - 1], held_out[few - 1]))
        if length < 3:
            raise RequestError(f"the task's sequences are too short to look at: they share only {length} positions")
        if length <= self.config.max_lag + 1:
            raise RequestError(
                f"--max-lag {self.config.max_lag} does not fit: {count} training and {few} validation sequences "
                f"share only {length} positions; give --max-lag {length - 2} or fewer, or a smaller --probe"
            )
        return length

    def _affordable(self, most: int, entries: int) -> int:
        """As many sequences as have so many scores together, and no more than there are."""
        model = self.request.model
        there = int((self.task.train.lengths >= self.length).sum())
        return min(most, there, max(LEAST_PROBE, entries // (model.heads * model.depth * self.length**2)))

    def _probe(self, rows: Split, count: int) -> Probe:
        long_enough = np.flatnonzero(rows.lengths >= self.length)
        index = long_enough[numpy_stream(0, "probe", 1).permutation(len(long_enough))[:count]]
        cut = Split(rows.x[index, : self.length], np.full(len(index), self.length), rows.y[index])
        batch = make_batch(cut, CPU)
        return Probe(
            batch, choose_positions(batch, self.request.objective, torch_stream(0, "probe", 1)), self.request.objective
        )

    def _open(self, path: Path) -> Run | None:
        """A run with weights; None, noted in ``skipped``, where it failed or is no network."""
        if not (path / "DONE").exists():
            raise RequestError(f"{path}: the run is not finished; run the compare command of {self.root} again")
        config: RunConfig = from_dict(
            RunConfig, {k: v for k, v in _read(path / "config.json").items() if k != "fingerprint"}
        )
        result = _read(path / "result.json", "selected_step", "failure", "test_acc")
        if "failure" in result or RECIPES[config.arm].linear:
            self.skipped.append(f"{path.name}: {result.get('failure', 'no network')}")
            return None
        try:
            run = Run(path, config, read_rows(path), int(result["selected_step"]))
            stages = run.stages
        except (ValueError, KeyError, TypeError):
            raise RequestError(
                f"{path}: metrics.jsonl or result.json is damaged; run compare again in a new folder"
            ) from None
        if any(stage.path is not None and not stage.path.exists() for stage in stages) or len(run.along) < 2:
            raise RequestError(
                f"{path}: has no stored checkpoints to look at; run compare again with --snapshots "
                f"{TrainConfig.snapshots} and a new --out"
            )
        return run


def _find(folder: Path) -> tuple[Path, str | None]:
    """The comparison's folder, and the run's name if it is one run that is meant."""
    if folder.is_file():
        raise RequestError(f"{folder}: is a file; name the folder of a comparison or of one of its runs")
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder; name the folder of a comparison or of one of its runs")
    known = _read(folder / "config.json") if (folder / "config.json").exists() else {}
    root = folder.resolve().parent.parent
    if "arm" in known:
        if known.get("purpose") != "report" or known.get("transplant") or not (root / "config.json").exists():
            raise RequestError(f"{folder}: only a comparison and the runs in its folder runs/ can be diagnosed")
        _check_finished(root)
        return root, folder.resolve().name
    if "request" not in known:
        raise RequestError(f"{folder}: holds neither a comparison nor one of its runs; name what compare --out made")
    _check_finished(folder)
    return folder, None


def _check_finished(root: Path) -> None:
    if not (root / "summary.json").exists():
        raise RequestError(f"{root}: the comparison is not finished; run its compare command again")


def _load(root: Path, request: dict[str, Any], config: CompareConfig, task: Task | None) -> Task:
    """The comparison's task, checked to be the one it was made with."""
    if task is None and request["request"]["task"] is None:
        raise RequestError(f"{root}: its data came from Python; call selfpretrain.diagnose({str(root)!r}, task=...)")
    if task is None:
        try:
            task = load_task(config.task)
        except RequestError as error:
            raise RequestError(
                f"{root}: its data cannot be read again: {error} (from the folder in which compare ran?)"
            ) from None
    if task.fingerprint != request["task"]:
        raise RequestError(f"{root}: the data have changed since the comparison was made; give back the old ones")
    return task


def _read(path: Path, *one_of: str) -> dict[str, Any]:
    """A JSON object, which has at least one of these keys if any are named."""
    try:
        content: dict[str, Any] = read_json(path)
    except PermissionError:
        raise RequestError(f"{path}: may not be read; change its permissions") from None
    except (OSError, ValueError):
        content = {}
    if not isinstance(content, dict) or not content or (one_of and not set(one_of) & content.keys()):
        raise RequestError(f"{path}: missing or damaged; run compare again in a new folder")
    return content


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return read_weights(path)
    except (OSError, SafetensorError):
        raise RequestError(f"{path}: missing or damaged; run compare again in a new folder") from None
