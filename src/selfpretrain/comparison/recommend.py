"""Which model to use: of all arms, the cheapest of those that are best on validation."""

from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.comparison.plateau import has_left
from selfpretrain.comparison.run import Run
from selfpretrain.comparison.summary import Recommendation
from selfpretrain.data.task import Task
from selfpretrain.stats import accuracy_error


def recommend(runs: Mapping[str, Sequence[Run]], task: Task) -> Recommendation | None:
    """The model to use; None where no run ended well.

    Arms whose mean validation accuracy is within one standard error of the best count as equal (the rule of Breiman et
    al. 1984); of them the one that spent the fewest FLOPs is taken, so a classical model first. Of its seeds the best
    on validation is taken: accuracy first, loss second. Test data have no part in it.

    Args:
        runs: of each arm, by seed.
        task: gives the classes of the validation and the test rows.
    """
    finished = {arm: done for arm, own in runs.items() if (done := [run for run in own if run.result.test is not None])}
    means = {arm: float(np.mean([_val(run)[0] for run in own])) for arm, own in finished.items()}
    if not means:
        return None
    best = max(means.values())
    equal = [arm for arm, mean in means.items() if mean >= best - accuracy_error(best, len(task.val))]
    arm = min(equal, key=lambda arm: sum(_flops(run) for run in finished[arm]) / len(finished[arm]))
    run = max(finished[arm], key=_val)
    assert run.result.test is not None, "it ended well"
    average = _average(finished[arm], task)
    better = average is not None and average[0] > _val(run)[0]
    return Recommendation(
        arm=arm,
        seed=run.record.seed,
        choice=run.result.choice,
        learnt=bool(has_left(run.result, task.val.y)),
        val_acc=_val(run)[0],
        test_acc=run.result.test.acc,
        seconds=sum(training.seconds for training in run.result.trainings),
        saved=run.result.saved,
        average_val_acc=average[0] if average and better else None,
        average_test_acc=average[1] if average and better else None,
    )


def _val(run: Run) -> tuple[float, float]:
    """Validation accuracy and negative loss."""
    score = run.result.label.val
    return (0.0, 0.0) if score is None else (score.acc, -score.loss)


def _flops(run: Run) -> int:
    return run.result.flops_pretrain + run.result.flops_label


def _average(runs: Sequence[Run], task: Task) -> tuple[float, float] | None:
    """Validation and test accuracy of the mean of the runs' probabilities; None for one run."""
    if len({run.record.seed for run in runs}) < 2 or not all(run.probabilities for run in runs):
        return None
    val, test = (
        np.mean([run.probabilities[split] for run in runs], axis=0).argmax(axis=1) for split in ("val", "test")
    )
    return float(np.mean(val == task.val.y)), float(np.mean(test == task.test.y))
