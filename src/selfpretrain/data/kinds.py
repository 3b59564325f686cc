"""What depends on the kind of data, one object for each kind: from the cells of a file to the loss of a prediction.

| kind    | a position is | a masked position shows | loss of a prediction      | column of a classical model       |
|---------|---------------|-------------------------|---------------------------|-----------------------------------|
| symbols | an id         | an id of its own        | cross-entropy             | n-grams; the symbol at a position |
| bytes   | an id of 256  | an id of its own        | cross-entropy             | the same                          |
| values  | C numbers     | 0, the mean, and a flag | absolute or squared error | summaries of a channel; the value |

Shapes: N sequences, B batch, T positions, D width, V symbols, C channels, M masked positions.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import AllowMissing, KindName, TaskConfig
from selfpretrain.data import cells
from selfpretrain.data.schema import Schema
from selfpretrain.data.sequences import Sequences
from selfpretrain.data.spelling import MISSING, NO_NUMBER, numbers_first, refuse
from selfpretrain.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from selfpretrain.data.codec import Codec
    from selfpretrain.data.task import Split, Task

BYTES = 256
LARGEST = 1e30
"""Numbers beyond count as infinite: float32 ends at 3e38."""
ROUNDING = 1e-12
"""A channel is constant if its values differ by no more than this share of their size (ours; float64 has 2e-16)."""
AT_ONCE = 2**20
"""Positions whose values are standardised at a time (ours)."""
NGRAMS, MAX_NGRAMS = (1, 5), 20_000
"""Lengths of the n-grams of a classical model, and how many of the commonest are counted (ours)."""
MAX_RAW = 4096
"""A classical model sees single positions of sequences with up to this many numbers (ours)."""
AT_ENDS = 3
"""Symbols at each end of a sequence (ours); the first of an expression of ListOps is the operator at its root."""
QUANTILES, LAGS = (0.0, 0.25, 0.5, 0.75, 1.0), (1, 2, 3, 4, 5)
N_GRAMS, IN_WORDS, WORDS = (
    f"{NGRAMS[0]}-{NGRAMS[1]}-gram tf-idf",
    f"{NGRAMS[0]}-{NGRAMS[1]}-gram tf-idf within words",
    "1-2-word tf-idf",
)
POSITIONS, ENDS = "one-hot positions", "first and last symbols"
SUMMARIES, SUMMARIES_RAW = "summaries", "summaries and raw values"
"""Names of what classical models see."""
WORD = r"(?u)\w+"
FIRST_CHARACTER = 0x10000
"""For n-grams ids become characters from here on, beyond white space and surrogates."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a model must know of a task, and no more.

    Attributes:
        symbols: known symbols V (0 for values). Ids: 0..V-1 the symbols, V unknown, V+1 the mask.
        channels: of values (0 for symbols).
        length: of the longest sequence.
        per_row: sequences of a row: 1, or the 2 of a pair.
        patch: positions that the model reads as one token.
    """

    kind: KindName
    symbols: int
    channels: int
    length: int
    classes: int
    per_row: int = 1
    patch: int = 1

    @property
    def tokens(self) -> int:
        """Of the longest sequence."""
        return -(-self.length // self.patch)

    @property
    def mask_id(self) -> int:
        return self.symbols + 1

    @property
    def head_vectors(self) -> int:
        """Vectors of a row that the label head sees: the pooled one; of a pair a, b the four a, b, a - b and a * b."""
        return 4 if self.per_row == 2 else 1


class Parsed(NamedTuple):
    """Sequences, how many of their entries are missing, and how many end in missing entries and were made shorter."""

    sequences: Sequences
    missing: int
    shorter: int


class Features(NamedTuple):
    """What a classical model sees of sequences.

    Attributes:
        name: what it is called, in ``Kind.views`` and in the name of a model.
        transformer: of scikit-learn, not fitted yet: gives a table (sequences, features).
        trees: whether trees may be fitted to the table.
    """

    name: str
    transformer: Any
    trees: bool


class Kind(ABC):
    """Everything that depends on the kind of data; see the table above."""

    name: ClassVar[KindName]
    read: "ClassVar[staticmethod[[Path | str, cells.Cells, Schema], Sequences]]"
    """The sequences in a column of cells."""
    file_suffix: ClassVar[str]
    """Of the file that ``data make`` writes."""
    losses: ClassVar[tuple[str, ...]]
    """Names of its reconstruction losses, the default first."""
    loss_unit: ClassVar[str] = ""
    table_words: ClassVar[str]
    """The best prediction without context, in words."""

    # From cells to arrays.

    def parse(
        self, where: Path | str, column: cells.Cells, schema: Schema, allow_missing: AllowMissing = False
    ) -> "Parsed":
        """The sequences in a column of cells; missing entries at the end of one make it shorter.

        Raises:
            RequestError: a cell that cannot be read as this kind, or a missing entry that is not allowed; names the
                row, counted from 1.
        """
        sequences = self.read(where, column, schema)
        for row in np.flatnonzero(sequences.lengths == 0):
            refuse(where, int(row), cells.EMPTY)
        absent, lengths = self.absent(sequences), sequences.lengths
        if absent is not None:
            sequences = sequences.without_tails(np.all(absent.reshape(len(absent), -1), axis=1))
        for row in np.flatnonzero(sequences.lengths == 0):
            refuse(where, int(row), cells.EMPTY)
        absent = self.absent(sequences, gaps=True)
        missing = 0 if absent is None else int(absent.sum())
        if absent is not None and not allow_missing:
            place, ends = int(np.argwhere(absent)[0][0]), np.cumsum(sequences.lengths)
            gap_row = int(np.searchsorted(ends, place, side="right"))
            position = int(place - ends[gap_row] + sequences.lengths[gap_row] + 1)
            count = f"{missing} are" if missing > 1 else "1 is"
            cure = f"mend it, or give --allow-missing ({count} missing) to fill it"
            if schema.axes == "ntc" and sequences.entries[0].size > 2 * int(lengths.max()):
                cure += "; or the axes are (N, C, T), which --axes nct reads"
            refuse(where, gap_row, f"position {position} {self.gap}; {cure}")
        return Parsed(self.filled(sequences, absent, allow_missing), missing, int((sequences.lengths < lengths).sum()))

    gap: ClassVar[str] = "is missing"
    """What a missing entry is, in words."""

    def absent(self, sequences: Sequences, *, gaps: bool = False) -> NDArray[np.bool_] | None:
        """Which entries are missing, like the entries; with ``gaps`` also those that cannot be used. None: none."""
        return None

    def filled(self, sequences: Sequences, absent: NDArray[np.bool_] | None, allow_missing: AllowMissing) -> Sequences:
        """The sequences with their gaps filled as asked, as far as it can be done without training statistics."""
        if absent is None or allow_missing != "last":
            return sequences
        return replace(sequences, entries=sequences.filled_forward(absent))

    def filling(self, allow_missing: AllowMissing) -> str:
        """What became of missing entries, in words."""
        return ""

    def doubts(self, sequences: Sequences, config: TaskConfig, schema: Schema) -> list[str]:
        """What a reader should know of sequences that may have been meant otherwise."""
        return []

    @abstractmethod
    def fit(self, train: Sequences, labelled: Sequences) -> dict[str, Any]:
        """The fields of a ``Codec`` that depend on all, or on the labelled, training sequences."""

    @abstractmethod
    def encode(self, codec: "Codec", sequences: Sequences) -> NDArray[Any]:
        """The entries of sequences as a model is fed them: (P,) ids, or (P, C) float32."""

    # From arrays to a loss.

    @abstractmethod
    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        """The model's input: ``x`` with the masked positions hidden; ``mask`` None hides nothing."""

    @abstractmethod
    def blank(self, inputs: InputSpec) -> "Tensor":
        """What ``hide`` shows of a masked position."""

    @abstractmethod
    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        """The layer from the output of ``hide``, in whole patches, to one vector a patch."""

    @abstractmethod
    def targets(self, inputs: InputSpec) -> int:
        """Numbers that the reconstruction head gives for a position."""

    @abstractmethod
    def entry_losses(self, predictions: "Tensor", truth: "Tensor", loss: str) -> "Tensor":
        """Loss of every predicted entry: (M,) in nats for symbols, (M, C) for values."""

    @abstractmethod
    def constant(self, truth: "Tensor", inputs: InputSpec, loss: str, prior: "Tensor | None") -> "Tensor":
        """The single prediction that is best for all entries of ``truth``, (M,) ids or (M, C).

        It is (V+1,) log frequencies, or (C,). ``prior`` is such a prediction from more entries, which steadies the
        frequencies of few; None is uniform.
        """

    @abstractmethod
    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        """Floating-point operations of the embedding for one position, forward."""

    @property
    @abstractmethod
    def views(self) -> "Mapping[str, Callable[[Split], Any]]":
        """What the transformers of a classical model read of a split, by the name of the features."""

    @abstractmethod
    def features(self, task: "Task") -> Iterator[Features]:
        """What classical models of a task see, one after the other."""


class Discrete(Kind):
    """Ids from a vocabulary."""

    file_suffix = ".jsonl"
    losses = ("cross-entropy",)
    loss_unit = "nats"
    table_words = "symbol frequencies"

    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        return x if mask is None else x.masked_fill(mask, inputs.mask_id)

    def blank(self, inputs: InputSpec) -> "Tensor":
        from torch import tensor

        return tensor(inputs.mask_id)

    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        from selfpretrain.model.patch import SymbolPatches

        return SymbolPatches(inputs.symbols + 2, width, inputs.patch)

    def targets(self, inputs: InputSpec) -> int:
        return inputs.symbols + 1

    def entry_losses(self, predictions: "Tensor", truth: "Tensor", loss: str) -> "Tensor":
        from torch.nn.functional import cross_entropy

        return cross_entropy(predictions, truth, reduction="none")

    def constant(self, truth: "Tensor", inputs: InputSpec, loss: str, prior: "Tensor | None") -> "Tensor":
        """Log frequencies; every symbol counts once more than it is seen, or as often as the prior says."""
        size = self.targets(inputs)
        counts = truth.bincount(minlength=size).double()
        share = counts.new_full((size,), 1 / size) if prior is None else prior.exp()
        return ((counts + size * share) / (len(truth) + size)).log()

    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        return 0  # it is looked up

    @property
    def views(self) -> "Mapping[str, Callable[[Split], Any]]":
        return {N_GRAMS: _symbols_as_text, POSITIONS: attrgetter("x"), ENDS: _ends}

    def features(self, task: "Task") -> Iterator[Features]:
        """tf-idf of n-grams; the symbol at each position, or at the ends where the lengths of sequences differ."""
        from sklearn.preprocessing import OneHotEncoder

        yield Features(N_GRAMS, _tf_idf("char", NGRAMS), trees=False)
        if int(task.train.lengths.min()) == task.length <= MAX_RAW:
            yield Features(POSITIONS, OneHotEncoder(handle_unknown="ignore"), trees=True)
        else:
            yield Features(ENDS, OneHotEncoder(handle_unknown="ignore"), trees=True)


def _tf_idf(analyzer: str, ngrams: tuple[int, int]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=analyzer,
        lowercase=False,
        ngram_range=ngrams,
        sublinear_tf=True,
        max_features=MAX_NGRAMS,
        token_pattern=WORD if analyzer == "word" else None,
    )


def _symbols_as_text(split: "Split") -> list[str]:
    """Each sequence as a text, a character for each symbol."""
    rows = zip(split.x.astype(np.int64), split.lengths, strict=True)
    return ["".join(map(chr, x[:n] + FIRST_CHARACTER)) for x, n in rows]


def _bytes_as_text(split: "Split") -> list[str]:
    """Each sequence as the text that it was, a replacement character for what was cut in the middle."""
    return [bytes(x[:n].tolist()).decode(errors="replace") for x, n in zip(split.x, split.lengths, strict=True)]


def _ends(split: "Split") -> NDArray[Any]:
    """The first and the last ``AT_ENDS`` symbols of each sequence, (N, 2 * AT_ENDS); -1 where it is shorter."""
    inwards = np.arange(AT_ENDS)
    lengths = split.lengths[:, None]
    places = np.concatenate([np.broadcast_to(inwards, (len(lengths), AT_ENDS)), lengths - 1 - inwards], axis=1)
    is_there = (places >= 0) & (places < lengths)
    symbols = np.take_along_axis(split.x.astype(np.int64), np.where(is_there, places, 0), axis=1)
    ends: NDArray[Any] = np.where(is_there, symbols, -1)
    return ends


class Symbols(Discrete):
    """Symbols of a vocabulary that is made of the training sequences."""

    name = "symbols"
    read = staticmethod(cells.symbols)

    def absent(self, sequences: Sequences, *, gaps: bool = False) -> NDArray[np.bool_] | None:
        names = sequences.names or ()
        if MISSING not in names:
            return None
        absent: NDArray[np.bool_] = sequences.entries == names.index(MISSING)
        return absent if absent.any() else None

    def filling(self, allow_missing: AllowMissing) -> str:
        how = "the last one before them" if allow_missing == "last" else "the unknown symbol"
        return f"missing symbols are read as {how}"

    def doubts(self, sequences: Sequences, config: TaskConfig, schema: Schema) -> list[str]:
        names = sequences.names or ()
        odd = [name for name in names if name and name.lower() in NO_NUMBER]
        if int(sequences.lengths.max()) == 1:
            return ["every sequence is a single symbol; if the cells are texts, give --kind bytes"]
        if odd:
            return [f"{', '.join(odd)} {'is' if len(odd) == 1 else 'are'} read as a symbol, not as missing"]
        if schema.fold_case or len({name.lower() for name in names}) == len(names):
            return []
        return ["some symbols differ by upper and lower case alone; --fold-case makes them one"]

    def fit(self, train: Sequences, labelled: Sequences) -> dict[str, Any]:
        names = train.names or ()
        seen = [names[code] for code in np.unique(train.entries)]
        return {"vocabulary": tuple(sorted(filter(None, seen), key=numbers_first))}

    def encode(self, codec: "Codec", sequences: Sequences) -> NDArray[Any]:
        """The smallest unsigned integers that hold all ids; symbols that training never had get the id V."""
        known = {symbol: number for number, symbol in enumerate(codec.vocabulary)}
        ids = np.array([known.get(name, len(known)) for name in sequences.names or ()])
        encoded: NDArray[Any] = ids.astype(np.min_scalar_type(max(len(known), 1)))[sequences.entries]
        return encoded


class Bytes(Discrete):
    """Text as the bytes of its UTF-8."""

    name = "bytes"
    read = staticmethod(cells.texts)

    def fit(self, train: Sequences, labelled: Sequences) -> dict[str, Any]:
        return {}

    def encode(self, codec: "Codec", sequences: Sequences) -> NDArray[Any]:
        return sequences.entries

    @property
    def views(self) -> "Mapping[str, Callable[[Split], Any]]":
        return {**super().views, IN_WORDS: _bytes_as_text, WORDS: _bytes_as_text}

    def features(self, task: "Task") -> Iterator[Features]:
        """Also n-grams that end at the edges of words, and words with their neighbours."""
        yield from super().features(task)
        yield Features(IN_WORDS, _tf_idf("char_wb", NGRAMS), trees=False)
        if any(re.search(WORD, text) for text in _bytes_as_text(task.train)):
            yield Features(WORDS, _tf_idf("word", (1, 2)), trees=False)


class Values(Kind):
    """Numbers, standardised by channel."""

    name = "values"
    read = staticmethod(cells.values)
    file_suffix = ".npz"
    losses = ("l1", "l2")
    table_words = "each channel's average"

    gap = f"is missing, NaN or infinite (beyond {LARGEST:g})"

    def absent(self, sequences: Sequences, *, gaps: bool = False) -> NDArray[np.bool_] | None:
        """Missing is NaN; infinite and huge values cannot be used."""
        if sequences.entries.dtype == np.uint8:  # nothing to check; images come by the gigabyte
            return None
        absent: NDArray[np.bool_] = ~(np.abs(sequences.entries) < LARGEST) if gaps else np.isnan(sequences.entries)
        return absent if absent.any() else None

    def filled(self, sequences: Sequences, absent: NDArray[np.bool_] | None, allow_missing: AllowMissing) -> Sequences:
        """Gaps stay NaN, and become the mean; or they are the last value; or a channel more for each marks them."""
        if allow_missing != "mask":
            return super().filled(sequences, absent, allow_missing)
        entries = sequences.entries
        flags = np.zeros(entries.shape) if absent is None else absent.astype(np.float64)
        return replace(sequences, entries=np.concatenate([entries, flags], axis=1))

    def filling(self, allow_missing: AllowMissing) -> str:
        mean = "their channel's training mean"
        how = {
            "last": f"the last value before them, or {mean} where there is none",
            "mask": f"{mean}, and marked in a channel of their own",
        }
        return f"missing or infinite values are replaced by {how.get(str(allow_missing), mean)}"

    def doubts(self, sequences: Sequences, config: TaskConfig, schema: Schema) -> list[str]:
        steps, channels = int(sequences.lengths.max()), sequences.entries.shape[1]
        if config.allow_missing == "mask":
            channels //= 2  # the others mark what is missing
        if config.axes is not None or not 2 * steps < channels or int(sequences.lengths.min()) != steps:
            return []
        shape = f"({len(sequences)}, {steps}, {channels})"
        likely = f"(N, C, T), {steps} channels of {channels} steps, is likely"
        return [
            f"warning: {shape} is read as (N, T, C), {steps} steps of {channels} channels; {likely}: "
            "--axes nct reads it so, --axes ntc says that it is right as it is"
        ]

    def fit(self, train: Sequences, labelled: Sequences) -> dict[str, Any]:
        """Mean and deviation of each channel over present values; a constant channel has deviation 1.

        Constant is what varies by less than rounding does.

        Raises:
            RequestError: a channel without any value.
        """
        observed = labelled.entries
        with np.errstate(invalid="ignore"):
            if observed.dtype != np.uint8 and np.array_equal(grey := observed.astype(np.uint8), observed):
                observed = grey  # the same numbers have the same mean, whatever their type was
        if observed.dtype == np.uint8:  # by how often each value occurs, without a copy of all of them
            value, counts = np.arange(256.0), np.stack([np.bincount(c, minlength=256) for c in observed.T])
            mean = (counts * value).sum(axis=1) / len(observed)
            std = np.sqrt((counts * (value - mean[:, None]) ** 2).sum(axis=1) / len(observed))
            constant = std == 0
        else:
            observed = np.where(np.abs(observed) < LARGEST, observed, np.nan)
            for channel in np.flatnonzero(np.isnan(observed).all(axis=0)):
                raise RequestError(f"channel {channel + 1} has no value at all in training; leave it out")
            mean, std = np.nanmean(observed, axis=0), np.nanstd(observed, axis=0)
            low, high = np.nanmin(observed, axis=0), np.nanmax(observed, axis=0)
            constant = high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high))
        return {"mean": tuple(mean.tolist()), "std": tuple(np.where(constant, 1.0, std).tolist())}

    def encode(self, codec: "Codec", sequences: Sequences) -> NDArray[Any]:
        """Standardised float32; 0, the mean, where a value is missing."""
        mean, std = np.array(codec.mean), np.array(codec.std)
        scaled = np.empty(sequences.entries.shape, dtype=np.float32)
        for start in range(0, len(scaled), AT_ONCE):  # bytes grow eightfold on their way
            part = slice(start, start + AT_ONCE)
            entries = sequences.entries[part]
            scaled[part] = np.where(np.abs(entries) < LARGEST, (entries - mean) / std, 0.0)
        return scaled

    def hide(self, x: "Tensor", mask: "Tensor | None", inputs: InputSpec) -> "Tensor":
        """A last channel carries the flag: (v, 0) where kept, (0, 1) where masked."""
        from torch import cat
        from torch.nn.functional import pad

        if mask is None:
            return pad(x, (0, 1))
        flag = mask[..., None].to(x.dtype)
        return cat((x * (1 - flag), flag), dim=-1)

    def blank(self, inputs: InputSpec) -> "Tensor":
        from torch import tensor

        return tensor([0.0] * inputs.channels + [1.0])

    def embedding(self, inputs: InputSpec, width: int) -> "nn.Module":
        from selfpretrain.model.patch import ValuePatches

        return ValuePatches(inputs.channels + 1, width, inputs.patch)

    def targets(self, inputs: InputSpec) -> int:
        return inputs.channels

    def entry_losses(self, predictions: "Tensor", truth: "Tensor", loss: str) -> "Tensor":
        error = predictions - truth
        return error.abs() if loss == "l1" else error.square()

    def constant(self, truth: "Tensor", inputs: InputSpec, loss: str, prior: "Tensor | None") -> "Tensor":
        """Medians (l1) or means (l2)."""
        return truth.double().quantile(0.5, dim=0) if loss == "l1" else truth.double().mean(0)

    def embedding_flops(self, inputs: InputSpec, width: int) -> int:
        return 2 * (inputs.channels + 1) * width

    @property
    def views(self) -> "Mapping[str, Callable[[Split], Any]]":
        return {SUMMARIES: partial(_summaries, raw=False), SUMMARIES_RAW: partial(_summaries, raw=True)}

    def features(self, task: "Task") -> Iterator[Features]:
        """Summaries of each channel, and the values themselves where all training sequences are equally long."""
        from sklearn.preprocessing import StandardScaler

        raw = int(task.train.lengths.min()) == task.length and task.train.x[0].size <= MAX_RAW
        yield Features(SUMMARIES_RAW if raw else SUMMARIES, StandardScaler(), trees=True)


def _summaries(split: "Split", *, raw: bool) -> NDArray[np.float64]:
    return np.stack([_summary(x, n, raw=raw) for x, n in zip(split.x, split.lengths, strict=True)])


def _summary(x: NDArray[np.float32], n: int, *, raw: bool) -> NDArray[np.float64]:
    """Per channel: mean, deviation, quantiles, mean absolute step, autocovariances; and the values themselves."""
    series = x[:n].astype(np.float64)
    centred = series - series.mean(axis=0)
    steps = np.abs(np.diff(series, axis=0)).mean(axis=0) if n > 1 else np.zeros(series.shape[1])
    lags = [(centred[k:] * centred[:-k]).sum(axis=0) / n for k in LAGS]
    quantiles = np.quantile(series, QUANTILES, axis=0)
    return np.concatenate([series.mean(0), series.std(0), *quantiles, steps, *lags, *(x if raw else ())])


KINDS: dict[KindName, Kind] = {kind.name: kind for kind in (Symbols(), Bytes(), Values())}
