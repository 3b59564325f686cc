"""Time of one training step beside its floor.

Two things alternate, so that a machine whose speed drifts slows both alike: our step, and bare matrix products of as
many operations as it counts, in the model's narrow shape (the floor). Prints medians and the ratio pair by pair.

    python benchmarks/step.py [--pairs 15]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, ModelConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Task
from selfpretrain.draws import Draws
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.objectives import draw_mask
from selfpretrain.train.training import Training
from selfpretrain.train.work import prepared, step_flops


def seconds(work: Callable[[], object], repeats: int = 8) -> float:
    """Wall seconds of one call, the mean of a few."""
    begun = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begun) / repeats


def step_of(task: Task, training: Training) -> Callable[[], object]:
    """One optimiser step of the training loop, batch and masks included."""
    model, objective, feed, forward = prepared(training, task)
    state = TrainState(make_optimizers(model, training.plan))
    return lambda: update(model, objective, feed.batch(0), training, state, forward)


def masks_of(task: Task, batch_size: int) -> Callable[[], object]:
    """The masks of one batch, each row's from its own key."""
    rows = torch.from_numpy(task.train.numbers[:batch_size])
    return lambda: draw_mask(Draws(0, 3, rows).keys("masks"), None, task.length, 0.5)


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
    task, config = load_task(), CompareConfig(train=TrainConfig(device="cpu"))
    request = Request.of(task, config)
    eager = Request.of(task, replace(config, model=ModelConfig(attention="eager")))
    pretraining = request.pretraining(0, 1e-3)
    trainings = {
        "label step, fused attention": request.labels(0, 1e-3),
        "label step, explicit attention": eager.labels(0, 1e-3),
        "self-pretraining step": pretraining,
    }
    batch = pretraining.plan.batch_size
    print(f"one thread, {pairs} pairs")
    for name, training in trainings.items():
        step, flops = step_of(task, training), step_flops(training, task)
        floor = products(flops, config.model.width, batch * task.length)
        step(), floor()
        times = [(seconds(step), seconds(floor, 2)) for _ in range(pairs)]
        ours, bare = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        speed = f"{flops / 1e9:.3f} GFLOP {1e3 * ours:7.2f} ms"
        print(f"{name:32s} {speed} {ratio:5.2f} x the bare products ({1e3 * bare:.2f} ms)")
    masks, pretrain = masks_of(task, batch), step_of(task, pretraining)
    share = statistics.median(seconds(masks, 50) / seconds(pretrain) for _ in range(pairs))
    print(
        f"masks of a batch: {1e6 * seconds(masks, 200):.0f} microseconds, {100 * share:.2f}% of a self-pretraining step"
    )


if __name__ == "__main__":
    main()
