"""One table is one task, however it is spelt: every format, separator, encoding, order, list, type and frame."""

import csv
import gzip
import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfpretrain.data.load import load_task

N = 24
LABELS = [n % 3 for n in range(N)]
WORDS = ("get", "put", "del", "list")


def table_of(kind, seed, shortest):
    """Sequences of sixteenths, of few whole numbers, or of words, with ``shortest`` to 6 entries."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(shortest, 7, size=N)
    lengths[0] = 6
    entries = {
        "values": lambda n: (generator.integers(-800, 800, size=n) / 8 + 1 / 16).tolist(),
        "symbols": lambda n: generator.integers(6, size=n).tolist(),
        "words": lambda n: generator.choice(WORDS, size=n).tolist(),
    }[kind]
    return [entries(n) for n in lengths]


def wide(rows, empty=""):
    """A column a step, beside the label."""
    table = {f"t{t}": [row[t] if t < len(row) else empty for row in rows] for t in range(6)}
    return {**table, "label": LABELS}


def text_of(table, separator=",", quoting=csv.QUOTE_MINIMAL, order=None, first=""):
    names = list(table) if order is None else [list(table)[place] for place in order]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting)
    writer.writerows([names, *zip(*(table[name] for name in names), strict=True)])
    return first + buffer.getvalue()


def saved(path, text, encoding="utf-8"):
    data = text.encode(encoding)
    packed = {".gz": gzip.compress, ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True)}
    path.write_bytes(packed.get(path.suffix, bytes)(data))
    return path


def cells(rows, spell):
    return {"sequence": [spell(row) for row in rows], "label": LABELS}


def numpy_text(row):
    return str(np.array(row))


def one_channel(rows):
    return np.array([[*row, *[np.nan] * (6 - len(row))] for row in rows], dtype=np.float64)


def long_rows(rows):
    """A row a time step, the steps of each series in another order."""
    steps = [(f"s{n}", t, x, LABELS[n]) for n, row in enumerate(rows) for t, x in reversed(list(enumerate(row)))]
    return dict(zip(("series", "minute", "x", "label"), map(list, zip(*steps, strict=True)), strict=True))


def comma(table):
    return {
        name: [str(x).replace(".", ",") if isinstance(x, float) else x for x in column]
        for name, column in table.items()
    }


def parquet_file(folder, table):
    parquet.write_table(pa.table(table), folder / "a.parquet")
    return folder / "a.parquet"


def jsonl(folder, table):
    lines = [json.dumps(dict(zip(table, row, strict=True))) for row in zip(*table.values(), strict=True)]
    return saved(folder / "a.jsonl", "\n".join(lines))


def npz(folder, x):
    np.savez(folder / "a.npz", x=x, y=np.array(LABELS))
    return folder / "a.npz"


OPTIONS = {"label": "label"}
ALL = ("values", "symbols", "words")
NUMBERS = ("values", "symbols")
SPELLINGS = {
    # name: (kinds of data, how it is written or held, options)
    "comma": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r))), {}),
    "columns reversed": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), order=[6, 5, 4, 3, 2, 1, 0])), {}),
    "columns mixed": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), order=[3, 0, 6, 5, 1, 4, 2])), {}),
    "semicolon": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), ";")), {}),
    "tab": (ALL, lambda f, r: saved(f / "a.tsv", text_of(wide(r), "\t")), {}),
    "tab in csv": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), "\t")), {}),
    "bar": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), "|")), {"separator": "|"}),
    "quoted": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), quoting=csv.QUOTE_ALL)), {}),
    "sep= line": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r), ";", first="sep=;\r\n")), {}),
    "decimal comma": (NUMBERS, lambda f, r: saved(f / "a.csv", text_of(comma(wide(r)), ";")), {"decimal": ","}),
    "byte-order mark": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r)), "utf-8-sig"), {}),
    "utf-16": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r)), "utf-16"), {}),
    "latin-1": (ALL, lambda f, r: saved(f / "a.csv", text_of(wide(r)), "latin-1"), {"encoding": "latin-1"}),
    "gzip": (ALL, lambda f, r: saved(f / "a.csv.gz", text_of(wide(r))), {}),
    "zstd": (ALL, lambda f, r: saved(f / "a.csv.zst", text_of(wide(r))), {}),
    "nan for empty": (NUMBERS, lambda f, r: saved(f / "a.csv", text_of(wide(r, "NaN"))), {}),
    "blanks": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, lambda row: " ".join(map(str, row))))), {}),
    "commas": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, lambda row: ",".join(map(str, row))))), {}),
    "list": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, str))), {}),
    "tuple": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, lambda row: str(tuple(row))))), {}),
    "array": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, numpy_text))), {}),
    "json": (ALL, lambda f, r: saved(f / "a.csv", text_of(cells(r, json.dumps))), {}),
    "reprs": (NUMBERS, lambda f, r: saved(f / "a.csv", text_of(cells(r, lambda row: repr(list(np.array(row)))))), {}),
    "json lines of lists": (ALL, lambda f, r: jsonl(f, cells(r, list)), {}),
    "json lines of texts": (ALL, lambda f, r: jsonl(f, cells(r, str)), {}),
    "json lines of columns": (ALL, lambda f, r: jsonl(f, wide(r, None)), {}),
    "parquet of lists": (ALL, lambda f, r: parquet_file(f, cells(r, list)), {}),
    "parquet of texts": (ALL, lambda f, r: parquet_file(f, cells(r, str)), {}),
    "parquet of bytes": (ALL, lambda f, r: parquet_file(f, cells(r, lambda row: str(row).encode())), {}),
    "parquet of columns": (ALL, lambda f, r: parquet_file(f, wide(r, None)), {}),
    "npz": (NUMBERS, lambda f, r: npz(f, one_channel(r)), {}),
    "npz of float32": (NUMBERS, lambda f, r: npz(f, one_channel(r).astype(np.float32)), {}),
    "npz, class in a column": (
        NUMBERS,
        lambda f, r: np.savez(f / "a.npz", x=one_channel(r), y=np.array(LABELS)[:, None]) or f / "a.npz",
        {},
    ),
    "a row a step": (
        ALL,
        lambda f, r: saved(f / "a.csv", text_of(long_rows(r))),
        {"series": "series", "time": "minute"},
    ),
    "pandas": (ALL, lambda f, r: pd.DataFrame(wide(r, None)), OPTIONS),
    "pandas of lists": (ALL, lambda f, r: pd.DataFrame(cells(r, list)), OPTIONS),
    "pandas of arrays": (ALL, lambda f, r: pd.DataFrame(cells(r, np.array)), OPTIONS),
    "pandas of categories": (ALL, lambda f, r: pd.DataFrame(wide(r, None)).astype({"label": "category"}), OPTIONS),
    "polars": (ALL, lambda f, r: pl.DataFrame(wide(r, None)), OPTIONS),
    "polars of lists": (ALL, lambda f, r: pl.DataFrame(cells(r, list)), OPTIONS),
    "arrow": (ALL, lambda f, r: pa.table(wide(r, None)), OPTIONS),
    "columns": (ALL, lambda f, r: wide(r, None), OPTIONS),
    "lists": (ALL, lambda f, r: list(r), "y"),
    "arrays": (ALL, lambda f, r: [np.array(row) for row in r], "y"),
    "texts": (ALL, lambda f, r: [str(row) for row in r], "y"),
    "generator": (ALL, lambda f, r: (row for row in r), "y"),
    "array of numbers": (NUMBERS, lambda f, r: one_channel(r), "y"),
    "masked array": (NUMBERS, lambda f, r: np.ma.masked_invalid(one_channel(r)), "y"),
    "tensor": (NUMBERS, lambda f, r: torch.tensor(one_channel(r)), "y"),
    "series": (ALL, lambda f, r: pd.Series(list(r)), "y"),
}


@given(
    st.sampled_from(ALL),
    st.integers(0, 2**32),
    st.sampled_from([6, 4]),
    st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=6, max_size=6, unique=True),
)
@example(
    "words", 8843691, 4, ["arrow", "columns", "comma", "pandas", "polars", "quoted"]
)  # few words in the last column
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_table_is_one_task_however_it_is_spelt(tmp_path, kind, seed, shortest, names):
    rows = table_of(kind, seed, shortest)
    expected = load_task(rows, LABELS)
    assert expected.kind == ("values" if kind == "values" else "symbols")
    for name in names:
        kinds, write, options = SPELLINGS[name]
        if kind in kinds:
            data = write(tmp_path, rows)
            task = load_task(data, LABELS) if options == "y" else load_task(data, **options)
            assert task.fingerprint == expected.fingerprint, name


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("most", [5, 120])
def test_whole_numbers_are_the_same_in_every_type(tmp_path, dtype, most):
    x = np.random.default_rng(0).integers(0, most, size=(N, 6))
    expected = load_task(x.tolist(), LABELS).fingerprint
    typed = x.astype(dtype)
    assert load_task(typed, LABELS).fingerprint == expected
    assert load_task(torch.tensor(typed), np.array(LABELS)).fingerprint == expected
    assert load_task(npz(tmp_path, typed)).fingerprint == expected
    frame = {f"t{t}": typed[:, t] for t in range(6)}
    assert load_task({**frame, "label": LABELS}, label="label").fingerprint == expected
    assert load_task(pd.DataFrame(frame), LABELS).fingerprint == expected
