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


def test_an_area_under_the_curve_takes_two_classes(tiny_task):
    alike = replace(tiny_task, test=replace(tiny_task.test, y=np.zeros_like(tiny_task.test.y)))
    Request.of(tiny_task, tiny_config(metric="auroc"))
    with pytest.raises(SettingError, match="auroc needs two classes among the validation"):
        Request.of(alike, tiny_config(metric="auroc"))
