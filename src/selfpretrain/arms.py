"""What each arm does, and the one function that does it."""

import dataclasses
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from selfpretrain import flops
from selfpretrain.baseline import linear_baseline
from selfpretrain.config import Arm, CompareConfig, PhaseConfig, QKInit, RunConfig, TransplantConfig
from selfpretrain.errors import NonFiniteError, RequestError
from selfpretrain.evaluate import classification_metrics
from selfpretrain.events import Finished, Watch
from selfpretrain.model import InputSpec, SequenceModel
from selfpretrain.objectives import (
    JointObjective,
    LabelObjective,
    Objective,
    ReconstructionObjective,
    label_logits,
    label_metrics,
)
from selfpretrain.runs import PRETRAINED, RunFolder, read_weights, run_path
from selfpretrain.streams import torch_stream
from selfpretrain.tasks import Split, Task
from selfpretrain.train import PhaseName, Plan, TrainState, train
from selfpretrain.transfer import TransferReport, freeze, norm_matched_noise, transfer
from selfpretrain.workers import threads


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an arm differs from plain label training."""

    says: str
    """For the reader of a report."""
    pretrains: bool = False
    extra_label_steps: bool = False
    """Spend SPT's pretraining compute on more label steps."""
    joint: bool = False
    qk_init: QKInit | None = None
    """Instead of the model's own."""
    linear: bool = False


RECIPES: dict[Arm, Recipe] = {
    "scratch": Recipe(says="labels only"),
    "spt": Recipe(says="self-pretraining, then labels", pretrains=True),
    "scratch-long": Recipe(says="labels only, with the compute of self-pretraining added", extra_label_steps=True),
    "joint": Recipe(says="labels and masked reconstruction together", joint=True),
    "mimetic": Recipe(says="labels only, query-key weights near a scaled identity", qk_init="mimetic"),
    "linear": Recipe(says="logistic regression on counts or summary statistics", linear=True),
}

COMPARISONS: tuple[tuple[Arm, Arm, str], ...] = (
    ("spt", "scratch", "label compute"),
    ("spt", "scratch-long", "total compute"),
    ("spt", "joint", "label steps"),
    ("spt", "mimetic", "label compute"),
    ("spt", "linear", "tuning trials"),
    ("joint", "scratch", "label steps"),
    ("mimetic", "scratch", "label compute"),
)
"""(arm, against, what is equal between them), in the order of interest; the first two carry the verdict."""


FITTED = 0.9
"""Clean training accuracy from which the training set counts as fitted, where speed is compared (ours)."""


def input_spec(task: Task) -> InputSpec:
    """What a model must know of a task."""
    return InputSpec(
        kind=task.kind,
        symbols=len(task.vocabulary),
        channels=task.channels,
        length=task.length,
        classes=len(task.classes),
    )


def pick_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA, then MPS, then the CPU.

    Raises:
        RequestError: the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[name]:
        raise RequestError(
            f"--device {name} is not available here; available: {', '.join(n for n in there if there[n])}"
        )
    return torch.device(name)


def step_flops(config: CompareConfig | RunConfig, arm: Arm, task: Task) -> dict[PhaseName, int]:
    """FLOPs of one step of each phase of an arm."""
    spec = input_spec(task)

    def reconstruction(rows: Split, phase: PhaseConfig) -> int:
        batch_size = min(phase.batch_size, len(rows))
        return flops.reconstruction_step_flops(config.model, spec, rows.lengths, batch_size, config.objective)

    batch_size = min(config.label.batch_size, len(task.train))
    label = flops.label_step_flops(config.model, spec, task.train.lengths, batch_size)
    if RECIPES[arm].joint:
        label += reconstruction(task.train, config.label)
    return {"pretrain": reconstruction(task.pretrain_rows, config.pretrain), "label": label}


def run_flops(config: RunConfig, task: Task) -> dict[str, int]:
    """FLOPs of each whole phase of a run, as planned."""
    each = step_flops(config, config.arm, task)
    return {"pretrain": each["pretrain"] * config.pretrain_steps, "label": each["label"] * config.label_steps}


def plan_steps(config: CompareConfig, arm: Arm, task: Task) -> tuple[int, int]:
    """Self-pretraining steps and label steps of an arm.

    ``scratch-long`` gets as many more label steps as cost what self-pretraining costs, to the nearest step.
    """
    recipe = RECIPES[arm]
    pretrain_steps = config.pretrain.steps("duration", len(task.pretrain_rows))
    label_steps = config.label.steps("duration", len(task.train))
    if recipe.linear:
        return 0, 0
    if recipe.extra_label_steps:
        each = step_flops(config, arm, task)
        label_steps += round(pretrain_steps * each["pretrain"] / each["label"])
    return pretrain_steps if recipe.pretrains else 0, label_steps


def build_model(config: RunConfig, task: Task) -> SequenceModel:
    """The model of a run at its start; runs of one seed share all weights that their settings share."""
    qk_init = RECIPES[config.arm].qk_init or config.model.qk_init
    with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own first
        return SequenceModel(
            replace(config.model, qk_init=qk_init),
            input_spec(task),
            causal=config.objective.causal,
            generator=torch_stream(config.seed, "init"),
        )


def perform(shared: tuple[Task, Path], run: RunConfig, tell: Watch, stop: Callable[[], bool]) -> dict[str, Any]:
    """Do a run in its folder under a root: the job of ``workers.Workers`` for runs.

    Args:
        shared: the task and the root.
        tell: gets progress and notes, and the end.
        stop: whether to save the state and stop.

    Raises:
        Interrupted: the run was asked to stop.
    """
    task, root = shared
    with RunFolder(run_path(root, run), run, task.fingerprint, tell=tell, stop=stop) as folder:
        result = execute(run, task, folder)
    tell(Finished(run.name, result))
    return result


def execute(config: RunConfig, task: Task, folder: RunFolder) -> dict[str, Any]:
    """Do a run, or what is left of it, and give its numbers.

    A run whose numbers stop being finite is finished too: its result has the key ``failure`` alone.

    Raises:
        Interrupted: the run was asked to stop.
    """
    result = folder.finished()
    if result is None:
        do = _linear if RECIPES[config.arm].linear else _network
        try:
            with threads(config.train.threads):
                result = do(config, task, folder)
        except NonFiniteError as error:
            result = {"failure": str(error)}
        folder.finish(result)
    return result


def _network(config: RunConfig, task: Task, folder: RunFolder) -> dict[str, Any]:
    device = pick_device(config.train.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    saved = folder.latest()
    phase, resume = (saved[0], saved[1:]) if saved else (None, None)
    model = build_model(config, task).to(device)

    def run_phase(name: PhaseName, objective: Objective, phase_config: PhaseConfig, steps: int) -> TrainState:
        kept = config.train.snapshots if config.purpose == "report" and config.transplant is None else 0
        plan = Plan.of(name, phase_config, steps=steps, lr=config.lr, n_rows=len(objective.rows), snapshots=kept)
        here = resume if phase == name else None
        return train(
            model, objective, plan, seed=config.seed, config=config.train, device=device, recorder=folder, resume=here
        )

    if config.pretrain_steps and phase != "label":
        reconstruction = ReconstructionObjective(task, config.objective, config.seed)
        run_phase("pretrain", reconstruction, config.pretrain, config.pretrain_steps)
        pretrained = model.state_dict()
        model = build_model(config, task).to(device)
        folder.save_pretrained(pretrained)
        folder.save_transfer(dataclasses.asdict(transfer(pretrained, model)))
    if config.transplant is not None:
        if phase != "label":
            folder.save_transfer(dataclasses.asdict(_transplant(config.transplant, model, folder.path, config.seed)))
        freeze(model, config.transplant.frozen)
    joint = RECIPES[config.arm].joint
    label = JointObjective(task, config.objective, config.seed) if joint else LabelObjective(task)
    state = run_phase("label", label, config.label, config.label_steps)

    ends = folder.ends()
    curve = [row for row in folder.rows if row["phase"] == "label"]
    result: dict[str, Any] = {
        "lr": config.lr,
        "selected_step": state.best_step,
        "train_acc_reached": max(row["train_acc"] for row in curve),
        "steps_to_fit": next((row["step"] for row in curve if row["train_acc"] >= FITTED), None),
    }
    for part, split in (("train", task.train), ("val", task.val)):
        result |= {f"{part}_{key}": value for key, value in label_metrics(model, split, device).items()}
    if config.purpose == "report":
        logits = label_logits(model, task.test, device)
        test = classification_metrics(logits.double().numpy(), task.test.y)
        result |= {f"test_{key}": value for key, value in test.items()}
        folder.save_predictions(logits.argmax(dim=1))
        folder.save_model(model.config, model.inputs, model.state_dict())
    for name, value in result.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise NonFiniteError(name, "label", state.step)
    for name, each in step_flops(config, config.arm, task).items():
        row = ends.get(name, {"step": 0, "wall_seconds": 0.0})
        result |= {
            f"steps_{name}": row["step"],
            f"flops_{name}": each * row["step"],
            f"seconds_{name}": row["wall_seconds"],
        }
    return {**result, "peak_memory_bytes": _peak_memory(device)}


def _transplant(what: TransplantConfig, model: SequenceModel, run: Path, seed: int) -> TransferReport:
    """Put the donor's groups of weights into ``model``, in place."""
    donor = {} if what.source is None else read_weights(run / what.source / "checkpoint" / PRETRAINED)
    if what.random:
        donor = norm_matched_noise(donor, torch_stream(seed, "noise"))
    return transfer(donor, model, what.groups)


def _linear(config: RunConfig, task: Task, folder: RunFolder) -> dict[str, Any]:
    begun = time.monotonic()
    result, predicted = linear_baseline(task, len(config.train.lr) * config.train.tune_seeds)
    folder.save_predictions(torch.from_numpy(predicted))
    seconds = {"seconds_pretrain": 0.0, "seconds_label": time.monotonic() - begun}
    return {**result, **seconds, "flops_pretrain": 0, "flops_label": 0, "train_acc_reached": result["train_acc"]}


def _peak_memory(device: torch.device) -> int:
    """Most bytes held: of the accelerator on CUDA, else of this process (which may have done runs before)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
