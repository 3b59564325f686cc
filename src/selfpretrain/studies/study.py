"""Studies, their cases, and the records of their answers. Imports no torch."""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from selfpretrain.arms.builtin import expanded
from selfpretrain.config import CompareConfig, DiagnoseConfig, Duration, PhaseName, TaskConfig
from selfpretrain.data.builtin import FOLDER, VARIABLE, data_folder
from selfpretrain.errors import RequestError, one_line
from selfpretrain.files import fingerprint, from_dict, to_dict
from selfpretrain.registry import PRESETS

if TYPE_CHECKING:
    from selfpretrain.studies.claims import Claim

Profile = Literal["small", "full"]
"""small: at most 20 minutes on two cores (domains and paper: 90); full: ten seeds and a larger model, for an
accelerator (ours)."""


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """The answer to one claim of a study.

    Attributes:
        primary: one of the first two, which share a level by Holm's rule; the others share another by family.
        unit: of the effect, times 100; of a factor (``is_factor``), whose binary logarithm the effect is.
        least: effects below this count as none.
        effect: as the claim has it, above 0 in its favour; None where it was not measured.
        ci95: a bound is None where nothing bounds a factor.
        why: the reason why it was not measured.
        family: claims that are corrected together, of one data set; "" where the study has one family.
    """

    claim: str
    refuted_by: str
    primary: bool
    unit: str
    least: float
    effect: float | None
    ci95: tuple[float | None, float | None]
    p_adjusted: float | None
    n_seeds: int
    outcome: Literal["holds", "does not hold", "undecided"]
    why: str | None
    family: str = ""

    @property
    def is_factor(self) -> bool:
        """Whether the effect is a factor, as a binary logarithm, and not a difference."""
        return self.unit.startswith(TIMES)

    def shown(self, value: float | None) -> str:
        """A value of the effect, without its unit; a dash for None."""
        from selfpretrain.metrics import UNITS

        return f"{2**value:.1f}" if self.is_factor and value is not None else UNITS["accuracy"].lead(value)

    @property
    def interval(self) -> str:
        """The interval, without its unit; a dash where there is none."""
        low, high = self.ci95
        if self.is_factor and (low is None) != (high is None):
            return f"at most {self.shown(high)}" if low is None else f"at least {self.shown(low)}"
        return "-" if low is None else f"{self.shown(low)} to {self.shown(high)}"

    @property
    def in_words(self) -> str:
        """The effect with its unit and interval, or why it was not measured."""
        if self.effect is None:
            return f"not measured: {self.why}"
        if self.ci95 == (None, None):
            return f"{self.shown(self.effect)} {self.unit}, no interval"
        if None in self.ci95:
            return f"{self.interval} {self.unit}"
        return f"{self.shown(self.effect)} {self.unit}, {self.interval}"


@dataclass(frozen=True, kw_only=True)
class CaseAnswer:
    """How far one comparison of a study has come.

    Attributes:
        request: fingerprint of the comparison and its data; an answer to another request does not count.
        failure: the error that ended it; None if it ended well or has not run yet.
        left_out: why it is not run, and the cure.
        warnings: caveats about its answer.
    """

    name: str
    axes: Mapping[str, str]
    request: str
    failure: str | None = None
    left_out: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyAnswer:
    """The answer of a study: study.json.

    Attributes:
        declared: fingerprint of the declaration.
        changed_after: comparisons that had finished when the declaration was changed; None if it never was.
        asked: fingerprint of a budget and of the comparisons as they would be without one.
        shares: by how much their steps were multiplied to fit it, for each data set; empty: there was no budget.
    """

    study: str
    question: str
    expected: str
    profile: Profile
    version: str
    declared: str
    changed_after: int | None
    claims: tuple[ClaimAnswer, ...]
    cases: tuple[CaseAnswer, ...]
    answer: str
    asked: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)


TIMES = "times"
"""What the unit of a factor begins with."""
Axis = str | int | float
MAX_CASES = 1000
"""Of a study (ours)."""
COLUMNS = ("study", "comparison", "task", "arm", "seed", "lr", "train_acc", "val_acc", "test_acc", "flops", "seconds")
"""Columns of table.csv beside the axes."""


def _require_folder_name(what: str, name: str) -> None:
    if not re.fullmatch(r"\w[\w.+-]{0,99}", name) or ".." in name:
        shown = one_line(name[:120])
        raise ValueError(f"the {what} '{shown}' cannot name a folder; use letters, digits, '.', '+' and '-'")


@dataclass(frozen=True)
class Case:
    """One comparison of a study.

    Attributes:
        axes: its place on each axis, for example {"depth": 2}.
        diagnosis: what is diagnosed after the comparison; None: nothing.
        left_out: why it cannot be run here (its data are missing), and the cure. Its claims stay undecided.

    Raises:
        ValueError: its name cannot name a folder, an axis has the name of a column of table.csv, a case that is
            diagnosed keeps no snapshots, or seeds are a range: a study decides after all of them.
    """

    axes: Mapping[str, Axis]
    config: CompareConfig
    task: TaskConfig
    diagnosis: DiagnoseConfig | None = None
    left_out: str | None = None

    def __post_init__(self) -> None:
        _require_folder_name("case", self.name)
        if not isinstance(self.left_out, str | None) or not isinstance(self.diagnosis, DiagnoseConfig | None):
            raise TypeError(f"the case {self.name}: diagnosis is a DiagnoseConfig or None, and left_out a text or None")
        if taken := set(self.axes) & set(COLUMNS):
            raise ValueError(f"the axis '{min(taken)}' has the name of a column of table.csv; give it another")
        if self.diagnosis is not None and not self.config.train.snapshots:
            raise ValueError(
                f"the case {self.name} is diagnosed, which takes snapshots; give train.snapshots 1 or more"
            )
        if self.config.looks:
            raise ValueError(f"the case {self.name} has a range of seeds; a study takes a single number")

    @property
    def name(self) -> str:
        """The name of its folder, by which claims refer to it.

        >>> Case({"depth": 2}, CompareConfig(), TaskConfig()).name
        'depth-2'
        """
        return "-".join(f"{axis}-{value}" for axis, value in self.axes.items())

    def looks_at(self, section: str) -> bool:
        """Whether its diagnosis has that section; a diagnosis that names none has all."""
        return self.diagnosis is not None and section in (self.diagnosis.sections or (section,))

    @property
    def request(self) -> CompareConfig:
        """The comparison, with its arms by name."""
        return replace(self.config, arms=expanded(self.config.arms))


def changed(config: CompareConfig, section: str, **settings: Any) -> CompareConfig:
    """The comparison with other settings in one of its sections.

    >>> changed(CompareConfig(), "model", depth=7).model.depth
    7
    """
    return replace(config, **{section: replace(getattr(config, section), **settings)})


def times(config: CompareConfig, phase: PhaseName, factor: float) -> CompareConfig:
    """The comparison with so many times the length of a phase.

    >>> times(CompareConfig(), "label", 10).label.duration
    '3000steps'
    """
    duration = Duration.parse(getattr(config, phase).duration)
    assert duration is not None, "checked by PhaseConfig"
    amount = factor * duration.amount
    amount = max(1, round(amount)) if duration.unit == "steps" else amount
    return changed(config, phase, duration=f"{amount:g}{duration.unit}")


@dataclass(frozen=True)
class Ground:
    """The comparison and the task that the cases of a study vary.

    Attributes:
        config: a comparison of scratch and spt.
        task: ``proximity``, or the user's own data.
        data_dir: folder of the files of real data.
        is_given: whether somebody asked for this model and training, whose steps and rates then stay.
    """

    profile: Profile
    config: CompareConfig
    task: TaskConfig
    data_dir: Path = FOLDER
    is_given: bool = False

    def along(
        self,
        axis: str,
        values: Sequence[Axis],
        change: Callable[[CompareConfig, Any], CompareConfig] = lambda config, _: config,
        *,
        task: Callable[[TaskConfig, Any], TaskConfig] = lambda task, _: task,
        more: Sequence[Axis] = (),
    ) -> list[Case]:
        """A case for each value of an axis.

        Args:
            change: what a value changes in the comparison.
            task: what it changes in the data.
            more: further values, in the profile full.
        """
        values = (*values, *more) if self.profile == "full" else values
        return [Case({axis: value}, change(self.config, value), task(self.task, value)) for value in values]

    def along_model(self, setting: str, values: Sequence[Axis], *, more: Sequence[Axis] = ()) -> list[Case]:
        """A case for each value of one setting of the model, by which the axis is called."""

        def change(config: CompareConfig, value: Axis) -> CompareConfig:
            return changed(config, "model", **{setting: value})

        return self.along(setting, values, change, more=more)

    def over(self, tasks: Sequence[str], config: CompareConfig) -> list[Case]:
        """A case for each of these built-in tasks; the ground's own task keeps its options."""
        own = self.task
        return [Case({"data": name}, config, own if name == own.data else TaskConfig(data=name)) for name in tasks]

    def real(
        self,
        file: str,
        config: CompareConfig,
        axes: Mapping[str, Axis] | None = None,
        diagnosis: DiagnoseConfig | None = None,
    ) -> Case:
        """A case of real data in a file of ``data_dir``; left out where there is no such file.

        Args:
            axes: come after the name of the data, which is the file's without its extension.
        """
        path = self.data_dir / file
        cure = f"{path} is not there: examples/real_data.py makes it, --data-dir or {VARIABLE} names its folder"
        left_out = None if path.is_file() else cure
        return Case({"data": path.stem, **(axes or {})}, config, TaskConfig(data=str(path)), diagnosis, left_out)


def ground(
    profile: Profile = "small",
    task: TaskConfig | None = None,
    data_dir: Path | None = None,
    config: CompareConfig | None = None,
) -> Ground:
    """The comparison and the task that studies vary.

    Args:
        task: the user's own data; None is ``proximity``.
        data_dir: folder of the files of real data; None as in ``data_folder``.
        config: model, training and seeds; None is the smallest model and three seeds, or ``small`` and ten in the
            profile full.
    """
    usual, own = CompareConfig(seeds=3), TaskConfig()
    if profile == "full":
        usual = replace(PRESETS["small"].config, seeds=10)
        own = TaskConfig(options={"symbols": 16, "length": 256, "sequences": 20_000})
    asked = replace(usual, arms=("scratch", "spt")) if config is None else config
    return Ground(profile, asked, task or own, data_folder(data_dir), is_given=config is not None)


def line_of(error: BaseException, path: str) -> int | str:
    """The line of a file at which an error was raised, or which is not valid Python."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines and lines[-1] is not None else "?"


@dataclass(frozen=True)
class Study:
    """A set of comparisons, and the claims that they test.

    Attributes:
        name: as typed on the command line; also part of the folder's name.
        expected: what its authors expected before it ran.
        minutes: expected on two cores, profile small.
        claims: the first two are primary and share a level by Holm's rule; the others share another by family.
        cases: makes the comparisons.
        own_data: whether it can be run on the user's own data, instead of the tasks that it names.
        budget: the time that its steps are fitted to in the profile small, unless another is given; None: they are
            those of its cases.
        reading: sums up the answers in a sentence.
    """

    sort: ClassVar[str] = "study"
    name: str
    question: str
    expected: str
    minutes: float
    claims: "Sequence[Claim]"
    cases: Callable[[Ground], Sequence[Case]]
    own_data: bool = False
    budget: str | None = None
    reading: Callable[[Sequence[ClaimAnswer]], str] | None = None

    def __post_init__(self) -> None:
        for name in ("name", "question", "expected"):
            if not isinstance(text := getattr(self, name), str):
                raise TypeError(f"a study's {name} is a text, and not {text!r:.80}")
        _require_folder_name("study", self.name)
        if not callable(self.cases):
            raise TypeError(f"a study's cases are a function of its ground, and not {self.cases!r:.80}")
        if not self.claims:
            raise ValueError(f"the study {self.name} has no claims; add what it is to decide")
        if strangers := [
            c for c in self.claims if isinstance(c, type) or not isinstance(getattr(c, "text", None), str)
        ]:
            raise TypeError(
                f"the study {self.name} claims {strangers[0]!r:.80}, which is no claim (see docs/extending.md)"
            )

    @property
    def declaration(self) -> list[str]:
        """The question, what is expected, and each claim with what would refute it."""
        claims = [f"claim {n}: {claim.text}; refuted by {claim.refuted_by}" for n, claim in enumerate(self.claims, 1)]
        return [self.question, f"expected: {self.expected}", *claims]

    @property
    def declared(self) -> str:
        """Fingerprint of the declaration."""
        return fingerprint(*self.declaration, *map(repr, self.claims))

    def cases_on(self, ground: Ground) -> list[Case]:
        """Its comparisons, checked against each other and the claims.

        Raises:
            RequestError: ``cases`` fails (the message names the line), or what it makes does not fit.
        """
        try:
            cases = list(islice(self.cases(ground), MAX_CASES + 1))
            for case in cases:
                if isinstance(case, Case):  # of the right types, too
                    from_dict(CompareConfig, to_dict(case.config)), from_dict(TaskConfig, to_dict(case.task))
        except (Exception, SystemExit) as error:
            files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            path = next((file for file in files if file != __file__), self.name)
            raise RequestError(f"{path}, line {line_of(error, path)}: {type(error).__name__}: {error}") from None
        if len(cases) > MAX_CASES:
            raise RequestError(f"the study {self.name} has more than {MAX_CASES:,} cases; give fewer")
        if strangers := [case for case in cases if not isinstance(case, Case)]:
            raise RequestError(f"the study {self.name} makes {strangers[0]!r:.80}, which is no Case")
        names = [case.name for case in cases]
        if len(set(names)) < len(names):
            raise RequestError(f"the study {self.name} has two cases of one name; their axes must differ")
        for claim in self.claims:
            if (wrong := claim.wrong(cases)) is not None:
                raise RequestError(f"the study {self.name} claims '{claim.text}', but {wrong}")
        return cases
