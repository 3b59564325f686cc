"""The one training loop, for every phase of every arm."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from selfpretrain.config import PhaseConfig, TrainConfig
from selfpretrain.errors import Interrupted, NonFiniteError
from selfpretrain.model import SequenceModel
from selfpretrain.objectives import Objective, make_batch
from selfpretrain.streams import batch_indices, torch_stream
from selfpretrain.transfer import group_of

PhaseName = Literal["pretrain", "label"]
ADAM_BETAS = (0.9, 0.999)
"""AdamW moments (Amos et al. 2024; torch's default)."""


class Recorder(Protocol):
    """Where a training reports to; the loop itself writes nothing."""

    def record(self, row: dict[str, Any]) -> None:
        """Keep one row of metrics."""

    def checkpoint(self, phase: PhaseName, step: int, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Keep a state from which training can go on."""

    def snapshot(self, phase: PhaseName, step: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights as they are now, for a later look along the training."""

    def progress(self, phase: PhaseName, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Show how far a training is."""

    def stop_requested(self) -> bool:
        """Whether to save the state and stop."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One phase, resolved to steps."""

    name: PhaseName
    steps: int
    batch_size: int
    lr: float
    warmup_steps: int
    schedule: Literal["constant", "cosine"]
    weight_decay: float
    evaluate_every: int
    patience: int | None
    snapshots: int = 0
    """Snapshots of the weights, evenly spaced over the steps; the last is of the last step."""

    @classmethod
    def of(
        cls, name: PhaseName, phase: PhaseConfig, *, steps: int, lr: float, n_rows: int, snapshots: int = 0
    ) -> "Plan":
        """Resolve a phase's durations for ``n_rows`` sequences and ``steps`` steps.

        Shares of the phase are of ``steps`` for the warm-up, but of the phase's own duration for validation: an arm
        that trains longer is looked at as often, so that arms can be compared step by step.
        """
        fixed = PhaseConfig(
            duration=f"{steps}steps",
            batch_size=min(phase.batch_size, n_rows),
            warmup=phase.warmup,
        )
        return cls(
            name=name,
            steps=steps,
            batch_size=fixed.batch_size,
            lr=lr,
            warmup_steps=fixed.steps("warmup", n_rows),
            schedule=phase.schedule,
            weight_decay=phase.weight_decay,
            evaluate_every=phase.steps("evaluate_every", n_rows),
            patience=phase.patience,
            snapshots=snapshots,
        )

    def validates_after(self, step: int) -> bool:
        """Whether a validation follows the ``step``-th step (counted from 1)."""
        return step % self.evaluate_every == 0 or step == self.steps

    def keeps_after(self, step: int) -> bool:
        """Whether the weights after the ``step``-th step (counted from 1) are kept.

        >>> plan = Plan(name="label", steps=10, batch_size=1, lr=1.0, warmup_steps=0, schedule="constant",
        ...             weight_decay=0.0, evaluate_every=1, patience=None, snapshots=3)
        >>> [step for step in range(1, 11) if plan.keeps_after(step)]
        [4, 7, 10]
        """
        return step * self.snapshots // self.steps > (step - 1) * self.snapshots // self.steps


@dataclass
class TrainState:
    """Everything a phase needs to go on, besides the model and its plan."""

    optimizer: torch.optim.AdamW
    step: int = 0
    best_step: int = 0
    best_score: tuple[float, ...] = (-math.inf,)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    """Validations since the best."""
    losses: list[float] = field(default_factory=list)
    """Training losses since the last validation."""
    seconds: float = 0.0
    update_ratio: dict[str, float] = field(default_factory=dict)
    """Size of the latest measured update, relative to the weights, by group."""

    _SCALARS = ("step", "best_step", "best_score", "stale", "losses", "seconds")

    def dump(self, model: SequenceModel) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able scalars from which ``load`` makes the same state."""
        tensors = {f"model.{name}": weight.detach() for name, weight in model.state_dict().items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best_weights.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in slots.items()}
        return tensors, {name: getattr(self, name) for name in self._SCALARS}

    def load(self, model: SequenceModel, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Put back what ``dump`` gave."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for key, tensor in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = tensor
        model.load_state_dict(parts["model"])
        self.best_weights = parts["best"]
        optimizer = self.optimizer.state_dict()
        for key, tensor in parts["optimizer"].items():
            index, name = key.split(".")
            optimizer["state"].setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict(optimizer)
        for name in self._SCALARS:
            setattr(self, name, meta[name])
        self.best_score = tuple(self.best_score)


def learning_rate(step: int, plan: Plan) -> float:
    """Rate of zero-based ``step``.

    ``lr (step + 1) / W`` in a warm-up of W steps; afterwards ``lr``, or ``lr (1 + cos(pi u)) / 2`` with u the share
    of the rest that is done.

    >>> plan = Plan(name="label", steps=10, batch_size=1, lr=1.0, warmup_steps=2, schedule="cosine",
    ...             weight_decay=0.0, evaluate_every=1, patience=None)
    >>> [round(learning_rate(step, plan), 3) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if step < plan.warmup_steps:
        return plan.lr * (step + 1) / plan.warmup_steps
    if plan.schedule == "constant":
        return plan.lr
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.lr * 0.5 * (1.0 + math.cos(math.pi * done))


def make_optimizer(model: SequenceModel, plan: Plan, device: torch.device) -> torch.optim.AdamW:
    """AdamW of all weights but frozen ones; weight decay on matrices, none on biases, norms, embeddings, positions.

    A frozen weight is left out altogether: with a rate of 0 it would still decay.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim == 2 and not name.startswith(("embedding", "positions"))
        (matrices if decays else others).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": plan.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.lr, betas=ADAM_BETAS, fused=device.type in ("cpu", "cuda"))


def train(
    model: SequenceModel,
    objective: Objective,
    plan: Plan,
    *,
    seed: int,
    config: TrainConfig,
    device: torch.device,
    recorder: Recorder,
    resume: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
) -> TrainState:
    """Train ``model`` in place and leave the weights of the best validation in it.

    Every random number is a function of (seed, step), so a run that goes on from a checkpoint repeats the
    undisturbed one bit for bit on the CPU.

    Raises:
        NonFiniteError: the loss, the gradient norm or a validation metric is NaN or infinite.
        Interrupted: ``recorder`` asked to stop; a checkpoint was written first.
    """
    state = TrainState(make_optimizer(model, plan, device))
    if resume is not None:
        state.load(model, *resume)
    begun = last_saved = time.monotonic()
    spent = state.seconds
    shown: dict[str, float] = {}

    def checkpoint() -> None:
        state.seconds = spent + time.monotonic() - begun
        recorder.checkpoint(plan.name, state.step, *state.dump(model))

    while state.step < plan.steps and (plan.patience is None or state.stale < plan.patience):
        if recorder.stop_requested():
            checkpoint()
            raise Interrupted
        loss = update(model, objective, plan, state, seed=seed, config=config, device=device)
        state.losses.append(loss)
        state.step += 1
        if plan.keeps_after(state.step):
            recorder.snapshot(plan.name, state.step, model.state_dict())
        if plan.validates_after(state.step):
            metrics = _validate(model, objective, plan, state, device)
            state.seconds = spent + time.monotonic() - begun
            rate = learning_rate(state.step - 1, plan)
            row = {"phase": plan.name, "step": state.step, "lr": rate, **metrics, "wall_seconds": state.seconds}
            recorder.record({**row, "update_ratio": state.update_ratio})
            shown = metrics
        if time.monotonic() - last_saved >= config.checkpoint_seconds:
            checkpoint()
            last_saved = time.monotonic()
        recorder.progress(plan.name, state.step, plan.steps, {**shown, "loss": loss})
    if plan.snapshots and state.step and not plan.keeps_after(state.step):  # stopped early
        recorder.snapshot(plan.name, state.step, model.state_dict())
    if state.best_weights:
        model.load_state_dict(state.best_weights)
    state.seconds = spent + time.monotonic() - begun
    return state


def update(
    model: SequenceModel,
    objective: Objective,
    plan: Plan,
    state: TrainState,
    *,
    seed: int,
    config: TrainConfig,
    device: torch.device,
) -> float:
    """One optimiser step; gives the loss before it."""
    model.train()
    if model.config.dropout:
        torch.manual_seed(torch_stream(seed, "dropout", state.step).initial_seed())
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, plan)
    index = batch_indices(seed, objective.batch_stream, state.step, plan.batch_size, len(objective.rows))
    with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss = objective.loss(model, make_batch(objective.rows.rows(index), device), state.step)
    value = loss.item()
    if not math.isfinite(value):
        raise NonFiniteError("loss", plan.name, state.step + 1)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if config.clip is not None:
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if not torch.isfinite(norm):
            raise NonFiniteError("gradient norm", plan.name, state.step + 1)
    if not plan.validates_after(state.step + 1):
        state.optimizer.step()
        return value
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.grad is not None}
    state.optimizer.step()
    state.update_ratio = update_ratios(before, model, state.optimizer)
    return value


@torch.no_grad()
def update_ratios(before: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """``||dW|| / ||W||`` of each group of weights for the step just made, weight decay taken out of ``dW``.

    Plain SGD gives ``lr ||g|| / ||W||``; the first step of Adam gives about ``lr sqrt(P) / ||W||`` for P entries,
    whatever the gradients. So this says how fast weights move, not how much signal moves them.

    Args:
        before: the weights before the step, of those that moved; ``W`` above.
    """
    decay = {
        p: group["lr"] * group.get("weight_decay", 0.0) for group in optimizer.param_groups for p in group["params"]
    }
    moved: dict[str, float] = {}
    size: dict[str, float] = {}
    for name, now in model.named_parameters():
        if name in before:
            group, was = group_of(name), before[name]
            change = now - was * (1.0 - decay[now])
            moved[group] = moved.get(group, 0.0) + float(change.cpu().double().square().sum())
            size[group] = size.get(group, 0.0) + float(was.cpu().double().square().sum())
    return {group: math.sqrt(moved[group] / size[group]) for group in moved if size[group] > 0}


def _validate(
    model: SequenceModel, objective: Objective, plan: Plan, state: TrainState, device: torch.device
) -> dict[str, float]:
    """Validate, keep the weights if they are the best so far, and give the metrics of this row."""
    model.eval()
    with torch.inference_mode():
        metrics = {"loss": sum(state.losses) / len(state.losses), **objective.validate(model, device)}
    state.losses = []
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFiniteError(name, plan.name, state.step)
    score = objective.score(metrics)
    if score > state.best_score:
        state.best_score, state.best_step, state.stale = score, state.step, 0
        state.best_weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    else:
        state.stale += 1
    return metrics
