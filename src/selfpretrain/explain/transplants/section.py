"""The section ``transplants`` of the diagnosis: the one that trains."""

from typing import TYPE_CHECKING

from selfpretrain.explain.section import Experiment, later

if TYPE_CHECKING:
    from selfpretrain.explain.subject import Subject


def obstacle(subject: "Subject") -> str | None:
    """Why this subject can have no transplants, or why they would have nothing to explain; None if it can."""
    if not subject.whole:
        return "transplants need a whole comparison, not a single run"
    lacking = [arm for arm in ("scratch", "spt") if arm not in subject.request.arms]
    if lacking:
        return f"transplants need the arms scratch and spt; this comparison has no {lacking[0]}"
    contrast = subject.summary.contrast("spt", "scratch")
    outcome = "not compared" if contrast is None else contrast.outcome
    if outcome != "helps":
        return f"no transplants: spt against scratch has the outcome '{outcome}', so there is no gain to carry"
    return None


TRANSPLANTS = Experiment(
    name="transplants",
    says="which group of weights carries the gain, by moving them one by one; trains",
    obstacle=obstacle,
    conduct=later("selfpretrain.explain.transplants.conduct", "conduct"),
    protocol=("transplant_seeds",),
    missing=later("selfpretrain.explain.transplants.conduct", "missing"),
    pictures=later("selfpretrain.explain.transplants.pictures", "pictures"),
)
