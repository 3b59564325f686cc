"""``selfpretrain evaluate``: how good a saved model is on a file of labelled rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from selfpretrain.classifier import Classifier
from selfpretrain.comparison.folder import SPLITS, ComparisonFolder
from selfpretrain.config import MetricName, TaskConfig
from selfpretrain.data.cells import check_channels
from selfpretrain.data.columns import listed, some
from selfpretrain.data.load import load_task
from selfpretrain.data.read import one_a_series, rows_of_table
from selfpretrain.data.rows import Rows, parsed
from selfpretrain.data.sequences import interleaved
from selfpretrain.data.spelling import refuse
from selfpretrain.data.table import SPLIT_NAMES, Table
from selfpretrain.data.task import Split
from selfpretrain.metrics import UNITS, all_scores, contributions
from selfpretrain.stats import clustered, t_interval
from selfpretrain.use.rows import tables_for

UNNAMED_LABELS = ("label", "y")
"""Columns of the class for a model that was trained on sequences without names."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a model is on labelled rows.

    Attributes:
        rows: that have a label; others are left out.
        groups: that they belong to, which the intervals then take as independent; None: rows are.
        classes: class names, in the order of ``confusion``.
        scores: every metric by its name; losses and errors are positive. None: not defined for these rows.
        ci95: intervals over other rows (or groups) of the same kind, of the metrics that are means over rows.
        confusion: rows of a class (row) that are taken for a class (column).
        notes: which rows of the file were left out.
    """

    rows: int
    groups: int | None
    classes: tuple[str, ...]
    scores: Mapping[str, float | None]
    ci95: Mapping[str, tuple[float, float]]
    confusion: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...] = ()


def evaluate_file(
    model: Classifier, path: Path, config: TaskConfig | None = None, folder: Path | None = None
) -> Evaluation:
    """Evaluate a model on the labelled rows of a file; where it has a column of splits, on its test rows.

    The interval of the accuracy is exact (Clopper and Pearson); the others, and all where rows belong to groups, are
    t-intervals of what each row or group adds to the metric.

    Args:
        model: see ``load_model``.
        path: a table as ``compare`` reads it.
        config: how the text of ``path`` is spelt, and what its columns are called where they have other names.
        folder: where the model was loaded from. If it is part of a comparison and ``path`` is the file that was
            compared, only its test rows are used.

    Raises:
        RequestError: the file cannot be read as the training data were, or has classes that the model does not know.
    """
    config = config or TaskConfig(data=str(path))
    named, table = next(tables_for(model, path, config, whole=True))
    rows, used, notes = _labelled(path, named, table, config)
    if folder is not None and used.all():
        used, seen = _unseen(folder, path, len(used))
        notes += seen
    codec = named.codec
    for column in rows.columns:
        check_channels(path, column, len(codec.mean), "training")
    known = {name: number for number, name in enumerate(codec.classes)}
    labels = [label for label, is_used in zip(rows.labels, used, strict=True) if is_used and label is not None]
    if strange := sorted(set(labels) - known.keys()):
        count = sum(label in strange for label in labels)
        problem = f"{count} rows have a class that the model does not know: {some(strange)}"
        refuse(path, None, f"{problem}; it knows {some(codec.classes)}. Remove these rows, or train with them")
    if not labels:
        refuse(path, None, "no row has a label; name the column of the class with --label")
    if left := int(used.sum()) - len(labels):
        notes.append(f"{left} rows without a label are left out")
    y = np.array([-1 if label is None else known.get(label, -1) for label in rows.labels], dtype=np.int64)
    sequences = interleaved(rows.columns)
    if unknown := int(codec.unknown(sequences.cut(codec.length)).sum()):
        notes.append(f"{unknown} symbols do not occur in training and were read as unknown")
    x, lengths = codec.arrays(sequences)
    groups = None if rows.groups is None else np.unique(rows.groups, return_inverse=True)[1]
    coded = Split(x, lengths, y, per_row=codec.per_row, groups=groups).rows(np.flatnonzero(used & (y >= 0)))
    p = model.probabilities(coded)
    n = len(codec.classes)
    confusion = np.bincount(coded.y * n + p.argmax(axis=1), minlength=n * n).reshape(n, n)
    return Evaluation(
        rows=len(coded),
        groups=None if coded.groups is None else coded.n_groups,
        classes=codec.classes,
        scores=all_scores(p, coded.y),
        ci95={metric: bounds for metric in UNITS if (bounds := _interval(metric, p, coded)) is not None},
        confusion=tuple(map(tuple, confusion.tolist())),
        notes=tuple(notes),
    )


def _labelled(
    path: Path, model: Classifier, table: Table, config: TaskConfig
) -> tuple[Rows, NDArray[np.bool_], list[str]]:
    """The rows of a table, which of them to use (N,), and what a reader should know."""
    schema, notes = model.codec.schema, list[str]()
    label = config.label or schema.label
    label = label or next((name for name in UNNAMED_LABELS if name in table.columns), UNNAMED_LABELS[0])
    group = config.group or schema.group
    if group is not None and group not in table.columns:
        notes.append(f"there is no column '{group}', so that rows, and not groups, count as independent")
        group = None
    own = replace(schema, label=label, group=group, split=None)
    settings = replace(config, data=str(path), kind=model.codec.kind, allow_missing=model.codec.allow_missing)
    rows = parsed(path, rows_of_table(path, table, settings, own), settings)
    split, used = config.split or schema.split, np.ones(len(rows.labels), dtype=np.bool_)
    if split is not None and split in table.columns:
        whole = schema.series is not None
        cells = one_a_series(path, table, replace(own, split=split), "split") if whole else listed(table.columns[split])
        parts = [SPLIT_NAMES.get(str(cell).strip().lower()) for cell in cells]
        if "test" in parts:
            used = np.array([part == "test" for part in parts])
            notes.append(f"of {len(parts)} rows the {used.sum()} of the test split are used (column '{split}')")
        else:
            notes.append(f"column '{split}' has no test rows, so all rows are used, those of training too")
    return rows, used, notes


def _unseen(folder: Path, path: Path, n_rows: int) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows of a file (N,) to use, and what a reader should know: of the file that was compared its test rows."""
    whole = folder.resolve()
    comparison = next((place for place in (whole, *whole.parents) if (place / SPLITS).is_file()), None)
    record = None if comparison is None else ComparisonFolder(comparison).record
    source = None if record is None else record.source
    used = np.ones(n_rows, dtype=np.bool_)
    if record is None or source is None or not Path(source.data).exists() or not path.samefile(source.data):
        return used, []
    if source.train_on_test or source.test is not None:
        return used, ["the model was trained on this file, so these scores are too good: name another file"]
    task = load_task(source)
    if task.fingerprint != record.task:
        return used, ["the model was trained on rows of this file, which has changed since: scores may be too good"]
    used = np.isin(np.arange(n_rows), task.test.numbers)
    return used, [f"of {n_rows} rows only the {used.sum()} of the comparison's test split are used"]


def _interval(metric: MetricName, p: NDArray[np.float64], rows: Split) -> tuple[float, float] | None:
    """95% interval of a metric as it is usually given; None where there is none."""
    d = contributions(metric, p, rows.y)
    if metric == "accuracy" and rows.groups is None:
        exact = binomtest(int(d.sum()), len(d)).proportion_ci(0.95, method="exact")
        return float(exact.low), float(exact.high)
    groups = clustered(d[None], rows.groups)[0]
    if np.ptp(groups) == 0:  # no spread, and no certainty either
        return None
    interval = t_interval(groups)
    if interval.low is None or interval.high is None or np.isnan(interval.mean):
        return None
    return UNITS[metric].bounds(interval.low, interval.high)
