"""What should be known before an answer is believed: whether anything was tested, and what could have been missed.

| code                       | when                                                                                  |
|----------------------------|---------------------------------------------------------------------------------------|
| pretraining-learnt-nothing | the reconstruction loss is not reliably 2% below the best loss without context        |
| still-improving            | accuracy rose by a point between the last two thirds of label training, over seeds    |
| nothing-to-gain            | the other arm fits its training labels and scores 98% or more                         |
| could-not-see              | no effect is claimed, and one of a point or more could have been missed               |
| classical-model-better     | a classical model is reliably ahead of the best network                               |
"""

from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.arms.registry import arm_named
from selfpretrain.config import Kind
from selfpretrain.results import Caveat, Row, RunResult, WarningCode
from selfpretrain.stats import Interval, crossed_interval, t_interval
from selfpretrain.verdict.contrast import Contrast, Hits

NOTHING: WarningCode = "pretraining-learnt-nothing"
LEARNT = 0.02
"""Share of the loss without context by which self-pretraining must be below it, to count as having learnt (ours)."""
CEILING = 0.98
"""Accuracy from which there is next to nothing to gain (ours)."""
POINT = 0.01
"""Differences in accuracy below a point are not spoken of (ours)."""
Results = Mapping[str, Sequence[RunResult]]


def learnt(runs: Sequence[RunResult]) -> Interval | None:
    """By what share of the best loss without context self-pretraining is below it, over seeds; None without any."""
    pairs = [(run.val_reconstruction, run.val_without_context) for run in runs]
    shares = [1 - loss / without for loss, without in pairs if loss is not None and without]
    return t_interval(shares) if shares else None


def learnt_nothing(runs: Sequence[RunResult]) -> bool:
    """Whether these runs self-pretrained, and are not reliably better at it than a table of frequencies."""
    share = learnt(runs)
    if share is None:
        return False
    return not share.above(LEARNT) if share.n > 1 else share.mean <= LEARNT


def caveats(
    contrasts: Sequence[Contrast],
    results: Results,
    hits: Hits,
    curves: Mapping[str, Sequence[Sequence[Row]]],
    *,
    kind: Kind,
    level: float,
) -> list[Caveat]:
    """Everything to know, the gravest first.

    Args:
        contrasts: with what is claimed of them, in the order of interest.
        results: of each arm, by seed.
        curves: the validations of label training of each arm, by seed.
        level: significance level of a claim.
    """
    found = [_nothing_learnt(arm, runs, kind) for arm, runs in results.items() if learnt_nothing(runs)]
    rising = [arm for arm, of_arm in curves.items() if still_improving(of_arm)]
    if rising:
        were = "was" if len(rising) == 1 else "were"
        said = f"{_and(rising)} {were} still improving: more label steps (--label.duration) may change this."
        found.append(Caveat(code="still-improving", text=said))
    if contrasts:
        found += [*_nothing_to_gain(contrasts[0], results, hits), *_could_not_see(contrasts[0], level)]
    return [*found, *_classical_better(results, hits)]


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


def _nothing_learnt(arm: str, runs: Sequence[RunResult], kind: Kind) -> Caveat:
    ours, without = (
        np.mean([value for run in runs if (value := getattr(run, name)) is not None])
        for name in ("val_reconstruction", "val_without_context")
    )
    table, unit = ("each channel's average", "") if kind == "values" else ("frequencies", " nats")
    found = f"has learnt no more than {table} ({ours:.3f} against {without:.3f}{unit})"
    more = "More of it (--pretrain.duration), or other rates, may change this."
    return Caveat(code=NOTHING, text=f"{arm_named(arm).title} {found}. {more}")


def _nothing_to_gain(contrast: Contrast, results: Results, hits: Hits) -> list[Caveat]:
    test = np.mean([hit.mean() for hit in hits[contrast.against] if hit is not None])
    fitted = np.mean([run.best_train_acc for run in results[contrast.against] if run.best_train_acc is not None])
    if test < CEILING or fitted < CEILING:
        return []
    said = f"{contrast.against} alone scores {100 * test:.1f}%: there is next to nothing to gain here."
    return [Caveat(code="nothing-to-gain", text=said)]


def _could_not_see(contrast: Contrast, level: float) -> list[Caveat]:
    """What the interval leaves open, and the way out."""
    test = contrast.test
    if contrast.outcome != "no detectable effect" or test.low is None or test.high is None:
        return []
    half = (test.high - test.low) / 2
    if half < POINT:
        return []
    rested = f"{test.n} seeds and {contrast.n_test} test {contrast.rows}"
    said = f"With {rested} a difference of {100 * half:.1f} points could have been missed."
    if abs(test.mean) >= POINT and all(lead * test.mean > 0 for lead in contrast.leads):
        where = "ahead" if test.mean > 0 else "behind"
        said = (
            f"{contrast.arm} is {where} in all {test.n} seeds, by {100 * abs(test.mean):.1f} points on average; "
            f"{rested} cannot exclude chance."
        )
        needed = seeds_needed(contrast, level)
        said += f" About {needed} seeds would (--seeds {needed})." if needed else f" More test {contrast.rows} might."
    return [Caveat(code="could-not-see", text=said)]


def seeds_needed(contrast: Contrast, level: float) -> int | None:
    """About so many seeds would show the difference; None where none more are needed, or none would do."""
    if contrast.outcome in ("helps", "loses") or contrast.squares is None:
        return None
    return contrast.squares.seeds_needed(level)


def _classical_better(results: Results, hits: Hits) -> list[Caveat]:
    """Whether a classical model is reliably ahead of the network that scores best."""
    right = {arm: np.stack(good) for arm, each in hits.items() if (good := [hit for hit in each if hit is not None])}
    networks = {arm: hit for arm, hit in right.items() if arm_named(arm).fit is None}
    if not networks:
        return []
    best = max(networks, key=lambda arm: float(networks[arm].mean()))
    found = []
    for arm in right.keys() - networks.keys():
        n = min(len(right[arm]), len(networks[best]))
        if not crossed_interval(right[arm][:n].astype(float) - networks[best][:n]).above(0):
            continue
        choice = next((f" ({run.choice})" for run in results[arm] if run.choice), "")
        scores = f"{100 * right[arm].mean():.1f}%, the best network, {best}, {100 * networks[best].mean():.1f}%"
        found.append(Caveat(code="classical-model-better", text=f"The {arm} model{choice} scores {scores}."))
    return found


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
