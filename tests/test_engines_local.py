"""Jobs on one machine: results in order, dependencies first, failures prompt, nobody left waiting, one copy of data."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine
from selfpretrain.errors import Interrupted, WorkerKilled
from selfpretrain.machine import cores
from selfpretrain.watch import Note, ignore

pytestmark = pytest.mark.whole


@dataclass(frozen=True)
class Work(Job):
    """Write down when it began and ended; give the shared number times the payload."""

    payload: Any
    after: tuple[str, ...] = ()

    @property
    def key(self):
        return str(self.payload)

    def perform(self, shared, tell, stop):
        folder, factor = shared
        begun = time.monotonic()
        if self.payload == "fail":
            raise OSError("in the way")
        if self.payload in ("forever", "for ever"):
            while not stop():
                tell(Note("alive"))
                time.sleep(0.05)
            (folder / "saved").touch()
            raise Interrupted
        time.sleep(0.01 * (self.payload % 3))
        tell(Note(self.key, f"job {self.payload}"))
        (folder / self.key).write_text(f"{begun} {time.monotonic()}")
        return factor * self.payload


class Unsaved(Work):
    """A job that would take minutes, and has nothing to save."""

    saves = False

    def perform(self, shared, tell, stop):
        tell(Note("alive"))
        time.sleep(600)


def times(folder, payload):
    return map(float, (folder / str(payload)).read_text().split())


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_all_that_is_told_arrives(tmp_path, workers):
    events, done = [], []
    with LocalEngine((tmp_path, 10), workers=workers, watch=events.append) as engine:
        jobs = [Work(n) for n in (3, 1, 2)]
        assert engine.do(jobs, lambda job, result: done.append((job.key, result))) == [30, 10, 20]
        assert engine.do([Work(9)]) == [90]
        assert engine.do([]) == []
    assert sorted(done) == [("1", 10), ("2", 20), ("3", 30)]
    assert sorted(event.job for event in events) == ["job 1", "job 2", "job 3", "job 9"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_begins_when_all_that_it_comes_after_are_done(tmp_path, workers):
    chance = random.Random(0)
    jobs = [Work(n, tuple(str(k) for k in range(n) if chance.random() < 0.25)) for n in range(20)]
    with LocalEngine((tmp_path, 1), workers=workers, watch=ignore) as engine:
        assert engine.do(jobs) == list(range(20))
    for job in jobs:
        for before in job.after:
            assert list(times(tmp_path, before))[1] <= next(iter(times(tmp_path, job.key)))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_raised_at_once_and_the_others_are_asked_to_stop(tmp_path, workers):
    begun = time.monotonic()
    failed = pytest.raises(OSError, match="in the way")
    with failed, LocalEngine((tmp_path, 1), workers=workers, watch=ignore) as engine:
        engine.do([Work("fail"), Work("forever")])
    assert time.monotonic() - begun < 60


def test_a_killed_worker_is_said(tmp_path):
    def kill(event):
        for process in multiprocessing.active_children()[:1]:  # none once the broken pool has ended the others
            os.kill(process.pid, signal.SIGKILL)

    killed = pytest.raises(WorkerKilled, match="a worker process was killed")
    with killed, LocalEngine((tmp_path, 1), workers=2, watch=kill) as engine:
        engine.do([Work("forever"), Work("for ever")])


def test_jobs_that_wait_for_each_other_are_an_error_and_no_endless_wait(tmp_path):
    jobs = [Work(1, ("2",)), Work(2, ("1",))]
    wait = pytest.raises(AssertionError, match="wait for each other")
    with wait, LocalEngine((tmp_path, 1), workers=2, watch=ignore) as engine:
        engine.do(jobs)


# Interruptions. That a training which is stopped so goes on bit for bit is in test_train_work.py.


def to_itself(event):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_lets_a_job_save_its_state(tmp_path, workers):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), LocalEngine((tmp_path, 1), workers=workers, watch=to_itself) as engine:
        engine.do([Work("forever"), Work(1, ("forever",))])
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "1").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait_for_the_job(tmp_path):
    def twice(event):
        to_itself(event)
        to_itself(event)

    with pytest.raises(KeyboardInterrupt), LocalEngine((tmp_path, 1), workers=1, watch=twice) as engine:
        engine.do([Work("forever")])
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_without_a_state_is_not_waited_for(tmp_path, workers):
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), LocalEngine((tmp_path, 1), workers=workers, watch=to_itself) as engine:
        engine.do([Unsaved(1), Unsaved(2)])
    assert time.monotonic() - begun < 60


# What all jobs share.

SHARING = """
import pickle, sys
from dataclasses import dataclass
from selfpretrain.data.load import load_task
from selfpretrain.engines.engine import Job
from selfpretrain.engines.local import LocalEngine

@dataclass(frozen=True)
class Sum(Job):
    key: str

    def perform(self, shared, tell, stop):
        mapped = open("/proc/self/maps").read().count("/dev/shm/psm_") > 0
        return int(shared.train.x.sum()), shared.train.x.flags.owndata, mapped, shared.fingerprint

if __name__ == "__main__":
    task = load_task("proximity", length=500, sequences=4000)
    jobs = [Sum(str(n)) for n in range(20)]
    assert max(len(pickle.dumps(job)) for job in jobs) < 1000
    with LocalEngine(task, workers=2, watch=print) as engine:
        results = set(engine.do(jobs))
        assert results == {(int(task.train.x.sum()), False, True, task.fingerprint)}, results
        print(engine._memory.name)
        sys.exit(3)
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux says what memory a process shares")
def test_workers_share_one_copy_of_a_tasks_arrays_and_leave_none(tmp_path):
    """In a process of its own, whose end must be silent, even if it comes early."""
    script = tmp_path / "sharing.py"
    script.write_text(SHARING)
    process = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (process.returncode, process.stderr) == (3, "")
    assert process.stdout.startswith("psm_") and not Path("/dev/shm", process.stdout.strip()).exists()


def test_cores_are_those_we_may_use():
    before = os.sched_getaffinity(0)
    assert cores() == len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_script_without_a_guard_is_refused_by_name_and_leaves_nothing(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text("from selfpretrain import compare\ncompare('noise', seeds=3, workers=2, out='out')\n")
    ended = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert f"{script}: worker processes import this script" in ended.stderr
    assert "below the line  if __name__ == '__main__':" in ended.stderr
    assert "memory" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
