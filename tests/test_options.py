"""Options: task options taken out, suggestions, and one list of all."""

import pytest

from selfpretrain.cli import CompareArguments, DiagnoseArguments
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.options import explained, flag, options_of, take_task_options, value_of


def test_task_options_come_in_both_spellings_and_as_numbers():
    rest, options = take_task_options(["proximity", "--symbols", "4", "--probability=.25", "--seeds=3", "--length=8"])
    assert rest == ["proximity", "--seeds=3"]
    assert options == {"symbols": 4, "probability": 0.25, "length": 8}


@pytest.mark.parametrize("argv", [["--symbols"], ["--symbols=x"], ["--symbols", "--seeds=3"], ["--length=1.5"]])
def test_a_task_option_without_its_number_is_refused(argv):
    with pytest.raises(RequestError, match="give a number"):
        take_task_options(argv)


def test_every_setting_is_an_option_and_phases_keep_their_name():
    options = list(options_of(CompareArguments))
    assert len(set(options)) == len(options)
    wanted = {"--arms", "--width", "--mask-ratio", "--label.duration", "--pretrain.duration", "--lr", "--out", "--kind"}
    assert wanted <= set(options)
    assert {"--sections", "--sample", "--workers"} <= set(options_of(DiagnoseArguments))


def test_a_refusal_spells_the_option_with_its_group():
    error = SettingError("batch_size", 0, "is too small")
    assert explained(error, "label") == "--label.batch-size 0 is too small"
    assert explained(error, "train") == "--batch-size 0 is too small"
    assert flag("max_lag") == "--max-lag"


def test_a_value_is_found_before_the_rest_is_parsed():
    assert value_of("--preset", ["a", "--preset", "small"]) == "small"
    assert value_of("--preset", ["--preset=small"]) == "small"
    assert value_of("--preset", ["--preset"]) is None
    assert value_of("--preset", []) is None
