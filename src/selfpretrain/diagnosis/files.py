"""The files of a diagnosis: a part is written as soon as it is whole, with the protocol it was measured under."""

from pathlib import Path
from typing import Any

import torch

from selfpretrain.config import Part, to_dict
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.runs import read_json, write_json

Row = dict[str, Any]
"""A measurement, as ``Measurement.plain`` gives it."""
Parts = dict[str, list[Row]]
CONCLUSION = "conclusion.json"


def protocol_of(subject: Subject, part: Part | None) -> dict[str, Any]:
    """Under what conditions a part (None: all of them) is measured; made under others, it is made anew."""
    request = to_dict(subject.config)
    del request["parts"]
    if part == "transplants":
        return {"transplant_seeds": request["transplant_seeds"], "task": subject.task.fingerprint}
    if part is not None:
        del request["transplant_seeds"]
    return {
        **request,
        "probe": subject.n_probe,
        "sequences": subject.n_sample,
        "probe_length": subject.length,
        "task": subject.task.fingerprint,
        "runs": [run.path.name for run in subject.runs],
        "attention": "eager",
        "dropout": "off",
        "torch": torch.__version__,
    }


def read_part(out: Path, part: Part, protocol: dict[str, Any]) -> list[Row] | None:
    """The measurements of a part; None if there are none, or none of this protocol."""
    path = out / f"{part}.json"
    try:
        there = read_json(path) if path.exists() else None
    except ValueError:
        return None  # damaged: measured again
    if there is None or there.get("protocol") != protocol:
        return None
    rows: list[Row] = there["measurements"]
    return rows


def write_part(out: Path, part: Part, protocol: dict[str, Any], rows: list[Row]) -> None:
    """Keep the measurements of a part."""
    write_json(out / f"{part}.json", {"protocol": protocol, "measurements": rows})


def read_diagnosis(folder: Path) -> dict[str, Any] | None:
    """What ``diagnose`` left in the folder of a comparison or run; None if nothing."""
    out = folder / "diagnosis"
    if not (out / CONCLUSION).exists():
        return None
    parts = {path.stem: read_json(path) for path in sorted(out.glob("*.json")) if path.name != CONCLUSION}
    protocol: dict[str, Any] = {}
    for part in parts.values():
        protocol |= part["protocol"]
    rows = {name: part["measurements"] for name, part in parts.items()}
    return {"protocol": protocol, "parts": rows, "conclusion": read_json(out / CONCLUSION)}
