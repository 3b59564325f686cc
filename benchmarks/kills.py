"""kill -9 and full disks at random moments: the same command goes on, and ends with the same numbers.

    python benchmarks/kills.py [--compare 100] [--others 30] [--disks 10] [--seed 0] [--keep FOLDER]

Each command is run once undisturbed. Then, in a new folder each time, the group of its processes is killed twice, at
moments drawn uniformly from the time that it took, and the same command is given a third time; or its disk (a tmpfs of
random size, which needs root) is full, and grows before the command is given again. Every number and every weight must
be as if nothing had happened, and a file of somebody else must still be there. The exit status is 1 if one is not.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

SMALL = [
    *("--symbols=4", "--length=12", "--sequences=400", "--width=8", "--seeds=2", "--lr=1e-2", "--checkpoint-seconds=0"),
    *("--pretrain.duration=150steps", "--pretrain.batch-size=16", "--label.duration=100steps", "--label.batch-size=16"),
]
STUDY = """
from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TaskConfig, TrainConfig
from selfpretrain.studies import Ahead, Case, Study


def cases(ground=None):
    task = TaskConfig(options={"symbols": 4, "length": 12, "sequences": 300})
    for steps in (60, 90):
        phases = {"pretrain": PhaseConfig(duration="60steps"), "label": PhaseConfig(duration=f"{steps}steps")}
        train = TrainConfig(lr=(1e-2,), checkpoint_seconds=0)
        model = ModelConfig(width=8, heads=2)
        config = CompareConfig(arms=("scratch", "spt"), seeds=2, model=model, train=train, **phases)
        yield Case({"steps": steps}, config, task)


claims = (Ahead(text="self-pretraining is ahead", case="steps-60"),)
STUDY = Study(name="mine", question="Is it ahead?", expected="Perhaps.", minutes=1, claims=claims, cases=cases)
"""


def lasting(value: Any) -> Any:
    """A record without what depends on the clock and the machine."""
    if isinstance(value, dict):
        passing = [key for key in value if "seconds" in key or key == "peak_memory_bytes"]
        return {key: lasting(inner) for key, inner in value.items() if key not in passing}
    if isinstance(value, str):
        return re.sub(r"trained in [\d.]+ \w+", "trained", value)
    return [lasting(inner) for inner in value] if isinstance(value, list) else value


def results(folder: Path) -> dict[str, Any]:
    """The numbers, and checksums of the weights and tables, below a folder."""
    held: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name in ("summary.json", "study.json", "conclusion.json", "fit.json"):
            held[name] = lasting(json.loads(path.read_text()))
        elif path.suffix == ".parquet":
            held[name] = parquet.read_table(path).to_pylist()
        elif path.name == "metrics.jsonl":
            held[name] = [lasting(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".safetensors" and "checkpoint" not in path.parts and "snapshots" not in path.parts:
            held[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.name == "scored.csv":
            held[name] = path.read_text()
    return held


@dataclass(frozen=True)
class Verb:
    """A command to disturb.

    Attributes:
        arguments: of the command, run in a folder of its own; its results are below ``out`` there.
        prepare: makes what it needs in a new folder.
    """

    name: str
    arguments: list[str]
    prepare: Callable[[Path], None] = lambda folder: None

    def start(self, folder: Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "selfpretrain", *self.arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, folder: Path) -> tuple[int, str]:
        """Exit status and messages."""
        process = self.start(folder)
        messages = process.communicate(timeout=600)[1]
        return process.returncode, messages

    def killed(self, folder: Path, seconds: float) -> None:
        process = self.start(folder)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def verbs(source: Path) -> list[Verb]:
    """The verbs; what they need is made once, in ``source``."""
    texts = [f"{'abcd'[row % 4]}{row % 7} {row % 3} {row % 11}" for row in range(60_000)]
    rows = [f"{text},{'xy'[row % 2]}" for row, text in enumerate(texts)]
    (source / "few.csv").write_text("\n".join(["sequence,label", *rows[:300]]))
    (source / "many.csv").write_text("\n".join(["sequence", *texts]))
    (source / "study.py").write_text(STUDY)

    def copies(*names: str) -> Callable[[Path], None]:
        def prepare(folder: Path) -> None:
            for name in names:
                whole = source / name
                (shutil.copytree if whole.is_dir() else shutil.copy)(whole, folder / name)

        return prepare

    compare = Verb("compare", ["compare", *SMALL, "--arms=scratch,spt,classical", "--workers=2", "--out=out"])
    steps = ["--pretrain.duration=100steps", "--label.duration=100steps", "--lr=1e-2", "--checkpoint-seconds=0"]
    fit = Verb("fit", ["fit", "few.csv", "--arm=spt", "--preset=minimal", *steps, "--out=model"], copies("few.csv"))
    for verb in (compare, fit):
        status, messages = verb.run(source)
        assert status == 0, messages
    return [
        compare,
        Verb("diagnose", ["diagnose", "out", "--transplant-seeds=1", "--workers=2"], copies("out")),
        Verb("study", ["study", "study.py", "--out=out", "--workers=2"], copies("study.py")),
        fit,
        Verb(
            "predict", ["predict", "model", "many.csv", "--out=scored.csv", "--overwrite"], copies("model", "many.csv")
        ),
    ]


class Trials:
    """What came of every trial of a verb."""

    def __init__(self, verb: Verb, chance: random.Random, keep: Path | None) -> None:
        self.verb, self.chance, self.keep = verb, chance, keep
        self.failures: list[str] = []
        with self._folder() as folder:
            begun = time.monotonic()
            self._ended(folder)
            self.seconds = time.monotonic() - begun
            self.expected, self.size_bytes = results(folder), size_bytes(folder)
        assert self.expected, f"{verb.name} left nothing to compare"

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            self.verb.prepare(Path(name))
            yield Path(name)

    def _ended(self, folder: Path) -> None:
        status, messages = self.verb.run(folder)
        if status != 0 or "Traceback" in messages:
            self.failures.append(f"{self.verb.name}: status {status}: {messages[-2000:]}")

    def _compare(self, folder: Path, what: str) -> None:
        now = results(folder)
        names = sorted(name for name in now.keys() | self.expected.keys() if now.get(name) != self.expected.get(name))
        if names:
            self.failures.append(f"{self.verb.name}: {what}: others than undisturbed: {', '.join(names[:5])}")
        if len(self.failures) and self.keep is not None:
            shutil.copytree(folder, self.keep / f"{self.verb.name}-{len(self.failures)}", dirs_exist_ok=True)

    def kill(self, times: int) -> None:
        """Kill it so often in one folder, then let it end."""
        with self._folder() as folder:
            moments = [self.chance.uniform(0, self.seconds) for _ in range(times)]
            for seconds in moments:
                self.verb.killed(folder, seconds)
            self._ended(folder)
            self._compare(folder, f"killed after {', '.join(f'{seconds:.2f} s' for seconds in moments)}")

    def fill(self) -> None:
        """Run it on a disk that is full at a random moment, then with room."""
        with self._folder() as folder, tempfile.TemporaryDirectory() as name:
            disk, needs = Path(name), size_bytes(folder)
            room = self.chance.uniform(0, self.size_bytes - needs)
            size = f"size={int(needs + room) // 4096 * 4096 + 4096}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", disk], check=True)
            try:
                shutil.copytree(folder, disk, dirs_exist_ok=True)
                (disk / "mine.txt").write_text("mine")
                status, messages = self.verb.run(disk)
                last = (messages.splitlines() or [""])[-1]
                if (status, "No space left" in last) not in ((0, False), (2, True)) or "Traceback" in messages:
                    self.failures.append(f"{self.verb.name}: {size}: status {status}: {messages[-2000:]}")
                subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
                self._ended(disk)
                self._compare(disk, f"disk of {size}")
                if (disk / "mine.txt").read_text() != "mine":
                    self.failures.append(f"{self.verb.name}: a file of somebody else is lost")
            finally:
                subprocess.run(["umount", disk], check=True)


def size_bytes(folder: Path) -> int:
    """Of the files below a folder, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("compare", 100), ("others", 30), ("disks", 10), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--verbs", nargs="+", help="only these")
    parser.add_argument("--keep", type=Path, help="where folders of failed trials are kept")
    arguments = parser.parse_args()
    chance, failures, begun = random.Random(arguments.seed), 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        every = verbs(Path(name))
        for verb in [verb for verb in every if verb.name in (arguments.verbs or [v.name for v in every])]:
            trials = Trials(verb, chance, arguments.keep)
            kills = arguments.compare if verb.name == "compare" else arguments.others
            for _ in range(kills // 2):
                trials.kill(times=2)
            for _ in range(arguments.disks):
                trials.fill()
            print(
                f"{verb.name}: {kills} kills, {arguments.disks} full disks, {len(trials.failures)} failures",
                f"({trials.seconds:.1f} s undisturbed, {time.monotonic() - begun:.0f} s so far)",
                *trials.failures,
                sep="\n",
                flush=True,
            )
            failures += len(trials.failures)
    print(f"{failures} failures; seed {arguments.seed}, {time.monotonic() - begun:.0f} s")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
