"""The identity of a training: what changes numbers changes it, and nothing else does."""

import json
from dataclasses import replace

import pytest

from conftest import ragged_task, tiny_config, tiny_training
from selfpretrain.config import ModelConfig, ObjectiveConfig, PhaseConfig
from selfpretrain.files import from_dict, to_dict
from selfpretrain.train.training import Start, Training

CONFIG = tiny_config()
CHANGES = {
    "model": {"model": ModelConfig(width=12, heads=2)},
    "mask ratio": {"objective": ObjectiveConfig(mask_ratio=0.2)},
    "self-pretraining": {"pretrain": replace(CONFIG.pretrain, duration="13steps")},
    "label budget": {"label": replace(CONFIG.label, duration="10steps")},
    "label batch": {"label": replace(CONFIG.label, batch_size=8)},
    "label validation": {"label": replace(CONFIG.label, evaluate_every="2steps")},
    "clip": {"train": replace(CONFIG.train, clip=None)},
    "threads": {"train": replace(CONFIG.train, threads=2)},
    "precision": {"train": replace(CONFIG.train, precision="bfloat16")},
}
PRETRAINING_TOO = {"model", "mask ratio", "self-pretraining", "clip", "threads", "precision"}
LABELS_ALONE = {"model", "label budget", "label batch", "label validation", "clip", "threads", "precision"}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_numbers_changes_the_key_of_what_it_changes(name, tiny_task):
    before, after = tiny_training(tiny_task, "spt"), tiny_training(tiny_task, "spt", **CHANGES[name])
    assert before.key != after.key
    assert (before.source.key != after.source.key) == (name in PRETRAINING_TOO)
    scratch = tiny_training(tiny_task, "scratch"), tiny_training(tiny_task, "scratch", **CHANGES[name])
    assert (scratch[0].key != scratch[1].key) == (name in LABELS_ALONE)


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": 9},
        {"arms": ("scratch", "spt", "joint")},
        {"train": replace(CONFIG.train, lr=(1e-3, 1e-2, 1e-1))},
        {"train": replace(CONFIG.train, snapshots=1)},
        {"train": replace(CONFIG.train, checkpoint_seconds=99.0)},
        {"train": replace(CONFIG.train, device="cpu")},  # resolved it is what auto finds here
        {"objective": ObjectiveConfig(span_length=3, value_loss="l2", joint_weight=9.0)},  # idle here
        {"pretrain": PhaseConfig(duration="12", batch_size=16, evaluate_every="4")},  # other words for the same
    ],
)
def test_what_changes_no_number_changes_no_key(settings, tiny_task):
    assert tiny_training(tiny_task, "spt", **settings).key == tiny_training(tiny_task, "spt").key


def test_seed_rate_task_start_and_freezing_count(tiny_task):
    spt = tiny_training(tiny_task, "spt")
    others = [
        tiny_training(tiny_task, "spt", seed=1),
        tiny_training(tiny_task, "spt", lr=3e-3),
        tiny_training(ragged_task(), "spt"),
        replace(spt, start=None),
        replace(spt, start=Start(source=spt.source, groups=("query-key",))),
        replace(spt, start=Start(source=spt.source, noise=True)),
        replace(spt, frozen=("query-key",)),
        replace(spt, device="cuda"),
    ]
    assert len({training.key for training in [spt, *others]}) == 9


def test_the_key_survives_json_whatever_was_typed(tiny_task):
    """4 and 4.0 are one setting: the folder that compare made is the one that diagnose looks for."""
    typed = replace(tiny_config().model, ff_factor=4, dropout=0, proximity_bias=0)
    settings = {"model": typed, "train": replace(CONFIG.train, clip=1)}
    training = tiny_training(tiny_task, "spt", **settings)
    again = from_dict(Training, json.loads(json.dumps(to_dict(training))))
    assert again.key == training.key
    assert training.key == tiny_training(tiny_task, "spt", model=replace(typed, ff_factor=4.0)).key


def test_the_chain_begins_with_what_everything_rests_on(tiny_task):
    spt = tiny_training(tiny_task, "spt")
    assert [each.phase for each in spt.chain] == ["pretrain", "label"]
    assert list(tiny_training(tiny_task, "scratch").chain) == [tiny_training(tiny_task, "scratch")]
