"""Why self-pretraining helps, or does not: a finished comparison looked at and experimented on.

    <comparison>/
      diagnosis/<part>.json     what was measured, a file for each part, and under which protocol
      diagnosis/conclusion.json what follows
      transplants/              the runs of the causal test

Nothing else in the folder changes but the report, which gets its part "Why". Of one run alone, the same goes into the
run's own folder.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import torch

from selfpretrain.config import PARTS, DiagnoseConfig, Part, to_dict
from selfpretrain.diagnosis import attention, data, gradients, landscape, representation
from selfpretrain.diagnosis.conclusion import Conclusion, Evidence, conclude
from selfpretrain.diagnosis.measurement import Measurement
from selfpretrain.diagnosis.subject import Run, Subject
from selfpretrain.diagnosis.transplants import missing, run_transplants
from selfpretrain.errors import Interrupted, RequestError
from selfpretrain.events import Finished, Note, Planned, Progress, Watch, ignore
from selfpretrain.runs import read_json, write_json
from selfpretrain.tasks import Task
from selfpretrain.workers import Workers

SECONDS = {"data": 1.0, "attention": 1.0, "gradients": 6.0, "landscape": 20.0, "representation": 3.0}
"""Relative cost of a job of each part, for the time left."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """A finished diagnosis: its folder, what was measured by part, and the conclusion."""

    folder: Path
    content: dict[str, Any]
    """``protocol``, ``parts`` (measurements by part) and ``conclusion``: what ``--json`` prints."""


@dataclass(frozen=True)
class Job:
    """A part for some runs of one seed."""

    part: Part
    runs: tuple[str, ...]

    @property
    def name(self) -> str:
        """For the one who watches."""
        return " ".join((self.part, *self.runs))


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
    subject = Subject(Path(folder), config, task)
    out = subject.target / "diagnosis"
    out.mkdir(exist_ok=True)
    lock = filelock.FileLock(out / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RequestError(f"{out}: another selfpretrain is at work there; wait for it") from None
    with lock:
        for text in subject.skipped:
            watch(Note(f"left out: {text}"))
        parts = _measure_parts(subject, out, workers, watch)
        evidence = _evidence(subject, parts)
        conclusion = _plain(conclude(evidence), evidence)
        content = {"protocol": _protocol(subject, None), "parts": parts, "conclusion": conclusion}
        write_json(out / "conclusion.json", content["conclusion"])
    return Diagnosis(out, content)


def read_diagnosis(folder: Path) -> dict[str, Any] | None:
    """What ``diagnose`` left in the folder of a comparison or run; None if nothing."""
    out = folder / "diagnosis"
    if not (out / "conclusion.json").exists():
        return None
    parts = {path.stem: read_json(path) for path in sorted(out.glob("*.json")) if path.stem != "conclusion"}
    protocol: dict[str, Any] = {}
    for part in parts.values():
        protocol |= part["protocol"]
    rows = {name: part["measurements"] for name, part in parts.items()}
    return {"protocol": protocol, "parts": rows, "conclusion": read_json(out / "conclusion.json")}


def _measure_parts(subject: Subject, out: Path, workers: int, watch: Watch) -> dict[str, list[Row]]:
    """Every part that was asked for or is there already; each is written as soon as it is whole."""
    parts: dict[str, list[Row]] = {}
    jobs: list[Job] = []
    for part in PARTS:
        known = _read_part(out, part, _protocol(subject, part))
        if known is not None:
            parts[part] = known
        elif part in subject.config.parts and part != "transplants":
            jobs += _jobs(subject, part)
    if jobs:
        watch(Planned({job.name: {job.part: SECONDS[job.part]} for job in jobs}))
        waiting = {part: [job for job in jobs if job.part == part] for part in {job.part for job in jobs}}
        found: dict[Job, list[Row]] = {}

        def keep(job: Job, rows: list[Row]) -> None:
            found[job] = rows
            if all(each in found for each in waiting[job.part]):
                parts[job.part] = [row for each in waiting[job.part] for row in found[each]]
                _write_part(out, job.part, _protocol(subject, job.part), parts[job.part])

        # The longest first, so that no worker is left with one at the end.
        ordered = sorted(jobs, key=lambda job: -SECONDS[job.part] * len(job.runs))
        with Workers(_perform, subject, count=min(workers, len(jobs)), watch=watch) as pool:
            pool.do(ordered, keep)
    if "transplants" in subject.config.parts and "transplants" not in parts:
        reason = missing(subject) or _nothing_to_carry(subject)
        if reason is None:
            rows = [row.plain() for row in run_transplants(subject, workers=workers, watch=watch)]
            parts["transplants"] = rows
            _write_part(out, "transplants", _protocol(subject, "transplants"), rows)
        else:
            watch(Note(reason))
    return {part: parts[part] for part in PARTS if part in parts}


def _nothing_to_carry(subject: Subject) -> str | None:
    """Why transplants would have nothing to explain; None if there is a gain."""
    outcome = _outcome(read_json(subject.root / "summary.json"))
    return (
        None
        if outcome == "helps"
        else f"no transplants: spt against scratch has the outcome '{outcome}', no gain to carry"
    )


def _jobs(subject: Subject, part: Part) -> list[Job]:
    """What a part consists of. Landscapes are of the first seed alone, and of one arm with and one without SPT."""
    names = [(run.config.arm, run.config.seed, run.path.name) for run in subject.runs]
    seeds = sorted({seed for _, seed, _ in names})
    by_seed = {seed: tuple(name for _, s, name in names if s == seed) for seed in seeds}
    match part:
        case "data":
            return [Job(part, ())]
        case "landscape":
            first = [(arm, name) for arm, seed, name in names if seed == seeds[0]]
            chosen = [name for arm, name in first if arm in ("scratch", "spt")] or [name for _, name in first[:2]]
            return [*(Job(part, (name,)) for name in chosen), *([Job(part, tuple(chosen))] if len(chosen) > 1 else [])]
        case "representation":
            return [Job(part, by_seed[seed]) for seed in seeds]
    return [Job(part, (name,)) for _, _, name in names]


def _perform(subject: Subject, job: Job, tell: Watch, stop: Callable[[], bool]) -> list[Row]:
    """Do one job: a function of the module, for the workers."""
    begun = time.monotonic()
    runs = [run for run in subject.runs if run.path.name in job.runs]
    rows = []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for row in _measurements(subject, job, runs):
            if stop():
                raise Interrupted
            rows.append(row.plain())
            tell(Progress(job.name, job.part, len(rows), max(len(rows) + 1, 50), {}))
    finally:
        torch.set_num_threads(before)
    tell(Finished(job.name, {"seconds": time.monotonic() - begun}))
    return rows


def _measurements(subject: Subject, job: Job, runs: Sequence[Run]) -> Iterable[Measurement]:
    match job.part:
        case "data":
            return data.measure(subject)
        case "attention":
            return attention.measure(subject, runs[0])
        case "gradients":
            return gradients.measure(subject, runs[0])
        case "landscape":
            return landscape.measure(subject, runs[0]) if len(runs) == 1 else landscape.measure_paths(subject, runs)
        case "representation":
            return representation.measure(subject, runs)
    raise AssertionError(job.part)


def _protocol(subject: Subject, part: Part | None) -> dict[str, Any]:
    """Under what conditions a part (None: all of them) is measured; made under others, it is made anew."""
    request = to_dict(subject.config)
    del request["parts"]
    if part == "transplants":
        request = {"transplant_seeds": request["transplant_seeds"]}
    elif part is not None:
        del request["transplant_seeds"]
    return {
        **request,
        "probe_length": subject.length,
        "task": subject.task.fingerprint,
        "runs": [run.path.name for run in subject.runs],
        "attention": "eager",
        "dropout": "off",
        "torch": torch.__version__,
    }


def _read_part(out: Path, part: Part, protocol: dict[str, Any]) -> list[Row] | None:
    path = out / f"{part}.json"
    try:
        there = read_json(path) if path.exists() else None
    except ValueError:
        return None  # damaged: measured again
    if there is None or there.get("protocol") != protocol:
        return None
    rows: list[Row] = there["measurements"]
    return rows


def _write_part(out: Path, part: Part, protocol: dict[str, Any], rows: list[Row]) -> None:
    write_json(out / f"{part}.json", {"protocol": protocol, "measurements": rows})


def _evidence(subject: Subject, parts: dict[str, list[Row]]) -> Evidence:
    """Boil the measurements down to what a conclusion needs."""
    summary = read_json(subject.root / "summary.json")
    cells: dict[str, dict[int, float]] = {}
    for row in parts.get("transplants", []):
        test = row["values"][1]
        cells.setdefault(row["group"], {})[row["seed"]] = float("nan") if test is None else test
    seeds = sorted({seed for cell in cells.values() for seed in cell})
    test = {arm: [entry["test_acc"][seed] for seed in seeds] for arm, entry in summary["arms"].items()}
    pairs = next((row["values"] for row in parts.get("data", []) if row["name"] == "pair_classifier"), None)
    start = {
        row["seed"]: row["values"][0]
        for row in _rows(parts, "gradients", "blindness_ratio", "init")
        if row["values"][0] is not None
    }
    pretrained = {row["seed"]: row["values"] for row in _rows(parts, "attention", "position_toeplitz_r2", "pretrained")}
    slopes = {row["seed"]: row["values"] for row in _rows(parts, "attention", "position_slope", "pretrained")}
    best = {
        seed: max((r2, layer, head) for layer, heads in enumerate(r2s) for head, r2 in enumerate(heads))
        for seed, r2s in pretrained.items()
    }
    return Evidence(
        scratch=test.get("scratch", []),
        spt=test.get("spt", []),
        cells={name: [cell[seed] for seed in seeds] for name, cell in cells.items()},
        outcome=_outcome(summary),
        absolute_positions=subject.request.model.positions in ("sinusoidal", "learned"),
        label_sees=None if pairs is None else pairs - summary["task"]["majority"],
        blindness=list(start.values()) or None,
        toeplitz=[r2 for r2, _, _ in best.values()] or None,
        slope=[slopes[seed][layer][head] for seed, (_, layer, head) in best.items()] or None,
    )


def _outcome(summary: dict[str, Any]) -> str:
    """What self-pretraining does against scratch at equal label compute."""
    found = (c["outcome"] for c in summary["comparisons"] if (c["arm"], c["against"]) == ("spt", "scratch"))
    outcome: str = next(found, "not compared")
    return outcome


def _rows(parts: dict[str, list[Row]], part: str, name: str, stage: str) -> Iterator[Row]:
    return (row for row in parts.get(part, []) if row["name"] == name and row.get("stage") == stage)


def _plain(conclusion: Conclusion, evidence: Evidence) -> dict[str, Any]:
    return {
        "ends": {"scratch": list(evidence.scratch), "spt": list(evidence.spt)},
        "carrier": conclusion.carrier,
        "mechanism": conclusion.mechanism,
        "sentences": list(conclusion.sentences),
        "recoveries": [
            {
                "cell": r.cell,
                "share": r.share if r.share == r.share else None,
                "answer": r.answer,
                "p_holm": r.p_holm,
                "half_gain_interval": asdict(r.interval),
            }
            for r in conclusion.recoveries
        ],
    }
