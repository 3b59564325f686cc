"""Time of one training step beside its floor.

Two things alternate, so that a machine whose speed drifts slows both alike: our step, and bare matrix products of as
many operations in the model's narrow shape (the floor). Prints medians and the ratio pair by pair.

    python benchmarks/step.py [--pairs 15]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from selfpretrain.arms import input_spec
from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig, PhaseConfig, TrainConfig
from selfpretrain.flops import label_step_flops
from selfpretrain.model import SequenceModel
from selfpretrain.objectives import LabelObjective, Objective, ReconstructionObjective
from selfpretrain.streams import torch_stream
from selfpretrain.tasks import Task, load_task
from selfpretrain.train import Plan, TrainState, make_optimizer, update

CPU = torch.device("cpu")


def seconds(work: Callable[[], object], repeats: int = 8) -> float:
    """Wall seconds of one call, the mean of a few."""
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats


def step_of(task: Task, objective: Objective, model: ModelConfig) -> Callable[[], object]:
    """One optimiser step of the training loop."""
    network = SequenceModel(model, input_spec(task), causal=False, generator=torch_stream(0, "init"))
    plan = Plan.of("label", PhaseConfig(duration="1"), steps=1, lr=1e-3, n_rows=len(objective.rows))
    state = TrainState(make_optimizer(network, plan, CPU))
    return lambda: update(network, objective, plan, state, seed=0, config=TrainConfig(), device=CPU)


def products(flops: int, width: int, rows: int) -> Callable[[], object]:
    """Matrix products of the model's narrow shape, of as many operations as a step."""
    a, b = torch.randn(rows, width), torch.randn(width, width)
    repeats = max(1, round(flops / (2 * rows * width * width)))

    def work() -> None:
        for _ in range(repeats):
            a @ b

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    config, task = CompareConfig(), load_task()
    batch = config.label.batch_size
    flops = label_step_flops(config.model, input_spec(task), task.train.lengths, batch)
    floor = products(flops, config.model.width, batch * task.length)
    steps = {
        "label step, fused attention": step_of(task, LabelObjective(task), config.model),
        "label step, explicit attention": step_of(task, LabelObjective(task), ModelConfig(attention="eager")),
        "self-pretraining step": step_of(task, ReconstructionObjective(task, ObjectiveConfig(), 0), config.model),
    }
    print(f"{flops / 1e9:.3f} GFLOP a label step, one thread, {pairs} pairs")
    for name, step in steps.items():
        step(), floor()
        times = [(seconds(step), seconds(floor, 2)) for _ in range(pairs)]
        ours, bare = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        speed = f"{1e3 * ours:7.2f} ms {flops / ours / 1e9:6.1f} GFLOP/s"
        print(f"{name:32s} {speed} {ratio:5.2f} x the bare products ({1e3 * bare:.2f} ms)")


if __name__ == "__main__":
    main()
