"""Which rows are for training, validation and test."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from selfpretrain.data.sequences import Sequences
from selfpretrain.streams import numpy_stream

SHARES = (0.70, 0.15, 0.15)
"""Train, validation and test shares of a split made here (ours)."""
MIXED_SHARE = 0.5
"""With more of the rows in groups of several classes, groups are no longer cut class by class (ours)."""
PARTS = ("train", "val", "test")
"""Names of the parts, which are 0, 1 and 2."""
UNLABELLED = -1
"""The class of a row without a label."""


def duplicate_groups(sequences: Sequences) -> NDArray[np.int64]:
    """A group number for each row (N,): equal numbers for exactly equal sequences, in order of first sight."""
    group_of: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in sequences)
    return np.array([group_of.setdefault(digest, len(group_of)) for digest in digests], dtype=np.int64)


def row_groups(sequences: Sequences, per_row: int) -> NDArray[np.int64]:
    """``duplicate_groups`` of rows (N,), each of ``per_row`` sequences, which stand one after the other (N S).

    A pair counts as equal to itself the other way round.

    >>> row_groups(Sequences(np.array([1, 2, 2, 1, 1, 3]), np.ones(6, dtype=int)), 2).tolist()
    [0, 0, 1]
    """
    groups = duplicate_groups(sequences)
    if per_row == 1:
        return groups
    pairs = np.sort(groups.reshape(-1, per_row), axis=1)
    return duplicate_groups(Sequences(pairs.ravel(), np.full(len(pairs), per_row)))


def linked(groups: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group numbers of rows (N,) that are linked by either of two groupings, directly or through other rows.

    >>> linked(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
    [0, 0, 0, 1]
    """
    rows, first = np.arange(len(groups)), int(groups.max(initial=-1)) + 1
    n = first + int(others.max(initial=-1)) + 1
    edges = np.concatenate([groups, first + others]), np.concatenate([rows, rows]) + n
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n + len(rows), n + len(rows)))
    component = connected_components(graph, directed=False)[1][n:]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def stratified_split(
    groups: NDArray[np.int64], y: NDArray[np.int64], shares: tuple[float, ...], data_seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Row numbers of each part: classes in equal proportion, exact duplicates all in one part.

    Duplicates move as one set, which counts for the class of its first row. The sets of a class are put in random order
    and laid end to end on a scale of rows; the scale is cut by ``shares``, and a set goes where its middle lies. Every
    part gets at least one set of each class that has as many sets as there are parts.

    Args:
        groups: from ``duplicate_groups``.

    >>> y = np.array([0] * 10 + [1] * 10)
    >>> [len(part) for part in stratified_split(np.arange(20), y, (0.8, 0.2), data_seed=0)]
    [16, 4]
    """
    _, first_rows, of_row, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    part_of_set = np.zeros(len(first_rows), dtype=np.int64)
    generator = numpy_stream(data_seed, "split")
    for label in np.unique(y[first_rows]):
        members = generator.permutation(np.flatnonzero(y[first_rows] == label))
        middle = np.cumsum(sizes[members]) - sizes[members] / 2
        part = np.searchsorted(np.cumsum(shares)[:-1] * sizes[members].sum(), middle, side="right")
        # Rounding may leave a part of a small class empty. Set k of n belongs to part k at the latest, and to part
        # (parts - n + k) at the earliest: then the last sets reach the last part, and the first the first.
        k = np.arange(len(members))
        part_of_set[members] = np.minimum(np.maximum(part, len(shares) - len(members) + k), k)
    parts = part_of_set[of_row]
    return tuple(np.flatnonzero(parts == part) for part in range(len(shares)))


def balanced_split(
    groups: NDArray[np.int64], y: NDArray[np.int64], shares: tuple[float, ...], data_seed: int
) -> tuple[NDArray[np.int64], ...]:
    """Row numbers of each part: groups stay whole, and each part gets its share of every class as nearly as they allow.

    For groups with rows of several classes, which cannot be put in order class by class. The largest groups come
    first, equal ones in random order; each goes where it most reduces ``sum (n - t)^2 / t``, with the rows ``n`` that a
    part has of a class and the ``t`` that it should have. The first part gets rows of every class, and every part gets
    a group, if there are enough. (scikit-learn's ``StratifiedGroupKFold`` makes parts of one size, and needs as many
    groups as parts of 5% for these shares.)

    >>> y = np.tile([0, 1], 10)
    >>> [len(part) for part in balanced_split(np.arange(20) // 4, y, (0.6, 0.2, 0.2), data_seed=0)]
    [12, 4, 4]
    """
    n = int(groups.max()) + 1
    rows = np.zeros((n, int(y.max()) + 1))
    np.add.at(rows, (groups, y), 1)
    target = np.maximum(np.outer(shares, rows.sum(axis=0)), 1e-9)
    lacking, part_of_group = target.copy(), np.zeros(n, dtype=np.int64)
    order = numpy_stream(data_seed, "split").permutation(n)
    empty, unplaced = set(range(len(shares))), np.count_nonzero(rows, axis=0)
    for place, group in enumerate(order[np.argsort(-rows[order].sum(axis=1), kind="stable")]):
        cost = (rows[group] * (rows[group] - 2 * lacking) / target).sum(axis=1)
        allowed = sorted(empty) if empty and n - place <= len(empty) else range(len(shares))
        is_last_chance = (rows[group] > 0) & (unplaced == 1) & (lacking[0] == target[0])
        part = 0 if is_last_chance.any() else min(allowed, key=cost.__getitem__)
        unplaced -= rows[group] > 0
        lacking[part] -= rows[group]
        part_of_group[group] = part
        empty.discard(part)
    return tuple(np.flatnonzero(part_of_group[groups] == part) for part in range(len(shares)))


def parts_of(
    groups: NDArray[np.int64], y: NDArray[np.int64], given: list[str] | None, data_seed: int
) -> NDArray[np.int64]:
    """0 train, 1 val or 2 test for each row; parts that nobody gave are cut from the training rows."""
    parts = np.zeros(len(y), dtype=np.int64) if given is None else np.array([PARTS.index(name) for name in given])
    wanted = [part for part in (0, 1, 2) if part == 0 or not (parts == part).any()]
    shares = tuple(SHARES[part] / sum(SHARES[p] for p in wanted) for part in wanted)
    labelled = np.flatnonzero((parts == 0) & (y != UNLABELLED))
    _, own, sizes = np.unique(groups[labelled], return_inverse=True, return_counts=True)
    last = np.zeros(len(sizes), dtype=np.int64)
    last[own] = y[labelled]  # the class of one of its rows
    is_mixed = np.zeros(len(sizes), dtype=np.bool_)
    is_mixed[own[last[own] != y[labelled]]] = True
    cut_by = balanced_split if sizes[is_mixed].sum() > MIXED_SHARE * len(own) else stratified_split
    cut = cut_by(own, y[labelled], shares, data_seed)
    for part, index in zip(wanted, cut, strict=True):
        parts[labelled[index]] = part
    return parts


def share_of_training(
    groups: NDArray[np.int64], y: NDArray[np.int64], parts: NDArray[np.int64], fraction: float, data_seed: int
) -> NDArray[np.bool_]:
    """Which rows stay (N,) if training has only so much of its rows; validation and test stay whole.

    Of each class (rows without a label are one) the sets of duplicates are put in random order, and the first of them
    stay, at least one. The order does not depend on the fraction, so that a smaller share is part of a larger one.

    >>> stay = share_of_training(np.arange(8), np.repeat([0, 1], 4), np.zeros(8, dtype=np.int64), 0.5, data_seed=0)
    >>> int(stay[:4].sum()), int(stay[4:].sum())
    (2, 2)
    """
    stay = np.ones(len(y), dtype=np.bool_)
    for label in np.unique(y):
        rows = np.flatnonzero((parts == 0) & (y == label))
        sets = numpy_stream(data_seed, "fraction", int(label) + 1).permutation(np.unique(groups[rows]))
        kept = sets[: max(1, round(fraction * len(sets)))]
        stay[rows] = np.isin(groups[rows], kept)
    return stay


def leaks(groups: NDArray[np.int64], parts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which training rows (part 0) also stand, exactly equal, in validation or test (N,).

    Args:
        groups: (N,) of rows; or (N, S) of their sequences, of which one suffices.
    """
    elsewhere = np.isin(groups, groups[parts != 0]).reshape(len(groups), -1).any(axis=1)
    leaking: NDArray[Any] = (parts == 0) & elsewhere
    return leaking
