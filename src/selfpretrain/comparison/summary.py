"""The answer of a comparison: summary.json. Imports no torch.

Accuracies and effects are fractions of 1, losses are in nats, tuples are per seed in the order of seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from selfpretrain.data.task import TaskSummary

Outcome = Literal["helps", "loses", "no detectable effect", "not tested"]
Cause = Literal["optimization", "generalization", "speed", "undetermined", "none"]
WarningCode = Literal[
    "pretraining-learnt-nothing",
    "commonest-class",
    "still-improving",
    "nothing-to-gain",
    "could-not-see",
    "classical-model-better",
    "mixed-versions",
]


@dataclass(frozen=True)
class Look:
    """A look at an answer: with how many seeds, and the significance level of a claim at it."""

    n_seeds: int
    level: float


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm over its seeds; entries are None where a run failed. See also ``TrainingResult``.

    Attributes:
        test_ci95: of the mean, over other seeds and other test sequences.
        best_train_acc: on the training sequences that are followed, at the best validation.
        learnt: whether each seed left the plateau; see ``plateau``.
        choice: which classical model it is.
        lr, lr_pretrain: the rates that each seed picked, for labels and for self-pretraining.
        lr_tried: validation accuracy of each rate, by seed; None where the training failed.
        lr_pretrain_tried: held-out loss of self-pretraining at each rate, by seed.
        failures: reason by seed.
    """

    train_acc: tuple[float | None, ...]
    val_acc: tuple[float | None, ...]
    test_acc: tuple[float | None, ...]
    test_ci95: tuple[float | None, float | None]
    train_sample_acc: tuple[float | None, ...]
    best_train_acc: tuple[float | None, ...]
    learnt: tuple[bool | None, ...]
    steps_to_fit: tuple[int | None, ...]
    val_reconstruction: tuple[float | None, ...]
    val_without_context: tuple[float | None, ...]
    val_lowest: tuple[float | None, ...]
    choice: str | None
    peak_memory_bytes: tuple[int | None, ...]
    lr: tuple[float | None, ...]
    lr_pretrain: tuple[float | None, ...]
    lr_tried: Mapping[str, tuple[float | None, ...]]
    lr_pretrain_tried: Mapping[str, tuple[float | None, ...]]
    steps_pretrain: int
    steps_label: int
    flops_pretrain: int
    flops_label: int
    seconds: tuple[float | None, ...]
    failures: Mapping[str, str]

    @property
    def reconstruction_gains(self) -> list[float]:
        """By what share of the best loss without context self-pretraining is below it, with each seed."""
        pairs = zip(self.val_reconstruction, self.val_without_context, strict=True)
        return [1 - loss / without for loss, without in pairs if loss is not None and without]


@dataclass(frozen=True, kw_only=True)
class ContrastSummary:
    """Two arms, paired by seed; differences are arm minus against.

    Attributes:
        primary: one of the two claims of the comparison, taken in a fixed order; all others are secondary.
        ci95, p: over other seeds and other test sequences.
        p_adjusted: what decides: in their order for primary claims, after Holm for the others.
        seeds_ahead: seeds in which the arm is ahead.
        seeds_needed: about so many seeds would show this difference; None where no number of seeds would, or none more
            are needed.
    """

    arm: str
    against: str
    matched: str
    primary: bool
    effect: float
    ci95: tuple[float | None, float | None]
    p: float | None
    p_adjusted: float | None
    n_seeds: int
    n_test: int
    seeds_ahead: int
    seeds_needed: int | None
    train_effect: float
    train_ci95: tuple[float | None, float | None]
    compute_ratio: float
    outcome: Outcome
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class Caveat:
    """Something to know before the answer is believed: a name for scripts, and a sentence."""

    code: WarningCode
    text: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The answer of a comparison: summary.json.

    Attributes:
        request: fingerprint of the settings that it answers.
        tested: whether the runs could say anything about self-pretraining: it has learnt something, with three seeds.
        looks: numbers of seeds at which the result was looked at, by question (a fingerprint of all other settings);
            each look makes the next claim harder.
        level: significance level of this look.
    """

    request: str
    task: TaskSummary
    arms: Mapping[str, ArmSummary]
    comparisons: tuple[ContrastSummary, ...]
    tested: bool
    warnings: tuple[Caveat, ...]
    observations: tuple[str, ...]
    looks: Mapping[str, tuple[Look, ...]]
    level: float
    verdict: str

    def contrast(self, arm: str, against: str) -> ContrastSummary | None:
        """The contrast of two arms, if they were compared."""
        return next((c for c in self.comparisons if (c.arm, c.against) == (arm, against)), None)
