"""``selfpretrain fit``: one arm, trained on all labelled rows but a validation part, for a model to be used."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from selfpretrain.comparison.compare import compare
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.summary import Recommendation
from selfpretrain.config import CompareConfig, TaskConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError, SettingError
from selfpretrain.registry import ARMS


class Fitted(NamedTuple):
    """The folder of a model, how it was picked on validation, and on how many rows."""

    folder: Path
    use: Recommendation
    n_val: int

    @property
    def doubts(self) -> list[str]:
        """What to know before the model is used."""
        if self.use.learnt:
            return []
        rows = f"on {self.n_val} validation rows it is not reliably better than the commonest class"
        return [f"warning: {rows}; train longer, try other rates (--lr) or another arm (--arm)"]


class FromComparison(NamedTuple):
    """What a finished comparison says about training once more: its data, its best arm, and settings with its rates."""

    task: TaskConfig | None
    arm: str
    config: CompareConfig

    @classmethod
    def read(cls, path: Path, arm: str | None = None) -> "FromComparison":
        """Read a comparison.

        Args:
            arm: None takes the one that the comparison recommends.

        Raises:
            RequestError: there is no finished comparison, or it lacks the arm.
        """
        folder = ComparisonFolder(path)
        if not folder.is_comparison or not folder.is_finished:
            raise SettingError("from_", path, "is no finished comparison; name the folder of one")
        record, summary = folder.record, folder.summary
        if arm is None:
            arm = "spt" if summary.recommended is None else summary.recommended.arm
        if arm not in summary.arms:
            raise SettingError("arm", arm, f"is not in the comparison {path}, which has {', '.join(summary.arms)}")
        train, entry = record.request.train, summary.arms[arm]
        if rates := {lr for picked in (entry.lr, entry.lr_pretrain) if (lr := _commonest(picked)) is not None}:
            train = replace(train, lr=tuple(sorted(rates)))
        return cls(record.source, arm, replace(record.request, seeds=1, looks=(), train=train))


def _commonest(picked: Sequence[float | None]) -> float | None:
    """The rate that most seeds picked; of equals the lowest."""
    counts = Counter(lr for lr in picked if lr is not None)
    return min(counts, key=lambda lr: (-counts[lr], lr), default=None)


def fit(task: TaskConfig | str | Path, config: CompareConfig, *, arm: str, out: Path, **how: Any) -> Fitted:
    """Train an arm on all labelled rows but a validation part, which picks the rate, the checkpoint and the seed.

    It is a comparison with one arm on a task that has no test rows. The same call goes on where one was interrupted.

    Args:
        task: as ``load_task`` takes it.
        config: settings; its ``seeds`` are tried, and the best on validation is taken.
        arm: what to train, such as spt or classical.
        out: the folder; ``load_model`` and ``predict`` take it.
        **how: budget, keep, workers, engine and watch of ``compare``.

    Raises:
        RequestError: settings or data that cannot be used, a folder of another arm, or no training that ended well.
    """
    if arm not in ARMS:
        raise SettingError("arm", arm, f"is unknown; the arms are {', '.join(ARMS)}")
    source = replace(task if isinstance(task, TaskConfig) else TaskConfig(data=str(task)), train_on_test=True)
    before = ComparisonFolder(out)
    if before.is_comparison and before.record.request.arms != (arm,):
        raise SettingError("out", out, f"holds {', '.join(before.record.request.arms)}; name another folder for {arm}")
    data = load_task(source, workers=how.get("workers", 1))
    comparison = compare(data, replace(config, arms=(arm,)), out=out, **how)
    use = comparison.answer.recommended
    if use is None:
        failures = comparison.answer.arms[arm].failures
        raise RequestError(f"{arm}: every training failed ({next(iter(failures.values()), 'no reason is known')})")
    if not use.saved:
        raise SettingError("arm", arm, "cannot be saved; take another")
    return Fitted(comparison.folder, use, len(data.val))
