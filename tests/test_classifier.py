"""A trained model on raw rows: the reported accuracy, from the raw file; damage refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain import load_model
from selfpretrain.comparison.compare import compare
from selfpretrain.config import ModelConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError

RNG = np.random.default_rng(0)
N = 60
WORDS = ("red", "green", "blue")


def rows_of(kind):
    """Raw rows of ragged lengths, and labels that hang on them a little."""
    rows, labels = [], []
    for i in range(N):
        n = int(RNG.integers(3, 9))
        if kind == "bytes":
            rows.append("".join(RNG.choice(list("abcdé "), size=n)) + str(i))
        elif kind == "symbols":
            rows.append([WORDS[k] for k in RNG.integers(3, size=n)])
        else:
            rows.append((RNG.normal(size=(n, 2)) * (5, 0.1) + (i % 2, 100)).round(3).tolist())
        labels.append(("no", "yes", "maybe")[i % 3])
    return rows, labels


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["bytes", "symbols", "values"])
def test_a_runs_model_gives_the_reported_accuracy_from_the_raw_file(tmp_path, kind):
    rows, labels = rows_of(kind)
    path = tmp_path / "raw.jsonl"
    path.write_text("\n".join(json.dumps({"sequence": r, "label": c}) for r, c in zip(rows, labels, strict=True)))
    task = load_task(path, kind=kind)
    config = tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch", "spt"), seeds=2)
    config = replace(config, model=ModelConfig(width=8, heads=2, dropout=0.1, positions="learned"))
    summary = compare(task, config, out=tmp_path / "o").summary
    raw = [json.loads(line) for line in path.read_text().splitlines()]
    test = [raw[number] for number in task.test.numbers]
    for arm in ("scratch", "spt"):
        for seed in (0, 1):
            model = load_model(tmp_path / f"o/runs/{arm}-seed{seed}/model")
            predicted = model.predict([row["sequence"] for row in test])
            accuracy = np.mean([name == row["label"] for name, row in zip(predicted, test, strict=True)])
            assert accuracy == summary["arms"][arm]["test_acc"][seed]
    assert model.classes == ("maybe", "no", "yes")
    probabilities = model.predict_proba([row["sequence"] for row in test])
    assert probabilities.sum(1) == pytest.approx(np.ones(len(test)))
    # Each row alone, and rows in another order, are the same rows.
    for index in (0, 3):
        alone = model.predict_proba([test[index]["sequence"]])
        assert alone[0] == pytest.approx(probabilities[index], abs=1e-6)
    backwards = model.predict_proba([row["sequence"] for row in test[::-1]])[::-1]
    assert backwards == pytest.approx(probabilities, abs=1e-6)


def test_lists_strings_and_arrays_are_the_same_rows(finished):
    model = load_model(finished / "runs/spt-seed0/model")
    forms = ["0 1 2 3 0 1 2 3", [0, 1, 2, 3, 0, 1, 2, 3], np.array([0, 1, 2, 3, 0, 1, 2, 3]), "0,1,2,3,0,1,2,3"]
    probabilities = model.predict_proba(forms)
    assert (probabilities == probabilities[0]).all()
    again = load_model(finished / "runs/spt-seed0").predict(forms)  # the run's folder serves
    assert again.tolist() == model.predict(forms).tolist()


def test_a_model_folder_stands_alone(finished, tmp_path):
    shutil.copytree(finished / "runs/spt-seed0/model", tmp_path / "mine")
    assert load_model(tmp_path / "mine").classes == ("up", "down")


@pytest.mark.parametrize("name", ["config.json", "codec.json", "model.safetensors", "manifest.json", "DONE"])
def test_a_damaged_model_is_refused(finished, tmp_path, name):
    folder = shutil.copytree(finished / "runs/spt-seed0/model", tmp_path / "mine")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    with pytest.raises(RequestError, match="damaged"):
        load_model(folder)


def test_what_is_no_model_and_what_are_no_rows_is_refused(finished, tmp_path):
    with pytest.raises(RequestError, match="no such folder"):
        load_model(tmp_path / "no")
    with pytest.raises(RequestError, match="holds no model"):
        load_model(tmp_path)
    model = load_model(finished / "runs/spt-seed0/model")
    with pytest.raises(RequestError, match="give a list of rows"):
        model.predict_proba("0 1 2 3")
    with pytest.raises(RequestError, match="there are no rows"):
        model.predict_proba([])
