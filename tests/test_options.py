"""Options: made from settings, given ones alone, one line for what is wrong with them."""

from dataclasses import replace

import pytest

from selfpretrain.arguments import CompareArguments, DiagnoseArguments
from selfpretrain.cli import main
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.options import explained, filled, parse


def test_only_what_is_given_comes_back_nested_as_the_settings_are():
    argv = [
        "proximity",
        "--symbols",
        "4",
        "--probability=.25",
        "--seeds=3-5",
        "--lr",
        "1e-3,3e-3",
        "--label.patience=2",
    ]
    assert parse(CompareArguments, argv, "compare") == {
        "task": {"data": "proximity", "options": {"symbols": 4, "probability": 0.25}},
        "config": {"seeds": "3-5", "train": {"lr": (1e-3, 3e-3)}, "label": {"patience": 2}},
    }
    assert parse(CompareArguments, [], "compare") == {}
    assert parse(DiagnoseArguments, ["--sections=data,attention", "runs/demo"], "diagnose")["config"] == {
        "sections": ("data", "attention")
    }


def test_given_settings_stand_on_a_ground():
    ground = CompareArguments()
    ground = replace(ground, config=replace(ground.config, seeds=7))
    arguments = filled(ground, parse(CompareArguments, ["--width=16", "--clip=None"], "compare"))
    assert (arguments.config.seeds, arguments.config.model.width, arguments.config.train.clip) == (7, 16, None)


@pytest.mark.parametrize(
    ("group", "setting", "option"),
    [("label", "batch_size", "--label.batch-size"), ("train", "threads", "--threads")],
)
def test_a_refusal_spells_the_option_with_the_phase_only(group, setting, option):
    with pytest.raises(SettingError) as refused:
        filled(CompareArguments(), {"config": {group: {setting: 0}}})
    assert explained(refused.value).startswith(f"{option} 0 is too small")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--sedes=3"], "did you mean --seeds?"),
        (["a.csv", "b.csv"], "unexpected argument 'b.csv'"),
        (["--width=x"], "--width cannot be 'x'; give a number"),
        (["--symbols"], "--symbols needs a value"),
        (["--symbols=x"], "--symbols cannot be 'x'"),
        (["--positions=far"], "--positions cannot be 'far'; give one of sinusoidal"),
        (["--lr=1e-3,fast"], "--lr cannot be '1e-3,fast'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(argv, words):
    with pytest.raises(RequestError) as refused:
        parse(CompareArguments, argv, "compare")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "argv", [["compare", "--label.batch-size=0"], ["compare", "--preset=no"], ["diagnose"], ["fly"]]
)
def test_a_wrong_command_ends_with_2_and_one_line(argv, capsys):
    assert main(argv) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("selfpretrain: ")
    assert error.count("\n") == 1
