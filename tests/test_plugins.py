"""An installed package adds an arm, a task, an objective, a section and a study, and the command line has them.

The first four are the examples of docs/extending.md, word by word; its study is run in test_studies_run.py.
"""

import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

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


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package as a package manager leaves it, with one module that an entry point names."""
    site = tmp_path / "site"
    about = site / "additions-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: additions\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[selfpretrain.plugins]\nadditions = additions_plugin\n")
    (site / "additions_plugin.py").write_text("\n".join([*BLOCKS[:4], STUDY]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))
    return tmp_path


@pytest.fixture
def done(cli, installed):
    """What a command prints; it has to end well."""

    def run(*arguments):
        result = cli(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def read(path):
    return json.loads(path.read_text())


def test_each_example_takes_fewer_than_thirty_lines():
    assert len(BLOCKS) == 5
    assert max(len(code.splitlines()) for code in (*BLOCKS, STUDY)) < 30


def test_an_arm_and_a_task_are_compared_diagnosed_by_a_section_and_reported(done, installed):
    folder = installed / "o"
    done("compare", "ramp", "--length=10", "--arms=flat,scratch", "--workers=2", "--out=o", *TINY)
    summary = read(folder / "summary.json")
    assert (summary["task"]["name"], summary["task"]["length"]) == ("ramp", 10)
    assert [(c["arm"], c["against"]) for c in summary["comparisons"]] == [("flat", "scratch")]
    assert summary["verdict"].startswith(TITLE)  # no list of our own has to know it
    assert read(folder / "runs/flat-seed0/config.json")["training"]["frozen"] == ["query-key"]
    assert "norms" in done("diagnose", "--help")
    done("diagnose", "o", "--sections=norms", "--sample=20", "--max-lag=2", "--workers=2")
    norms = pd.read_parquet(folder / "diagnosis/table")
    assert list(norms["name"]) == ["norm"] * 2 * 3 * 2  # two arms, three seeds, the start and the end
    assert (norms["value"] > 0).all()
    done("report", "o")
    page = (folder / "report.html").read_text()
    assert SAYS in page and "flat - scratch" in page


def test_a_task_is_described(done):
    said = done("data", "describe", "ramp", "--sequences=60")
    assert "rises" in said and "falls" in said
    assert "ramp" in done("data", "list")


def test_an_objective_is_what_self_pretraining_does(done, installed):
    done("compare", "ramp", "--arms=scratch,spt", "--objective=halves", "--out=o", *TINY)
    assert read(installed / "o/config.json")["request"]["objective"]["objective"] == "halves"
    training = read(installed / "o/runs/spt-seed0/config.json")["training"]
    assert training["start"]["source"]["objective"] == "halves"
    result = read(installed / "o/runs/spt-seed0/result.json")
    assert result["pretrain"]["steps"] == 12 and result["pretrain"]["val_reconstruction"] > 0


def test_a_study_is_listed_and_runs(done, installed):
    assert "Does frozen attention win?" in done("study", "list")
    done("study", "flatness", "--out=o")
    study = read(installed / "o/study.json")
    assert [case["name"] for case in study["cases"]] == ["rows-120"]
    assert study["cases"][0]["failure"] is None
    assert study["claims"][0]["effect"] is not None
