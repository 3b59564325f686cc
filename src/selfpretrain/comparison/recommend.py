"""Which model to use: of all arms, the cheapest of those that are best on validation."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.comparison.plateau import has_left
from selfpretrain.comparison.run import Run, SplitName
from selfpretrain.comparison.summary import Recommendation, RunnerUp
from selfpretrain.config import MetricName
from selfpretrain.data.task import Split, Task
from selfpretrain.metrics import contributions
from selfpretrain.stats import accuracy_error, clustered


def recommend(runs: Mapping[str, Sequence[Run]], task: Task, metric: MetricName = "accuracy") -> Recommendation | None:
    """The model to use; None where no run ended well.

    Arms whose mean validation score is within one standard error of the best count as equal (the rule of Breiman et
    al. 1984); of them the one that spent the fewest FLOPs is taken, so a classical model first. Of its seeds the best
    on validation is taken: the metric first, the loss second. Test data have no part in it.

    Args:
        runs: of each arm, by seed.
        task: gives the classes of the validation and the test rows.
        metric: what decides.
    """
    finished = {arm: done for arm, own in runs.items() if (done := [run for run in own if run.result.test is not None])}
    means = {arm: float(np.mean([_val(run)[0] for run in own])) for arm, own in finished.items()}
    if not means:
        return None
    first = max(means, key=means.__getitem__)
    least = means[first] - _error(finished[first], means[first], task, metric)
    equal = [arm for arm, mean in means.items() if mean >= least]
    arm = min(equal, key=lambda arm: sum(_flops(run) for run in finished[arm]) / len(finished[arm]))
    run = max(finished[arm], key=_val)
    others = [best for other, own in finished.items() if other != arm and (best := max(own, key=_val))]
    second = max(others, key=_val, default=None)
    average = _average(finished[arm], task, metric)
    better = average is not None and average[0] > _val(run)[0]
    return Recommendation(
        arm=arm,
        seed=run.record.seed,
        choice=run.result.choice,
        learnt=bool(has_left(run.result, task.val.y)),
        val=_val(run)[0],
        test=_test(run),
        seconds=sum(training.seconds for training in run.result.trainings),
        saved=run.result.saved,
        average_val=average[0] if average and better else None,
        average_test=average[1] if average and better else None,
        runner_up=None
        if second is None
        else RunnerUp(
            arm=second.record.arm,
            seed=second.record.seed,
            choice=second.result.choice,
            val=_val(second)[0],
            test=_test(second),
            as_good=second.record.arm in equal,
        ),
    )


def _val(run: Run) -> tuple[float, float]:
    """Validation score and negative loss."""
    validated = run.result.label.val
    return (0.0, 0.0) if validated is None else validated.rank


def _test(run: Run) -> float:
    assert run.result.test is not None, "it ended well"
    return run.result.test.rank[0]


def _error(runs: Sequence[Run], mean: float, task: Task, metric: MetricName) -> float:
    """Standard error of a mean score from the validation rows, which are the same for all runs."""
    of_rows = accuracy_error(mean, len(task.val)) if metric == "accuracy" else 0.0
    if metric == "accuracy" and task.val.groups is None:
        return of_rows
    rows = np.array([contributions(metric, run.probabilities["val"], task.val.y) for run in runs])
    groups = clustered(rows, task.val.groups).mean(axis=0)
    return max(of_rows, float(groups.std(ddof=1) / math.sqrt(len(groups))) if len(groups) > 1 else 0.0)


def _flops(run: Run) -> int:
    return run.result.flops_pretrain + run.result.flops_label


def _average(runs: Sequence[Run], task: Task, metric: MetricName) -> tuple[float, float] | None:
    """Validation and test score of the mean of the runs' probabilities; None for one run."""
    if len({run.record.seed for run in runs}) < 2 or not all(run.probabilities for run in runs):
        return None
    splits: Sequence[tuple[SplitName, Split]] = (("val", task.val), ("test", task.test))
    val, test = (
        float(contributions(metric, np.mean([run.probabilities[name] for run in runs], axis=0), split.y).mean())
        for name, split in splits
    )
    return val, test
