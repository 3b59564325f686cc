"""What should be known before an answer is believed: whether anything was tested, and what could have been missed.

| code                       | when                                                                                  |
|----------------------------|---------------------------------------------------------------------------------------|
| pretraining-learnt-nothing | the reconstruction loss is not reliably 2% below the best loss without context        |
| still-improving            | accuracy rose by a point between the last two thirds of label training, over seeds    |
| nothing-to-gain            | the other arm fits its training labels and scores 98% or more                         |
| could-not-see              | no effect is claimed, and one of a point or more could have been missed               |
| classical-model-better     | a classical model is reliably ahead of the best network                               |
| mixed-versions             | the trainings were made by different versions of selfpretrain or torch                |
"""

from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.comparison.claims import Contrast, hits
from selfpretrain.comparison.run import Run
from selfpretrain.comparison.summary import Caveat, WarningCode
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.task import Task
from selfpretrain.registry import ARMS
from selfpretrain.stats import Interval, crossed_interval, t_interval
from selfpretrain.train.training import Row

NOTHING: WarningCode = "pretraining-learnt-nothing"
LEARNT = 0.02
"""Share of the loss without context by which self-pretraining must be below it, to count as having learnt (ours)."""
CEILING = 0.98
"""Accuracy from which there is next to nothing to gain (ours)."""
POINT = 0.01
"""Differences in accuracy below a point are not spoken of (ours)."""
Runs = Mapping[str, Sequence[Run]]


def learnt(runs: Sequence[Run]) -> Interval | None:
    """By what share of the best loss without context self-pretraining is below it, over seeds; None without any."""
    shares = [
        1 - result.val_reconstruction / result.val_without_context
        for run in runs
        if (result := run.result.pretrain) is not None
        and result.val_reconstruction is not None
        and result.val_without_context
    ]
    return t_interval(shares) if shares else None


def learnt_nothing(runs: Sequence[Run]) -> bool:
    """Whether these runs self-pretrained, and are not reliably better at it than a table of frequencies."""
    share = learnt(runs)
    if share is None:
        return False
    return not share.above(LEARNT) if share.n > 1 else share.mean <= LEARNT


def caveats(task: Task, runs: Runs, contrasts: Sequence[Contrast], level: float) -> list[Caveat]:
    """Everything to know, the gravest first.

    Args:
        task: what the runs are of.
        runs: of each arm, by seed.
        contrasts: with what is claimed of them, in the order of interest.
        level: significance level of a claim.
    """
    known = [_nothing_learnt(arm, of_arm, task) for arm, of_arm in runs.items() if learnt_nothing(of_arm)]
    rising = [arm for arm, of_arm in runs.items() if still_improving([run.phase("label") for run in of_arm])]
    if rising:
        were = "was" if len(rising) == 1 else "were"
        text = f"{_and(rising)} {were} still improving: more label steps (--label.duration) may change this."
        known.append(Caveat(code="still-improving", text=text))
    if contrasts:
        known += [*_nothing_to_gain(contrasts[0], runs, task), *_could_not_see(contrasts[0], level)]
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
    first = next(iter(contrasts), None)
    if first is None or first.fit_steps is None or not first.matched.startswith("label"):
        return []
    lead = first.fit_lead
    if lead is None or not (lead.below(0) or lead.above(0)):
        return []
    ours, theirs = (f"{min(steps):g} to {max(steps):g}" for steps in first.fit_steps)
    return [f"{first.arm} fits 90% of its training labels in {ours} label steps, {first.against} in {theirs}."]


def _nothing_learnt(arm: str, runs: Sequence[Run], task: Task) -> Caveat:
    results = [result for run in runs if (result := run.result.pretrain) is not None]
    ours, without = (
        np.mean([value for result in results if (value := getattr(result, name)) is not None])
        for name in ("val_reconstruction", "val_without_context")
    )
    kind = KINDS[task.kind]
    unit = f" {kind.loss_unit}" if kind.loss_unit else ""
    learnt = f"has learnt no more than {kind.table_words} ({ours:.3f} against {without:.3f}{unit})"
    more = "More of it (--pretrain.duration), or other rates, may change this."
    return Caveat(code=NOTHING, text=f"{ARMS[arm].title} {learnt}. {more}")


def _nothing_to_gain(contrast: Contrast, runs: Runs, task: Task) -> list[Caveat]:
    other = [run for run in runs[contrast.against] if run.result.failure is None]
    test = np.mean([right.mean() for run in other if (right := hits(run, task.test.y)) is not None])
    fitted = np.mean([acc for run in other if (acc := run.result.label.best_train_sample_acc) is not None])
    if test < CEILING or fitted < CEILING:
        return []
    text = f"{contrast.against} alone scores {100 * test:.1f}%: there is next to nothing to gain here."
    return [Caveat(code="nothing-to-gain", text=text)]


def _could_not_see(contrast: Contrast, level: float) -> list[Caveat]:
    """What the interval leaves open, and the way out."""
    test = contrast.test
    if contrast.outcome != "no detectable effect" or test.low is None or test.high is None:
        return []
    half = (test.high - test.low) / 2
    if half < POINT:
        return []
    rested = f"{test.n} seeds and {contrast.n_test} test {contrast.rows}"
    text = f"With {rested} a difference of {100 * half:.1f} points could have been missed."
    if abs(test.mean) >= POINT and all(lead * test.mean > 0 for lead in contrast.leads):
        where = "ahead" if test.mean > 0 else "behind"
        text = (
            f"{contrast.arm} is {where} in all {test.n} seeds, by {100 * abs(test.mean):.1f} points on average; "
            f"{rested} cannot exclude chance."
        )
        needed = seeds_needed(contrast, level)
        text += f" About {needed} seeds would (--seeds {needed})." if needed else f" More test {contrast.rows} might."
    return [Caveat(code="could-not-see", text=text)]


def seeds_needed(contrast: Contrast, level: float) -> int | None:
    """About so many seeds would show the difference; None where none more are needed, or none would do."""
    if contrast.outcome in ("helps", "loses") or contrast.squares is None:
        return None
    return contrast.squares.seeds_needed(level)


def _classical_better(runs: Runs, task: Task) -> list[Caveat]:
    """Whether a classical model is reliably ahead of the network that scores best."""
    right = {
        arm: np.stack(good)
        for arm, of_arm in runs.items()
        if (good := [hit for run in of_arm if (hit := hits(run, task.test.y)) is not None])
    }
    networks = {arm: hit for arm, hit in right.items() if ARMS[arm].fit is None}
    if not networks:
        return []
    best = max(networks, key=lambda arm: float(networks[arm].mean()))
    ahead = []
    for arm, hit in right.items():
        n = min(len(hit), len(networks[best]))
        if arm in networks or not crossed_interval(hit[:n].astype(float) - networks[best][:n]).above(0):
            continue
        choice = next((f" ({run.result.choice})" for run in runs[arm] if run.result.choice), "")
        scores = f"{100 * hit.mean():.1f}%, the best network, {best}, {100 * networks[best].mean():.1f}%"
        ahead.append(Caveat(code="classical-model-better", text=f"The {arm} model{choice} scores {scores}."))
    return ahead


def _mixed_versions(runs: Runs) -> list[Caveat]:
    """Whether trainings of several versions are compared: their numbers may differ for that reason alone."""
    made_by: dict[str, set[str]] = {}
    for result in (result for of_arm in runs.values() for run in of_arm for result in run.result.trainings):
        for package, version in result.versions.items():
            made_by.setdefault(package, set()).add(version)
    mixed = [f"{package} {_and(sorted(versions))}" for package, versions in made_by.items() if len(versions) > 1]
    if not mixed:
        return []
    text = f"The trainings were made by different versions ({'; '.join(mixed)}); a new --out makes them all anew."
    return [Caveat(code="mixed-versions", text=text)]


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
