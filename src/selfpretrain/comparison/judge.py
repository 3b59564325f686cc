"""From the runs of every arm to the answer: what may be claimed, why, and what to know before it is believed.

The cause follows a decision table. "Trains better" compares the best clean training accuracy that each run reached,
in evaluation mode, not that of the selected checkpoint: early stopping may have selected one from before the training
set was fitted.

| outcome      | what the runs show                                                         | cause          |
|--------------|----------------------------------------------------------------------------|----------------|
| helps        | the arm trains better, and that carries at least half of the gain:          |                |
|              | - and it is ahead of the other with the same total compute, too             | optimization   |
|              | - but the other is equal to it then                                         | speed          |
|              | - but the other is ahead of it then                                         | compute        |
|              | - and nobody gave the other more compute, or it is open what that does      | undetermined   |
| loses        | the arm trains worse (nobody gave it more compute)                          | undetermined   |
| helps, loses | both train equally well (interval within +-margin, +-half of the gain)      | generalization |
| helps, loses | anything else                                                               | undetermined   |
| equal        | equal training accuracy, too, at equal label steps, and one fits the        | speed          |
|              | training set in fewer of them                                               |                |
| anything     | anything else                                                               | none           |
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.builtin import contrasts_of
from selfpretrain.comparison.caveats import (
    caveats,
    hurry,
    learnt_nothing,
    observations,
    patches,
    too_short,
    untuned,
)
from selfpretrain.comparison.claims import ALPHA, MARGIN, Contrast, claim, contrast_of, look_at, scores
from selfpretrain.comparison.plateau import has_left
from selfpretrain.comparison.recommend import recommend
from selfpretrain.comparison.run import Performed, Run
from selfpretrain.comparison.search import Picked
from selfpretrain.comparison.summary import (
    ArmSummary,
    Cause,
    ContrastSummary,
    Look,
    Outcome,
    Shortened,
    Summary,
    Verdict,
)
from selfpretrain.comparison.words import verdict_of
from selfpretrain.config import MIN_SEEDS, MetricName
from selfpretrain.data.task import Task
from selfpretrain.files import fingerprint
from selfpretrain.metrics import UNITS, all_scores
from selfpretrain.registry import ARMS
from selfpretrain.stats import crossed_interval

if TYPE_CHECKING:
    from selfpretrain.comparison.request import Request

MAX_CONFUSION = 30
"""A table of more classes is not read (ours)."""


def judge(
    request: "Request",
    performed: Performed,
    taken: Mapping[str, tuple[Look, ...]],
    shortened: Shortened | None = None,
) -> Summary:
    """The answer.

    Args:
        request: at one of its looks.
        performed: its runs, and how their learning rates were picked.
        taken: the looks that were taken in this folder before, by question.
        shortened: what a budget cut of the preset's steps and rates.
    """
    config, task, question = request.config, request.task, request.question
    looks = taken.get(question, ())
    look = look_at(config.seeds, looks, config.seeds_at_looks)
    if look not in looks:
        looks = (*looks, look)
    # The one run of a classical model stands for every seed.
    runs = {arm: [own[min(seed, len(own) - 1)] for seed in range(config.seeds)] for arm, own in performed.runs.items()}
    arms = {arm: arm_summary(own, task, performed.picked.get(arm, ()), config.metric) for arm, own in runs.items()}
    declared = [(arm, versus) for arm in ARMS for versus in contrasts_of(arm) if {arm, versus.against} <= runs.keys()]
    made = [contrast_of(arm, versus, runs, task.test, config.metric) for arm, versus in declared]
    hurried = shortened is not None and too_short(runs, shortened)
    contrasts = [decided(c, arms, hurried) for c in claim([c for c in made if c is not None], look.level)]
    next_level = ALPHA / 2 ** len(looks)
    known = caveats(task, runs, arms, contrasts, next_level=next_level, grid=config.train.lr, metric=config.metric)
    if hurried and shortened is not None:
        known = [hurry(shortened), *(caveat for caveat in known if caveat.code != "still-improving")]
    if shortened is not None and shortened.rates:
        known.insert(int(hurried), untuned(shortened, len(config.train.lr)))
    if shortened is not None and shortened.patch > 1:
        known.append(patches(shortened))
    answer = Summary(
        request=fingerprint(config),
        task=task.describe(),
        metric=config.metric,
        arms=arms,
        comparisons=tuple(entry(contrast, contrasts, next_level) for contrast in contrasts),
        tested=bool(contrasts) and contrasts[0].outcome not in ("not tested", "too short"),
        warnings=tuple(known),
        observations=tuple(observations(contrasts)),
        looks={**taken, question: looks},
        level=look.level,
        recommended=recommend(performed.runs, task, config.metric),
        verdict=Verdict(answer=""),
    )
    return replace(answer, verdict=verdict_of(answer, looks.index(look) + 1))


def decided(contrast: Contrast, arms: Mapping[str, ArmSummary], hurried: bool) -> Contrast:
    """What may be claimed of a contrast, given how its arms have learnt.

    A lead that shows is a lead, and a classical model that is ahead is ahead. Anything else says nothing where
    self-pretraining has learnt nothing or the runs were too short. Arms are equal only if every seed of both left the
    plateau: else nobody knows how often they would.
    """
    if contrast.outcome == "helps" or contrast.test.n < MIN_SEEDS:
        return contrast
    if contrast.outcome == "loses" and ARMS[contrast.against].fit is not None:
        return contrast
    if learnt_nothing(arms[contrast.arm]):
        return replace(contrast, outcome="not tested")
    if hurried:
        return replace(contrast, outcome="too short")
    if contrast.outcome == "equal":
        learnt = (has for arm in (contrast.arm, contrast.against) for has in arms[arm].learnt if has is not None)
        return contrast if all(learnt) else replace(contrast, outcome="no detectable effect")
    return contrast


def is_clear(answer: Summary) -> bool:
    """Whether more seeds would add nothing.

    So it is if every primary claim of the arms is made (without any, every claim), or if none of the seeds has
    learnt anything in self-pretraining.
    """
    primary = [
        (arm, versus.against)
        for arm in answer.arms
        for versus in ARMS[arm].contrasts
        if versus.primary and versus.against in answer.arms
    ]
    # A primary contrast is missing where no pair of its runs has ended well.
    wanted = [c for c in answer.comparisons if not primary or (c.arm, c.against) in primary]
    claimed = all(c.outcome in ("helps", "loses") for c in wanted) and len(wanted) >= len(primary)
    idle = [answer.arms[c.arm].pretrained for c in wanted if c.outcome == "not tested"]
    return bool(wanted) and (claimed or any(seeds and not learnt for learnt, seeds in idle))


def cause_of(contrast: Contrast, with_more_compute: Contrast | None) -> Cause:
    """The decision table at the top of this file.

    Args:
        with_more_compute: the same arm against the same other, which got the arm's total compute; ``contrast``
            itself where that is what it compares; None where nobody ran it.
    """
    if contrast.test.n < MIN_SEEDS:
        return "undetermined"
    if contrast.outcome == "equal":
        return "speed" if contrast.train.within(MARGIN) and contrast.speeds_differ else "none"
    if contrast.outcome not in ("helps", "loses"):
        return "none"
    lead = contrast.test.mean if contrast.acc_lead is None else contrast.acc_lead
    if contrast.outcome == "helps" and contrast.train.above(0) and contrast.train.mean >= lead / 2:
        outcome = None if with_more_compute is None else with_more_compute.outcome
        causes: dict[Outcome | None, Cause] = {"helps": "optimization", "equal": "speed", "loses": "compute"}
        return causes.get(outcome, "undetermined")
    equal = contrast.train.within(min(MARGIN, abs(lead) / 2))
    return "generalization" if equal else "undetermined"


def with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The contrast in which scratch has this arm's total compute, where the other arm is scratch in some form."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def entry(contrast: Contrast, contrasts: Sequence[Contrast], level: float) -> ContrastSummary:
    """A contrast in numbers, with its cause in the light of the others."""
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
        seeds_needed=contrast.seeds_needed(level),
        train_effect=contrast.train.mean,
        train_ci95=contrast.train.bounds,
        compute_ratio=contrast.compute_ratio,
        outcome=contrast.outcome,
        cause=cause_of(contrast, with_more_compute(contrast, contrasts)),
        df=contrast.test.df,
    )


def arm_summary(
    runs: Sequence[Run], task: Task, picked: Sequence[Picked], metric: MetricName = "accuracy"
) -> ArmSummary:
    """What the runs of an arm say together, by seed where that is of interest.

    Args:
        task: gives the classes of the validation and the test rows.
        picked: how the rates of each run were picked; empty for a classical model.
    """
    results = [run.result for run in runs]
    finished = [result for result in results if result.failure is None]
    by_row = scores(runs, task.test, metric)
    measured = [all_scores(run.probabilities["test"], task.test.y) if run.probabilities else {} for run in runs]

    def by_seed(path: str) -> tuple[Any, ...]:
        return tuple(_at(result, path) for result in results)

    def mean(path: str) -> int:
        return round(float(np.mean([_at(result, path) or 0 for result in finished]))) if finished else 0

    return ArmSummary(
        train_acc=by_seed("label.train.acc"),
        val_acc=by_seed("label.val.acc"),
        test_acc=by_seed("test.acc"),
        test_ci95=_bounds(by_row, metric),
        scores={name: tuple(own.get(name) for own in measured) for name in next(filter(None, measured), {})},
        confusion=_confusion(runs, task),
        train_sample_acc=by_seed("label.train_sample_acc"),
        best_train_acc=by_seed("label.best_train_sample_acc"),
        learnt=tuple(has_left(result, task.val.y) for result in results),
        steps_to_fit=by_seed("label.steps_to_fit"),
        val_reconstruction=by_seed("pretrain.val_reconstruction"),
        val_without_context=by_seed("pretrain.val_without_context"),
        val_lowest=by_seed("pretrain.val_lowest"),
        choice=next((result.choice for result in results if result.choice), None),
        peak_memory_bytes=tuple(
            max((memory for t in result.trainings if (memory := t.peak_memory_bytes) is not None), default=None)
            for result in results
        ),
        lr=by_seed("lr"),
        lr_pretrain=by_seed("lr_pretrain"),
        lr_tried=_tried([{lr: _at(score, "acc") for lr, score in search.label.items()} for search in picked]),
        lr_pretrain_tried=_tried([search.pretrain for search in picked]),
        steps_pretrain=mean("pretrain.steps"),
        steps_label=mean("label.steps"),
        flops_pretrain=mean("flops_pretrain"),
        flops_label=mean("flops_label"),
        seconds=tuple(
            None if result.failure is not None else round(sum(t.seconds for t in result.trainings), 3)
            for result in results
        ),
        failures={str(result.seed): result.failure for result in results if result.failure is not None},
    )


def _bounds(by_row: NDArray[np.float64], metric: MetricName) -> tuple[float | None, float | None]:
    """The interval of an arm's metric, as it is usually given."""
    if not len(by_row):
        return None, None
    low, high = crossed_interval(by_row).bounds
    return (None, None) if low is None or high is None else UNITS[metric].bounds(low, high)


def _confusion(runs: Sequence[Run], task: Task) -> tuple[tuple[int, ...], ...]:
    """Test rows of every class (row) that are taken for every class (column), added up over the runs."""
    predicted = [run.predicted for run in runs if run.predicted is not None]
    if not predicted or len(task.classes) > MAX_CONFUSION:
        return ()
    n = len(task.classes)
    matrix = sum(np.bincount(task.test.y * n + classes, minlength=n * n) for classes in predicted)
    return tuple(map(tuple, np.reshape(matrix, (n, n)).tolist()))


def _tried(searches: Sequence[Mapping[float, float | None]]) -> dict[str, tuple[float | None, ...]]:
    """What each rate came to, by seed."""
    return {f"{lr:g}": tuple(search[lr] for search in searches) for lr in (searches[0] if searches else ())}


def _at(record: Any, path: str) -> Any:
    """What stands at a dotted path of attributes; None where something on the way is None."""
    for name in path.split("."):
        record = None if record is None else getattr(record, name)
    return record
