"""What should be known before an answer is believed: whether anything was tested, and what could have been missed.

| code                       | when                                                                                  |
|----------------------------|---------------------------------------------------------------------------------------|
| too-short                  | a budget left out half of the preset's steps, and every network was still improving   |
| untuned                    | a budget left out learning rates                                                      |
| patches                    | to fit a budget, several positions are read as one token                              |
| pretraining-learnt-nothing | in every seed, or reliably, the reconstruction loss is not 2% below the one by table  |
| pretraining-unreliable     | so it is in some seeds, and not in others                                             |
| commonest-class            | every arm answers the commonest class nearly always, and is no better than that       |
| rates-at-edge              | most seeds of an arm picked the lowest or the highest rate                            |
| still-improving            | validation accuracy rose by a point between the last two thirds of label training     |
| nothing-to-gain            | the other arm fits its training labels and scores 98% or more                         |
| could-not-see              | no effect is claimed, and one of a point or more could have been missed               |
| classical-model-better     | a classical model is reliably ahead of the best network                               |
| more-rows                  | self-pretraining saw rows without a label, and the other arms did not                 |
| groups                     | test rows belong to groups (``--group``), which intervals are about                   |
| perhaps-groups             | they may: a column looks like it, and was not named                                   |
| rival-missing              | a usual arm needs a package that is not installed                                     |
| mixed-versions             | the trainings were made by different versions of selfpretrain or torch                |
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from selfpretrain.arms.builtin import lacking
from selfpretrain.comparison.claims import Contrast, scores
from selfpretrain.comparison.run import Run
from selfpretrain.comparison.summary import ArmSummary, Caveat, Shortened, WarningCode
from selfpretrain.config import LEARNT, MetricName, time_for
from selfpretrain.data.kinds import KINDS
from selfpretrain.data.task import Task
from selfpretrain.metrics import UNITS, Unit
from selfpretrain.registry import ARMS
from selfpretrain.stats import crossed_interval, t_interval
from selfpretrain.train.training import Row

NOTHING: WarningCode = "pretraining-learnt-nothing"
CEILING = 0.98
"""Accuracy from which there is next to nothing to gain (ours)."""
NEARLY_ALWAYS = 0.98
"""A model that gives this share of its answers to one class gives nearly all (ours)."""
SHORT = 0.5
"""Runs with less than this share of the preset's steps may be too short (ours)."""
FEW_GROUPS = 10
"""Fewer groups of test rows say little about new ones (ours)."""
POINT = 0.01
"""Differences in accuracy below a point are not spoken of (ours)."""


def learnt_nothing(entry: ArmSummary) -> bool:
    """Whether an arm self-pretrained, and with every seed, or reliably, no better than a table of frequencies.

    Seeds that have learnt something are not outvoted by others: self-pretraining that works in two seeds of three was
    tested.
    """
    learnt, seeds = entry.pretrained
    return seeds > 0 and (not learnt or t_interval(entry.reconstruction_gains).below(LEARNT))


def caveats(
    task: Task,
    runs: Mapping[str, Sequence[Run]],
    arms: Mapping[str, ArmSummary],
    contrasts: Sequence[Contrast],
    *,
    next_level: float,
    grid: Sequence[float],
    metric: MetricName = "accuracy",
) -> list[Caveat]:
    """Everything to know, the gravest first.

    Args:
        runs: of each arm, by seed.
        arms: the same in numbers.
        contrasts: with what is claimed of them, in the order of interest.
        next_level: significance level of a claim at the next look, with more seeds.
        grid: rates that were tried.
        metric: what decides.
    """
    known = [caveat for arm, entry in arms.items() for caveat in _pretraining(arm, entry, task)]
    known += [*_commonest_class(runs, task), *_rates_at_edge(arms, grid)]
    rising = [arm for arm, of_arm in runs.items() if still_improving([run.phase("label") for run in of_arm])]
    if rising:
        were = "was" if len(rising) == 1 else "were"
        text = f"{_and(rising)} {were} still improving on validation."
        cure = "More label steps (--label.duration) may change this."
        known.append(Caveat(code="still-improving", text=text, cure=cure))
    if contrasts:
        against = contrasts[0].against
        known += _nothing_to_gain(against, arms[against])
        level = arms[against].mean_score(metric)
        room = 1 - level if level is not None and metric != "log_loss" else math.inf
        known += _could_not_see(contrasts[0], next_level, task, UNITS[metric], room)
    return [
        *known,
        *_classical_better(runs, task, metric),
        *_more_rows(contrasts, task),
        *_groups(contrasts, task),
        *_missing(arms, task),
        *_mixed_versions(runs),
    ]


def still_improving(curves: Sequence[Sequence[Row]]) -> bool:
    """Whether validation accuracy still rises at the end. (That on training data rises in models that overfit.)

    Of each seed the mean of the last third of its validations is compared with that of the third before; they rise if
    the mean difference over seeds is a point or more and its 95% interval lies above 0.
    """
    thirds = [(len(curve) // 3, [row["val_acc"] for row in curve]) for curve in curves if len(curve) >= 3]
    rises = [np.mean(acc[-n:]) - np.mean(acc[-2 * n : -n]) for n, acc in thirds]
    return len(rises) > 1 and (rise := t_interval(rises)).mean >= POINT and rise.above(0)


def too_short(runs: Mapping[str, Sequence[Run]], shortened: Shortened) -> bool:
    """Whether a budget left out so many steps that the runs say nothing about the preset."""
    networks = [own for arm, own in runs.items() if ARMS[arm].fit is None]
    return shortened.share < SHORT and all(still_improving([run.phase("label") for run in own]) for own in networks)


def hurry(shortened: Shortened) -> Caveat:
    """That runs were too short, and how long they would take."""
    left_out = f"{100 * (1 - shortened.share):.0f}% of the preset's steps"
    text = f"The budget left out {left_out}, and every network was still improving on validation at its end."
    return Caveat(code="too-short", text=text, cure=_more_time(shortened))


def untuned(shortened: Shortened, tried: int) -> Caveat:
    """That a budget left out learning rates."""
    rates = f"{shortened.rates} of {shortened.rates + tried} learning rates"
    text = f"The budget left out {rates}{': nothing was tuned' if tried == 1 else ''}."
    return Caveat(code="untuned", text=text, cure=_more_time(shortened))


def patches(shortened: Shortened) -> Caveat:
    """That a budget made the model read several positions as one."""
    text = f"To fit the budget the model reads {shortened.patch} neighbouring positions as one."
    return Caveat(code="patches", text=text, cure="--patch 1 reads single positions, and takes longer.")


def _more_time(shortened: Shortened) -> str:
    patch = f" --patch {shortened.patch}" if shortened.patch > 1 else ""
    return f"--budget {time_for(shortened.full_seconds)}{patch} trains the whole preset, with all its learning rates."


def observations(contrasts: Sequence[Contrast]) -> list[str]:
    """What is true beside the verdict: which arm of the first contrast fits its training labels sooner."""
    if not contrasts or contrasts[0].fit_steps is None or not contrasts[0].speeds_differ:
        return []
    steps = dict(zip((contrasts[0].arm, contrasts[0].against), contrasts[0].fit_steps, strict=True))
    sooner, later = sorted(steps, key=lambda arm: float(np.mean(steps[arm])))
    spans = {arm: " to ".join(f"{n:g}" for n in sorted({min(own), max(own)})) for arm, own in steps.items()}
    return [
        f"{sooner} learns faster from labels: it fits 90% of its labels in {spans[sooner]} steps, "
        f"{later} in {spans[later]}."
    ]


def mean(values: Sequence[float | None]) -> float:
    """Of those that are there."""
    return float(np.mean([value for value in values if value is not None]))


def _pretraining(arm: str, entry: ArmSummary, task: Task) -> list[Caveat]:
    """Whether self-pretraining has learnt nothing, or not with every seed."""
    learnt, seeds = entry.pretrained
    if learnt == seeds and not learnt_nothing(entry):
        return []
    kind = KINDS[task.kind]
    cure = "Longer self-pretraining (--pretrain.duration) or other learning rates (--lr) may change this."
    if not learnt_nothing(entry):
        less = f"in {seeds - learnt} of {seeds} seeds it has learnt no more than {kind.table_words}"
        text = f"{ARMS[arm].title} is unreliable: {less}."
        return [Caveat(code="pretraining-unreliable", text=text, cure=cure)]
    unit = f" {kind.loss_unit}" if kind.loss_unit else ""
    own, by_table = mean(entry.val_reconstruction), mean(entry.val_without_context)
    losses = f"reconstruction loss {own:.3f}{unit}, without context {by_table:.3f}; lower is better"
    text = f"{ARMS[arm].title} has learnt no more than {kind.table_words} ({losses})."
    return [Caveat(code=NOTHING, text=text, cure=cure)]


def _rates_at_edge(arms: Mapping[str, ArmSummary], grid: Sequence[float]) -> list[Caveat]:
    """Whether most seeds of an arm would perhaps have picked a rate beyond the grid."""
    if len(grid) < 2:
        return []

    def finished(entry: ArmSummary, phase: str) -> list[tuple[float | None, float]]:
        """What each seed picked, and its validation accuracy, without runs that failed: they picked nothing."""
        pairs = zip(getattr(entry, phase), entry.val_acc, strict=True)
        return [(picked, acc) for picked, acc in pairs if acc is not None]

    rates = sorted(grid)
    at_edge, lower, higher = [], "", ""
    for edge, lr in (("lowest", rates[0]), ("highest", rates[-1])):
        phases = [
            name if phase == "lr" else f"self-pretraining of {name}"
            for name, entry in arms.items()
            for phase in ("lr", "lr_pretrain")
            if 2 * sum(picked == lr for picked, _ in finished(entry, phase)) > len(finished(entry, phase))
            and (phase == "lr_pretrain" or mean(entry.val_acc) < CEILING)
        ]
        if phases:
            at_edge.append(f"the {edge} rate, {lr:g}, for {_and(phases)}")
            lower = f"{rates[0] ** 2 / rates[1]:.1g}," if edge == "lowest" else lower
            higher = f",{rates[-1] ** 2 / rates[-2]:.1g}" if edge == "highest" else higher
    if not at_edge:
        return []
    cure = f"A wider grid (--lr {lower}{','.join(f'{lr:g}' for lr in rates)}{higher}) may change this."
    return [Caveat(code="rates-at-edge", text=f"Most seeds picked {' and '.join(at_edge)}.", cure=cure)]


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
        f"{100 * share:.1f}% of the test rows: none has learnt to tell the classes apart."
    )
    cure = "More label steps (--label.duration), or rows of the rarer classes, may change this."
    return [Caveat(code="commonest-class", text=text, cure=cure)]


def _nothing_to_gain(arm: str, entry: ArmSummary) -> list[Caveat]:
    test = mean(entry.test_acc)
    if min(test, mean(entry.best_train_acc)) < CEILING:
        return []
    text = f"{arm} alone scores {100 * test:.1f}%: there is next to nothing to gain here."
    return [Caveat(code="nothing-to-gain", text=text)]


def _could_not_see(contrast: Contrast, next_level: float, task: Task, unit: Unit, room: float) -> list[Caveat]:
    """What the interval leaves open, and the way out; no gain is larger than the room above the other arm."""
    test = contrast.test
    if contrast.outcome != "no detectable effect" or test.low is None or test.high is None:
        return []
    gain, loss = min(max(test.high, 0.0), room), max(-test.low, 0.0)
    if max(gain, loss) < POINT:
        return []
    summary = task.describe()
    rested = f"{test.n} seeds and {summary.tested(contrast.n_test)}"
    sizes = [
        f"a {what} of up to {unit.lead(size)[1:]}" for what, size in (("gain", gain), ("loss", loss)) if size >= POINT
    ]
    text = f"With {rested} {' or '.join(sizes)} {unit.unit} could have been missed."
    if abs(test.mean) < POINT:
        return [Caveat(code="could-not-see", text=text)]
    if all(lead * test.mean > 0 for lead in contrast.leads):
        where = "ahead" if test.mean > 0 else "behind"
        by = f"{unit.lead(abs(test.mean))[1:]} {unit.unit}"
        text = f"{contrast.arm} is {where} in all {test.n} seeds, by {by} on average; {rested} cannot exclude chance."
    needed = contrast.seeds_needed(next_level)
    cure = f"More test {f'groups ({summary.group})' if summary.group else summary.rows} may decide it."
    if needed:
        cure = (
            f"--seeds {needed} goes on from these runs: about so many would show a real difference of this size. A "
            f"claim then takes p below {next_level:g}, since it is a further look; better is a range from the start "
            f"(--seeds {test.n}-{needed})."
        )
    return [Caveat(code="could-not-see", text=text, cure=cure)]


def _classical_better(runs: Mapping[str, Sequence[Run]], task: Task, metric: MetricName) -> list[Caveat]:
    """Whether a classical model is reliably ahead of the network that scores best."""
    right = {arm: matrix for arm, of_arm in runs.items() if len(matrix := scores(of_arm, task.test, metric))}
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
        ours, theirs = UNITS[metric].level(float(matrix.mean())), UNITS[metric].level(float(right[best].mean()))
        text = f"The {arm} model{choice} scores {ours}, the best network, {best}, {theirs}."
        ahead.append(Caveat(code="classical-model-better", text=text))
    return ahead


def _more_rows(contrasts: Sequence[Contrast], task: Task) -> list[Caveat]:
    """Whether a gain may come from more rows, and not from how they are used."""
    if task.unlabelled is None or not contrasts or contrasts[0].arm != "spt":
        return []
    more, own = len(task.unlabelled), len(task.train)
    cure = (
        "" if any(c.against == "spt-labelled" for c in contrasts) else "--arms usual,spt-labelled shows what they did."
    )
    text = f"Self-pretraining also saw {more} rows without a label, beside {own} with one: the data were not equal."
    return [Caveat(code="more-rows", text=text, cure=cure)]


def _groups(contrasts: Sequence[Contrast], task: Task) -> list[Caveat]:
    """Which new rows an interval is about."""
    if not contrasts or task.data is None:
        return []
    if task.data.group:
        n, name = contrasts[0].n_test, task.data.group
        text = f"Intervals are about new groups ({name}): the {n} in test count as {n}, not as {len(task.test)} rows."
        cure = f"More groups ({name}) would narrow them; more rows of the same ones would not."
        return [Caveat(code="groups", text=text, cure=cure if n < FEW_GROUPS else "")]
    columns = task.data.perhaps_group
    if not columns:
        return []
    text = f"Rows have the same {_and(columns)} as others, and were counted as if each stood alone."
    cure = f"If new data will have other ones, --group {columns[0]} keeps those of one value in one split."
    return [Caveat(code="perhaps-groups", text=text, cure=cure)]


def _missing(arms: Collection[str], task: Task) -> list[Caveat]:
    """Usual rivals that are not there."""
    return [
        Caveat(
            code="rival-missing",
            text=f"{arm.title}, a strong rival on series, was not compared.",
            cure=f"pip install 'selfpretrain[aeon]' adds {arm.title}.",
        )
        for arm in (lacking(arms, task) if "classical" in arms else ())
    ]


def _mixed_versions(runs: Mapping[str, Sequence[Run]]) -> list[Caveat]:
    """Whether trainings of several versions are compared: their numbers may differ for that reason alone."""
    made_by = defaultdict[str, set[str]](set)
    for result in (result for of_arm in runs.values() for run in of_arm for result in run.result.trainings):
        for package, version in result.versions.items():
            made_by[package].add(version)
    mixed = [f"{package} {_and(sorted(versions))}" for package, versions in made_by.items() if len(versions) > 1]
    if not mixed:
        return []
    text = f"The trainings were made by different versions ({'; '.join(mixed)})."
    return [Caveat(code="mixed-versions", text=text, cure="A new --out makes them all anew.")]


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
