"""The verdict in words: the answer, which model to use, what to do next, the primary claims, and what to know."""

from collections.abc import Mapping, Sequence

from selfpretrain.comparison.caveats import CEILING, NOTHING, mean
from selfpretrain.comparison.claims import ALPHA, MARGIN
from selfpretrain.comparison.plateau import Count, counted, difference_p
from selfpretrain.comparison.summary import (
    ArmSummary,
    Cause,
    Caveat,
    ContrastSummary,
    Outcome,
    Recommendation,
    Summary,
    Verdict,
    WarningCode,
)
from selfpretrain.config import GAIN, MIN_SEEDS
from selfpretrain.metrics import UNITS
from selfpretrain.registry import ARMS

COMPUTE_TOLERANCE = 0.02
"""Compute that differs by less counts as matched (ours; scratch-long is matched to the nearest step)."""
CAUSES: Mapping[Cause, str] = {
    "optimization": "optimisation: the weaker arm does not fit its training labels, also with the same total compute",
    "generalization": "generalisation: both fit their training labels equally, and one does better on new sequences",
    "speed": "only speed: given the same total compute, both arrive at the same place",
    "compute": "compute: labels alone do better with what self-pretraining costs",
    "undetermined": "undetermined: these runs do not decide it",
    "none": "nothing to explain",
}
"""Each cause for a table."""
OUTCOMES: Mapping[Outcome, str] = {
    "helps": "ahead",
    "loses": "behind",
    "equal": "equal",
    "no detectable effect": "undecided",
    "too short": "too short to say",
    "not tested": "not tested",
}
"""Each outcome for a table."""
FIRST_CURES: Sequence[WarningCode] = ("perhaps-groups", "too-short", "untuned", NOTHING, "could-not-see")
"""What to do next, the first where several things would help: other splits make all else anew (ours)."""


def rates(picked: Sequence[float | None]) -> str:
    """The learning rates that seeds picked, each once; a dash where there are none.

    >>> rates((0.003, 0.001, 0.003)), rates((None,))
    ('0.001, 0.003', '-')
    """
    return ", ".join(f"{lr:g}" for lr in sorted({lr for lr in picked if lr is not None})) or "-"


def verdict_of(answer: Summary, look: int) -> Verdict:
    """The verdict.

    Args:
        answer: all but the verdict.
        look: how often the result has been looked at, this time included.
    """
    contrasts = answer.comparisons
    failed = [f"{len(entry.failures)} of {arm}" for arm, entry in answer.arms.items() if entry.failures]
    lost = [f"Runs that failed are left out: {', '.join(failed)}."] if failed else []
    if not contrasts or ("spt" in answer.arms and contrasts[0].arm != "spt"):
        text = "No verdict: no two arms that can be compared have finished runs."
        return Verdict(answer=text, advice=_advice(answer), notes=tuple(lost))
    first = contrasts[0]
    if first.n_seeds < MIN_SEEDS:
        text = f"No verdict from {first.n_seeds} finished seeds: at least {MIN_SEEDS} are needed (--seeds)."
        notes = [*map(str, answer.warnings), *lost]
        return Verdict(answer=text, advice=_advice(answer), notes=tuple(notes))
    primary = [c for c in contrasts if c.primary and c.arm == first.arm] or [first]
    code = {"not tested": NOTHING, "too short": "too-short"}.get(first.outcome)
    why = next((caveat for caveat in answer.warnings if caveat.code == code), None)
    others = [caveat for caveat in answer.warnings if caveat is not why]
    # What would change an open answer is the next thing to do, unless there is next to nothing to gain.
    is_open = first.outcome not in ("helps", "loses", "equal") and not _is_at_ceiling(answer)
    cures = {caveat.code: caveat for caveat in answer.warnings if caveat.cure and is_open}
    to_do = next((cures[code] for code in (*FIRST_CURES, *cures) if code in cures), None)
    looks = (
        f"The result was looked at {look} times, with more seeds each time, so a claim takes p below {answer.level:g}."
    )
    notes = [
        "" if why is None or why is to_do else why.cure,
        _because(first, answer.arms),
        _rivals(contrasts) if first.outcome == "helps" else "",
        *answer.observations,
        *(caveat.text if caveat is to_do else str(caveat) for caveat in others),
        *lost,
        looks if answer.level < ALPHA else "",
    ]
    return Verdict(
        answer=_answer(primary, answer, why),
        advice=_advice(answer),
        next="" if to_do is None else f"Next: {to_do.cure}",
        claims=(*_counts(first, answer), *_claims(primary, answer)),
        notes=tuple(note for note in notes if note),
    )


def _answer(primary: Sequence[ContrastSummary], answer: Summary, why: Caveat | None) -> str:
    """The answer in one line."""
    first, title = primary[0], ARMS[primary[0].arm].title
    more = next((c for c in primary[1:] if c.matched == "total compute"), None)
    if first.outcome == "not tested":
        return f"Not tested: {why.text[0].lower()}{why.text[1:]}" if why else "Not tested."
    if first.outcome == "too short":
        return f"Too short to say whether {title[0].lower()}{title[1:]} helps."
    unit = UNITS[answer.metric]
    ours, theirs = (answer.arms[arm].mean_score(answer.metric) for arm in (first.arm, first.against))
    assert ours is not None and theirs is not None, "they were compared"
    what = "on test" if answer.metric == "accuracy" else f"{unit.title} on test"
    scores = f"{unit.level(ours)} {what}, {first.against} {unit.level(theirs)}"
    has_more = any(caveat.code == "more-rows" for caveat in answer.warnings)
    text = {
        "helps": f"{title} helps{', with rows without a label that other networks do not use' if has_more else ''}",
        "loses": f"{title} hurts",
        "equal": f"{title} makes no difference: equal within {unit.lead(MARGIN)[1:]} {unit.unit}",
        "no detectable effect": f"Undecided whether {title[0].lower()}{title[1:]} helps",
    }[first.outcome]
    counts = [counted(answer.arms[arm].learnt) for arm in (first.arm, first.against)]
    if first.outcome == "no detectable effect" and counts[0].left != counts[1].left:
        left, others = (f"{count.left} of {count.seeds}" for count in counts)
        text += f": it learnt the task in {left} seeds, {first.against} in {others}"
    text = f"{text} ({scores})"
    if more is None and first.outcome == "helps" and first.matched == "label compute":
        return f"{text}; at equal total compute it was not compared (add scratch-long to --arms)."
    if more is None or more.outcome == first.outcome:
        both = ", also at equal total compute" if more is not None and more.outcome in ("helps", "loses") else ""
        return f"{text}{both}."
    return (
        f"{text}; at equal total compute "
        + {
            "helps": f"it is ahead of {more.against}.",
            "loses": f"it is behind {more.against}.",
            "equal": f"{more.against} does as well.",
            "no detectable effect": "that is undecided.",
            "not tested": "it was not tested.",
            "too short": "it is too short to say.",
        }[more.outcome]
    )


def _is_at_ceiling(answer: Summary) -> bool:
    use = answer.recommended
    has_reached = use is not None and answer.metric != "log_loss" and use.val >= CEILING
    return has_reached or any(caveat.code == "nothing-to-gain" for caveat in answer.warnings)


def _advice(answer: Summary) -> str:
    """Which model to use."""
    use, unit = answer.recommended, UNITS[answer.metric]
    if use is None:
        return ""
    if not use.learnt:
        return "Use none of these models yet: on validation none is clearly better than the commonest class."
    scores = [f"{_levels(use, answer)}, trained in {use.seconds:.3g} s"]
    if use.average_val is not None and use.average_test is not None:
        levels = f"validation {unit.level(use.average_val)}, test {unit.level(use.average_test)}"
        scores.append(f"the mean probabilities of all its seeds, in the folder average: {levels}")
    if use.runner_up is not None:
        second = use.runner_up
        rank = (
            "{} costs more and is not clearly better:" if second.as_good and second.val > use.val else "runner-up: {}"
        )
        levels = f"validation {unit.level(second.val)}, test {unit.level(second.test)}"
        which = second.arm if second.choice else f"{second.arm}, seed {second.seed},"
        scores.append(f"{rank.format(which)} {levels}")
    return f"Use {_named(use)}{', in the folder best' if use.saved else ''} ({'; '.join(scores)})."


def _named(use: Recommendation) -> str:
    return f"the {use.arm} model" if use.choice else f"{use.arm}, seed {use.seed}"


def _levels(use: Recommendation, answer: Summary) -> str:
    unit = UNITS[answer.metric]
    title = "" if answer.metric == "accuracy" else f"{unit.title} "
    return f"{title}validation {unit.level(use.val)}, test {unit.level(use.test)}"


def model_in_use(answer: Summary) -> str:
    """The recommended model and how good to expect it to be; empty where none is recommended."""
    use = answer.recommended
    return "" if use is None else f", by {_named(use)} ({_levels(use, answer)})"


def _counts(first: ContrastSummary, answer: Summary) -> list[str]:
    """How many seeds of the arms learnt the task, where it is not the same for all."""
    arms = [first.arm, *dict.fromkeys(c.against for c in answer.comparisons if c.arm == first.arm and c.primary)]
    arms += [first.against] if first.against not in arms else []
    counts = {arm: counted(answer.arms[arm].learnt) for arm in arms}
    counts = {arm: count for arm, count in counts.items() if count.seeds}
    if first.arm not in counts or first.against not in counts or not _differ(counts):
        return []
    parts = [f"{ARMS[first.arm].title} learnt the task in {_count(counts[first.arm], ' seeds')}"]
    others = [arm for arm in counts if arm != first.arm]
    alike = {count: [arm for arm in others if counts[arm] == count] for count in map(counts.__getitem__, others)}
    parts += [f"{' and '.join(arms)} in {_count(count)}" for count, arms in alike.items()]
    p = difference_p(counts[first.arm], counts[first.against])
    return [f"{', '.join(parts)}; exact test against {first.against}: p {p:.3f}."]


def _differ(counts: Mapping[str, Count]) -> bool:
    """Whether some seeds learnt the task and others did not, of one arm or of different ones."""
    return any(count.differs for count in counts.values()) or len({count.left > 0 for count in counts.values()}) > 1


def _count(count: Count, seeds: str = "") -> str:
    low, high = (round(100 * bound) for bound in count.ci95)
    chance = f" (at most {high}% would, with 95% confidence)" if count.left == 0 else ""
    chance = f" ({low}% to {high}% would)" if count.differs else chance
    return f"{count.left} of {count.seeds}{seeds}{chance}"


def _claims(primary: Sequence[ContrastSummary], answer: Summary) -> list[str]:
    """Every primary claim in a line; equal numbers, as where longer label training changed nothing, in one."""
    alike: dict[tuple[str, str, str], list[ContrastSummary]] = {}
    for contrast in primary:
        alike.setdefault(_claim(contrast, answer), []).append(contrast)
    return [
        f"{gain} against {' and '.join(f'{c.against} at equal {c.matched}' for c in contrasts)} ({interval}): {outcome}"
        for (gain, interval, outcome), contrasts in alike.items()
    ]


def _claim(contrast: ContrastSummary, answer: Summary) -> tuple[str, str, str]:
    """A contrast: the difference, its interval, and what may be claimed."""
    low, high = contrast.ci95
    counts = {arm: counted(answer.arms[arm].learnt) for arm in (contrast.arm, contrast.against)}
    unit = UNITS[answer.metric]
    rested = answer.task.tested(contrast.n_test)
    interval = f"no interval from {rested}"
    if low is not None:
        interval = f"{unit.lead(low)} to {unit.lead(high)}; {contrast.n_seeds} seeds, {rested}"
        interval += ", for seeds like these" if _differ(counts) else ""
    outcome = OUTCOMES[contrast.outcome]
    if contrast.outcome == "equal":
        outcome += ", given seeds that learn the task, as all of these did"
    return f"{unit.lead(contrast.effect)} {unit.unit}", interval, f"{outcome}.{_doubt(contrast)}"


def _rivals(contrasts: Sequence[ContrastSummary]) -> str:
    """Which arm that costs nothing does as well as self-pretraining: it is at most a small gain behind."""
    free = [c for c in contrasts if c.arm == "spt" and ARMS[c.against].is_free]
    if not free:
        return ""
    as_good = [c.against for c in free if c.ci95[1] is not None and c.ci95[1] < GAIN]
    if as_good:
        return f"{' and '.join(as_good)} {'does' if len(as_good) == 1 else 'do'} as well without any pretraining."
    unclear = [c.against for c in free if c.outcome != "helps"]
    if unclear:
        return f"Whether {' or '.join(unclear)} does as well is open."
    worse = " and ".join(c.against for c in free)
    return f"{worse}, without any pretraining, {'does' if len(free) == 1 else 'do'} worse."


def _doubt(contrast: ContrastSummary) -> str:
    """What a reader should know before believing it: unequal compute, or why nothing is claimed."""
    if abs(contrast.compute_ratio - 1.0) > COMPUTE_TOLERANCE:
        return (
            f" But early stopping made their {contrast.matched} unequal: {contrast.arm} spent "
            f"{contrast.compute_ratio:.2f} times what {contrast.against} spent."
        )
    if contrast.outcome not in ("no detectable effect", "equal") or contrast.p is None or contrast.p >= ALPHA:
        return ""
    return (
        " The interval alone excludes zero; corrected for several claims or looks, the difference is not significant "
        f"(adjusted p {contrast.p_adjusted:.3f})."
    )


def _because(contrast: ContrastSummary, arms: Mapping[str, ArmSummary]) -> str:
    weaker = contrast.arm if contrast.outcome == "loses" else contrast.against
    reached = f"{100 * mean(arms[weaker].best_train_acc):.0f}%"
    if contrast.cause == "speed" and contrast.outcome == "equal":
        return ""  # an observation says which of them is faster
    return {
        "optimization": f"Why: optimisation. {weaker} fits only {reached} of its own training labels: a plateau, which "
        "more steps or another initialisation may get past.",
        "generalization": f"Why: generalisation. {contrast.arm} and {contrast.against} fit their training labels "
        f"equally well, and {weaker} does worse on new sequences.",
        "speed": "Why: only speed. With the same total compute the other arrives at the same place.",
        "compute": "Why: compute. Labels alone do better with what self-pretraining costs.",
        "undetermined": f"Why: these runs do not decide it ({weaker} reaches {reached} on its training labels).",
        "none": "",
    }[contrast.cause]
