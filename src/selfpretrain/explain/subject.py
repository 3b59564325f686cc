"""What is diagnosed: a finished comparison or one of its runs, at certain moments of its trainings.

| stage          | weights                                                |
|----------------|--------------------------------------------------------|
| start          | fresh, made from the seed                              |
| after-pretrain | the selected checkpoint of self-pretraining            |
| after-label    | the selected checkpoint of label training              |
| along-pretrain | a snapshot of self-pretraining                         |
| along-label    | a snapshot of label training                           |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.run import Run, read_run
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import DiagnoseConfig, ModelConfig, PhaseName
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.explain.sample import Sample, Sampling
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.train.store import Store
from selfpretrain.train.training import Training
from selfpretrain.watch import Watch, ignore

StageName = Literal["start", "after-pretrain", "after-label", "along-pretrain", "along-label"]
ALONG: dict[PhaseName, StageName] = {"pretrain": "along-pretrain", "label": "along-label"}
RECONSTRUCTION_HEAD = "reconstruction_head"


@dataclass(frozen=True)
class Stage:
    """Weights of a run at one moment.

    Attributes:
        step: steps of the phase that is under way or over; 0 at the start.
        training: whose weights; None at the start.
        snapshot: whether they are the snapshot of that step.
    """

    name: StageName
    step: int
    training: Training | None = None
    snapshot: bool = False


@dataclass(frozen=True)
class TrainedRun:
    """A finished run whose trainings are there to be looked at."""

    run: Run
    labels: Training
    store: Store

    @property
    def name(self) -> str:
        return self.run.record.name

    @property
    def arm(self) -> str:
        return self.run.record.arm

    @property
    def seed(self) -> int:
        return self.run.record.seed

    @property
    def where(self) -> dict[str, Any]:
        """Arm and seed, for measurements."""
        return {"arm": self.arm, "seed": self.seed}

    @property
    def pretraining(self) -> Training | None:
        """Its self-pretraining; None if it had none."""
        return next((part for part in self.labels.chain if part.phase == "pretrain"), None)

    @cached_property
    def stages(self) -> list[Stage]:
        """At the start, after self-pretraining (where there was any), after label training."""
        ends: list[tuple[StageName, Training | None]] = [
            ("after-pretrain", self.pretraining),
            ("after-label", self.labels),
        ]
        stages = [
            Stage(name, self.store.finished(training).result.selected_step, training)
            for name, training in ends
            if training is not None
        ]
        return [Stage("start", 0), *stages]

    @cached_property
    def along(self) -> list[Stage]:
        """Snapshots along the phases, in order, after the start."""
        stages = [Stage("start", 0)]
        for training in self.labels.chain:
            steps = self.store.finished(training).snapshots
            stages += [Stage(ALONG[training.phase], step, training, snapshot=True) for step in steps]
        return stages

    def weights(self, stage: Stage) -> dict[str, Tensor]:
        """The weights at a stage after the start.

        Label training does not train the reconstruction head. After it, the head from self-pretraining is put back
        where there is one, so that both losses can be read.

        Raises:
            DamagedError: they are not what was written.
        """
        assert stage.training is not None, "the start is made from the seed"
        finished = self.store.finished(stage.training)
        weights = finished.snapshot(stage.step) if stage.snapshot else finished.weights
        if stage.training.phase == "label" and self.pretraining is not None:
            before = self.store.finished(self.pretraining).weights
            weights |= {name: weight for name, weight in before.items() if name.startswith(RECONSTRUCTION_HEAD)}
        return weights


class Subject:
    """A comparison, or one run of it, and the sequences it is looked at with.

    Args:
        folder: of the comparison or the run.
        task: None loads what the comparison names.
        workers, watch: for a task that has to be drawn again, as for ``load_task``.

    Raises:
        RequestError: nothing finished there, something missing or damaged, or a sample that the data cannot fill.
    """

    def __init__(
        self,
        folder: Path,
        config: DiagnoseConfig,
        task: Task | None = None,
        *,
        workers: int = 1,
        watch: Watch = ignore,
    ) -> None:
        self.target, self.config = folder, config
        self.comparison, only = _find(folder)
        self.summary: Summary = self.comparison.summary
        self.task = _load(self.comparison, task, workers, watch)
        self.request = Request(self.comparison.record.request, self.task)
        if self.task.inputs.per_row > 1:
            raise RequestError(f"{folder}: its rows are pairs of sequences, at which diagnose cannot look yet")
        self.whole = only is None
        self.skipped: list[str] = []
        self.store = Store(self.comparison.store, self.request.tasks)
        names = [name for name in self.comparison.record.run_names if only in (None, name)]
        self.runs = [run for name in names if (run := self._open(name)) is not None]
        if not self.runs:
            raise RequestError(f"{folder}: no run here has weights to look at ({'; '.join(self.skipped)})")
        self.sampling = Sampling.of(self.task, self.request.config.model, config)
        self.grid = config.grid or self.task.grid
        if self.grid is not None and self.grid[0] * self.grid[1] != self.length:
            if config.grid is not None:
                tokens = "positions" if self.sampling.patch == 1 else "patches"
                problem = f"has not the {self.length} {tokens} of the sample"
                raise SettingError("grid", ",".join(map(str, self.grid)), problem)
            self.grid = None

    @property
    def length(self) -> int:
        """Tokens of every sequence that is looked at: positions, or patches of them."""
        return self.sampling.length

    def run(self, arm: str, seed: int) -> TrainedRun | None:
        """The run of an arm and a seed, if it can be looked at."""
        return next((run for run in self.runs if (run.arm, run.seed) == (arm, seed)), None)

    @property
    def by_seed(self) -> dict[int, list[TrainedRun]]:
        """The runs of every seed, in order."""
        seeds = sorted({run.seed for run in self.runs})
        return {seed: [run for run in self.runs if run.seed == seed] for seed in seeds}

    @property
    def pictured(self) -> list[TrainedRun]:
        """Runs whose landscape is looked at: scratch and spt of the first seed that has both, else what there is."""
        seeds = list(self.by_seed.values())
        chosen = [[run for run in runs if run.arm in ("scratch", "spt")] for runs in seeds]
        most = max(len(runs) for runs in chosen)
        return next(runs for runs in chosen if len(runs) == most) or seeds[0][:2]

    def stages(self, run: TrainedRun, among: Sequence[TrainedRun] | None = None) -> list[Stage]:
        """Stages of the run to measure. Its start is left out if an earlier run has the same and is measured for it.

        Args:
            among: the runs that are measured; None: all.
        """
        runs = self.runs if among is None else among
        earlier = [self._start(other) for other in runs[: runs.index(run)]]
        return run.stages[1:] if self._start(run) in earlier else run.stages

    @staticmethod
    def _start(run: TrainedRun) -> tuple[int, ModelConfig]:
        """What the first weights depend on, within one comparison."""
        return run.seed, run.labels.model

    def model(self, run: TrainedRun, stage: Stage) -> SequenceModel:
        """The model at a stage, in float32 on the CPU."""
        model = fresh_model(run.labels.model, self.task.inputs, run.seed)
        if stage.training is not None:
            model.load_state_dict(run.weights(stage))
        return model

    @cached_property
    def sample(self) -> Sample:
        """Training sequences, always the same, with fixed masks."""
        return self._draw(self.sampling.n_sample)

    @cached_property
    def large_sample(self) -> Sample:
        """More training sequences, of which the sample is the beginning."""
        return self._draw(self.sampling.n_large)

    def held_out(self) -> Sample:
        """Validation sequences, as many as fit."""
        return self.sampling.draw(self.task, self.task.val, self.sampling.n_large, self.request.config.objective)

    def _draw(self, count: int) -> Sample:
        return self.sampling.draw(self.task, self.task.train, count, self.request.config.objective)

    def _open(self, name: str) -> TrainedRun | None:
        """A run with weights; None, noted in ``skipped``, where it failed or is no network."""
        path = self.comparison.runs / name
        run = read_run(path)
        training = run.record.training
        if run.result.failure is not None or training is None:
            self.skipped.append(f"{name}: {run.result.failure or 'no network'}")
            return None
        for part in training.chain:
            self.store.finished(part).files.check()
        trained = TrainedRun(run, training, self.store)
        if len(trained.along) < 2:
            raise RequestError(
                f"{path}: was trained without snapshots to look at; run compare again with snapshots "
                f"(TrainConfig.snapshots) and a new --out"
            )
        return trained


def _find(folder: Path) -> tuple[ComparisonFolder, str | None]:
    """The comparison, and the run's name if it is one run that is meant."""
    if not folder.is_dir():
        is_what = "is a file" if folder.is_file() else "there is no such folder"
        raise RequestError(f"{folder}: {is_what}; name the folder of a comparison or of one of its runs")
    whole, run = ComparisonFolder(folder), None
    if not whole.is_comparison and ComparisonFolder(folder.resolve().parent.parent).runs == folder.resolve().parent:
        whole, run = ComparisonFolder(folder.resolve().parent.parent), folder.resolve().name
    if not whole.is_comparison:
        raise RequestError(f"{folder}: holds neither a comparison nor one of its runs; name what compare --out made")
    if not whole.is_finished:
        raise RequestError(f"{whole.path}: the comparison is not finished; run its compare command again")
    known = whole.record.run_names
    if run is not None and run not in known:
        raise RequestError(f"{folder}: is no run of the latest request there; its runs are {', '.join(known)}")
    return whole, run


def _load(comparison: ComparisonFolder, task: Task | None, workers: int, watch: Watch) -> Task:
    """The comparison's task, checked to be the one it was made with."""
    where, request = comparison.path, comparison.record
    if task is None and request.source is None:
        raise RequestError(f"{where}: its data came from Python; call selfpretrain.diagnose({str(where)!r}, task=...)")
    if task is None:
        try:
            task = load_task(request.source or "", workers=workers, watch=watch)
        except RequestError as error:
            raise RequestError(
                f"{where}: its data cannot be read again: {error} (from the folder in which compare ran?)"
            ) from None
    if task.fingerprint != request.task:
        raise RequestError(f"{where}: the data have changed since the comparison was made; give back the old ones")
    return task
