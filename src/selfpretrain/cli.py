"""The command line: verbs only. Parse, call, print.

Exit status: 0 done; 2 the request or the data is wrong; 1 an unexpected failure; 130 interrupted.
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

import selfpretrain
from selfpretrain.arms.registry import RIVALS, arm_named, expanded, known_arms
from selfpretrain.config import CompareConfig, DiagnoseConfig, TaskConfig
from selfpretrain.engines.engine import MakeEngine
from selfpretrain.errors import RequestError, SettingError, WorkerKilled, require_at_least
from selfpretrain.explain.registry import known_sections, sections_named
from selfpretrain.options import explained, parse, take_task_options, task_help, value_of
from selfpretrain.presets import preset
from selfpretrain.serial import to_dict
from selfpretrain.tasks.builtin import builtin_tasks

if TYPE_CHECKING:
    from rich.console import Console

USAGE = """\
usage: selfpretrain VERB ...

Does self-pretraining help on your sequences, by how much, at what cost, and why?

  compare [DATA]   train with and without self-pretraining, in pairs, and answer
  diagnose DIR     say why: attention, gradients, landscape, and weights moved one group at a time
  study NAME       many comparisons along one axis, and the claims that they decide (study list names them)
  data             list the built-in tasks, describe one, or make a file of it
  report DIR       draw the report of a finished comparison or study again; never trains
  clean DIR        list, then remove, trainings that the latest request does not use

DATA is a built-in task (selfpretrain data list gives them) or a file: .csv, .tsv, .parquet, .jsonl, .npz.

  selfpretrain compare                            the built-in example, a few minutes on two cores
  selfpretrain compare my.csv --budget 10m        your own data, in ten minutes
  selfpretrain compare my.csv --budget 10m --plan what that would be
  selfpretrain diagnose runs/proximity            why it came out so
  selfpretrain study depth                        does the gain need depth?
  selfpretrain compare --help                     every option of a verb

Exit status: 0 done, 2 the request or the data is wrong, 1 an unexpected failure, 130 interrupted.
"""

EngineName = Literal["local", "ray"]
STUDYS_OWN = "the study's own"
PLAIN_WIDTH = 110  # of tables where there is no terminal to ask
WRITE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR, errno.EFBIG}


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Train every arm with every seed and say whether self-pretraining helps, by how much and why.

    The same command goes on where an interrupted one stopped; with more seeds, another arm or other settings it trains
    what is missing.
    """

    task: OmitArgPrefixes[TaskConfig] = field(default_factory=TaskConfig)
    config: Annotated[CompareConfig, arg(name="")] = field(default_factory=CompareConfig)
    preset: str = "minimal"
    """A named set of model and training settings, on which single options stand: minimal, small, amos-NAME, or
    lra-NAME-small for the short sister of a long task.
    NAME: listops, text, retrieval, image, pathfinder, pathx, pathx-256, scifar, sc, bidmc.
    Tasks of the Long Range Arena have their own, unless another is named."""
    profile: Literal["full", "small"] = "full"
    """small: the short sister of a long task, with a small model: minutes on two cores instead of days."""
    budget: str | None = None
    """A time, like 10m or 1h. Steps are timed here, then durations, rates and seeds are chosen that fill it.
    They are the same for every arm. What other options set stays."""
    plan: bool = False
    """Print what would be done, how long it would take and what could be seen; do nothing."""
    out: Path | None = None
    """Folder for everything that is written; None: runs/<task>."""
    workers: int | None = None
    """Runs at a time on the CPU; None: the cores divided by --threads."""
    engine: EngineName = "local"
    """local: worker processes here; ray: Ray (an extra), started here or at --ray-address."""
    ray_address: str | None = None
    """A running Ray cluster, like auto or ray://host:10001. Give --out a folder that all its machines reach."""
    json: bool = False
    """Print summary.json alone on standard output."""

    def __post_init__(self) -> None:
        require_at_least(self, workers=1)


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
        require_at_least(self, workers=1)


@dataclass(frozen=True, kw_only=True)
class StudyArguments:
    """Run a study: many comparisons along one axis, and the claims that they decide, declared before they run.

    The same command goes on where an interrupted one stopped. What two comparisons share is trained once. Most studies
    can be asked about DATA of one's own. One's own study is a Python file that defines STUDY.
    """

    study: Positional[str]
    """list, a study's name (see below), or a Python file."""
    task: OmitArgPrefixes[TaskConfig] = field(default_factory=lambda: TaskConfig(data=STUDYS_OWN))
    profile: Literal["small", "full"] = "small"
    """small: at most 20 minutes on two cores (paper: 90); full: ten seeds and a larger model, for an accelerator."""
    out: Path | None = None
    """Folder for everything that is written; None: runs/study-<name>, with the data's name behind it."""
    workers: int | None = None
    """Runs at a time on the CPU; None: the cores."""
    engine: EngineName = "local"
    """local: worker processes here; ray: Ray (an extra), started here or at --ray-address."""
    ray_address: str | None = None
    """A running Ray cluster, like auto or ray://host:10001. Give --out a folder that all its machines reach."""
    json: bool = False
    """Print study.json alone on standard output."""

    def __post_init__(self) -> None:
        require_at_least(self, workers=1)


@dataclass(frozen=True, kw_only=True)
class DataArguments:
    """List the built-in tasks, describe one, or write its sequences to a file that compare reads."""

    what: Positional[Literal["list", "describe", "make"]]
    """list, describe TASK or make TASK --out FILE."""
    task: Positional[str] = ""
    """The task's name. Its own options go behind it: lra-listops --sequences 5000."""
    data_seed: int = 0
    """Seed of the generated data."""
    data_dir: Path | None = None
    """Folder of data that somebody has to get; None: what SELFPRETRAIN_DATA names, or data."""
    out: Path | None = None
    """File to write: .jsonl for symbols, .npz for values."""
    workers: int | None = None
    """Processes that draw a task whose rows take long (lra-pathfinder, lra-pathx); None: the cores."""

    def __post_init__(self) -> None:
        require_at_least(self, data_seed=0, workers=1)


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """Draw report.html of a finished comparison or study again, from its folder alone."""

    folder: Positional[Path]
    """The folder."""


@dataclass(frozen=True, kw_only=True)
class CleanArguments:
    """List the trainings and runs that the latest request of a comparison does not use, then remove them.

    Nothing that the report or the diagnosis uses is touched, and nothing that is not ours. On a terminal you are asked
    first.
    """

    folder: Positional[Path]
    """The comparison's folder."""
    yes: bool = False
    """Remove them without asking."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs: dict[str, Callable[[list[str]], int | None]] = {
        "compare": _compare,
        "diagnose": _diagnose,
        "study": _study,
        "data": _data,
        "report": _report,
        "clean": _clean,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"selfpretrain {selfpretrain.__version__}\n")
        return 0
    try:
        if arguments[0] not in verbs:
            raise RequestError(f"unknown verb '{arguments[0]}'; the verbs are {', '.join(verbs)}")
        return verbs[arguments[0]](arguments[1:]) or 0
    except SettingError as error:
        return _fail(2, explained(error))
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


def _compare(argv: list[str]) -> None:
    argv = _of_profile(argv)
    tasks = builtin_tasks()
    own = tasks[argv[0]].preset if argv and argv[0] in tasks else CompareArguments.preset
    named = value_of("--preset", argv) or own
    ground = preset(named)
    argv, options = take_task_options(argv)
    arms = "\n".join(f"  {name:14s} {arm.says}" for name, arm in known_arms().items())
    arms += f"\n  {RIVALS:14s} the default arms, and all that cost nothing beyond scratch"
    arguments = parse(
        CompareArguments,
        argv,
        "compare",
        default=CompareArguments(task=ground.task, config=ground.config, preset=named),
        more=f"\narms:\n{arms}\n\n{task_help()}",
    )
    config = replace(arguments.config, arms=expanded(arguments.config.arms))
    for name in config.arms:
        arm_named(name)
    # Heavy imports wait: --help and a wrong option answer at once, and wrong data before torch is there.
    from selfpretrain.machine import cores
    from selfpretrain.progress import Watcher
    from selfpretrain.tasks.load import load_task

    console = _console()
    with Watcher(console) as watch:
        workers = _processes(arguments.workers) if arguments.engine == "local" else cores()
        task = load_task(replace(arguments.task, options=options), workers=workers, watch=watch)
    from selfpretrain.comparison.compare import compare
    from selfpretrain.comparison.planning import planned
    from selfpretrain.events import ignore
    from selfpretrain.report.terminal import print_summary
    from selfpretrain.report.write import write_report

    engine, workers = _engine(arguments, config.train.threads)
    signal.signal(signal.SIGTERM, _interrupt)  # behind Ray, which has a handler of its own
    if arguments.plan:
        plan = planned(task, config, ground.config, arguments.budget, workers=workers, watch=ignore)
        sys.stderr.write("".join(f"{line}\n" for line in (*task.notes, *plan.lines)))
        return
    with Watcher(console) as watch:
        comparison = compare(
            task,
            config,
            out=arguments.out,
            budget=arguments.budget,
            default=ground.config,
            workers=workers,
            engine=engine,
            watch=watch,
        )
    report = write_report(comparison.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(comparison.summary, indent=2, allow_nan=False) + "\n")
    print_summary(console, comparison.answer)
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False)


def _of_profile(argv: list[str]) -> list[str]:
    """Arguments in which a task is replaced by its small sister, where that was asked for.

    Raises:
        SettingError: the task has none.
    """
    if value_of("--profile", argv) != "small":
        return argv
    tasks = builtin_tasks()
    small = [name.removesuffix("-small") for name in tasks if name.endswith("-small")]
    if not argv or argv[0] not in small:
        raise SettingError("profile", "small", f"needs one of {', '.join(small)} as DATA, in front of all options")
    return [f"{argv[0]}-small", *argv[1:]]


def _diagnose(argv: list[str]) -> None:
    sections = "\n".join(f"  {name:14s} {section.says}" for name, section in known_sections().items())
    arguments = parse(DiagnoseArguments, argv, "diagnose", more=f"\nsections:\n{sections}\n")
    sections_named(arguments.config.sections)
    signal.signal(signal.SIGTERM, _interrupt)
    from selfpretrain.explain.diagnose import diagnose
    from selfpretrain.progress import Watcher
    from selfpretrain.report.terminal import print_conclusion
    from selfpretrain.report.write import write_report

    console = _console()
    workers = _processes(arguments.workers)
    with Watcher(console) as watch:
        diagnosis = diagnose(arguments.folder, arguments.config, workers=workers, watch=watch)
    report = write_report(arguments.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(diagnosis.content, indent=2, allow_nan=False) + "\n")
    print_conclusion(console, diagnosis.findings)
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False)


def _study(argv: list[str]) -> int:
    from selfpretrain.studies.registry import known_studies, study_named

    lines = [f"{each.name:18s} {each.question} ({each.minutes:g} min)" for each in known_studies().values()]
    argv, options = take_task_options(argv)
    arguments = parse(StudyArguments, argv, "study", more="\nstudies:\n" + "".join(f"  {line}\n" for line in lines))
    if arguments.study == "list":
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 0
    study = study_named(arguments.study)
    task = _data_of_study(replace(arguments.task, options=options))
    from selfpretrain.progress import Watcher
    from selfpretrain.report.terminal import print_study
    from selfpretrain.report.write import write_report
    from selfpretrain.studies.conduct import run_study

    console = _console()
    engine, workers = _engine(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # behind Ray, which has a handler of its own
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
    report = write_report(result.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(to_dict(result.answer), indent=2, allow_nan=False) + "\n")
    print_study(console, result.answer)
    console.print(f"\nreport: {report}", soft_wrap=True, highlight=False)
    return int(any(case.failure is not None for case in result.answer.cases))


def _engine(arguments: CompareArguments | StudyArguments, threads: int = 1) -> tuple[MakeEngine, int]:
    """What does the trainings, and how many at a time."""
    from selfpretrain.engines.local import LocalEngine
    from selfpretrain.machine import cores

    address, most = arguments.ray_address, cores()
    if arguments.engine == "local" and address is not None:
        raise SettingError("ray_address", address, "is of no use without --engine ray")
    if arguments.engine == "ray":
        from selfpretrain.engines.ray import RayEngine, start

        most = start(address, most)
    workers = arguments.workers or max(1, most // threads)
    if workers * threads > most:
        whose = "this machine's" if address is None else "the cluster's"
        each = "" if threads == 1 else f"times {threads} threads "
        raise SettingError("workers", workers, f"{each}is more than {whose} {most} cores")
    return (LocalEngine if arguments.engine == "local" else partial(RayEngine, address=address)), workers


def _processes(asked: int | None) -> int:
    """As many as were asked for, or as there are cores.

    Raises:
        SettingError: there are fewer cores.
    """
    from selfpretrain.machine import cores

    if (asked or 1) > cores():
        raise SettingError("workers", asked, f"is more than this machine's {cores()} cores")
    return asked or cores()


def _data_of_study(task: TaskConfig) -> TaskConfig | None:
    """The data that a study is to be asked about; None where nobody named any.

    Raises:
        SettingError: an option of data without data.
    """
    if task.data != STUDYS_OWN:
        return task
    for name, value in to_dict(task).items():
        if name != "data_dir" and value != to_dict(TaskConfig(data=STUDYS_OWN))[name]:
            raise SettingError(name, value, "is of no use without DATA; name it behind the study")
    return None


def _data(argv: list[str]) -> None:
    argv, options = take_task_options(argv)
    arguments = parse(DataArguments, argv, "data", more=f"\n{task_help()}")
    from selfpretrain.progress import Watcher
    from selfpretrain.tasks.catalogue import described, listed, make_file

    if arguments.what == "list":
        sys.stdout.write("".join(f"{line}\n" for line in listed(arguments.data_dir)))
        return
    if not arguments.task:
        raise RequestError(f"data {arguments.what}: name a task; selfpretrain data list gives them")
    config = TaskConfig(
        data=arguments.task, data_seed=arguments.data_seed, data_dir=arguments.data_dir, options=options
    )
    if arguments.what == "make" and arguments.out is None:
        raise RequestError("data make: name the file with --out, like --out sequences.jsonl")
    signal.signal(signal.SIGTERM, _interrupt)
    with Watcher(_console()) as watch:
        how: dict[str, Any] = {"workers": _processes(arguments.workers), "watch": watch}
        if arguments.what == "make" and arguments.out is not None:
            sys.stderr.write(f"{make_file(config, arguments.out, **how)}\n")
        else:
            sys.stdout.write(f"{described(config, **how)}\n")


def _report(argv: list[str]) -> None:
    folder = parse(ReportArguments, argv, "report").folder
    from selfpretrain.report.write import write_report

    sys.stderr.write(f"report: {write_report(folder)}\n")


def _clean(argv: list[str]) -> None:
    arguments = parse(CleanArguments, argv, "clean")
    from selfpretrain.comparison.cleaning import clean, size_bytes, unused
    from selfpretrain.comparison.folder import ComparisonFolder

    folder = ComparisonFolder(arguments.folder)
    paths = unused(folder)
    for path in paths:
        sys.stderr.write(f"{path.relative_to(folder.path)}  {size_bytes(path) / 1e6:.1f} MB\n")
    if not paths:
        sys.stderr.write("nothing to remove: the latest request uses everything here\n")
        return
    ask = f"remove these {len(paths)} folders? [y/N] "
    if not arguments.yes and not sys.stdin.isatty():
        sys.stderr.write(f"nothing is removed; selfpretrain clean {folder.path} --yes does it\n")
        return
    try:
        agreed = arguments.yes or input(ask).strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if agreed:
        sys.stderr.write(f"removed {len(clean(folder, paths))} folders\n")


def _console() -> "Console":
    """Where progress goes."""
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(status: int, message: str) -> int:
    sys.stderr.write(f"selfpretrain: {message}\n")
    return status
