"""Time and memory of training against length, width, depth, sequences and seeds, with the exponents of the curves.

    python benchmarks/scale.py [--seconds 1.0]

Every point is a process of its own, whose peak memory is reported: the label steps of a model of two layers of width 64
on 64 sequences of 128 symbols, with one thing changed at a time. An exponent of 2 says that twice the length takes four
times as long; it is fitted to the last two points.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from dataclasses import replace

from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import ModelConfig
from selfpretrain.data.load import load_task
from selfpretrain.machine import threads
from selfpretrain.registry import PRESETS
from selfpretrain.train.loop import TrainState, make_optimizers, update
from selfpretrain.train.work import prepared

CURVES = {
    "length": (64, 128, 256, 512, 1024, 2048),
    "length, patches of 8": (512, 1024, 2048, 4096),
    "width": (32, 64, 128, 256),
    "depth": (1, 2, 4, 8),
    "sequences": (2_000, 20_000, 200_000),
}
SEEDS = (3, 10, 100, 1000)


def point(curve: str, value: int, seconds: float) -> dict[str, float]:
    """Seconds of a label step, and the most memory that this process has held."""
    settings = {"length": 128, "sequences": 1000} | ({curve: value} if curve in ("length", "sequences") else {})
    model = {"depth": 2, "width": 64, "heads": 4} | ({curve: value} if curve in ("width", "depth") else {})
    if curve == "length, patches of 8":
        settings["length"], model["patch"] = value, 8
    config = replace(PRESETS["small"].config, model=ModelConfig(**model))
    task = load_task("noise", **settings)
    training = Request.of(task, replace(config, train=replace(config.train, device="cpu"))).labels(0, 1e-3)
    training = replace(training, plan=replace(training.plan, steps=2**40, evaluate_every=2**40))
    with threads(1):
        network, objective, feed, forward = prepared(training, task)
        state = TrainState(make_optimizers(network, training.plan))
        update(network, objective, feed.batch(0), training, state, forward)
        begun, steps = time.perf_counter(), 0
        while steps < 2 or time.perf_counter() - begun < seconds:
            update(network, objective, feed.batch(steps), training, state, forward)
            steps += 1
    each = (time.perf_counter() - begun) / steps
    return {"seconds": each, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def seeds(number: int) -> float:
    """Seconds to plan a comparison with so many seeds."""
    task, config = load_task("noise", sequences=1000), replace(PRESETS["small"].config, seeds=number)
    begun = time.perf_counter()
    _ = Plan.of(Request.of(task, config)).trainings
    return time.perf_counter() - begun


def exponent(values: tuple[int, ...], costs: list[float]) -> float:
    """Of the cost at the upper end."""
    return math.log(costs[-1] / costs[-2]) / math.log(values[-1] / values[-2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        curve, value = arguments.point
        print(json.dumps(point(curve, int(value), arguments.seconds)))
        return
    own = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--point"]
    for curve, values in CURVES.items():
        points = []
        for value in values:
            ended = subprocess.run([*own, curve, str(value)], check=True, capture_output=True, text=True)
            points.append(json.loads(ended.stdout))
            print(
                f"| {curve} {value:,} | {1e3 * points[-1]['seconds']:.1f} ms | {points[-1]['gib']:.2f} GiB |",
                flush=True,
            )
        for name in ("seconds", "gib"):
            print(f"| {curve}: exponent of {name} | {exponent(values, [p[name] for p in points]):.2f} | |")
    times = [seeds(number) for number in SEEDS]
    for number, took in zip(SEEDS, times, strict=True):
        print(f"| planning {number:,} seeds | {1e3 * took:.0f} ms | |")
    print(f"| planning: exponent | {exponent(SEEDS, times):.2f} | |")


if __name__ == "__main__":
    main()
