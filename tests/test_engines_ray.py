"""Jobs by Ray: the same numbers as here, also where a worker is lost; what fails is said, and what runs is stopped.

Run where the extra ``ray`` is installed.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import ragged_task, tiny_training
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import Interrupted, RequestError
from selfpretrain.train.store import Store
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Done, Note, Progress, ignore

pytest.importorskip("ray", reason="NOT TESTED: Ray. Install the extra: pip install 'selfpretrain[ray]'")

import ray

from selfpretrain.engines.ray import RayEngine, start

pytestmark = pytest.mark.whole


@dataclass(frozen=True)
class Work(Job):
    """Write down that it began; give the shared number times the payload."""

    payload: Any
    after: tuple[str, ...] = ()

    @property
    def key(self):
        return str(self.payload)

    def perform(self, shared, tell, stop):
        folder, factor = shared
        with (folder / f"{self.payload}.begun").open("a") as file:
            file.write("x")
        if self.payload == "fail":
            raise RequestError("in the way")
        if self.payload == "die once" and (folder / "die once.begun").read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.payload == "forever":
            while not stop():
                time.sleep(0.05)
            (folder / "stopped").touch()
            raise Interrupted
        tell(Note(self.key, f"job {self.payload}"))
        return factor * self.payload if isinstance(self.payload, int) else 0


def begun(folder, payload):
    path = folder / f"{payload}.begun"
    return len(path.read_text()) if path.exists() else 0


def test_results_come_in_order_after_what_they_wait_for_and_all_that_is_told_arrives(tmp_path):
    events, done = [], []
    with RayEngine((tmp_path, 10), workers=2, watch=events.append) as engine:
        jobs = [Work(3), Work(1, ("3",)), Work(2, ("1",))]
        assert engine.do(jobs, lambda job, result: done.append((job.key, result))) == [30, 10, 20]
        assert engine.do([Work(9)]) == [90]
        assert engine.do([]) == []
    assert done == [("3", 30), ("1", 10), ("2", 20)]
    assert sorted(event.job for event in events) == ["job 1", "job 2", "job 3", "job 9"]


def test_a_job_whose_worker_is_lost_is_done_again(tmp_path):
    with RayEngine((tmp_path, 1), workers=2, watch=ignore) as engine:
        assert engine.do([Work("die once"), Work(7)]) == [0, 7]
    assert begun(tmp_path, "die once") == 2


def test_a_failure_is_raised_as_it_was_and_the_others_are_asked_to_stop(tmp_path):
    with (
        pytest.raises(RequestError, match=r"^in the way$"),
        RayEngine((tmp_path, 1), workers=2, watch=ignore) as engine,
    ):
        engine.do([Work("forever"), Work("fail")])
    assert (tmp_path / "stopped").exists()


def test_what_fits_no_machine_is_refused_instead_of_waited_for(tmp_path):
    with pytest.raises(
        RequestError, match=r"threads 9999 and --device cpu fit no machine of the Ray cluster; they have"
    ):
        RayEngine((tmp_path, 1), workers=1, watch=ignore, threads=9999)


def test_an_error_of_a_worker_keeps_the_traceback_of_the_worker(tmp_path):
    with (
        pytest.raises(RequestError) as refused,
        RayEngine((tmp_path, 1), workers=1, watch=ignore) as engine,
    ):
        engine.do([Work("fail")])
    told = str(refused.value.__cause__)
    assert "in perform" in told and "test_engines_ray.py" in told


def test_trainings_through_ray_equal_local_ones_also_when_a_worker_is_killed_half_way(tmp_path):
    """Weights bit for bit; what two trainings rest on is made once."""
    task = ragged_task()
    asked = [tiny_training(task, arm, seed=seed) for arm in ("scratch", "spt") for seed in (0, 1)]
    trainings = {part.key: part for training in asked for part in training.chain}
    events, killed = [], []

    def kill_one(event):
        events.append(event)
        if isinstance(event, Progress) and not killed:
            killed.extend(busy_workers()[:1])
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    def weights(name, engine, watch):
        store = Store(tmp_path / name, {task.fingerprint: task})
        jobs = [
            TrainJob(name=key, training=each, after=() if each.source is None else (each.source.key,))
            for key, each in trainings.items()
        ]
        with engine(store, workers=2, watch=watch) as running:
            assert [result.failure for result in running.do(jobs)] == [None] * len(jobs)
        return {key: store.finished(each).weights for key, each in trainings.items()}

    local, through_ray = weights("local", LocalEngine, ignore), weights("ray", RayEngine, kill_one)
    assert killed
    for key, theirs in local.items():
        assert all(torch.equal(weight, through_ray[key][name]) for name, weight in theirs.items())
    assert len([event for event in events if isinstance(event, Done)]) == len(trainings) == 6


def busy_workers():
    """Processes of Ray's that do one of our jobs."""
    names = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()}
    return [int(pid) for pid, name in names.items() if name.startswith(b"ray::_work")]


def test_without_a_cluster_it_is_said_how_to_start_one():
    ray.shutdown()
    with pytest.raises(RequestError, match=r"no Ray cluster to work with at 127\.0\.0\.1:1"):
        start("127.0.0.1:1", 1)
