"""What a built-in task is, and which there are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from selfpretrain.config import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.tasks.task import Posterior


class Made(NamedTuple):
    """Sequences and labels before the split.

    Attributes:
        classes: class names, which y indexes.
        x: (N, T) whole numbers for symbols, (N, T) or (N, T, C) numbers for values; or a list of N arrays, or of N
            texts for bytes. Of pairs, the first row's two, then the next one's: 2 N in all.
        y: (N,) classes.
        split: train, val or test for each row; None leaves that to the usual cut.
        per_row: sequences of a row: 1, or the 2 of a pair.
        notes: what was left out; for the reader's eyes.
    """

    kind: Kind
    classes: tuple[str, ...]
    x: "NDArray[Any] | list[NDArray[Any]] | list[str]"
    y: "NDArray[np.int64]"
    split: list[str] | None = None
    per_row: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BuiltinTask:
    """A rule that makes a task; the fields of a subclass are its options, with their defaults (ours)."""

    name: ClassVar[str]
    """What a person types."""
    size: ClassVar[str] = ""
    """Rows x positions with the defaults, to be read."""
    preset: ClassVar[str] = "minimal"
    """Settings with which it is compared where nobody names others; see ``presets.py``."""
    licence: ClassVar[str] = "made here by a rule, so none is needed"
    """Of the data."""
    grid: ClassVar[tuple[int, int] | None] = None
    """Height and width, if the sequences are images read row by row."""

    def build(self, generator: "np.random.Generator") -> Made:
        """Make the sequences; every random number comes from ``generator``."""
        raise NotImplementedError

    @property
    def posterior(self) -> "Posterior | None":
        """What the rule says of hidden symbols, as in ``task.Posterior``, of symbols 0, 1, ... K-1; None if nothing."""
        return None


class DrawnTask(BuiltinTask):
    """A task whose rows are drawn one by one, each from its own seed: in pieces, by several processes."""

    sequences: int
    """Number of rows N."""
    version: ClassVar[int] = 1
    """Of the rule: another one where it draws other rows, so that what was kept before is not taken for them."""

    @property
    def seconds_each(self) -> float:
        """What a row takes on one core, roughly."""
        raise NotImplementedError

    @property
    def hint(self) -> str:
        """How that can be made less, after a comma; nothing where it cannot."""
        return ""

    def draw(self, seeds: "NDArray[np.int64]") -> "tuple[NDArray[Any], NDArray[np.int64]]":
        """A row of each seed: sequences (N, T) or (N, T, C), and classes (N,)."""
        raise NotImplementedError

    def made(self, x: "NDArray[Any]", y: "NDArray[np.int64]") -> Made:
        """The task, of all rows in the order of their seeds."""
        raise NotImplementedError

    def seeds(self, generator: "np.random.Generator") -> "NDArray[np.int64]":
        """A seed for each row."""
        return generator.integers(2**63, size=self.sequences)

    def build(self, generator: "np.random.Generator") -> Made:
        """Draw all rows here and now."""
        return self.made(*self.draw(self.seeds(generator)))


class FiledTask(BuiltinTask):
    """A task whose sequences somebody has to get first; they are read, and nothing is downloaded."""

    wants: ClassVar[str]
    """What to put into the folder of data."""

    @classmethod
    def is_there(cls, folder: Path) -> bool:
        """Whether something of it lies in the folder."""
        raise NotImplementedError

    def read(self, folder: Path) -> Made | None:
        """The sequences, from what lies in the folder; None if nothing of them does.

        Raises:
            RequestError: what is there cannot be used.
        """
        raise NotImplementedError


def in_order(train: int, val: int, test: int) -> list[str]:
    """The split of so many rows each, one after the other."""
    return ["train"] * train + ["val"] * val + ["test"] * test


def first_bytes(text: str, count: int) -> str:
    """The characters that lie wholly in the first bytes of a text, as UTF-8.

    >>> first_bytes("café", 3), first_bytes("café", 4)
    ('caf', 'caf')
    """
    return text.encode()[:count].decode(errors="ignore")


def halved(x: "NDArray[Any]", side: int) -> "NDArray[Any]":
    """Images (N, side^2), row by row, at half their side: means of four pixels (N, side^2 / 4)."""
    half = side // 2
    means: NDArray[Any] = x.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)).reshape(-1, half**2)
    return means


_TASKS: dict[str, type[BuiltinTask]] = {}
TaskT = TypeVar("TaskT", bound=type[BuiltinTask])


def register(task: TaskT) -> TaskT:
    """Make a task known by its name; serves as a decorator."""
    _TASKS[task.name] = task
    return task


def builtin_tasks() -> dict[str, type[BuiltinTask]]:
    """Every known task by name."""
    return dict(_TASKS)
