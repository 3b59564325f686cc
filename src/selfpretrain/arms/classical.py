"""Classical models: what no network should lose to. Each is tuned on validation over a grid of its own.

The arm ``classical`` is the best of logistic regression and extra trees on the features of the kind of data (see
``data.kinds``). Where there are training rows without a label, which self-pretraining sees too, self-training joins
them: a model labels the rows that it is sure of, and is fitted again (Yarowsky 1995). Where there are many rows, some
of them pick the model, which is then fitted on all: with 55,000 images the whole grid took over nine minutes. Of a
pair a, b the features are those of a and of b, how far they are apart, and their products: [a, b, |a - b|, a b].
``quant`` and ``rocket`` are classifiers of time series from the package aeon, an extra.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from selfpretrain.arms.builtin import PACKAGE
from selfpretrain.metrics import Metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.config import ClassWeights, KindName, MetricName
    from selfpretrain.data.kinds import Features
    from selfpretrain.data.task import Split, Task

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties C of logistic regression (ours)."""
LEAVES, TREES = (1, 3, 10), 300
"""Minimum sequences in a leaf, and number of trees (ours)."""
SMOOTHING = (0.001, 0.01, 0.1)
"""Counts added to every feature of a class by naive Bayes (ours)."""
TUNING_ROWS, FITTING_ROWS = 5_000, 50_000
"""Of more training rows so many, drawn at random, pick the model; and of more than the latter, it is fitted on so many
(ours: a grid over 5,000 rows of 1,100 features takes a minute on one core)."""
SURE = 0.9
"""Probability from which self-training takes a prediction for a label (ours)."""


@dataclass(frozen=True)
class ClassicalModel:
    """Features of sequences, and an estimator of scikit-learn on them; both fitted.

    Attributes:
        features: name of what the transformer reads, of the views of the kind.
        per_row: sequences of a row.
    """

    kind: "KindName"
    features: str
    transformer: Any
    estimator: Any
    per_row: int = 1

    def probabilities(self, split: "Split") -> "NDArray[Any]":
        """Of the classes of every row, (N, classes)."""
        from selfpretrain.data.kinds import KINDS

        table = self.transformer.transform(KINDS[self.kind].views[self.features](split))
        predicted: NDArray[Any] = self.estimator.predict_proba(_in_pairs(table, self.per_row))
        return predicted


@dataclass(frozen=True)
class Fitted:
    """A classical model that was fitted and tuned.

    Attributes:
        choice: which model it is.
        probabilities: gives those of the rows of a split, (N, classes).
        model: to be saved; None for one that cannot be.
    """

    choice: str
    train: Metrics
    val: Metrics
    seconds: float
    probabilities: "Callable[[Split], NDArray[Any]]"
    model: ClassicalModel | None = None


class _Candidate(NamedTuple):
    rank: tuple[float, float]
    name: str
    model: ClassicalModel


def fit_classical(task: "Task", metric: "MetricName" = "accuracy", class_weights: "ClassWeights" = "none") -> Fitted:
    """The model that is best on validation by the metric, the loss second; ties go to the first."""
    from selfpretrain.data.kinds import KINDS

    begun = time.monotonic()
    weight = None if class_weights == "none" else "balanced"
    some, few = _with_rows(task, FITTING_ROWS), _with_rows(task, TUNING_ROWS)
    every = KINDS[task.kind].features(few)
    best = max((one for seen in every for one in _candidates(seen, few, metric, weight)), key=attrgetter("rank"))
    model = best.model if len(few.train) == len(some.train) else _refitted(best.model, some)
    choice = f"{model.features}, {best.name}"
    if len(some.train) < len(task.train):
        choice += f", fitted on {len(some.train):,} rows"
    return _fitted(choice, model.probabilities, task, metric, begun, model)


def _with_rows(task: "Task", most: int) -> "Task":
    """The task with so many training rows, drawn at random, and one of every class, and few enough without a label."""
    from selfpretrain.streams import numpy_stream

    rows, unlabelled = task.train, task.unlabelled
    if unlabelled is not None:
        unlabelled = unlabelled.sample(FITTING_ROWS)
    if len(rows) > most:
        drawn = numpy_stream(0, "train-sample").permutation(len(rows))[:most]
        rows = rows.rows(np.union1d(drawn, np.unique(rows.y, return_index=True)[1]))
    return replace(task, train=rows, unlabelled=unlabelled)


def _refitted(model: ClassicalModel, task: "Task") -> ClassicalModel:
    """The same model, fitted on these rows."""
    from sklearn.base import clone
    from sklearn.semi_supervised import SelfTrainingClassifier

    from selfpretrain.data.kinds import KINDS

    view, transformer = KINDS[task.kind].views[model.features], clone(model.transformer)
    estimator = clone(model.estimator)
    table, y = _in_pairs(transformer.fit_transform(view(task.train)), model.per_row), task.train.y
    if task.unlabelled is not None and isinstance(estimator, SelfTrainingClassifier):
        table, y = _joined(table, y, _in_pairs(transformer.transform(view(task.unlabelled)), model.per_row))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(table, y)
    return replace(model, transformer=transformer, estimator=estimator)


def _candidates(
    features: "Features", task: "Task", metric: "MetricName" = "accuracy", weight: str | None = None
) -> Iterator[_Candidate]:
    """The models of some features, each fitted."""
    from selfpretrain.data.kinds import KINDS

    view, transformer, per_row = KINDS[task.kind].views[features.name], features.transformer, task.inputs.per_row
    train = _in_pairs(transformer.fit_transform(view(task.train)), per_row)
    val = _in_pairs(transformer.transform(view(task.val)), per_row)

    def fitted(name: str, estimator: Any, table: Any, y: "NDArray[np.int64]") -> _Candidate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weak penalties that do not converge, and then lose
            estimator.fit(table, y)
        metrics = Metrics.of_probabilities(estimator.predict_proba(val), task.val.y, metric)
        model = ClassicalModel(task.kind, features.name, transformer, estimator, per_row)
        return _Candidate(metrics.rank, name, model)

    supervised = [fitted(name, estimator, train, task.train.y) for name, estimator in _models(features, weight)]
    yield from supervised
    if task.unlabelled is None:
        return
    table, y = _joined(train, task.train.y, _in_pairs(transformer.transform(view(task.unlabelled)), per_row))
    best = max(supervised, key=attrgetter("rank"))
    for name, estimator in _self_training(features, best):
        yield fitted(f"self-trained {name}", estimator, table, y)


def _fitted(
    choice: str,
    probabilities: "Callable[[Split], NDArray[Any]]",
    task: "Task",
    metric: "MetricName",
    begun: float,
    model: ClassicalModel | None = None,
) -> Fitted:
    return Fitted(
        choice=choice,
        train=Metrics.of_probabilities(probabilities(task.train), task.train.y, metric),
        val=Metrics.of_probabilities(probabilities(task.val), task.val.y, metric),
        seconds=time.monotonic() - begun,
        probabilities=probabilities,
        model=model,
    )


def _models(features: "Features", weight: str | None = None) -> Iterator[tuple[str, Any]]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    for c in STRENGTHS:
        yield f"logistic regression, C {c:g}", LogisticRegression(C=c, max_iter=500, class_weight=weight)
    for leaf in LEAVES if features.trees else ():
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=leaf, class_weight=weight, random_state=0)
        yield f"extra trees, leaves of {leaf}", trees


def _self_training(features: "Features", best: _Candidate) -> Iterator[tuple[str, Any]]:
    """Self-training of the best model; of naive Bayes for n-grams, where others are slow, and worse when tried."""
    from sklearn.base import clone
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.semi_supervised import SelfTrainingClassifier

    bases = [(best.name, clone(best.model.estimator))]
    if not features.trees:
        bases = [(f"naive Bayes, alpha {alpha:g}", MultinomialNB(alpha=alpha)) for alpha in SMOOTHING]
    for name, base in bases:
        yield name, SelfTrainingClassifier(base, threshold=SURE)


def _joined(table: Any, y: "NDArray[np.int64]", more: Any) -> "tuple[Any, NDArray[np.int64]]":
    """Features and classes of labelled rows with those of rows without a label behind them."""
    from scipy import sparse

    from selfpretrain.data.split import UNLABELLED

    both = sparse.vstack((table, more), format="csr") if sparse.issparse(table) else np.concatenate((table, more))
    return both, np.concatenate([y, np.full(more.shape[0], UNLABELLED)])


def _in_pairs(table: Any, per_row: int) -> Any:
    """Features of rows: of pairs those of their sequences (2 N, F) as (N, 4 F), as sparse as they were."""
    if per_row == 1:
        return table
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
        return f"{PACKAGE} aeon: pip install 'selfpretrain[aeon]', or leave it out"
    return None


def fit_aeon(module: str, name: str, task: "Task", metric: "MetricName", class_weights: "ClassWeights") -> Fitted:
    """A classifier of aeon with its own settings, whatever the metric and the weights; it is one model, not tuned.

    Shorter series are padded with the channels' means.
    """
    begun = time.monotonic()
    model = getattr(import_module(f"aeon.classification.{module}"), name)(random_state=0)
    model.fit(_series(task.train), task.train.y)
    return _fitted(f"{name} of aeon", partial(_aeon_probabilities, model), task, metric, begun)


def _aeon_probabilities(model: Any, split: "Split") -> "NDArray[Any]":
    probabilities: NDArray[Any] = model.predict_proba(_series(split))
    return probabilities


def _series(split: "Split") -> "NDArray[Any]":
    """(N, C, T), as aeon reads them; values are standardised, so a mean is 0."""
    real = np.arange(split.x.shape[1]) < split.lengths[:, None]
    return np.ascontiguousarray(np.where(real[..., None], split.x, 0).transpose(0, 2, 1), dtype=np.float64)
