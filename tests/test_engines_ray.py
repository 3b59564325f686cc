"""Jobs by Ray: the same numbers as here, also where a worker is lost; what fails is said, and what runs is stopped.

Run where the extra ``ray`` is installed.
"""

import csv
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import Interrupted, RequestError
from selfpretrain.events import Done, Note, Progress
from selfpretrain.storage import read_json
from selfpretrain.studies.conduct import run_study
from test_studies import TINY

pytest.importorskip("ray", reason="NOT TESTED: Ray. Install the extra: pip install 'selfpretrain[ray]'")

import ray

from selfpretrain.engines.ray import RayEngine, start

pytestmark = pytest.mark.whole


def work(shared, payload, tell, stop):
    """Write down that it began; give the shared number times the payload."""
    folder, factor = shared
    with (folder / f"{payload}.begun").open("a") as file:
        file.write("x")
    if payload == "fail":
        raise RequestError("in the way")
    if payload == "die once" and (folder / "die once.begun").read_text() == "x":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload == "forever":
        while not stop():
            time.sleep(0.05)
        (folder / "stopped").touch()
        raise Interrupted
    tell(Note(str(payload), f"job {payload}"))
    return factor * payload if isinstance(payload, int) else 0


def begun(folder, payload):
    path = folder / f"{payload}.begun"
    return len(path.read_text()) if path.exists() else 0


def test_results_come_in_order_after_what_they_wait_for_and_all_that_is_told_arrives(tmp_path):
    events, done = [], []
    with RayEngine(work, (tmp_path, 10), workers=2, watch=events.append) as engine:
        jobs = [Job("3", 3), Job("1", 1, ("3",)), Job("2", 2, ("1",))]
        assert engine.do(jobs, lambda job, result: done.append((job.key, result))) == [30, 10, 20]
        assert engine.do([Job("9", 9)]) == [90]
        assert engine.do([]) == []
    assert done == [("3", 30), ("1", 10), ("2", 20)]
    assert sorted(event.job for event in events) == ["job 1", "job 2", "job 3", "job 9"]


def test_a_job_whose_worker_is_lost_is_done_again(tmp_path):
    with RayEngine(work, (tmp_path, 1), workers=2, watch=lambda event: None) as engine:
        assert engine.do([Job("a", "die once"), Job("b", 7)]) == [0, 7]
    assert begun(tmp_path, "die once") == 2


def test_a_failure_is_raised_as_it_was_and_the_others_are_asked_to_stop(tmp_path):
    with (
        pytest.raises(RequestError, match=r"^in the way$"),
        RayEngine(work, (tmp_path, 1), workers=2, watch=lambda event: None) as engine,
    ):
        engine.do([Job("b", "forever"), Job("a", "fail")])
    assert (tmp_path / "stopped").exists()


def test_what_fits_no_machine_is_refused_instead_of_waited_for(tmp_path):
    with pytest.raises(
        RequestError, match=r"threads 9999 and --device cpu fit no machine of the Ray cluster; they have"
    ):
        RayEngine(work, (tmp_path, 1), workers=1, watch=lambda event: None, threads=9999)


def test_an_error_of_a_worker_keeps_the_traceback_of_the_worker(tmp_path):
    with (
        pytest.raises(RequestError) as refused,
        RayEngine(work, (tmp_path, 1), workers=1, watch=lambda event: None) as engine,
    ):
        engine.do([Job("a", "fail")])
    told = str(refused.value.__cause__)
    assert "in work" in told and "test_engines_ray.py" in told


def answer_and_table(folder):
    """All that a study came to, without what the clock says."""
    with (folder / "table.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return read_json(folder / "study.json"), rows


def weights(folder):
    return {path.parent.name: path.read_bytes() for path in folder.glob("trainings/*/weights.safetensors")}


def test_a_study_through_ray_equals_the_local_one_also_when_a_worker_is_killed_half_way(tmp_path):
    local = run_study(TINY, out=tmp_path / "local", workers=2, engine=LocalEngine)
    events, killed = [], []

    def kill_one(event):
        events.append(event)
        if isinstance(event, Progress) and not killed:
            killed.extend(busy_workers()[:1])
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    through_ray = run_study(TINY, out=tmp_path / "ray", workers=2, engine=RayEngine, watch=kill_one)
    assert killed
    assert answer_and_table(through_ray.folder) == answer_and_table(local.folder)
    assert weights(through_ray.folder) == weights(local.folder)
    done = [event.job for event in events if isinstance(event, Done) and "test" not in event.job]
    assert len(done) == len(weights(local.folder))  # nothing that two comparisons share is trained twice


def busy_workers():
    """Processes of Ray's that do one of our jobs."""
    names = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return [int(pid) for pid, name in names.items() if name.startswith(b"ray::_work")]


def test_a_training_that_fails_through_ray_does_not_stop_the_rest(tmp_path):
    """Planted: a rate at which numbers stop being finite."""

    def cases(ground):
        first, *rest = TINY.cases(ground)
        wild = replace(first.config.label, optimizer="sgd", duration="60")
        train = replace(first.config.train, lr=(9.9,), clip=None)
        return [replace(first, config=replace(first.config, train=train, label=wild)), *rest]

    folder = run_study(replace(TINY, cases=cases), out=tmp_path / "o", workers=2, engine=RayEngine).folder
    _, rows = answer_and_table(folder)
    first, second = (case.name for case in cases(None))
    assert {row["test_acc"] for row in rows if row["comparison"] == first and row["arm"] == "scratch"} == {""}
    assert all(row["test_acc"] for row in rows if row["comparison"] == second)


def test_without_a_cluster_it_is_said_how_to_start_one():
    ray.shutdown()
    with pytest.raises(RequestError, match=r"no Ray cluster to work with at 127\.0\.0\.1:1"):
        start("127.0.0.1:1", 1)
