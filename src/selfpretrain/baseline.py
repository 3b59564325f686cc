"""The arm ``linear``: a cheap classical classifier that no clever model should lose to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.evaluate import classification_metrics
from selfpretrain.tasks import Split, Task

NGRAMS = (1, 2)
"""Symbols and pairs of neighbours (ours)."""
MAX_FEATURES = 20_000
RAW_LIMIT = 1024
"""Values join the features as they are when all sequences have one length and at most this many numbers (ours)."""
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
LAGS = (1, 2, 3, 4, 5)


def linear_baseline(task: Task, n_trials: int) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Logistic regression on n-gram counts (symbols, bytes; log-scaled and weighted by rarity) or summary statistics.

    The inverse regularisation C is picked on validation from ``n_trials`` values, log-spaced from .01 to 100, as
    many as another arm tries learning rates. Nothing in it is random.

    Returns:
        train_acc, train_loss, val_acc, val_loss, test_acc, test_loss and C; and the predicted test classes.
    """
    from sklearn.linear_model import LogisticRegression

    train, val, test = _features(task)
    grid = np.geomspace(0.01, 100.0, n_trials) if n_trials > 1 else [1.0]
    best: tuple[float, float, float, Any] | None = None
    for c in grid:
        classifier = LogisticRegression(C=float(c), max_iter=2000).fit(train, task.train.y)
        metrics = _metrics(classifier, val, task.val.y)
        candidate = (metrics["acc"], -metrics["loss"], float(c), classifier)
        if best is None or candidate[:2] > best[:2]:
            best = candidate
    assert best is not None, "the grid is not empty"
    classifier = best[3]
    result = {"C": best[2]}
    for name, x, split in (("train", train, task.train), ("val", val, task.val), ("test", test, task.test)):
        result |= {f"{name}_{metric}": value for metric, value in _metrics(classifier, x, split.y).items()}
    predicted: NDArray[np.int64] = classifier.predict(test).astype(np.int64)
    return result, predicted


def _metrics(classifier: Any, x: Any, y: NDArray[np.int64]) -> dict[str, float]:
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
