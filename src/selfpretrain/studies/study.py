"""What a study is, and what the built-in ones stand on. Imports no torch."""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from selfpretrain.arms.builtin import expanded
from selfpretrain.config import CompareConfig, DiagnoseConfig, Duration, PhaseName, TaskConfig
from selfpretrain.data.builtin import FOLDER, VARIABLE, data_folder
from selfpretrain.errors import RequestError
from selfpretrain.files import fingerprint
from selfpretrain.registry import PRESETS

if TYPE_CHECKING:
    from selfpretrain.studies.claims import Claim

Profile = Literal["small", "full"]
"""small: at most 20 minutes on two cores (paper: 90); full: ten seeds, a larger model, for an accelerator (ours)."""


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """What a study says of one of its claims.

    Attributes:
        primary: one of the first two, which are taken in their order; the others are corrected by Holm's rule.
        unit: of the effect, times 100.
        least: effects below this count as none.
        effect: as the claim has it, above 0 in its favour; None where it was not measured.
        why: it was not measured.
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


@dataclass(frozen=True, kw_only=True)
class CaseAnswer:
    """One comparison of a study.

    Attributes:
        request: fingerprint of the comparison and its data: an answer to anything else is none.
        failure: why it has no answer; None while it has one or is still to come.
        left_out: why nobody tried, and the cure.
        warnings: what should be known before its answer is believed.
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
        changed_after: so many comparisons had finished when the declaration was changed; None if it never was.
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


Axis = str | int | float
COLUMNS = ("study", "comparison", "task", "arm", "seed", "lr", "train_acc", "val_acc", "test_acc", "flops", "seconds")
"""Columns of table.csv beside the axes."""


@dataclass(frozen=True)
class Case:
    """One comparison of a study.

    Attributes:
        axes: where it lies, for example {"depth": 2}.
        diagnosis: what is then looked at, too; None is nothing.
        left_out: why it cannot be compared here, and the cure: data that are not at hand. Its claims stay undecided.

    Raises:
        ValueError: its name is no name for a folder, an axis has the name of a column of table.csv, or seeds are a
            range: a study decides after all of them.
    """

    axes: Mapping[str, Axis]
    config: CompareConfig
    task: TaskConfig
    diagnosis: DiagnoseConfig | None = None
    left_out: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.+-]{0,99}", self.name) or ".." in self.name:
            raise ValueError(f"the case '{self.name[:120]}' is no folder's name; use letters, digits, '.', '+' and '-'")
        if taken := set(self.axes) & set(COLUMNS):
            raise ValueError(f"the axis '{min(taken)}' has the name of a column of table.csv; give it another")
        if self.config.looks:
            raise ValueError(f"the case {self.name} has a range of seeds; a study takes a number of them")

    @property
    def name(self) -> str:
        """Its folder, and how claims call it.

        >>> Case({"depth": 2}, CompareConfig(), TaskConfig()).name
        'depth-2'
        """
        return "-".join(f"{axis}-{value}" for axis, value in self.axes.items())

    def looks_at(self, section: str) -> bool:
        """Whether its diagnosis has that section; one that names none has all."""
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
    return changed(config, phase, duration=f"{factor * duration.amount:g}{duration.unit}")


@dataclass(frozen=True)
class Ground:
    """What the cases of a study stand on; each changes what the study is about.

    Attributes:
        config: a comparison of scratch and spt.
        task: ``proximity``, or a person's own data.
        data_dir: where files of real data are.
    """

    profile: Profile
    config: CompareConfig
    task: TaskConfig
    data_dir: Path = FOLDER

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
        """A case for each of these built-in tasks; where it is the ground's own, with the ground's options."""
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


def ground(profile: Profile = "small", task: TaskConfig | None = None, data_dir: Path | None = None) -> Ground:
    """The comparison and the task on which studies stand.

    Args:
        task: a person's own data; None is ``proximity``.
        data_dir: where files of real data are; None as in ``data_folder``.
    """
    config, own = CompareConfig(seeds=3), TaskConfig()
    if profile == "full":
        config = replace(PRESETS["small"].config, seeds=10)
        own = TaskConfig(options={"symbols": 16, "length": 256, "sequences": 20_000})
    return Ground(profile, replace(config, arms=("scratch", "spt")), task or own, data_folder(data_dir))


def line_of(error: BaseException, path: str) -> int | str:
    """The last line of a file that was running, or that cannot be read as Python."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or "?"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines and lines[-1] is not None else "?"


@dataclass(frozen=True)
class Study:
    """Comparisons, and what they are to decide.

    Attributes:
        name: what a person types, and part of the folder's name.
        expected: what its authors expected before it ran.
        minutes: expected on two cores, profile small.
        claims: the first two are primary and taken in their order; Holm's rule corrects the others.
        cases: the comparisons on a ground.
        own_data: whether it can be asked about a person's own data, instead of the tasks that it names.
        reading: what the claims say together, in a sentence; None leaves them to speak for themselves.
    """

    sort: ClassVar[str] = "study"
    name: str
    question: str
    expected: str
    minutes: float
    claims: "Sequence[Claim]"
    cases: Callable[[Ground], Sequence[Case]]
    own_data: bool = False
    reading: Callable[[Sequence[ClaimAnswer]], str] | None = None

    def __post_init__(self) -> None:
        if not self.claims:
            raise ValueError(f"the study {self.name} claims nothing: say what it is to decide")

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
        """The comparisons on a ground, checked against each other and the claims.

        Raises:
            RequestError: its function fails, or what it gives does not fit; the message names the line.
        """
        try:
            cases = list(self.cases(ground))
        except Exception as error:
            files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
            path = next((file for file in files if file != __file__), self.name)
            raise RequestError(f"{path}, line {line_of(error, path)}: {type(error).__name__}: {error}") from None
        names = [case.name for case in cases]
        if len(set(names)) < len(names):
            raise RequestError(f"the study {self.name} has two cases of one name; their axes must differ")
        for claim in self.claims:
            if (wrong := claim.wrong(cases)) is not None:
                raise RequestError(f"the study {self.name} claims '{claim.text}', but {wrong}")
        return cases
