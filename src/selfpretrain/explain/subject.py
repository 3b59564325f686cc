"""What is diagnosed: a finished comparison or one of its runs, with fixed samples of its sequences."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from selfpretrain.arms.arm import Setting
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.runs import run_name
from selfpretrain.config import CompareConfig, DiagnoseConfig, ModelConfig, TrainConfig
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.events import Watch, ignore
from selfpretrain.explain.sample import Sample
from selfpretrain.explain.sampling import Sampling
from selfpretrain.explain.stages import Stage, TrainedRun
from selfpretrain.model.transformer import SequenceModel, fresh_model
from selfpretrain.results import Summary
from selfpretrain.tasks.load import load_task
from selfpretrain.tasks.task import Task
from selfpretrain.training.store import Store


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
        asked = self.comparison.request
        self.request: CompareConfig = asked.request
        self.summary: Summary = self.comparison.summary
        self.task = _load(self.comparison, task, workers, watch)
        if self.task.inputs.per_row > 1:
            raise RequestError(f"{folder}: its rows are pairs of sequences, at which diagnose cannot look yet")
        self.whole = only is None
        self.skipped: list[str] = []
        self.store = Store(self.comparison.store)
        names = [name for name in asked.runs if only in (None, run_name(*name))]
        self.runs = [run for name in names if (run := self._open(*name)) is not None]
        if not self.runs:
            raise RequestError(f"{folder}: no run here has weights to look at ({'; '.join(self.skipped)})")
        self.sampling = Sampling.of(self.task, self.request.model, config)
        self.grid = config.grid or self.task.grid
        if self.grid is not None and self.grid[0] * self.grid[1] != self.length:
            if config.grid is not None:
                said = f"has not the {self.length} positions of the sample"
                raise SettingError("grid", ",".join(map(str, self.grid)), said)
            self.grid = None

    @property
    def setting(self) -> Setting:
        """What its arms were trained under."""
        return Setting(self.request, self.task)

    @property
    def length(self) -> int:
        """Positions of every sequence that is looked at."""
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
        return self.sampling.draw(self.task.val, self.sampling.n_large, self.request.objective)

    def _draw(self, count: int) -> Sample:
        return self.sampling.draw(self.task.train, count, self.request.objective)

    def _open(self, arm: str, seed: int) -> TrainedRun | None:
        """A run with weights; None, noted in ``skipped``, where it failed or is no network."""
        run = self.comparison.run(arm, seed)
        run.files.check()
        training = run.record.training
        if run.result.failure is not None or training is None:
            self.skipped.append(f"{run.record.name}: {run.result.failure or 'no network'}")
            return None
        for each in training.chain:
            self.store.finished(each).files.check()
        found = TrainedRun(run, training, self.store)
        if len(found.along) < 2:
            raise RequestError(
                f"{run.path}: was trained without snapshots to look at; run compare again with --snapshots "
                f"{TrainConfig.snapshots} and a new --out"
            )
        return found


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
    known = whole.request.run_names
    if run is not None and run not in known:
        raise RequestError(f"{folder}: is no run of the latest request there; its runs are {', '.join(known)}")
    return whole, run


def _load(comparison: ComparisonFolder, task: Task | None, workers: int, watch: Watch) -> Task:
    """The comparison's task, checked to be the one it was made with."""
    where, request = comparison.path, comparison.request
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
