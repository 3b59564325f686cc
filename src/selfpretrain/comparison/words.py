"""The verdict in words: of outcomes, causes and what should be known before either is believed."""

from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.comparison.caveats import NOTHING
from selfpretrain.comparison.claims import ALPHA
from selfpretrain.comparison.plateau import Count, counted, difference_p
from selfpretrain.comparison.summary import ArmSummary, Cause, ContrastSummary, Outcome, Summary
from selfpretrain.config import GAIN, MIN_SEEDS
from selfpretrain.registry import ARMS

COMPUTE_TOLERANCE = 0.02
"""Compute that differs by less counts as matched (ours; scratch-long is matched to the nearest step)."""
CAUSES: Mapping[Cause, str] = {
    "optimization": "optimisation: the weaker arm does not fit its training labels, also with the same total compute",
    "generalization": "generalisation: both fit their training labels equally, and one does better on new sequences",
    "speed": "only speed: given the compute, both arrive at the same place",
    "undetermined": "undetermined: these runs do not decide it",
    "none": "nothing to explain",
}
"""Each cause for a table."""
AHEAD: Mapping[Outcome, str] = {
    "helps": "it is ahead",
    "loses": "it is behind",
    "no detectable effect": "no difference shows",
    "not tested": "nothing was tested",
}


def sentences(answer: Summary, look: int) -> str:
    """The verdict: claims, their cause, what was seen beside them, and what to know.

    The first contrast carries it and, where it is of the same arm, the one at equal total compute.

    Args:
        answer: all but the verdict.
        look: how often the result has been looked at, this time included.
    """
    contrasts = answer.comparisons
    failed = [f"{len(entry.failures)} of {arm}" for arm, entry in answer.arms.items() if entry.failures]
    lost = f"Runs that failed are left out: {', '.join(failed)}." if failed else ""
    if not contrasts or ("spt" in answer.arms and contrasts[0].arm != "spt"):
        return f"No verdict: no two arms that can be compared have finished runs. {lost}".strip()
    first = contrasts[0]
    known = [caveat.text for caveat in answer.warnings if first.outcome != "not tested" or caveat.code != NOTHING]
    if first.n_seeds < MIN_SEEDS:
        too_few = f"No verdict from {first.n_seeds} finished seeds: at least {MIN_SEEDS} are needed (--seeds)."
        return " ".join([too_few, *known])
    counts = _counts(first, answer)
    parts = [counts, _claim(first, answer, conditional=bool(counts))]
    second = next((c for c in contrasts[1:] if c.arm == first.arm and c.matched == "total compute"), None)
    if second is not None and first.outcome != "not tested":
        parts.append(_claim(second, answer, follows=True))
    if first.outcome == "helps":
        parts.append(_rivals(contrasts))
    parts += [_because(first, answer.arms), *answer.observations, *known, lost]
    if answer.level < ALPHA:
        parts.append(f"This is look {look} at this result, so a claim takes p below {answer.level:g}.")
    return " ".join(part for part in parts if part)


def points(share: float | None) -> str:
    """A difference of shares in signed points; a dash for None.

    >>> points(0.1234), points(-0.0001)
    ('+12.3', '+0.0')
    """
    return "-" if share is None else f"{round(100 * share, 1) + 0.0:+.1f}"


def rates(picked: Sequence[float | None]) -> str:
    """The learning rates that seeds picked, each once; a dash where there are none.

    >>> rates((0.003, 0.001, 0.003)), rates((None,))
    ('0.001, 0.003', '-')
    """
    return ", ".join(f"{lr:g}" for lr in sorted({lr for lr in picked if lr is not None})) or "-"


def _counts(first: ContrastSummary, answer: Summary) -> str:
    """How many seeds of the arms left the plateau, where it is not the same for all; else nothing."""
    arms = [first.arm, *dict.fromkeys(c.against for c in answer.comparisons if c.arm == first.arm and c.primary)]
    arms += [first.against] if first.against not in arms else []
    counts = {arm: counted(answer.arms[arm].learnt) for arm in arms}
    counts = {arm: count for arm, count in counts.items() if count.seeds}
    if first.arm not in counts or first.against not in counts:
        return ""
    if not any(count.differs for count in counts.values()) and len({count.left > 0 for count in counts.values()}) == 1:
        return ""
    parts = [f"{ARMS[first.arm].title} left the plateau in {_count(counts[first.arm], ' seeds')}"]
    parts += [f"{arm} in {_count(count)}" for arm, count in counts.items() if arm != first.arm]
    p = difference_p(counts[first.arm], counts[first.against])
    return f"{', '.join(parts)} (exact test against {first.against}: p {p:.3f})."


def _count(count: Count, seeds: str = "") -> str:
    low, high = (round(100 * bound) for bound in count.ci95)
    chance = f" (at most {high}% would, with 95% confidence)" if count.left == 0 else ""
    chance = f" ({low}% to {high}% would)" if count.differs else chance
    return f"{count.left} of {count.seeds}{seeds}{chance}"


def _claim(contrast: ContrastSummary, answer: Summary, *, follows: bool = False, conditional: bool = False) -> str:
    low, high = contrast.ci95
    interval = f"no interval from {contrast.n_test} test {answer.task.rows}"
    if low is not None:
        rested = f"{contrast.n_seeds} seeds, {contrast.n_test} test {answer.task.rows}"
        interval = f"95% interval {points(low)} to {points(high)}; {rested}"
        interval += "; for seeds like these" if conditional else ""
    gain = f"{points(contrast.effect)} points of test accuracy against {contrast.against}"
    doubt = _doubt(contrast, answer.level)
    if follows:
        return f"At equal {contrast.matched} {AHEAD[contrast.outcome]}: {gain} ({interval}).{doubt}"
    if contrast.outcome == "not tested":
        why = next(caveat.text for caveat in answer.warnings if caveat.code == NOTHING)
        return f"Not tested: {why[0].lower()}{why[1:]} As it is: {gain} ({interval})."
    verb = {"no detectable effect": "has no detectable effect", "loses": f"loses to {contrast.against}"}
    does = verb.get(contrast.outcome, contrast.outcome)
    title = ARMS[contrast.arm].title
    return f"{title} {does} here: {gain} at equal {contrast.matched} ({interval}).{doubt}"


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


def _doubt(contrast: ContrastSummary, level: float) -> str:
    """What a reader should know before believing it: unequal compute, or why nothing is claimed."""
    if abs(contrast.compute_ratio - 1.0) > COMPUTE_TOLERANCE:
        return (
            f" But early stopping made their {contrast.matched} unequal: {contrast.arm} spent "
            f"{contrast.compute_ratio:.2f} times what {contrast.against} spent."
        )
    if contrast.outcome != "no detectable effect" or contrast.p is None or contrast.p >= ALPHA:
        return ""
    if contrast.primary and contrast.p < level:
        return " The interval excludes zero, but a claim at equal label compute comes first, and it does not hold."
    several = f"with several claims or looks that is no surprise (adjusted p {contrast.p_adjusted:.3f})"
    return f" The interval excludes zero, but {several}."


def _because(contrast: ContrastSummary, arms: Mapping[str, ArmSummary]) -> str:
    weaker = contrast.arm if contrast.outcome == "loses" else contrast.against
    reached = f"{100 * np.mean([acc for acc in arms[weaker].best_train_acc if acc is not None]):.0f}%"
    if contrast.cause == "speed" and contrast.outcome == "no detectable effect":
        return "One of them needs fewer label steps to fit the training set."
    return {
        "optimization": f"The cause is optimisation: within its budget {weaker} fits only {reached} of its own "
        "training labels. This is a plateau, not a hard limit: "
        "more steps or a different initialisation may get past it.",
        "generalization": "The cause is generalisation: both arms fit their training labels equally well.",
        "speed": "The cause is speed: with the same total compute the other arrives at the same place.",
        "undetermined": f"These runs do not decide the cause ({weaker} reaches {reached} on its training labels).",
        "none": "",
    }[contrast.cause]
