"""Look at a finished comparison, experiment on it, and say why self-pretraining helps there, or does not."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfpretrain.config import ABSOLUTE, DiagnoseConfig
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import RequestError
from selfpretrain.events import Note, Watch, ignore
from selfpretrain.explain.conclusion import conclude, plain
from selfpretrain.explain.evidence import gather
from selfpretrain.explain.files import CONCLUSION, FOLDER, Findings, protocol_of
from selfpretrain.explain.measuring import measure_sections
from selfpretrain.explain.registry import known_sections, sections_named
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.transplants.candidates import matrix
from selfpretrain.storage import own_folder, remove_half_written, write_json
from selfpretrain.tasks.task import Task


@dataclass(frozen=True)
class Diagnosis:
    """A finished diagnosis: its folder and what was found."""

    folder: Path
    findings: Findings

    @property
    def content(self) -> dict[str, Any]:
        """``protocol``, ``sections`` (measurements by section) and ``conclusion``: what ``--json`` prints."""
        return self.findings.content


def diagnose(
    folder: Path | str,
    config: DiagnoseConfig | None = None,
    *,
    task: Task | None = None,
    workers: int = 1,
    engine: MakeEngine = LocalEngine,
    watch: Watch = ignore,
    **settings: Any,
) -> Diagnosis:
    """Look at a finished comparison, or one run of it, and say why self-pretraining helps there.

    Finished sections are kept: the same request goes on where it stopped. Runs and answer stay as they are;
    transplants add trainings to the store, and runs of their own.

    Args:
        folder: of a comparison, or of a run in it.
        config: what to look at; None is the default.
        task: the comparison's task, if it came from Python; None loads it again.
        workers: jobs at a time; above 1, a script needs the ``if __name__ == "__main__"`` guard.
        engine: makes what does the trainings of transplants; looking is done on this machine.
        watch: gets progress.
        **settings: fields of ``DiagnoseConfig`` that replace the config's.

    Raises:
        RequestError: nothing finished there, something missing or damaged, or settings that do not fit the data.
    """
    config = replace(config or DiagnoseConfig(), **settings)
    sections_named(config.sections)
    if workers < 1:
        raise RequestError(f"workers={workers}: give 1 or more")
    subject = Subject(Path(folder), config, task, workers=workers, watch=watch)
    matrix(subject.setting, config.cells)  # refuses names that are none
    out = subject.target / FOLDER
    try:
        own_folder(out)
    except FileExistsError:
        raise RequestError(f"{out}: a file is in the way of the folder; move it") from None
    with subject.comparison.locked():  # nobody compares or cleans meanwhile
        remove_half_written(out)
        for text in subject.skipped:
            watch(Note(f"left out: {text}"))
        sections = measure_sections(subject, out, workers, engine, watch)
        left = [name for name in known_sections() if name not in sections and (out / f"{name}.json").exists()]
        if left:
            said = f"left out, as damaged or measured under other settings: {', '.join(left)}"
            watch(Note(f"{said}; --sections has them measured again"))
        absolute = subject.request.model.positions in ABSOLUTE
        evidence = gather(subject.summary, sections, absolute_positions=absolute)
        findings = Findings(protocol_of(subject, None), sections, plain(conclude(evidence), evidence))
        write_json(out / CONCLUSION, {"protocol": findings.protocol, "conclusion": findings.conclusion})
    return Diagnosis(out, findings)
