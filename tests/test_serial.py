"""Records to JSON and back, strictly."""

import json
from dataclasses import replace

import pytest

from conftest import tiny_config, tiny_training
from selfpretrain.comparison.folder import Request
from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.errors import RequestError
from selfpretrain.presets import PRESETS
from selfpretrain.results import Summary
from selfpretrain.serial import fingerprint, from_dict, to_dict
from selfpretrain.training.training import Training


def test_a_training_goes_round_with_what_it_rests_on(tiny_task):
    training = tiny_training(tiny_task, "spt")
    again = from_dict(Training, json.loads(json.dumps(to_dict(training))))
    assert again == training
    assert again.key == training.key
    assert again.source.phase == "pretrain"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_goes_round(name):
    preset = PRESETS[name]
    request = Request(request=preset.config, task="x", source=preset.task)
    assert from_dict(Request, json.loads(json.dumps(to_dict(request)))) == request


def test_a_summary_goes_round(everything):
    answer = everything[0].answer
    assert from_dict(Summary, json.loads(json.dumps(to_dict(answer)))) == answer


def test_an_unknown_key_is_refused_with_the_valid_ones():
    with pytest.raises(RequestError, match=r"unknown setting 'dept' of ModelConfig; valid: depth, width"):
        from_dict(ModelConfig, {"dept": 3})


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (ModelConfig, {"depth": "3"}),
        (ModelConfig, {"depth": True}),
        (ModelConfig, {"depth": 1.5}),
        (ModelConfig, {"positions": "rotari"}),
        (ModelConfig, []),
        (TrainConfig, {"lr": "fast"}),
        (TrainConfig, {"lr": [[1]]}),
        (CompareConfig, {"model": 3}),
        (PhaseConfig, {}),
    ],
)
def test_a_value_of_another_type_is_refused(cls, values):
    with pytest.raises(RequestError):
        from_dict(cls, values)


def test_whole_numbers_serve_as_floats_and_stay_equal():
    assert from_dict(ModelConfig, {"ff_factor": 2}) == ModelConfig(ff_factor=2.0)
    assert fingerprint(from_dict(ModelConfig, {"ff_factor": 2})) == fingerprint(ModelConfig(ff_factor=2.0))


def test_the_fingerprint_sees_every_setting():
    base = tiny_config()
    others = [
        replace(base, seeds=4),
        replace(base, model=ModelConfig(depth=2)),
        replace(base, label=PhaseConfig(duration="401")),
        replace(base, train=TrainConfig(lr=(1e-3,))),
    ]
    assert len({fingerprint(config) for config in [base, *others]}) == 5
    assert fingerprint(base, "a") != fingerprint(base, "b")
    assert fingerprint(TaskConfig(options={"a": 1})) != fingerprint(TaskConfig(options={"a": 2}))
