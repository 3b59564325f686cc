"""Why two arms differ.

The cause follows a decision table. "Trains better" compares the best clean training accuracy that each run reached,
in evaluation mode, not the accuracy of the selected weights, which early stopping may have taken from before the
training set was fitted.

| outcome       | what the runs show                                                        | cause          |
|---------------|---------------------------------------------------------------------------|----------------|
| helps         | the arm trains better, and that carries at least half of the gain:         |                |
|               | - and the other stays behind when it gets the same total compute           | optimization   |
|               | - but the other catches up when it gets the same total compute             | speed          |
|               | - and nobody gave the other more compute                                   | undetermined   |
| loses         | the arm trains worse (nobody gave it more compute)                         | undetermined   |
| helps, loses  | both train equally well (interval within +-margin, +-half of the gain)     | generalization |
| helps, loses  | anything else                                                              | undetermined   |
| no effect     | equal test and training accuracy at equal label steps, and one fits the    | speed          |
|               | training set in fewer of them                                              |                |
| no effect     | anything else                                                              | none           |
| not tested    | anything                                                                   | none           |
"""

from selfpretrain.config import MIN_SEEDS
from selfpretrain.results import Cause
from selfpretrain.verdict.contrast import Contrast

MARGIN = 0.02
"""Accuracies that differ by less count as equal (ours)."""


def cause_of(contrast: Contrast, with_more_compute: Contrast | None) -> Cause:
    """The decision table at the top of this file.

    Args:
        with_more_compute: the same arm against the same other, which got the arm's total compute; ``contrast``
            itself where that is what it compares; None where nobody ran it.
    """
    if contrast.test.n < MIN_SEEDS:
        return "undetermined"
    if contrast.outcome == "not tested":
        return "none"
    if contrast.outcome == "no detectable effect":
        equal = contrast.test.within(MARGIN) and contrast.train.within(MARGIN)
        steps = contrast.fit_lead if contrast.matched.startswith("label") else None
        faster = steps is not None and (steps.below(0) or steps.above(0))
        return "speed" if equal and faster else "none"
    if contrast.outcome == "helps" and contrast.train.above(0) and contrast.train.mean >= contrast.test.mean / 2:
        if with_more_compute is None:
            return "undetermined"
        return "optimization" if with_more_compute.outcome == "helps" else "speed"
    equal = contrast.train.within(min(MARGIN, abs(contrast.test.mean) / 2))
    return "generalization" if equal else "undetermined"
