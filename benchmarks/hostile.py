"""Mutated files, random options and edited folders: every one is read or refused in one line, and none is lost.

    python benchmarks/hostile.py [--inputs 10000] [--options 2000] [--commands 2000] [--edits 1000] [--seed 0]
                                 [--keep FOLDER]

Everything runs in this process. An input counts as a failure if it ends in anything but a result or a ``RequestError``
of one line, if it takes longer than ``SECONDS``, or if a file that is not ours changes. Commands are whole command
lines of every verb but bench, on good and mutated files and a finished comparison; they end where training would
begin, and steps are not timed. Failures are printed with what reproduces them, and kept with ``--keep``. The exit
status is 1 if there are any.
"""

import argparse
import contextlib
import io
import json
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pyarrow
from pyarrow import parquet

if TYPE_CHECKING:
    from selfpretrain.config import CompareConfig

SECONDS = 20.0
NASTY = [
    b"\0",
    b"\xff",
    b"\n",
    b",",
    b'"',
    b"9" * 400,
    b"-1",
    b"1e999",
    b"nan",
    b"[[[[",
    b"{}",
    b"\x1b[31m",
    b"../..",
    b"%",
]
VALUES = [
    "",
    "-1",
    "0",
    "1",
    "1e30",
    "nan",
    "1e400",
    "x",
    "None",
    "9" * 400,
    "3-10",
    "\n",
    "[red]",
    "é",
    "--",
    "1,2",
    "5%",
]


GOOD_VALUES = [
    "2",
    "4",
    "0.5",
    "0.01,1",
    "5steps",
    "2epochs",
    "1m",
    "3h",
    "accuracy",
    "auroc",
    "spt",
    "scratch,spt",
    "classical",
    "standard",
    "demo",
    "small",
    "cells.csv",
    "finished",
    "mine.txt",
    "new.csv",
    "new.parquet",
    "new.jsonl",
    "new",
    "label",
    "sequence",
    "t*",
    "values",
    "symbols",
    "yes",
    "latin-1",
    ";",
    "mean",
    "data",
]
STUDIES = ["depth", "masking", "width", "few-labels", "positions", "rivals", "domains", "paper", "nosuch"]


class TooLong(BaseException):
    """An input took longer than ``SECONDS``."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def good_files(folder: Path) -> list[Path]:
    """A small valid file of every format."""
    from PIL import Image
    from scipy.io import wavfile

    generator = np.random.default_rng(0)
    series = generator.normal(size=(40, 6)).round(2)
    labels = ["ab"[row % 2] for row in range(40)]
    texts = [" ".join(map(str, row)) for row in series]
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    wide = [",".join([*map(str, row), label]) for row, label in zip(series, labels, strict=True)]
    genes = ["".join(generator.choice(list("ACGT"), size=9)) for _ in labels]
    records = [{"sequence": row.tolist(), "label": label} for row, label in zip(series, labels, strict=True)]
    contents = {
        "cells.csv": "\n".join(["sequence,label", *rows]).encode(),
        "wide.csv": "\n".join([",".join([*(f"t{t}" for t in range(6)), "label"]), *wide]).encode(),
        "wide.tsv": "\n".join(["a\tb\tc\td\te\tf\tlabel", *(row.replace(",", "\t") for row in wide)]).encode(),
        "rows.jsonl": "\n".join(map(json.dumps, records)).encode(),
        "series.ts": "\n".join(
            [
                "@univariate true\n@classLabel true a b\n@data",
                *(r.replace(" ", ",").replace(",a", ":a").replace(",b", ":b") for r in rows),
            ]
        ).encode(),
        "wide.arff": "\n".join(
            ["@relation r", *(f"@attribute t{t} numeric" for t in range(6)), "@attribute label {a,b}\n@data", *wide]
        ).encode(),
        "genes.fasta": "".join(f">s{i} {label}\n{genes[i]}\n" for i, label in enumerate(labels)).encode(),
        "reads.fastq": "".join(f"@r{i} {label}\n{genes[i]}\n+\n{'I' * 9}\n" for i, label in enumerate(labels)).encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    parquet.write_table(pyarrow.table({"sequence": series.tolist(), "label": labels}), folder / "rows.parquet")
    np.savez(folder / "rows.npz", x=series, y=np.arange(40) % 2)
    for row in range(12):
        for kind in ("sounds", "images"):
            (folder / kind / labels[row]).mkdir(parents=True, exist_ok=True)
        wavfile.write(
            folder / "sounds" / labels[row] / f"{row}.wav", 8000, generator.normal(size=30).astype(np.float32)
        )
        pixels = generator.integers(256, size=(4, 5)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / labels[row] / f"{row}.png")
    return sorted(path for path in folder.iterdir())


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes flipped, cut, doubled, or replaced by what parsers dislike."""
    piece = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        if not piece:
            break
        place = chance.randrange(len(piece))
        way = chance.randrange(5)
        if way == 0:
            piece[place] ^= 1 << chance.randrange(8)
        elif way == 1:
            del piece[place : place + chance.choice([1, 3, 50, len(piece)])]
        elif way == 2:
            piece[place:place] = piece[place : place + chance.choice([1, 10, 200])]
        elif way == 3:
            piece[place:place] = chance.choice(NASTY)
        else:
            piece[place] = chance.randrange(chance.choice([128, 256]))
    return bytes(piece)


class Tried:
    """What came of every input of a target."""

    def __init__(self, keep: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.keep = keep

    def one(self, target: str, what: str, run: Callable[[], object], source: Path | None = None) -> None:
        """Run one input; anything but a result or a refusal in one line is a failure."""
        from selfpretrain.errors import RequestError, one_line

        begun, outcome, why = time.monotonic(), "read", ""
        silent = contextlib.ExitStack()
        silent.enter_context(contextlib.redirect_stdout(io.StringIO()))
        silent.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            with silent, within(SECONDS):
                run()
        except RequestError as error:
            outcome = "refused"
            if not one_line(error).isprintable():  # as the command line prints it
                outcome, why = "failed", "a control character in the message"
        except SystemExit as ended:
            outcome = "refused" if ended.code in (0, 2) else "failed"
            why = f"exit status {ended.code}"
        except TooLong:
            outcome, why = "failed", f"longer than {SECONDS:g} s"
        except BaseException as error:
            outcome, why = "failed", "".join(traceback.format_exception(error)[-3:])
        self.counts[f"{target}: {outcome}"] += 1
        if outcome == "failed":
            self.failures.append(f"{target}: {what}: {why.strip()}")
            print(self.failures[-1], f"({time.monotonic() - begun:.1f} s)", flush=True)
            if self.keep is not None and source is not None:
                self.keep.mkdir(parents=True, exist_ok=True)
                kept = self.keep / f"{len(self.failures)}-{source.name}"
                (shutil.copytree if source.is_dir() else shutil.copy)(source, kept)

    def lost(self, what: str) -> None:
        """A file of somebody else is gone or changed."""
        self.failures.append(f"{what} is lost")
        print(self.failures[-1], flush=True)


def try_files(tried: Tried, inputs: int, chance: random.Random, folder: Path) -> None:
    from selfpretrain.data.load import load_task

    sources = good_files(folder)
    for source in sources:
        tried.one(f"as it is {source.suffix or source.name}", source.name, lambda source=source: load_task(source))
    for number in range(inputs):
        source = chance.choice(sources)
        path = folder / f"mutated{source.suffix}"
        if source.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(source, path)
            inner = chance.choice(sorted(file for file in path.rglob("*") if file.is_file()))
            inner.write_bytes(mutated(inner.read_bytes(), chance))
        else:
            path.write_bytes(mutated(source.read_bytes(), chance))
        tried.one(source.suffix or source.name, f"input {number}", lambda path=path: load_task(path), path)


def try_options(tried: Tried, count: int, chance: random.Random, folder: Path) -> None:
    from selfpretrain.arguments import compare_arguments
    from selfpretrain.comparison.request import Request
    from selfpretrain.data.load import load_task

    known = options_of(lambda: compare_arguments(["--help-all"]))
    small = load_task(folder / "cells.csv")
    for number in range(count):
        argv = ["noise"]
        for option in chance.sample(sorted(known), chance.randint(1, 4)):
            argv += [option, chance.choice(VALUES)]

        def run(argv: list[str] = argv) -> None:
            Request.of(small, compare_arguments(argv).config)

        tried.one("options", f"input {number}: {argv}", run)


def try_commands(tried: Tried, count: int, chance: random.Random, folder: Path) -> None:
    """Random command lines of every verb; what was there stays as it is, but for a file that --overwrite names."""
    from selfpretrain.cli import main
    from selfpretrain.comparison import budget
    from selfpretrain.comparison.compare import compare
    from selfpretrain.data.load import load_task
    from selfpretrain.engines.local import LocalEngine
    from selfpretrain.errors import RequestError
    from selfpretrain.train.timing import Timing, cost_sort

    whole, work = folder / "whole", folder / "work"
    whole.mkdir()
    files = sorted(path.name for path in good_files(whole))
    generator = np.random.default_rng(0)
    letters = ["".join(generator.choice(list("ACGT"), size=9)) for _ in range(240)]
    (whole / "letters.csv").write_text("sequence,label\n" + "".join(f"{text},{text[0] in 'AC'}\n" for text in letters))
    compare(load_task(whole / "letters.csv"), small_config(), out=whole / "finished")
    for mine in (whole / "mine.txt", whole / "finished" / "mine.txt"):
        mine.write_text("mine")
    files += ["letters.csv", "mine.txt", "mutated.csv", "finished", "proximity", "nosuch"]
    models = ["finished", "finished/best", "finished/runs/spt-seed0", "finished/runs/classical-seed0", "images", "new"]

    def head(verb: str) -> list[str]:
        """What the verb needs, mostly as it should be."""
        data = chance.choice(["letters.csv", chance.choice(files)])
        model = chance.choice(["finished", chance.choice(models)])
        new = "new" + chance.choice([".onnx" if verb == "export" else ".csv", ".parquet", ".jsonl", ".npz", ""])
        match verb:
            case "compare":
                return [data, "--plan"] if chance.random() < 0.5 else [data]
            case "fit":
                return [data] if chance.random() < 0.5 else ["--from", model]
            case "study":
                return [chance.choice(STUDIES), data] if chance.random() < 0.5 else [chance.choice(STUDIES)]
            case "predict":
                return [model, data, "--out", new]
            case "evaluate":
                return [model, data]
            case "export":
                return [model, "--out", new]
            case "data":
                return [chance.choice(["check", "describe", "make", "list", "x"]), data]
        return [model]

    def value_of(meant: str | None) -> list[str]:
        """A value as the help asks for it, mostly."""
        if chance.random() < 0.3:
            return chance.choice([[], [chance.choice(VALUES)], [chance.choice(GOOD_VALUES)]])
        if meant is None:
            return []
        if meant.startswith("{"):
            return [chance.choice(meant.strip("{}").split(","))]
        if meant in ("N", "X", "NUMBER,.."):
            return [chance.choice(["1", "2", "3", "7", "0.5", "1e-3", "64", "1000"])]
        return [chance.choice(GOOD_VALUES)]

    def would_train(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    def instantly(task: object, trainings: Any, **how: object) -> tuple[dict[str, Timing], float]:
        return {cost_sort(training): Timing(1e-3, 1e-3, 1e-5) for training in trainings}, 0.0

    verbs = ("compare", "fit", "study", "predict", "evaluate", "export", "diagnose", "data", "report", "clean")
    known = {verb: options_of(lambda verb=verb: main([verb, "--help-all"])) for verb in verbs}
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    not_ours = {path.relative_to(whole): held for path, held in before.items() if is_not_ours(path, whole)}
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(LocalEngine, "__init__", would_train))
        patches.enter_context(mock.patch.object(budget, "time_trainings", instantly))
        for number in range(count):
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(whole, work)
            (work / "mutated.csv").write_bytes(mutated((whole / "letters.csv").read_bytes(), chance))
            verb = chance.choice(verbs)
            argv = [verb, *head(verb)]
            some = chance.sample(sorted(known[verb]), min(len(known[verb]), chance.choice([0, 0, 1, 1, 2, 4])))
            argv += [word for option in some for word in (option, *value_of(known[verb][option]))]

            def run(argv: list[str] = argv) -> None:
                with contextlib.chdir(work):
                    status = main(argv)
                errors = sys.stderr.getvalue().splitlines()
                told = [line for line in errors if line.startswith("selfpretrain: ")]
                if status not in (0, 2, 130) or len(told) != bool(status) or told != errors[len(errors) - len(told) :]:
                    raise AssertionError(f"status {status}, {errors[-3:]}")
                if status == 2:
                    raise RequestError(told[0])

            tried.one(verb, f"input {number}: {argv}", run, work)
            for path, content in not_ours.items():
                if "--overwrite" in argv and str(path) in argv[3:]:
                    continue
                if not (work / path).is_file() or (work / path).read_bytes() != content:
                    tried.lost(f"input {number}, {argv}: {path}")


def is_not_ours(path: Path, whole: Path) -> bool:
    """Whether a file was there before we came."""
    return path.name == "mine.txt" or path.relative_to(whole).parts[0] != "finished"


def options_of(show_help: Callable[[], object]) -> dict[str, str | None]:
    """The options that a help text names, each with what it takes: None, N, TEXT, PATH or {one,of,these}."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        show_help()
    options = re.findall(r"^  (--[a-z.-]+)(?: \[?([A-Z{]\S*[^\s\]]|[A-Z]))?", text.getvalue(), re.MULTILINE)
    return {name: meant or None for name, meant in options if not name.startswith("--help")}


def small_config() -> "CompareConfig":
    from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TrainConfig

    return CompareConfig(
        arms=("scratch", "spt", "classical"),
        seeds=2,
        model=ModelConfig(width=8, heads=2),
        pretrain=PhaseConfig(duration="3steps"),
        label=PhaseConfig(duration="20steps"),
        train=TrainConfig(lr=(1e-2,)),
    )


def try_edits(tried: Tried, count: int, chance: random.Random, folder: Path) -> None:
    """Random edits of a finished comparison; a file that is not ours stays as it is."""
    from selfpretrain.classifier import load_model
    from selfpretrain.comparison.clean import clean
    from selfpretrain.comparison.compare import compare
    from selfpretrain.comparison.folder import ComparisonFolder
    from selfpretrain.data.load import load_task
    from selfpretrain.report.write import write_report

    whole, config = folder / "finished", small_config()
    compare(load_task("proximity", sequences=200, length=10), config, out=whole)
    (whole / "mine.txt").write_text("mine")
    names = sorted(
        str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file() and file.name != "mine.txt"
    )
    copied, task = folder / "edited", load_task("proximity", sequences=200, length=10)
    runs = {
        "load_model": lambda: load_model(copied),
        "report": lambda: write_report(copied),
        "clean": lambda: clean(ComparisonFolder(copied)),
        "compare": lambda: compare(task, config, out=copied),
    }
    for number in range(count):
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(whole, copied)
        for name in chance.sample(names, chance.choice([1, 1, 3])):
            (copied / name).write_bytes(mutated((copied / name).read_bytes(), chance))
        (copied / "runs" / "notes.json").write_text("{}")
        name = chance.choice([*runs, "load_model", "report"])
        tried.one(f"edited folder, {name}", f"edit {number}", runs[name], copied)
        for own, content in (("mine.txt", "mine"), ("runs/notes.json", "{}")):
            if not (copied / own).is_file() or (copied / own).read_text() != content:
                tried.lost(f"edit {number}, {name}: {own}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("inputs", 10_000), ("options", 2_000), ("commands", 2_000), ("edits", 1_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    tried, begun = Tried(arguments.keep), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        chance = random.Random(arguments.seed)
        try_files(tried, arguments.inputs, chance, Path(name))
        try_options(tried, arguments.options, chance, Path(name))
        try_commands(tried, arguments.commands, chance, Path(name))
        try_edits(tried, arguments.edits, chance, Path(name))
    for what, count in sorted(tried.counts.items()):
        print(f"{count:7,d}  {what}")
    print(f"{len(tried.failures)} failures; seed {arguments.seed}, {time.monotonic() - begun:.0f} s")
    return int(bool(tried.failures))


if __name__ == "__main__":
    sys.exit(main())
