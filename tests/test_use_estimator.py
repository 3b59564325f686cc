"""The estimator does as scikit-learn's do, keeps what was pretrained, and is the same after saving."""

import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from selfpretrain import SelfPretrainedClassifier, load_model
from selfpretrain.errors import RequestError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 8))
Y = np.where(X[:, :4].mean(1) > X[:, 4:].mean(1), "up", "down")
EXPECTED = {
    "check_classifiers_train": "fitted on lists, whose lengths may differ, it should refuse arrays of another length",
    "check_methods_subset_invariance": "in float32 the seventh digit of a probability depends on the batch",
}
"""Checks of scikit-learn that do not apply to sequences, and why."""


def small(**settings):
    tiny = {"pretrain_steps": 3, "label_steps": 40, "lr": 0.02, "width": 8, "heads": 2, "depth": 1, "batch_size": 32}
    return SelfPretrainedClassifier(**{**tiny, **settings})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X, Y)


def weights(estimator):
    return {name: weight.clone() for name, weight in estimator.model_.model.state_dict().items()}


def alike(one, other):
    return all((one[name] == weight).all() for name, weight in other.items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of scikit-learn's own conversions of labels that it plants
def test_scikit_learns_checks_pass():
    failed = check_estimator(small(kind="values"), expected_failed_checks=EXPECTED, on_skip=None)
    assert len(failed) > 50


def test_it_learns_names_its_classes_and_gives_probabilities(fitted):
    assert fitted.score(X, Y) > 0.75 and fitted.classes_.tolist() == ["down", "up"] and fitted.n_features_in_ == 8
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1)
    assert fitted.lr_ == 0.02 and 0.5 < fitted.validation_score_ <= 1
    again = clone(fitted)
    assert not hasattr(again, "model_") and again.get_params() == fitted.get_params()
    assert alike(weights(again.fit(X, Y)), weights(fitted))
    assert not alike(weights(small(random_state=1).fit(X, Y)), weights(fitted))


def test_it_works_in_pipelines_searches_and_cross_validation():
    pipeline = make_pipeline(FunctionTransformer(), small(label_steps=5))
    search = GridSearchCV(pipeline, {"selfpretrainedclassifier__depth": [1, 2]}, cv=2).fit(X, Y)
    assert len(search.best_estimator_[-1].model_.model.blocks) == search.best_params_["selfpretrainedclassifier__depth"]
    assert all(cross_val_score(small(), X, Y, cv=2) > 0.6)


def test_pretrained_weights_stay_until_they_are_replaced():
    estimator = small(label_steps=1).pretrain(X)
    before = estimator.pretrained_
    one, two = weights(estimator.fit(X, Y)), weights(estimator.fit(X[:60], Y[:60] == "up"))
    assert estimator.pretrained_ is before and estimator.classes_.tolist() == [False, True]
    embedding = "embedding.weight"
    assert (one[embedding] - two[embedding]).abs().max() < 0.1  # both are a step away from the same start
    assert alike(weights(pickle.loads(pickle.dumps(estimator)).fit(X, Y)), one)
    estimator.pretrain(X)
    assert estimator.pretrained_.files["weights.safetensors"] == before.files["weights.safetensors"]  # of the same rows
    estimator.pretrain(X, continue_=True)
    assert estimator.pretrained_.training.source == before.training
    assert estimator.pretrained_.codec == before.codec
    estimator.fit(X, Y)
    with pytest.raises(RequestError, match="width cannot change, since the pretrained weights depend on it"):
        estimator.set_params(width=16, label_steps=2)
    assert estimator.set_params(label_steps=2, width=8).label_steps == 2
    with pytest.raises(RequestError, match="nothing is pretrained yet"):
        small().pretrain(X, continue_=True)


def test_the_size_of_patches_stays_that_of_the_pretrained_weights():
    rng = np.random.default_rng(0)
    long, short = rng.normal(size=(40, 70)), rng.normal(size=(40, 30))
    estimator = small(patch=0, kind="values").pretrain(list(long))
    assert estimator.pretrained_.training.model.patch == 4
    assert estimator.fit(list(short), np.arange(40) % 2).model_.model.config.patch == 4
    assert small(patch=0, kind="values").fit(list(short), np.arange(40) % 2).model_.model.config.patch == 1


@pytest.mark.parametrize(
    "rows",
    [
        ["".join("ab"[k] for k in RNG.integers(2, size=n)) for n in RNG.integers(2, 9, size=60)],
        [RNG.normal(size=(n, 2)) for n in RNG.integers(2, 9, size=60)],
        [RNG.integers(4, size=n).tolist() for n in RNG.integers(2, 9, size=60)],
        RNG.normal(size=(60, 5, 3)),
    ],
    ids=["texts", "channels", "symbols", "array"],
)
def test_sequences_of_every_kind_and_of_different_lengths_and_rows_without_a_label(rows):
    y = np.array([0, 1, 2] * 20, dtype=object)
    y[::5] = None
    estimator = small(label_steps=2).fit(rows, y)
    assert estimator.predict(rows).dtype.kind == "i" and set(estimator.predict(rows)) <= {0, 1, 2}
    assert not hasattr(estimator, "n_features_in_")


def test_a_saved_model_gives_equal_probabilities_in_another_process(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "m")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import numpy as np, sys; from selfpretrain import SelfPretrainedClassifier as C; import torch;"
        "torch.set_num_threads(1); d = sys.argv[1];"
        "np.save(d + '/p.npy', C.from_pretrained(d + '/m').predict_proba(np.load(d + '/x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), fitted.predict_proba(X))
    assert load_model(tmp_path / "m").predict(X[:5]).tolist() == fitted.predict(X[:5]).tolist()
    assert SelfPretrainedClassifier.from_pretrained(tmp_path / "m").classes_.tolist() == ["down", "up"]


@pytest.mark.parametrize(
    ("change", "rows", "y", "message"),
    [
        ({}, X, None, "requires y to be passed"),
        ({}, X, RNG.normal(size=90), "Unknown label type"),
        ({}, X, Y[:-1], "90 sequences, 89 labels"),
        ({"arm": "classical"}, X, Y, "arm classical trains no network"),
        ({"width": 7}, X, Y, "width|heads"),
        ({"preset": "none"}, X, Y, "none"),
        ({"preset": None}, X, Y, "preset None is no text"),
        ({"metric": "x"}, X, Y, "metric|Invalid"),
        ({"class_weights": {0: 1}}, X, Y, "class_weights|Expected"),
        ({}, X, [1, "1"] * 45, "y mixes texts and other labels"),
        ({"max_seconds": 0.001}, X, Y, "max_seconds=0.001 is too short"),
        ({}, X[:, :0], Y, r"0 feature\(s\)"),
        ({"n_jobs": 0}, X, Y, "n_jobs"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, rows, y, message):
    with pytest.raises(ValueError, match=message):
        small(**change).fit(rows, y)


def test_classes_are_in_the_order_of_numpy_and_keep_their_spelling():
    rows = [[i % 3] * 3 + RNG.integers(3, 9, size=5).tolist() for i in range(60)]
    for labels in (["9", "10", "a "], [-1, 0, 1], [2.0, -1.0, 7.0], ["a", "a ", ""]):
        y = np.array(labels * 20)
        estimator = small(kind="symbols", label_steps=60).fit(rows, y)
        known = sorted({*y.tolist()} - ({-1} if y.dtype.kind == "i" else set()))
        assert estimator.classes_.tolist() == known
        learnt = [label in known for label in y.tolist()]
        assert np.mean(estimator.predict(rows)[learnt] == y[learnt]) > 0.8
        assert estimator.predict_proba(rows).argmax(1).tolist() == [
            known.index(label) for label in estimator.predict(rows).tolist()
        ]


def test_what_was_cut_is_warned_of_and_weights_do_not_change_under_parameters():
    rows = [RNG.integers(4, size=(30, 6)[i % 2]).tolist() for i in range(40)]
    with pytest.warns(UserWarning, match="20 sequences were longer than max_length 8 and were cut"):
        small(kind="symbols", max_length=8, label_steps=1).fit(rows, [0, 1] * 20)
    estimator = small(kind="symbols", label_steps=1).pretrain([row[:5] for row in rows])
    with pytest.warns(UserWarning, match="longer than any in it and were cut to 5"):
        estimator.fit(rows, [0, 1] * 20)
    estimator.width = 16
    with pytest.raises(RequestError, match="width cannot change"):
        estimator.fit(rows, [0, 1] * 20)
    estimator.width, estimator.arm = 8, "scratch"
    with pytest.raises(RequestError, match="arm scratch does not start from pretrained weights"):
        estimator.fit(rows, [0, 1] * 20)


def test_saving_replaces_a_model_and_nothing_else(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "m")
    fitted.save_pretrained(tmp_path / "m")
    (tmp_path / "m" / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds something else than a model"):
        fitted.save_pretrained(tmp_path / "m")
    assert (tmp_path / "m" / "notes.txt").read_text() == "mine"


def test_other_rows_than_it_was_fitted_on_are_refused(fitted):
    with pytest.raises(NotFittedError):
        small().predict(X)
    with pytest.raises(ValueError, match="7 features, but SelfPretrainedClassifier is expecting 8"):
        fitted.predict(X[:, :7])
    with pytest.raises(ValueError, match="X: 2 channels where training had 1; give both the same"):
        fitted.predict(np.stack([X, X], axis=2))


@pytest.mark.slow
def test_time_bounds_a_fit():
    begun = time.monotonic()
    estimator = SelfPretrainedClassifier(max_seconds=30, preset="minimal").fit(X, Y)
    assert time.monotonic() - begun < 36 and estimator.model_.model.config.width == 32


def test_progress_is_shown_where_it_is_asked_for(capsys):
    small(label_steps=2, verbose=True).fit(X, Y)
    assert "label lr" in capsys.readouterr().err
    small(label_steps=2).fit(X, Y)
    assert not capsys.readouterr().err
