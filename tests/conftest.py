"""Shared pieces: tiny tasks and configurations, and the command line as a process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, RunConfig, TaskConfig, TrainConfig
from selfpretrain.model import InputSpec, SequenceModel
from selfpretrain.streams import torch_stream
from selfpretrain.tasks import Split, Task, load_task
from selfpretrain.tasks.task import standardised

# Distinct primes wherever axes may not be swapped unseen.
BATCH, LENGTH, SYMBOLS, CHANNELS, CLASSES = 3, 7, 5, 2, 3
TINY_MODEL = ModelConfig(width=12, heads=3, depth=2)


@pytest.fixture(autouse=True, scope="session")
def one_thread_of_linear_algebra() -> Iterator[None]:
    """As the workers of a comparison have it: threads that wait for each other are slow beside other work."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def spec(kind: str = "symbols") -> InputSpec:
    values = kind == "values"
    return InputSpec(
        kind=kind, symbols=0 if values else SYMBOLS, channels=CHANNELS if values else 0, length=LENGTH, classes=CLASSES
    )


def tiny_model(config: ModelConfig = TINY_MODEL, kind: str = "symbols", *, causal: bool = False) -> SequenceModel:
    return SequenceModel(config, spec(kind), causal=causal, generator=torch_stream(0, "init"))


def ragged_task(kind: str = "symbols", n: int = 60, seed: int = 0) -> Task:
    """Random sequences of 2 to LENGTH positions; the padding holds what must not be read."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, LENGTH + 1, size=n)
    lengths[0] = LENGTH
    if kind == "values":
        x = generator.normal(size=(n, LENGTH, CHANNELS)).astype(np.float32)
    else:
        x = generator.integers(SYMBOLS, size=(n, LENGTH))
    x[np.arange(LENGTH) >= lengths[:, None]] = 0
    rows = Split(x, lengths, np.arange(n) % CLASSES)
    parts = [rows.rows(part) for part in np.split(np.arange(n), [n // 2, 3 * n // 4])]
    vocabulary = () if kind == "values" else tuple("abcde")
    task = Task("ragged", kind, tuple("xyz"), vocabulary, *parts)
    return standardised(task) if kind == "values" else task


def tiny_config(**settings: object) -> CompareConfig:
    """A comparison of seconds."""
    config = CompareConfig(
        task=TaskConfig(data="proximity", symbols=4, length=8, sequences=120),
        model=ModelConfig(width=8, heads=2),
        pretrain=PhaseConfig(duration="12steps", batch_size=16, evaluate_every="4steps"),
        label=PhaseConfig(duration="9steps", batch_size=16, evaluate_every="3steps"),
        train=TrainConfig(lr=(1e-3, 1e-2)),
        seeds=3,
    )
    return replace(config, **settings)


def tiny_run(arm: str = "spt", **settings: object) -> RunConfig:
    config = tiny_config()
    run = RunConfig(
        arm=arm,
        seed=0,
        lr=1e-2,
        purpose="report",
        pretrain_steps=12 if arm == "spt" else 0,
        label_steps=9,
        model=config.model,
        objective=config.objective,
        pretrain=config.pretrain,
        label=config.label,
        train=config.train,
    )
    return replace(run, **settings)


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    return load_task(tiny_config().task)


TINY_FLAGS = [
    *("--symbols=4", "--length=8", "--sequences=120", "--width=8", "--seeds=3", "--lr=1e-2"),
    *("--pretrain.duration=12steps", "--pretrain.batch-size=16", "--label.duration=9steps", "--label.batch-size=16"),
]


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The real command line, in a process of its own, working in ``tmp_path``."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "selfpretrain", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
