"""``selfpretrain data check``: what of a task may make its test scores too good, or is not what was meant.

Shapes: N rows, P columns of codes (of a position, a length, a row number), Y classes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from selfpretrain.data.kinds import KINDS
from selfpretrain.data.task import Check, Split, Task

ROWS = 2000
"""Rows of a split that are looked at where all would take long (ours), drawn at random but always the same."""
POSITIONS, FEWEST = 2**18, 200
"""So many positions of a split are looked at for nearly equal rows, in this many rows at least (ours)."""
COLUMNS = 1024
"""Single positions that are tried; of longer sequences, at even distances (ours)."""
BINS = 8
"""Values of a column are told apart by so many quantiles of training (ours)."""
GIVEAWAY = 0.1
"""Lengths, or neighbours, give the class away if they are reliably so much better than the commonest class (ours)."""
MARKED = 0.95
"""A single position marks the class if it alone is right this often (ours): some positions may well be telling."""
NEAR = 0.99
"""Cosine from which two rows are nearly equal, in what a classical model sees of them (ours)."""
RUNS = 5
"""Training rows with fewer runs of one class than this for each class are sorted by class (ours)."""
MANY = 0.01
"""A share of nearly equal test rows below this is not worth a word (ours)."""
SHOWN = 5
"""Classes that are listed, the rarest first (ours)."""
FEW = 10
"""Training rows of a class below which little is learnt of it, and test rows below which little is said (ours)."""


def checked(task: Task) -> Task:
    """The task with its checks."""
    return replace(task, checks=tuple(_checks(task)))


def _checks(task: Task) -> Iterator[Check]:
    keys = {part: _keys(split) for part, split in _splits(task).items()}
    yield _classes(task)
    yield from _equal(task, keys)
    if task.codec.per_row == 1:
        yield _nearly_equal(task, set(keys["train"]))
    train, val = task.train.sample(ROWS), task.val.sample(ROWS)
    yield _length(task, train, val)
    yield _position(task, train, val)
    yield _order(task)
    if task.inputs.channels:
        yield _constant(task)
    if task.data is not None:
        yield _groups(task)


def _classes(task: Task) -> Check:
    """The smallest classes."""
    counts = {part: np.bincount(split.y, minlength=len(task.classes)) for part, split in _splits(task).items()}
    rarest = np.argsort(counts["train"], kind="stable")
    shown = ", ".join(
        f"{task.classes[c]} {counts['train'][c]}/{counts['val'][c]}/{counts['test'][c]}" for c in rarest[:SHOWN]
    )
    text = f"{'smallest of ' if len(rarest) > SHOWN else ''}{len(rarest)} (train/val/test): {shown}"
    cures = []
    few = [task.classes[c] for c in rarest if min(counts["train"][c], counts["test"][c]) < FEW]
    if few:
        cures.append(f"{len(few)} with fewer than {FEW} rows in training or test: more rows, or join classes.")
    if counts["train"].max() > 3 * counts["train"].min():
        cures.append("--metric balanced_accuracy counts each alike, --class-weights balanced trains so.")
    return Check("classes", text, " ".join(cures))


def _splits(task: Task) -> dict[str, Split]:
    return {"train": task.train, "val": task.val, "test": task.test}


def _keys(split: Split) -> list[bytes]:
    """The content of every row; a pair is the same the other way round."""
    sequences = [x[:length].tobytes() for x, length in zip(split.x, split.lengths, strict=True)]
    s = split.per_row
    return [b"|".join(sorted(sequences[row * s : (row + 1) * s])) for row in range(len(split))]


def _equal(task: Task, keys: Mapping[str, list[bytes]]) -> Iterator[Check]:
    """Rows that are exactly equal: within training, across splits, and with other classes."""
    known = set(keys["train"])
    repeated = len(keys["train"]) - len(known)
    outside = {part: sum(key in known for key in keys[part]) for part in ("val", "test")}
    text = f"{repeated} in training, {outside['val']} of validation and {outside['test']} of test equal a training row"
    cure = "Their scores are of rows that were learnt: remove them from test, or from training."
    yield Check("equal rows", text, cure if any(outside.values()) else "")
    classes = defaultdict[bytes, set[int]](set)
    for part, split in _splits(task).items():
        for key, y in zip(keys[part], split.y.tolist(), strict=True):
            classes[key].add(y)
    torn = sum(len(classes[key]) > 1 for part in keys for key in keys[part])
    cure = "No model can get all of them right: is the label in the right column, or were rows cut too short?"
    yield Check("equal rows, other class", f"{torn} rows", cure if torn else "")


def _nearly_equal(task: Task, known: Collection[bytes]) -> Check:
    """Test rows whose nearest training row is all but the same, in the features of the first classical model."""
    from sklearn.neighbors import NearestNeighbors

    kind = KINDS[task.kind]
    features = next(iter(kind.features(task)))
    most = min(ROWS, max(FEWEST, POSITIONS // task.length))
    view, train, test = kind.views[features.name], task.train.sample(most), task.test.sample(most)
    seen = features.transformer.fit_transform(view(train))
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(seen)
    is_new = np.array([key not in known for key in _keys(test)])  # what is exactly equal is counted elsewhere
    near = is_new & (1 - nearest.kneighbors(features.transformer.transform(view(test)))[0][:, 0] >= NEAR)
    among = f", among {len(train)} of {len(task.train)} training rows" if len(train) < len(task.train) else ""
    text = f"{near.sum()} of {len(test)} test rows (cosine {NEAR:g} of {features.name}{among})"
    cure = "If they stem from one source (a person, a recording, a page), name it with --group."
    return Check("nearly equal rows", text, cure if near.mean() > MANY else "")


def _length(task: Task, train: Split, val: Split) -> Check:
    lengths = [split.lengths.reshape(len(split), -1).astype(np.float64) for split in (train, val)]
    _, right = _best_column(lengths[0], train.y, lengths[1], val.y, len(task.classes), binned=True)
    cure = "Is it so in new data? If not, cut all rows to one length (--max-length)."
    return _judged("length", "the length", cure, right, val.y, GIVEAWAY)


def _judged(
    code: str, what: str, cure: str, right: NDArray[np.bool_], y: NDArray[np.int64], lead: float, least: float = 0.0
) -> Check:
    """How often ``what`` alone is right; a doubt if it is reliably ahead of the commonest class by ``lead``."""
    majority = float(np.bincount(y).max() / len(y))
    scores = f"{100 * right.mean():.1f}% of validation rows (commonest class {100 * majority:.1f}%)"
    text = f"{what} alone is right for {scores}"
    low = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="exact").low
    return Check(code, text, cure if low > majority + lead and right.mean() >= least else "")


def _best_column(
    train: NDArray[np.float64],
    y: NDArray[np.int64],
    val: NDArray[np.float64],
    y_val: NDArray[np.int64],
    classes: int,
    *,
    binned: bool,
) -> tuple[int, NDArray[np.bool_]]:
    """The column (of P) by whose value alone most training rows are right, and which validation rows then are.

    The answer to a value, or if ``binned`` to a bin between quantiles, is its commonest class.
    """
    best, most, answers = 0, -1, None
    for column in range(train.shape[1]):
        values = np.unique(train[:, column])
        bins = np.unique(np.quantile(train[:, column], np.arange(1, BINS) / BINS)) if binned else values[1:]
        edges = bins if len(values) > BINS else values[1:]
        codes = np.searchsorted(edges, train[:, column], side="right")
        table = np.zeros((len(edges) + 1, classes), dtype=np.int64)
        np.add.at(table, (codes, y), 1)
        if (right := int(table.max(axis=1).sum())) > most:
            best, most = column, right
            answers = table.argmax(axis=1)[np.searchsorted(edges, val[:, column], side="right")]
    assert answers is not None, "there is a column"
    return best, answers == y_val


def _position(task: Task, train: Split, val: Split) -> Check:
    """The best single position; of values, with its channel."""
    channels = max(task.inputs.channels, 1)
    shortest = min(int(split.lengths.min()) for split in (train, val))  # what is no position is no mark
    flat = [split.x[:, :shortest].reshape(len(split), -1).astype(np.float64) for split in (train, val)]
    columns = np.unique(np.linspace(0, flat[0].shape[1] - 1, min(flat[0].shape[1], COLUMNS)).astype(np.int64))
    some = [table[:, columns] for table in flat]
    binned = bool(task.inputs.channels)
    best, right = _best_column(some[0], train.y, some[1], val.y, len(task.classes), binned=binned)
    place, channel = divmod(int(columns[best]), channels)
    of_row = f" of sequence {place // shortest + 1}" if task.codec.per_row > 1 else ""
    of_channel = f" of channel {channel + 1}" if channels > 1 else ""
    what = f"position {place % shortest + 1}{of_channel}{of_row}"
    cure = "Is the class, or a mark of it, part of the sequence? If so, leave it out."
    return _judged("position", what, cure, right, val.y, 0.0, MARKED)


def _order(task: Task) -> Check:
    """Whether the class of the nearest training row in the file is that of a validation row."""
    train, val = task.train, task.val
    order = np.argsort(train.numbers)
    numbers, y = train.numbers[order], train.y[order]
    if int((np.diff(y) != 0).sum()) < RUNS * len(np.unique(y)):
        return Check("row order", "training rows are sorted by class, so that neighbours tell nothing more")
    after = np.searchsorted(numbers, val.numbers).clip(1, len(numbers) - 1)
    is_before = val.numbers - numbers[after - 1] <= numbers[after] - val.numbers
    right = y[np.where(is_before, after - 1, after)] == val.y
    cure = "Rows near each other may belong together (a recording, a day): name what they share with --group."
    return _judged("row order", "the class of the nearest training row in the file", cure, right, val.y, GIVEAWAY)


def _constant(task: Task) -> Check:
    real = np.concatenate([x[:n] for x, n in zip(task.train.x, task.train.lengths, strict=True)])
    constant = np.flatnonzero(np.ptp(real, axis=0) == 0) + 1
    text = ", ".join(map(str, constant)) if len(constant) else "none"
    return Check("constant channels", text, "They tell nothing: leave them out." if len(constant) else "")


def _groups(task: Task) -> Check:
    data = task.data
    assert data is not None
    if data.group:
        return Check("groups", f"{data.groups} from {data.group}; none is in two splits")
    if data.perhaps_group:
        cure = f"If new data will have others, --group {data.perhaps_group[0]} keeps rows of one value in one split."
        return Check("groups", f"none named; looks like one: {', '.join(data.perhaps_group)}", cure)
    return Check("groups", "none named, and no column has a name that sounds like one")
