"""Cases have names and axes of their own; real data are left out where they are not at hand."""

from dataclasses import replace

import pytest

from conftest import tiny_config
from selfpretrain.arguments import STUDYS_OWN, data_of_study
from selfpretrain.config import DiagnoseConfig, TaskConfig, TrainConfig
from selfpretrain.errors import RequestError
from selfpretrain.registry import PRESETS, STUDIES
from selfpretrain.studies import Case, ground
from selfpretrain.studies.run import run_study
from test_studies_run import TINY

TASK = TaskConfig()


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"data": "../y"}, "cannot name a folder"),
        ({"data": "a/b.csv"}, "cannot name a folder"),
        ({"n": "x" * 200}, "cannot name a folder"),
        ({}, "cannot name a folder"),
        ({"lr": 3}, "has the name of a column"),
    ],
)
def test_a_case_has_a_name_for_a_folder_and_axes_of_their_own(axes, message):
    with pytest.raises(ValueError, match=message):
        Case(axes, tiny_config(), TASK)


def test_a_case_that_is_diagnosed_keeps_snapshots():
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=0))
    with pytest.raises(ValueError, match="the case n-1 is diagnosed, which takes snapshots"):
        Case({"n": 1}, config, TASK, DiagnoseConfig())


def test_a_range_of_seeds_is_no_number_for_a_study():
    with pytest.raises(ValueError, match="range of seeds"):
        Case({"n": 1}, tiny_config(seeds="3-10"), TASK)


def test_real_data_are_looked_for_where_one_says_and_left_out_where_they_are_not(tmp_path, monkeypatch):
    named, by_variable = tmp_path / "named", tmp_path / "variable"
    monkeypatch.setenv("SELFPRETRAIN_DATA", str(by_variable))
    config = tiny_config(arms=("scratch", "spt"))
    case = ground(data_dir=named).real("vowels.jsonl", config, axes={"with": "all"})
    assert (case.name, case.task.data) == ("data-vowels-with-all", str(named / "vowels.jsonl"))
    assert case.left_out.startswith(f"{named / 'vowels.jsonl'} is not there: examples/real_data.py makes it")
    assert ground().real("vowels.jsonl", config).task.data == str(by_variable / "vowels.jsonl")
    named.mkdir()
    (named / "vowels.jsonl").touch()
    assert ground(data_dir=named).real("vowels.jsonl", config).left_out is None
    with pytest.raises(RequestError, match="elsewhere is no folder; name the one with the files"):
        run_study(TINY, out=tmp_path / "o", data_dir=tmp_path / "elsewhere")
    monkeypatch.delenv("SELFPRETRAIN_DATA")
    assert ground().real("vowels.jsonl", config).task.data == "data/vowels.jsonl"


def test_options_of_data_without_data_are_refused():
    assert data_of_study(TaskConfig(data=STUDYS_OWN)) is None
    assert data_of_study(TaskConfig(data="my.csv", label="y")) == TaskConfig(data="my.csv", label="y")
    with pytest.raises(RequestError, match="is of no use without DATA"):
        data_of_study(TaskConfig(data=STUDYS_OWN, label="y"))


def test_model_and_training_that_are_asked_for_stay_and_so_does_the_task_of_a_profile():
    config = replace(PRESETS["amos-image"].config, arms=("scratch", "spt"), seeds=5)
    asked = ground("full", config=config)
    assert asked.task == ground("full").task
    assert ground("small", config=config).task == ground("small").task
    for case in STUDIES["depth"].cases_on(ground("small", config=config)):
        same = replace(
            case.config,
            model=config.model,
            label=replace(case.config.label, evaluate_every=config.label.evaluate_every),
        )
        assert same == config  # but for how often it is validated
