"""What is asked for: what cannot be done is refused."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain.comparison.request import Request
from selfpretrain.config import ModelConfig, ObjectiveConfig
from selfpretrain.errors import RequestError, SettingError


@pytest.mark.parametrize(
    ("arm", "settings", "why"),
    [
        (
            "joint",
            {"objective": ObjectiveConfig(objective="causal")},
            "the arm joint .* use the objective masked",
        ),
        ("rotary", {"model": ModelConfig(positions="rotary")}, "the arm rotary is scratch where .* leave it out"),
        (
            "impulse",
            {"model": ModelConfig(positions="rotary")},
            "the arm impulse needs absolute .* leave it out",
        ),
        ("impulse", {"model": ModelConfig(positions="none")}, "needs absolute positions and no class token"),
        ("impulse", {"model": ModelConfig(pooling="cls")}, "needs absolute positions and no class token"),
        ("quant", {}, "the arm quant reads values, and these sequences are symbols"),
        ("rocket", {}, "the arm rocket reads values, and these sequences are symbols"),
        ("scratch", {"objective": ObjectiveConfig(objective="labels")}, "is not one of self-pretraining: masked, span"),
        ("sctratch", {}, "did you mean scratch"),
    ],
)
def test_what_cannot_be_done_is_refused(tiny_task, arm, settings, why):
    with pytest.raises(RequestError, match=why):
        Request.of(tiny_task, tiny_config(arms=("spt", arm), **settings))


@pytest.mark.parametrize(
    ("lengths", "width", "patch"),
    [
        ([32], 32, 1),
        ([33], 32, 2),
        ([64], 32, 2),
        ([65], 32, 4),
        ([20, 20, 2000], 32, 1),
        ([1000], 32, 32),
        ([1000], 36, 4),
    ],
)
def test_patches_that_are_left_open_leave_a_median_sequence_at_most_32_tokens(tiny_task, lengths, width, patch):
    rows = np.resize(lengths, len(tiny_task.train)).astype(np.int64)
    codec = replace(tiny_task.codec, length=max(lengths))
    task = replace(tiny_task, codec=codec, train=replace(tiny_task.train, lengths=rows))
    config = tiny_config(arms=("scratch",), model=ModelConfig(patch=0, width=width))
    assert Request.of(task, config).config.model.patch == patch
    asked = replace(config, model=replace(config.model, patch=4))
    assert Request.of(task, asked).config.model.patch == 4


def test_an_area_under_the_curve_takes_two_classes(tiny_task):
    alike = replace(tiny_task, test=replace(tiny_task.test, y=np.zeros_like(tiny_task.test.y)))
    Request.of(tiny_task, tiny_config(metric="auroc"))
    with pytest.raises(SettingError, match="auroc needs two classes among the validation"):
        Request.of(alike, tiny_config(metric="auroc"))
