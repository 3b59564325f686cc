"""The examples run as they stand, on files of the names and the form that ``examples/real_data.py`` gives them."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

SCRIPT = Path(__file__).parents[1] / "examples/end_to_end.py"


@pytest.mark.slow
@pytest.mark.whole
def test_a_file_becomes_a_report_a_score_and_a_prediction_for_every_row(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    with (tmp_path / "vowels.jsonl").open("w") as file:
        for number in range(400):
            label = number % 2
            frames = generator.normal(size=(int(generator.integers(7, 20)), 3)) + 2 * label
            split = ("train", "train", "val", "test")[number // 2 % 4]
            file.write(json.dumps({"sequence": frames.tolist(), "label": f"s{label}", "split": split}) + "\n")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(tmp_path), str(tmp_path / "out"), "--budget=2m"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.count("left out") == 9 and "words: left out" in printed
    assert "vowels: " in printed and "accuracy on test rows 1.000" in printed
    assert (tmp_path / "out/vowels/report.html").is_file()
    scored = pyarrow.csv.read_csv(tmp_path / "out/vowels-scored.csv")
    assert scored.num_rows == 400 and {"predicted", "p_s0", "p_s1"} <= set(scored.column_names)
    assert scored["predicted"].to_pylist() == scored["label"].to_pylist()
