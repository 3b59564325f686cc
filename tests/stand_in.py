"""A subject whose models have any shape, so that nothing need be trained to see what is measured on them."""

import zlib
from pathlib import Path

from selfpretrain.config import DiagnoseConfig, ModelConfig
from selfpretrain.explain.sampling import Sampling
from selfpretrain.explain.stages import Stage, TrainedRun
from selfpretrain.explain.subject import Subject
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.streams import torch_stream
from selfpretrain.tasks.task import Task


def stand_in(folder: Path, config: DiagnoseConfig, model: ModelConfig, task: Task | None = None) -> Subject:
    """Seed 0 of scratch and spt in the comparison ``folder``, with random weights of their own at every stage.

    The start is the same for both. That the real models are those of their stages is tested in test_explain_subject.py.

    Args:
        task: instead of the comparison's.
    """
    subject = Subject(folder, config)
    subject.runs = [run for run in subject.runs if run.name in ("scratch-seed0", "spt-seed0")]
    if task is not None:
        subject.task, subject.sampling = task, Sampling.of(task, model, config)

    def made(run: TrainedRun, stage: Stage) -> SequenceModel:
        place = "start" if stage.name == "start" else f"{run.arm} {stage.name} {stage.step}"
        seed = zlib.crc32(place.encode())
        return SequenceModel(model, subject.task.inputs, generator=torch_stream(seed, "init"))

    subject.model = made  # type: ignore[method-assign]
    return subject
