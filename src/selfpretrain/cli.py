"""The command line: verbs only. Parse, call, print.

Exit status: 0 done; 2 the request or the data is wrong; 1 an unexpected failure; 130 interrupted.
"""

import errno
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

import selfpretrain
from selfpretrain.arguments import (
    BenchArguments,
    CleanArguments,
    CompareArguments,
    DataArguments,
    DiagnoseArguments,
    EvaluateArguments,
    ExportArguments,
    PredictArguments,
    ReportArguments,
    StudyArguments,
    compare_arguments,
    data_of_study,
    fit_arguments,
    table,
)
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.errors import DamagedError, RequestError, SettingError, WorkerKilled, one_line
from selfpretrain.files import NO_ROOM, to_dict
from selfpretrain.machine import cores
from selfpretrain.metrics import UNITS
from selfpretrain.options import explained, read, task_help
from selfpretrain.registry import PRESETS, SECTIONS, STUDIES, TASKS
from selfpretrain.watch import Watcher

if TYPE_CHECKING:
    from rich.console import Console

    from selfpretrain.engines.engine import MakeEngine
    from selfpretrain.studies.study import Profile, Study

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

DATA is a built-in task (see selfpretrain data list), a file (.csv, .tsv, .parquet, .jsonl, .npz, .ts, .arff, .fasta,
.fastq), or a folder with a folder for each class.

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

RESUMED = ("compare", "diagnose", "study", "fit", "data")
SHARED_OUT = ("compare", "study")
"""Verbs that torchrun may start."""
PLAIN_WIDTH = 110  # of tables where there is no terminal to ask
IN_THE_WAY = (errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP)
CURES = {
    **dict.fromkeys(NO_ROOM, "make room"),
    **dict.fromkeys(IN_THE_WAY, "move away what stands there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "change its permissions"),
}
"""Of errors of the system where something is written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):  # of another encoding, perhaps
            stream.reconfigure(errors="backslashreplace")
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
    try:
        if verb not in verbs:
            raise RequestError(f"unknown verb '{verb}'; the verbs are {', '.join(verbs)}")
        return _with_torchrun(verb, verbs[verb], arguments) or 0
    except RequestError as error:
        return _fail(2, explained(error))
    except KeyboardInterrupt:
        return _interrupted(verb)
    except BrokenPipeError:  # the reader of our output has gone, as in "| head"
        _mute(sys.stdout)
        return 0
    except OSError as error:
        if error.errno not in CURES:
            raise
        place = error.filename2 or error.filename or "the output"
        return _fail(2, f"cannot write {place}: {error.strerror}; {CURES[error.errno]}, or name another folder")
    except WorkerKilled as error:
        return _fail(1, str(error))
    except Exception:
        if _interruption.is_set():  # which a library turned into an error of its own
            return _interrupted(verb)
        raise


def _interrupted(verb: str) -> int:
    _ignore_signals()
    kept = "finished work is kept, and the same command goes on from there"
    return _fail(130, f"interrupted; {kept if verb in RESUMED else 'nothing is written'}")


def _with_torchrun(verb: str, run: Callable[[list[str]], int | None], arguments: list[str]) -> int | None:
    """Run a verb; of the processes that torchrun started, the first one runs it, and the others assist."""
    if not started_by_torchrun():
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
    try:
        if is_first:
            return run(arguments)
        assist()
        return 0
    finally:
        if is_first:
            group.send(None)
        group.end()


def started_by_torchrun() -> bool:
    """Whether torchrun has started this process, beside others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def _compare(argv: list[str]) -> int | None:
    arguments = compare_arguments(argv)
    # Heavy imports wait: --help and a wrong option answer at once, and wrong data before torch is there.
    from selfpretrain.arms.builtin import expanded
    from selfpretrain.data.load import load_task

    config = arguments.config
    arms = expanded(config.arms)  # refuses an unknown one
    if arguments.label_fractions is not None:
        from selfpretrain.studies.builtin import few_labels

        study = few_labels(arguments.label_fractions)
        return _run_study(arguments, study, "small", arguments.task, replace(config, arms=arms))
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
        return None
    with Watcher(console) as watch:
        comparison = compare(task, config, engine=engine, watch=watch, **how)
    print_summary(console, comparison.answer)
    _finish(console, comparison.folder, comparison.summary if arguments.json else None)
    return None


def _diagnose(argv: list[str]) -> None:
    sections = {name: section.says for name, section in SECTIONS.items()}
    arguments = read(DiagnoseArguments, argv, "diagnose", lambda: table("sections", sections))
    for name in arguments.config.sections or ():
        SECTIONS[name]  # refuses an unknown one before torch is there
    from selfpretrain.explain.diagnose import diagnose
    from selfpretrain.report.terminal import print_conclusion

    console = _console()
    workers = _workers(arguments.workers, cores())
    with Watcher(console) as watch:
        diagnosis = diagnose(arguments.folder, arguments.config, workers=workers, watch=watch)
    print_conclusion(console, diagnosis.findings)
    _finish(console, arguments.folder, diagnosis.content if arguments.json else None)


def _study(argv: list[str]) -> int:
    studies = {study.name: f"{study.question} ({study.minutes:g} min)" for study in STUDIES.values()}
    arguments = read(StudyArguments, argv, "study", lambda: table("studies", studies))
    if arguments.study == "list":
        sys.stdout.write("".join(f"{name:18s} {says}\n" for name, says in studies.items()))
        return 0
    config = None
    if arguments.preset is not None:
        seeds = 3 if arguments.profile == "small" else 10
        config = replace(PRESETS[arguments.preset].config, arms=("scratch", "spt"), seeds=seeds)
    from selfpretrain.studies.run import study_named

    return _run_study(arguments, study_named(arguments.study), arguments.profile, data_of_study(arguments.task), config)


def _run_study(
    arguments: CompareArguments | StudyArguments,
    study: "Study",
    profile: "Profile",
    task: TaskConfig | None,
    config: CompareConfig | None,
) -> int:
    from selfpretrain.report.terminal import print_study
    from selfpretrain.studies.run import run_study

    console = _console()
    engine, workers = _engine(arguments)
    with Watcher(console) as watch:
        result = run_study(
            study,
            profile,
            task,
            config=config,
            budget=arguments.budget,
            out=arguments.out,
            data_dir=arguments.task.data_dir,
            workers=workers,
            engine=engine,
            watch=watch,
        )
    print_study(console, result.answer)
    _finish(console, result.folder, to_dict(result.answer) if arguments.json else None)
    return int(any(case.failure is not None for case in result.answer.cases))


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

    address = arguments.ray_address
    if started_by_torchrun():
        from selfpretrain.engines.torchrun import TorchrunEngine

        if arguments.engine != "local" or (arguments.workers or 1) > 1:
            raise RequestError("torchrun shares out one training at a time; leave out --engine and --workers")
        return TorchrunEngine, 1
    if arguments.engine == "local":
        if address is not None:
            raise SettingError("ray_address", address, "is of no use without --engine ray")
        return LocalEngine, _workers(arguments.workers, cores(), threads)
    from selfpretrain.engines.ray import RayEngine, start

    before = signal.getsignal(signal.SIGTERM)
    most = start(address, cores())
    signal.signal(signal.SIGTERM, before)  # of which Ray has a handler of its own
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


def _data(argv: list[str]) -> None:
    arguments = read(DataArguments, argv, "data", lambda: f"\n{task_help()}")
    from selfpretrain.data.catalogue import described, listed, make_file

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

    with Watcher(_console()) as watch:
        task = checked(load_task(config, workers=workers, watch=watch))
    if as_json:
        sys.stdout.write(json.dumps(to_dict(task.describe()), indent=2) + "\n")
        return
    sys.stderr.write("".join(f"{one_line(line)}\n" for line in task.notes))
    print_checks(_console(sys.stdout), task.describe())


def _fit(argv: list[str]) -> None:
    arguments = fit_arguments(argv)
    from selfpretrain.use.fit import fit

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
    by = _model_in_use(arguments.folder)
    sys.stderr.write("".join(f"{line}\n" for line in (*scored.lines, f"{arguments.out}: {scored.rows} rows{by}")))


def _model_in_use(path: Path) -> str:
    """Which model of a comparison scored rows, and how good to expect it to be."""
    from selfpretrain.comparison.folder import ComparisonFolder
    from selfpretrain.comparison.words import model_in_use

    folder = ComparisonFolder(path)
    try:
        is_answered = folder.is_comparison and folder.is_finished
        has_test = is_answered and not ((source := folder.record.source) and source.train_on_test)
        return model_in_use(folder.summary) if has_test else ""
    except DamagedError:  # the model is whole
        return ""


def _evaluate(argv: list[str]) -> None:
    arguments = read(EvaluateArguments, argv, "evaluate")
    from selfpretrain.classifier import load_model
    from selfpretrain.report.terminal import print_evaluation
    from selfpretrain.use.evaluate import evaluate_file

    config = arguments.spelt(label=arguments.label, group=arguments.group)
    result = evaluate_file(load_model(arguments.folder), arguments.data, config, arguments.folder)
    if arguments.json:
        sys.stdout.write(json.dumps(to_dict(result), indent=2, allow_nan=False) + "\n")
    else:
        print_evaluation(_console(sys.stdout), result)


def _export(argv: list[str]) -> None:
    arguments = read(ExportArguments, argv, "export")
    from selfpretrain.classifier import CODEC, load_model
    from selfpretrain.use.export import export_onnx

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

    with Watcher(_console()) as watch:
        measured = bench(quick=arguments.quick, watch=watch)
    if arguments.json:
        sys.stdout.write(json.dumps(to_dict(measured), indent=2) + "\n")
    else:
        print_bench(_console(sys.stdout), measured)


def _console(file: TextIO | None = None) -> "Console":
    """Where progress goes, or a result."""
    from rich.console import Console

    class Lasting(Console):
        def on_broken_pipe(self) -> None:
            """Nobody reads it any more, as after "| head": what is written goes nowhere, and the work goes on."""
            _mute(self.file)

    file = file or sys.stderr
    return Lasting(file=file, width=None if file.isatty() else PLAIN_WIDTH)


_interruption = threading.Event()


def catch_signals() -> None:
    """Let the first Ctrl-C or SIGTERM end this process as ``main`` says; for a process that runs ``main`` alone."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(signum: int, frame: object) -> None:
    """End what runs, once: another signal must not cut short what the first one lets end."""
    _ignore_signals()
    _interruption.set()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, lambda signum, frame: None)


def _fail(status: int, message: str) -> int:
    try:
        sys.stderr.write(f"selfpretrain: {one_line(message)}\n")
    except OSError:  # nobody can be told
        _mute(sys.stderr)
    return status


def _mute(stream: IO[str]) -> None:
    """Let what is still written to a stream, such as at the end of the process, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
