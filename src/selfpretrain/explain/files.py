"""The files of a diagnosis: a section is written as soon as it is complete, with the protocol it was measured under.

    diagnosis/table/<section>.parquet    what was measured; together one table
    diagnosis/conclusion.json            what follows

Reading them needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import selfpretrain
from selfpretrain.comparison.run import Run
from selfpretrain.errors import DamagedError
from selfpretrain.explain.section import Section
from selfpretrain.files import read_json, to_dict
from selfpretrain.registry import SECTIONS

if TYPE_CHECKING:
    from pandas import DataFrame

    from selfpretrain.explain.subject import Subject

FOLDER, TABLE, CONCLUSION = "diagnosis", "table", "conclusion.json"


@dataclass(frozen=True)
class Findings:
    """What a diagnosis left.

    Attributes:
        protocol: under what conditions.
        table: everything that was measured, a row for each number; ``explain.table`` has the columns.
        conclusion: ``carrier``, ``mechanism``, ``sentences``, ``recoveries`` (of transplants), ``ends`` (accuracies of
            scratch and spt by seed).
    """

    protocol: Mapping[str, Any]
    table: "DataFrame"
    conclusion: Mapping[str, Any]


def section_file(out: Path, name: str) -> Path:
    """Where a section's rows are, in the folder of a diagnosis."""
    return out / TABLE / f"{name}.parquet"


def protocol_of(subject: "Subject", section: Section | None) -> dict[str, Any]:
    """Conditions under which a section (None: all of them) is measured.

    Stored rows are reused only if their conditions are among these.
    """
    request = to_dict(subject.config)
    del request["sections"]
    common = {
        "task": subject.task.fingerprint,
        "lr": list(subject.request.config.train.lr),
        "runs": {run.name: run.labels.key for run in subject.runs},
        "selfpretrain": selfpretrain.__version__,
    }
    if section is not None and section.conduct is not None:
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
        "positions_of_a_token": subject.sampling.patch,
        "attention": "eager",
        "dropout": "off",
        "torch": metadata.version("torch"),
    }


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
    except (DamagedError, KeyError, TypeError, ValueError):
        raise DamagedError(out / CONCLUSION, "run diagnose again") from None
    if runs is not None and looked_at != _networks(runs):
        return None
    from selfpretrain.explain.table import joined, read_table  # here, so that other reports do not wait for pandas

    sections = [read_table(section_file(out, name), protocol) for name in SECTIONS]
    return Findings(protocol, joined(section for section in sections if section is not None), conclusion)


def _networks(runs: Mapping[str, Run]) -> dict[str, str]:
    """Runs with weights to look at, and the key of what trained them."""
    ended_well = {name: run.record.training for name, run in runs.items() if run.result.failure is None}
    return {name: training.key for name, training in ended_well.items() if training is not None}
