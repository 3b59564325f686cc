"""Labels: one class, one spelling; what is no label, no class, or several classes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfpretrain.data.labels import read_labels, typed_classes
from selfpretrain.data.schema import Schema
from selfpretrain.errors import RequestError


def read(column, unlabelled=None, typed=True):
    return read_labels("f", "label", column, unlabelled, typed=typed)


@pytest.mark.parametrize(
    ("column", "names", "label_type"),
    [
        ([0, 1, 1.0, 0.0], ["0", "1", "1", "0"], "int"),
        (["0", "1", "1.0", " 0.0 "], ["0", "1", "1", "0"], "str"),
        (np.array([1.0, 2.0, 1.0]), ["1", "2", "1"], "int"),
        ([0.5, 1.0, 0.5], ["0.5", "1", "0.5"], "float"),
        (["3.1", "3.10", "2"], ["3.1", "3.10", "2"], "str"),
        ([True, False, True], ["True", "False", "True"], "bool"),
        ([" walk", "run ", "walk"], ["walk", "run", "walk"], "str"),
        (["01", "1", "01"], ["01", "1", "01"], "str"),
        ([1, None, 2], ["1", None, "2"], "int"),
        ([1.0, float("nan"), 2.0], ["1", None, "2"], "int"),
        (["a", "NaN", "", "b"], ["a", None, None, "b"], "str"),
        ([[1], [2], None, [1]], ["1", "2", None, "1"], "int"),
        (np.array([[3], [4], [3]]), ["3", "4", "3"], "int"),
    ],
)
def test_a_class_has_one_spelling_and_its_own_type(column, names, label_type):
    labels = read(column)
    assert (labels.names, labels.label_type) == (names, label_type)


@pytest.mark.parametrize(
    ("column", "label_type"),
    [(["0", "1"], "int"), (["True", "False"], "bool"), (["0.5", "1"], "float"), (["01", "1"], "str")],
)
def test_in_a_csv_the_type_is_that_which_pandas_would_read(column, label_type):
    assert read(column, typed=False).label_type == label_type
    assert read(pa.chunked_array([column]), typed=False).label_type == label_type


@pytest.mark.parametrize("column", [[0, 1, -1, 1], ["0", "1", "-1", "1"], np.array([0.0, 1.0, -1.0, 1.0])])
def test_minus_one_beside_two_whole_numbers_is_no_label_and_said(column):
    labels = read(column)
    assert labels.names == ["0", "1", None, "1"]
    assert labels.unlabelled == "-1"
    assert "--unlabelled none reads -1 as a class" in labels.notes[0]
    assert read(column, "none").names == ["0", "1", "-1", "1"]
    assert read(column, "none").notes == ()
    assert read([1, -1, 1, -1]).names == ["1", "-1", "1", "-1"]  # two classes
    assert read(["a", "b", "-1"] * 2).names == ["a", "b", "-1"] * 2
    assert read(["a", "b", "?"] * 2, "?").names == ["a", "b", None] * 2


def test_one_hot_rows_are_classes_and_several_labels_are_refused():
    labels = read(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]))
    assert labels.names == ["1", "0", "2"]
    assert "one-hot with 3 columns" in labels.notes[0]
    for several in ([["a", "b"], ["a"]], np.array([[1, 1], [0, 1]]), [{"a": 1}, {"b": 1}]):
        with pytest.raises(RequestError, match=r"row 1: column 'label' holds a list of labels; .* one class"):
            read(several)


def test_a_continuous_target_is_refused_with_what_this_tool_does():
    generator = np.random.default_rng(0)
    for target in (generator.normal(size=60), generator.normal(size=4000).round(2), generator.permutation(60)):
        for column in (target, list(map(str, target))):
            with pytest.raises(RequestError, match=r"'label' looks continuous .* one class: name a class"):
                read(column)
    assert len(set(read(generator.integers(1, 11, size=60) / 2).names)) == 10  # ratings are classes


@given(st.lists(st.sampled_from([0, 1, 2, 30, -4]), min_size=8).filter(lambda y: len(set(y)) > 1))
def test_predictions_equal_the_labels_in_their_own_type(y):
    columns = [y, [float(n) for n in y], list(map(str, y)), [n > 0 for n in y], np.array(y, dtype=np.int8)]
    for column in columns:
        try:
            labels = read(column, "none")
        except RequestError as error:
            assert "looks continuous" in str(error)
            continue
        schema = Schema(label_type=labels.label_type, written=labels.written)
        back = typed_classes([str(name) for name in labels.names], schema)
        assert (back == np.asarray(column)).all()
