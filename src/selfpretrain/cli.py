"""The command line: verbs only. Parse, call, print.

Exit status: 0 done; 2 the request or the data is wrong; 1 an unexpected failure; 130 interrupted.
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import selfpretrain
from selfpretrain.arms.builtin import SETS
from selfpretrain.config import ARGUMENT, PYTHON, RARE, CompareConfig, DiagnoseConfig, TaskConfig
from selfpretrain.errors import RequestError, SettingError, WorkerKilled, one_line, require_at_least
from selfpretrain.files import to_dict
from selfpretrain.metrics import UNITS
from selfpretrain.options import explained, filled, parse, read, task_help
from selfpretrain.presets import preset_of
from selfpretrain.registry import ARMS, PRESETS, SECTIONS, STUDIES, TASKS

if TYPE_CHECKING:
    from rich.console import Console

    from selfpretrain.engines.engine import MakeEngine

USAGE = """\
usage: selfpretrain VERB ...

Does self-pretraining help on your sequences, by how much, at what cost, and why?

  compare [DATA]   train with and without self-pretraining on paired seeds, and report whether it helps
  diagnose DIR     explain the result: attention, gradients, loss landscape, and copying weights one group at a time
  study NAME       run many comparisons along one axis to test declared claims (study list shows the names)
  fit DATA         train one arm on all labelled rows, for a model to be used (--from DIR: as a comparison found best)
  predict DIR DATA write the class and the probabilities of every row of a file, by the model of a comparison
  evaluate DIR DATA
                   score the model of a comparison on a file of labelled rows
  export DIR       write the network of a comparison or a run as ONNX
  bench            measure how fast this package trains on this machine, beside Hugging Face's Trainer (extra: bench)
  data             list the built-in tasks, describe one, or write one to a file
  report DIR       rebuild the report of a finished comparison or study, without training
  clean DIR        list, then remove, trainings that the latest compare command does not use

DATA is a built-in task (see selfpretrain data list) or a file: .csv, .tsv, .parquet, .jsonl, .npz.

  selfpretrain compare                            the built-in example, about five minutes on two cores
  selfpretrain compare my.csv --budget 10m        your own data, in ten minutes
  selfpretrain compare my.csv --budget 10m --plan show the plan for that, without running it
  selfpretrain predict runs/my new.csv --out scored.csv
                                                  use the model that the comparison recommends
  selfpretrain diagnose runs/proximity            explain the result of the first example
  selfpretrain study depth                        does the gain need depth?
  selfpretrain compare --help                     options of one command (--help-all: every option)

Exit status: 0 success, 2 invalid request or data, 1 unexpected failure, 130 interrupted.
"""

STUDYS_OWN = "the study's own"
COMPARISONS = "that of --from"
RESUMED = ("compare", "diagnose", "study", "fit", "data")
SHARED_OUT = ("compare", "study")
"""Verbs that torchrun may start."""
PLAIN_WIDTH = 110  # of tables where there is no terminal to ask
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
IN_THE_WAY = {errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, kw_only=True)
class _Parallel:
    workers: int | None = None
    """Number of jobs to run in parallel on the CPU. If not given: as many as there are cores for."""

    def __post_init__(self) -> None:
        require_at_least(self, workers=1)


@dataclass(frozen=True, kw_only=True)
class _Training(_Parallel):
    engine: Literal["local", "ray"] = "local"
    """local: worker processes on this machine; ray: Ray (an optional extra), on this machine or at --ray-address."""
    ray_address: str | None = field(default=None, metadata=RARE)
    """Address of a running Ray cluster, such as auto or ray://host:10001. All of its machines must be able to access
    the --out folder."""
    json: bool = False
    """Print only summary.json, or study.json of a study, to standard output."""


@dataclass(frozen=True, kw_only=True)
class CompareArguments(_Training):
    """Train every arm with every seed and say whether self-pretraining helps, by how much and why.

    Running the same command again resumes an interrupted comparison. With more seeds, another arm or other settings, it
    trains only what is missing.
    """

    task: TaskConfig = field(default_factory=TaskConfig)
    config: CompareConfig = field(default_factory=CompareConfig)
    preset: str | None = None
    """A named set of model and training settings (see below); individual options override it.
    If not given: small for a file, and for a built-in task its own (demo for the built-in example)."""
    profile: Literal["full", "small"] = "full"
    """small: use the short version of a long task and a small model; minutes on two cores instead of days."""
    budget: str | None = None
    """Time budget, such as 10m or 1h. Training steps are timed on this machine; then durations, learning rates, the
    number of seeds and, for long sequences, --patch are chosen to fill the budget, the same for every arm. Values set
    by other options are kept."""
    plan: bool = False
    """Print what would be trained, how long it would take and how large a difference could be detected, then exit."""
    out: Path | None = None
    """Output folder. If not given: runs/<task>."""
    given: tuple[str, ...] = field(default=(), metadata=PYTHON)
    """Names of the settings of the comparison that were given, which a budget leaves as they are."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseArguments(_Parallel):
    """Explain why self-pretraining helps or does not help in a finished comparison, by measurements and experiments.

    Adds a "Why" part to the comparison's report. Given the folder of a single run, analyses only that run. Running the
    same command again resumes an interrupted diagnosis.
    """

    folder: Path = field(metadata=ARGUMENT)
    """Folder of a comparison, or of one of its runs (inside its runs/ folder)."""
    config: DiagnoseConfig = field(default_factory=DiagnoseConfig)
    json: bool = False
    """Print the conclusion, and under what conditions it was measured, to standard output."""


@dataclass(frozen=True, kw_only=True)
class StudyArguments(_Training):
    """Run a study: many comparisons along one axis, which test claims that are declared in advance.

    Running the same command again resumes an interrupted study. Trainings that comparisons share are run only once.
    Most studies can be run on your own DATA. To write your own study, define STUDY in a Python file.
    """

    study: str = field(metadata=ARGUMENT)
    """Name of a study (see below), a Python file that defines one, or the word list to show all studies."""
    task: TaskConfig = field(default_factory=lambda: TaskConfig(data=STUDYS_OWN))
    profile: Literal["small", "full"] = "small"
    """small: at most 20 minutes on two cores (90 for the study paper); full: ten seeds and a larger model, for a GPU or
    another accelerator."""
    out: Path | None = None
    """Output folder. If not given: runs/study-<name>, followed by the name of DATA if there is one."""


@dataclass(frozen=True, kw_only=True)
class DataArguments(_Parallel):
    """Check a file before it is compared; list the built-in tasks, describe one, or write its sequences to a file.

    check reads DATA as compare does, and says what may make test scores too good or was not meant: equal and nearly
    equal rows, classes that a single position, the length or the order of rows gives away, small classes.
    """

    what: Literal["check", "list", "describe", "make"] = field(metadata=ARGUMENT)
    """check DATA, list, describe TASK, or make TASK --out FILE."""
    task: TaskConfig = field(default_factory=lambda: TaskConfig(data=""))
    out: Path | None = None
    """For make: the file to write, .jsonl for symbols, .npz for values."""
    json: bool = False
    """For check: print the result as JSON to standard output."""


@dataclass(frozen=True, kw_only=True)
class FitArguments(_Parallel):
    """Train one arm on all labelled rows but a validation part, for a model to be used by predict and evaluate.

    Validation picks the learning rate and the checkpoint, so its accuracy is a little too good; evaluate gives that of
    new rows. Running the same command again resumes.
    """

    task: TaskConfig = field(default_factory=lambda: TaskConfig(data=COMPARISONS))
    config: CompareConfig = field(default_factory=lambda: CompareConfig(seeds=1))
    from_: Path | None = None
    """Folder of a finished comparison, of which are taken: the data (unless DATA is given), the recommended arm (unless
    --arm is given), the settings, and the learning rates that most seeds of that arm picked."""
    arm: str | None = None
    """What to train: spt, scratch, classical or any other arm. If not given: that of --from, or spt."""
    preset: str | None = None
    """A named set of model and training settings; individual options override it.
    If not given: that of --from, small for a file, and for a built-in task its own."""
    budget: str | None = None
    """Time budget, such as 10m or 1h, to which the training steps and learning rates are fitted."""
    out: Path | None = None
    """Output folder. If not given: models/<name of the data>-<arm>."""


@dataclass(frozen=True, kw_only=True)
class _OnFile:
    folder: Path = field(metadata=ARGUMENT)
    """Folder of a comparison, whose recommended model is used, or of any model (runs/spt-seed0, best)."""
    data: Path = field(metadata=ARGUMENT)
    """A file in any format that compare reads. Its columns are found by the names that training had."""
    sequence: str | None = None
    """The column that holds the sequence, where it has another name than in training."""
    pair: str | None = None
    """The column that holds the second sequence of a pair, where it has another name than in training."""
    header: Literal["yes", "no"] | None = field(default=None, metadata=RARE)
    """For text files: whether the first row names the columns. If not given: not if it consists of numbers."""
    separator: str | None = field(default=None, metadata=RARE)
    """For text files: the character between cells. If not given: comma, semicolon, tab or bar, whichever fits."""
    encoding: str | None = field(default=None, metadata=RARE)
    """For text files: their encoding, such as latin-1. If not given: UTF-8, or UTF-16 with a byte-order mark."""

    def spelt(self, **more: Any) -> TaskConfig:
        """How the file is read."""
        own = {name: getattr(self, name) for name in ("sequence", "pair", "header", "separator", "encoding")}
        return TaskConfig(data=str(self.data), **own, **more)


@dataclass(frozen=True, kw_only=True)
class PredictArguments(_OnFile):
    """Write the class and the class probabilities of every row of a file, beside its other columns and in its order.

    CSV and Parquet files may be larger than memory. Of a table with one row per time step every sequence gets one row.
    """

    out: Path
    """File to write (required): .csv, .parquet or .jsonl. Its new columns are predicted, and p_ with each class."""
    overwrite: bool = False
    """Replace the file to write if it is there."""
    skip_bad: bool = False
    """Leave rows that cannot be read without a prediction, and count them, instead of refusing the file."""


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(_OnFile):
    """Score a model on the labelled rows of a file: every metric with its interval, and the confusion matrix.

    If the file has the column that held train, val and test in training, its test rows are used.
    """

    label: str | None = None
    """The column that holds the class, where it has another name than in training."""
    group: str | None = None
    """The column of what rows share, such as a person: intervals take groups, not rows, as independent.
    If not given: that of training."""
    json: bool = False
    """Print the result as JSON to standard output."""


@dataclass(frozen=True, kw_only=True)
class ExportArguments:
    """Write a network as ONNX, and codec.json, which says how rows become its input, beside it.

    The file is compared with torch before it is written. Needs the extra: pip install 'selfpretrain[onnx]'.
    """

    folder: Path = field(metadata=ARGUMENT)
    """Folder of a comparison, whose recommended model is exported, or of any model (runs/spt-seed0, best)."""
    out: Path
    """File to write (required), such as model.onnx. Its inputs are x, the ids or values that the codec gives, padded to
    the longest training sequence, and keep_mask, True at real positions; docs/use.md has the code."""


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """Draw report.html of a finished comparison or study again, from its folder alone."""

    folder: Path = field(metadata=ARGUMENT)
    """Folder of a comparison or study."""


@dataclass(frozen=True, kw_only=True)
class CleanArguments:
    """List the trainings and runs that the latest request of a comparison does not use, then remove them.

    Nothing that the report or the diagnosis uses is touched, and nothing that is not ours. On a terminal you are asked
    first.
    """

    folder: Path = field(metadata=ARGUMENT)
    """The comparison's folder."""
    yes: bool = False
    """Remove them without asking."""


@dataclass(frozen=True, kw_only=True)
class BenchArguments:
    """Measure how fast this package trains on this machine: single steps and a whole comparison, on the CPU.

    Beside it stand Hugging Face's Trainer, a loop over torch.nn.TransformerEncoder, and the matrix products and the
    attention that no step can do without. They take turns, so that a machine whose speed drifts slows them alike. Needs
    the extra: pip install 'selfpretrain[bench]'. Close other programs first; it takes about fifteen minutes.
    """

    quick: bool = False
    """About three minutes: fewer rounds, and a comparison with one seed."""
    json: bool = False
    """Print everything that was measured, and the versions, as JSON."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
    verb, *arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    verbs: dict[str, Callable[[list[str]], int | None]] = {
        "compare": _compare,
        "diagnose": _diagnose,
        "study": _study,
        "fit": _fit,
        "predict": _predict,
        "evaluate": _evaluate,
        "export": _export,
        "data": _data,
        "report": _report,
        "clean": _clean,
        "bench": _bench,
    }
    if verb in ("-h", "--help", "--version"):
        sys.stdout.write(f"selfpretrain {selfpretrain.__version__}\n" if verb == "--version" else USAGE)
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see __main__
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if verb not in verbs:
            raise RequestError(f"unknown verb '{verb}'; the verbs are {', '.join(verbs)}")
        return _with_torchrun(verb, verbs[verb], arguments) or 0
    except RequestError as error:
        return _fail(2, explained(error))
    except KeyboardInterrupt:
        kept = "finished work is kept, and the same command goes on from there"
        return _fail(130, f"interrupted; {kept if verb in RESUMED else 'nothing is written'}")
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        _mute(sys.stdout)
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM | IN_THE_WAY | FORBIDDEN:
            raise
        cure = "make room" if error.errno in NO_ROOM else "move away what stands there"
        place = error.filename2 or error.filename or "the output"
        return _fail(2, f"cannot write {place}: {error.strerror}; {cure}, or name another folder")
    except WorkerKilled as error:
        return _fail(1, str(error))


def _with_torchrun(verb: str, run: Callable[[list[str]], int | None], arguments: list[str]) -> int | None:
    """Run a verb; of the processes that torchrun started, the first one runs it, and the others assist."""
    if not _started_by_torchrun():
        return run(arguments)
    is_first = os.environ["RANK"] == "0"
    if verb not in SHARED_OUT:
        if not is_first:
            return 0
        raise RequestError(
            f"{verb}: does not share out its work; run it without torchrun, which serves {' and '.join(SHARED_OUT)}"
        )
    from selfpretrain.engines.torchrun import assist
    from selfpretrain.train import group

    group.start()
    if not is_first:
        assist()
        return 0
    try:
        return run(arguments)
    finally:
        group.send(None)


def _started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def compare_arguments(argv: list[str]) -> CompareArguments:
    """The arguments of ``compare``: what is given, on a preset that is named or that DATA has.

    Raises:
        RequestError: an option that cannot be used.
    """
    given = parse(CompareArguments, argv, "compare", _compare_help)
    task = given.setdefault("task", {})
    data = task.get("data", TaskConfig.data)
    if given.get("profile") == "small":
        if data not in TASKS or TASKS[data].small is None:
            small = ", ".join(name for name in TASKS if TASKS[name].small)
            raise SettingError("profile", "small", f"needs one of {small} as DATA")
        task["data"] = data = TASKS[data].small
    preset = PRESETS[given.get("preset") or preset_of(data)]
    ground = CompareArguments(task=preset.task, config=preset.config, preset=preset.name)
    names = tuple(_names(given.get("config", {})))
    arguments: CompareArguments = filled(ground, {**given, "given": names})
    return arguments


def _names(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of nested settings."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _compare(argv: list[str]) -> None:
    arguments = compare_arguments(argv)
    # Heavy imports wait: --help and a wrong option answer at once, and wrong data before torch is there.
    from selfpretrain.arms.builtin import expanded
    from selfpretrain.data.load import load_task
    from selfpretrain.machine import cores
    from selfpretrain.watch import Watcher

    config = arguments.config
    expanded(config.arms)  # refuses an unknown one
    console = _console()
    with Watcher(console) as watch:
        workers = _workers(arguments.workers, cores()) if arguments.engine == "local" else cores()
        task = load_task(arguments.task, workers=workers, watch=watch)
    from selfpretrain.comparison.compare import compare, planned
    from selfpretrain.report.terminal import print_summary

    engine, workers = _engine(arguments, config.train.threads)
    how: dict[str, Any] = {
        "out": arguments.out,
        "budget": arguments.budget,
        "keep": arguments.given,
        "workers": workers,
    }
    if arguments.plan:
        plan = planned(task, config, **how)
        sys.stderr.write("".join(f"{one_line(line)}\n" for line in (*task.notes, *plan.lines)))
        return
    with Watcher(console) as watch:
        comparison = compare(task, config, engine=engine, watch=watch, **how)
    print_summary(console, comparison.answer)
    _finish(console, comparison.folder, comparison.summary if arguments.json else None)


def _compare_help() -> str:
    arms = {name: arm.says for name, arm in ARMS.items()}
    return f"{_table('arms', arms | SETS)}{_table('presets', dict.fromkeys(PRESETS, ''))}\n{task_help()}"


def _diagnose(argv: list[str]) -> None:
    sections = {name: section.says for name, section in SECTIONS.items()}
    arguments = read(DiagnoseArguments, argv, "diagnose", lambda: _table("sections", sections))
    for name in arguments.config.sections or ():
        SECTIONS[name]  # refuses an unknown one before torch is there
    from selfpretrain.explain.diagnose import diagnose
    from selfpretrain.machine import cores
    from selfpretrain.report.terminal import print_conclusion
    from selfpretrain.watch import Watcher

    console = _console()
    workers = _workers(arguments.workers, cores())
    with Watcher(console) as watch:
        diagnosis = diagnose(arguments.folder, arguments.config, workers=workers, watch=watch)
    print_conclusion(console, diagnosis.findings)
    _finish(console, arguments.folder, diagnosis.content if arguments.json else None)


def _study(argv: list[str]) -> int:
    studies = {study.name: f"{study.question} ({study.minutes:g} min)" for study in STUDIES.values()}
    arguments = read(StudyArguments, argv, "study", lambda: _table("studies", studies))
    if arguments.study == "list":
        sys.stdout.write("".join(f"{name:18s} {says}\n" for name, says in studies.items()))
        return 0
    from selfpretrain.report.terminal import print_study
    from selfpretrain.studies.run import run_study, study_named
    from selfpretrain.watch import Watcher

    study = study_named(arguments.study)
    task = _data_of_study(arguments.task)
    console = _console()
    engine, workers = _engine(arguments)
    with Watcher(console) as watch:
        result = run_study(
            study,
            arguments.profile,
            task,
            out=arguments.out,
            data_dir=arguments.task.data_dir,
            workers=workers,
            engine=engine,
            watch=watch,
        )
    print_study(console, result.answer)
    _finish(console, result.folder, to_dict(result.answer) if arguments.json else None)
    return int(any(case.failure is not None for case in result.answer.cases))


def _table(title: str, lines: Mapping[str, str]) -> str:
    return f"\n{title}:\n" + "".join(f"  {name:20s} {says}".rstrip() + "\n" for name, says in lines.items())


def _finish(console: "Console", folder: Path, content: Any) -> None:
    """Draw the report, and print the result as JSON unless it is None."""
    from selfpretrain.report.write import write_report

    report = write_report(folder)
    if content is not None:
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False, markup=False)
    if (best := folder / "best").is_dir() and any(best.iterdir()):
        console.print(f"model:  {best}", soft_wrap=True, highlight=False, markup=False)


def _engine(arguments: CompareArguments | StudyArguments, threads: int = 1) -> "tuple[MakeEngine, int]":
    """What does the trainings, and how many at a time."""
    from selfpretrain.engines.local import LocalEngine
    from selfpretrain.machine import cores

    address = arguments.ray_address
    if _started_by_torchrun():
        from selfpretrain.engines.torchrun import TorchrunEngine

        if arguments.engine != "local" or (arguments.workers or 1) > 1:
            raise RequestError("torchrun shares out one training at a time; leave out --engine and --workers")
        return TorchrunEngine, 1
    if arguments.engine == "local":
        if address is not None:
            raise SettingError("ray_address", address, "is of no use without --engine ray")
        return LocalEngine, _workers(arguments.workers, cores(), threads)
    from selfpretrain.engines.ray import RayEngine, start

    most = start(address, cores())
    signal.signal(signal.SIGTERM, _interrupt)  # again, because Ray has a handler of its own
    return partial(RayEngine, address=address), _workers(arguments.workers, most, threads)


def _workers(asked: int | None, n_cores: int, threads: int = 1) -> int:
    """As many as were asked for, or as there are cores for.

    Raises:
        SettingError: there are fewer cores.
    """
    workers = asked or max(1, n_cores // threads)
    if workers * threads > n_cores:
        times = "" if threads == 1 else f"times {threads} threads "
        raise SettingError("workers", workers, f"{times}is more than the {n_cores} cores of this machine or cluster")
    return workers


def _data_of_study(task: TaskConfig) -> TaskConfig | None:
    """The data that a study is to be asked about; None where nobody named any.

    Raises:
        SettingError: an option of data without data.
    """
    if task.data != STUDYS_OWN:
        return task
    default = TaskConfig(data=STUDYS_OWN, data_dir=task.data_dir)
    for name, value in vars(task).items():
        if value != getattr(default, name):
            raise SettingError(name, value, "is of no use without DATA; name it behind the study")
    return None


def _data(argv: list[str]) -> None:
    arguments = read(DataArguments, argv, "data", lambda: f"\n{task_help()}")
    from selfpretrain.data.catalogue import described, listed, make_file
    from selfpretrain.machine import cores
    from selfpretrain.watch import Watcher

    if arguments.what == "list":
        sys.stdout.write("".join(f"{line}\n" for line in listed(arguments.task.data_dir)))
        return
    config, workers = arguments.task, _workers(arguments.workers, cores())
    if not config.data:
        name = "a file or a task" if arguments.what == "check" else "a task"
        raise RequestError(f"data {arguments.what}: name {name}; selfpretrain data list gives the tasks")
    if arguments.what == "check":
        _check(config, workers, as_json=arguments.json)
        return
    if config.data not in TASKS:
        raise RequestError(f"data {arguments.what}: '{config.data}' is no built-in task; data check reads files")
    if config.max_length is not None:
        raise SettingError("max_length", config.max_length, "is for data check and compare; built-in tasks are not cut")
    if arguments.what == "make" and arguments.out is None:
        raise RequestError("data make: name the file with --out, like --out sequences.jsonl")
    with Watcher(_console()) as watch:
        if arguments.what == "make" and arguments.out is not None:
            sys.stderr.write(f"{make_file(config, arguments.out, workers=workers, watch=watch)}\n")
        else:
            sys.stdout.write(f"{described(config, workers=workers, watch=watch)}\n")


def _check(config: TaskConfig, workers: int, *, as_json: bool) -> None:
    from selfpretrain.data.check import checked
    from selfpretrain.data.load import load_task
    from selfpretrain.report.terminal import print_checks
    from selfpretrain.watch import Watcher

    with Watcher(_console()) as watch:
        task = checked(load_task(config, workers=workers, watch=watch))
    if as_json:
        sys.stdout.write(json.dumps(to_dict(task.describe()), indent=2) + "\n")
        return
    sys.stderr.write("".join(f"{one_line(line)}\n" for line in task.notes))
    print_checks(_console(sys.stdout), task.describe())


def fit_arguments(argv: list[str]) -> FitArguments:
    """The arguments of ``fit``: what is given, on what a comparison found, or on a preset.

    Raises:
        RequestError: an option that cannot be used.
    """
    given = parse(FitArguments, argv, "fit", _compare_help)
    if "arms" in given.get("config", {}):
        raise SettingError("arms", ",".join(given["config"]["arms"]), "are for compare; name one with --arm")
    data = given.get("task", {}).get("data")
    if "from_" not in given:
        if data is None:
            raise RequestError("fit: name DATA, or a comparison with --from")
        preset = PRESETS[given.get("preset") or preset_of(data)]
        ground = FitArguments(task=preset.task, config=replace(preset.config, seeds=1), arm="spt")
    else:
        from selfpretrain.use.fit import FromComparison

        known = FromComparison.read(given["from_"], given.get("arm"))
        config = replace(PRESETS[given["preset"]].config, seeds=1) if "preset" in given else known.config
        if known.task is None and data is None:
            raise SettingError("from_", given["from_"], "was made from Python, so its data are not known; name DATA")
        task = known.task or TaskConfig()
        ground = FitArguments(task=task, config=config, arm=known.arm)
    arguments: FitArguments = filled(ground, given)
    return arguments


def _fit(argv: list[str]) -> None:
    arguments = fit_arguments(argv)
    from selfpretrain.machine import cores
    from selfpretrain.use.fit import fit
    from selfpretrain.watch import Watcher

    task, arm = arguments.task, arguments.arm or "spt"
    out = arguments.out or Path("models") / f"{Path(task.data).stem}-{arm}"
    workers = _workers(arguments.workers, cores(), arguments.config.train.threads)
    with Watcher(_console()) as watch:
        fitted = fit(
            task,
            arguments.config,
            arm=arm,
            out=out,
            budget=arguments.budget,
            keep={"seeds", "model.patch"},
            workers=workers,
            watch=watch,
        )
    unit = UNITS[arguments.config.metric]
    level = f"{unit.title} {unit.level(fitted.use.val)} on validation"
    sys.stderr.write(
        "".join(f"{line}\n" for line in (*fitted.doubts, f"{arm}: {level}", f"model: {fitted.folder / 'best'}"))
    )


def _predict(argv: list[str]) -> None:
    arguments = read(PredictArguments, argv, "predict")
    from selfpretrain.classifier import load_model
    from selfpretrain.use.predict import predict_file
    from selfpretrain.watch import Watcher

    model = load_model(arguments.folder)
    with Watcher(_console()) as watch:
        scored = predict_file(
            model,
            arguments.data,
            arguments.out,
            config=arguments.spelt(),
            skip_bad=arguments.skip_bad,
            overwrite=arguments.overwrite,
            watch=watch,
        )
    sys.stderr.write("".join(f"{line}\n" for line in (*scored.lines, f"{arguments.out}: {scored.rows} rows")))


def _evaluate(argv: list[str]) -> None:
    arguments = read(EvaluateArguments, argv, "evaluate")
    from selfpretrain.classifier import load_model
    from selfpretrain.report.terminal import print_evaluation
    from selfpretrain.use.evaluate import evaluate_file

    config = arguments.spelt(label=arguments.label, group=arguments.group)
    result = evaluate_file(load_model(arguments.folder), arguments.data, config)
    if arguments.json:
        sys.stdout.write(json.dumps(to_dict(result), indent=2, allow_nan=False) + "\n")
    else:
        print_evaluation(_console(sys.stdout), result)


def _export(argv: list[str]) -> None:
    arguments = read(ExportArguments, argv, "export")
    from selfpretrain.classifier import load_model
    from selfpretrain.use.export import CODEC, export_onnx

    difference = export_onnx(load_model(arguments.folder), arguments.out)
    beside = arguments.out.with_name(CODEC)
    sys.stderr.write(f"{arguments.out} and {beside}: within {difference:.1g} of torch's probabilities\n")


def _report(argv: list[str]) -> None:
    folder = read(ReportArguments, argv, "report").folder
    from selfpretrain.report.write import write_report

    sys.stderr.write(f"report: {write_report(folder)}\n")


def _clean(argv: list[str]) -> None:
    arguments = read(CleanArguments, argv, "clean")
    from selfpretrain.comparison.clean import clean, unused
    from selfpretrain.comparison.folder import ComparisonFolder

    folder = ComparisonFolder(arguments.folder)
    entries = unused(folder)
    for entry in entries:
        note = "" if entry.is_finished else "  unfinished, and left: delete it yourself"
        sys.stderr.write(f"{entry.path.relative_to(folder.path)}  {entry.size_bytes / 1e6:.1f} MB{note}\n")
    finished = sum(entry.is_finished for entry in entries)
    if not finished:
        rest = " that is finished" if entries else ": the latest request uses everything here"
        sys.stderr.write(f"nothing to remove{rest}\n")
        return
    if not arguments.yes and not sys.stdin.isatty():
        sys.stderr.write(f"nothing is removed; selfpretrain clean {folder.path} --yes does it\n")
        return
    try:
        agreed = arguments.yes or input(f"remove these {finished} folders? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if agreed:
        sys.stderr.write(f"removed {len(clean(folder))} folders\n")


def _bench(argv: list[str]) -> None:
    arguments = read(BenchArguments, argv, "bench")
    from selfpretrain.bench.bench import bench
    from selfpretrain.report.terminal import print_bench
    from selfpretrain.watch import Watcher

    with Watcher(_console()) as watch:
        measured = bench(quick=arguments.quick, watch=watch)
    if arguments.json:
        sys.stdout.write(json.dumps(to_dict(measured), indent=2) + "\n")
    else:
        print_bench(_console(sys.stdout), measured)


def _console(file: TextIO | None = None) -> "Console":
    """Where progress goes, or a result."""
    from rich.console import Console

    file = file or sys.stderr
    return Console(file=file, width=None if file.isatty() else PLAIN_WIDTH)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(status: int, message: str) -> int:
    try:
        sys.stderr.write(f"selfpretrain: {one_line(message)}\n")
    except OSError:  # nobody can be told
        _mute(sys.stderr)
    return status


def _mute(stream: TextIO) -> None:
    """Let what is still written to a stream, such as at the end of the process, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
