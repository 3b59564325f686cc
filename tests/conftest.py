"""Shared pieces: tiny tasks, trainings and comparisons, and the command line as a process.

Run everything on another device with ``pytest --device cuda``. The mark ``fast`` is given to every test that starts no
process and no whole comparison.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from selfpretrain.arms.arm import Rates
from selfpretrain.comparison.compare import Comparison, compare
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, DiagnoseConfig, ModelConfig, PhaseConfig, TrainConfig
from selfpretrain.data.codec import Codec
from selfpretrain.data.kinds import InputSpec
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Split, Task
from selfpretrain.explain.diagnose import Diagnosis, diagnose
from selfpretrain.model.transformer import SequenceModel
from selfpretrain.registry import ARMS as KNOWN
from selfpretrain.streams import torch_stream
from selfpretrain.train.store import Finished, Store
from selfpretrain.train.training import Training
from selfpretrain.train.work import TrainJob
from selfpretrain.watch import Event

# Distinct primes wherever axes may not be swapped unseen.
BATCH, LENGTH, SYMBOLS, CHANNELS, CLASSES = 3, 7, 5, 2, 3
TINY_MODEL = ModelConfig(width=12, heads=3, depth=2)
TINY_TASK = {"symbols": 4, "length": 8, "sequences": 120}
ARMS = tuple(name for name, arm in KNOWN.items() if arm.obstacle is None)  # the others need a package
WHOLE = {"cli", "everything", "finished", "comparison", "explained", "small_disk", "browser"}
"""Fixtures that start processes or whole comparisons."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where models are trained in tests: cpu, cuda or mps")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        whole = WHOLE & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("whole")
        if not whole and not item.get_closest_marker("slow"):
            item.add_marker("fast")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


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
    return SequenceModel(replace(config, causal=causal), spec(kind), generator=torch_stream(0, "init"))


def ragged_task(kind: str = "symbols", n: int = 60, seed: int = 0) -> Task:
    """Random sequences of 2 to LENGTH positions; the padding holds zeros, and row numbers are not the places."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, LENGTH + 1, size=n)
    lengths[0] = LENGTH
    x = generator.integers(SYMBOLS, size=(n, LENGTH)).astype(np.uint8)
    if kind == "values":
        x = generator.normal(size=(n, LENGTH, CHANNELS)).astype(np.float32)
    x[np.arange(LENGTH) >= lengths[:, None]] = 0
    rows = Split(x, lengths, np.arange(n) % CLASSES, generator.permutation(n))
    parts = [rows.rows(part) for part in np.split(np.arange(n), [n // 2, 3 * n // 4])]
    ones = (1.0,) * CHANNELS if kind == "values" else ()
    codec = Codec(
        kind=kind,
        classes=tuple("xyz"),
        length=LENGTH,
        vocabulary=tuple("abcde") if kind == "symbols" else (),
        mean=tuple(0.0 for _ in ones),
        std=ones,
    )
    return Task("ragged", codec, *parts)


def tiny_config(**settings: object) -> CompareConfig:
    """A comparison of seconds."""
    config = CompareConfig(
        model=ModelConfig(width=8, heads=2),
        pretrain=PhaseConfig(duration="12steps", batch_size=16, evaluate_every="4steps"),
        label=PhaseConfig(duration="9steps", batch_size=16, evaluate_every="3steps"),
        train=TrainConfig(lr=(1e-3, 1e-2)),
        seeds=3,
    )
    return replace(config, **settings)


def tiny_training(task: Task, arm: str = "spt", *, seed: int = 0, lr: float = 1e-2, **settings: object) -> Training:
    """The label training of an arm."""
    training = KNOWN[arm].recipe(Request(tiny_config(**settings), task), seed, Rates(lr, lr))
    assert training is not None
    return training


def do(training: Training, task: Task, folder: Path, *, snapshots: int = 0, others: tuple[Task, ...] = ()) -> Finished:
    """Do a training and what it rests on, in this process."""
    store = Store(folder, {known.fingerprint: known for known in (task, *others)})
    for part in training.chain:
        TrainJob(name=part.key, training=part, snapshots=snapshots).perform(store, lambda event: None, lambda: False)
    return store.finished(training)


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    return load_task("proximity", **TINY_TASK)


TINY_FLAGS = [
    *("--symbols=4", "--length=8", "--sequences=120", "--width=8", "--seeds=3", "--lr=1e-2"),
    *("--pretrain.duration=12steps", "--pretrain.batch-size=16", "--label.duration=9steps", "--label.batch-size=16"),
]


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory, tiny_task: Task) -> tuple[Comparison, list[Event]]:
    """A comparison of all arms, not to be changed, and the events of making it."""
    events: list[Event] = []
    folder = tmp_path_factory.mktemp("everything") / "o"
    return compare(tiny_task, tiny_config(arms=ARMS), out=folder, watch=events.append), events


TINY_DIAGNOSIS = DiagnoseConfig(sample=20, large_sample=40, curvature_sample=4, max_lag=2, transplant_seeds=1)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_task: Task) -> Path:
    """A tiny comparison that no test may change, with a gain written into its summary so that there is one to carry."""
    folder = tmp_path_factory.mktemp("finished") / "comparison"
    config = tiny_config(train=TrainConfig(lr=(1e-2,), snapshots=2), arms=("scratch", "spt", "mimetic", "classical"))
    summary = compare(tiny_task, config, out=folder).summary
    for contrast in summary["comparisons"]:
        contrast["outcome"] = "helps"
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def comparison(finished: Path, tmp_path: Path) -> Path:
    """A copy to diagnose or to damage."""
    return shutil.copytree(finished, tmp_path / "comparison")


@pytest.fixture(scope="session")
def explained(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Diagnosis]:
    """A diagnosed copy, transplants included, that no test may change; and what came out."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("explained") / "comparison")
    return folder, diagnose(folder, TINY_DIAGNOSIS)


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The real command line, in a process of its own, working in ``tmp_path``."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "selfpretrain", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )

    return run
