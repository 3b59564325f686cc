"""The page of a report: pictures, tables and the words around them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from selfpretrain.comparison.claims import MARGIN
from selfpretrain.comparison.plateau import counted
from selfpretrain.comparison.summary import ArmSummary, mean_of
from selfpretrain.comparison.words import CAUSES, OUTCOMES, rates
from selfpretrain.config import MIN_SEEDS, MetricName
from selfpretrain.data.builtin import Published
from selfpretrain.data.kinds import KINDS
from selfpretrain.drawing import Picture
from selfpretrain.explain.cells import Cell
from selfpretrain.explain.files import Findings
from selfpretrain.files import from_dict, to_dict
from selfpretrain.metrics import UNITS
from selfpretrain.registry import ARMS, SECTIONS, TASKS
from selfpretrain.report.content import Content
from selfpretrain.report.figures import PICTURES


def render(content: Content) -> str:
    """The page, self-contained: no file, font or script from elsewhere."""
    summary = content.summary
    unit, size = flops_unit(max(entry.flops_pretrain, entry.flops_label) for entry in summary.arms.values())
    return page_of(
        "comparison.html",
        summary=summary,
        metric=UNITS[summary.metric],
        scores=[_score_row(name, entry) for name, entry in summary.arms.items() if entry.scores],
        confusions=[_confusion(name, entry, summary.task.class_names) for name, entry in summary.arms.items()],
        kind=KINDS[summary.task.kind],
        figures=drawn(PICTURES, content),
        arms=[_arm_row(name, entry, size, summary.metric) for name, entry in summary.arms.items()],
        flops_unit=unit,
        published=_published(content),
        reconstructions=[row for arm in summary.arms.items() if (row := _reconstruction(*arm)) is not None],
        failures=[(name, seed, why) for name, entry in summary.arms.items() for seed, why in entry.failures.items()],
        causes=CAUSES,
        outcomes=OUTCOMES,
        margin=MARGIN,
        min_seeds=MIN_SEEDS,
        moved=content.moved,
        settings=_flat(content.request),
        environment=_flat(content.environment),
        why=_why(content.diagnosis),
    )


def render_run(name: str, diagnosis: Findings) -> str:
    """The page of one run that was diagnosed: the part "Why" alone."""
    return page_of("run.html", name=name, why=_why(diagnosis, of_one_run=True))


def drawn(pictures: Iterable[Picture], content: Any) -> list[tuple[Picture, str]]:
    """The pictures that have something to show."""
    every = ((picture, picture.svg(content)) for picture in pictures)
    return [(picture, svg) for picture, svg in every if svg is not None]


def page_of(template: str, **content: Any) -> str:
    """A page of this folder's templates."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfpretrain.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": UNITS["accuracy"].bare,
        "points": UNITS["accuracy"].lead,
        "rates": rates,
        "p_value": p_value,
        "cell": lambda cell: from_dict(Cell, cell).words,
    }
    return environment.get_template(template).render(**content)


def _why(diagnosis: Findings | None, *, of_one_run: bool = False) -> dict[str, Any] | None:
    """The part "Why"; None without a diagnosis.

    Where a comparison has no gain there is nothing to explain: what the data allow comes first, the rest can be opened.
    """
    if diagnosis is None:
        return None
    pictures = {name: drawn(section.pictures(), diagnosis) for name, section in SECTIONS.items()}
    brief = not of_one_run and diagnosis.conclusion["carrier"] == "none" and bool(pictures["data"])
    return {
        "sentences": diagnosis.conclusion["sentences"],
        "recoveries": diagnosis.conclusion["recoveries"],
        "figures": [figure for name, figures in pictures.items() if not brief or name == "data" for figure in figures],
        "more": [figure for name, figures in pictures.items() if brief and name != "data" for figure in figures],
        "protocol": _flat(diagnosis.protocol),
    }


def _published(content: Content) -> Sequence[Published]:
    """What others report on the task, if it was made as it is published: without options of one's own."""
    name, source = content.summary.task.name, content.request["source"]
    if name not in TASKS or source is None or source["options"] != to_dict(TASKS[name]()):
        return []
    return TASKS[name].published()


def _arm_row(name: str, entry: ArmSummary, flops_size: float, metric: MetricName) -> dict[str, Any]:
    """What the table says of an arm."""
    memory = [value for value in entry.peak_memory_bytes if value is not None]
    seconds = [value for value in entry.seconds if value is not None]
    return {
        "name": name,
        "says": ARMS[name].says,
        "tried": _tried(entry.lr_tried, entry.lr, UNITS["accuracy"].bare),
        "pretrain_tried": _tried(entry.lr_pretrain_tried, entry.lr_pretrain, lambda loss: f"{loss:.3f}"),
        "choice": entry.choice,
        "train": mean_of(entry.train_sample_acc),
        "reached": mean_of(entry.best_train_acc),
        "learnt": "{} of {}".format(*counted(entry.learnt)),
        "test": entry.mean_score(metric),
        "test_ci95": entry.test_ci95,
        "steps_pretrain": entry.steps_pretrain,
        "steps_label": entry.steps_label,
        "flops_pretrain": f"{entry.flops_pretrain / flops_size:.3g}",
        "flops_label": f"{entry.flops_label / flops_size:.3g}",
        "seconds": float(np.mean(seconds)) if seconds else None,
        "memory": max(memory) if memory else None,
    }


def _score_row(name: str, entry: ArmSummary) -> dict[str, Any]:
    """Every metric of an arm, as a mean over seeds."""
    return {"name": name, **{metric: mean_of(values) for metric, values in entry.scores.items()}}


def _confusion(name: str, entry: ArmSummary, classes: Sequence[str]) -> dict[str, Any]:
    """What an arm takes each class for, in shares of the class's test rows; precision, recall and F1 of each."""
    matrix = np.array(entry.confusion, dtype=float).reshape(len(entry.confusion), len(entry.confusion))
    rows, taken, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares, precision, f1 = matrix / rows[:, None], right / taken, 2 * right / (rows + taken)
    return {
        "name": name,
        "classes": [
            {
                "name": label,
                "shares": [None if np.isnan(share) else float(share) for share in shares[c]],
                "precision": None if np.isnan(precision[c]) else float(precision[c]),
                "recall": None if np.isnan(shares[c, c]) else float(shares[c, c]),
                "f1": None if np.isnan(f1[c]) else float(f1[c]),
            }
            for c, label in enumerate(classes[: len(matrix)])
        ],
    }


def _tried(
    tried: Mapping[str, Sequence[float | None]], picked: Sequence[float | None], text: Callable[[float], str]
) -> dict[str, str]:
    """What each rate came to, as a mean over seeds, and how many seeds picked it."""
    means = {lr: mean_of(scores) for lr, scores in tried.items()}
    counts = Counter(f"{lr:g}" for lr in picked if lr is not None)
    return {
        lr: "failed" if mean is None else f"{text(mean)}{f' ({counts[lr]})' if counts[lr] else ''}"
        for lr, mean in means.items()
    }


def _reconstruction(name: str, entry: ArmSummary) -> dict[str, Any] | None:
    """How far an arm's self-pretraining came; None without any."""
    every = (entry.val_reconstruction, entry.val_without_context, entry.val_lowest)
    loss, without, lowest = map(mean_of, every)
    if loss is None or without is None:
        return None
    share = None if lowest is None or without <= lowest else (without - loss) / (without - lowest)
    return {"name": name, "loss": loss, "without": without, "lowest": lowest, "share": share}


def p_value(p: float | None) -> str:
    """A p-value with two digits, however small no more than three decimals; a dash for None.

    >>> p_value(0.0421), p_value(3e-9)
    ('0.042', '< 0.001')
    """
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def flops_unit(counts: Iterable[float]) -> tuple[str, float]:
    """The unit in which the largest of these numbers of operations reads well, and its size.

    >>> flops_unit([3e9, 2.5e12])
    ('TFLOP', 1000000000000.0)
    """
    largest = max(counts, default=0.0)
    units = (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9))
    return next(((unit, size) for unit, size in units if largest >= size), ("MFLOP", 1e6))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows |= _flat(value, f"{prefix}{key}.")
        else:
            rows[prefix + key] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return rows
