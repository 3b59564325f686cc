"""The page of a report: pictures, tables and the words around them."""

from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import numpy as np

from selfpretrain.arms.registry import arm_named
from selfpretrain.config import MIN_SEEDS
from selfpretrain.drawing import Picture
from selfpretrain.explain.files import Findings
from selfpretrain.explain.registry import known_sections
from selfpretrain.explain.transplants.cells import Cell
from selfpretrain.explain.view import View
from selfpretrain.report.content import Content
from selfpretrain.report.figures import PICTURES
from selfpretrain.results import ArmSummary
from selfpretrain.serial import from_dict
from selfpretrain.verdict.cause import MARGIN
from selfpretrain.verdict.wording import CAUSES


def render(content: Content) -> str:
    """The page, self-contained: no file, font or script from elsewhere."""
    summary = content.summary
    return (
        _environment()
        .get_template("comparison.html")
        .render(
            summary=summary,
            contrasts=summary.comparisons,
            figures=_drawn(PICTURES, content),
            arms=[_arm_row(name, entry) for name, entry in summary.arms.items()],
            failures=[
                (name, seed, why) for name, entry in summary.arms.items() for seed, why in entry.failures.items()
            ],
            causes=CAUSES,
            margin=MARGIN,
            min_seeds=MIN_SEEDS,
            moved=content.moved,
            settings=_flat(content.request),
            environment=_flat(content.environment),
            why=_why(content.diagnosis),
        )
    )


def render_run(name: str, diagnosis: Findings) -> str:
    """The page of one run that was diagnosed: the part "Why" alone."""
    return _environment().get_template("run.html").render(name=name, why=_why(diagnosis))


def _drawn(pictures: Iterable[Picture], content: Any) -> list[tuple[Picture, str]]:
    """The pictures that have something to show."""
    drawn = ((picture, picture.svg(content)) for picture in pictures)
    return [(picture, svg) for picture, svg in drawn if svg is not None]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfpretrain.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "flops": flops_text,
        "bytes": bytes_text,
        "points": points,
        "cell": lambda cell: from_dict(Cell, cell).words,
    }
    return environment


def _why(diagnosis: Findings | None) -> dict[str, Any] | None:
    """The part "Why"; None without a diagnosis."""
    if diagnosis is None:
        return None
    pictures = [picture for section in known_sections().values() for picture in section.pictures()]
    return {
        "sentences": diagnosis.conclusion["sentences"],
        "recoveries": diagnosis.conclusion["recoveries"],
        "figures": _drawn(pictures, View(diagnosis)),
        "protocol": _flat(diagnosis.protocol),
    }


def _arm_row(name: str, entry: ArmSummary) -> dict[str, Any]:
    """What the table says of an arm."""
    lr = None if entry.lr is None else f"{entry.lr:g}"
    tried = list(entry.lr_tried)
    memory = [value for value in entry.peak_memory_bytes if value is not None]
    seconds = [value for value in entry.seconds if value is not None]
    return {
        "name": name,
        "says": arm_named(name).says,
        "lr": lr,
        "tried": entry.lr_tried,
        "edge": len(tried) > 1 and lr in (tried[0], tried[-1]),
        "choice": entry.choice,
        "train": _mean(entry.train_acc),
        "reached": _mean(entry.best_train_acc),
        "test": _mean(entry.test_acc),
        "test_ci95": entry.test_ci95,
        "steps_pretrain": entry.steps_pretrain,
        "steps_label": entry.steps_label,
        "flops_pretrain": entry.flops_pretrain,
        "flops_label": entry.flops_label,
        "seconds": float(np.mean(seconds)) if seconds else None,
        "memory": max(memory) if memory else None,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that are there."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None


def percent(share: float | None) -> str:
    """A share as per cent with one decimal; a dash for None.

    >>> percent(0.5)
    '50.0'
    """
    return "-" if share is None else f"{100 * share:.1f}"


def points(share: float | None) -> str:
    """A difference of shares in signed points; a dash for None."""
    return "-" if share is None else f"{100 * share:+.1f}"


def flops_text(count: float) -> str:
    """A number of operations with its prefix.

    >>> flops_text(2.5e12)
    '2.50 TFLOP'
    """
    for prefix, size in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if count >= size:
            return f"{count / size:.2f} {prefix}FLOP"
    return f"{count / 1e6:.2f} MFLOP" if count else "0"


def bytes_text(count: float | None) -> str:
    """Bytes in MB; a dash for None."""
    return "-" if count is None else f"{count / 1e6:.0f} MB"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows |= _flat(value, f"{prefix}{key}.")
        else:
            rows[prefix + key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return rows
