"""One phase of training, from durations to optimiser steps."""

import math
from dataclasses import dataclass
from typing import Literal

from selfpretrain.config import Duration, PhaseConfig, PhaseName


@dataclass(frozen=True, kw_only=True)
class PhasePlan:
    """One phase of training in optimiser steps."""

    phase: PhaseName
    steps: int
    batch_size: int
    lr: float
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    weight_decay: float = 0.0
    evaluate_every: int
    patience: int | None = None

    @classmethod
    def of(cls, phase: PhaseName, config: PhaseConfig, *, n_rows: int, lr: float, extra_steps: int = 0) -> "PhasePlan":
        """Resolve a phase's durations for ``n_rows`` sequences.

        ``extra_steps`` come after a phase that is otherwise the same: warm-up and the distance of validations are those
        of the phase without them, so that arms can be compared step by step, and the shorter phase is the beginning of
        the longer one.

        >>> config = PhaseConfig(duration="2epochs", batch_size=10, warmup="40%", evaluate_every="20%")
        >>> plan = PhasePlan.of("label", config, n_rows=25, lr=0.1, extra_steps=5)
        >>> plan.steps, plan.warmup_steps, plan.evaluate_every
        (10, 2, 1)
        """
        batch_size = min(config.batch_size, n_rows)

        def steps(text: str, whole: float, least: int) -> int:
            duration = Duration.parse(text)
            assert duration is not None, "checked by PhaseConfig"
            return max(least, round(duration.steps(epoch=n_rows / batch_size, whole=whole)))

        own = steps(config.duration, 0, 1)
        return cls(
            phase=phase,
            steps=own + extra_steps,
            batch_size=batch_size,
            lr=lr,
            warmup_steps=steps(config.warmup, own, 0),
            schedule=config.schedule,
            optimizer=config.optimizer,
            weight_decay=config.weight_decay,
            evaluate_every=steps(config.evaluate_every, own, 1),
            patience=config.patience,
        )

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows the ``step``-th step (counted from 1)."""
        return self.is_regular(step) or step == self.steps

    def is_regular(self, step: int) -> bool:
        """Whether a validation follows that step however long the phase is."""
        return step % self.evaluate_every == 0

    def keeps_after(self, step: int, snapshots: int) -> bool:
        """Whether the weights after the ``step``-th step (counted from 1) are one of so many snapshots.

        >>> plan = PhasePlan(phase="label", steps=10, batch_size=1, lr=1.0, evaluate_every=1)
        >>> [step for step in range(1, 11) if plan.keeps_after(step, snapshots=3)]
        [4, 7, 10]
        """
        return step * snapshots // self.steps > (step - 1) * snapshots // self.steps

    def learning_rate(self, step: int) -> float:
        """Rate of zero-based ``step``.

        ``lr (step + 1) / W`` in a warm-up of W steps; afterwards ``lr``, or ``lr (1 + cos(pi u)) / 2`` with u the share
        of the rest that is done.

        >>> plan = PhasePlan(phase="label", steps=10, batch_size=1, lr=1.0, warmup_steps=2, schedule="cosine",
        ...             evaluate_every=1)
        >>> [round(plan.learning_rate(step), 3) for step in (0, 1, 2, 6)]
        [0.5, 1.0, 1.0, 0.5]
        """
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.lr
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * done))
