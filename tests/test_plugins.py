"""An installed package adds an arm, a task, an objective, a section and a study, and the command line has them.

The first four are the examples of docs/extending.md, word by word; its study is run in test_studies_run.py.
"""

import json
import os
import pickle
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from selfpretrain import registry
from selfpretrain.cli import main

pytestmark = pytest.mark.whole
GUIDE = (Path(__file__).parents[1] / "docs/extending.md").read_text()
BLOCKS = [code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "register" in code]
SAYS = re.search(r'says="(.*?)"', BLOCKS[0])[1]
TITLE = re.search(r'title="(.*?)"', BLOCKS[0])[1]
STUDY = '''
from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.registry import register
from selfpretrain.studies import Ahead, Case, Study


def flat_cases(ground):
    """One comparison of seconds."""
    config = CompareConfig(
        arms=("scratch", "flat"),
        model=ModelConfig(width=8, heads=2),
        label=PhaseConfig(duration="9steps", batch_size=16),
        train=TrainConfig(lr=(1e-2,)),
        seeds=3,
    )
    return [Case({"rows": 120}, config, TaskConfig(data="ramp"))]


register(
    Study(
        name="flatness",
        question="Does frozen attention win?",
        expected="No.",
        minutes=1,
        claims=(Ahead(text="Frozen attention beats scratch", case="rows-120", arm="flat"),),
        cases=flat_cases,
    )
)
'''
TINY = [
    *("--width=8", "--seeds=3", "--lr=1e-2", "--pretrain.duration=12steps", "--pretrain.batch-size=16"),
    *("--label.duration=9steps", "--label.batch-size=16"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A package as a package manager leaves it, with a module that an entry point names, in this and new processes."""
    site = tmp_path_factory.mktemp("site")
    about = site / "additions-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: additions\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[selfpretrain.plugins]\nadditions = additions_plugin\n")
    (site / "additions_plugin.py").write_text("\n".join([*BLOCKS[:4], STUDY]))
    list(registry.ARMS)  # whatever else is installed
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))
        patch.setattr(registry, "_plugins_loaded", False)
        for shelf in registry.SHELVES.values():
            patch.setattr(shelf, "_things", dict(shelf._things))
        yield
    sys.modules.pop("additions_plugin")


@pytest.fixture
def done(installed, tmp_path, monkeypatch, capsys):
    """What a command prints in this process; it has to end well."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert main(arguments) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def read(path):
    return json.loads(path.read_text())


def test_each_example_takes_fewer_than_thirty_lines():
    assert len(BLOCKS) == 5
    assert max(len(code.splitlines()) for code in (*BLOCKS, STUDY)) < 30


def test_an_arm_a_task_and_an_objective_are_compared_diagnosed_by_a_section_and_reported(done, tmp_path):
    """Compared in worker processes, which find the package by themselves."""
    folder = tmp_path / "o"
    arms = ("--arms=flat,scratch,spt", "--objective=halves")
    done("compare", "ramp", "--length=10", *arms, "--workers=2", "--out=o", *TINY)
    summary = read(folder / "summary.json")
    assert (summary["task"]["name"], summary["task"]["length"]) == ("ramp", 10)
    assert ("flat", "scratch") in [(c["arm"], c["against"]) for c in summary["comparisons"]]
    assert read(folder / "runs/flat-seed0/config.json")["training"]["frozen"] == ["query-key"]
    training = read(folder / "runs/spt-seed0/config.json")["training"]
    assert training["start"]["source"]["objective"] == "halves"
    pretrain = read(folder / "runs/spt-seed0/result.json")["pretrain"]
    assert pretrain["steps"] == 12 and pretrain["val_reconstruction"] > 0
    done("diagnose", "o", "--sections=norms", "--sample=20", "--max-lag=2", "--workers=1")
    norms = pd.read_parquet(folder / "diagnosis/table")
    assert list(norms["name"]) == ["norm"] * 3 * (2 + 3 + 2)  # three seeds, the stages of three arms
    assert (norms["value"] > 0).all()
    section = registry.SECTIONS["norms"]
    assert pickle.loads(pickle.dumps(section)) == section  # as several workers get it
    page = (folder / "report.html").read_text()
    assert SAYS in page and "flat - scratch" in page


def test_a_study_runs_and_its_arm_is_named_in_the_verdict(done, tmp_path):
    done("study", "flatness", "--out=o", "--workers=1")
    study = read(tmp_path / "o/study.json")
    assert [case["name"] for case in study["cases"]] == ["rows-120"]
    assert study["cases"][0]["failure"] is None
    assert study["claims"][0]["effect"] is not None
    verdict = read(tmp_path / "o/rows-120/summary.json")["verdict"]
    assert TITLE.lower() in verdict["answer"].lower()  # no list of our own has to know it


def test_things_of_a_package_are_described_and_listed(done, cli):
    text = done("data", "describe", "ramp", "--sequences=60")
    assert "rises" in text and "falls" in text
    assert "ramp" in done("data", "list")
    assert "Does frozen attention win?" in done("study", "list")
    assert "norms" in cli("diagnose", "--help").stdout  # a new process
