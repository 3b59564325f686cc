"""Which recipe serves a person's own file: settings of model and training, compared on validation splits of real data.

    python benchmarks/recipe.py FILES OUT [--sets digits,words.csv] [--recipes "32 tokens;32 tokens, max"]
        [--arms scratch,spt] [--steps 600] [--seeds 1] [--test]

FILES is what ``examples/real_data.py`` made. Every recipe trains ``scratch`` and ``spt`` on each data set, 600 steps of
self-pretraining and of label training with 32 rows a step, at one learning rate. The validation rows stand in for the
test rows, so that no recipe can be chosen by test data; ``--test`` reads the test splits, once, at the end.
``--arms classical,minirocket,quant`` fits the classical rivals, each where it can be fitted.

Printed for each recipe and data set: accuracy and log loss of each arm, means over seeds.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfpretrain import compare, load_task
from selfpretrain.arms.builtin import ARMS
from selfpretrain.comparison.request import with_patches
from selfpretrain.config import CompareConfig, PhaseConfig, TrainConfig
from selfpretrain.data.task import Task
from selfpretrain.presets import SMALL
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
"""Series, symbols, bytes and pixels; 165 to 3,500 training rows with a label."""


@dataclass(frozen=True)
class Recipe:
    """What is tried; by default the preset ``small`` in patches.

    Attributes:
        tokens: a sequence of median length has at most so many.
    """

    tokens: int
    pooling: Any = "mean"
    positions: Any = "sinusoidal"
    dropout: float = 0.0
    weight_decay: float = 0.0
    schedule: Any = "constant"

    def config(self, task: Task, arms: tuple[str, ...], steps: int, seeds: int) -> CompareConfig:
        open_model = replace(SMALL.model, patch=0, positions=self.positions, dropout=self.dropout, pooling=self.pooling)
        phase = PhaseConfig(
            duration=f"{steps}steps", batch_size=32, schedule=self.schedule, weight_decay=self.weight_decay
        )
        return CompareConfig(
            arms=arms,
            seeds=seeds,
            model=with_patches(open_model, task, self.tokens),
            pretrain=phase,
            label=phase,
            train=TrainConfig(lr=(1e-3,)),
        )


REGULARISED: dict[str, Any] = {"dropout": 0.1, "weight_decay": 0.05}
COSINE: dict[str, Any] = {"schedule": "cosine", "weight_decay": 0.05}
RECIPES = {
    "single positions": Recipe(10**6),
    "64 tokens": Recipe(64),
    "64 tokens, cosine, regularised": Recipe(64, **COSINE, dropout=0.1),
    "64 tokens, cosine, regularised, learned": Recipe(64, **COSINE, dropout=0.1, positions="learned"),
    "64 tokens, cosine, regularised, rotary": Recipe(64, **COSINE, dropout=0.1, positions="rotary"),
    "64 tokens, cosine, weight decay, rotary": Recipe(64, **COSINE, positions="rotary"),
    "64 tokens, cosine, dropout 0.2, rotary": Recipe(64, **COSINE, dropout=0.2, positions="rotary"),
    "64 tokens, cosine, regularised, rotary, max": Recipe(64, **COSINE, dropout=0.1, positions="rotary", pooling="max"),
    "32 tokens, cosine, regularised, rotary": Recipe(32, **COSINE, dropout=0.1, positions="rotary"),
    "32 tokens": Recipe(32),
    "32 tokens, regularised": Recipe(32, **REGULARISED),
    "32 tokens, max": Recipe(32, pooling="max"),
    "32 tokens, max, regularised": Recipe(32, pooling="max", **REGULARISED),
    "16 tokens, max": Recipe(16, pooling="max"),
}


def task_of(files: Path, name: str, is_test: bool) -> Task:
    options = {key: files / value if key == "test" else value for key, value in SETS[name].items()}
    task = load_task(name if name == "digits" else files / name, **options)
    return task if is_test else replace(task, test=task.val)


def fitting(arms: list[str], task: Task) -> tuple[str, ...]:
    """The arms that nothing stands in the way of."""
    obstacles = {arm: ARMS[arm].obstacle for arm in arms}
    return tuple(arm for arm, obstacle in obstacles.items() if obstacle is None or obstacle(task) is None)


def scores(folder: Path, arms: tuple[str, ...]) -> str:
    results = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*/result.json"))]

    def mean(arm: str, metric: str) -> float:
        return float(np.mean([result["test"][metric] for result in results if result["arm"] == arm]))

    return "   ".join(f"{arm} {mean(arm, 'acc'):.3f} ({mean(arm, 'loss'):.2f})" for arm in arms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipes", default=";".join(RECIPES), help="names, separated by semicolons")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--arms", default="scratch,spt")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--test", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.sets.split(","):
        task = task_of(arguments.files, name, arguments.test)
        if not (arms := fitting(arguments.arms.split(","), task)):
            continue
        for recipe in arguments.recipes.split(";"):
            out = arguments.out / ("test" if arguments.test else "val") / recipe.replace(" ", "-") / name
            config = RECIPES[recipe].config(task, arms, arguments.steps, arguments.seeds)
            compare(task, config, out=out, workers=arguments.workers, watch=ignore)
            print(f"{name:26} {recipe:42} {scores(out, arms)}", flush=True)


if __name__ == "__main__":
    main()
