"""What tests of diagnosis and studies look at without training it: models of any shape, telling tasks, answers.

And how they read the table of a diagnosis.
"""

import dataclasses
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from pandas import DataFrame

from selfpretrain.config import DiagnoseConfig, ModelConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.task import Split, Task
from selfpretrain.explain.sample import Sampling
from selfpretrain.explain.subject import Stage, Subject, TrainedRun
from selfpretrain.explain.table import pick, tidy
from selfpretrain.files import MANIFEST, seal
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import SECTIONS
from selfpretrain.streams import torch_stream

MOVED = 0.2
"""How far every weight has moved, after any training."""


def stand_in(folder: Path, config: DiagnoseConfig, model: ModelConfig, task: Task | None = None) -> Subject:
    """Seed 0 of scratch and spt in the comparison ``folder``, whose weights have moved at random since their start.

    That the real models are those of their stages is tested in test_explain_subject.py.

    Args:
        task: instead of the comparison's.
    """
    subject = Subject(folder, DiagnoseConfig(max_lag=1))
    subject.config, subject.grid, subject.task = config, config.grid, task or subject.task
    subject.sampling = Sampling.of(subject.task, model, config)
    subject.runs = [run for run in subject.runs if run.name in ("scratch-seed0", "spt-seed0")]

    @torch.no_grad()
    def made(run: TrainedRun, stage: Stage) -> SequenceModel:
        moved = SequenceModel(model, subject.task.inputs, generator=torch_stream(0, "init"))
        if stage.name != "start":
            moves = torch.Generator().manual_seed(zlib.crc32(f"{run.arm} {stage.name} {stage.step}".encode()))
            for weight in moved.parameters():
                weight += MOVED * torch.randn(weight.shape, generator=moves)
        return moved

    subject.model = made  # type: ignore[method-assign]
    return subject


def measured(subject: Subject, name: str, *parts: tuple[str, ...]) -> DataFrame:
    """The rows of a section: of these jobs, or of all."""
    section = SECTIONS[name]
    return tidy(name, (row for part in parts or section.parts(subject) for row in section.measure(subject, part)))


def numbers(table: DataFrame, name: str, *axes: str, **where: object) -> float | np.ndarray:
    """The one number that is so called, or the array of them over these axes; NaN where undefined."""
    rows = pick(table, name, **where)
    if not axes:
        (number,) = rows["value"]
        return float(number)
    rows = rows.sort_values(list(axes))
    assert not rows.duplicated(list(axes)).any(), f"{name}: several numbers at one place"
    return rows["value"].to_numpy().reshape([rows[axis].nunique() for axis in axes])


def telling_task() -> Task:
    """Every class has a favourite symbol; in validation it is the next class's, so what was learnt is wrong there."""
    generator = np.random.default_rng(0)
    y = np.arange(180) % 3
    favourite = np.where(np.arange(180) < 120, y, (y + 1) % 3)
    x = np.where(generator.random((180, 9)) < 0.5, favourite[:, None], generator.integers(5, size=(180, 9)))
    rows = Split(x, np.full(180, 9), y)
    codec = Codec(kind="symbols", classes=tuple("xyz"), length=9, vocabulary=tuple("abcde"))
    return Task("telling", codec, *(rows.rows(part) for part in np.split(np.arange(180), [120, 150])))


def seal_again(folder: Path) -> None:
    """Take what a finished folder holds now, as it is now, for what was written there."""
    seal(folder, json.loads((folder / MANIFEST).read_text()))


def fail(comparison: Path, arm: str, seed: int) -> None:
    """As if this run had failed."""
    run = comparison / f"runs/{arm}-seed{seed}"
    (run / "result.json").write_text(json.dumps({"arm": arm, "seed": seed, "failure": "loss stopped being finite"}))
    seal_again(run)


def made(sort: type, **fields: object) -> object:
    """A record in which nothing else is known."""
    return sort(**dict.fromkeys(field.name for field in dataclasses.fields(sort)) | fields)
