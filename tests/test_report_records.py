"""Published results: read from a data file, and shown beside a task that was made as it is published."""

import csv
from dataclasses import replace
from importlib import resources
from types import SimpleNamespace

import pytest

from selfpretrain.config import TaskConfig
from selfpretrain.report import page
from selfpretrain.report.records import published
from selfpretrain.serial import to_dict
from selfpretrain.tasks.builtin import ListOps


def test_every_record_has_a_source_and_a_status_and_shares_that_can_be():
    text = (resources.files("selfpretrain.report") / "lra_records.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        assert row["source"] and row["status"].startswith(("read there", "quoted by"))
        cells = [value for name, value in row.items() if name.startswith("lra-") and value]
        assert len(cells) >= 5 and all(10 < float(value) < 100 for value in cells)


@pytest.mark.parametrize(
    ("name", "options", "shown"),
    [
        ("lra-listops", ListOps(), True),
        ("lra-listops", ListOps(max_tokens=600), False),
        ("lra-listops", ListOps(sequences=2000), False),
        ("lra-listops-small", ListOps(), False),
        ("digits", None, False),
        ("mine.csv", None, False),
    ],
)
def test_records_stand_beside_the_task_as_it_is_published_alone(name, options, shown):
    source = to_dict(replace(TaskConfig(data=name), options={} if options is None else to_dict(options)))
    content = SimpleNamespace(summary=SimpleNamespace(task=SimpleNamespace(name=name)), request={"source": source})
    assert page._published(content) == (published("lra-listops") if shown else [])


def test_of_data_in_memory_nothing_is_published():
    content = SimpleNamespace(summary=SimpleNamespace(task=SimpleNamespace(name="arrays")), request={"source": None})
    assert page._published(content) == []
