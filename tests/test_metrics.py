"""Metrics against scikit-learn."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics
from sklearn.metrics import accuracy_score, log_loss

from selfpretrain.metrics import Metrics, all_scores, contributions


def test_metrics_equal_scikit_learns():
    generator = np.random.default_rng(0)
    logits, y = generator.normal(size=(101, 5)) * 3, generator.integers(5, size=101)
    ours = Metrics.of_logits(logits, y)
    assert abs(ours.loss - log_loss(y, softmax(logits, axis=1), labels=range(5))) < 1e-12
    assert ours.acc == accuracy_score(y, logits.argmax(1))


def test_large_logits_do_not_overflow():
    ours = Metrics.of_logits(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1]))
    assert ours.loss == 5e3


NAMES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss")


def drawn(n, classes, seed=0):
    generator = np.random.default_rng(seed)
    y = generator.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    logits = generator.normal(size=(n, classes)).round(1) + np.eye(classes)[y]  # rounded, so that some are tied
    return softmax(logits, axis=1), y


@pytest.mark.parametrize("classes", [2, 4])
def test_every_metric_is_that_of_scikit_learn(classes):
    p, y = drawn(200, classes)
    predicted, one_hot = p.argmax(1), np.eye(classes)[y]
    expected = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "macro_f1": metrics.f1_score(y, predicted, average="macro"),
        "auroc": np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in range(classes)]),
        "log_loss": metrics.log_loss(y, p),
        "brier": metrics.brier_score_loss(y, p, labels=np.arange(classes), scale_by_half=False),
    }
    scores = all_scores(p, y)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert scores["brier"] == pytest.approx(np.square(p - one_hot).sum() / len(y))
    by_bins = 0.0
    for low in np.arange(15) / 15:
        inside = (p.max(1) >= low) & (p.max(1) < low + 1 / 15)
        if inside.any():
            by_bins += inside.mean() * abs(np.mean(predicted[inside] == y[inside]) - p.max(1)[inside].mean())
    assert scores["calibration_error"] == pytest.approx(by_bins)


@pytest.mark.parametrize("name", NAMES)
def test_contributions_scatter_as_the_metric_does_over_drawn_rows(name):
    """Their standard error is that of a bootstrap over rows; the metric of one class or of perfection has none."""
    p, y = drawn(400, 3)
    rows = contributions(name, p, y)
    generator = np.random.default_rng(1)
    drawn_again = (generator.integers(400, size=400) for _ in range(600))
    bootstrap = np.std([contributions(name, p[own], y[own]).mean() for own in drawn_again])
    assert rows.std() / 20 == pytest.approx(bootstrap, rel=0.12)
    sure = contributions(name, np.eye(3)[y], y)
    assert np.ptp(sure) == pytest.approx(0) and sure.mean() == pytest.approx(float(name != "log_loss"))


def test_what_picks_a_model_is_the_metric_and_then_the_loss():
    p, y = drawn(100, 3)
    plain, by_f1 = Metrics.of_probabilities(p, y), Metrics.of_probabilities(p, y, "macro_f1")
    assert plain.rank == (plain.acc, -plain.loss)
    assert by_f1.rank == (pytest.approx(metrics.f1_score(y, p.argmax(1), average="macro")), -plain.loss)
    assert Metrics.of_probabilities(p, y, "log_loss").rank[0] == pytest.approx(-plain.loss)


def test_classes_without_a_row_are_left_out():
    p, y = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]), np.array([0, 1, 1])
    assert contributions("balanced_accuracy", p, y).mean() == pytest.approx(0.75)
    assert contributions("macro_f1", p, y).mean() == pytest.approx(2 / 3)
    assert np.isnan(contributions("auroc", p, np.zeros(3, dtype=int))).all()


def test_rows_of_a_single_class_have_no_area_and_all_other_scores():
    scores = all_scores(np.array([[0.75, 0.25], [0.25, 0.75]]), np.zeros(2, dtype=int))
    assert scores["auroc"] is None
    assert {name for name, score in scores.items() if score is None} == {"auroc"}
