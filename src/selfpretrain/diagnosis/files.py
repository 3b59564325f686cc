"""The files of a diagnosis: a part is written as soon as it is whole, with the protocol it was measured under."""

from pathlib import Path
from typing import Any

import torch

from selfpretrain import __version__
from selfpretrain.config import PARTS, Part, to_dict
from selfpretrain.diagnosis.measurement import Row
from selfpretrain.diagnosis.subject import Subject
from selfpretrain.errors import RequestError
from selfpretrain.runs import read_json, write_json

Parts = dict[str, list[Row]]
CONCLUSION = "conclusion.json"


def protocol_of(subject: Subject, part: Part | None) -> dict[str, Any]:
    """Under what conditions a part (None: all of them) is measured; made under others, it is made anew."""
    request = to_dict(subject.config)
    del request["parts"]
    request["grid"] = None if subject.grid is None else list(subject.grid)
    if part == "transplants":
        return {
            "transplant_seeds": request["transplant_seeds"],
            "task": subject.task.fingerprint,
            "selfpretrain": __version__,
        }
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
        "selfpretrain": __version__,
    }


def read_part(out: Path, part: Part, protocol: dict[str, Any]) -> list[Row] | None:
    """The measurements of a part; None if there are none, or none of this protocol."""
    path = out / f"{part}.json"
    try:
        there = read_json(path) if path.exists() else None
    except ValueError:
        return None  # damaged: measured again
    if not isinstance(there, dict) or there.get("protocol") != protocol:
        return None
    rows: list[Row] | None = there.get("measurements")
    return rows


def write_part(out: Path, part: Part, protocol: dict[str, Any], rows: list[Row]) -> None:
    """Keep the measurements of a part."""
    write_json(out / f"{part}.json", {"protocol": protocol, "measurements": rows})


def read_diagnosis(folder: Path) -> dict[str, Any] | None:
    """What ``diagnose`` left in the folder of a comparison or run; None if nothing.

    Parts that are damaged, or were measured under another protocol than the latest conclusion, are left out.

    Raises:
        RequestError: the conclusion is damaged.
    """
    out = folder / "diagnosis"
    if not (out / CONCLUSION).exists():
        return None
    try:
        latest = read_json(out / CONCLUSION)
        content = {"protocol": latest["protocol"], "parts": {}, "conclusion": latest["conclusion"]}
        known = latest["protocol"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RequestError(f"{out / CONCLUSION}: damaged; run diagnose again") from None
    for part in PARTS:
        try:
            there = read_json(out / f"{part}.json")
            if there["protocol"].items() <= known:
                content["parts"][part] = there["measurements"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not there, or damaged: diagnose measures it again
    return content


def left_out(out: Path, parts: Parts) -> list[str]:
    """Parts that have files there and are none of these: damaged, or of another protocol."""
    return [part for part in PARTS if part not in parts and (out / f"{part}.json").exists()]
