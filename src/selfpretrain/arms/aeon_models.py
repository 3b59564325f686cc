"""Classifiers of time series from the package aeon, an extra: what no network should lose to on values."""

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from selfpretrain.results import RunResult
    from selfpretrain.tasks.task import Split, Task


def obstacle(task: "Task") -> str | None:
    """Why these classifiers cannot be fitted here; None if they can."""
    if task.kind != "values":
        return f"reads values, and these sequences are {task.kind}; leave it out"
    if task.inputs.per_row > 1:
        return "reads one series a row, and these rows are pairs; leave it out"
    if find_spec("aeon") is None:
        return "needs the package aeon: pip install 'selfpretrain[aeon]', or leave it out"
    return None


def fitted(name: str, model: Any, task: "Task") -> "tuple[RunResult, NDArray[Any]]":
    """Fit a classifier of aeon to the training sequences; shorter ones are padded with the channels' means.

    Returns:
        Its numbers, which hold for every seed; and the probabilities of the test rows (N, classes).
    """
    from selfpretrain.evaluate import probability_metrics
    from selfpretrain.results import RunResult

    begun = time.monotonic()
    model.fit(_series(task.train), task.train.y)
    splits = (task.train, task.val, task.test)
    probabilities = [model.predict_proba(_series(split)) for split in splits]
    train, val, test = (probability_metrics(p, split.y) for p, split in zip(probabilities, splits, strict=True))
    result = RunResult(
        arm=name,
        seed=0,
        choice=f"{type(model).__name__} of aeon",
        train=train,
        val=val,
        test=test,
        train_sample_acc=train.acc,
        best_train_acc=train.acc,
        seconds_label=time.monotonic() - begun,
    )
    return result, probabilities[-1]


def _series(split: "Split") -> "NDArray[Any]":
    """(N, C, T), as aeon reads them; values are standardised, so that a mean is 0."""
    import numpy as np

    here = np.arange(split.x.shape[1]) < split.lengths[:, None]
    return np.ascontiguousarray(np.where(here[..., None], split.x, 0).transpose(0, 2, 1), dtype=np.float64)
