"""Whether the label could see the local structure, from the training sequences alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from selfpretrain.diagnosis.measurement import Measurement
from selfpretrain.diagnosis.subject import SEQUENCES, Subject
from selfpretrain.diagnostics import data as formulas
from selfpretrain.diagnostics.representation import linear_probe
from selfpretrain.tasks import Split

MOST_FEATURES = 20_000
"""Pairs of symbols x lags beyond which no classifier of pairs is fitted."""


def measure(subject: Subject) -> Iterator[Measurement]:
    """Class difference of lag statistics, and what a classifier makes of them."""
    train, val = subject.task.train, subject.task.val
    reach = min(max(8, subject.config.max_lag), train.x.shape[1] - 1)
    found = formulas.lag_statistics(train.x, train.y, reach, lengths=train.lengths)
    for name in ("beta", "beta_centred", "beta_symmetric", "beta_chance"):
        yield Measurement(
            name=name, values=getattr(found, name), unit="1", axes=("lag",), n=len(train), dtype="float64"
        )
    if found.per_class[0].size <= MOST_FEATURES:
        parts = [_first(split, SEQUENCES) for split in (train, val)]
        features = _pairs([p.x for p in parts], [p.lengths for p in parts], reach)
        accuracy = linear_probe(features[0], parts[0].y, features[1], parts[1].y)
        yield Measurement(name="pair_classifier", values=accuracy, unit="accuracy", n=len(parts[1]), dtype="float64")


def _first(split: Split, count: int) -> Split:
    return split.rows(np.arange(min(count, len(split))))


def _pairs(xs: list[NDArray[np.float64]], lengths: list[NDArray[np.int64]], reach: int) -> list[NDArray[np.float64]]:
    """Features of several splits, numbered alike."""
    features = formulas.pair_features(np.concatenate(xs), reach, np.concatenate(lengths))
    cuts = np.cumsum([len(x) for x in xs])[:-1]
    return np.split(features, cuts)
