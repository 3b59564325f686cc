"""What an arm is, and what it has to work with. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveName
from selfpretrain.machine import resolve_device
from selfpretrain.training.plan import Plan
from selfpretrain.training.training import Start, Training, relevant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Task


@dataclass(frozen=True)
class Setting:
    """What the arms of a comparison share: request, task and device. It makes trainings."""

    config: CompareConfig
    task: "Task"

    @cached_property
    def device(self) -> str:
        """The device that the request means here.

        Raises:
            SettingError: it is not there.
        """
        return resolve_device(self.config.train.device)

    @cached_property
    def model(self) -> ModelConfig:
        """The model of every arm."""
        return replace(self.config.model, causal=self.config.causal)

    def pretraining(self, seed: int, lr: float) -> Training:
        """Self-pretraining."""
        plan = Plan.of("pretrain", self.config.pretrain, n_rows=len(self.task.pretrain_rows), lr=lr)
        return self._training("reconstruction", plan, seed, self.model)

    def labels(
        self,
        seed: int,
        lr: float,
        *,
        start: Start | None = None,
        objective: ObjectiveName = "labels",
        extra_steps: int = 0,
        frozen: tuple[Any, ...] = (),
        **of_model: Any,
    ) -> Training:
        """Label training, from a fresh start where ``start`` says nothing else.

        Args:
            objective: a trick that the labels are learnt with, or a second loss beside theirs.
            extra_steps: beyond the label budget.
            frozen: groups of weights that stay as they start.
            **of_model: fields of ``ModelConfig``, instead of the model's own.
        """
        plan = Plan.of("label", self.config.label, n_rows=len(self.task.train), lr=lr, extra_steps=extra_steps)
        training = self._training(objective, plan, seed, replace(self.model, **of_model))
        return replace(training, start=start, frozen=frozen)

    @cached_property
    def steps_for_pretraining(self) -> int:
        """Label steps that cost what self-pretraining costs, to the nearest step."""
        from selfpretrain.training.flops import step_flops

        seed, lr = 0, self.config.train.lr[0]
        pretraining, labels = self.pretraining(seed, lr), self.labels(seed, lr)
        cost = pretraining.plan.steps * step_flops(pretraining, self.task)
        return round(cost / step_flops(labels, self.task))

    def _training(self, objective: ObjectiveName, plan: Plan, seed: int, model: ModelConfig) -> Training:
        settings = self.config.train
        return Training(
            task=self.task.fingerprint,
            model=model,
            objective=objective,
            reconstruction=relevant(self.config.objective, self.task.kind, objective),
            plan=plan,
            seed=seed,
            clip=settings.clip,
            precision=settings.precision,
            device=self.device,
            threads=settings.threads,
        )


class Versus(NamedTuple):
    """A contrast that an arm declares: against whom, what is equal between the two, whether it is a primary claim."""

    against: str
    matched: str
    primary: bool = False


Fit = Callable[["Task"], "tuple[RunResult, NDArray[Any]]"]
"""Of a classical model: its numbers, and its probabilities (N, classes) of the test rows. Nothing in it is random."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train, with everything that is said and drawn of it.

    Attributes:
        name: what a person types.
        title: begins a sentence.
        says: what it does, for the reader of a report.
        colour, marker: in figures; Okabe and Ito's palette, which colour-blind readers can tell apart.
        contrasts: with other arms, in the order of interest.
        train: the label training with a seed and a rate; what it starts from hangs on it. None for a classical model.
        fit: a classical model instead.
        obstacle: of a classical model: why it cannot be fitted to a task, after its name; None if it can.
        own_start: starts from another model than the others, in its weights or in what is built in.
        is_free: costs nothing beyond ``scratch``: a rival that self-pretraining should beat.
    """

    name: str
    title: str
    says: str
    colour: str
    marker: str
    contrasts: tuple[Versus, ...] = ()
    train: Callable[[Setting, int, float], Training] | None = None
    fit: Fit | None = None
    obstacle: Callable[["Task"], str | None] | None = None
    own_start: bool = False
    is_free: bool = False
