"""The only definition of a metric."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from selfpretrain.results import Metrics


def accuracy(predicted: NDArray[Any], y: NDArray[Any]) -> float:
    """Share of equal entries, in [0, 1].

    >>> accuracy(np.array([1, 0, 2, 2]), np.array([1, 0, 2, 0]))
    0.75
    """
    return float(np.mean(predicted == y))


def classification_metrics(logits: NDArray[np.float64], y: NDArray[np.int64]) -> Metrics:
    """Cross-entropy in nats and accuracy of class logits.

    ``loss = -mean_n log softmax(logits_n)[y_n]``.

    Args:
        logits: (N, classes).
        y: (N,) true classes.

    >>> metrics = classification_metrics(np.array([[0.0, 0.0], [0.0, np.log(3.0)]]), np.array([0, 1]))
    >>> round(metrics.loss, 6), metrics.acc  # (ln 2 + ln 4/3) / 2
    (0.490415, 1.0)
    """
    loss = -np.mean(log_softmax(logits, axis=1)[np.arange(len(y)), y])
    return Metrics(acc=accuracy(logits.argmax(axis=1), y), loss=float(loss))


def probability_metrics(probabilities: NDArray[np.float64], y: NDArray[np.int64]) -> Metrics:
    """The same of class probabilities (N, Y); one of 0 counts as 1e-300.

    >>> round(probability_metrics(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1])).loss, 6)
    0.490415
    """
    return classification_metrics(np.log(np.maximum(probabilities, 1e-300)), y)
