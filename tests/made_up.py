"""Runs that nobody trained, with planted numbers: what judging is tested on."""

from dataclasses import replace

import numpy as np

from selfpretrain.arms.arm import Versus
from selfpretrain.comparison.claims import contrast_of
from selfpretrain.comparison.judge import judge
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.run import Performed, Run, RunRecord, RunResult
from selfpretrain.config import CompareConfig
from selfpretrain.data.load import load_task
from selfpretrain.data.task import Split
from selfpretrain.metrics import Metrics
from selfpretrain.train.training import TrainingResult

N_SEEDS, N_TEST = 5, 400
Y = np.zeros(N_TEST, dtype=np.int64)
"""Classes of the test rows."""
ROWS = Split(np.zeros((N_TEST, 1), dtype=np.uint8), np.ones(N_TEST, dtype=np.int64), Y)
"""The test rows."""
LABEL, TOTAL = Versus("scratch", "label compute", primary=True), Versus("scratch", "total compute", primary=True)


def made_up(arm, seed, hit=None, *, pretrain=None, choice=None, flops=10, failure=None, rows=(), **label):
    """A run that has these test rows right (N,); it failed where ``hit`` is None."""
    result = RunResult(
        arm=arm,
        seed=seed,
        failure=failure,
        choice=choice,
        pretrain=pretrain,
        label=TrainingResult(**label),
        test=None if hit is None else Metrics(acc=float(hit.mean()), loss=1.0),
        flops_label=flops,
    )
    return Run(RunRecord(arm=arm, seed=seed, task="t"), result, rows, None if hit is None else np.where(hit, 0, 1))


def planted_runs(test, train, steps=None, seed=0, n_seeds=N_SEEDS, losses=None):
    """Runs of two arms, the first ahead by so much, with seed noise of 0.005 on training accuracy.

    Args:
        losses: reconstruction loss of spt, and the one without context.
    """
    generator = np.random.default_rng(seed)
    learnt = losses and TrainingResult(val_reconstruction=losses[0], val_without_context=losses[1])

    def runs(arm, test_acc, train_acc, fit):
        correct = generator.random((n_seeds, N_TEST)) < test_acc
        return [
            made_up(
                arm,
                seed,
                correct[seed],
                best_train_sample_acc=train_acc + generator.normal(0, 0.005),
                steps_to_fit=fit and fit + int(generator.integers(-5, 5)),
                pretrain=learnt if arm == "spt" else None,
            )
            for seed in range(n_seeds)
        ]

    spt = runs("spt", 0.5 + test, 0.5 + train, steps and steps[0])
    return {"spt": spt, "scratch": runs("scratch", 0.5, 0.5, steps and steps[1])}


def planted(test, train, versus=LABEL, **how):
    """A contrast of an arm whose test and train accuracies exceed the other's by so much."""
    return contrast_of("spt", versus, planted_runs(test, train, **how), ROWS)


TASK = load_task("noise", sequences=2660, length=4)
"""A task with as many test rows."""


def answer_of(runs, looks=(), shortened=None, **settings):
    """The answer to a request with these runs, which were right as often on ``TASK``."""
    config = CompareConfig(arms=tuple(runs), seeds=len(runs["scratch"]), **settings)
    y = TASK.test.y
    own = {
        arm: [replace(run, predicted=np.where(run.predicted == 0, y, 1 - y)) for run in runs_of_arm]
        for arm, runs_of_arm in runs.items()
    }
    return judge(Request.of(TASK, config), Performed(own, {}), dict(looks), shortened)
