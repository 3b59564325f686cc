"""Why self-pretraining helps, or does not: a finished comparison looked at and experimented on.

    <comparison>/
      diagnosis/<part>.json     what was measured, a file for each part, and under which protocol
      diagnosis/conclusion.json what follows
      transplants/              the runs of the causal test

Nothing else in the folder changes but the report, which gets its part "Why". Of one run alone, the same goes into the
run's own folder.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from selfpretrain.config import DiagnoseConfig
from selfpretrain.diagnosis.conclusion import conclude, plain
from selfpretrain.diagnosis.evidence import gather
from selfpretrain.diagnosis.files import CONCLUSION, left_out, protocol_of, read_diagnosis
from selfpretrain.diagnosis.jobs import measure_parts
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Watch, ignore
from selfpretrain.runs import write_json
from selfpretrain.tasks import Task

__all__ = ["Diagnosis", "diagnose", "read_diagnosis"]


@dataclass(frozen=True)
class Diagnosis:
    """A finished diagnosis: its folder, what was measured by part, and the conclusion."""

    folder: Path
    content: dict[str, Any]
    """``protocol``, ``parts`` (measurements by part) and ``conclusion``: what ``--json`` prints."""


def diagnose(
    folder: Path | str,
    config: DiagnoseConfig | None = None,
    *,
    task: Task | None = None,
    workers: int = 1,
    watch: Watch = ignore,
    **settings: Any,
) -> Diagnosis:
    """Look at a finished comparison, or one run of it, and say why self-pretraining helps there.

    Finished parts are kept: the same request goes on where it stopped.

    Args:
        folder: of a comparison, or of a run in it.
        config: what to look at; None is the default.
        task: the comparison's task, if it came from Python; None loads it again.
        workers: processes; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        watch: gets progress.
        **settings: fields of ``DiagnoseConfig`` that replace the config's.

    Raises:
        RequestError: nothing finished there, something missing, or settings that do not fit the data.
    """
    config = replace(config or DiagnoseConfig(), **settings)
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")
    subject = Subject(Path(folder), config, task)
    out = subject.target / "diagnosis"
    try:
        out.mkdir(exist_ok=True)
    except FileExistsError:
        raise RequestError(f"{out}: a file is in the way of the folder; move it") from None
    lock = filelock.FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RequestError(f"{out}: another selfpretrain is at work there; wait for it") from None
    with lock:
        for text in subject.skipped:
            watch(Note(f"left out: {text}"))
        parts = measure_parts(subject, out, workers, watch)
        if left := left_out(out, parts):
            said = f"left out, as damaged or measured under other settings: {', '.join(left)}"
            watch(Note(f"{said}; --parts has them measured again"))
        absolute = subject.request.model.positions in ("sinusoidal", "learned")
        evidence = gather(subject.summary, parts, absolute_positions=absolute)
        conclusion = plain(conclude(evidence), evidence)
        content = {"protocol": protocol_of(subject, None), "parts": parts, "conclusion": conclusion}
        write_json(out / CONCLUSION, {"protocol": content["protocol"], "conclusion": conclusion})
    return Diagnosis(out, content)
