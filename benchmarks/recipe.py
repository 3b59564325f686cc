"""Which recipe serves a person's own file: settings of model and training, compared on validation splits of real data.

    python benchmarks/recipe.py FILES OUT [--recipes "32 tokens;32 tokens, max"] [--steps 600] [--seeds 1] [--test]

FILES is what ``examples/real_data.py`` made. Every recipe trains ``scratch`` and ``spt`` on each data set, 600 steps of
self-pretraining and of label training with 32 rows a step, at one learning rate. The validation rows stand in for the
test rows, so that no recipe can be chosen by test data; ``--test`` reads the test splits, once, at the end.

Printed for each recipe and data set: validation accuracy of scratch / spt, and their log losses.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain import compare, load_task
from selfpretrain.config import CompareConfig, ModelConfig, ObjectiveConfig, PhaseConfig, TrainConfig
from selfpretrain.data.task import Task
from selfpretrain.watch import ignore

SETS: dict[str, dict[str, Any]] = {
    "vowels.jsonl": {},
    "mnist-rows.npz": {},
    "digits": {},
    "words.csv": {},
    "splice.csv": {},
    "smartwatch.npz": {"group": "subject"},
    "mnist-pixels-labelled.npz": {},
    "newsgroups.csv": {},
    "collagen.csv": {},
    "PLAID_TRAIN.ts": {"test": "PLAID_TEST.ts", "max_length": 1344},
    "OSULeaf_TRAIN.ts": {"test": "OSULeaf_TEST.ts"},
    "rrna.csv": {},
}
"""Series, symbols, bytes and pixels; 67 to 6,000 rows with a label."""


@dataclass(frozen=True)
class Recipe:
    """What is tried; by default the preset ``small``, in patches.

    Attributes:
        tokens: a sequence of median length has at most so many, in patches of 1, 2, 4, ... positions.
    """

    tokens: int = 32
    pooling: Any = "mean"
    positions: Any = "sinusoidal"
    dropout: float = 0.0
    weight_decay: float = 0.0
    schedule: Any = "constant"
    lr: float = 1e-3
    mask_ratio: float = 0.5
    depth: int = 2
    pretrain_times: int = 1

    def config(self, task: Task, steps: int, seeds: int) -> CompareConfig:
        patch, usual = 1, float(np.median(task.train.lengths))
        while usual > patch * self.tokens:
            patch *= 2
        model = ModelConfig(
            depth=self.depth,
            width=64,
            heads=4,
            positions=self.positions,
            dropout=self.dropout,
            pooling=self.pooling,
            patch=patch,
        )
        label = PhaseConfig(
            duration=f"{steps}steps", batch_size=32, schedule=self.schedule, weight_decay=self.weight_decay
        )
        return CompareConfig(
            arms=("scratch", "spt"),
            seeds=seeds,
            model=model,
            objective=ObjectiveConfig(mask_ratio=self.mask_ratio),
            pretrain=replace(label, duration=f"{self.pretrain_times * steps}steps"),
            label=label,
            train=TrainConfig(lr=(self.lr,)),
        )


REGULARISED = {"dropout": 0.1, "weight_decay": 0.05}
RECIPES = {
    "single positions": Recipe(tokens=10**6),
    "64 tokens": Recipe(tokens=64),
    "64 tokens, cosine, regularised": Recipe(tokens=64, schedule="cosine", **REGULARISED),
    "64 tokens, cosine, regularised, rotary": Recipe(tokens=64, schedule="cosine", positions="rotary", **REGULARISED),
    "64 tokens, cosine, regularised, learned": Recipe(tokens=64, schedule="cosine", positions="learned", **REGULARISED),
    "32 tokens": Recipe(),
    "32 tokens, rotary": Recipe(positions="rotary"),
    "32 tokens, regularised": Recipe(**REGULARISED),
    "32 tokens, max": Recipe(pooling="max"),
    "32 tokens, max, regularised": Recipe(pooling="max", **REGULARISED),
    "16 tokens, max": Recipe(tokens=16, pooling="max"),
    "32 tokens, max, mask 0.3": Recipe(pooling="max", mask_ratio=0.3),
    "32 tokens, max, longer": Recipe(pooling="max", pretrain_times=3),
    "32 tokens, max, cosine": Recipe(pooling="max", schedule="cosine", lr=3e-3),
}


def task_of(files: Path, name: str, is_test: bool) -> Task:
    options = {key: files / value if key == "test" else value for key, value in SETS[name].items()}
    task = load_task(name if name == "digits" else files / name, **options)
    return task if is_test else replace(task, test=task.val)


def scores(folder: Path) -> dict[str, tuple[float, float]]:
    """Accuracy and log loss of each arm, means over seeds."""
    results = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*/result.json"))]
    return {
        arm: tuple(float(np.mean([r["test"][name] for r in results if r["arm"] == arm])) for name in ("acc", "loss"))
        for arm in ("scratch", "spt")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", default=";".join(RECIPES), help="names, separated by semicolons")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    for name in SETS:
        task = task_of(arguments.files, name, arguments.test)
        for recipe in arguments.recipes.split(";"):
            out = arguments.out / ("test" if arguments.test else "val") / recipe.replace(" ", "-") / name
            config = RECIPES[recipe].config(task, arguments.steps, arguments.seeds)
            compare(task, config, out=out, workers=arguments.workers, watch=ignore)
            (a, a_loss), (b, b_loss) = scores(out).values()
            print(f"{name:26} {recipe:42} {a:.3f} / {b:.3f}   {a_loss:.2f} / {b_loss:.2f}", flush=True)


if __name__ == "__main__":
    main()
