"""The classical model of the arm ``linear``."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.evaluate import classification_metrics
from selfpretrain.results import Metrics, RunResult
from selfpretrain.tasks.task import Split, Task

NGRAMS = (1, 2)
"""Symbols and pairs of neighbours (ours)."""
MAX_FEATURES = 20_000
RAW_LIMIT = 1024
"""Values join the features as they are when all sequences have one length and at most this many numbers (ours)."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
LAGS = (1, 2, 3, 4, 5)


def linear_baseline(task: Task, n_trials: int) -> tuple[RunResult, NDArray[np.float64]]:
    """Logistic regression on n-gram counts (symbols, bytes; log-scaled and weighted by rarity) or summary statistics.

    The inverse regularisation C is picked on validation from ``n_trials`` values, log-spaced from .01 to 100, as
    many as another arm tries learning rates. Nothing in it is random.

    Returns:
        The numbers, for seed 0; and the probabilities of the test rows (N, classes).
    """
    from sklearn.linear_model import LogisticRegression

    begun = time.monotonic()
    train, val, test = _features(task)
    grid = np.geomspace(0.01, 100.0, n_trials) if n_trials > 1 else [1.0]
    tried = [LogisticRegression(C=float(c), max_iter=2000).fit(train, task.train.y) for c in grid]

    def validation(classifier: Any) -> tuple[float, float]:
        metrics = _metrics(classifier, val, task.val.y)
        return metrics.acc, -metrics.loss

    best = max(tried, key=validation)
    on_train = _metrics(best, train, task.train.y)
    result = RunResult(
        arm="linear",
        seed=0,
        train=on_train,
        val=_metrics(best, val, task.val.y),
        test=_metrics(best, test, task.test.y),
        best_train_acc=on_train.acc,
        seconds_label=time.monotonic() - begun,
    )
    return result, best.predict_proba(test)


def _metrics(classifier: Any, x: Any, y: NDArray[np.int64]) -> Metrics:
    log_probabilities = np.log(np.maximum(classifier.predict_proba(x), 1e-300))
    return classification_metrics(log_probabilities, y)


def _features(task: Task) -> tuple[Any, Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    splits = (task.train, task.val, task.test)
    if task.kind == "values":
        tables = [_summary(split) for split in splits]
        scaler = StandardScaler().fit(tables[0])
        return tuple(scaler.transform(table) for table in tables)
    documents = [[" ".join(map(str, x[:n])) for x, n in zip(split.x, split.lengths, strict=True)] for split in splits]
    vectorizer = TfidfVectorizer(
        token_pattern=r"\S+", ngram_range=NGRAMS, sublinear_tf=True, max_features=MAX_FEATURES
    ).fit(documents[0])
    return tuple(vectorizer.transform(document) for document in documents)


def _summary(split: Split) -> NDArray[np.float64]:
    """Per channel: mean, deviation, quantiles, mean absolute step, autocovariances; and short raw values."""
    rows = []
    for x, n in zip(split.x.astype(np.float64), split.lengths, strict=True):
        series = x[:n]
        centred = series - series.mean(axis=0)
        steps = np.abs(np.diff(series, axis=0)).mean(axis=0) if n > 1 else np.zeros(series.shape[1])
        lags = [(centred[k:] * centred[:-k]).sum(axis=0) / n for k in LAGS]
        quantiles = np.quantile(series, QUANTILES, axis=0)
        rows.append(np.concatenate([series.mean(0), series.std(0), *quantiles, steps, *lags]))
    table = np.stack(rows)
    fixed = int(split.lengths.min()) == split.x.shape[1]
    if fixed and split.x[0].size <= RAW_LIMIT:
        table = np.concatenate([table, split.x.reshape(len(split), -1)], axis=1)
    return table
