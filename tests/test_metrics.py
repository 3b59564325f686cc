"""Metrics against scikit-learn."""

import numpy as np
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

from selfpretrain.metrics import Metrics


def test_metrics_equal_scikit_learns():
    generator = np.random.default_rng(0)
    logits, y = generator.normal(size=(101, 5)) * 3, generator.integers(5, size=101)
    metrics = Metrics.of_logits(logits, y)
    assert abs(metrics.loss - log_loss(y, softmax(logits, axis=1), labels=range(5))) < 1e-12
    assert metrics.acc == accuracy_score(y, logits.argmax(1))


def test_large_logits_do_not_overflow():
    metrics = Metrics.of_logits(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1]))
    assert metrics.loss == 5e3
