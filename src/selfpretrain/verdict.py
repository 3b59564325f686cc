"""From the numbers of the runs to a verdict in words.

The cause follows a decision table. "Trains better" compares the best clean training accuracy that each run reached,
in evaluation mode, not the accuracy of the selected weights, which early stopping may have taken from before the
training set was fitted.

| outcome       | what the runs show                                                        | cause          |
|---------------|---------------------------------------------------------------------------|----------------|
| helps         | the arm trains better, and that carries at least half of the gain:         |                |
|               | - and the other stays behind when it gets the same total compute           | optimization   |
|               | - but the other catches up when it gets the same total compute             | speed          |
|               | - and nobody gave the other more compute                                   | undetermined   |
| hurts         | the arm trains worse (nobody gave it more compute)                         | undetermined   |
| helps, hurts  | both train equally well (interval within +-margin, +-half of the gain)     | generalization |
| helps, hurts  | anything else                                                              | undetermined   |
| no effect     | equal test and training accuracy at equal label steps, and one fits the    | speed          |
|               | training set in fewer of them                                              |                |
| no effect     | anything else                                                              | none           |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from selfpretrain.config import Arm
from selfpretrain.stats import Interval, example_interval, holm, t_interval

Outcome = Literal["helps", "hurts", "no detectable effect"]
Cause = Literal["optimization", "generalization", "speed", "undetermined", "none"]
ALPHA = 0.05
MIN_SEEDS = 3
"""No verdict from fewer."""
COMPUTE_TOLERANCE = 0.02
"""Compute that differs by less counts as matched (ours; scratch-long is matched to the nearest step)."""
MARGIN = 0.02
"""Accuracies that differ by less count as equal (ours)."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms, paired by seed. All differences are arm minus against."""

    arm: Arm
    against: Arm
    matched: str
    """What is equal between the two."""
    test: Interval
    """Test accuracy; seeds are the unit."""
    examples: Interval
    """Test accuracy; test sequences are the unit."""
    train: Interval
    """Best clean training accuracy."""
    fit_steps: Interval | None
    """Label steps until the training set was fitted, where every run of both arms fitted it."""
    compute_ratio: float = 1.0
    """What the arm spent of what is to be equal, over what the other spent; off 1 after early stopping."""
    p_holm: float | None = None
    """The p-value of ``test``, adjusted for all comparisons made."""

    @property
    def outcome(self) -> Outcome:
        """What may be claimed: significant over seeds after Holm, and not an accident of this test set."""
        if self.test.n < MIN_SEEDS or self.p_holm is None or self.p_holm >= ALPHA:
            return "no detectable effect"
        if self.test.above(0) and self.examples.above(0):
            return "helps"
        if self.test.below(0) and self.examples.below(0):
            return "hurts"
        return "no detectable effect"


def correct_for_number(contrasts: list[Contrast]) -> list[Contrast]:
    """Holm over all comparisons that have a p-value."""
    tested = [c for c in contrasts if c.test.p is not None]
    adjusted = dict(zip(map(id, tested), holm([c.test.p for c in tested if c.test.p is not None]), strict=True))
    return [replace(c, p_holm=adjusted.get(id(c))) for c in contrasts]


def cause(contrast: Contrast, with_more_compute: Contrast | None) -> Cause:
    """The decision table at the top of this file.

    Args:
        with_more_compute: the same arm against the same other, which got the arm's total compute; ``contrast``
            itself where that is what it compares; None where nobody ran it.
    """
    if contrast.test.n < MIN_SEEDS:
        return "undetermined"
    if contrast.outcome == "no detectable effect":
        equal = contrast.test.within(MARGIN) and contrast.train.within(MARGIN)
        steps = contrast.fit_steps if contrast.matched.startswith("label") else None
        faster = steps is not None and (steps.below(0) or steps.above(0))
        return "speed" if equal and faster else "none"
    if contrast.outcome == "helps" and contrast.train.above(0) and contrast.train.mean >= contrast.test.mean / 2:
        if with_more_compute is None:
            return "undetermined"
        return "optimization" if with_more_compute.outcome == "helps" else "speed"
    equal = contrast.train.within(min(MARGIN, abs(contrast.test.mean) / 2))
    return "generalization" if equal else "undetermined"


def contrast_from_runs(
    arm: Arm, against: Arm, matched: str, a: list[dict[str, Any]], b: list[dict[str, Any]]
) -> Contrast:
    """Compare the results of two arms, seed by seed.

    Args:
        a, b: results of ``arms.execute`` for the same seeds in the same order, with ``correct`` (N,) hits added.
    """

    def difference(key: str) -> Interval:
        return t_interval([x[key] - y[key] for x, y in zip(a, b, strict=True)])

    fitted = all(run.get("steps_to_fit") is not None for run in a + b)
    return Contrast(
        arm=arm,
        against=against,
        matched=matched,
        test=difference("test_acc"),
        train=difference("train_acc_reached"),
        examples=example_interval(np.stack([x["correct"] for x in a]), np.stack([y["correct"] for y in b])),
        fit_steps=difference("steps_to_fit") if fitted else None,
        compute_ratio=_spent(matched, a) / _spent(matched, b),
    )


def _spent(matched: str, runs: Sequence[Mapping[str, Any]]) -> float:
    """What ``matched`` counts, over all runs; 1 where it counts nothing that training spends."""
    keys = {
        "label compute": ("flops_label",),
        "total compute": ("flops_label", "flops_pretrain"),
        "label steps": ("steps_label",),
    }.get(matched, ())
    return float(sum(run[key] for run in runs for key in keys)) or 1.0


def sentences(
    contrasts: Sequence[Contrast],
    causes: Sequence[Cause],
    accuracies: Mapping[Arm, Mapping[str, float]],
    failures: Mapping[Arm, int],
) -> str:
    """The verdict in plain words, from the first contrast and, where it is of the same arm, the second.

    Args:
        causes: one for each contrast.
        accuracies: mean ``train`` (best reached) and ``test`` accuracy of every arm.
        failures: runs of each arm that failed, and are left out with their partners.
    """
    failed = [f"{count} of {arm}" for arm, count in failures.items() if count]
    lost = f"Runs that failed are left out: {', '.join(failed)}." if failed else ""
    if not contrasts or ("spt" in accuracies and contrasts[0].arm != "spt"):
        return f"No verdict: no two arms that can be compared have finished runs. {lost}".strip()
    first = contrasts[0]
    if first.test.n < MIN_SEEDS:
        return f"No verdict from {first.test.n} finished seeds: at least {MIN_SEEDS} are needed (--seeds)."
    said = [_claim(first)]
    second = next((c for c in contrasts[1:] if c.arm == first.arm and c.matched == "total compute"), None)
    if second is not None:
        said.append(_claim(second, follows=True))
    said += [_because(first, causes[0], accuracies), lost]
    return " ".join(part for part in said if part)


def _claim(contrast: Contrast, *, follows: bool = False) -> str:
    test = contrast.test
    interval = f"95% interval {100 * (test.low or 0):+.1f} to {100 * (test.high or 0):+.1f}, {test.n} seeds"
    points = f"{100 * test.mean:+.1f} points of test accuracy against {contrast.against}"
    if follows:
        how = {"helps": "it is ahead", "hurts": "it is behind", "no detectable effect": "no difference shows"}
        return f"At equal {contrast.matched} {how[contrast.outcome]}: {points} ({interval}).{_doubt(contrast)}"
    names: dict[Arm, str] = {
        "spt": "Self-pretraining",
        "joint": "Joint training",
        "mimetic": "Mimetic initialisation",
    }
    verb = "has no detectable effect" if contrast.outcome == "no detectable effect" else contrast.outcome
    said = f"{names[contrast.arm]} {verb} here: {points} at equal {contrast.matched} ({interval})."
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


def _because(contrast: Contrast, why: Cause, accuracies: Mapping[Arm, Mapping[str, float]]) -> str:
    weaker = contrast.arm if contrast.outcome == "hurts" else contrast.against
    reached = f"{100 * accuracies[weaker]['train']:.0f}%"
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
