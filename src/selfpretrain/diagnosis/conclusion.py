"""What the measurements allow to be said: which group of weights carries the gain, and by what means.

A cell "recovers" the gain if it has reliably more than half of it, over seeds, and "does not" if reliably less; between
the two it is undecided. A group carries the gain if it alone recovers it *and* everything else without it does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from selfpretrain.stats import Interval, holm, t_interval

HALF = 0.5
"""Share of the gain that decides (ours)."""
LEVEL = 0.05
LEAST_SEEDS = 3
BLIND = 0.1
"""Below this share of the reconstruction's signal the label's counts as far weaker (ours)."""
STRUCTURED = 0.3
"""Adjusted Toeplitz R2 from which the position part counts as a pattern of lags (ours)."""
Row = Mapping[str, Any]
Answer = Literal["recovers", "does not", "undecided"]


@dataclass(frozen=True)
class Recovery:
    """How much of the gain one cell has.

    Attributes:
        share: mean of the cell's lead over scratch, over the mean gain.
        interval: of the cell's lead over scratch minus half the gain, in accuracy; its sign decides.
        p_holm: corrected over all cells of its kind: free ones, which the conclusion reads, or frozen ones.
    """

    cell: str
    share: float
    interval: Interval
    p_holm: float

    @property
    def answer(self) -> Answer:
        """Whether the cell recovers the gain."""
        if self.interval.n < LEAST_SEEDS or self.p_holm >= LEVEL:
            return "undecided"
        return "recovers" if self.interval.mean > 0 else "does not"


@dataclass(frozen=True)
class Evidence:
    """What the conclusion rests on; None where it was not measured.

    Attributes:
        scratch: test accuracy by seed.
        spt: test accuracy by seed, the same seeds.
        cells: test accuracy by seed of every cell, the same seeds; names as ``transplants.Cell.name``.
        outcome: of the comparison, spt against scratch at equal label compute.
        absolute_positions: whether the model's position code is absolute.
        label_sees: accuracy over chance of a classifier of pairs, on validation.
        blindness: SNR ratio label over reconstruction on proximity at the start, of every seed.
        toeplitz: adjusted Toeplitz R2 of the position part after self-pretraining, of every seed; the best head's.
        slope: proximity slope of that head, of every seed.
    """

    scratch: Sequence[float]
    spt: Sequence[float]
    cells: Mapping[str, Sequence[float]]
    outcome: str
    absolute_positions: bool = True
    label_sees: float | None = None
    blindness: Sequence[float] | None = None
    toeplitz: Sequence[float] | None = None
    slope: Sequence[float] | None = None


@dataclass(frozen=True)
class Conclusion:
    """The answer to "why", as far as the controls carry it.

    Attributes:
        carrier: the group of weights that carries the gain; "none" without a gain, "several" if no single group does,
            "undecided" if seeds disagree, None if nothing was transplanted.
        mechanism: "proximity from absolute positions" (or "proximity", with another position code), or None where the
            evidence falls short of it.
        sentences: in plain words.
    """

    carrier: str | None
    mechanism: str | None
    recoveries: Sequence[Recovery]
    sentences: Sequence[str]


def outcome_of(summary: Mapping[str, Any]) -> str:
    """What self-pretraining does against scratch at equal label compute."""
    found = (c["outcome"] for c in summary["comparisons"] if (c["arm"], c["against"]) == ("spt", "scratch"))
    outcome: str = next(found, "not compared")
    return outcome


def gather(summary: Mapping[str, Any], parts: Mapping[str, Sequence[Row]], *, absolute_positions: bool) -> Evidence:
    """Boil measurements down to what a conclusion needs.

    Args:
        summary: the comparison's.
        parts: measurements by part.
    """
    cells: dict[str, dict[int, float]] = {}
    for row in parts.get("transplants", []):
        test = row["values"][1]
        cells.setdefault(row["group"], {})[row["seed"]] = float("nan") if test is None else test
    seeds = sorted({seed for cell in cells.values() for seed in cell})
    test = {arm: [entry["test_acc"][seed] for seed in seeds] for arm, entry in summary["arms"].items()}
    pairs = next((row["values"] for row in parts.get("data", []) if row["name"] == "pair_classifier"), None)
    start = {
        row["seed"]: row["values"][0]
        for row in _rows(parts, "gradients", "blindness_ratio", "init")
        if row["values"][0] is not None
    }
    pretrained = {row["seed"]: row["values"] for row in _rows(parts, "attention", "position_toeplitz_r2", "pretrained")}
    slopes = {row["seed"]: row["values"] for row in _rows(parts, "attention", "position_slope", "pretrained")}
    best = {
        seed: max((r2, layer, head) for layer, heads in enumerate(r2s) for head, r2 in enumerate(heads))
        for seed, r2s in pretrained.items()
    }
    return Evidence(
        scratch=test.get("scratch", []),
        spt=test.get("spt", []),
        cells={name: [cell[seed] for seed in seeds] for name, cell in cells.items()},
        outcome=outcome_of(summary),
        absolute_positions=absolute_positions,
        label_sees=None if pairs is None else pairs - summary["task"]["majority"],
        blindness=list(start.values()) or None,
        toeplitz=[r2 for r2, _, _ in best.values()] or None,
        slope=[slopes[seed][layer][head] for seed, (_, layer, head) in best.items()] or None,
    )


def _rows(parts: Mapping[str, Sequence[Row]], part: str, name: str, stage: str) -> Iterator[Row]:
    return (row for row in parts.get(part, []) if row["name"] == name and row.get("stage") == stage)


def conclude(evidence: Evidence) -> Conclusion:
    """Draw the conclusion."""
    if evidence.outcome != "helps":
        said = "Self-pretraining has no detectable gain here, so there is nothing to carry and nothing to explain."
        if evidence.outcome == "hurts":
            said = "Self-pretraining hurts here; there is no gain whose carrier could be named."
        return Conclusion("none", None, [], [said, *_observations(evidence)])
    recoveries = _recoveries(evidence)
    carrier = _carrier(recoveries)
    answers = {r.cell: r.answer for r in recoveries}
    sentences = [_about_carrier(carrier, recoveries)]
    mechanism = None
    if carrier == "query-key":
        mechanism, said = _mechanism(evidence, answers)
        sentences.append(said)
    sentences += _controls(answers)
    return Conclusion(carrier, mechanism, recoveries, [*sentences, *_observations(evidence)])


def _recoveries(evidence: Evidence) -> list[Recovery]:
    if not evidence.cells:
        return []
    scratch, spt = np.asarray(evidence.scratch), np.asarray(evidence.spt)
    gain = float((spt - scratch).mean())
    found = []
    for cell, accuracies in evidence.cells.items():
        lead = np.asarray(accuracies, dtype=np.float64) - scratch
        here = np.isfinite(lead)
        interval = (
            t_interval((lead - HALF * (spt - scratch))[here]) if here.any() else Interval(0.0, None, None, None, 0)
        )
        share = float(lead[here].mean()) / gain if here.any() and gain else float("nan")
        found.append((cell, share, interval))
    corrected: dict[str, float] = {}
    for kind in ("free", "frozen"):
        family = {cell: interval.p for cell, _, interval in found if cell.endswith(f".{kind}")}
        corrected |= zip(family, holm([1.0 if p is None else p for p in family.values()]), strict=True)
    return [Recovery(cell, share, interval, corrected[cell]) for cell, share, interval in found]


def _carrier(recoveries: Sequence[Recovery]) -> str | None:
    """The single group that is enough and needed."""
    if not recoveries:
        return None
    answers = {r.cell: r.answer for r in recoveries}
    groups = [cell.split(".")[1].removeprefix("all-but-") for cell in answers if cell.startswith("spt.all-but-")]
    groups = [group for group in dict.fromkeys(groups) if f"spt.{group}.free" in answers]
    enough = [group for group in groups if answers[f"spt.{group}.free"] == "recovers"]
    needed = [group for group in groups if answers[f"spt.all-but-{group}.free"] == "does not"]
    both = [group for group in enough if group in needed]
    if len(both) == 1:
        return both[0]
    open_ = [g for g in groups for c in (f"spt.{g}.free", f"spt.all-but-{g}.free") if answers[c] == "undecided"]
    return "undecided" if open_ else "several"


def _percent(recoveries: Sequence[Recovery], cell: str) -> str:
    return next(f"{round(100 * r.share)}%" for r in recoveries if r.cell == cell)


def _about_carrier(carrier: str | None, recoveries: Sequence[Recovery]) -> str:
    match carrier:
        case None:
            return "No weights were transplanted, so no group of weights can be named as the gain's carrier."
        case "undecided":
            return "Seeds disagree about which group of weights carries the gain; more --transplant-seeds may decide."
        case "several":
            return (
                "No single group of weights carries the gain: none is both enough on its own and missed when left out."
            )
    alone, without = (_percent(recoveries, f"spt.{what}{carrier}.free") for what in ("", "all-but-"))
    return (
        f"The gain is carried by the {carrier} weights: taken alone from self-pretraining into a fresh start they "
        f"recover {alone} of it, and everything else without them {without}."
    )


def _mechanism(evidence: Evidence, answers: Mapping[str, Answer]) -> tuple[str | None, str]:
    """Proximity, if the scores show it, a bias that nobody learnt does as well, and the controls fail."""
    seen = evidence.toeplitz is not None and evidence.slope is not None
    shape = (
        seen
        and t_interval(evidence.toeplitz or [0.0]).above(STRUCTURED)
        and t_interval(evidence.slope or [0.0]).below(0)
    )
    if not seen:
        return None, "Attention was not looked at, so what these weights do is left open."
    if not shape:
        return (
            None,
            "The position part of their scores is no clear preference for near positions, so how they help is open.",
        )
    handmade = answers.get("handmade.proximity-bias.free", "undecided")
    failing = [name for name in ("random.query-key.free", "shuffled.query-key.free") if answers.get(name) != "does not"]
    found = "The position part of their scores is a preference for near positions that every sequence gets"
    if failing:
        return None, (
            f"{found}, but the control {failing[0]} does not clearly fail, so the order of the sequences is not shown "
            "to be what matters."
        )
    if handmade != "recovers":
        return None, (
            f"{found}; yet a hand-made proximity bias of this strength without any self-pretraining "
            f"{'does not recover' if handmade == 'does not' else 'does not reliably recover'} the gain, so proximity "
            "alone is not shown to be enough."
        )
    learnt = " from absolute positions" if evidence.absolute_positions else ""
    return f"proximity{learnt}", (
        f"{found}, and a hand-made proximity bias without any self-pretraining recovers the gain too: what matters is "
        f"proximity, here learnt{learnt}."
    )


def _controls(answers: Mapping[str, Answer]) -> list[str]:
    words = {
        "random.query-key.free": "query-key noise of the same norm",
        "shuffled.query-key.free": "query-key weights from self-pretraining on shuffled sequences",
        "shuffled.all.free": "everything from self-pretraining on shuffled sequences",
    }
    by_answer: dict[Answer, list[str]] = {"recovers": [], "does not": [], "undecided": []}
    for cell, said in words.items():
        if cell in answers:
            by_answer[answers[cell]].append(said)
    ends = {"recovers": "recover the gain", "does not": "do not recover the gain", "undecided": "leave it undecided"}
    return [f"Controls: {'; '.join(said)} {ends[answer]}." for answer, said in by_answer.items() if said]


def _observations(evidence: Evidence) -> list[str]:
    """What is true whether or not there is a gain."""
    said = []
    if evidence.label_sees is not None:
        if evidence.label_sees > 0.05:
            said.append(
                "The label could see the local structure: a linear classifier of pairs of near positions is "
                f"{100 * evidence.label_sees:.0f} points above chance. The labels hold that information, whatever "
                "their gradient makes of it."
            )
        else:
            said.append("Pairs of near positions say little about the label: it depends on something else.")
    if evidence.blindness is not None and len(evidence.blindness) >= LEAST_SEEDS:
        ratio = t_interval(evidence.blindness)
        bounds = f"ratio {ratio.mean:.3f}, 95% interval {ratio.low:.3f} to {ratio.high:.3f} over {ratio.n} seeds"
        if ratio.below(BLIND):
            said.append(
                "At the start the label's gradient says far less about proximity than the reconstruction's "
                f"({bounds}). Locally blind is not the same as cannot learn: other rates, optimisers or more steps may "
                "get there."
            )
        else:
            said.append(f"The label's gradient is not shown to be blind to proximity at the start ({bounds}).")
    return said


def plain(conclusion: Conclusion, evidence: Evidence) -> dict[str, Any]:
    """As JSON types."""
    return {
        "ends": {"scratch": list(evidence.scratch), "spt": list(evidence.spt)},
        "carrier": conclusion.carrier,
        "mechanism": conclusion.mechanism,
        "sentences": list(conclusion.sentences),
        "recoveries": [
            {
                "cell": r.cell,
                "share": r.share if r.share == r.share else None,
                "answer": r.answer,
                "p_holm": r.p_holm,
                "half_gain_interval": asdict(r.interval),
            }
            for r in conclusion.recoveries
        ],
    }
