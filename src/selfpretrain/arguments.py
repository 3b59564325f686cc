"""The arguments of every verb: their defaults, their help, and what they stand on.

A setting is given on the command line, or has the value of the preset or of the comparison on which the verb stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from selfpretrain.arms.builtin import SETS
from selfpretrain.config import ARGUMENT, PYTHON, RARE, SHARES, CompareConfig, DiagnoseConfig, TaskConfig, seconds_of
from selfpretrain.errors import RequestError, SettingError, require_at_least
from selfpretrain.options import filled, parse, task_help
from selfpretrain.presets import preset_of
from selfpretrain.registry import ARMS, PRESETS, TASKS

STUDYS_OWN = "the study's own"
COMPARISONS = "that of --from"


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


def _require_time(budget: str | None) -> None:
    """Refuse what is no time before anything is read."""
    if budget is not None:
        seconds_of(budget)


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
    If not given: standard for a file, and for a built-in task its own (demo for the built-in example)."""
    profile: Literal["full", "small"] = "full"
    """small: use the short version of a long task and a small model; minutes on two cores instead of days."""
    budget: str | None = None
    """Time budget, such as 10m or 1h. Training steps are timed on this machine; then durations, learning rates, the
    number of seeds and, where a preset reads long sequences position by position, --patch are chosen to fill the
    budget, the same for every arm. Values set by other options are kept."""
    label_fractions: tuple[float, ...] | None = None
    """Compare with each of these shares of the training labels, such as 0.01,0.05,0.2,1, beside the classical model.
    The fewer labels are among the more, and all sequences stay there to pretrain on (the study few-labels). With
    --budget the steps of all shares are multiplied by one number, those that were given, too."""
    plan: bool = False
    """Print what would be trained, how long it would take and how large a difference could be detected, then exit."""
    out: Path | None = None
    """Output folder. If not given: runs/<task>."""
    given: tuple[str, ...] = field(default=(), metadata=PYTHON)
    """Names of the settings of the comparison that were given, which a budget leaves as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_time(self.budget)
        shares = self.label_fractions
        if shares is None:
            return
        least, most = SHARES
        if not shares or len(set(shares)) < len(shares) or not all(least <= share <= most for share in shares):
            cure = f"give different ones from {least:g} to {most:g}, like 0.01,0.1,1"
            raise SettingError("label_fractions", shares, f"cannot be used; {cure}")
        if self.plan:
            raise SettingError("label_fractions", shares, "cannot be combined with --plan; give --budget")


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
    """small: at most 20 minutes on two cores (90 for the studies domains and paper); full: ten seeds and a larger
    model, for a GPU or another accelerator."""
    preset: str | None = None
    """A named set of model and training settings, on which the comparisons stand. If not given: the smallest model,
    whatever DATA is; --preset standard takes the model that compare takes for a file."""
    budget: str | None = None
    """Time budget, such as 30m or 2h. Steps are timed on this machine; then those of all comparisons on the same data
    are multiplied by one number. Data sets get the same time each."""
    out: Path | None = None
    """Output folder. If not given: runs/study-<name>, followed by the name of DATA if there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_time(self.budget)


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
    If not given: that of --from, standard for a file, and for a built-in task its own."""
    budget: str | None = None
    """Time budget, such as 10m or 1h, to which the training steps and learning rates are fitted."""
    out: Path | None = None
    """Output folder. If not given: models/<name of the data>-<arm>."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_time(self.budget)


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

    CSV, Parquet and JSONL files may be larger than memory. Of a table with one row per time step every sequence gets
    one row.
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

    If the file is the one that was compared, or has the column that held train, val and test in training, its test rows
    are used.
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


def compare_arguments(argv: list[str]) -> CompareArguments:
    """The arguments of ``compare``: what is given, on a preset that is named or that DATA has.

    Raises:
        RequestError: an option that cannot be used.
    """
    given = parse(CompareArguments, argv, "compare", compare_help)
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


def fit_arguments(argv: list[str]) -> FitArguments:
    """The arguments of ``fit``: what is given, on what a comparison found, or on a preset.

    Raises:
        RequestError: an option that cannot be used.
    """
    given = parse(FitArguments, argv, "fit", compare_help)
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


def data_of_study(task: TaskConfig) -> TaskConfig | None:
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


def compare_help() -> str:
    """Of verbs that train: the arms, the presets, and the options of built-in tasks."""
    arms = {name: arm.says for name, arm in ARMS.items()}
    return f"{table('arms', arms | SETS)}{table('presets', dict.fromkeys(PRESETS, ''))}\n{task_help()}"


def table(title: str, lines: Mapping[str, str]) -> str:
    """Names with what they mean, as help shows them."""
    return f"\n{title}:\n" + "".join(f"  {name:20s} {says}".rstrip() + "\n" for name, says in lines.items())
