"""What is asked for: settings and a task, checked. Arms describe their trainings with it."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from selfpretrain.arms.arm import Rates
from selfpretrain.arms.builtin import expanded
from selfpretrain.config import CompareConfig, ModelConfig
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.task import Task
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.files import fingerprint
from selfpretrain.machine import require_memory, resolve_device
from selfpretrain.model.groups import Group
from selfpretrain.registry import ARMS, OBJECTIVES
from selfpretrain.train.phase import PhasePlan
from selfpretrain.train.training import Start, Training
from selfpretrain.train.work import step_flops

TOKENS = 32
"""Of a median sequence at most, where the size of patches is left open (ours; measured in docs/results.md)."""


def with_patches(model: ModelConfig, task: Task, tokens: int = TOKENS) -> ModelConfig:
    """The model with patches that leave a median sequence so many tokens, where their size is left open (0)."""
    patch, usual = model.patch or 1, float(np.median(task.train.lengths))
    while not model.patch and usual > patch * tokens and (task.inputs.channels or model.width % (2 * patch) == 0):
        patch *= 2
    return replace(model, patch=patch)


@dataclass(frozen=True)
class Request:
    """A comparison that is asked for."""

    config: CompareConfig
    task: Task

    @classmethod
    def of(cls, task: Task, config: CompareConfig) -> "Request":
        """A request that can be done.

        Raises:
            RequestError: an arm, an objective or a device cannot be used.
        """
        request = cls(replace(config, arms=expanded(config.arms, task), model=with_patches(config.model, task)), task)
        if any(ARMS[name].fit is None for name in request.config.arms):
            request.require_room()
        request.require_patches()
        if OBJECTIVES[config.objective.objective].phase != "pretrain":
            known = ", ".join(name for name, objective in OBJECTIVES.items() if objective.phase == "pretrain")
            raise SettingError("objective", config.objective.objective, f"is not one of self-pretraining: {known}")
        if config.metric == "auroc" and min(len(np.unique(split.y)) for split in (task.val, task.test)) < 2:
            raise SettingError("metric", "auroc", "needs two classes among the validation and among the test rows")
        for name in request.config.arms:
            arm = ARMS[name]
            if arm.obstacle is not None and (why := arm.obstacle(task)) is not None:
                raise RequestError(f"the arm {name} {why}")
            if arm.recipe is not None:
                arm.recipe(request, 0, Rates(*config.train.lr[:1] * 2))
        return request

    def require_patches(self) -> None:
        """Refuse a patch that does not fit the sequences or, where its symbols share the width, the width."""
        patch, longest = self.model.patch, self.task.inputs.length
        if patch > longest:
            raise SettingError("patch", patch, f"is longer than every sequence; give {longest} or less")
        if not self.task.inputs.channels and self.model.width % patch:
            raise SettingError("patch", patch, f"does not divide the width {self.model.width}, which its symbols share")

    def require_room(self) -> None:
        """Refuse a model that needs more than is free for weights, gradients, two moments and a batch's activations."""
        model, inputs, task = self.model, self.task.inputs, self.task
        inner, width = model.hidden_width, model.width
        weights = model.depth * (4 * width * width + 2 * width * inner)
        weights += width * (inputs.symbols + inputs.channels + inputs.length)
        rows = min(max(self.config.pretrain.batch_size, self.config.label.batch_size), len(task.pretrain_rows))
        kept = rows * inputs.per_row * int(task.train.lengths.mean()) // model.patch * (width + inner)
        kept *= 1 if self.config.train.recompute else model.depth
        what = f"a model of width {width}, depth {model.depth} and feed-forward width {inner:,}"
        require_memory(4 * (4 * weights + kept), what, "take a smaller one, or shorter sequences (--max-length)")

    def at(self, seeds: int) -> "Request":
        """The request at one of its looks."""
        return replace(self, config=replace(self.config, seeds=seeds))

    @cached_property
    def on_labelled_rows(self) -> "Request":
        """The same without rows that have no label."""
        return replace(self, task=replace(self.task, unlabelled=None))

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """What trainings may be of, by fingerprint: the task, and its labelled rows alone."""
        own = [self.task] if self.task.unlabelled is None else [self.task, self.on_labelled_rows.task]
        return {task.fingerprint: task for task in own}

    @cached_property
    def device(self) -> str:
        return resolve_device(self.config.train.device)

    @cached_property
    def model(self) -> ModelConfig:
        return replace(self.config.model, causal=self.config.causal)

    @cached_property
    def class_weights(self) -> list[float]:
        """Rows of a class, times its weight, are equally many for all classes; empty where all rows count alike."""
        if self.config.class_weights == "none":
            return []
        counts = np.bincount(self.task.train.y, minlength=len(self.task.classes))
        weights: list[float] = (counts.sum() / (len(counts) * np.maximum(counts, 1))).tolist()
        return weights

    @cached_property
    def question(self) -> str:
        """What repeated looks have in common: the trainings but for their seed, whatever arms are reported."""
        return fingerprint(self.pretraining(0, 1.0), self.labels(0, 1.0), self.config.train.lr)

    def pretraining(self, seed: int, lr: float) -> Training:
        plan = PhasePlan.of("pretrain", self.config.pretrain, n_rows=len(self.task.pretrain_rows), lr=lr)
        return self._training(self.config.objective.objective, plan, seed, self.model)

    def labels(
        self,
        seed: int,
        lr: float,
        *,
        start: Start | None = None,
        objective: str = "labels",
        extra_steps: int = 0,
        frozen: tuple[Group, ...] = (),
        **of_model: Any,
    ) -> Training:
        """Label training.

        Args:
            seed: of initialisation, batches and draws.
            lr: learning rate.
            start: weights to start from; None: the initialisation.
            objective: what is minimised: labels, or a variant of it.
            extra_steps: beyond the label budget.
            frozen: groups of weights that are not trained.
            **of_model: fields of ``ModelConfig`` that replace the model's own.
        """
        plan = PhasePlan.of("label", self.config.label, n_rows=len(self.task.train), lr=lr, extra_steps=extra_steps)
        training = self._training(objective, plan, seed, replace(self.model, **of_model))
        return replace(training, start=start, frozen=frozen)

    @cached_property
    def steps_for_pretraining(self) -> int:
        """Label steps that cost as much as self-pretraining, to the nearest step."""
        lr = self.config.train.lr[0]
        pretraining = self.pretraining(0, lr)
        flops = pretraining.plan.steps * step_flops(pretraining, self.task)
        return round(flops / step_flops(self.labels(0, lr), self.task))

    def _training(self, objective: str, plan: PhasePlan, seed: int, model: ModelConfig) -> Training:
        settings = self.config.train
        return Training(
            task=self.task.fingerprint,
            model=model,
            objective=objective,
            settings=OBJECTIVES[objective].settings(
                self.config.objective,
                KINDS[self.task.kind],
                metric=self.config.metric,
                class_weights=self.class_weights,
            ),
            plan=plan,
            seed=seed,
            clip=settings.clip,
            precision=settings.precision,
            device=self.device,
            threads=settings.threads,
        )
