"""The files of a diagnosis: a section is written as soon as it is whole, with the protocol it was measured under.

    diagnosis/<section>.json    what was measured
    diagnosis/conclusion.json   what follows

Reading them needs no torch.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfpretrain.comparison.run import Run
from selfpretrain.errors import DamagedError
from selfpretrain.explain.measurement import Row
from selfpretrain.explain.section import Experiment, Section
from selfpretrain.files import read_json, to_dict, write_json

if TYPE_CHECKING:
    from selfpretrain.explain.subject import Subject

Sections = dict[str, list[Row]]
FOLDER, CONCLUSION = "diagnosis", "conclusion.json"


@dataclass(frozen=True)
class Findings:
    """What a diagnosis left.

    Attributes:
        protocol: under what conditions.
        sections: measurements by section.
        conclusion: ``carrier``, ``mechanism``, ``sentences``, ``recoveries``, ``ends``.
    """

    protocol: Mapping[str, Any]
    sections: Sections
    conclusion: Mapping[str, Any]

    @property
    def content(self) -> dict[str, Any]:
        """As JSON types."""
        return dataclasses.asdict(self)


def protocol_of(subject: "Subject", section: Section | None) -> dict[str, Any]:
    """Under what conditions a section (None: the whole) is measured; made under others, it is made anew."""
    request = to_dict(subject.config)
    del request["sections"]
    common = {
        "task": subject.task.fingerprint,
        "lr": list(subject.request.config.train.lr),
        "tune_seeds": subject.request.config.train.tune_seeds,
        "runs": {run.name: run.labels.key for run in subject.runs},
        "selfpretrain": metadata.version("selfpretrain"),
    }
    if isinstance(section, Experiment):
        return {**common, **{name: request[name] for name in section.protocol}}
    if section is not None:
        del request["transplant_seeds"], request["cells"]
    return {
        **common,
        **request,
        "grid": None if subject.grid is None else list(subject.grid),
        "sample": subject.sampling.n_sample,
        "large_sample": subject.sampling.n_large,
        "sample_length": subject.length,
        "attention": "eager",
        "dropout": "off",
        "torch": metadata.version("torch"),
    }


def read_section(out: Path, name: str, protocol: Mapping[str, Any]) -> list[Row] | None:
    """The measurements of a section; None if there are none, or none of this protocol."""
    try:
        there = read_json(out / f"{name}.json")
        rows: list[Row] = there["measurements"]
        return rows if there["protocol"].items() <= protocol.items() else None
    except (DamagedError, KeyError, TypeError, AttributeError):
        return None  # damaged: measured again


def write_section(out: Path, name: str, protocol: Mapping[str, Any], rows: list[Row]) -> None:
    """Keep the measurements of a section."""
    write_json(out / f"{name}.json", {"protocol": protocol, "measurements": rows})


def read_diagnosis(folder: Path, runs: Mapping[str, Run] | None = None) -> Findings | None:
    """What ``diagnose`` left in the folder of a comparison or run; None if nothing.

    Sections that are damaged, or were measured under another protocol than the latest conclusion, are left out.

    Args:
        runs: of the latest request, by name; a diagnosis of others is none of it.

    Raises:
        DamagedError: the conclusion is damaged.
    """
    out = folder / FOLDER
    if not (out / CONCLUSION).exists():
        return None
    try:
        latest = read_json(out / CONCLUSION)
        protocol, conclusion = latest["protocol"], latest["conclusion"]
        looked_at = dict(protocol["runs"])
        names = [path.stem for path in sorted(out.glob("*.json")) if path.name != CONCLUSION]
        sections = {name: read_section(out, name, protocol) for name in names}
        whole = {name: rows for name, rows in sections.items() if rows is not None}
    except (DamagedError, KeyError, TypeError, AttributeError, ValueError):
        raise DamagedError(out / CONCLUSION, "run diagnose again") from None
    if runs is not None and looked_at != _networks(runs):
        return None
    return Findings(protocol, whole, conclusion)


def _networks(runs: Mapping[str, Run]) -> dict[str, str]:
    """Runs with weights to look at, and the key of what trained them."""
    ended_well = {name: run.record.training for name, run in runs.items() if run.result.failure is None}
    return {name: training.key for name, training in ended_well.items() if training is not None}
