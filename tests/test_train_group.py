"""Several processes of one training: the gradient and the weights of one process, and what it refuses."""

import itertools
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from conftest import TINY_FLAGS, tiny_config
from selfpretrain.comparison.request import Request
from selfpretrain.config import ObjectiveConfig
from selfpretrain.data.load import load_task
from selfpretrain.registry import OBJECTIVES
from selfpretrain.train import group
from selfpretrain.train.work import prepared

pytestmark = pytest.mark.whole
PROCESSES = 3
FLAGS = [
    *(flag for flag in TINY_FLAGS if not flag.startswith(("--pretrain.d", "--label.d", "--seeds"))),
    *("--arms=scratch,spt", "--seeds=1", "--pretrain.duration=300", "--label.duration=150"),
    # Adam's first steps turn rounding into the sign of a gradient; those of SGD do not.
    *("--pretrain.optimizer=sgd", "--label.optimizer=sgd", "--dropout=0.1", "--checkpoint-seconds=0"),
]


def gradients(sharded):
    """Of every objective on one batch of sequences of different lengths, in float64."""
    torch.set_default_dtype(torch.float64)
    chance, found = np.random.default_rng(0), {}
    pairs = [[chance.integers(5, size=length) for length in chance.integers(4, 9, size=2)] for _ in range(60)]
    tasks = {"": load_task("lra-listops-small", sequences=60)}
    tasks["pairs "] = load_task([tuple(pair) for pair in pairs], [row % 2 for row in range(60)], kind="symbols")
    for kind, name in itertools.product(tasks, OBJECTIVES):
        task = tasks[kind]
        is_first = OBJECTIVES[name].phase == "pretrain"
        objective = ObjectiveConfig(objective=name) if is_first else ObjectiveConfig()
        request = Request.of(task, tiny_config(objective=objective))
        training = request.pretraining(0, 1e-2) if is_first else request.labels(0, 1e-2, objective=name)
        model, objective, feed, forward = prepared(training, task)
        model.double()
        if sharded:
            forward = group.Sharded(forward, task.inputs.per_row)
        objective.loss(forward, feed.batch(0)).backward()
        if sharded:
            forward.sum_gradients(model)
        found[kind + name] = {key: p.grad.numpy() for key, p in model.named_parameters() if p.grad is not None}
    return found


def of_a_process(rank, port, queue):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    group.start()
    found = gradients(sharded=True)
    if rank == PROCESSES - 1:
        queue.put(found)


def test_the_gradient_of_every_objective_is_that_of_one_process():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=of_a_process, args=(rank, port, queue)) for rank in range(PROCESSES)]
    for process in processes:
        process.start()
    shared = queue.get(timeout=120)
    for process in processes:
        process.join()
    with context.Pool(1) as pool:  # so that float64 does not become the default of this process
        alone = pool.apply(gradients, (False,))
    assert shared.keys() == alone.keys() and len(alone) == 2 * len(OBJECTIVES)
    for name, weights in alone.items():
        assert weights.keys() == shared[name].keys()
        for key, gradient in weights.items():
            assert abs(gradient - shared[name][key]).max() < 1e-12, (name, key)


def weights(folder):
    return {path.parent.name: load_file(path) for path in sorted(folder.glob("trainings/*/weights.safetensors"))}


def same(folder, other):
    """Equal within the rounding of float32."""
    ours, theirs = weights(folder), weights(other)
    assert len(ours) == 3 and ours.keys() == theirs.keys()
    assert all(abs(ours[key][name] - theirs[key][name]).max() < 1e-5 for key in ours for name in ours[key])
    return True


def torchrun(processes, *arguments, cwd):
    command = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "-m", "selfpretrain", *arguments]
    return subprocess.Popen(
        [sys.executable, *command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_torchrun_trains_as_one_process_does_also_when_killed_and_continued(tmp_path):
    """Killed with two processes, continued with three; beside it a comparison that nobody disturbed."""
    begun = torchrun(2, "compare", *FLAGS, "--out=shared", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "shared").glob("trainings/*/checkpoint/[0-9]*"))) < 2:
        assert begun.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    begun.send_signal(signal.SIGTERM)  # torchrun hands it on to its processes
    assert "Traceback" not in begun.communicate(timeout=60)[0].partition("torch/distributed")[0]
    assert not (tmp_path / "shared/summary.json").exists()
    going_on = torchrun(3, "compare", *FLAGS, "--out=shared", cwd=tmp_path)
    messages = going_on.communicate(timeout=300)[0]
    assert going_on.returncode == 0, messages
    assert "Traceback" not in messages
    alone = [sys.executable, "-m", "selfpretrain", "compare", *FLAGS, "--out=alone", "--workers=1"]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True)
    assert same(tmp_path / "shared", tmp_path / "alone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "runs/x", "new.csv"], "predict: does not share out its work"),
        (["compare", *FLAGS, "--label.batch-size=1"], "has fewer rows than there are processes (2)"),
        (["compare", *FLAGS, "--workers=2"], "leave out --engine and --workers"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_in_one_line(tmp_path, arguments, message):
    process = torchrun(2, *arguments, cwd=tmp_path)
    lines = process.communicate(timeout=120)[0].splitlines()
    assert process.returncode != 0
    (line,) = [line for line in lines if line.startswith("selfpretrain:")]
    assert message in line
