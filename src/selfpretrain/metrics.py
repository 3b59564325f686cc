"""The only definition of a metric. Imports little until something is computed.

A metric that decides a comparison is written as a mean over rows: every row contributes a number, and their mean is the
metric. So one interval, over seeds and rows, serves all of them. Accuracy and log-loss are such means. The others are
linearised: a row's contribution is the metric plus the row's influence on it, whose mean is 0. For the area under the
ROC curve these are the structural components of DeLong et al. (1988), for the F1 score the terms of the delta method.

``sklearn.metrics.log_loss`` clips probabilities at 2e-16, which would hide how wrong a confident model is; the loss
here is exact for any logits, and equal to it elsewhere (a test compares them, and all others with scikit-learn's).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfpretrain.config import MetricName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15
"""Equally wide bins of confidence of the calibration error (Guo et al. 2017)."""
TINY = 1e-300
"""Counts for a probability of 0."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Scores of a classifier on a split: accuracy in [0, 1], and cross-entropy in nats.

    Attributes:
        score: the metric that decides, the larger the better; None where that is accuracy.
    """

    acc: float
    loss: float
    score: float | None = None

    @property
    def rank(self) -> tuple[float, float]:
        """What a model is picked by, the larger the better: the metric that decides, then the loss."""
        return self.acc if self.score is None else self.score, -self.loss

    @classmethod
    def of_logits(
        cls, logits: "NDArray[np.float64]", y: "NDArray[np.int64]", metric: MetricName = "accuracy"
    ) -> "Metrics":
        """``loss = -mean_n log softmax(logits_n)[y_n]``, with logits (N, classes) and true classes (N,).

        >>> import numpy as np
        >>> metrics = Metrics.of_logits(np.array([[0.0, 0.0], [0.0, np.log(3.0)]]), np.array([0, 1]))
        >>> round(metrics.loss, 6), metrics.acc  # (ln 2 + ln 4/3) / 2
        (0.490415, 1.0)
        """
        import numpy as np
        from scipy.special import log_softmax
        from sklearn.metrics import accuracy_score

        log_p = log_softmax(logits, axis=1)
        loss = -np.mean(log_p[np.arange(len(y)), y])
        score = None if metric == "accuracy" else float(contributions(metric, np.exp(log_p), y).mean())
        return cls(acc=float(accuracy_score(y, logits.argmax(axis=1))), loss=float(loss), score=score)

    @classmethod
    def of_probabilities(
        cls, probabilities: "NDArray[Any]", y: "NDArray[np.int64]", metric: MetricName = "accuracy"
    ) -> "Metrics":
        """The same of class probabilities (N, classes)."""
        import numpy as np

        return cls.of_logits(np.log(np.maximum(probabilities, TINY)), y, metric)


def contributions(metric: MetricName, p: "NDArray[Any]", y: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """What each row adds to a metric, (N,); the mean is the metric, negative for log-loss: the larger the better.

    Args:
        metric: balanced accuracy is the mean recall, macro F1 the mean F1 score of all classes, and auroc the mean area
            of each class against all others; classes without a row are left out but for F1, where they count as 0 once
            they are predicted.
        p: class probabilities (N, classes).
        y: true classes (N,).
    """
    import numpy as np

    p = np.asarray(p, dtype=np.float64)
    n, predicted = len(y), p.argmax(axis=1)
    hits: NDArray[np.float64] = (predicted == y).astype(np.float64)
    if metric == "accuracy":
        return hits
    if metric == "log_loss":
        log_p: NDArray[np.float64] = np.log(np.maximum(p[np.arange(n), y], TINY))
        return log_p
    columns = []
    for c in range(p.shape[1]):
        own, taken = y == c, predicted == c
        if metric == "macro_f1":
            if not (own | taken).any():
                continue
            doubled, size = 2.0 * (own & taken), own.astype(np.float64) + taken
            f1 = doubled.sum() / size.sum()
            columns.append(f1 + (doubled - f1 * size) * n / size.sum())
        elif metric == "balanced_accuracy" and own.any():
            recall = hits[own].mean()
            columns.append(recall + np.where(own, hits - recall, 0.0) * n / own.sum())
        elif metric == "auroc" and own.any() and not own.all():
            columns.append(_area(p[:, c], own))
    return np.mean(columns, axis=0) if columns else np.full(n, np.nan)


def _area(scores: "NDArray[np.float64]", own: "NDArray[np.bool_]") -> "NDArray[np.float64]":
    """The area under the ROC curve as contributions of the rows (N,); ties count half."""
    import numpy as np
    from scipy.stats import rankdata

    n, n_own = len(own), int(own.sum())
    ranks, within = rankdata(scores), np.empty(n)
    within[own], within[~own] = rankdata(scores[own]), rankdata(scores[~own])
    beaten = ranks - within  # rows of the other side that a row lies above
    shares = np.where(own, beaten / (n - n_own), 1 - beaten / n_own)
    area = shares[own].mean()
    areas: NDArray[np.float64] = area + (shares - area) * n / np.where(own, n_own, n - n_own)
    return areas


def all_scores(p: "NDArray[Any]", y: "NDArray[np.int64]") -> dict[str, float | None]:
    """Every metric of a run, by name, as it is usually given: losses and errors are positive.

    Of rows of a single class there is no area under the ROC curve: None.
    """
    import numpy as np

    names: tuple[MetricName, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss")
    scores = {name: float(contributions(name, p, y).mean()) for name in names}
    p = np.asarray(p, dtype=np.float64)
    brier = np.square(p - np.eye(p.shape[1])[y]).sum(axis=1).mean()
    errors = {"log_loss": -scores["log_loss"], "brier": float(brier), "calibration_error": calibration_error(p, y)}
    return {name: None if np.isnan(score) else score for name, score in (scores | errors).items()}


def calibration_error(p: "NDArray[np.float64]", y: "NDArray[np.int64]") -> float:
    """Expected calibration error: how far confidence is from accuracy, over bins of confidence, weighted by rows.

    ``sum_b n_b / N |accuracy_b - confidence_b|``, with the probability of the predicted class as confidence.

    Source: Guo et al. (2017), On calibration of modern neural networks.
    """
    import numpy as np

    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(y))


@dataclass(frozen=True)
class Unit:
    """How a metric is written."""

    title: str
    unit: str = "points"

    def level(self, score: float) -> str:
        """A score.

        >>> UNITS["accuracy"].level(0.8404), UNITS["log_loss"].level(-0.5)
        ('84.0%', '0.500 nats')
        """
        return f"{100 * score:.1f}%" if self.unit == "points" else f"{abs(score):.3f} {self.unit}"

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """An interval of scores, the larger the better, as it is usually given and cut to what the metric can be.

        >>> UNITS["accuracy"].bounds(0.9, 1.1), UNITS["log_loss"].bounds(-0.7, 0.1)
        ((0.9, 1.0), (0.0, 0.7))
        """
        return (max(0.0, low), min(1.0, high)) if self.unit == "points" else (max(0.0, -high), -low)

    def bare(self, score: float | None) -> str:
        """A score without its unit, per cent or nats; a dash for None."""
        return "-" if score is None else self.level(score).removesuffix(f" {self.unit}").removesuffix("%")

    def lead(self, difference: float | None) -> str:
        """A difference of scores with its sign, without the unit; above 0 is better. A dash for None.

        >>> UNITS["accuracy"].lead(0.1234), UNITS["accuracy"].lead(-0.0001), UNITS["log_loss"].lead(0.1)
        ('+12.3', '+0.0', '+0.100')
        """
        if difference is None:
            return "-"
        digits = 1 if self.unit == "points" else 3
        scaled = 100 * difference if self.unit == "points" else difference
        return f"{round(scaled, digits) + 0.0:+.{digits}f}"


UNITS: Mapping[MetricName, Unit] = {
    "accuracy": Unit("accuracy"),
    "balanced_accuracy": Unit("balanced accuracy"),
    "macro_f1": Unit("macro F1"),
    "auroc": Unit("area under the ROC curve"),
    "log_loss": Unit("log-loss", "nats"),
}
