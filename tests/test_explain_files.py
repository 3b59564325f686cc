"""What a diagnosis left is read again if it is whole, and of the runs that are asked about."""

import pytest

from conftest import TINY_DIAGNOSIS
from selfpretrain import diagnose
from selfpretrain.comparison.run import read_run
from selfpretrain.errors import DamagedError
from selfpretrain.explain.files import read_diagnosis


def test_a_diagnosis_of_other_runs_is_none_of_the_latest_request(comparison):
    diagnose(comparison, TINY_DIAGNOSIS, sections=("data",))
    runs = {path.name: read_run(path) for path in (comparison / "runs").iterdir()}
    assert read_diagnosis(comparison, runs) is not None
    without_networks = {name: run for name, run in runs.items() if "classical" not in name}
    assert read_diagnosis(comparison, without_networks) is not None
    fewer = {name: run for name, run in runs.items() if name != "spt-seed2"}
    assert read_diagnosis(comparison, fewer) is None
    assert read_diagnosis(comparison, {**runs, "spt-seed2": runs["spt-seed1"]}) is None


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"protocol": {"runs": 3}, "conclusion": {}}'])
def test_a_damaged_conclusion_is_named(text, tmp_path):
    path = tmp_path / "diagnosis/conclusion.json"
    assert read_diagnosis(tmp_path) is None
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DamagedError) as caught:
        read_diagnosis(tmp_path)
    assert caught.value.path == path
