"""What should be known before an answer is believed: whether anything was tested, and what could have been missed.

| code                       | when                                                                                  |
|----------------------------|---------------------------------------------------------------------------------------|
| pretraining-learnt-nothing | the reconstruction loss is not reliably 2% below the best loss without context        |
| commonest-class            | every arm answers the commonest class nearly always, and is no better than that       |
| still-improving            | accuracy rose by a point between the last two thirds of label training, over seeds    |
| nothing-to-gain            | the other arm fits its training labels and scores 98% or more                         |
| could-not-see              | no effect is claimed, and one of a point or more could have been missed               |
| classical-model-better     | a classical model is reliably ahead of the best network                               |
| mixed-versions             | the trainings were made by different versions of selfpretrain or torch                |
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.comparison.claims import Contrast, hits
from selfpretrain.comparison.run import Run
from selfpretrain.comparison.summary import ArmSummary, Caveat, WarningCode
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.task import Task
from selfpretrain.registry import ARMS
from selfpretrain.stats import crossed_interval, t_interval
from selfpretrain.train.training import Row

NOTHING: WarningCode = "pretraining-learnt-nothing"
LEARNT = 0.02
"""Share of the loss without context by which self-pretraining must be below it, to count as having learnt (ours)."""
CEILING = 0.98
"""Accuracy from which there is next to nothing to gain (ours)."""
NEARLY_ALWAYS = 0.98
"""A model that gives this share of its answers to one class gives nearly all (ours)."""
POINT = 0.01
"""Differences in accuracy below a point are not spoken of (ours)."""


def learnt_nothing(entry: ArmSummary) -> bool:
    """Whether an arm self-pretrained, and is not reliably better at it than a table of frequencies."""
    if not entry.reconstruction_gains:
        return False
    share = t_interval(entry.reconstruction_gains)
    return not share.above(LEARNT) if share.n > 1 else share.mean <= LEARNT


def caveats(
    task: Task,
    runs: Mapping[str, Sequence[Run]],
    arms: Mapping[str, ArmSummary],
    contrasts: Sequence[Contrast],
    level: float,
) -> list[Caveat]:
    """Everything to know, the gravest first.

    Args:
        runs: of each arm, by seed.
        arms: the same in numbers.
        contrasts: with what is claimed of them, in the order of interest.
        level: significance level of a claim.
    """
    known = [_nothing_learnt(arm, entry, task) for arm, entry in arms.items() if learnt_nothing(entry)]
    known += _commonest_class(runs, task)
    rising = [arm for arm, of_arm in runs.items() if still_improving([run.phase("label") for run in of_arm])]
    if rising:
        were = "was" if len(rising) == 1 else "were"
        text = f"{_and(rising)} {were} still improving: more label steps (--label.duration) may change this."
        known.append(Caveat(code="still-improving", text=text))
    if contrasts:
        against = contrasts[0].against
        known += [*_nothing_to_gain(against, arms[against]), *_could_not_see(contrasts[0], level, task)]
    return [*known, *_classical_better(runs, task), *_mixed_versions(runs)]


def still_improving(curves: Sequence[Sequence[Row]]) -> bool:
    """Whether accuracy still rises at the end, on the training sample or on validation.

    Of each seed the mean of the last third of its validations is compared with that of the third before; they rise if
    the mean difference over seeds is a point or more and its 95% interval lies above 0.
    """
    for name in ("train_sample_acc", "val_acc"):
        thirds = [(len(curve) // 3, [row[name] for row in curve]) for curve in curves if len(curve) >= 3]
        rises = [np.mean(acc[-n:]) - np.mean(acc[-2 * n : -n]) for n, acc in thirds]
        if len(rises) > 1 and (rise := t_interval(rises)).mean >= POINT and rise.above(0):
            return True
    return False


def observations(contrasts: Sequence[Contrast]) -> list[str]:
    """What is true beside the verdict: which arm of the first contrast fits its training labels sooner."""
    if not contrasts or contrasts[0].fit_steps is None or not contrasts[0].speeds_differ:
        return []
    ours, theirs = (f"{min(steps):g} to {max(steps):g}" for steps in contrasts[0].fit_steps)
    arm, against = contrasts[0].arm, contrasts[0].against
    return [f"{arm} fits 90% of its training labels in {ours} label steps, {against} in {theirs}."]


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _nothing_learnt(arm: str, entry: ArmSummary, task: Task) -> Caveat:
    kind = KINDS[task.kind]
    unit = f" {kind.loss_unit}" if kind.loss_unit else ""
    losses = f"{_mean(entry.val_reconstruction):.3f} against {_mean(entry.val_without_context):.3f}{unit}"
    more = "More of it (--pretrain.duration), or other rates, may change this."
    return Caveat(code=NOTHING, text=f"{ARMS[arm].title} has learnt no more than {kind.table_words} ({losses}). {more}")


def _commonest_class(runs: Mapping[str, Sequence[Run]], task: Task) -> list[Caveat]:
    """Whether no arm says more than which class is the commonest."""
    counts = np.bincount(task.test.y)
    commonest, share = int(counts.argmax()), float(counts.max() / counts.sum())
    answers = [run.predicted for of_arm in runs.values() for run in of_arm if run.predicted is not None]
    constant = [np.mean(given == commonest) >= NEARLY_ALWAYS for given in answers]
    better = [np.mean(given == task.test.y) >= share + POINT for given in answers]
    if not answers or share == 1 or not all(constant) or any(better):
        return []
    text = (
        f"Every arm answers the commonest class, {task.classes[commonest]}, nearly always, which is right for "
        f"{100 * share:.1f}% of the test rows: none has learnt to tell the classes apart. More label steps "
        "(--label.duration), or rows of the rarer classes, may change this."
    )
    return [Caveat(code="commonest-class", text=text)]


def _nothing_to_gain(arm: str, entry: ArmSummary) -> list[Caveat]:
    test = _mean(entry.test_acc)
    if min(test, _mean(entry.best_train_acc)) < CEILING:
        return []
    text = f"{arm} alone scores {100 * test:.1f}%: there is next to nothing to gain here."
    return [Caveat(code="nothing-to-gain", text=text)]


def _could_not_see(contrast: Contrast, level: float, task: Task) -> list[Caveat]:
    """What the interval leaves open, and the way out."""
    test = contrast.test
    if contrast.outcome != "no detectable effect" or test.low is None or test.high is None:
        return []
    half = (test.high - test.low) / 2
    if half < POINT:
        return []
    rows = task.describe().rows
    rested = f"{test.n} seeds and {contrast.n_test} test {rows}"
    text = f"With {rested} a difference of {100 * half:.1f} points could have been missed."
    if abs(test.mean) >= POINT and all(lead * test.mean > 0 for lead in contrast.leads):
        where = "ahead" if test.mean > 0 else "behind"
        text = (
            f"{contrast.arm} is {where} in all {test.n} seeds, by {100 * abs(test.mean):.1f} points on average; "
            f"{rested} cannot exclude chance."
        )
        needed = contrast.seeds_needed(level)
        text += f" About {needed} seeds would (--seeds {needed})." if needed else f" More test {rows} might."
    return [Caveat(code="could-not-see", text=text)]


def _classical_better(runs: Mapping[str, Sequence[Run]], task: Task) -> list[Caveat]:
    """Whether a classical model is reliably ahead of the network that scores best."""
    right = {arm: matrix for arm, of_arm in runs.items() if len(matrix := hits(of_arm, task.test.y))}
    networks = [arm for arm in right if ARMS[arm].fit is None]
    if not networks:
        return []
    best = max(networks, key=lambda arm: float(right[arm].mean()))
    ahead = []
    for arm, matrix in right.items():
        n = min(len(matrix), len(right[best]))
        if arm in networks or not crossed_interval(matrix[:n], right[best][:n]).above(0):
            continue
        choice = next((f" ({run.result.choice})" for run in runs[arm] if run.result.choice), "")
        scores = f"{100 * matrix.mean():.1f}%, the best network, {best}, {100 * right[best].mean():.1f}%"
        ahead.append(Caveat(code="classical-model-better", text=f"The {arm} model{choice} scores {scores}."))
    return ahead


def _mixed_versions(runs: Mapping[str, Sequence[Run]]) -> list[Caveat]:
    """Whether trainings of several versions are compared: their numbers may differ for that reason alone."""
    made_by = defaultdict[str, set[str]](set)
    for result in (result for of_arm in runs.values() for run in of_arm for result in run.result.trainings):
        for package, version in result.versions.items():
            made_by[package].add(version)
    mixed = [f"{package} {_and(sorted(versions))}" for package, versions in made_by.items() if len(versions) > 1]
    if not mixed:
        return []
    text = f"The trainings were made by different versions ({'; '.join(mixed)}); a new --out makes them all anew."
    return [Caveat(code="mixed-versions", text=text)]


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
