"""Scores of a saved model on a file: those of scikit-learn and by hand; rows that must not count do not."""

import csv

import numpy as np
import pytest
from scipy.stats import beta, t
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, log_loss, roc_auc_score

from selfpretrain.arms.classical import fit_classical
from selfpretrain.classifier import Classifier
from selfpretrain.config import TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.use.evaluate import evaluate_file
from test_use_predict import untrained

RNG = np.random.default_rng(1)
N = 80
VALUES = RNG.normal(size=(N, 5)).round(3)
CLASSES = RNG.integers(2, size=N)
PEOPLE = np.arange(N) // 8
HEADER = [*"abcde", "person", "class", "part"]


def write(path, classes=CLASSES, people=PEOPLE, split=None):
    split = ["train", "val", "test", "test"] * (N // 4) if split is None else split
    with path.open("w", newline="") as file:
        rows = ([*own, f"p{p}", c, s] for own, p, c, s in zip(VALUES, people, classes, split, strict=True))
        csv.writer(file).writerows([HEADER, *rows])
    return path


def model_and_file(tmp_path, **options):
    data = write(tmp_path / "all.csv")
    task = load_task(data, sequence="a,b,c,d,e", label="class", **options)
    return untrained(task), data


def test_scores_confusion_and_the_exact_interval_are_those_of_the_rows(tmp_path):
    model, data = model_and_file(tmp_path)
    result = evaluate_file(model, data)
    p = model.predict_proba({name: VALUES[:, i] for i, name in enumerate("abcde")})
    predicted = p.argmax(axis=1)
    hits = int((predicted == CLASSES).sum())
    assert result.scores["accuracy"] == accuracy_score(CLASSES, predicted) and result.rows == N
    assert result.scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(CLASSES, predicted))
    assert result.scores["auroc"] == pytest.approx(roc_auc_score(CLASSES, p[:, 1]))
    assert result.scores["log_loss"] == pytest.approx(log_loss(CLASSES, p))
    assert np.array_equal(result.confusion, confusion_matrix(CLASSES, predicted))
    exact = beta.ppf(0.025, hits, N - hits + 1), beta.ppf(0.975, hits + 1, N - hits)
    assert result.ci95["accuracy"] == pytest.approx(exact)
    losses = -np.log(p[np.arange(N), CLASSES])
    half = t.ppf(0.975, N - 1) * losses.std(ddof=1) / N**0.5
    assert result.ci95["log_loss"] == pytest.approx((losses.mean() - half, losses.mean() + half))


def test_groups_are_the_sample_and_a_missing_column_of_them_is_said(tmp_path):
    model, data = model_and_file(tmp_path, group="person")
    result = evaluate_file(model, data)
    hits = model.predict({name: VALUES[:, i] for i, name in enumerate("abcde")}) == CLASSES
    of_groups = [hits[person == PEOPLE].mean() for person in range(10)]  # of equal size: the mean of means
    half = t.ppf(0.975, 9) * np.std(of_groups, ddof=1) / 10**0.5
    assert result.groups == 10
    assert result.ci95["accuracy"] == pytest.approx((np.mean(of_groups) - half, np.mean(of_groups) + half))
    text = data.read_text().replace("person", "who", 1)
    (tmp_path / "other.csv").write_text(text)
    without = evaluate_file(model, tmp_path / "other.csv")
    assert without.groups is None and "no column 'person'" in without.notes[0]


def test_of_a_file_with_splits_the_test_rows_are_used_and_rows_without_a_label_are_not(tmp_path):
    model, _ = model_and_file(tmp_path)
    classes = [str(c) for c in CLASSES]
    classes[2] = ""
    data = write(tmp_path / "splits.csv", classes=classes)
    result = evaluate_file(model, data, TaskConfig(data=str(data), split="part"))
    assert result.rows == N // 2 - 1
    assert result.notes == (
        "of 80 rows the 40 of the test split are used (column 'part')",
        "1 rows without a label are left out",
    )


def test_a_series_is_split_as_a_whole_and_perfect_scores_have_no_interval_without_width(tmp_path):
    rows = [
        (f"s{i}", t, 1.0 if i % 2 else -1.0, "ab"[i % 2], ["train", "val", "test"][i % 3])
        for i in range(30)
        for t in range(4)
    ]
    data = tmp_path / "series.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["who", "when", "value", "class", "part"], *rows])
    task = load_task(data, series="who", time="when", label="class", sequence="value", split="part")
    model = Classifier(task.codec, fit_classical(task).model)
    result = evaluate_file(model, data)
    assert result.rows == 10 and result.notes == ("of 30 rows the 10 of the test split are used (column 'part')",)
    assert result.scores["accuracy"] == result.scores["balanced_accuracy"] == 1
    assert "balanced_accuracy" not in result.ci95 and result.ci95["accuracy"][0] < 0.75


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["0"] * 78 + ["7", "8"], r"2 rows have a class that the model does not know: 7, 8; it knows 0, 1"),
        ([""] * N, "no row has a label; name the column of the class with --label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(tmp_path, classes, message):
    model, _ = model_and_file(tmp_path)
    with pytest.raises(RequestError, match=message):
        evaluate_file(model, write(tmp_path / "new.csv", classes=classes))
