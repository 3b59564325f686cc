"""The answer of a comparison: summary.json. Imports no torch.

Accuracies and effects are fractions of 1, losses are in nats, tuples are per seed in the order of seeds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from selfpretrain.config import LEARNT, MetricName
from selfpretrain.data.task import TaskSummary

Outcome = Literal["helps", "loses", "equal", "no detectable effect", "too short", "not tested"]
Cause = Literal["optimization", "generalization", "speed", "compute", "undetermined", "none"]
WarningCode = Literal[
    "pretraining-learnt-nothing",
    "pretraining-unreliable",
    "too-short",
    "untuned",
    "patches",
    "commonest-class",
    "rates-at-edge",
    "still-improving",
    "nothing-to-gain",
    "could-not-see",
    "classical-model-better",
    "more-rows",
    "groups",
    "perhaps-groups",
    "rival-missing",
    "mixed-versions",
]


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the seeds that did not fail; None if all did."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


@dataclass(frozen=True)
class Look:
    """A look at an answer: with how many seeds, and the significance level of a claim at it."""

    n_seeds: int
    level: float


@dataclass(frozen=True)
class Shortened:
    """What a budget made of a request.

    Attributes:
        share: of its label steps, how much is left.
        full_seconds: what all of its steps and rates would take with three seeds.
        rates: learning rates that are left out.
        patch: positions that are read as one token for it.
    """

    share: float
    full_seconds: float
    rates: int = 0
    patch: int = 1


@dataclass(frozen=True, kw_only=True)
class ArmSummary:
    """One arm over its seeds; entries are None where a run failed. See also ``TrainingResult``.

    Attributes:
        test_ci95: of the mean of the metric that decides, over other seeds and other test sequences.
        scores: every metric of the test split, by its name; losses and errors are positive.
        confusion: test rows of a class (row) taken for a class (column), over all seeds; empty for many classes.
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
    scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
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

    def scored(self, metric: MetricName) -> tuple[float | None, ...]:
        """A metric on the test split, by seed, as it is usually given; None where a run failed."""
        return self.test_acc if metric == "accuracy" else self.scores[metric]

    def mean_score(self, metric: MetricName) -> float | None:
        """Its mean over the seeds that did not fail."""
        return mean_of(self.scored(metric))

    @property
    def pretrained(self) -> tuple[int, int]:
        """In how many seeds self-pretraining has learnt something, and of how many."""
        gains = self.reconstruction_gains
        return sum(gain > LEARNT for gain in gains), len(gains)

    @property
    def reconstruction_gains(self) -> list[float]:
        """By what share of the best loss without context self-pretraining is below it, with each seed."""
        pairs = zip(self.val_reconstruction, self.val_without_context, strict=True)
        return [1 - loss / without for loss, without in pairs if loss is not None and without]


@dataclass(frozen=True, kw_only=True)
class ContrastSummary:
    """Two arms, paired by seed; differences are arm minus against.

    Attributes:
        primary: one of the claims that the comparison is made for; all others are secondary.
        ci95, p: over other seeds and other test sequences.
        df: degrees of freedom behind them; None where the interval is an exact one.
        p_adjusted: what decides: after Holm, among the primary claims and among the others.
        n_test: test sequences; with ``--group`` the groups that they belong to.
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
    df: float | None = None


@dataclass(frozen=True, kw_only=True)
class Caveat:
    """Something to know before the answer is believed: a name for scripts, a sentence, and what to do about it."""

    code: WarningCode
    text: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.cure}".strip()


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """Of the arms that are not recommended, the best on validation: the best of its seeds."""

    arm: str
    seed: int
    choice: str | None
    val: float
    test: float
    as_good: bool = False
    """On average as good as the arm that is recommended, and more expensive."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The model to use: of all arms the cheapest among those that are best on validation.

    Scores are of this model, and of the average of the probabilities of all its arm's seeds, by the metric that
    decides: the larger the better, so a log-loss has a minus.

    Attributes:
        learnt: whether it is better than always answering the commonest class (see ``plateau``).
        seconds: of its trainings, without those at other rates.
        saved: whether the folder ``best`` holds it; classifiers of aeon cannot be saved.
        average_val, average_test: None where the average is no better on validation.
        runner_up: None where there is one arm.
    """

    arm: str
    seed: int
    choice: str | None
    learnt: bool
    val: float
    test: float
    seconds: float
    saved: bool = True
    average_val: float | None = None
    average_test: float | None = None
    runner_up: RunnerUp | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer in words: in one line, which model to use, what to do next, the primary claims, and what to know."""

    answer: str
    advice: str = ""
    next: str = ""
    claims: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        return [line for line in (self.answer, self.advice, self.next, *self.claims, *self.notes) if line]

    def __str__(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The answer of a comparison: summary.json.

    Attributes:
        request: fingerprint of the settings that it answers.
        metric: what decides; effects are differences of it, above 0 where the arm is better.
        tested: whether the runs could say anything about self-pretraining: it has learnt something, within enough steps
            and in three seeds.
        recommended: None where no run ended well.
        looks: numbers of seeds at which the result was looked at, by question (a fingerprint of all other settings);
            each look makes the next claim harder.
        level: significance level of this look.
    """

    request: str
    task: TaskSummary
    metric: MetricName = "accuracy"
    arms: Mapping[str, ArmSummary]
    comparisons: tuple[ContrastSummary, ...]
    tested: bool
    warnings: tuple[Caveat, ...]
    observations: tuple[str, ...]
    looks: Mapping[str, tuple[Look, ...]]
    level: float
    recommended: Recommendation | None
    verdict: Verdict

    def contrast(self, arm: str, against: str) -> ContrastSummary | None:
        """The contrast of two arms, if they were compared."""
        return next((c for c in self.comparisons if (c.arm, c.against) == (arm, against)), None)
