"""A trained model on raw rows: the reported accuracy, from the raw file; damage refused."""

import copy
import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from sklearn.preprocessing import FunctionTransformer

from conftest import tiny_config
from selfpretrain import load_model
from selfpretrain.arms import classical
from selfpretrain.arms.classical import ClassicalModel, fit_classical
from selfpretrain.classifier import Classifier, save_model
from selfpretrain.comparison import recommend
from selfpretrain.comparison.compare import compare
from selfpretrain.config import ModelConfig, TrainConfig
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.files import seal
from stand_in import seal_again

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
def test_the_mean_of_an_arms_seeds_is_a_model_folder_where_it_is_offered(tmp_path, monkeypatch):
    labels = ["odd" if i % 2 else "even" for i in range(200)]
    rows = [RNG.normal(size=(5, 1)) + 0.9 * (label == "odd") for label in labels]
    task, config = load_task(rows, labels), tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=3)
    config = replace(config, label=replace(config.label, duration="40steps"))

    def compared(average):
        monkeypatch.setattr(recommend, "_average", lambda *rest: average)
        return compare(task, config, out=tmp_path / "o").answer

    assert "in the folder average: validation 100.0%, test 50.0%" in compared((1.0, 0.5)).verdict.advice
    members = [load_model(tmp_path / f"o/runs/scratch-seed{seed}") for seed in range(3)]
    expected = np.mean([member.predict_proba(rows) for member in members], axis=0)
    averaged = load_model(tmp_path / "o" / "average")
    np.testing.assert_allclose(averaged.predict_proba(rows), expected, atol=1e-6)
    assert averaged.predict(rows[:3]).tolist() == [averaged.classes[i] for i in expected[:3].argmax(1)]
    settings = json.loads((tmp_path / "o/average/config.json").read_text())
    for wrong in ("3", -1, 10**9, 2.0):
        copied = shutil.copytree(tmp_path / "o/average", tmp_path / f"wrong{wrong}")
        (copied / "config.json").write_text(json.dumps({**settings, "averaged": wrong}))
        seal(copied, ["config.json", "codec.json", "model.safetensors"])
        with pytest.raises(RequestError, match=r"config\.json: missing or damaged"):
            load_model(copied)
    assert "average" not in compared(None).verdict.advice
    assert list((tmp_path / "o" / "average").iterdir()) == []


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


def classical_of(kind, n=N):
    rows, labels = rows_of(kind)
    task = load_task(rows, labels, kind=kind)
    return task, rows, fit_classical(task).model


@pytest.mark.parametrize("features", ["1-5-gram tf-idf", "1-2-word tf-idf", "one-hot", "summaries"])
def test_a_classical_model_is_the_same_when_it_is_read_again(tmp_path, monkeypatch, features):
    monkeypatch.setattr(classical, "TREES", 5)
    kind = {"one-hot": "symbols", "summaries": "values"}.get(features, "bytes")
    task, rows, _ = classical_of(kind)
    if features == "one-hot":  # of sequences that are equally long
        rows = [(row * 3)[:4] for row in rows]
        task = load_task(rows, [task.classes[i % 3] for i in range(N)], kind=kind)
    seen = next(own for own in KINDS[kind].features(task) if own.name.startswith(features))
    view = KINDS[kind].views[seen.name]
    for _, estimator in classical._models(seen):
        estimator.fit(seen.transformer.fit_transform(view(task.train)), task.train.y)
        model = ClassicalModel(kind, seen.name, seen.transformer, estimator)
        save_model(tmp_path / "model", model, task.codec)
        again = load_model(tmp_path / "model")
        assert again.classes == task.classes
        expected = Classifier(task.codec, model).predict_proba(rows)
        assert (again.predict_proba(rows) == expected).all()
        assert expected.sum(1) == pytest.approx(np.ones(N))


@pytest.mark.whole
def test_best_holds_the_model_that_is_recommended(tmp_path):
    path = tmp_path / "pairs.jsonl"
    generator = np.random.default_rng(0)
    pairs = [[generator.choice(WORDS, 6).tolist() for _ in "ab"] for _ in range(300)]
    lines = [{"sequence": a, "sequence2": b, "label": int(a[0] == b[0])} for a, b in pairs]
    path.write_text("\n".join(map(json.dumps, lines)))
    task = load_task(path, kind="symbols", pair="sequence2")
    done = compare(
        task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch", "classical"), seeds=1), out=tmp_path / "o"
    )
    use = done.answer.recommended
    assert (use.arm, use.saved) == ("classical", True)
    assert "in the folder best" in done.answer.verdict.advice
    raw = [json.loads(line) for line in path.read_text().splitlines()]
    test = [raw[number] for number in task.test.numbers]
    predicted = load_model(tmp_path / "o").predict([(row["sequence"], row["sequence2"]) for row in test])
    assert np.mean(predicted == [row["label"] for row in test]) == use.test > 0.9
    # What is somebody's own stays; what is ours follows the answer.
    (tmp_path / "o/best/notes.txt").write_text("mine")
    done = compare(task, tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch",), seeds=1), out=tmp_path / "o")
    assert (tmp_path / "o/best/notes.txt").read_text() == "mine"
    assert not done.answer.recommended.learnt  # after nine steps there is none to recommend
    assert [path.name for path in (tmp_path / "o/best").iterdir()] == ["notes.txt"]


def test_files_that_would_run_code_or_read_beyond_an_array_are_refused(tmp_path, monkeypatch):
    """Sealed by whoever made them: a seal shows damage, not intent."""
    monkeypatch.setattr(classical, "TREES", 3)
    task, _, _ = classical_of("values")
    seen = next(KINDS["values"].features(task))
    table = seen.transformer.fit_transform(KINDS["values"].views[seen.name](task.train))
    *_, (_, forest) = classical._models(seen)
    forest.fit(table, task.train.y)
    for harm in ("feature", "children_left", "children_right", "cycle", "function"):
        estimator = copy.deepcopy(forest)
        if harm == "function":
            estimator = FunctionTransformer(os.system)
        else:
            tree = estimator.estimators_[1].tree_
            state = tree.__getstate__()
            state["nodes"] = state["nodes"].copy()
            name = "left_child" if harm in ("children_left", "cycle") else harm.replace("children_right", "right_child")
            state["nodes"][name][0] = 0 if harm == "cycle" else 1_000_000
            tree.__setstate__(state)
        save_model(tmp_path / harm, ClassicalModel("values", seen.name, seen.transformer, estimator), task.codec)
        with pytest.raises(RequestError, match="damaged"):
            load_model(tmp_path / harm)


def deep(text):
    return "[" * 100_000 + "]" * 100_000


def changed(**values):
    """An edit of a JSON file, with keys such as model.width."""

    def edit(text):
        content = json.loads(text)
        for key, value in values.items():
            *outer, name = key.split("__")
            place = content
            for part in outer:
                place = place[part]
            place[name] = value
        return json.dumps(content)

    return edit


EDITS = {
    **{f"width {width}": ("config.json", changed(model__width=width)) for width in (16, 10**9)},
    **{f"patch {patch}": ("config.json", changed(model__patch=patch)) for patch in (3, 10**9)},
    **{f"averaged {n}": ("config.json", changed(averaged=n)) for n in (2, 1000)},
    "depth": ("config.json", changed(model__depth=10**6)),
    "length": ("config.json", changed(inputs__length=10**30)),
    "deep config": ("config.json", deep),
    "deep codec": ("codec.json", deep),
    "codec of other bytes": ("codec.json", lambda text: b"\xff\xfe{"),
    "one class": ("codec.json", changed(classes=["a"])),
    "no class": ("codec.json", changed(classes=[])),
    "three classes": ("codec.json", changed(classes=["a", "b", "c"])),
    "one name twice": ("codec.json", changed(classes=["a", "a"])),
    "codec's length": ("codec.json", changed(length=10**30)),
    "another kind": ("codec.json", changed(kind="bytes")),
    "zeros": ("model.safetensors", lambda text: bytes(1000)),
    "nothing": ("model.safetensors", lambda text: b""),
    "a huge header": ("model.safetensors", lambda text: b"\xff" * 8 + b"{}"),
    "weights of another model": ("model.safetensors", lambda text: safetensors.numpy.save({"x": np.zeros(3)})),
}


def test_a_model_of_earlier_versions_is_read(finished, tmp_path):
    folder = shutil.copytree(finished / "runs/spt-seed0/model", tmp_path / "m")
    before = (folder / "codec.json").read_text()
    (folder / "codec.json").write_text(before.replace('"schema":', '"reading":'))
    assert (folder / "codec.json").read_text() != before
    seal_again(folder)
    assert load_model(folder).codec.schema == load_model(finished / "runs/spt-seed0").codec.schema


@pytest.mark.parametrize("arm", ["spt", "classical"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_model_that_somebody_has_edited_and_sealed_again_is_refused(finished, tmp_path, edit, arm):
    """In one line, soon, and without taking the memory that it asks for."""
    name, change = EDITS[edit]
    folder = shutil.copytree(finished / f"runs/{arm}-seed0/model", tmp_path / "m")
    if arm == "classical" and (name != "codec.json" or edit == "codec's length"):
        pytest.skip("is of networks")
    path = folder / name
    data = change(path.read_bytes())
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    seal_again(folder)
    begun = time.monotonic()
    with pytest.raises(RequestError) as refused:
        load_model(folder)
    assert time.monotonic() - begun < 5
    assert "\n" not in str(refused.value) and str(folder) in str(refused.value)
