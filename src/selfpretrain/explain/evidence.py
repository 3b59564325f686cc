"""Measurements boiled down to what a conclusion needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from selfpretrain.arms.registry import arm_named
from selfpretrain.explain.measurement import Row, select
from selfpretrain.explain.transplants.cells import Cell
from selfpretrain.results import Summary
from selfpretrain.serial import from_dict

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


class Shape(NamedTuple):
    """The position part of the scores of the head in which it favours near positions most."""

    near_mass: float
    """Attention on near positions that it alone would give, relative to uniform attention."""
    toeplitz: float
    """Adjusted Toeplitz R2."""
    slope: float
    """Proximity slope, score a position."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a conclusion rests on; empty or None where it was not measured.

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


def gather(summary: Summary, sections: Mapping[str, Sequence[Row]], *, absolute_positions: bool) -> Evidence:
    """Boil measurements down.

    Args:
        summary: the comparison's.
        sections: measurements by section.
    """
    cells: dict[Cell, dict[int, float]] = {}
    for row in select(sections, "transplants", "transplant_test_acc"):
        by_seed = cells.setdefault(from_dict(Cell, row["of"]), {})
        by_seed[row["seed"]] = math.nan if row["values"] is None else row["values"]
    seeds = sorted({seed for cell in cells.values() for seed in cell})
    contrast = summary.contrast("spt", "scratch")
    test = {arm: [entry.test_acc[seed] or 0.0 for seed in seeds] for arm, entry in summary.arms.items()}
    pairs = [row for name in PAIRS for row in select(sections, "data", name) if row["values"] is not None]
    return Evidence(
        outcome="not compared" if contrast is None else contrast.outcome,
        n_seeds=0 if contrast is None else contrast.n_seeds,
        absolute_positions=absolute_positions,
        scratch=test.get("scratch", []),
        spt=test.get("spt", []),
        cells={cell: [by_seed.get(seed, math.nan) for seed in seeds] for cell, by_seed in cells.items()},
        pairs=Pairs(pairs[0]["values"], pairs[1]["values"], pairs[0]["n"]) if len(pairs) == 2 else None,
        signals=_signals(sections),
        shapes=_shapes(sections),
    )


def _signals(sections: Mapping[str, Sequence[Row]]) -> list[Signals]:
    """At the start that scratch and spt share; mimetic has another."""
    by_seed: dict[int, dict[str, Any]] = {}
    for part, suffix in (("proximity", ""), ("direction", "_direction")):
        for row in select(sections, "gradients", f"{part}_snr", stage="start"):
            if not arm_named(row["arm"]).own_start and row["values"] is not None:
                found = by_seed.setdefault(row["seed"], {"n": row["n"]})
                found[row["loss"] + suffix] = row["values"]
    return [Signals(**found) for found in by_seed.values() if len(found) == len(Signals._fields)]


def _shapes(sections: Mapping[str, Sequence[Row]]) -> list[tuple[Shape, Shape]]:
    starts = _nearest(sections, "start")
    return [(starts[seed], shape) for seed, shape in _nearest(sections, "after-pretrain").items() if seed in starts]


def _nearest(sections: Mapping[str, Sequence[Row]], stage: str) -> dict[int, Shape]:
    """By seed, of the model after self-pretraining or of the start that scratch and spt share."""
    names = ("position_window_mass_relative", "position_toeplitz_r2", "position_slope")
    values: list[dict[int, Any]] = [
        {
            row["seed"]: row["values"]
            for row in select(sections, "attention", name, stage=stage)
            if (row["arm"] == "spt" if stage == "after-pretrain" else not arm_named(row["arm"]).own_start)
        }
        for name in names
    ]
    found = {}
    for seed in values[0]:
        layers = zip(*(by_seed[seed] for by_seed in values), strict=True)
        heads = [Shape(*head) for layer in layers for head in zip(*layer, strict=True) if None not in head]
        if heads:
            found[seed] = max(heads, key=lambda shape: shape.near_mass)
    return found
