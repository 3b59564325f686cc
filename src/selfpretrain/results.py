"""What trainings, runs and comparisons answer: frozen records that go to JSON and back.

Accuracies and effects are fractions of 1, losses are in nats, lists are per seed in the order of seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from selfpretrain.config import Kind

Outcome = Literal["helps", "loses", "no detectable effect", "not tested"]
Cause = Literal["optimization", "generalization", "speed", "undetermined", "none"]
WarningCode = Literal[
    "pretraining-learnt-nothing", "still-improving", "nothing-to-gain", "could-not-see", "classical-model-better"
]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a classifier scores on a split; ``evaluate.classification_metrics`` defines both."""

    acc: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What one training came to.

    Attributes:
        failure: why it ended early; everything else is then 0 or None.
        steps: optimiser steps made; fewer than planned after early stopping.
        selected_step: the validation whose weights were kept.
        peak_memory_bytes: None where the system does not say.
        train, val: of the kept weights on the whole splits (label training).
        train_sample_acc: of the kept weights on the clean training sample (label training).
        best_train_sample_acc: the best such accuracy along the way.
        steps_to_fit: first validation at which that sample was fitted; None if never.
        val_reconstruction: reconstruction loss of the kept weights on validation (self-pretraining).
        val_without_context: the best such loss without looking at other positions (self-pretraining).
        val_lowest: the lowest such loss that can be expected, where the law of the sequences is known.
    """

    failure: str | None = None
    steps: int = 0
    selected_step: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int | None = None
    train: Metrics | None = None
    val: Metrics | None = None
    train_sample_acc: float | None = None
    best_train_sample_acc: float | None = None
    steps_to_fit: int | None = None
    val_reconstruction: float | None = None
    val_without_context: float | None = None
    val_lowest: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What an arm with one seed came to: its trainings and their evaluation.

    Attributes:
        failure: why there is nothing else; None if there is.
        lr: None for a classical model.
        choice: which classical model it is; None for a network.
        train_sample_acc: of the kept weights on clean training sequences (for networks on the sample that is followed).
        best_train_acc: the best such accuracy that the run reached.
    """

    arm: str
    seed: int
    failure: str | None = None
    lr: float | None = None
    choice: str | None = None
    train: Metrics | None = None
    val: Metrics | None = None
    test: Metrics | None = None
    train_sample_acc: float | None = None
    best_train_acc: float | None = None
    steps_to_fit: int | None = None
    val_reconstruction: float | None = None
    val_without_context: float | None = None
    val_lowest: float | None = None
    steps_pretrain: int = 0
    steps_label: int = 0
    flops_pretrain: int = 0
    flops_label: int = 0
    seconds_pretrain: float = 0.0
    seconds_label: float = 0.0
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Look:
    """A look at an answer: with how many seeds, and the significance level of a claim at it."""

    n_seeds: int
    level: float


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """The task in figures."""

    name: str
    kind: Kind
    n_train: int
    n_val: int
    n_test: int
    n_unlabelled: int
    length: int
    classes: int
    majority: float
    """Share of the commonest class of the test split."""
    fingerprint: str
    per_row: int = 1
    """Sequences of a row: 1, or the 2 of a pair."""

    @property
    def rows(self) -> str:
        """What its rows are: sequences, or pairs."""
        return "sequences" if self.per_row == 1 else "pairs"


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm over its seeds; entries are None where a run failed."""

    train_acc: tuple[float | None, ...]
    """On the whole training split, of the kept weights."""
    val_acc: tuple[float | None, ...]
    test_acc: tuple[float | None, ...]
    test_ci95: tuple[float | None, float | None]
    """Of the mean, over other seeds and other test sequences."""
    train_sample_acc: tuple[float | None, ...]
    """On the training sequences that are followed, of the kept weights, and the best along the way."""
    best_train_acc: tuple[float | None, ...]
    steps_to_fit: tuple[int | None, ...]
    val_reconstruction: tuple[float | None, ...]
    """Reconstruction loss after self-pretraining."""
    val_without_context: tuple[float | None, ...]
    """The best such loss without looking at other positions."""
    val_lowest: tuple[float | None, ...]
    """The lowest such loss that can be expected, where the law of the sequences is known."""
    choice: str | None
    """Which classical model it is."""
    peak_memory_bytes: tuple[int | None, ...]
    lr: float | None
    lr_tried: Mapping[str, float | None]
    """Mean validation accuracy of each rate on seeds that are not reported; None where a trial failed."""
    steps_pretrain: int
    steps_label: int
    flops_pretrain: int
    flops_label: int
    seconds: tuple[float | None, ...]
    failures: Mapping[str, str]
    """Reason by seed."""


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
        tested: whether the runs could say anything about self-pretraining: it has learnt something, with three seeds.
        looks: numbers of seeds at which the result was looked at, by question (a fingerprint of all other settings);
            each look makes the next claim harder.
        level: significance level of this look.
    """

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


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """What a study says of one of its claims.

    Attributes:
        primary: one of the first two, which are taken in their order; the others are corrected by Holm's rule.
        unit: of the effect, times 100.
        least: effects below this count as none.
        effect: as the claim has it, above 0 in its favour; None where it was not measured.
        why: it was not measured.
        family: claims that are corrected together, of one data set; "" where the study has one family.
    """

    claim: str
    refuted_by: str
    primary: bool
    unit: str
    least: float
    effect: float | None
    ci95: tuple[float | None, float | None]
    p_adjusted: float | None
    n_seeds: int
    outcome: Literal["holds", "does not hold", "undecided"]
    why: str | None
    family: str = ""


@dataclass(frozen=True, kw_only=True)
class CaseAnswer:
    """One comparison of a study.

    Attributes:
        request: fingerprint of the comparison and its data: an answer to anything else is none.
        failure: why it has no answer; None while it has one or is still to come.
        left_out: why nobody tried, and the cure.
        warnings: what should be known before its answer is believed.
    """

    name: str
    axes: Mapping[str, str]
    request: str
    failure: str | None = None
    left_out: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyAnswer:
    """The answer of a study: study.json.

    Attributes:
        declared: fingerprint of the declaration.
        changed_after: so many comparisons had finished when the declaration was changed; None if it never was.
    """

    study: str
    question: str
    expected: str
    profile: Literal["small", "full"]
    version: str
    declared: str
    changed_after: int | None
    claims: tuple[ClaimAnswer, ...]
    cases: tuple[CaseAnswer, ...]
    answer: str


Row = Mapping[str, Any]
"""One validation: a line of metrics.jsonl."""
