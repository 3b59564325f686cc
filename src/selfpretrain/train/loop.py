"""The one training loop, for every phase of every arm. It writes nothing itself."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from selfpretrain.config import PhaseName
from selfpretrain.data.feed import Batch, Feed
from selfpretrain.errors import Interrupted, NonFiniteError
from selfpretrain.model.groups import ORTHOGONALISED, decays, group_of
from selfpretrain.train.group import Assistant, Sharded
from selfpretrain.train.objectives import Model, Objective
from selfpretrain.train.phase import PhasePlan
from selfpretrain.train.store import TrainingFolder
from selfpretrain.train.training import Training

ADAM_BETAS = (0.9, 0.999)
"""AdamW moments (Amos et al. 2024; torch's default)."""
SGD_MOMENTUM = 0.9
"""Momentum of plain gradient descent (the usual one)."""


@dataclass
class TrainState:
    """Everything a phase needs to go on, besides the model and its plan."""

    optimizers: Sequence[torch.optim.Optimizer]
    step: int = 0
    best_step: int = 0
    best_score: tuple[float, ...] = (-math.inf,)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    """Validations since the best."""
    losses: list[float] = field(default_factory=list)
    """Training losses since the last validation."""
    pending: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Losses and gradient norms of the latest steps, still on the device: to ask for one is to wait for its work."""
    seconds: float = 0.0
    step_seconds: float = 0.0
    """Of these, in optimiser steps: batches, both passes and updates."""
    update_ratio: dict[str, float] = field(default_factory=dict)
    """Size of the latest measured update, relative to the weights, by group."""

    _SCALARS = ("step", "best_step", "best_score", "stale", "losses", "seconds", "step_seconds")

    def settle(self, phase: PhaseName) -> None:
        """Fetch what is pending.

        Raises:
            NonFiniteError: a loss or a norm is NaN or infinite; names its step.
        """
        if not self.pending:
            return
        losses, norms = (torch.stack(column).tolist() for column in zip(*self.pending, strict=True))
        first = self.step - len(self.pending) + 1
        self.pending = []
        for step, values in enumerate(zip(losses, norms, strict=True), start=first):
            for quantity, value in zip(("loss", "gradient norm"), values, strict=True):
                if not math.isfinite(value):
                    raise NonFiniteError(quantity, phase, step)
        self.losses += losses

    def dump(self, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able scalars from which ``load`` makes the same state."""
        tensors = {f"model.{name}": weight.detach() for name, weight in model.state_dict().items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best_weights.items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{index}.{name}": tensor for name, tensor in slots.items()}
        return tensors, {name: getattr(self, name) for name in self._SCALARS}

    def load(self, model: nn.Module, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Put back what ``dump`` gave."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for key, tensor in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = tensor
        model.load_state_dict(parts["model"])
        self.best_weights = parts["best"]
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        for key, tensor in parts["optimizer"].items():
            number, index, name = key.split(".")
            states[int(number)]["state"].setdefault(int(index), {})[name] = tensor
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)
        for name in self._SCALARS:
            setattr(self, name, meta.get(name, getattr(self, name)))  # step_seconds is missing in older states
        self.best_score = tuple(self.best_score)


def make_optimizers(model: nn.Module, plan: PhasePlan) -> list[torch.optim.Optimizer]:
    """The plan's optimiser of all weights but frozen ones; weight decay by ``groups.decays``.

    AdamW; or gradient descent with momentum; or Muon (Jordan et al. 2024, as torch has it) for the matrices of the
    blocks and AdamW for the rest. Muon's updates are scaled to the size of AdamW's (Liu et al., arXiv 2502.16982), so
    that one grid of rates serves both. A frozen weight is left out altogether: with a rate of 0 it would still decay.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    muon: list[torch.optim.Optimizer] = []
    if plan.optimizer == "muon":
        names = [name for name, p in trained.items() if p.dim() == 2 and group_of(name) in ORTHOGONALISED]
        if matrices := [trained.pop(name) for name in names]:
            muon = [torch.optim.Muon(matrices, plan.lr, plan.weight_decay, adjust_lr_fn="match_rms_adamw")]
    groups = [
        {"params": [p for name, p in trained.items() if decays(name)], "weight_decay": plan.weight_decay},
        {"params": [p for name, p in trained.items() if not decays(name)], "weight_decay": 0.0},
    ]
    if plan.optimizer == "sgd":
        return [torch.optim.SGD(groups, lr=plan.lr, momentum=SGD_MOMENTUM)]
    # One kernel for all weights, on the devices for which torch has one.
    fused = next(iter(trained.values())).device.type in ("cpu", "cuda")
    return [*muon, torch.optim.AdamW(groups, lr=plan.lr, betas=ADAM_BETAS, fused=fused)]


def train(
    model: nn.Module,
    objective: Objective,
    feed: Feed,
    training: Training,
    *,
    recorder: TrainingFolder | Assistant,
    forward: Model | None = None,
    snapshots: int = 0,
    resume: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
) -> TrainState:
    """Train ``model`` in place, and restore the checkpoint of the best validation at the end.

    Every random number is a function of (seed, step), so a training that goes on from a checkpoint repeats the
    undisturbed one bit for bit on the CPU.

    Args:
        training: the plan, and how to clip.
        recorder: gets metrics and states; an ``Assistant`` keeps nothing.
        forward: how batches go through the model, for example compiled; None: the model itself.
        snapshots: how many weights to keep along the way, evenly spaced; the last are of the last step.
        resume: a state that ``recorder.checkpoint`` was given.

    Raises:
        NonFiniteError: the loss, the gradient norm or a validation metric is NaN or infinite.
        Interrupted: ``recorder`` asked to stop; a checkpoint was written first.
    """
    plan = training.plan
    forward = model if forward is None else forward
    state = TrainState(make_optimizers(model, plan))
    if resume is not None:
        state.load(model, *resume)
    begun = time.monotonic() - state.seconds
    shown, latest = dict[str, float](), dict[str, float]()
    # On the CPU nobody waits for a loss; and several processes must end together, not where one of them looks.
    at_once = feed.device.type == "cpu" or isinstance(forward, Sharded)

    def checkpoint() -> None:
        state.settle(plan.phase)
        state.seconds = time.monotonic() - begun
        recorder.checkpoint(state.step, *state.dump(model))

    def hand_over() -> None:
        """Keep the state for a longer training, which validates at this step only if that is regular."""
        if recorder.longer is not None:
            state.settle(plan.phase)
            state.seconds = time.monotonic() - begun
            recorder.hand_over(*state.dump(model))

    while state.step < plan.steps and (plan.patience is None or state.stale < plan.patience):
        if recorder.stop_requested():
            checkpoint()
            raise Interrupted
        step_begun = time.monotonic()
        state.pending.append(update(model, objective, feed.batch(state.step), training, state, forward))
        state.step += 1
        if at_once or plan.validates_after(state.step):
            state.settle(plan.phase)
            latest = {"loss": state.losses[-1]}
        state.step_seconds += time.monotonic() - step_begun
        if plan.keeps_after(state.step, snapshots):
            recorder.snapshot(state.step, model.state_dict())
        if recorder.longer is not None and recorder.longer.plan.keeps_after(state.step, snapshots):
            recorder.snapshot(state.step, model.state_dict(), recorder.longer)
        if state.step == plan.steps and not plan.is_regular(state.step):
            hand_over()
        if plan.validates_after(state.step):
            shown = _validate(model, objective, feed, plan, state, forward)
            state.seconds = time.monotonic() - begun
            row = {"phase": plan.phase, "step": state.step, "lr": plan.learning_rate(state.step - 1), **shown}
            recorder.rows.append({**row, "wall_seconds": state.seconds, "update_ratio": state.update_ratio})
        if recorder.checkpoint_due():
            checkpoint()
        recorder.progress(state.step, plan.steps, {**shown, **latest})
    if plan.is_regular(state.step):
        hand_over()
    if snapshots and state.step and not plan.keeps_after(state.step, snapshots):  # stopped early
        recorder.snapshot(state.step, model.state_dict())
    if state.best_weights:
        model.load_state_dict(state.best_weights)
    state.seconds = time.monotonic() - begun
    return state


def update(
    model: nn.Module, objective: Objective, batch: Batch, training: Training, state: TrainState, forward: Model
) -> tuple[Tensor, Tensor]:
    """One optimiser step; gives the loss before it, and the norm of the gradient (0 where it is not clipped)."""
    model.train()
    plan = training.plan
    groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
    for group in groups:
        group["lr"] = plan.learning_rate(state.step)
    with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=training.precision == "bfloat16"):
        loss = objective.loss(forward, batch)
    for optimizer in state.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if isinstance(forward, Sharded):
        forward.sum_gradients(model)
    norm = loss.new_zeros(())
    if training.clip is not None:
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
    measured = plan.validates_after(state.step + 1)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if measured and p.grad is not None}
    for optimizer in state.optimizers:
        optimizer.step()
    if measured:
        state.update_ratio = update_ratios(before, model, groups)
    return loss.detach(), norm


@torch.no_grad()
def update_ratios(
    before: Mapping[str, Tensor], model: nn.Module, groups: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """``||dW|| / ||W||`` of each group of weights for the step just made, weight decay taken out of ``dW``.

    Plain SGD gives ``lr ||g|| / ||W||``; the first step of Adam gives about ``lr sqrt(P) / ||W||`` for P entries,
    whatever the gradients. So this says how fast weights move, not how much signal moves them.

    Args:
        before: the weights before the step, of those that moved; ``W`` above.
        groups: of the optimisers' weights, with rate and decay.
    """
    decay = {p: group["lr"] * group["weight_decay"] for group in groups for p in group["params"]}
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
    model: nn.Module, objective: Objective, feed: Feed, plan: PhasePlan, state: TrainState, forward: Model
) -> dict[str, float]:
    """Validate, keep the weights if they are the best so far, and give the metrics of this row."""
    model.eval()
    with torch.inference_mode():
        metrics = {"loss": sum(state.losses) / len(state.losses), **objective.validate(forward, feed)}
    state.losses = []
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise NonFiniteError(name, plan.phase, state.step)
    score = objective.score(metrics)
    if score > state.best_score:
        state.best_score, state.best_step, state.stale = score, state.step, 0
        state.best_weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    else:
        state.stale += 1
    return metrics
