"""kill -9, Ctrl-C, SIGTERM and damaged checkpoints: the same command goes on and ends with the same numbers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import TINY_FLAGS
from selfpretrain import cli

pytestmark = pytest.mark.whole
# Long enough to be interrupted in the middle.
FLAGS = [
    *(flag for flag in TINY_FLAGS if not flag.startswith(("--pretrain.d", "--label.d"))),
    *("--arms=scratch,spt", "--pretrain.duration=200", "--label.duration=120", "--dropout=.1"),
]
EVERY_STEP = ["--out=o", "--workers=2", "--checkpoint-seconds=0"]
"""Options of the command that is interrupted: a checkpoint at every step."""


def numbers(folder):
    """Everything a comparison found, without what depends on the clock, on memory and on how often one looked."""
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("request", "looks", "level", "warnings", "verdict"):
        del summary[name]
    for contrast in summary["comparisons"]:
        del contrast["seeds_needed"]
    for entry in summary["arms"].values():
        del entry["seconds"], entry["peak_memory_bytes"]
    del summary["recommended"]["seconds"]
    rows = {}
    for path in sorted(folder.glob("*/*/metrics.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        rows[path.parent.name] = [{k: v for k, v in line.items() if k != "wall_seconds"} for line in lines]
    weights = {path.parent.name: path.read_bytes() for path in folder.glob("trainings/*/weights.safetensors")}
    return summary, rows, weights


class Command:
    """The comparison as a process that leads a group of its own."""

    def __init__(self, tmp_path):
        self.tmp_path = tmp_path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "selfpretrain", "compare", *FLAGS, *EVERY_STEP],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A suite started in the background of a shell is deaf to Ctrl-C and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def wait_until_training(self, checkpoints):
        """Until it has made so many new checkpoints."""
        before = set((self.tmp_path / "o").glob("*/*/checkpoint/[0-9]*"))
        made = set()
        deadline = time.monotonic() + 300
        while len(made) < checkpoints:
            made |= set((self.tmp_path / "o").glob("*/*/checkpoint/[0-9]*")) - before
            assert self.process.poll() is None, "it finished before it could be interrupted; give it more to do"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def workers(self):
        """Process ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def ended(self):
        """Exit status and messages; all that it started has ended, too, since that holds the same pipe."""
        _, messages = self.process.communicate(timeout=300)
        assert "Traceback" not in messages
        return self.process.returncode, messages


def test_however_often_it_is_interrupted_the_numbers_are_the_same(tmp_path, capsys):
    """One folder, and every way to stop a comparison in the middle, at another moment each time: that is the point."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"moments from random.Random({seed})")
    chance = random.Random(seed)

    def interrupted(send):
        command = Command(tmp_path)
        command.wait_until_training(checkpoints=chance.randint(2, 20))
        send(command)
        return command.ended()

    def ask(command):
        for pid in command.workers():  # deaf to Ctrl-C, which a terminal sends to the whole group
            os.kill(pid, signal.SIGINT)
        command.process.terminate()

    status, messages = interrupted(ask)
    assert status == 130
    assert messages.splitlines()[-1].startswith("selfpretrain: interrupted; finished work is kept")
    # The parent alone: its workers die by themselves, or their pipe would not end.
    assert interrupted(lambda command: command.process.kill())[0] == -signal.SIGKILL
    status, messages = interrupted(lambda command: os.kill(command.workers()[0], signal.SIGKILL))
    assert status == 1 and "a worker process was killed" in messages
    assert interrupted(lambda command: os.killpg(command.process.pid, signal.SIGKILL))[0] == -signal.SIGKILL

    checkpoints = [sorted(folder.glob("[0-9]*")) for folder in (tmp_path / "o").glob("*/*/checkpoint")]
    damaged = [states[-1] for states in checkpoints if states]
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-7])
    folders = [tmp_path / name for name in ("o", "undisturbed")]
    for folder in folders:
        assert cli.main(["compare", *FLAGS, f"--out={folder}", "--workers=1"]) == 0
        messages = capsys.readouterr().err
        assert all((f"checkpoint {path.name} is damaged" in messages) == (folder.name == "o") for path in damaged)
    assert numbers(folders[0]) == numbers(folders[1])
