"""Every contrast of a comparison, with its cause."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from selfpretrain.arms.registry import known_arms
from selfpretrain.results import ContrastSummary, RunResult
from selfpretrain.verdict.cause import cause_of
from selfpretrain.verdict.contrast import Contrast, contrast_of, correct_for_number


def judge(
    results: Mapping[str, Sequence[RunResult]], hits: Mapping[str, Sequence[NDArray[np.bool_] | None]]
) -> list[tuple[Contrast, ContrastSummary]]:
    """What may be claimed of every pair of arms that one of them declares, and why.

    They come in the order of interest, whatever the order of the request: the first carry the verdict.

    Args:
        results: of each arm, by seed.
        hits: of each arm, by seed, on the test rows (N,); None where a run failed.
    """
    declared = [(name, *versus) for name, arm in known_arms().items() for versus in arm.contrasts]
    pairs = [pair for pair in declared if pair[0] in results and pair[1] in results]
    made = [contrast for pair in pairs if (contrast := contrast_of(*pair, results, hits)) is not None]
    contrasts = correct_for_number(made)
    return [(contrast, _entry(contrast, contrasts)) for contrast in contrasts]


def with_more_compute(contrast: Contrast, contrasts: Sequence[Contrast]) -> Contrast | None:
    """The contrast in which scratch has this arm's total compute, where the other arm is scratch in some form."""
    if contrast.against not in ("scratch", "scratch-long"):
        return None
    return next((c for c in contrasts if c.arm == contrast.arm and c.matched == "total compute"), None)


def _entry(contrast: Contrast, contrasts: Sequence[Contrast]) -> ContrastSummary:
    return ContrastSummary(
        arm=contrast.arm,
        against=contrast.against,
        matched=contrast.matched,
        effect=contrast.test.mean,
        ci95=contrast.test.bounds,
        p=contrast.test.p,
        p_holm=contrast.p_holm,
        n_seeds=contrast.test.n,
        ci95_examples=contrast.examples.bounds,
        train_effect=contrast.train.mean,
        train_ci95=contrast.train.bounds,
        compute_ratio=contrast.compute_ratio,
        outcome=contrast.outcome,
        cause=cause_of(contrast, with_more_compute(contrast, contrasts)),
    )
