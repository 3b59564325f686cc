"""Worker processes: results in order, failures prompt, nobody left waiting."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from conftest import tiny_run
from selfpretrain.arms import perform
from selfpretrain.errors import WorkerKilled
from selfpretrain.events import Finished
from selfpretrain.workers import Workers, cores


def runs(n, **settings):
    return [tiny_run("scratch", seed=seed, **settings) for seed in range(n)]


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order_and_every_end_is_told(tmp_path, tiny_task, count):
    events = []
    with Workers(perform, (tiny_task, tmp_path), count=count, watch=events.append) as workers:
        first = workers.do(runs(3))
        again = workers.do(runs(3))
    assert first == again
    assert [r["selected_step"] for r in first] == [r["selected_step"] for r in again]
    told = [event.run for event in events if isinstance(event, Finished)]
    assert sorted(told) == sorted(2 * [run.name for run in runs(3)])


@pytest.mark.parametrize("count", [1, 2])
def test_what_cannot_be_written_is_raised_at_once(tmp_path, tiny_task, count):
    (tmp_path / "runs").write_text("in the way")
    begun = time.monotonic()
    with (
        pytest.raises(OSError, match="runs"),
        Workers(perform, (tiny_task, tmp_path), count=count, watch=print) as workers,
    ):
        workers.do([*runs(1), replace(runs(1)[0], label_steps=10**6)])
    assert time.monotonic() - begun < 60  # not the million steps


def test_a_killed_worker_is_said(tmp_path, tiny_task):
    def kill(event):
        os.system(f"pkill -9 -P {os.getpid()} -f spawn_main")

    killed = pytest.raises(WorkerKilled, match="a worker process was killed")
    with killed, Workers(perform, (tiny_task, tmp_path), count=2, watch=kill) as workers:
        workers.do(runs(2, label_steps=10**6))


def test_cores_are_those_we_may_use():
    assert cores() == len(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "from selfpretrain.workers import cores; print(cores())"]
    first = min(os.sched_getaffinity(0))
    pinned = subprocess.run(["taskset", "-c", str(first), *command], capture_output=True, text=True, check=True)
    assert pinned.stdout.strip() == "1"
