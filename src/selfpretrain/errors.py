"""The ways a request can end other than well; the command line turns each into an exit status."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import Any

LONGEST_LINE = 2000
"""Letters of a message (ours)."""


def one_line(text: object) -> str:
    r"""A message as it is safe to print: one line, whatever names and cells of others stand in it.

    >>> one_line("a\nb\x1b[31m.csv: no such file")
    'a\\nb\\x1b[31m.csv: no such file'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]}..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What follows the naming of something unknown: a name that is close to it, or nothing.

    >>> did_you_mean("scrtch", ["scratch", "spt"]), did_you_mean("x", ["scratch", "spt"])
    ('; did you mean scratch?', '')
    """
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


class RequestError(ValueError):
    """The request or the data is wrong (exit status 2): says what, where, and what would be right."""


class RowError(RequestError):
    """One row of the data cannot be read; others can.

    Args:
        where: the file, or what to call rows in memory.
        row: zero-based.
        problem: what is wrong, and what to do.
    """

    def __init__(self, where: object, row: int, problem: str) -> None:
        super().__init__(f"{where}: row {row + 1}: {problem}")
        self.where, self.row, self.problem = where, row, problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.row, self.problem)


class SettingError(RequestError):
    """A setting has a value that it cannot have.

    Args:
        setting: the field's name, as Python spells it; the command line knows its option.
        problem: what is wrong, and what would be right; follows the name and the value.
    """

    def __init__(self, setting: str, value: Any, problem: str) -> None:
        super().__init__(f"{setting} {value} {problem}")
        self.setting, self.value, self.problem = setting, value, problem

    def __reduce__(self) -> tuple[Any, ...]:  # to arrive whole from another process
        return type(self), (self.setting, self.value, self.problem)


class DamagedError(RequestError):
    """A file of ours is missing, or holds something else than what was written."""

    def __init__(self, path: object, cure: str = "its compare command again mends it") -> None:
        super().__init__(f"{path}: missing or damaged; {cure}")
        self.path, self.cure = path, cure

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.cure)


class TrainingFailed(Exception):
    """One training cannot go on: it ends with this reason, the others go on."""


class NonFiniteError(TrainingFailed, ArithmeticError):
    """A quantity of a training stopped being finite."""

    def __init__(self, quantity: str, phase: str, step: int) -> None:
        super().__init__(quantity, phase, step)
        self.quantity, self.phase, self.step = quantity, phase, step

    def __str__(self) -> str:
        return f"{self.quantity} stopped being finite at step {self.step} of {self.phase} training"


class WorkerKilled(Exception):
    """A worker process ended without a word."""


class Interrupted(Exception):
    """Work was asked to stop; its checkpoint is on disk and the same command goes on from there."""


MOST = 1e12
"""No setting is larger: beyond, numbers no longer fit where they go (ours)."""


def _require_number(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, Real):
        raise SettingError(name, value, "is no number")


def require_at_least(settings: Any, **least: float) -> None:
    """Refuse fields of ``settings`` that lie below their bound, or above ``MOST``; None passes."""
    for name, bound in least.items():
        value = getattr(settings, name)
        _require_number(name, value)
        if value is not None and not bound <= value <= MOST:
            wrong = f"too large; the most is {MOST:g}" if value > MOST else f"too small; the least is {bound:g}"
            raise SettingError(name, value, f"is {wrong if value == value else 'no number to work with'}")


def require_between(settings: Any, **bounds: tuple[float, float]) -> None:
    """Refuse fields of ``settings`` that lie outside their bounds; None passes."""
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        _require_number(name, value)
        if value is not None and not low <= value <= high:
            raise SettingError(name, value, f"is out of range; it lies between {low:g} and {high:g}")


def require_one_of(settings: Any, **choices: tuple[Any, ...]) -> None:
    """Refuse fields of ``settings`` with a value that is none of these; None passes."""
    for name, known in choices.items():
        value = getattr(settings, name)
        if value is not None and value not in known:
            listed = ", ".join(str(choice) for choice in known if choice is not False)
            raise SettingError(name, value, f"is not known; it is one of {listed}")
