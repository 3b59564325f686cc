"""The classical models of the arm ``classical``, each tuned on validation over a grid of its own.

| data                               | features                              | models                             |
|------------------------------------|---------------------------------------|------------------------------------|
| symbols, bytes                     | tf-idf of 1- to 5-grams               | logistic regression                |
| symbols, bytes, of equal lengths   | one-hot positions                     | logistic regression, extra trees   |
| values                             | summaries of each channel, and the    | logistic regression, extra trees   |
|                                    | values themselves where lengths are   |                                    |
|                                    | equal                                 |                                    |

Of a pair a, b the features are those of a and of b, how far they are apart, and their products: [a, b, |a - b|, a b].
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.evaluate import probability_metrics
from selfpretrain.results import Metrics, RunResult
from selfpretrain.tasks.task import Split, Task

NGRAMS = (1, 5)
MAX_NGRAMS = 20_000
"""The commonest n-grams that are counted (ours)."""
MAX_RAW = 4096
"""One-hot positions and raw values are features up to so many numbers a sequence (ours)."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties C of logistic regression (ours)."""
LEAVES = (1, 3, 10)
"""Least sequences in a leaf of the trees (ours)."""
TREES = 300
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
LAGS = (1, 2, 3, 4, 5)
FIRST_CHARACTER = 0x10000
"""Symbols become characters from here on, beyond what counts as white space or a surrogate."""


class Features(NamedTuple):
    """Tables of the three splits, and what may be fitted to them."""

    name: str
    tables: tuple[Any, Any, Any]
    trees: bool


def best_classical(task: Task) -> tuple[RunResult, NDArray[np.float64]]:
    """The model that is best on validation, accuracy first and loss second; of equals the first.

    Returns:
        Its numbers, which hold for every seed; and the probabilities of the test rows (N, classes).
    """
    begun = time.monotonic()
    best: tuple[tuple[float, float], Any, Features, str] | None = None
    for features in _features(task):
        if task.inputs.per_row == 2:
            train, val, test = map(_of_pairs, features.tables)
            features = features._replace(tables=(train, val, test))
        train, val, _ = features.tables
        for name, model in _models(features):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of weak penalties that do not converge, and then lose
                model.fit(train, task.train.y)
            metrics = _metrics(model, val, task.val.y)
            score = metrics.acc, -metrics.loss
            if best is None or score > best[0]:
                best = score, model, features, name
    assert best is not None, "every kind of data has models"
    _, model, features, name = best
    train, val, test = features.tables
    on_train = _metrics(model, train, task.train.y)
    result = RunResult(
        arm="classical",
        seed=0,
        choice=f"{features.name}, {name}",
        train=on_train,
        val=_metrics(model, val, task.val.y),
        test=_metrics(model, test, task.test.y),
        train_sample_acc=on_train.acc,
        best_train_acc=on_train.acc,
        seconds_label=time.monotonic() - begun,
    )
    return result, model.predict_proba(test)


def _models(features: Features) -> Iterator[tuple[str, Any]]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    for c in STRENGTHS:
        yield f"logistic regression, C {c:g}", LogisticRegression(C=c, max_iter=500)
    for leaf in LEAVES if features.trees else ():
        yield f"extra trees, leaves of {leaf}", ExtraTreesClassifier(TREES, min_samples_leaf=leaf, random_state=0)


def _metrics(classifier: Any, x: Any, y: NDArray[np.int64]) -> Metrics:
    return probability_metrics(classifier.predict_proba(x), y)


def _features(task: Task) -> Iterator[Features]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    splits = (task.train, task.val, task.test)
    equal = int(task.train.lengths.min()) == task.length
    if task.kind == "values":
        raw = equal and task.train.x[0].size <= MAX_RAW
        tables = [_summary(split, raw=raw) for split in splits]
        scaler = StandardScaler().fit(tables[0])
        train, val, test = (scaler.transform(table) for table in tables)
        yield Features("summaries and raw values" if raw else "summaries", (train, val, test), trees=True)
        return
    documents = [["".join(map(chr, x[:n] + FIRST_CHARACTER)) for x, n in _rows(split)] for split in splits]
    vectorizer = TfidfVectorizer(
        analyzer="char", lowercase=False, ngram_range=NGRAMS, sublinear_tf=True, max_features=MAX_NGRAMS
    )
    train = vectorizer.fit_transform(documents[0])
    val, test = (vectorizer.transform(document) for document in documents[1:])
    yield Features(f"{NGRAMS[0]}-{NGRAMS[1]}-gram tf-idf", (train, val, test), trees=False)
    if equal and task.length <= MAX_RAW:
        encoder = OneHotEncoder(handle_unknown="ignore").fit(task.train.x)
        train, val, test = (encoder.transform(split.x) for split in splits)
        yield Features("one-hot positions", (train, val, test), trees=True)


def _of_pairs(table: Any) -> Any:
    """Features of pairs, from those of their sequences (2 N, F): (N, 4 F), as sparse as they were."""
    from scipy import sparse

    a, b = table[0::2], table[1::2]
    if sparse.issparse(table):
        return sparse.hstack((a, b, abs(a - b), a.multiply(b)), format="csr")
    return np.concatenate((a, b, np.abs(a - b), a * b), axis=1)


def _rows(split: Split) -> Iterator[tuple[NDArray[Any], int]]:
    """Every sequence with its length; symbols as wide integers."""
    x = split.x if split.x.dtype.kind == "f" else split.x.astype(np.int64)
    yield from zip(x, split.lengths.tolist(), strict=True)


def _summary(split: Split, *, raw: bool) -> NDArray[np.float64]:
    """Per channel: mean, deviation, quantiles, mean absolute step, autocovariances; and the values themselves."""
    rows = []
    for x, n in _rows(split):
        series = x[:n].astype(np.float64)
        centred = series - series.mean(axis=0)
        steps = np.abs(np.diff(series, axis=0)).mean(axis=0) if n > 1 else np.zeros(series.shape[1])
        lags = [(centred[k:] * centred[:-k]).sum(axis=0) / n for k in LAGS]
        quantiles = np.quantile(series, QUANTILES, axis=0)
        rows.append(np.concatenate([series.mean(0), series.std(0), *quantiles, steps, *lags, *(x if raw else ())]))
    return np.stack(rows)
