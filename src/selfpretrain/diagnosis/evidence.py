"""Measurements boiled down to what a conclusion needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from selfpretrain.arms import RECIPES
from selfpretrain.diagnosis.measurement import Row, select

PAIRS = ("pair_classifier", "pair_classifier_shuffled")


class Signals(NamedTuple):
    """Signal-to-noise of both losses on proximity, at the start of one seed, and the sequences behind it."""

    label: float
    reconstruction: float
    n: int


class Shape(NamedTuple):
    """The head that looks nearest after self-pretraining, of one seed."""

    near_mass: float
    """Attention on near positions, relative to uniform attention."""
    toeplitz: float
    """Adjusted Toeplitz R2 of its position part."""
    slope: float
    """Proximity slope of its position part."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a conclusion rests on; empty or None where it was not measured.

    Attributes:
        outcome: of the comparison, spt against scratch at equal label compute; "not compared" without one of them.
        n_seeds: of the comparison.
        absolute_positions: whether the model's position code is absolute.
        scratch: test accuracy by seed.
        spt: test accuracy by seed, the same seeds.
        cells: test accuracy by seed of every transplant, the same seeds, NaN where a run failed; by ``Cell.name``.
        pairs: validation accuracy of a classifier of pairs, on the sequences and on shuffled ones.
        signals: by seed.
        shapes: by seed.
    """

    outcome: str
    n_seeds: int
    absolute_positions: bool = True
    scratch: Sequence[float] = ()
    spt: Sequence[float] = ()
    cells: Mapping[str, Sequence[float]]
    pairs: tuple[float, float] | None = None
    signals: Sequence[Signals] = ()
    shapes: Sequence[Shape] = ()


def gather(summary: Mapping[str, Any], parts: Mapping[str, Sequence[Row]], *, absolute_positions: bool) -> Evidence:
    """Boil measurements down.

    Args:
        summary: the comparison's.
        parts: measurements by part.
    """
    cells: dict[str, dict[int, float]] = {}
    for row in select(parts, "transplants", "transplant_test_acc"):
        cells.setdefault(row["group"], {})[row["seed"]] = math.nan if row["values"] is None else row["values"]
    seeds = sorted({seed for cell in cells.values() for seed in cell})
    test = {arm: [entry["test_acc"][seed] for seed in seeds] for arm, entry in summary["arms"].items()}
    both = [row["values"] for name in PAIRS for row in select(parts, "data", name)]
    return Evidence(
        outcome=outcome_of(summary),
        n_seeds=max((len(entry["test_acc"]) for entry in summary["arms"].values()), default=0),
        absolute_positions=absolute_positions,
        scratch=test.get("scratch", []),
        spt=test.get("spt", []),
        cells={name: [cell.get(seed, math.nan) for seed in seeds] for name, cell in cells.items()},
        pairs=(both[0], both[1]) if len(both) == 2 and None not in both else None,
        signals=_signals(parts),
        shapes=_shapes(parts),
    )


def outcome_of(summary: Mapping[str, Any]) -> str:
    """What self-pretraining does against scratch at equal label compute."""
    found = (c["outcome"] for c in summary["comparisons"] if (c["arm"], c["against"]) == ("spt", "scratch"))
    outcome: str = next(found, "not compared")
    return outcome


def _signals(parts: Mapping[str, Sequence[Row]]) -> list[Signals]:
    """At the start that scratch and spt share; mimetic has another."""
    by_seed: dict[int, dict[str, float]] = {}
    n = 0
    for row in select(parts, "gradients", "proximity_snr", stage="init"):
        if RECIPES[row["arm"]].qk_init is None and row["values"] is not None:
            by_seed.setdefault(row["seed"], {})[row["loss"]] = row["values"]
            n = row["n"]
    return [Signals(s["label"], s["reconstruction"], n) for s in by_seed.values() if len(s) == 2]


def _shapes(parts: Mapping[str, Sequence[Row]]) -> list[Shape]:
    names = ("near_mass_relative", "position_toeplitz_r2", "position_slope")
    values: list[dict[int, Any]] = [
        {row["seed"]: row["values"] for row in select(parts, "attention", name, arm="spt", stage="pretrained")}
        for name in names
    ]
    found = []
    for seed in values[0]:
        layers = zip(*(by_seed[seed] for by_seed in values), strict=True)
        heads = [Shape(*head) for layer in layers for head in zip(*layer, strict=True) if None not in head]
        if heads:
            found.append(max(heads))
    return found
