"""Files as tables: separators, headers, encodings and compression are recognised, told, or refused by name."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from selfpretrain.config import TaskConfig
from selfpretrain.data.columns import listed
from selfpretrain.data.table import read_table
from selfpretrain.errors import RequestError, SettingError


def columns(path, **options):
    table = read_table(path, TaskConfig(data=str(path), **options))
    return {name: listed(cells) for name, cells in table.columns.items()}


def text(folder, content, name="a.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path


ROWS = {"sequence": ["1 2", "3 4"], "label": ["a", "é"]}


@pytest.mark.parametrize(
    ("content", "name", "encoding", "options"),
    [
        ("sequence,label\n1 2,a\n3 4,é\n", "a.csv", "utf-8", {}),
        ("sequence;label\n1 2;a\n3 4;é\n", "a.csv", "utf-8", {}),
        ("sequence\tlabel\n1 2\ta\n3 4\té\n", "a.csv", "utf-8", {}),
        ("sequence,label\n1 2,a\n3 4,é\n", "a.tsv", "utf-8", {}),
        ("sep=|\r\nsequence|label\r\n1 2|a\r\n3 4|é\r\n", "a.csv", "utf-8", {}),
        (' sequence , label \n"1 2",a\n"3 4",é\n', "a.csv", "utf-8", {}),
        ("sequence#label\n1 2#a\n3 4#é\n", "a.csv", "utf-8", {"separator": "#"}),
        ("sequence\tlabel\n1 2\ta\n3 4\té\n", "a.csv", "utf-8", {"separator": "\\t"}),
        ("sequence,label\n1 2,a\n3 4,é\n", "a.csv", "utf-8-sig", {}),
        ("sequence,label\n1 2,a\n3 4,é\n", "a.csv", "utf-16", {}),
        ("sequence,label\n1 2,a\n3 4,é\n", "a.csv", "latin-1", {"encoding": "latin-1"}),
        ("sequence,label\n1 2,a\n3 4,é\n", "a.csv", "utf-16-le", {"encoding": "utf-16-le"}),
        ('{"sequence": "1 2", "label": "a"}\n{"sequence": "3 4", "label": "é"}', "a.jsonl", "utf-16", {}),
    ],
)
def test_a_text_is_the_same_table_however_it_is_written(tmp_path, content, name, encoding, options):
    assert columns(text(tmp_path, content, name, encoding), **options) == ROWS
    packed = text(tmp_path, gzip.compress(content.encode(encoding)), name + ".gz")
    assert columns(packed, **options) == ROWS


def test_a_header_of_numbers_is_none_and_no_row_is_lost(tmp_path):
    table = read_table(text(tmp_path, "1\t0.5\t2e3\n2\t-1\tnan\n", "a.tsv"), TaskConfig())
    assert (table.names, len(table), table.headless) == (["column1", "column2", "column3"], 2, True)
    assert "the first row is data, not a header (--header yes overrides)" in table.notes
    assert columns(text(tmp_path, "a,b\n1,2\n"), header="no") == {"column1": ["a", "1"], "column2": ["b", "2"]}
    assert columns(text(tmp_path, "5,7\n1,2\n"), header="yes") == {"5": ["1"], "7": ["2"]}
    assert columns(text(tmp_path, ",0,1\n0,5,6\n")) == {"": ["0"], "0": ["5"], "1": ["6"]}  # an index of pandas
    assert columns(text(tmp_path, "400.5,402.1,label\n5,6,a\n")) == {"400.5": ["5"], "402.1": ["6"], "label": ["a"]}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("0,1,2\n5,6,7\n", "a.csv", r"the first row \(0, 1, ... 2\) can be column names or data; give --header yes"),
        ("a,b;c,d\n1,2;3,4\n", "a.csv", "cells can be separated by comma and semicolon; say which with --separator"),
        ("a,b\n1,2\n1,2,3\n", "a.csv", "row 2: 3 columns where the first row has 2; .* --separator"),
        ("1,2.5\n1,2.5,3\n", "a.csv", "row 2: 3 columns where the first row has 2"),
        ("a,a\n1,2\n", "a.csv", "column 'a' occurs twice"),
        ("label,x\né,1\n".encode("latin-1"), "a.csv", "not UTF-8 text; name its encoding, such as --encoding latin-1"),
        ("label,x\na,1\n".encode("utf-16-le"), "a.csv", "zero bytes: not UTF-8 text; .* --encoding utf-16"),
        (b'{"a": 1}\n' + b"\xe9", "a.jsonl", "not UTF-8 text"),
        (b"no gzip", "a.csv.gz", "cannot be read"),
        (b"no zstd", "a.csv.zst", "cannot be read"),
        (pa.compress(b"a,b\n1,2\n" * 9999, codec="zstd", asbytes=True)[:-9], "a.csv.zst", "cannot be read"),
        (pa.compress(b"a,b\n1,2\n", codec="zstd", asbytes=True), "a.csv", "compressed with zstd"),
        (gzip.compress(b"a,b\n1,2\n" * 999, mtime=0)[:-20], "a.csv.gz", "cannot be read"),
        ("a,b\n", "a.csv", "there are no rows"),
        ("", "a.csv", "the file is empty"),
        ("x", "a.xlsx", r"unknown extension '\.xlsx'; use one of \.csv, .* end in \.gz"),
        ('{"a": 1}\n[1]', "a.jsonl", "row 2: not a JSON object"),
        ('{"a": 1}\n{', "a.jsonl", "row 2: not valid JSON"),
        ("no parquet", "a.parquet", "not a readable Parquet file"),
        (
            "no npz",
            "a.npz",
            r"cannot be read \(BadZipFile: File is not a zip file\); save it with numpy\.savez",
        ),
    ],
)
def test_what_cannot_be_read_one_way_is_refused_with_the_cure(tmp_path, content, name, message):
    with pytest.raises(RequestError, match=message) as caught:
        columns(text(tmp_path, content, name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("encoding", "klingon", "no encoding that Python knows"),
        ("separator", ",,", "is not one character"),
        ("header", "maybe", "one of yes, no"),
        ("decimal", ";", r"one of \., ,"),
        ("dates", "ymd", "one of dmy, mdy"),
        ("axes", "tnc", "one of ntc, nct"),
        ("allow_missing", "median", "one of mean, last, mask"),
        ("kind", "numbers", "one of symbols, bytes, values"),
    ],
)
def test_an_option_with_an_unknown_value_is_refused_with_those_that_there_are(option, value, message):
    with pytest.raises(SettingError, match=message):
        TaskConfig(**{option: value})


def test_an_option_of_text_files_does_not_go_with_others(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)))
    with pytest.raises(RequestError, match="--encoding is for text files"):
        columns(tmp_path / "a.npz", encoding="latin-1")


def test_binary_texts_of_parquet_are_decoded(tmp_path):
    path = tmp_path / "a.parquet"
    for kind in (pa.binary(), pa.large_binary(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())):
        parquet.write_table(pa.table({"x": pa.array(["ab", "é", None]).cast(kind)}), path)
        assert columns(path) == {"x": ["ab", "é", None]}
    parquet.write_table(pa.table({"x": [b"ab", b"\xff"]}), path)
    with pytest.raises(RequestError, match="row 2: bytes that are no UTF-8 text"):
        read_table(path, TaskConfig()).columns["x"]  # only who asks for it gets the refusal


def test_arrays_of_an_npz_are_columns_and_its_parts_a_split(tmp_path):
    path, x, y = tmp_path / "a.npz", np.arange(12).reshape(4, 3), np.array([0, 1, 0, 1])
    np.savez(path, X_train=x[:3], y_train=y[:3], X_test=x[3:], y_test=y[3:], more=np.zeros(2))
    table = read_table(path, TaskConfig())
    assert table.names == ["x", "y", "split", "more"]
    assert table.columns["x"].tolist() == x.tolist()
    assert (table.columns["split"], table.numbers.tolist()) == (["train"] * 3 + ["test"], [0, 1, 2, 0])
    np.savez(path, x_train=x, y_train=y[:2])
    with pytest.raises(RequestError, match=r"x_train \(4, 3\) and y_train \(2,\)"):
        read_table(path, TaskConfig())
    np.savez(path, x_train=x)
    with pytest.raises(RequestError, match="there is no array 'y_train'"):
        read_table(path, TaskConfig())
