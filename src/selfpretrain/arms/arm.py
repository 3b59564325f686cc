"""What an arm is. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from selfpretrain.arms.classical import Fitted
    from selfpretrain.comparison.request import Request
    from selfpretrain.config import ClassWeights, MetricName
    from selfpretrain.data.task import Task
    from selfpretrain.train.training import Training


class Rates(NamedTuple):
    """The learning rates of an arm's two phases."""

    pretrain: float
    label: float


Recipe = Callable[["Request", int, Rates], "Training"]
"""Describes the label training of a request with a seed and learning rates; its ``start`` holds any pretraining."""


class Versus(NamedTuple):
    """A contrast that an arm declares: against which arm, what is equal between the two, whether it is primary."""

    against: str
    matched: str
    primary: bool = False


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train, with everything that is said and drawn of it.

    Attributes:
        title: begins a sentence of the verdict.
        says: what it does, for tables.
        colour, marker: in figures; a palette that colour-blind readers can tell apart.
        contrasts: with other arms, in the order of interest.
        recipe: describes its label training; None for a classical model.
        fit: fits a classical model instead, without randomness, tuned by a metric, perhaps with balanced classes.
        obstacle: why it cannot be used with a task (follows the arm's name), or None.
        is_usual: compared unless others are named, wherever nothing stands in its way.
        own_start: initialised differently from the other arms, in its weights or in what is built in.
        is_free: costs nothing beyond ``scratch``: a rival that self-pretraining should beat.
    """

    sort: ClassVar[str] = "arm"
    name: str
    title: str
    says: str
    colour: str
    marker: str
    contrasts: tuple[Versus, ...] = ()
    recipe: Recipe | None = None
    fit: "Callable[[Task, MetricName, ClassWeights], Fitted] | None" = None
    obstacle: "Callable[[Task], str | None] | None" = None
    is_usual: bool = False
    own_start: bool = False
    is_free: bool = False

    def reported_seeds(self, n_seeds: int) -> range:
        """Seeds with which it is reported; a classical model has none, and one run of it stands for all."""
        return range(n_seeds if self.fit is None else 1)


def later(module: str, function: str, *arguments: Any) -> Callable[..., Any]:
    """A function of a module that is imported when it is called; can be sent to other processes.

    Args:
        *arguments: come before those of the call.
    """
    return partial(_call, module, function, *arguments)


def _call(module: str, function: str, *arguments: Any) -> Any:
    return getattr(import_module(module), function)(*arguments)
