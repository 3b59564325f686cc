"""From the runs of every arm to what may be claimed, why, and what to know before it is believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfpretrain.arms.registry import contrasts_of, known_arms
from selfpretrain.config import Kind
from selfpretrain.results import Caveat, ContrastSummary, Row, RunResult
from selfpretrain.verdict.cause import cause_of
from selfpretrain.verdict.caveats import caveats, learnt_nothing, observations, seeds_needed
from selfpretrain.verdict.claims import claim
from selfpretrain.verdict.contrast import Contrast, Hits, contrast_of


@dataclass(frozen=True)
class Judgement:
    """What a comparison's runs allow to be said.

    Attributes:
        level: significance level of a claim.
        contrasts: in the order of interest: the first carry the verdict.
        entries: the same for summary.json, with their causes.
    """

    level: float
    contrasts: Sequence[Contrast]
    entries: Sequence[ContrastSummary]
    caveats: Sequence[Caveat]
    observations: Sequence[str]

    @property
    def tested(self) -> bool:
        """Whether the first contrast says anything of self-pretraining."""
        return bool(self.contrasts) and self.contrasts[0].outcome != "not tested"


def judge(
    results: Mapping[str, Sequence[RunResult]],
    hits: Hits,
    curves: Mapping[str, Sequence[Sequence[Row]]],
    *,
    kind: Kind,
    level: float,
    rows: str = "sequences",
) -> Judgement:
    """Judge every pair of arms that one of them declares, whatever the order of the request.

    Args:
        results: of each arm, by seed.
        hits: of each arm, by seed.
        curves: the validations of label training of each arm, by seed.
        level: significance level of a claim.
        rows: what the rows of the task are called.
    """
    declared = [(name, versus) for name in known_arms() for versus in contrasts_of(name)]
    pairs = [(arm, versus) for arm, versus in declared if arm in results and versus.against in results]
    made = [contrast for pair in pairs if (contrast := contrast_of(*pair, results, hits)) is not None]
    contrasts = [_tested(replace(contrast, rows=rows), results) for contrast in claim(made, level)]
    return Judgement(
        level,
        contrasts,
        [_entry(contrast, contrasts, level) for contrast in contrasts],
        caveats(contrasts, results, hits, curves, kind=kind, level=level),
        observations(contrasts),
    )


def _tested(contrast: Contrast, results: Mapping[str, Sequence[RunResult]]) -> Contrast:
    """An arm whose self-pretraining has learnt nothing tests nothing, unless it is ahead all the same."""
    if contrast.outcome != "helps" and learnt_nothing(results[contrast.arm]):
        return replace(contrast, outcome="not tested")
    return contrast


def with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The contrast in which scratch has this arm's total compute, where the other arm is scratch in some form."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def _entry(contrast: Contrast, contrasts: Sequence[Contrast], level: float) -> ContrastSummary:
    return ContrastSummary(
        arm=contrast.arm,
        against=contrast.against,
        matched=contrast.matched,
        primary=contrast.primary,
        effect=contrast.test.mean,
        ci95=contrast.test.bounds,
        p=contrast.test.p,
        p_adjusted=contrast.p_adjusted,
        n_seeds=contrast.test.n,
        n_test=contrast.n_test,
        seeds_ahead=sum(lead > 0 for lead in contrast.leads),
        seeds_needed=seeds_needed(contrast, level),
        train_effect=contrast.train.mean,
        train_ci95=contrast.train.bounds,
        compute_ratio=contrast.compute_ratio,
        outcome=contrast.outcome,
        cause=cause_of(contrast, with_more_compute(contrast, contrasts)),
    )
