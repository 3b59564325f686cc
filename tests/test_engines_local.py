"""Jobs on one machine: results in order, dependencies first, failures prompt, nobody left waiting."""

import os
import random
import subprocess
import sys
import time

import pytest

from selfpretrain.engines.local import Job, LocalEngine
from selfpretrain.errors import WorkerKilled
from selfpretrain.events import Note
from selfpretrain.machine import cores

pytestmark = pytest.mark.whole


def work(shared, payload, tell, stop):
    """Write down when it began and ended; give the shared number times the payload."""
    folder, factor = shared
    begun = time.monotonic()
    if payload == "fail":
        raise OSError("in the way")
    while payload == "forever" and not stop():
        tell(Note("alive"))
        time.sleep(0.05)
    if payload == "forever":
        return 0
    time.sleep(0.01 * (payload % 3))
    tell(Note(str(payload), f"job {payload}"))
    (folder / str(payload)).write_text(f"{begun} {time.monotonic()}")
    return factor * payload


def times(folder, payload):
    return map(float, (folder / str(payload)).read_text().split())


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_all_that_is_told_arrives(tmp_path, workers):
    events, done = [], []
    with LocalEngine(work, (tmp_path, 10), workers=workers, watch=events.append) as engine:
        jobs = [Job(str(n), n) for n in (3, 1, 2)]
        assert engine.do(jobs, lambda job, result: done.append((job.key, result))) == [30, 10, 20]
        assert engine.do([Job("9", 9)]) == [90]
        assert engine.do([]) == []
    assert sorted(done) == [("1", 10), ("2", 20), ("3", 30)]
    assert sorted(event.job for event in events) == ["job 1", "job 2", "job 3", "job 9"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_begins_when_all_that_it_comes_after_are_done(tmp_path, workers):
    chance = random.Random(0)
    jobs = [Job(str(n), n, tuple(str(k) for k in range(n) if chance.random() < 0.25)) for n in range(20)]
    with LocalEngine(work, (tmp_path, 1), workers=workers, watch=lambda event: None) as engine:
        assert engine.do(jobs) == list(range(20))
    for job in jobs:
        for before in job.after:
            assert list(times(tmp_path, before))[1] <= next(iter(times(tmp_path, job.key)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_raised_at_once_and_the_others_are_asked_to_stop(tmp_path, workers):
    jobs = [Job("a", "fail"), Job("b", "forever")]
    begun = time.monotonic()
    with (
        pytest.raises(OSError, match="in the way"),
        LocalEngine(work, (tmp_path, 1), workers=workers, watch=lambda event: None) as engine,
    ):
        engine.do(jobs)
    assert time.monotonic() - begun < 60


def test_a_killed_worker_is_said(tmp_path):
    def kill(event):
        os.system(f"pkill -9 -P {os.getpid()} -f spawn_main")

    killed = pytest.raises(WorkerKilled, match="a worker process was killed")
    with killed, LocalEngine(work, (tmp_path, 1), workers=2, watch=kill) as engine:
        engine.do([Job("a", "forever"), Job("b", "forever")])


def test_jobs_that_wait_for_each_other_are_an_error_and_no_endless_wait(tmp_path):
    jobs = [Job("1", 1, ("2",)), Job("2", 2, ("1",))]
    with (
        pytest.raises(AssertionError, match="wait for each other"),
        LocalEngine(work, (tmp_path, 1), workers=2, watch=lambda event: None) as engine,
    ):
        engine.do(jobs)


def test_cores_are_those_we_may_use():
    assert cores() == len(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "from selfpretrain.machine import cores; print(cores())"]
    first = min(os.sched_getaffinity(0))
    pinned = subprocess.run(["taskset", "-c", str(first), *command], capture_output=True, text=True, check=True)
    assert pinned.stdout.strip() == "1"
