"""kill -9, Ctrl-C and damaged checkpoints: the same command goes on and ends with the same numbers."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import TINY_FLAGS

pytestmark = pytest.mark.whole
# Long enough to be killed in the middle, and a checkpoint at every step.
FLAGS = [
    *(flag for flag in TINY_FLAGS if not flag.startswith(("--pretrain.d", "--label.d", "--lr"))),
    *("--lr=3e-3,1e-2", "--pretrain.duration=60", "--label.duration=40", "--checkpoint-seconds=0", "--dropout=.1"),
]


def numbers(folder):
    """Everything a comparison found, without what depends on the clock, on memory and on how often one looked."""
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("request", "looks", "level", "warnings", "verdict"):
        del summary[name]
    for contrast in summary["comparisons"]:
        del contrast["seeds_needed"]
    for entry in summary["arms"].values():
        del entry["seconds"], entry["peak_memory_bytes"]
    rows = {}
    for path in sorted(folder.glob("*/*/metrics.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rows[path.parent.name] = [{k: v for k, v in line.items() if k != "wall_seconds"} for line in lines]
    weights = {path.parent: path.read_bytes() for path in sorted(folder.glob("trainings/*/weights.safetensors"))}
    weights = {path.name: data for path, data in weights.items()}
    return summary, rows, weights


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, "-m", "selfpretrain", "compare", *FLAGS, "--out=o", "--workers=2"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return numbers(folder / "o")


def start(tmp_path, *more):
    command = [sys.executable, "-m", "selfpretrain", "compare", *FLAGS, "--out=o", "--workers=2", *more]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite started in the background of a shell is deaf to Ctrl-C and hands that on; a terminal's child is not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until_training(tmp_path, process, checkpoints=1):
    """Until the comparison has made at least so many new checkpoints."""
    known = set()
    deadline = time.monotonic() + 60
    while len(known) < checkpoints and process.poll() is None:
        known |= set((tmp_path / "o").glob("*/*/checkpoint/[0-9]*"))
        assert time.monotonic() < deadline
        time.sleep(0.01)


GROWING = (["--seeds=1", "--arms=scratch,spt"], ["--arms=scratch,spt"], [])
"""Requests of which each holds the one before: fewer seeds and arms first."""


def test_killed_three_times_at_random_moments_the_numbers_are_the_same(tmp_path, undisturbed):
    """One folder, a request that grows, killed on the way to each: the same as the last request undisturbed."""
    seed = random.SystemRandom().randrange(2**32)  # another moment each time: that is the point
    print(f"moments from random.Random({seed})")
    chance = random.Random(seed)
    for request in GROWING:
        process = start(tmp_path, *request)
        wait_until_training(tmp_path, process)
        time.sleep(chance.uniform(0.0, 1.0))
        if process.poll() is None:
            # Sometimes the parent alone, whose workers must then die by themselves; sometimes all of them.
            if chance.random() < 0.5:
                os.kill(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode != 0, "finished before it could be killed; give it more to do"
        process = start(tmp_path, *request)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert numbers(tmp_path / "o") == undisturbed


def test_ctrl_c_saves_says_so_and_goes_on(tmp_path, undisturbed):
    process = start(tmp_path)
    wait_until_training(tmp_path, process, checkpoints=5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to the whole group
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == (
        "selfpretrain: interrupted; finished work is kept, and the same command goes on from there"
    )
    assert "Traceback" not in said
    process = start(tmp_path)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert numbers(tmp_path / "o") == undisturbed


def test_a_damaged_checkpoint_is_said_and_the_numbers_are_the_same(tmp_path, undisturbed):
    process = start(tmp_path)
    wait_until_training(tmp_path, process, checkpoints=20)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    damaged = [
        max(folder.glob("[0-9]*")) for folder in (tmp_path / "o").glob("*/*/checkpoint") if any(folder.glob("[0-9]*"))
    ]
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-7])
    process = start(tmp_path)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert all(f"checkpoint {path.name} is damaged" in said for path in damaged)
    assert numbers(tmp_path / "o") == undisturbed
