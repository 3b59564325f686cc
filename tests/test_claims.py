"""The claims of the README, whole and slow: effects and their causes where they are planted, nothing elsewhere."""

import csv
import json
import random
import time

import numpy as np
import pandas as pd
import pytest

from conftest import tiny_config
from selfpretrain import diagnose
from selfpretrain.comparison.compare import compare
from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TrainConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.load import load_task
from selfpretrain.data.split import UNLABELLED
from selfpretrain.data.task import Split, Task
from selfpretrain.explain.cells import HANDMADE, NOISE, SHUFFLED, alone
from selfpretrain.explain.table import pick
from selfpretrain.files import to_dict
from selfpretrain.machine import cores
from stand_in import numbers

pytestmark = pytest.mark.slow


def mean(summary, arm, key="test_acc"):
    return sum(summary["arms"][arm][key]) / len(summary["arms"][arm][key])


def assert_the_picture(summary):
    """Scratch near chance and behind in training, SPT solved, and ahead at equal total compute too."""
    assert mean(summary, "scratch") <= 0.65
    assert mean(summary, "spt") >= 0.95
    label, total = summary["comparisons"][:2]  # and one with the classical model
    assert (label["arm"], label["against"], label["matched"]) == ("spt", "scratch", "label compute")
    assert (label["outcome"], label["cause"]) == ("helps", "optimization")
    assert (total["against"], total["matched"]) == ("scratch-long", "total compute")
    assert total["ci95"][0] > 0
    rates = [sorted(entry["lr_tried"]) for name, entry in summary["arms"].items() if name != "classical"]
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
            model=ModelConfig(width=16, heads=2),
            pretrain=PhaseConfig(duration="60steps", batch_size=32),
            label=PhaseConfig(duration="60steps", batch_size=32),
            train=TrainConfig(lr=(3e-3, 1e-2)),
            seeds=5,
        )
        task = load_task("noise", length=16, sequences=400, data_seed=data_seed)
        summary = compare(task, config, out=tmp_path / str(data_seed), workers=cores()).summary
        claims.append(any(c["outcome"] in ("helps", "loses") for c in summary["comparisons"]))
    assert sum(claims) <= 2


# Causes: each planted, each found by real training.


def share(content, cell):
    return next(r["share"] for r in content["conclusion"]["recoveries"] if r["cell"] == to_dict(cell))


def share_of(content, donor, what):
    """Of the cell that takes so much from a donor and freezes nothing."""
    found = ((r["cell"], r["share"]) for r in content["conclusion"]["recoveries"])
    return next(s for c, s in found if (c["donor"], c["what"], c["frozen"]) == (donor, what, []))


def test_queries_and_keys_carry_the_demo_s_gain_and_proximity_is_the_reason(cli, tmp_path):
    assert cli("compare", "--out=demo", timeout=900).returncode == 0
    begun = time.monotonic()
    looked = cli("diagnose", "demo", "--sections=data,attention,gradients,landscape,representation", timeout=900)
    assert looked.returncode == 0, looked.stderr
    seconds = time.monotonic() - begun
    result = cli("diagnose", "demo", "--json", timeout=3000)
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    conclusion = content["conclusion"]
    assert (conclusion["carrier"], conclusion["mechanism"]) == ("query-key", "proximity from absolute positions")
    assert share(content, alone("query-key")) > 0.75
    assert share_of(content, "spt", "all but query-key") < 0.25
    assert share(content, NOISE) < 0.25
    assert share(content, SHUFFLED) < 0.25
    assert share_of(content, "shuffled", "all") < 0.25

    table = pd.read_parquet(tmp_path / content["table"])

    def by_seed(name, **where):
        """The smallest and the largest of every seed."""
        ends = pick(table, name, **where).groupby("seed")["value"].agg(["min", "max"])
        assert len(ends) >= 5
        return ends["min"], ends["max"]

    # Scratch looks at everything alike; SPT at neighbours, by positions alone.
    scratch = {"arm": "scratch", "stage": "after-label"}
    spt = {"arm": "spt", "stage": "after-pretrain"}
    assert by_seed("entropy_relative", **scratch)[0].min() > 0.9
    least, most = by_seed("window_mass_relative", **scratch)
    assert least.min() > 0.9 and most.max() < 1.1
    assert by_seed("position_toeplitz_r2", **spt)[1].min() > 0.5
    assert by_seed("position_slope", **spt)[0].max() < -0.03
    # At the start the label's gradient is noise in every group of weights; the reconstruction's is not.
    start = {"arm": "scratch", "stage": "start"}
    least, most = by_seed("gradient_snr", **start, loss="label", group="query-key")
    assert least.min() > -0.02 and most.max() < 0.02
    assert by_seed("gradient_snr", **start, loss="reconstruction", group="query-key")[0].min() > 0.02
    assert by_seed("proximity_snr", **start, loss="label")[1].max() < 0.005
    print(f"looking took {seconds:.0f} s")


def topics(*, n_train=30, n_unlabelled=1500, n_held_out=300, symbols=600, length=12, purity=0.9):
    """The cause is planted in the embedding: two topics, each with its half of a large alphabet, and few labels.

    Most symbols of the test set are in no labelled sequence, so only what the unlabelled ones teach about which symbols
    go together can help, and it lies in the embedding. The order of symbols means nothing.
    """
    chance = np.random.default_rng(0)
    names = np.random.default_rng(1).permutation(symbols)

    def rows(n, *, labelled=True):
        y = chance.integers(2, size=n)
        topic = np.where(chance.random((n, length)) < purity, y[:, None], 1 - y[:, None])
        x = names[topic * (symbols // 2) + chance.integers(symbols // 2, size=(n, length))]
        return Split(x, np.full(n, length), y if labelled else np.full(n, UNLABELLED))

    parts = [rows(n_train), rows(n_held_out), rows(n_held_out), rows(n_unlabelled, labelled=False)]
    vocabulary = tuple(map(str, range(symbols)))
    codec = Codec(kind="symbols", classes=("a", "b"), length=length, vocabulary=vocabulary)
    return Task("topics", codec, *parts)


def test_the_embedding_carries_the_gain_of_topics(tmp_path):
    task = topics()
    brief = {"label": PhaseConfig(duration="100steps"), "train": TrainConfig(lr=(3e-3,))}
    config = CompareConfig(arms=("scratch", "spt"), seeds=8, **brief)
    assert compare(task, config, out=tmp_path / "o").summary["comparisons"][0]["outcome"] == "helps"
    content = diagnose(tmp_path / "o", task=task, sections=("transplants", "attention")).content
    assert (content["conclusion"]["carrier"], content["conclusion"]["mechanism"]) == ("embedding", None)
    # Without any order to learn self-pretraining helps as much: proximity has no part in it.
    assert share_of(content, "shuffled", "all") > 0.75
    assert share(content, HANDMADE) < 0.25


def test_nothing_carries_a_gain_that_is_not_there(tmp_path):
    task = load_task("noise")
    config = CompareConfig(arms=("scratch", "spt"), train=TrainConfig(lr=(3e-3,)))
    compare(task, config, out=tmp_path / "o", workers=cores())
    diagnosis = diagnose(tmp_path / "o", workers=cores())
    conclusion = diagnosis.findings.conclusion
    assert (conclusion["carrier"], conclusion["mechanism"]) == ("none", None)
    assert "transplants" not in set(diagnosis.table["section"])
    # Nor can a classifier of pairs see what is not there.
    assert numbers(diagnosis.table, "pair_classifier") < 0.6
