"""From the runs of a comparison to its answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.registry import known_arms
from selfpretrain.arms.tuning import Tuned
from selfpretrain.comparison.runs import Run
from selfpretrain.config import CompareConfig
from selfpretrain.results import ArmSummary, Cause, ContrastSummary, RunResult, Summary, TaskSummary
from selfpretrain.verdict.cause import cause_of
from selfpretrain.verdict.contrast import Contrast, contrast_runs, correct_for_number
from selfpretrain.verdict.wording import sentences

Runs = Mapping[tuple[str, int], Run]


def summarise(
    config: CompareConfig, task: TaskSummary, y: NDArray[np.int64], runs: Runs, tuned: Mapping[str, Tuned]
) -> Summary:
    """The answer.

    Args:
        y: classes of the test rows.
        runs: every run of the request.
        tuned: what was picked for each arm that trains.
    """
    results = {arm: [runs[arm, seed].result for seed in range(config.seeds)] for arm in config.arms}
    # In the order of interest, whatever the order of the request: the first contrasts carry the verdict.
    asked = [arm for name, arm in known_arms().items() if name in config.arms]
    found = [_contrast(arm.name, *versus, results, runs, y) for arm in asked for versus in arm.contrasts]
    contrasts = correct_for_number([contrast for contrast in found if contrast is not None])
    causes = [cause_of(contrast, with_more_compute(contrast, contrasts)) for contrast in contrasts]
    arms = {arm: _arm_summary(results[arm], tuned.get(arm)) for arm in config.arms}
    return Summary(
        task=task,
        arms=arms,
        comparisons=tuple(_entry(contrast, why) for contrast, why in zip(contrasts, causes, strict=True)),
        verdict=sentences(contrasts, causes, arms),
    )


def _contrast(
    arm: str, against: str, matched: str, results: Mapping[str, list[RunResult]], runs: Runs, y: NDArray[np.int64]
) -> Contrast | None:
    """Two arms over the seeds in which neither failed; None where there is none, or one arm was not asked for."""
    if against not in results:
        return None
    seeds = [
        seed
        for seed, pair in enumerate(zip(results[arm], results[against], strict=True))
        if all(result.failure is None for result in pair)
    ]
    if not seeds:
        return None
    a, b = ([results[name][seed] for seed in seeds] for name in (arm, against))
    correct_a, correct_b = (np.stack([runs[name, s].predicted == y for s in seeds]) for name in (arm, against))
    return contrast_runs(arm, against, matched, a, b, correct_a, correct_b)


def with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The contrast in which scratch has this arm's total compute, where the other arm is scratch in some form."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def _arm_summary(results: Sequence[RunResult], tuned: Tuned | None) -> ArmSummary:
    good = [result for result in results if result.failure is None]

    def mean(name: str) -> int:
        return round(float(np.mean([getattr(result, name) for result in good]))) if good else 0

    def accuracies(split: str) -> tuple[float | None, ...]:
        found: list[Any] = [getattr(result, split) for result in results]
        return tuple(None if metrics is None else metrics.acc for metrics in found)

    return ArmSummary(
        train_acc=accuracies("train"),
        val_acc=accuracies("val"),
        test_acc=accuracies("test"),
        best_train_acc=tuple(result.best_train_acc for result in results),
        steps_to_fit=tuple(result.steps_to_fit for result in results),
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


def _entry(contrast: Contrast, why: Cause) -> ContrastSummary:
    return ContrastSummary(
        arm=contrast.arm,
        against=contrast.against,
        matched=contrast.matched,
        effect=contrast.test.mean,
        ci95=contrast.test.bounds,
        p=contrast.test.p,
        p_holm=contrast.p_holm,
        n_seeds=contrast.test.n,
        ci95_examples=contrast.examples.bounds,
        train_effect=contrast.train.mean,
        train_ci95=contrast.train.bounds,
        compute_ratio=contrast.compute_ratio,
        outcome=contrast.outcome,
        cause=why,
    )
