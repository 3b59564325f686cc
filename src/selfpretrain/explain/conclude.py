"""Draws the conclusion from the measurements: which group of weights carries the gain, and how.

A transplant "recovers" the gain if it has reliably more than half of it, over seeds, and "does not" if reliably less;
between the two it is undecided. A group carries the gain if it alone recovers it *and* everything else without it does
not.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from pandas import DataFrame

from selfpretrain.comparison.claims import ALPHA
from selfpretrain.comparison.summary import Summary
from selfpretrain.config import BLIND, MIN_SEEDS, NEAR, SIGNAL
from selfpretrain.explain.cells import (
    HANDMADE,
    HANDMADE_FROZEN,
    MAPS,
    NOISE,
    QUERY_KEY,
    SHUFFLED,
    Cell,
    all_but,
    alone,
    cells_by_name,
    everything,
)
from selfpretrain.explain.table import pick
from selfpretrain.files import to_dict
from selfpretrain.model.groups import Group
from selfpretrain.registry import ARMS
from selfpretrain.stats import Interval, chance_snr, holm, t_interval, with_shared_error

HALF = 0.5
"""Share of the gain that decides (ours)."""
STRUCTURED = 0.3
"""Adjusted Toeplitz R2 from which, with attention beyond ``NEAR``, the position part of a head's scores favours near
positions (ours; the weights at the start have about 0 to .4)."""
SEEN = 0.05
"""Accuracy beyond what shuffled sequences give, from which pairs tell classes apart (ours)."""
CLEAR = 3.0
"""Standard errors that it has to be as well (ours)."""
PAIRS = ("pair_classifier", "pair_classifier_shuffled")


class Pairs(NamedTuple):
    """What a classifier of pairs of positions gets right."""

    accuracy: float
    """Of validation sequences."""
    shuffled: float
    """The same with their positions shuffled."""
    n: int
    """Validation sequences."""


class Signals(NamedTuple):
    """Signal-to-noise of both losses on scores, at the start of one seed, and the sequences behind it."""

    label: float
    """On proximity, lags k and -k together."""
    reconstruction: float
    label_direction: float
    """On direction, k against -k."""
    reconstruction_direction: float
    n: int


class LabelTest(NamedTuple):
    """What labels have to do with gradients on query-key weights, at the start of one seed; see ``label_signal``."""

    share: float
    chance: float
    p: float
    n: int

    @property
    def excess(self) -> float:
        """Share of the labels' variance that is explained beyond chance."""
        return self.share - self.chance


def label_excess(tests: Sequence[LabelTest]) -> Interval:
    """The mean excess over seeds, which are looked at with the same sequences and so share what is chance in these.

    That part is at most the variance of a share without a signal, ``2 c (1 - c) / (n + 1)`` of a beta distribution with
    mean c.
    """
    chance, n = tests[0].chance, tests[0].n
    return with_shared_error([test.excess for test in tests], 2 * chance * (1 - chance) / (n + 1))


class Shape(NamedTuple):
    """The position part of the scores of the head in which it favours near positions most."""

    near_mass: float
    """Attention on near positions that it alone would give, relative to uniform attention."""
    toeplitz: float
    """Adjusted Toeplitz R2."""
    slope: float
    """Proximity slope, score a position."""


SHAPE = ("position_window_mass_relative", "position_toeplitz_r2", "position_slope")
"""The measurements of which a ``Shape`` is made, in its order."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The facts that a conclusion is based on; empty or None where they were not measured.

    Attributes:
        outcome: of spt against scratch at equal label compute; "not compared" without one of them.
        n_seeds: in which both spt and scratch ended well.
        absolute_positions: whether the model's position code is absolute.
        scratch: test accuracy by seed.
        spt: test accuracy by seed, the same seeds.
        cells: test accuracy by seed of every transplant, the same seeds, NaN where a run failed.
        pairs: by a classifier of pairs of positions.
        signals: by seed.
        shapes: at the start and after self-pretraining, by seed.
        label_tests: at the start of every arm, by seed.
    """

    outcome: str
    n_seeds: int
    absolute_positions: bool = True
    scratch: Sequence[float] = ()
    spt: Sequence[float] = ()
    cells: Mapping[Cell, Sequence[float]]
    pairs: Pairs | None = None
    signals: Sequence[Signals] = ()
    shapes: Sequence[tuple[Shape, Shape]] = ()
    label_tests: Mapping[str, Sequence[LabelTest]] = field(default_factory=dict)

    @property
    def shared_label_tests(self) -> Sequence[LabelTest]:
        """Those of a start that arms share."""
        return next((tests for arm, tests in self.label_tests.items() if not ARMS[arm].own_start), ())


def gather(summary: Summary, table: DataFrame, *, absolute_positions: bool) -> Evidence:
    """Extract the facts for the conclusion from the table of a diagnosis."""
    contrast = summary.contrast("spt", "scratch")
    transplanted = pick(table, "transplant_test_acc")
    by_cell = transplanted.pivot(index="seed", columns="cell", values="value")
    ends = {
        arm: [math.nan if entry.test_acc[seed] is None else entry.test_acc[seed] for seed in by_cell.index]
        for arm, entry in summary.arms.items()
    }
    pairs = [row for name in PAIRS for row in pick(table, name).dropna(subset="value").itertuples()]
    return Evidence(
        outcome="not compared" if contrast is None else contrast.outcome,
        n_seeds=0 if contrast is None else contrast.n_seeds,
        absolute_positions=absolute_positions,
        scratch=ends.get("scratch", []),
        spt=ends.get("spt", []),
        cells={cells_by_name()[name]: list(by_cell[name]) for name in transplanted["cell"].unique()},
        pairs=Pairs(pairs[0].value, pairs[1].value, pairs[0].n) if len(pairs) == 2 else None,
        signals=_signals(table),
        shapes=_shapes(table),
        label_tests=_label_tests(table),
    )


def shared_start(rows: DataFrame) -> DataFrame:
    """Rows at the start that scratch and spt share, one for each seed; some arms have another."""
    of_shared = rows["arm"].isin([name for name, arm in ARMS.items() if not arm.own_start])
    at_start = rows[(rows["stage"] == "start") & of_shared]
    return at_start[at_start["arm"] == at_start.groupby("seed")["arm"].transform("first")]


def _signals(table: DataFrame) -> list[Signals]:
    """Of every seed whose four ratios are known."""
    parts = {"proximity_snr": "", "direction_snr": "_direction"}
    rows = shared_start(table[table["name"].isin(parts)]).dropna(subset="value")
    rows = rows.assign(field=rows["loss"] + rows["name"].map(parts))
    by_seed = rows.pivot(index="seed", columns="field", values="value")
    by_seed["n"] = rows.groupby("seed")["n"].first()
    whole = by_seed.reindex(columns=list(Signals._fields)).dropna()
    return [Signals(*ratios) for ratios in whole.itertuples(index=False)]


def _label_tests(table: DataFrame) -> dict[str, list[LabelTest]]:
    names = [f"label_signal_{part}" for part in LabelTest._fields[:-1]]
    rows = table[table["name"].isin(names) & (table["stage"] == "start")]
    tests = rows.pivot(index=["arm", "seed"], columns="name", values="value").reindex(columns=names).dropna()
    tests["n"] = rows.groupby(["arm", "seed"])["n"].first()
    return {
        str(arm): [LabelTest(*test) for test in of_arm.sort_index().itertuples(index=False)]
        for arm, of_arm in tests.groupby(level="arm", sort=False)
    }


def _shapes(table: DataFrame) -> list[tuple[Shape, Shape]]:
    """By seed, of the start that scratch and spt share, and after the self-pretraining of spt."""
    rows = table[table["name"].isin(SHAPE)]
    after = rows[(rows["stage"] == "after-pretrain") & (rows["arm"] == "spt")]
    starts, ends = _nearest(shared_start(rows)), _nearest(after)
    return [(starts[seed], shape) for seed, shape in ends.items() if seed in starts]


def _nearest(rows: DataFrame) -> dict[int, Shape]:
    """The shape of the head that looks nearest, by seed."""
    heads = rows.pivot(index=["seed", "layer", "head"], columns="name", values="value")
    heads = heads.reindex(columns=list(SHAPE)).dropna()
    nearest = heads.loc[heads.groupby("seed")[SHAPE[0]].idxmax()]
    return {seed: Shape(*values) for (seed, _, _), *values in nearest.itertuples()}


Answer = Literal["recovers", "does not", "undecided"]


@dataclass(frozen=True)
class Recovery:
    """How much of the gain one transplant has.

    Attributes:
        share: mean of its lead over scratch, over the mean gain.
        interval: of its lead over scratch minus half the gain, in accuracy; its sign decides.
        p_holm: corrected over its family: what decides about the carrier, the controls, or the rest.
    """

    cell: Cell
    share: float
    interval: Interval
    p_holm: float

    @property
    def answer(self) -> Answer:
        """Whether it recovers the gain."""
        if self.interval.n < MIN_SEEDS or self.p_holm >= ALPHA:
            return "undecided"
        return "recovers" if self.interval.mean > 0 else "does not"

    @property
    def percent(self) -> str:
        """Its share in words."""
        return f"{round(100 * self.share)}%" if math.isfinite(self.share) else "an unknown share"


@dataclass(frozen=True)
class Conclusion:
    """The answer to "why", as far as the controls carry it.

    Attributes:
        carrier: the group of weights that carries the gain; "none" without a gain, "several" if it is no single one,
            "undecided" if seeds do not decide it, None if nothing was transplanted.
        mechanism: "proximity from absolute positions" (or "proximity", with another position code), or None where the
            evidence falls short of it.
        sentences: in plain words.
    """

    carrier: str | None
    mechanism: str | None
    recoveries: Sequence[Recovery]
    sentences: Sequence[str]


def conclude(evidence: Evidence) -> Conclusion:
    """Draw the conclusion."""
    if evidence.outcome != "helps":
        # Nothing is to be explained: what the data allow comes first, and the rest is short.
        pairs = [] if evidence.pairs is None else [_pairs(evidence.pairs)]
        blind = _blindness(evidence, briefly=True) if len(evidence.signals) >= MIN_SEEDS else []
        about_labels = [*blind, *_label_signal(evidence)]
        return Conclusion("none", None, [], [*pairs, _without_gain(evidence), *_attention(evidence), *about_labels])
    recoveries = {recovery.cell: recovery for recovery in _recoveries(evidence)}
    carrier, sentence = _carrier(recoveries)
    sentences, mechanism = [sentence], None
    if carrier == "query-key":
        mechanism, sentence = _mechanism(evidence, recoveries)
        sentences += [sentence, *_frozen(recoveries)]
    sentences += _controls(recoveries)
    return Conclusion(carrier, mechanism, list(recoveries.values()), [*sentences, *_observations(evidence)])


def plain(conclusion: Conclusion, evidence: Evidence) -> dict[str, Any]:
    """As JSON types."""
    return {
        "ends": {
            arm: [accuracy if math.isfinite(accuracy) else None for accuracy in accuracies]
            for arm, accuracies in (("scratch", evidence.scratch), ("spt", evidence.spt))
        },
        "carrier": conclusion.carrier,
        "mechanism": conclusion.mechanism,
        "sentences": list(conclusion.sentences),
        "recoveries": [
            {
                "cell": to_dict(r.cell),
                "share": r.share if math.isfinite(r.share) else None,
                "answer": r.answer,
                "p_holm": r.p_holm,
                "half_gain_interval": asdict(r.interval),
            }
            for r in conclusion.recoveries
        ],
    }


def _without_gain(evidence: Evidence) -> str:
    if evidence.outcome == "not compared":
        return "The comparison has not both arms scratch and spt, so there is no gain to explain."
    if evidence.n_seeds < MIN_SEEDS:
        return f"With fewer than {MIN_SEEDS} seeds no gain is claimed, and so none is explained."
    if evidence.outcome == "loses":
        return "Self-pretraining loses here; there is no gain whose carrier could be named."
    if evidence.outcome == "equal":
        return "With and without self-pretraining the accuracy is the same here; there is no gain to explain."
    if evidence.outcome == "too short":
        return "The runs were too short to say whether self-pretraining helps; there is no gain to explain."
    if evidence.outcome == "not tested":
        return "Self-pretraining has learnt nothing here that could help; there is no gain to explain."
    return "Self-pretraining has no detectable gain here, so there is none to explain."


def _attention(evidence: Evidence) -> list[str]:
    """What self-pretraining did to attention, where no gain asks for it."""
    if not evidence.shapes:
        return []
    start, after = (
        float(np.mean([shape.near_mass for shape in stage])) for stage in zip(*evidence.shapes, strict=True)
    )
    learnt = t_interval([after.near_mass - before.near_mass for before, after in evidence.shapes])
    change = (
        "favours near positions more than" if learnt.above(0) else "is not shown to favour near positions more than"
    )
    return [
        f"After self-pretraining attention {change} at the start: in the head that favours them most they get, by the "
        f"position part of its scores alone, {after:.1f} times what uniform attention gives them ({start:.1f} before)."
    ]


def _recoveries(evidence: Evidence) -> list[Recovery]:
    if not evidence.cells:
        return []
    scratch, spt = np.asarray(evidence.scratch), np.asarray(evidence.spt)
    recoveries = []
    for cell, accuracies in evidence.cells.items():
        lead = np.asarray(accuracies, dtype=np.float64) - scratch
        here = np.isfinite(lead) & np.isfinite(spt)
        if here.any():
            interval = t_interval((lead - HALF * (spt - scratch))[here])
        else:
            interval = Interval(0.0, None, None, None, 0)
        gain = float((spt - scratch)[here].mean()) if here.any() else 0.0
        share = float(lead[here].mean()) / gain if gain else math.nan
        recoveries.append((cell, share, interval))
    deciding = {cell for pair in _pairs_of_cells(evidence.cells).values() for cell in pair}

    def family(cell: Cell) -> str:
        if cell in deciding:
            return "carrier"
        return "control" if cell.donor != "spt" and not cell.frozen else "rest"

    corrected: dict[Cell, float] = {}
    for name in ("carrier", "control", "rest"):
        members = {cell: interval.p for cell, _, interval in recoveries if family(cell) == name}
        corrected |= zip(members, holm([1.0 if p is None else p for p in members.values()]), strict=True)
    return [Recovery(cell, share, interval, corrected[cell]) for cell, share, interval in recoveries]


def _pairs_of_cells(cells: Collection[Cell]) -> dict[Group, tuple[Cell, Cell]]:
    """Of each group the two cells that decide about it, where both are there: it alone, and everything but it."""
    groups = [cell.taken[0] for cell in cells if len(cell.taken) == 1 and cell == alone(cell.taken[0])]
    pairs = {group: (alone(group), all_but(group, groups)) for group in groups}
    return {group: pair for group, pair in pairs.items() if pair[1] in cells}


def _carrier(recoveries: Mapping[Cell, Recovery]) -> tuple[str | None, str]:
    """The single group that is enough and needed, and what to say of it."""
    if not recoveries:
        return (
            None,
            "No transplants were made under these settings, so no group of weights can be named as the gain's carrier.",
        )
    pairs = {group: (recoveries[one], recoveries[rest]) for group, (one, rest) in _pairs_of_cells(recoveries).items()}
    if not pairs:
        return (
            None,
            "No group was moved both alone and left out, so none can be named as the gain's carrier.",
        )
    both = [g for g, (one, rest) in pairs.items() if one.answer == "recovers" and rest.answer == "does not"]
    if len(both) == 1:
        one, rest = pairs[both[0]]
        return both[0], (
            f"The gain is carried by the {both[0]} weights: taken alone from self-pretraining into a fresh start they "
            f"recover {one.percent} of it, and everything else without them {rest.percent}."
        )
    if both:
        return "several", f"Each of {', '.join(both)} is enough alone, and missed when left out: no single carrier."
    deciding = [recovery for pair in pairs.values() for recovery in pair]
    if all(recovery.interval.n < MIN_SEEDS for recovery in deciding):
        return "undecided", f"Which weights carry the gain takes {MIN_SEEDS} seeds of every transplant to say."
    if any(recovery.answer == "undecided" for recovery in deciding):
        return "undecided", "These seeds do not decide which weights carry the gain; more of them may."
    return "several", (
        f"No single group of weights carries the gain: of {', '.join(pairs)} none is both enough alone and missed when "
        "left out."
    )


def _mechanism(evidence: Evidence, recoveries: Mapping[Cell, Recovery]) -> tuple[str | None, str]:
    """Proximity, if attention shows it, a bias that nobody learnt does as well, and the controls fail."""
    if not evidence.shapes:
        return None, "Attention was not looked at under these settings, so what these weights do is left open."
    near, toeplitz, slope = (
        t_interval(values) for values in zip(*(after for _, after in evidence.shapes), strict=True)
    )
    learnt = t_interval([after.near_mass - before.near_mass for before, after in evidence.shapes])
    if not (near.above(NEAR) and toeplitz.above(STRUCTURED) and slope.below(0) and learnt.above(0)):
        return None, "Their scores have learnt no clear preference for near positions, so how they help is left open."
    seen = "The position part of their scores is a preference for near positions that every sequence gets"
    for control in (NOISE, SHUFFLED):
        if control not in recoveries or recoveries[control].answer != "does not":
            failed = "was not tried" if control not in recoveries else "does not clearly fail"
            return None, f"{seen}; but the control '{control.words}' {failed}, so order is not shown to matter."
    handmade = recoveries.get(HANDMADE)
    if handmade is None or handmade.answer != "recovers":
        share = "was not tried" if handmade is None else f"recovers {handmade.percent} of the gain"
        return None, f"{seen}; yet a hand-made one {share}, so proximity alone is not shown to be enough."
    source = " from absolute positions" if evidence.absolute_positions else ""
    return f"proximity{source}", (
        f"{seen}, learnt{source}. Proximity is enough for labels to go on from: a hand-made bias towards near "
        f"positions without any self-pretraining recovers {handmade.percent} of the gain."
    )


def _frozen(recoveries: Mapping[Cell, Recovery]) -> list[str]:
    """Whether queries and keys must go on learning."""
    words = {
        HANDMADE_FROZEN: "the hand-made bias over frozen fresh query-key weights",
        alone("query-key", frozen=True): "query-key alone",
        everything((), frozen=QUERY_KEY): "everything taken, with query-key frozen",
    }
    shares = [f"{what} {recoveries[cell].percent}" for cell, what in words.items() if cell in recoveries]
    text = "Share of the gain with query-key frozen, so that labels cannot change it"
    sentences = [f"{text}: {'; '.join(shares)}."] if shares else []
    if MAPS in recoveries:
        sentences.append(f"Copied attention maps, while everything else learns, have {recoveries[MAPS].percent} of it.")
    return sentences


def _controls(recoveries: Mapping[Cell, Recovery]) -> list[str]:
    words = {
        NOISE: "query-key noise of the same norm",
        SHUFFLED: "query-key from self-pretraining on shuffled sequences",
        everything((), "shuffled"): "everything from self-pretraining on shuffled sequences",
    }
    answers = {"recovers": "recovers it", "does not": "does not recover it", "undecided": "undecided"}
    shares = [
        f"{what} {recoveries[cell].percent} ({answers[recoveries[cell].answer]})"
        for cell, what in words.items()
        if cell in recoveries
    ]
    return [f"Controls, share of the gain: {'; '.join(shares)}."] if shares else []


def _observations(evidence: Evidence) -> list[str]:
    """What is true beside the gain."""
    observations = []
    if evidence.pairs is not None:
        observations.append(_pairs(evidence.pairs))
    if len(evidence.signals) >= MIN_SEEDS:
        observations.append(" ".join(_blindness(evidence)))
    return [*observations, *_label_signal(evidence)]


def _pairs(pairs: Pairs) -> str:
    """Whether they tell classes apart, beyond what single positions do and what so few sequences may by chance."""
    error = math.sqrt(sum(share * (1 - share) for share in (pairs.accuracy, pairs.shuffled)) / pairs.n)
    right, shuffled = (f"{100 * share:.0f}%" for share in (pairs.accuracy, pairs.shuffled))
    counts = f"{right} of {pairs.n} validation sequences, and {shuffled} of shuffled ones"
    if pairs.accuracy - pairs.shuffled > max(SEEN, CLEAR * error):
        return f"The label could see the local structure: a linear classifier of pairs of near positions gets {counts}."
    return f"Pairs of near positions do not clearly tell a linear classifier more than shuffled ones: it gets {counts}."


def clear_signals(evidence: Evidence) -> list[Signals]:
    """Signals at the start, of the seeds in which the reconstruction's own is above chance."""
    return [s for s in evidence.signals if s.reconstruction > chance_snr(s.n)]


def _label_signal(evidence: Evidence) -> list[str]:
    """Whether labels have anything to do with the gradients on query-key weights at the start."""
    tests = evidence.shared_label_tests
    if len(tests) < MIN_SEEDS:
        return []
    excess = label_excess(tests)
    low, high = (f"{100 * (bound or 0.0):.1f}" for bound in excess.bounds)
    bounds = f"{100 * excess.mean:.1f}% of their variance beyond chance, 95% interval {low} to {high}, {excess.n} seeds"
    if excess.above(SIGNAL):
        return [f"At the start gradients on query-key weights say something about labels ({bounds})."]
    if excess.below(SIGNAL):
        return [f"At the start gradients on query-key weights say next to nothing about labels ({bounds})."]
    return [f"These seeds do not decide whether gradients on query-key weights say anything about labels ({bounds})."]


def _blindness(evidence: Evidence, *, briefly: bool = False) -> list[str]:
    """Whether the label's gradient says less about proximity than the reconstruction's, and what to know of that."""
    clear = clear_signals(evidence)
    if len(clear) < MIN_SEEDS:
        return [
            "At the start the reconstruction's own signal on proximity is not above chance in enough seeds, so whether "
            "the label's is blind to it cannot be judged there."
        ]
    ratio = t_interval([s.label / s.reconstruction for s in clear])
    bounds = f"ratio {ratio.mean:.3f}, 95% interval {ratio.low:.3f} to {ratio.high:.3f} over {ratio.n} seeds"
    label = np.mean([s.label_direction for s in clear])
    other = np.mean([s.reconstruction_direction for s in clear])
    direction = [f"About direction, ahead or back, their signal-to-noise ratios are {label:.2g} and {other:.2g}."]
    direction = [] if briefly else direction
    if ratio.below(BLIND):
        return [
            f"At the start the label's gradient on attention scores says far less about proximity than the "
            f"reconstruction's ({bounds}).",
            *direction,
            "Locally blind is not the same as cannot learn: other rates, optimisers or more steps may get there.",
        ]
    return [f"At the start the label's gradient is not shown to be blind to proximity ({bounds}).", *direction]
