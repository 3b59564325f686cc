"""The page of a report: figures, tables and the words around them."""

from collections.abc import Mapping
from typing import Any

import jinja2
import numpy as np

from selfpretrain.arms import RECIPES
from selfpretrain.report import figures, why
from selfpretrain.report.reading import Findings
from selfpretrain.stats import t_interval
from selfpretrain.verdict import MARGIN

FIGURES = (
    (
        "Test accuracy",
        figures.accuracies,
        "Each mark is one seed; the black bar is the mean with its 95% t-interval. The dashed line is what always "
        "answering the commonest class gives.",
    ),
    (
        "Paired differences",
        figures.differences,
        "Each point is one seed: both arms with the same start and the same label batches. The bar is the mean with "
        "its 95% paired t-interval. A bar across 0 shows no effect.",
    ),
    (
        "Learning the labels",
        figures.learning_curves,
        "Accuracy on the training sequences while the labels are learnt. A flat line at the bottom is an arm that "
        "does not even fit its own training labels.",
    ),
    (
        "At equal total compute",
        figures.compute_curves,
        "The same label training, with self-pretraining's compute put in front of it. Compare heights at the same "
        "place on the axis.",
    ),
    (
        "Train against test",
        figures.train_against_test,
        "On the dotted line test equals training accuracy. Arms apart along the line differ in optimisation; one "
        "above the other differs in generalisation.",
    ),
    (
        "Self-pretraining",
        figures.pretraining,
        "How well masked positions are filled in, on validation sequences. A plateau that is left suddenly is the "
        "moment at which attention begins to use neighbours.",
    ),
)

CAUSES = {
    "optimization": "optimisation: the weaker arm does not fit its training labels, also with the same total compute",
    "generalization": "generalisation: both fit their training labels equally, and one does better on new sequences",
    "speed": "only speed: given the compute, both arrive at the same place",
    "undetermined": "undetermined: these runs do not decide it",
    "none": "nothing to explain",
}


def render(findings: Findings) -> str:
    """The page, self-contained: no file, font or script from elsewhere."""
    environment = _environment()
    drawn = [(title, figures.draw(paint, findings), caption) for title, paint, caption in FIGURES]
    return environment.get_template("template.html").render(
        summary=findings.summary,
        contrasts=findings.summary["comparisons"],
        figures=[figure for figure in drawn if figure[1] is not None],
        arms=[_arm_row(name, entry) for name, entry in findings.summary["arms"].items()],
        failures=[
            (name, seed, why)
            for name, entry in findings.summary["arms"].items()
            for seed, why in entry["failures"].items()
        ],
        causes=CAUSES,
        margin=MARGIN,
        transfer=findings.transfer_groups,
        settings=_flat(findings.request),
        environment=_flat(findings.environment),
        why=_why(findings.diagnosis),
    )


def render_run(name: str, diagnosis: Mapping[str, Any]) -> str:
    """The page of one run that was diagnosed: the part "Why" alone."""
    return _environment().get_template("run.html").render(name=name, why=_why(diagnosis))


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
        "cell": why.cell_name,
    }
    return environment


def _why(diagnosis: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The part "Why"; None without a diagnosis."""
    if diagnosis is None:
        return None
    view = why.Why(diagnosis)
    drawn = [
        (title, why.draw(paint, view, size), caption, "full" if size[0] > why.NARROW[0] else "half")
        for title, paint, size, caption in why.FIGURES
    ]
    return {
        "sentences": diagnosis["conclusion"]["sentences"],
        "recoveries": diagnosis["conclusion"]["recoveries"],
        "figures": [figure for figure in drawn if figure[1] is not None],
        "protocol": _flat(diagnosis["protocol"]),
    }


def _arm_row(name: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of an arm."""
    lr = None if entry["lr"] is None else f"{entry['lr']:g}"
    tried = list(entry["lr_tried"])
    memory = [value for value in entry["peak_memory_bytes"] if value is not None]
    seconds = [value for value in entry["seconds"] if value is not None]
    return {
        "name": name,
        "says": RECIPES[name].says,
        "lr": lr,
        "tried": entry["lr_tried"],
        "edge": len(tried) > 1 and lr in (tried[0], tried[-1]),
        "train": _mean_interval(entry["train_acc"]),
        "reached": _mean_interval(entry["train_acc_reached"]),
        "test": _mean_interval(entry["test_acc"]),
        "steps_pretrain": entry["steps_pretrain"],
        "steps_label": entry["steps_label"],
        "flops_pretrain": entry["flops_pretrain"],
        "flops_label": entry["flops_label"],
        "seconds": float(np.mean(seconds)) if seconds else None,
        "memory": max(memory) if memory else None,
    }


def _mean_interval(values: list[float | None]) -> str:
    """A mean accuracy with its interval, in per cent."""
    present = [value for value in values if value is not None]
    if not present:
        return "-"
    interval = t_interval(present)
    if interval.low is None or interval.high is None:
        return percent(interval.mean)
    return f"{percent(interval.mean)} ± {100 * (interval.high - interval.mean):.1f}"


def percent(share: float) -> str:
    """A share as per cent with one decimal.

    >>> percent(0.5)
    '50.0'
    """
    return f"{100 * share:.1f}"


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
