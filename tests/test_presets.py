"""Presets: complete, of the published size, and all trainable."""

import pytest
import torch

from selfpretrain.cli import main
from selfpretrain.errors import RequestError
from selfpretrain.kinds import InputSpec
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.presets import PRESETS, Preset, preset
from selfpretrain.tasks.builtin import builtin_tasks


def test_every_preset_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    shown = capsys.readouterr().out
    listed = {word.strip(",.:│") for word in shown.split()}
    short = {name.removeprefix("amos-") for name in PRESETS if not name.startswith("lra-")}
    assert short | {"amos-NAME", "lra-NAME-small"} <= listed


def test_an_option_stands_on_its_preset(capsys):
    with pytest.raises(SystemExit):
        main(["compare", "--preset", "small", "--help"])
    assert "(default: 64)" in capsys.readouterr().out


def test_minimal_is_the_default():
    assert preset("minimal") == Preset()


def test_every_task_names_a_preset_that_there_is():
    assert {task.preset for task in builtin_tasks().values()} <= set(PRESETS)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["lra-listops"], "(default: 512)"),
        (["lra-listops", "--profile=small"], "(default: 64)"),
        (["lra-listops", "--profile", "small", "--preset", "minimal"], "(default: 32)"),
        (["lra-listops", "--preset=minimal"], "(default: 32)"),
        (["digits"], "(default: 32)"),
    ],
)
def test_a_task_has_a_preset_of_its_own_unless_another_is_named(argv, shown, capsys):
    with pytest.raises(SystemExit):
        main(["compare", *argv, "--help"])
    of_width = capsys.readouterr().out.partition("Model width D.")[2]
    assert of_width.split(")")[0].strip(" │\n") + ")" == shown


@pytest.mark.parametrize(
    "argv", [["digits", "--profile=small"], ["--profile=small"], ["--profile=small", "lra-listops"]]
)
def test_a_profile_that_a_task_has_not_is_refused(argv, capsys):
    sisters = ["lra-listops", "lra-pathfinder", "lra-pathx", "lra-pathx256", "lra-image", "lra-text", "lra-retrieval"]
    assert main(["compare", *argv, "--profile=small"]) == 2
    assert (
        f"--profile small needs one of {', '.join(sisters)} as DATA, in front of all options" in capsys.readouterr().err
    )


def test_an_unknown_preset_is_refused():
    with pytest.raises(RequestError, match="the presets are minimal, small, lra-listops-small, lra-image-small,"):
        preset("nope")


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
    model = SequenceModel(preset(name).config.model, spec, generator=torch.Generator())
    count = sum(p.numel() for n, p in model.named_parameters() if "reconstruction" not in n)
    assert count / 1e6 == pytest.approx(millions, rel=0.02)
