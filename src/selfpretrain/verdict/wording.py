"""The verdict in words: of outcomes, causes and what should be known before either is believed."""

from collections.abc import Mapping, Sequence

import numpy as np

from selfpretrain.arms.registry import arm_named
from selfpretrain.results import ArmSummary, Cause, ContrastSummary, Outcome
from selfpretrain.verdict.contrast import ALPHA, MIN_SEEDS, Contrast

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
    "hurts": "it is behind",
    "no detectable effect": "no difference shows",
}


def sentences(judged: Sequence[tuple[Contrast, ContrastSummary]], arms: Mapping[str, ArmSummary]) -> str:
    """The verdict in plain words, from the first contrast and, where it is of the same arm, the second.

    Args:
        arms: of every arm; runs that failed are left out with their partners.
    """
    failed = [f"{len(entry.failures)} of {arm}" for arm, entry in arms.items() if entry.failures]
    lost = f"Runs that failed are left out: {', '.join(failed)}." if failed else ""
    if not judged or ("spt" in arms and judged[0][0].arm != "spt"):
        return f"No verdict: no two arms that can be compared have finished runs. {lost}".strip()
    first, entry = judged[0]
    if first.test.n < MIN_SEEDS:
        return f"No verdict from {first.test.n} finished seeds: at least {MIN_SEEDS} are needed (--seeds)."
    said = [_claim(first)]
    second = next((c for c, _ in judged[1:] if c.arm == first.arm and c.matched == "total compute"), None)
    if second is not None:
        said.append(_claim(second, follows=True))
    said += [_because(first, entry.cause, arms), lost]
    return " ".join(part for part in said if part)


def _claim(contrast: Contrast, *, follows: bool = False) -> str:
    test = contrast.test
    interval = f"95% interval {100 * (test.low or 0):+.1f} to {100 * (test.high or 0):+.1f}, {test.n} seeds"
    points = f"{100 * test.mean:+.1f} points of test accuracy against {contrast.against}"
    if follows:
        return f"At equal {contrast.matched} {AHEAD[contrast.outcome]}: {points} ({interval}).{_doubt(contrast)}"
    verb = "has no detectable effect" if contrast.outcome == "no detectable effect" else contrast.outcome
    said = f"{arm_named(contrast.arm).title} {verb} here: {points} at equal {contrast.matched} ({interval})."
    return said + _doubt(contrast)


def _doubt(contrast: Contrast) -> str:
    """What a reader should know before believing it: unequal compute, or why nothing is claimed."""
    if abs(contrast.compute_ratio - 1.0) > COMPUTE_TOLERANCE:
        return (
            f" But early stopping made their {contrast.matched} unequal: {contrast.arm} spent "
            f"{contrast.compute_ratio:.2f} times what {contrast.against} spent."
        )
    if contrast.outcome != "no detectable effect" or not (contrast.test.above(0) or contrast.test.below(0)):
        return ""
    if contrast.p_holm is not None and contrast.p_holm >= ALPHA:
        adjusted = f"(Holm's p {contrast.p_holm:.3f})"
        return f" The interval excludes zero, but with several comparisons that is no surprise {adjusted}."
    return " The interval over seeds excludes zero, but another test set of this size might say otherwise."


def _because(contrast: Contrast, why: Cause, arms: Mapping[str, ArmSummary]) -> str:
    weaker = contrast.arm if contrast.outcome == "hurts" else contrast.against
    reached = f"{100 * np.mean([acc for acc in arms[weaker].best_train_acc if acc is not None]):.0f}%"
    if why == "speed" and contrast.outcome == "no detectable effect":
        return "One of them needs fewer label steps to fit the training set."
    return {
        "optimization": f"The cause is optimisation: within its budget {weaker} fits only {reached} of its own "
        "training labels. That is a plateau, not a wall: more steps or another start may leave it.",
        "generalization": "The cause is generalisation: both arms fit their training labels equally well.",
        "speed": "The cause is speed: with the same total compute the other arrives at the same place.",
        "undetermined": f"These runs do not decide the cause ({weaker} reaches {reached} on its training labels).",
        "none": "",
    }[why]
