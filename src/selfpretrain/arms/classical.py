"""Classical models: what no network should lose to. Each is tuned on validation over a grid of its own.

The arm ``classical`` is the best of logistic regression and extra trees on the features of the kind of data (see
``data.kinds``). Of a pair a, b the features are those of a and of b, how far they are apart, and their products:
[a, b, |a - b|, a b]. ``quant`` and ``rocket`` are classifiers of time series from the package aeon, an extra.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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
    """A classical model that was fitted and tuned.

    Attributes:
        choice: which model it is.
        probabilities: gives those of the rows of a split, (N, classes).
    """

    choice: str
    train: Metrics
    val: Metrics
    seconds: float
    probabilities: "Callable[[Split], NDArray[Any]]"


def fit_classical(task: "Task") -> Fitted:
    """The model that is best on validation, accuracy first and loss second; ties go to the first."""
    from selfpretrain.data.kinds import KINDS

    begun = time.monotonic()
    best: tuple[tuple[float, float], str, Any, Callable[[Split], Any]] | None = None
    table_of: Callable[[Split], Any]
    for features in KINDS[task.kind].features(task):
        table_of = partial(_table, features, task.inputs.per_row)
        train = _in_pairs(features.transformer.fit_transform(features.rows(task.train)), task.inputs.per_row)
        val = table_of(task.val)
        for name, model in _models(features):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of weak penalties that do not converge, and then lose
                model.fit(train, task.train.y)
            metrics = Metrics.of_probabilities(model.predict_proba(val), task.val.y)
            score = metrics.acc, -metrics.loss
            if best is None or score > best[0]:
                best = score, f"{features.name}, {name}", model, table_of
    assert best is not None, "every kind of data has models"
    _, choice, model, table_of = best
    return _fitted(choice, model, table_of, task, begun)


def _fitted(choice: str, model: Any, table_of: "Callable[[Split], Any]", task: "Task", begun: float) -> Fitted:
    def probabilities(split: "Split") -> "NDArray[Any]":
        predicted: NDArray[Any] = model.predict_proba(table_of(split))
        return predicted

    return Fitted(
        choice=choice,
        train=Metrics.of_probabilities(probabilities(task.train), task.train.y),
        val=Metrics.of_probabilities(probabilities(task.val), task.val.y),
        seconds=time.monotonic() - begun,
        probabilities=probabilities,
    )


def _table(features: "Features", per_row: int, split: "Split") -> Any:
    """The table of a split, by a transformer that was fitted."""
    return _in_pairs(features.transformer.transform(features.rows(split)), per_row)


def _models(features: "Features") -> Iterator[tuple[str, Any]]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    for c in STRENGTHS:
        yield f"logistic regression, C {c:g}", LogisticRegression(C=c, max_iter=500)
    for leaf in LEAVES if features.trees else ():
        yield f"extra trees, leaves of {leaf}", ExtraTreesClassifier(TREES, min_samples_leaf=leaf, random_state=0)


def _in_pairs(table: Any, per_row: int) -> Any:
    """Features of rows: of pairs those of their sequences (2 N, F) as (N, 4 F), as sparse as they were."""
    if per_row == 1:
        return table
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
    model.fit(_series(task.train), task.train.y)
    return _fitted(f"{name} of aeon", model, _series, task, begun)


def _series(split: "Split") -> "NDArray[Any]":
    """(N, C, T), as aeon reads them; values are standardised, so a mean is 0."""
    import numpy as np

    real = np.arange(split.x.shape[1]) < split.lengths[:, None]
    return np.ascontiguousarray(np.where(real[..., None], split.x, 0).transpose(0, 2, 1), dtype=np.float64)
