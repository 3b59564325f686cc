"""Presets: complete, of the published size, and all trainable."""

import pytest
import torch

from selfpretrain.arguments import compare_arguments
from selfpretrain.cli import main
from selfpretrain.data.kinds import InputSpec
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.presets import Preset
from selfpretrain.registry import PRESETS, TASKS


def test_every_preset_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert set(PRESETS) <= set(capsys.readouterr().out.split())


def test_minimal_is_the_default():
    assert PRESETS["minimal"] == Preset("minimal")


def test_the_demo_is_minimal_with_half_the_self_pretraining():
    plans = [
        compare_arguments(argv).config
        for argv in ([], ["proximity", "--preset=minimal", "--pretrain.duration=400steps"])
    ]
    assert plans[0] == plans[1]


def test_every_task_names_a_preset_that_there_is():
    assert {task.preset for task in TASKS.values()} <= set(PRESETS)


@pytest.mark.parametrize(
    ("argv", "width"),
    [
        (["lra-listops"], 512),
        (["--seeds", "3", "lra-listops"], 512),  # wherever DATA stands
        (["--profile=small", "lra-listops"], 64),
        (["lra-listops", "--profile", "small", "--preset", "minimal"], 32),
        (["lra-listops", "--preset=minimal"], 32),
        (["mine.csv"], 64),
        (["mine.csv", "--preset=minimal"], 32),
        (["proximity"], 32),
        (["lra-listops", "--preset=minimal", "--width=48"], 48),
        (["digits"], 32),
        ([], 32),
    ],
)
def test_a_task_has_a_preset_of_its_own_unless_another_is_named(argv, width):
    assert compare_arguments(argv).config.model.width == width


@pytest.mark.parametrize("argv", [["digits"], [], ["my.csv"]])
def test_a_profile_that_a_task_has_not_is_refused(argv, capsys):
    assert main(["compare", *argv, "--profile=small"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("selfpretrain: --profile small needs one of lra-image, ")
    assert "lra-listops" in error


# Parameters as counted from the official configurations, in millions; the reconstruction head is ours.
@pytest.mark.parametrize(
    ("name", "kind", "classes", "millions"),
    [
        ("amos-image", "values", 10, 0.105),
        ("amos-pathfinder", "values", 2, 0.40),
        ("amos-listops", "symbols", 10, 18.9),
        ("amos-scifar", "values", 10, 3.2),
    ],
)
def test_models_have_the_published_size(name, kind, classes, millions):
    values = kind == "values"
    spec = InputSpec(kind=kind, symbols=0 if values else 17, channels=int(values), length=64, classes=classes)
    model = SequenceModel(PRESETS[name].config.model, spec, generator=torch.Generator())
    count = sum(p.numel() for n, p in model.named_parameters() if "reconstruction" not in n)
    assert count / 1e6 == pytest.approx(millions, rel=0.02)
