"""Whether the label could see the local structure, from the training sequences alone."""

from collections.abc import Iterator
from typing import Any

from selfpretrain.config import LARGE_SAMPLE
from selfpretrain.data.task import Task, shuffled
from selfpretrain.diagnostics import data as formulas
from selfpretrain.diagnostics.representation import linear_probe
from selfpretrain.explain.section import Part
from selfpretrain.explain.subject import Subject
from selfpretrain.explain.table import Measurement

REACH = 8
"""Longest lag looked at, in positions, unless --max-lag is longer (ours)."""
ALPHABET = 16
"""Commonest symbols that a classifier of pairs tells apart; the rest count as one (ours)."""


def measure(subject: Subject, part: Part) -> Iterator[Measurement]:
    """Class difference of lag statistics, and what a classifier makes of them.

    The same sequences with their positions shuffled show what single positions give away without any order.
    """
    train, reach = subject.task.train, min(max(REACH, subject.config.max_lag), subject.task.length - 1)
    mixed = shuffled(subject.task, 0)
    in_order = formulas.lag_statistics(train.x, train.y, reach, lengths=train.lengths)
    without_order = formulas.lag_statistics(mixed.train.x, mixed.train.y, reach, lengths=mixed.train.lengths)
    betas = {name: getattr(in_order, name) for name in ("beta", "beta_centred", "beta_symmetric", "beta_chance")}
    by_lag: dict[str, Any] = {"axes": ("lag",), "coordinates": {"lag": range(1, reach + 1)}}
    for name, values in {**betas, "beta_shuffled": without_order.beta}.items():
        yield Measurement(name=name, values=values, unit="1", n=len(train), dtype="float64", **by_lag)
    n = min(LARGE_SAMPLE, len(subject.task.val))
    for name, task in (("pair_classifier", subject.task), ("pair_classifier_shuffled", mixed)):
        yield Measurement(name=name, values=_classify(task, reach), unit="accuracy", n=n, dtype="float64")


def _classify(task: Task, reach: int) -> float:
    """Validation accuracy of a linear classifier of every sequence's pairs."""
    train, val = (split.sample(LARGE_SAMPLE, "pair-sample") for split in (task.train, task.val))
    both = train + val
    features = formulas.pair_features(both.x, reach, both.lengths, alphabet=ALPHABET)
    return linear_probe(features[: len(train)], train.y, features[len(train) :], val.y)
