"""From the runs of every arm to the answer: what may be claimed, why, and what to know before it is believed.

The cause follows a decision table. "Trains better" compares the best clean training accuracy that each run reached,
in evaluation mode, not that of the selected checkpoint: early stopping may have selected one from before the training
set was fitted.

| outcome       | what the runs show                                                        | cause          |
|---------------|---------------------------------------------------------------------------|----------------|
| helps         | the arm trains better, and that carries at least half of the gain:         |                |
|               | - and the other stays behind when it gets the same total compute           | optimization   |
|               | - but the other catches up when it gets the same total compute             | speed          |
|               | - and nobody gave the other more compute                                   | undetermined   |
| loses         | the arm trains worse (nobody gave it more compute)                         | undetermined   |
| helps, loses  | both train equally well (interval within +-margin, +-half of the gain)     | generalization |
| helps, loses  | anything else                                                              | undetermined   |
| no effect     | equal test and training accuracy at equal label steps, and one fits the    | speed          |
|               | training set in fewer of them                                              |                |
| no effect     | anything else                                                              | none           |
| not tested    | anything                                                                   | none           |
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from selfpretrain.arms.builtin import contrasts_of
from selfpretrain.comparison.caveats import LEARNT, caveats, learnt_nothing, observations, seeds_needed
from selfpretrain.comparison.claims import Contrast, claim, contrast_of, hits, look_at
from selfpretrain.comparison.run import Performed, Run, Tuned
from selfpretrain.comparison.summary import ArmSummary, Cause, ContrastSummary, Look, Summary
from selfpretrain.comparison.words import sentences
from selfpretrain.config import MIN_SEEDS
from selfpretrain.files import fingerprint
from selfpretrain.registry import ARMS
from selfpretrain.stats import crossed_interval

if TYPE_CHECKING:
    from selfpretrain.comparison.request import Request

MARGIN = 0.02
"""Accuracies that differ by less count as equal (ours)."""


def judge(request: "Request", performed: Performed, looks: Mapping[str, tuple[Look, ...]]) -> Summary:
    """The answer.

    Args:
        request: at one of its looks.
        performed: its runs, and the learning rates that were picked.
        looks: those that were taken in this folder before, by question.
    """
    config, task, question = request.config, request.task, request.question
    before = looks.get(question, ())
    look = look_at(config.seeds, before, config.looks or (config.seeds,))
    taken = before if look in before else (*before, look)
    runs = {arm: _for_every_seed(performed.runs[arm], config.seeds) for arm in config.arms}
    arms = {arm: _arm_summary(of_arm, task.test.y, performed.tuned.get(arm)) for arm, of_arm in runs.items()}
    contrasts = _contrasts(request, runs, look.level)
    entries = [_entry(contrast, contrasts, look.level) for contrast in contrasts]
    known, beside = caveats(task, runs, contrasts, look.level), observations(contrasts)
    cause: Cause = entries[0].cause if entries else "none"
    number = taken.index(look) + 1
    return Summary(
        request=fingerprint(config),
        task=task.describe(),
        arms=arms,
        comparisons=tuple(entries),
        tested=bool(contrasts) and contrasts[0].outcome != "not tested",
        warnings=tuple(known),
        observations=tuple(beside),
        looks={**looks, question: taken},
        level=look.level,
        verdict=sentences(contrasts, cause, known, beside, arms, level=look.level, look=number),
    )


def is_clear(answer: Summary) -> bool:
    """Whether more seeds would add nothing.

    So it is if every primary claim of the arms is made (without any, every claim), or if none of the seeds has
    learnt anything in self-pretraining.
    """
    declared = [
        (name, versus.against)
        for name in answer.arms
        for versus in ARMS[name].contrasts
        if versus.primary and versus.against in answer.arms
    ]
    made = {(entry.arm, entry.against): entry for entry in answer.comparisons}
    wanted = [made.get(pair) for pair in declared or made]
    claimed = [entry is not None and entry.outcome in ("helps", "loses") for entry in wanted]
    in_vain = [
        entry is not None and entry.outcome == "not tested" and _in_vain(answer.arms[entry.arm]) for entry in wanted
    ]
    return bool(wanted) and (all(claimed) or any(in_vain))


def _in_vain(arm: ArmSummary) -> bool:
    """Whether no seed's self-pretraining is better than a table of frequencies."""
    pairs = zip(arm.val_reconstruction, arm.val_without_context, strict=True)
    learnt = [loss < (1 - LEARNT) * without for loss, without in pairs if loss is not None and without is not None]
    return bool(learnt) and not any(learnt)


def _for_every_seed(runs: Sequence[Run], n_seeds: int) -> list[Run]:
    """A run for each seed; the one run of a classical model stands for every seed."""
    return [runs[min(seed, len(runs) - 1)] for seed in range(n_seeds)]


def _contrasts(request: "Request", runs: Mapping[str, Sequence[Run]], level: float) -> list[Contrast]:
    """Every pair of arms that one of them declares, whatever the order of the request."""
    declared = [(name, versus) for name in ARMS for versus in contrasts_of(name)]
    y, rows = request.task.test.y, request.task.describe().rows
    made = [
        contrast
        for arm, versus in declared
        if arm in runs and versus.against in runs
        if (contrast := contrast_of(arm, versus, runs, y, rows)) is not None
    ]
    return [_tested(contrast, runs) for contrast in claim(made, level)]


def _tested(contrast: Contrast, runs: Mapping[str, Sequence[Run]]) -> Contrast:
    """An arm whose self-pretraining has learnt nothing tests nothing, unless it is ahead all the same."""
    if contrast.outcome != "helps" and learnt_nothing(runs[contrast.arm]):
        return replace(contrast, outcome="not tested")
    return contrast


def cause_of(contrast: Contrast, with_more_compute: Contrast | None) -> Cause:
    """The decision table at the top of this file.

    Args:
        with_more_compute: the same arm against the same other, which got the arm's total compute; ``contrast``
            itself where that is what it compares; None where nobody ran it.
    """
    if contrast.test.n < MIN_SEEDS:
        return "undetermined"
    if contrast.outcome == "not tested":
        return "none"
    if contrast.outcome == "no detectable effect":
        equal = contrast.test.within(MARGIN) and contrast.train.within(MARGIN)
        steps = contrast.fit_lead if contrast.matched.startswith("label") else None
        faster = steps is not None and (steps.below(0) or steps.above(0))
        return "speed" if equal and faster else "none"
    if contrast.outcome == "helps" and contrast.train.above(0) and contrast.train.mean >= contrast.test.mean / 2:
        if with_more_compute is None:
            return "undetermined"
        return "optimization" if with_more_compute.outcome == "helps" else "speed"
    equal = contrast.train.within(min(MARGIN, abs(contrast.test.mean) / 2))
    return "generalization" if equal else "undetermined"


def with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The contrast in which scratch has this arm's total compute, where the other arm is scratch in some form."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def _entry(contrast: Contrast, contrasts: Sequence[Contrast], level: float) -> ContrastSummary:
    return ContrastSummary(
        arm=contrast.arm,
        against=contrast.against,
        matched=contrast.matched,
        primary=contrast.primary,
        effect=contrast.test.mean,
        ci95=contrast.test.bounds,
        p=contrast.test.p,
        p_adjusted=contrast.p_adjusted,
        n_seeds=contrast.test.n,
        n_test=contrast.n_test,
        seeds_ahead=sum(lead > 0 for lead in contrast.leads),
        seeds_needed=seeds_needed(contrast, level),
        train_effect=contrast.train.mean,
        train_ci95=contrast.train.bounds,
        compute_ratio=contrast.compute_ratio,
        outcome=contrast.outcome,
        cause=cause_of(contrast, with_more_compute(contrast, contrasts)),
    )


def _arm_summary(runs: Sequence[Run], y: Any, tuned: Tuned | None) -> ArmSummary:
    results = [run.result for run in runs]
    good = [result for result in results if result.failure is None]
    right = [hit for run in runs if (hit := hits(run, y)) is not None]

    def mean(values: Sequence[int]) -> int:
        return round(float(np.mean(values))) if values else 0

    def of_label(name: str) -> tuple[Any, ...]:
        return tuple(getattr(result.label, name) for result in results)

    def of_pretraining(name: str) -> tuple[Any, ...]:
        return tuple(None if result.pretrain is None else getattr(result.pretrain, name) for result in results)

    def peak(result: Any) -> int | None:
        return max((m for t in result.trainings if (m := t.peak_memory_bytes) is not None), default=None)

    return ArmSummary(
        train_acc=tuple(None if metrics is None else metrics.acc for metrics in of_label("train")),
        val_acc=tuple(None if metrics is None else metrics.acc for metrics in of_label("val")),
        test_acc=tuple(None if result.test is None else result.test.acc for result in results),
        test_ci95=crossed_interval(np.stack(right)).clipped(0, 1).bounds if right else (None, None),
        train_sample_acc=of_label("train_sample_acc"),
        best_train_acc=of_label("best_train_sample_acc"),
        steps_to_fit=of_label("steps_to_fit"),
        val_reconstruction=of_pretraining("val_reconstruction"),
        val_without_context=of_pretraining("val_without_context"),
        val_lowest=of_pretraining("val_lowest"),
        choice=next((result.choice for result in results if result.choice), None),
        peak_memory_bytes=tuple(map(peak, results)),
        lr=tuned.lr if tuned and good else None,
        lr_tried={f"{lr:g}": score for lr, score in tuned.tried.items()} if tuned else {},
        steps_pretrain=mean([0 if result.pretrain is None else result.pretrain.steps for result in good]),
        steps_label=mean([result.label.steps for result in good]),
        flops_pretrain=mean([result.flops_pretrain for result in good]),
        flops_label=mean([result.flops_label for result in good]),
        seconds=tuple(
            None if r.failure is not None else round(sum(t.seconds for t in r.trainings), 3) for r in results
        ),
        failures={str(r.seed): r.failure for r in results if r.failure is not None},
    )
