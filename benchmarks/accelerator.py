"""What has to be seen on an accelerator, in ten minutes: right numbers, no waiting in the loop, and how fast it is.

    python benchmarks/accelerator.py [--device cuda]

1. A label training on the device beside the same on the CPU: how far the losses of validations are apart.
2. Steps at the sizes of ``selfpretrain bench``, in float32 and bfloat16, beside the floor.
3. Places where the loop waits for the device between validations (CUDA alone can tell).
4. How long the preset amos-image with all of its epochs would take.
"""

import argparse
import statistics
import warnings
from collections.abc import Iterator
from dataclasses import replace

import torch

from selfpretrain.bench.contestants import Size, floor, ours
from selfpretrain.bench.steps import sizes
from selfpretrain.comparison.request import Request
from selfpretrain.config import PhaseConfig, TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.machine import environment, resolve_device
from selfpretrain.registry import PRESETS
from selfpretrain.train.group import Assistant
from selfpretrain.train.loop import train
from selfpretrain.train.work import prepared

ROUNDS, STEPS = 5, 20


def on(size: Size, device: str, precision: str = "float32") -> Size:
    """The same size on a device."""
    config = size.request.config
    settings = replace(config.train, device=device, precision=precision)
    return replace(size, request=Request.of(size.task, replace(config, train=settings)))


def losses(size: Size) -> list[float]:
    """Validation losses of a short label training."""
    training = size.training("label")
    training = replace(training, plan=replace(training.plan, steps=50, evaluate_every=10))
    model, objective, feed, forward = prepared(training, size.task)
    recorder = Assistant()
    train(model, objective, feed, training, recorder=recorder, forward=forward)
    return [row["val_loss"] for row in recorder.rows]


def steps(size: Size, device: str) -> Iterator[str]:
    for phase in ("pretrain", "label"):
        for precision in ("float32", "bfloat16"):
            there = on(size, device, precision)
            own, bare = ours(there, phase), floor(there, phase)
            own(3), bare(3)
            times = [(own(STEPS) / STEPS, bare(STEPS) / STEPS) for _ in range(ROUNDS)]
            median = statistics.median(time for time, _ in times)
            ratio = statistics.median(a / b for a, b in times)
            yield f"{size.name}, {phase}, {precision}: {1e3 * median:.2f} ms, {ratio:.1f} x the floor"


def waits(size: Size) -> list[str]:
    """Warnings of CUDA about operations that wait for the device, in ten steps."""
    step = ours(size, "label")
    step(3)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step(10)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sorted({f"{warning.filename}:{warning.lineno}" for warning in caught})


def whole_experiment(device: str) -> str:
    """Amos' Image: both arms, one seed and one rate, from steps on made-up rows of the same size."""
    config = PRESETS["amos-image"].config
    task = load_task(TaskConfig(data="noise", options={"length": 1024, "symbols": 256, "sequences": 1000}))
    size = on(Size("image", Request.of(task, config)), device, "bfloat16" if device == "cuda" else "float32")
    rows, seconds = 45_000, 0.0
    for phase, epochs in (("pretrain", 200), ("label", 50)):
        own = ours(size, phase)
        own(2)
        phase_config: PhaseConfig = getattr(config, phase)
        times = 1 if phase == "pretrain" else 2  # scratch and spt
        seconds += times * own(3) / 3 * epochs * rows / phase_config.batch_size
    return f"amos-image, scratch and spt, one seed and rate: {seconds / 3600:.1f} hours of steps"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    device = resolve_device(parser.parse_args().device)
    print(environment(device))
    known = list(sizes())
    here, there = losses(on(known[0], "cpu")), losses(on(known[0], device))
    apart = max(abs(a - b) for a, b in zip(here, there, strict=True))
    print(f"validation losses differ from the CPU's by at most {apart:.2g}")
    if device == "cuda":
        print(f"the loop waits at: {', '.join(waits(on(known[0], device))) or 'no place'}")
    for size in known:
        print(*steps(size, device), sep="\n", flush=True)
    print(whole_experiment(device))


if __name__ == "__main__":
    main()
