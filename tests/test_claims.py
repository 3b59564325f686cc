"""The claims of the README, whole and slow: the effect where it is planted, nothing where nothing is."""

import csv
import json
import random

import pytest

from conftest import tiny_config
from selfpretrain.comparison import compare
from selfpretrain.config import ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.tasks import load_task
from selfpretrain.workers import cores

pytestmark = pytest.mark.slow


def mean(summary, arm, key="test_acc"):
    return sum(summary["arms"][arm][key]) / len(summary["arms"][arm][key])


def assert_the_picture(summary):
    """Scratch near chance and behind in training, SPT solved, and ahead at equal total compute too."""
    assert mean(summary, "scratch") <= 0.65
    assert mean(summary, "spt") >= 0.95
    label, total = summary["comparisons"]
    assert (label["arm"], label["against"], label["matched"]) == ("spt", "scratch", "label compute")
    assert (label["outcome"], label["cause"]) == ("helps", "optimization")
    assert (total["against"], total["matched"]) == ("scratch-long", "total compute")
    assert total["ci95"][0] > 0
    rates = [sorted(entry["lr_tried"]) for entry in summary["arms"].values()]
    assert all(tried == rates[0] and len(tried) > 1 for tried in rates)


def test_the_demo_shows_the_effect(cli):
    result = cli("compare", "--out=demo", "--json", timeout=900)
    assert result.returncode == 0, result.stderr
    assert_the_picture(json.loads(result.stdout))


def test_a_file_shows_the_same_picture(cli, tmp_path):
    """The same kind of task with other K, L and p, written by plain Python that knows nothing of the package."""
    chance = random.Random(7)
    with (tmp_path / "steps.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "letters", "direction"])
        for number in range(3600):
            step = chance.choice([1, -1])
            state = [chance.randrange(6)]
            while len(state) < 72:
                state.append((state[-1] + step) % 6 if chance.random() < 0.6 else chance.randrange(6))
            writer.writerow([number, " ".join("uvwxyz"[s] for s in state), "up" if step > 0 else "down"])
    arguments = ("compare", "steps.csv", "--sequence=letters", "--label=direction", "--out=o", "--json")
    result = cli(*arguments, timeout=900)
    assert result.returncode == 0, result.stderr
    assert_the_picture(json.loads(result.stdout))


def test_over_twenty_nulls_at_most_two_verdicts_claim_an_effect(tmp_path):
    claims = []
    for data_seed in range(20):
        config = tiny_config(
            task=TaskConfig(data="noise", length=16, sequences=400, data_seed=data_seed),
            model=ModelConfig(width=16, heads=2),
            pretrain=PhaseConfig(duration="60steps", batch_size=32),
            label=PhaseConfig(duration="60steps", batch_size=32),
            train=TrainConfig(lr=(3e-3, 1e-2)),
            seeds=5,
        )
        task = load_task(config.task)
        summary = compare(task, config, out=tmp_path / str(data_seed), workers=cores()).summary
        claims.append(any(c["outcome"] != "no detectable effect" for c in summary["comparisons"]))
    assert sum(claims) <= 2
