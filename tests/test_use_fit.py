"""A model to be used: trained on all rows but a validation part, as a comparison found best."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain import load_model
from selfpretrain.arguments import fit_arguments
from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.config import TaskConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.use.fit import FromComparison, fit
from selfpretrain.watch import Done

RNG = np.random.default_rng(0)
N = 80


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"sequence": [int(c) for c in RNG.integers(4, size=6)] + [i % 2], "label": "ab"[i % 2]} for i in range(N)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("split", [None, ["train"] * 50 + ["val"] * 10 + ["test"] * 20])
def test_test_rows_are_trained_on_and_validation_stays(data, split):
    if split is not None:
        lines = [
            json.loads(line) | {"split": part} for line, part in zip(data.read_text().splitlines(), split, strict=True)
        ]
        data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    usual, used = load_task(data), load_task(data, train_on_test=True)
    assert set(used.train.numbers) == {*usual.train.numbers, *usual.test.numbers}
    assert used.val.numbers.tolist() == usual.val.numbers.tolist() == used.test.numbers.tolist()
    assert used.fingerprint != usual.fingerprint
    assert not {*used.train.numbers} & {*used.val.numbers}
    assert "test rows are trained on, too; validation rows pick the model, and are no test of it" in used.notes


@pytest.mark.whole
def test_a_model_as_a_comparison_found_it_is_made_once_and_predicts(data, tmp_path):
    grid = TrainConfig(lr=(1e-3, 1e-2, 3e-2))
    config = tiny_config(
        train=grid, arms=("scratch", "spt", "classical"), model=replace(tiny_config().model, pooling="last")
    )
    summary = compare(data, config, out=tmp_path / "o").answer
    known = FromComparison.read(tmp_path / "o", "spt")
    picked = {*summary.arms["spt"].lr, *summary.arms["spt"].lr_pretrain}
    assert set(known.config.train.lr) <= picked and 1 <= len(known.config.train.lr) <= 2
    assert (known.config.model, known.config.seeds, known.task.data) == (config.model, 1, str(data))
    assert FromComparison.read(tmp_path / "o").arm == summary.recommended.arm

    fitted = fit(known.task, known.config, arm="classical", out=tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert fitted.use.arm == "classical" and model.classes == ("a", "b")
    assert model.predict([[0, 0, 0, 0, 0, 0, 1]]).tolist() == ["b"]
    record = ComparisonFolder(tmp_path / "m").record
    assert record.source.train_on_test and record.request.arms == ("classical",)

    events = []
    steps = replace(known.config, label=replace(config.label, duration="60steps"), train=TrainConfig(lr=(3e-2,)))
    for _ in range(2):
        events.append([])
        fit(data, steps, arm="scratch", out=tmp_path / "n", watch=events[-1].append)
    assert [sum(isinstance(event, Done) for event in own) for own in events] == [1, 0]
    assert any("validation accuracy" in getattr(event, "text", "") for event in events[0])
    assert not any("test accuracy" in getattr(event, "text", "") for event in events[0])


def test_the_commonest_rates_are_taken_and_of_equals_the_lowest():
    from selfpretrain.use.fit import _commonest

    assert _commonest((0.01, 0.001, 0.01, None)) == 0.01
    assert _commonest((0.01, 0.001)) == 0.001
    assert _commonest((None, None)) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "fit: name DATA, or a comparison with --from"),
        (["--from", "nowhere"], "nowhere is no finished comparison"),
        (["rows.csv", "--arms", "spt"], "arms spt are for compare; name one with --arm"),
        (["rows.csv", "--preset", "none"], "none"),
    ],
)
def test_what_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(RequestError, match=message):
        fit_arguments(arguments)


def test_an_unknown_arm_and_a_folder_of_another_are_refused_and_a_poor_model_is_doubted(tmp_path, data):
    with pytest.raises(RequestError, match="arm sptt is unknown; the arms are scratch, spt"):
        fit(TaskConfig(data=str(data)), tiny_config(), arm="sptt", out=tmp_path / "m")
    assert not (tmp_path / "m").exists()
    rows = [{"sequence": [int(c) for c in RNG.integers(4, size=6)], "label": "ab"[i % 2]} for i in range(N)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tiny_config(seeds=1, train=TrainConfig(lr=(1e-5,)))
    fitted = fit(data, config, arm="scratch", out=tmp_path / "m")
    assert "is not reliably better than the commonest class" in fitted.doubts[0]
    assert load_model(tmp_path / "m").classes == ("a", "b")
    with pytest.raises(RequestError, match="holds scratch; name another folder for classical"):
        fit(data, config, arm="classical", out=tmp_path / "m")
