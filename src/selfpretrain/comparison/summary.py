"""From the runs of a comparison to its answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.registry import arm_named
from selfpretrain.arms.tuning import Tuned
from selfpretrain.comparison.runs import Run
from selfpretrain.config import CompareConfig
from selfpretrain.results import ArmSummary, Look, RunResult, Summary, TaskSummary
from selfpretrain.stats import crossed_interval
from selfpretrain.verdict.caveats import LEARNT
from selfpretrain.verdict.claims import look_at
from selfpretrain.verdict.judge import judge
from selfpretrain.verdict.wording import sentences


def summarise(
    config: CompareConfig,
    task: TaskSummary,
    y: NDArray[np.int64],
    runs: Mapping[str, Sequence[Run]],
    tuned: Mapping[str, Tuned],
    looks: Mapping[str, tuple[Look, ...]],
    question: str,
) -> Summary:
    """The answer.

    Args:
        config: the request.
        y: classes of the test rows.
        runs: of each arm, by seed.
        tuned: what was picked for each arm that trains.
        looks: those that were taken in this folder before, by question.
        question: the one that is answered.
    """
    results = {arm: [run.result for run in of_arm] for arm, of_arm in runs.items()}
    hits = {
        arm: [None if run.result.failure is not None else run.predicted == y for run in of_arm]
        for arm, of_arm in runs.items()
    }
    arms = {arm: _arm_summary(of_arm, hits[arm], tuned.get(arm)) for arm, of_arm in results.items()}
    curves = {arm: [run.phase("label") for run in of_arm] for arm, of_arm in runs.items()}
    before = looks.get(question, ())
    look = look_at(config.seeds, before, config.looks or (config.seeds,))
    judged = judge(results, hits, curves, kind=task.kind, level=look.level, rows=task.rows)
    return Summary(
        task=task,
        arms=arms,
        comparisons=tuple(judged.entries),
        tested=judged.tested,
        warnings=tuple(judged.caveats),
        observations=tuple(judged.observations),
        looks={**looks, question: before if look in before else (*before, look)},
        level=look.level,
        verdict=sentences(judged, arms),
    )


def is_clear(answer: Summary) -> bool:
    """Whether more seeds would add nothing.

    So it is if every primary claim of the arms is made (without any, every claim), or if none of the seeds has
    learnt anything in self-pretraining.
    """
    declared = [
        (name, versus.against)
        for name in answer.arms
        for versus in arm_named(name).contrasts
        if versus.primary and versus.against in answer.arms
    ]
    found = {(each.arm, each.against): each for each in answer.comparisons}
    wanted = [found.get(pair) for pair in declared or found]
    claimed = [each is not None and each.outcome in ("helps", "loses") for each in wanted]
    in_vain = [each is not None and each.outcome == "not tested" and _in_vain(answer.arms[each.arm]) for each in wanted]
    return bool(wanted) and (all(claimed) or any(in_vain))


def _in_vain(arm: ArmSummary) -> bool:
    """Whether no seed's self-pretraining is better than a table of frequencies."""
    pairs = zip(arm.val_reconstruction, arm.val_without_context, strict=True)
    learnt = [loss < (1 - LEARNT) * without for loss, without in pairs if loss is not None and without is not None]
    return bool(learnt) and not any(learnt)


def _arm_summary(
    results: Sequence[RunResult], hits: Sequence[NDArray[np.bool_] | None], tuned: Tuned | None
) -> ArmSummary:
    good = [result for result in results if result.failure is None]
    right = [hit for hit in hits if hit is not None]

    def mean(name: str) -> int:
        return round(float(np.mean([getattr(result, name) for result in good]))) if good else 0

    def accuracies(split: str) -> tuple[float | None, ...]:
        found: list[Any] = [getattr(result, split) for result in results]
        return tuple(None if metrics is None else metrics.acc for metrics in found)

    return ArmSummary(
        train_acc=accuracies("train"),
        val_acc=accuracies("val"),
        test_acc=accuracies("test"),
        test_ci95=crossed_interval(np.stack(right)).clipped(0, 1).bounds if right else (None, None),
        train_sample_acc=tuple(result.train_sample_acc for result in results),
        best_train_acc=tuple(result.best_train_acc for result in results),
        steps_to_fit=tuple(result.steps_to_fit for result in results),
        val_reconstruction=tuple(result.val_reconstruction for result in results),
        val_without_context=tuple(result.val_without_context for result in results),
        val_lowest=tuple(result.val_lowest for result in results),
        choice=next((result.choice for result in results if result.choice), None),
        peak_memory_bytes=tuple(result.peak_memory_bytes for result in results),
        lr=tuned.lr if tuned and good else None,
        lr_tried={f"{lr:g}": score for lr, score in tuned.tried.items()} if tuned else {},
        steps_pretrain=mean("steps_pretrain"),
        steps_label=mean("steps_label"),
        flops_pretrain=mean("flops_pretrain"),
        flops_label=mean("flops_label"),
        seconds=tuple(
            None if r.failure is not None else round(r.seconds_pretrain + r.seconds_label, 3) for r in results
        ),
        failures={str(r.seed): r.failure for r in results if r.failure is not None},
    )
