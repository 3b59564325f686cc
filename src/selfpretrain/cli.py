"""The command line: verbs only. Parse, call, print.

Exit status: 0 done; 2 the request or the data is wrong; 1 an unexpected failure; 130 interrupted.
"""

import contextlib
import difflib
import errno
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.conf import Positional, arg

import selfpretrain
from selfpretrain.config import CompareConfig, DiagnoseConfig
from selfpretrain.errors import RequestError, WorkerKilled
from selfpretrain.presets import preset

USAGE = """\
usage: selfpretrain VERB ...

Does self-pretraining help on your sequences, by how much, at what cost, and why?

  compare [DATA]   train with and without self-pretraining, in pairs, and answer
  diagnose DIR     say why: attention, gradients, landscape, and weights moved one group at a time
  report DIR       draw the report of a finished comparison again; never trains

DATA is a built-in task (proximity, digits, noise, skew) or a file: .csv, .tsv, .parquet, .jsonl, .npz.

  selfpretrain compare                            the built-in example, a few minutes on two cores
  selfpretrain compare my.csv --label kind        your own data
  selfpretrain diagnose runs/proximity            why it came out so
  selfpretrain compare --help                     every option of a verb

Exit status: 0 done, 2 the request or the data is wrong, 1 an unexpected failure, 130 interrupted.
"""

PLAIN_WIDTH = 110  # of tables where there is no terminal to ask
Parsed = TypeVar("Parsed")
WRITE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR, errno.EFBIG}


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Train every arm with every seed and say whether self-pretraining helps, by how much and why.

    The same command goes on where an interrupted one stopped.
    """

    config: Annotated[CompareConfig, arg(name="")]
    preset: str = "minimal"
    """A named set of model and training settings, on which single options stand: minimal, small, or amos-listops,
    -text, -retrieval, -image, -pathfinder, -pathx, -pathx-256, -scifar, -sc, -bidmc."""
    out: Path | None = None
    """Folder for everything that is written; None: runs/<task>."""
    workers: int | None = None
    """Runs at a time on the CPU; None: the cores divided by --threads."""
    json: bool = False
    """Print summary.json alone on standard output."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise RequestError(f"--workers {self.workers} is too small; the least is 1")


@dataclass(frozen=True, kw_only=True)
class DiagnoseArguments:
    """Say why self-pretraining helps in a finished comparison, or does not: look, then experiment.

    Adds a part "Why" to the comparison's report. Of one run's folder, looks at that run alone. The same command goes
    on where an interrupted one stopped.
    """

    folder: Positional[Path]
    """The folder of a comparison, or of a run in its folder runs/."""
    config: Annotated[DiagnoseConfig, arg(name="")] = field(default_factory=DiagnoseConfig)
    workers: int | None = None
    """Jobs at a time; None: the cores."""
    json: bool = False
    """Print every measurement with its shape, unit, seed and step, and the conclusion, on standard output."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise RequestError(f"--workers {self.workers} is too small; the least is 1")


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """Draw report.html of a finished comparison again, from its folder alone."""

    folder: Positional[Path]
    """The comparison's folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs: dict[str, Callable[[list[str]], None]] = {"compare": _compare, "diagnose": _diagnose, "report": _report}
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"selfpretrain {selfpretrain.__version__}\n")
        return 0
    try:
        if arguments[0] not in verbs:
            raise RequestError(f"unknown verb '{arguments[0]}'; the verbs are {', '.join(verbs)}")
        verbs[arguments[0]](arguments[1:])
    except RequestError as error:
        return _fail(2, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted; finished work is kept, and the same command goes on from there")
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in WRITE_ERRORS:
            return _fail(
                2, f"cannot write {error.filename or 'there'}: {error.strerror}; make room or name another folder"
            )
        raise
    except WorkerKilled as error:
        return _fail(1, str(error))
    return 0


def _fail(status: int, message: str) -> int:
    sys.stderr.write(f"selfpretrain: {message}\n")
    return status


def _compare(argv: list[str]) -> None:
    named = _value_of("--preset", argv) or CompareArguments.preset
    ground = CompareArguments(config=preset(named), preset=named)
    arguments = _parse(CompareArguments, argv, "compare", default=ground)
    signal.signal(signal.SIGTERM, _interrupt)
    # Heavy imports wait: --help and a wrong option answer at once, and wrong data before torch is there.
    from selfpretrain.tasks import load_task

    task = load_task(arguments.config.task)
    from rich.console import Console

    from selfpretrain.comparison import compare
    from selfpretrain.progress import Watcher
    from selfpretrain.report import print_summary, write_report
    from selfpretrain.workers import cores

    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    config = arguments.config
    workers = arguments.workers or max(1, cores() // config.train.threads)
    if workers * config.train.threads > cores():
        raise RequestError(
            f"--workers {workers} with --threads {config.train.threads} needs more than this machine's {cores()} cores"
        )
    with Watcher(console) as watch:
        comparison = compare(task, config, out=arguments.out, workers=workers, watch=watch)
    report = write_report(comparison.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(comparison.summary, indent=2, allow_nan=False) + "\n")
    print_summary(console, comparison.summary)
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False)


def _diagnose(argv: list[str]) -> None:
    arguments = _parse(DiagnoseArguments, argv, "diagnose")
    signal.signal(signal.SIGTERM, _interrupt)
    from rich.console import Console

    from selfpretrain.diagnosis import diagnose
    from selfpretrain.progress import Watcher
    from selfpretrain.report import print_conclusion, write_report
    from selfpretrain.workers import cores

    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    if (arguments.workers or 1) > cores():
        raise RequestError(f"--workers {arguments.workers} is more than this machine's {cores()} cores")
    with Watcher(console) as watch:
        diagnosis = diagnose(arguments.folder, arguments.config, workers=arguments.workers or cores(), watch=watch)
    report = write_report(arguments.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(diagnosis.content, indent=2, allow_nan=False) + "\n")
    print_conclusion(console, diagnosis.content)
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False)


def _report(argv: list[str]) -> None:
    folder = _parse(ReportArguments, argv, "report").folder
    from selfpretrain.report import write_report

    sys.stderr.write(f"report: {write_report(folder)}\n")


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _value_of(option: str, argv: Sequence[str]) -> str | None:
    """What an option is set to, before everything else is parsed."""
    for argument, following in zip(argv, (*argv[1:], None), strict=True):
        if argument == option:
            return following
        if argument.startswith(option + "="):
            return argument.removeprefix(option + "=")
    return None


def _parse(cls: type[Parsed], argv: Sequence[str], verb: str, default: Parsed | None = None) -> Parsed:
    """Arguments of a verb; whatever is wrong becomes one line."""
    printed = io.StringIO()
    settings: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(printed):
            parsed, unknown = tyro.cli(
                cls,
                prog=f"selfpretrain {verb}",
                args=list(argv),
                return_unknown_args=True,
                registry=_lists(),
                **settings,
            )
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise RequestError(f"{_unboxed(printed.getvalue())} (see selfpretrain {verb} --help)") from None
    if unknown:
        raise RequestError(_unknown(unknown[0], _options(cls, settings)))
    result: Parsed = parsed
    return result


def _lists() -> tyro.constructors.ConstructorRegistry:
    """Tuples are written with commas: --arms a,b --lr 1e-3,3e-3."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def comma_separated(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[tuple[Any, ...]] | None:
        if info.type_origin is not tuple:
            return None
        element = next((kind for kind in (float, int) if kind in getattr(info.type, "__args__", ())), str.strip)
        numbers = element in (float, int)
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="NUMBER,.." if numbers else "NAME,..",
            instance_from_str=lambda given: tuple(element(part) for part in given[0].split(",") if part.strip()),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [",".join(f"{v:g}" if numbers else v for v in value)],
        )

    return registry


def _unboxed(text: str) -> str:
    """The first message in a drawn box, on one line. Terminals without Unicode get boxes of spaces and dashes."""
    lines = [line.strip("│ ") for line in text.splitlines()[1:]]  # the first is the title
    rules = [number for number, line in enumerate(lines) if re.fullmatch(r"[╭╰]?[─-]{3,}[╮╯]?", line)]
    start = rules[0] + 1 if rules[:1] == [0] else 0
    message = lines[start : next((rule for rule in rules if rule > start), len(lines))]
    said = re.sub(r"\s+", " ", " ".join(message)).strip()
    said = re.sub(r"\s+([.,])", r"\1", said).removesuffix(".")
    said = re.sub(r"no type matching .* could be instantiated from \['(.*?)'\].*", r"cannot read '\1'", said)
    said = re.sub(r"^Error parsing config\.(pretrain|label): --", r"--\1.", said)
    return re.sub(r"^Error parsing (?!--)\S+: ", "", said) or "the options cannot be read"


def _options(cls: type[Any], settings: dict[str, Any]) -> list[str]:
    """Every option of a verb, read from its help."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(cls, args=["--help"], registry=_lists(), **settings)
    found = re.findall(r"^[│ ]{1,3}(?:-\w, )?(--[a-z][\w.-]*)", printed.getvalue(), flags=re.MULTILINE)
    return list(dict.fromkeys(found))


def _unknown(argument: str, options: Sequence[str]) -> str:
    if not argument.startswith("-"):
        return f"unexpected argument '{argument}'; one DATA comes first, and everything else is an option"
    close = difflib.get_close_matches(argument, options, n=1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return f"unknown option {argument}{meant} the options are {', '.join(options)}"
