"""What is asked: arms by name, and what cannot be done is refused."""

import pytest

from conftest import tiny_config
from made_up import answer_of, planted_runs
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig
from selfpretrain.errors import RequestError
from selfpretrain.registry import ARMS


def test_rivals_stand_for_the_default_arms_and_all_that_are_free(tiny_task):
    arms = Request.of(tiny_task, tiny_config(arms=("rivals",))).config.arms
    assert set(arms) == {*CompareConfig().arms, *(name for name, arm in ARMS.items() if arm.is_free)}
    runs = planted_runs(0.0, 0.0)
    answer = answer_of(dict.fromkeys(arms, runs["scratch"]) | {"spt": runs["spt"]})
    assert {c.against for c in answer.comparisons if c.arm == "spt"} == set(arms) - {"spt"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arms": ("joint",), "objective": ObjectiveConfig(objective="causal")}, "masked or span"),
        ({"arms": ("rotary",), "model": ModelConfig(positions="rotary")}, "leave it out"),
        ({"arms": ("impulse",), "model": ModelConfig(positions="none")}, "leave it out"),
        ({"arms": ("quant",)}, "the arm quant reads values"),
        ({"objective": ObjectiveConfig(objective="labels")}, "is not one of self-pretraining: masked, span"),
        ({"arms": ("sctratch",)}, "did you mean scratch"),
    ],
)
def test_what_cannot_be_done_is_refused(tiny_task, settings, said):
    with pytest.raises(RequestError, match=said):
        Request.of(tiny_task, tiny_config(**settings))
