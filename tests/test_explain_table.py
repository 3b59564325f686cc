"""The table of a diagnosis: a number a row, read as it was written, and by pandas without our help."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from selfpretrain.explain.table import COLUMNS, Measurement, joined, pick, read_table, tidy, write_table
from selfpretrain.registry import SECTIONS

VALUES = np.arange(24.0).reshape(2, 3, 4)
CURVES = Measurement(
    name="curve",
    values=torch.tensor(VALUES, requires_grad=True),
    unit="nats",
    axes=("layer", "head", "x"),
    coordinates={"x": [-1.0, 0.0, 0.5, 2.0]},
    arm="spt",
    seed=3,
    stage="start",
    step=0,
    n=20,
)
NUMBER = Measurement(name="number", values=[1.5, np.nan, np.inf, -np.inf], unit="1", axes=("layer",), arm="scratch")
PROTOCOL = {"task": "t", "runs": {"spt-seed0": "key"}, "lr": [0.1, 0.2], "max_lag": 3, "grid": None}


def test_every_number_is_a_row_with_its_coordinates():
    table = tidy("shapes", [CURVES])
    assert list(table.columns) == list(COLUMNS)
    expected = {
        (layer, head, x): VALUES[layer, head, i]
        for layer in range(2)
        for head in range(3)
        for i, x in enumerate(CURVES.coordinates["x"])
    }
    assert table.set_index(["layer", "head", "x"])["value"].to_dict() == expected
    shared = table[["section", "name", "unit", "arm", "seed", "stage", "step", "n", "dtype"]].drop_duplicates()
    assert shared.to_numpy().tolist() == [["shapes", "curve", "nats", "spt", 3, "start", 0, 20, "float32"]]
    empty = ["lag", "group", "loss", "y", "other_arm", "other_stage", "other_layer", "cell"]
    assert list(table.columns[table.isna().all()]) == empty


def test_what_is_not_finite_is_undefined_and_whole_numbers_stay_whole_beside_missing_ones():
    table = tidy("shapes", [CURVES, NUMBER])
    assert table["value"].isna().tolist() == [False] * 25 + [True] * 3
    for column in ("seed", "step", "layer", "head", "n"):
        assert table[column].dtype == "Int64"
    assert pick(table, "number")["layer"].tolist() == [0, 1, 2, 3]
    assert pick(table, "number")["seed"].isna().all()


@pytest.mark.parametrize("axes", [(), ("layer",), ("layer", "head", "lag", "x")])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ValueError, match="curve: 3 dimensions"):
        tidy("shapes", [Measurement(name="curve", values=VALUES, unit="1", axes=axes)])


def test_coordinates_that_do_not_fit_are_refused():
    with pytest.raises(ValueError):
        tidy("shapes", [Measurement(name="curve", values=[1.0, 2.0], unit="1", axes=("x",), coordinates={"x": [0.0]})])


def test_rows_are_picked_by_value_or_by_being_empty():
    table = tidy("shapes", [CURVES, NUMBER])
    assert len(pick(table, "curve")) == 24
    assert pick(table, "curve", layer=1, x=0.5)["value"].tolist() == [14.0, 18.0, 22.0]
    assert len(pick(table, "curve", group=None, arm="spt", seed=3)) == 24
    assert pick(table, "curve", group="norms").empty and pick(table, "curve", arm=None).empty


def test_a_table_goes_round_with_its_protocol(tmp_path):
    path, table = tmp_path / "shapes.parquet", tidy("shapes", [CURVES, NUMBER])
    write_table(path, table, PROTOCOL)
    pd.testing.assert_frame_equal(read_table(path, PROTOCOL), table)
    pd.testing.assert_frame_equal(read_table(path, {**PROTOCOL, "more": 1}), table)
    pd.testing.assert_frame_equal(pd.read_parquet(path), table)
    write_table(path, tidy("shapes", []), PROTOCOL)
    pd.testing.assert_frame_equal(read_table(path, PROTOCOL), tidy("shapes", []))


@pytest.mark.parametrize(
    "protocol",
    [{**PROTOCOL, "max_lag": 4}, {**PROTOCOL, "runs": {}}, {**PROTOCOL, "lr": [0.1]}, {"task": "t"}, {}],
)
def test_a_table_of_another_protocol_is_none(protocol, tmp_path):
    write_table(tmp_path / "shapes.parquet", tidy("shapes", [NUMBER]), PROTOCOL)
    assert read_table(tmp_path / "shapes.parquet", protocol) is None


def test_a_missing_damaged_or_foreign_file_is_none(tmp_path):
    path, table = tmp_path / "shapes.parquet", tidy("shapes", [CURVES])
    assert read_table(path, PROTOCOL) is None
    write_table(path, table, PROTOCOL)
    whole, schema = path.read_bytes(), pq.read_table(path).schema
    for damaged in (b"", b"{}", whole[:-9], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert read_table(path, PROTOCOL) is None
    table.to_parquet(path)  # without a protocol
    assert read_table(path, PROTOCOL) is None
    for protocol in (b"{", b"[]", b"3"):
        pq.write_table(schema.with_metadata({b"protocol": protocol}).empty_table(), path)
        assert read_table(path, PROTOCOL) is None


def test_sections_are_one_table(tmp_path):
    sections = [tidy("first", [CURVES]), tidy("second", [NUMBER])]
    for name, section in zip(("first", "second"), sections, strict=True):
        write_table(tmp_path / f"{name}.parquet", section, {**PROTOCOL, "of": name})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path), joined(sections))
    pd.testing.assert_frame_equal(joined([]), tidy("", []))


def test_names_belong_to_one_section(explained):
    folder, diagnosis = explained
    names = diagnosis.table.groupby("name")["section"].nunique()
    assert (names == 1).all()
    assert list(diagnosis.table["section"].unique()) == list(SECTIONS)
    by_section = pd.read_parquet(folder / "diagnosis/table").groupby("section", sort=False)
    for section, rows in diagnosis.table.groupby("section"):
        pd.testing.assert_frame_equal(by_section.get_group(section).reset_index(drop=True), rows.reset_index(drop=True))


def test_every_measurement_is_in_the_list_of_the_docs(explained):
    """By its name, the ends of intervals and errors by their suffix."""
    page = (Path(__file__).parents[1] / "docs/diagnostics.md").read_text()
    listed = set()
    for line in page[page.index("## The table") :].splitlines():
        names = re.findall(r"`(\w+)`", line.split("|")[2]) if line.count("|") == 6 else []
        suffixes = [name for name in names if name.startswith("_")]
        listed |= {name + suffix for name in names if not name.startswith("_") for suffix in ("", *suffixes)}
    assert set(explained[1].table["name"]) <= listed
