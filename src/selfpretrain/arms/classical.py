"""Classical models: what no network should lose to. Each is tuned on validation over a grid of its own.

The arm ``classical`` is the best of logistic regression and extra trees on the features of the kind of data (see
``data.kinds``). Of a pair a, b the features are those of a and of b, how far they are apart, and their products:
[a, b, |a - b|, a b]. ``quant`` and ``rocket`` are classifiers of time series from the package aeon, an extra.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from selfpretrain.metrics import Metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.data.kinds import Features
    from selfpretrain.data.task import Split, Task

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties C of logistic regression (ours)."""
LEAVES, TREES = (1, 3, 10), 300
"""Minimum sequences in a leaf, and number of trees (ours)."""


@dataclass(frozen=True)
class Fitted:
    """A classical model that was fitted and tuned; its test predictions are made when they are asked for.

    Attributes:
        choice: which model it is.
        test_probabilities: gives those of the test rows, (N, classes).
    """

    choice: str
    train: Metrics
    val: Metrics
    seconds: float
    test_probabilities: "Callable[[], NDArray[Any]]"


def fit_classical(task: "Task") -> Fitted:
    """The model that is best on validation, accuracy first and loss second; ties go to the first."""
    from selfpretrain.data.kinds import KINDS

    begun = time.monotonic()
    best: tuple[tuple[float, float], Any, Features, str] | None = None
    for features in KINDS[task.kind].features(task):
        if task.inputs.per_row == 2:
            features = features._replace(tables=tuple(map(_of_pairs, features.tables)))
        for name, model in _models(features):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of weak penalties that do not converge, and then lose
                model.fit(features.tables[0], task.train.y)
            metrics = Metrics.of_probabilities(model.predict_proba(features.tables[1]), task.val.y)
            score = metrics.acc, -metrics.loss
            if best is None or score > best[0]:
                best = score, model, features, name
    assert best is not None, "every kind of data has models"
    _, model, features, name = best
    return _fitted(f"{features.name}, {name}", model, features.tables, task, begun)


def _fitted(choice: str, model: Any, tables: Sequence[Any], task: "Task", begun: float) -> Fitted:
    train, val, test = tables
    return Fitted(
        choice=choice,
        train=Metrics.of_probabilities(model.predict_proba(train), task.train.y),
        val=Metrics.of_probabilities(model.predict_proba(val), task.val.y),
        seconds=time.monotonic() - begun,
        test_probabilities=lambda: model.predict_proba(test),
    )


def _models(features: "Features") -> Iterator[tuple[str, Any]]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    for c in STRENGTHS:
        yield f"logistic regression, C {c:g}", LogisticRegression(C=c, max_iter=500)
    for leaf in LEAVES if features.trees else ():
        yield f"extra trees, leaves of {leaf}", ExtraTreesClassifier(TREES, min_samples_leaf=leaf, random_state=0)


def _of_pairs(table: Any) -> Any:
    """Features of pairs, from those of their sequences (2 N, F): (N, 4 F), as sparse as they were."""
    import numpy as np
    from scipy import sparse

    a, b = table[0::2], table[1::2]
    if sparse.issparse(table):
        return sparse.hstack((a, b, abs(a - b), a.multiply(b)), format="csr")
    return np.concatenate((a, b, np.abs(a - b), a * b), axis=1)


def aeon_obstacle(task: "Task") -> str | None:
    """Why classifiers of aeon cannot be fitted to a task; None if they can."""
    if not task.inputs.channels:
        return f"reads values, and these sequences are {task.kind}; leave it out"
    if task.inputs.per_row > 1:
        return "reads one series a row, and these rows are pairs; leave it out"
    if find_spec("aeon") is None:
        return "needs the package aeon: pip install 'selfpretrain[aeon]', or leave it out"
    return None


def fit_aeon(module: str, name: str, task: "Task") -> Fitted:
    """A classifier of aeon with its own settings; shorter series are padded with the channels' means."""
    begun = time.monotonic()
    model = getattr(import_module(f"aeon.classification.{module}"), name)(random_state=0)
    tables = [_series(split) for split in (task.train, task.val, task.test)]
    model.fit(tables[0], task.train.y)
    return _fitted(f"{name} of aeon", model, tables, task, begun)


def _series(split: "Split") -> "NDArray[Any]":
    """(N, C, T), as aeon reads them; values are standardised, so a mean is 0."""
    import numpy as np

    real = np.arange(split.x.shape[1]) < split.lengths[:, None]
    return np.ascontiguousarray(np.where(real[..., None], split.x, 0).transpose(0, 2, 1), dtype=np.float64)
