"""Every setting and every default of the project, once; a built-in task keeps its own beside its rule.

Precedence: the default below < the preset < what the caller gives. For example ``--preset small --depth 3`` is the
preset ``small`` (two layers) with three layers. The docstring under a field is its help text on the command line; see
``options`` for how settings are spelt there. ``None`` means off, or "found out from the data" where the docstring says
so. Metadata of a field: ``python`` settings exist in Python only, ``rare`` ones are listed by ``--help-all`` only, an
``argument`` stands without an option, of ``text`` the setting itself reads the value, an option without a value takes
that of ``bare``, and ``of_tasks`` stands for the
options of all built-in tasks.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from selfpretrain.errors import MOST, SettingError, require_at_least, require_between, require_one_of

KindName = Literal["symbols", "bytes", "values"]
AllowMissing = bool | Literal["mean", "last", "mask"]
"""How gaps are filled; False refuses them, True is mean."""
MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss"]
ClassWeights = Literal["none", "balanced"]
Init = Literal["default", "tied", "mimetic-qk", "mimetic", "impulse"]
PhaseName = Literal["pretrain", "label"]
ABSOLUTE = ("sinusoidal", "learned")
"""Position codes that are added to the embedding."""
LONG_MINUTES = 180
"""A longer budget is given in hours (ours)."""
SHARES = (1e-6, 1.0)
"""The smallest and the largest share of data or labels that can be asked for."""
PYTHON: Mapping[str, Any] = {"python": True}
RARE: Mapping[str, Any] = {"rare": True}
ARGUMENT: Mapping[str, Any] = {"argument": True}
TASK_OPTIONS: Mapping[str, Any] = {"of_tasks": True}


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which sequences, and how to read them."""

    data: str = field(default="proximity", metadata=ARGUMENT)
    """A built-in task (see selfpretrain data list), a file (.csv, .tsv, .parquet, .jsonl, .npz, .ts, .arff, .fasta,
    .fastq), or a folder with a folder of recordings (.wav), images or texts for each class."""
    sequence: str | None = None
    """For files: the column that holds the sequence. If there is one column per step: their names as a list a,b,c or a
    pattern like 't*'."""
    pair: str | None = None
    """For files of pairs: the column that holds the second sequence. The class then describes the pair."""
    label: str | None = None
    """For files: the column that holds the class."""
    split: str | None = None
    """For files: the column that holds train, val or test. A column named 'split' is used automatically."""
    group: str | None = None
    """For files: the column of what rows share, such as a person or a document. The rows of a group stay in one split,
    and intervals take groups, not rows, as independent."""
    series: str | None = None
    """For files with one row per time step: the column that identifies the sequence of each row."""
    time: str | None = None
    """For files with one row per time step: the column by which to sort the rows of a sequence.
    If not given: file order."""
    kind: KindName | None = None
    """For files: how to read a sequence, as symbols, bytes or values. If not given, guessed (and the guess printed)."""
    test: Path | None = None
    """For files: a second file with the test sequences. Its columns are found by the names of the first one's."""
    unlabelled_file: Path | None = field(default=None, metadata=RARE)
    """For files: one more file, with sequences for self-pretraining alone; labels in it are not read. Its columns are
    found by the names of the first one's."""
    max_length: int | None = None
    """Truncate longer sequences to this many positions, and print how many were truncated.
    If not given: 1,024 for files; built-in tasks are never truncated."""
    allow_missing: AllowMissing = field(default=False, metadata={"bare": "mean"})
    """Fill missing or infinite values instead of raising an error: with the channel's mean over the training set (also
    without a word), with the last value before them, or with the mean and a further channel that marks them."""
    header: Literal["yes", "no"] | None = field(default=None, metadata=RARE)
    """For text files: whether the first row names the columns. If not given: not if it consists of numbers."""
    separator: str | None = field(default=None, metadata=RARE)
    """For text files: the character between cells. If not given: comma, semicolon, tab or bar, whichever fits."""
    encoding: str | None = field(default=None, metadata=RARE)
    """For text files: their encoding, such as latin-1. If not given: UTF-8, or UTF-16 with a byte-order mark."""
    decimal: Literal[".", ","] = field(default=".", metadata=RARE)
    """The decimal sign of numbers in texts."""
    dates: Literal["dmy", "mdy"] | None = field(default=None, metadata=RARE)
    """Whether the day or the month comes first in dates such as 2/3/2024, if that cannot be seen."""
    axes: Literal["ntc", "nct"] | None = field(default=None, metadata=RARE)
    """Order of rows (n), positions (t) and channels (c) in arrays. If not given: ntc."""
    unlabelled: str | None = field(default=None, metadata=RARE)
    """The class that means "no label"; none: there is no such class. If not given: -1 beside other whole numbers."""
    fold_case: bool = field(default=False, metadata=RARE)
    """Make upper and lower case one, in texts and symbols."""
    data_dir: Path | None = None
    """Folder with data that you have to obtain yourself (for lra-image, lra-text and the studies domains and paper).
    If not given: the folder named by the environment variable SELFPRETRAIN_DATA, or else data."""
    data_seed: int = 0
    """Seed of generated data and of the split; independent of the training seeds."""
    fraction: float = field(default=1.0, metadata=PYTHON)
    """Share of the training sequences that is used; a smaller share is part of a larger one. Test stays whole."""
    label_fraction: float = field(default=1.0, metadata=PYTHON)
    """Share of the training labels that is used; a smaller share is part of a larger one. Rows whose label is not used
    are there for self-pretraining, as rows without a label are."""
    train_on_test: bool = field(default=False, metadata=PYTHON)
    """Test rows join training, for a model to be used; validation rows stand in for the test, and count twice."""
    random_labels: bool = field(default=False, metadata=PYTHON)
    """Control: the sequences of each split get each other's labels at random, so that they can only be memorised."""
    options: Mapping[str, Any] = field(default_factory=dict, metadata=TASK_OPTIONS)
    """Options of a built-in task, by name; each task has its own."""

    def __post_init__(self) -> None:
        require_at_least(self, max_length=1, data_seed=0)
        require_between(self, fraction=SHARES, label_fraction=SHARES)
        for name in ("sequence", "pair", "label", "split", "group", "series", "time", "unlabelled"):
            value = getattr(self, name)
            if isinstance(value, int | float | tuple):  # a column or a class that is no text in Python
                object.__setattr__(self, name, str(value))
            elif value is not None and not isinstance(value, str):
                raise SettingError(name, f"(a {type(value).__name__})", "is no name; give it as a text")
        if self.allow_missing is True:
            object.__setattr__(self, "allow_missing", "mean")
        require_one_of(self, allow_missing=(False, "mean", "last", "mask"), kind=get_args(KindName))
        require_one_of(self, header=("yes", "no"), decimal=(".", ","), dates=("dmy", "mdy"), axes=("ntc", "nct"))
        if self.separator in ("\\t", "tab"):  # as a shell passes it
            object.__setattr__(self, "separator", "\t")
        if self.separator is not None and not re.fullmatch(r"[\t -!#-~]", self.separator):
            raise SettingError("separator", repr(self.separator), "is not one character; give one, such as ';' or tab")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                known = "utf-8, utf-16, latin-1 and cp1252 are common ones"
                raise SettingError("encoding", self.encoding, f"is no encoding that Python knows; {known}") from None
        if self.time is not None and self.series is None:
            raise SettingError("time", self.time, "orders the rows of a series; name the series with --series")
        if self.pair is not None and self.series is not None:
            raise SettingError("pair", self.pair, "does not go with --series; put a whole sequence into each cell")
        if self.unlabelled_file is not None and self.group is not None:
            problem = "does not go with --group; put its rows into the first file, with an empty label"
            raise SettingError("unlabelled_file", self.unlabelled_file, problem)
        for name in ("test", "unlabelled_file", "data_dir"):
            if isinstance(path := getattr(self, name), str):  # as a person writes it in Python
                object.__setattr__(self, name, Path(path))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A pre-norm Transformer encoder. The defaults are the minimal model that shows the effect (ours)."""

    depth: int = 1
    """Number of blocks."""
    width: int = 32
    """Model width D."""
    heads: int = 2
    """Attention heads; must divide the width."""
    ff_factor: float = field(default=2.0, metadata=RARE)
    """Hidden width of the feed-forward layer, in multiples of the width."""
    dropout: float = 0.0
    """Dropout probability after the embedding and on both residual branches (0, as in Amos et al. 2024)."""
    positions: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal"
    """Positional encoding: absolute (sinusoidal, learned), relative (rotary, alibi) or none."""
    patch: int = 1
    """Number of neighbouring positions that the model reads as one token, masks as one and fills in one by one.
    Attention then costs 1/N² as much, so that long sequences come within reach. A budget may choose it.
    0: the smallest of 1, 2, 4, ... with which a sequence of median length has at most 32 tokens."""
    proximity_bias: float = field(default=0.0, metadata=PYTHON)
    """Slope of a fixed bias -slope |i - j| on the scores of every head; 0: none.
    It stands beside the position code, and instead of ALiBi's slopes."""
    pooling: Literal["mean", "max", "cls", "last"] = field(default="mean", metadata=RARE)
    """How the outputs at all positions are pooled into one vector for the label head."""
    label_head: Literal["linear", "mlp"] = field(default="linear", metadata=RARE)
    """Label head: one linear layer, or two with a ReLU."""
    position_scale: float = field(default=1.0, metadata=PYTHON)
    """Factor on the sinusoidal code, or on the start of learned positions."""
    init: Init = field(default="default", metadata=RARE)
    """How attention starts: torch's default, tied, mimetic-qk, mimetic or impulse.
    Tied: query and key equal, as in the code of Amos et al. Mimetic-qk: both near a scaled identity.
    Mimetic: values and outputs, too, as published by Trockman and Kolter (2023).
    Impulse: each head looks at one offset, as published by Zheng et al. (2025); needs absolute positions."""
    causal: bool = field(default=False, metadata=RARE)
    """Attention looks back only. Always so where the next position is predicted (objective causal)."""
    attention_block: int | None = field(default=None, metadata=RARE)
    """Block-local attention: each position attends to its own block of this many positions and to the two neighbouring
    blocks, so that time and memory grow linearly with the length. If not given, attention is global.
    Amos et al. use 4096 for 16,384 positions and 8192 for 65,536."""
    attention: Literal["sdpa", "eager"] = field(default="sdpa", metadata=PYTHON)
    """Attention kernel: torch's fused one, or explicit scores (equal to rounding)."""

    def __post_init__(self) -> None:
        require_at_least(self, depth=1, width=2, heads=1, patch=0, attention_block=1)
        require_at_least(self, ff_factor=0.01, proximity_bias=0.0, position_scale=0.0)
        require_between(self, dropout=(0.0, 0.99))
        if self.width % self.heads:
            raise SettingError("heads", self.heads, f"does not divide the width {self.width}")
        if self.width % 2:
            raise SettingError("width", self.width, "is odd; position codes need an even width")
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            problem = f"leaves {self.width // self.heads} of the width to each head; rotary needs an even one"
            raise SettingError("heads", self.heads, problem)
        if self.attention_block is not None and self.pooling == "cls":
            raise SettingError("pooling", "cls", "would see its own block alone; use mean, max or last")
        if self.init == "impulse" and (self.positions not in ABSOLUTE or self.pooling == "cls"):
            problem = "looks at offsets of absolute positions; use sinusoidal or learned ones, and no class token"
            raise SettingError("init", self.init, problem)

    @property
    def asks_alone(self) -> bool:
        """Whether the last block computes the queries that are read, and no others (see ``Attention``)."""
        is_biased = self.causal or self.positions == "alibi" or self.proximity_bias > 0
        return self.attention == "sdpa" and not is_biased and self.attention_block is None

    @property
    def hidden_width(self) -> int:
        return max(1, round(self.width * self.ff_factor))


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What self-pretraining fills in."""

    objective: str = "masked"
    """masked: fill in positions masked independently; span: fill in masked spans; causal: predict the next position,
    with causal attention in every arm. Installed packages may add others."""
    mask_ratio: float = 0.5
    """Expected fraction of masked positions (0.5: value of Amos et al. for images)."""
    span_length: int = field(default=8, metadata=PYTHON)
    """Mean length of a masked run, for span (ours)."""
    value_loss: Literal["l1", "l2"] = field(default="l1", metadata=RARE)
    """Reconstruction loss for values (l1: Amos et al. for images)."""
    joint_weight: float = field(default=1.0, metadata=PYTHON)
    """Weight of the masked loss beside the label loss in the arm joint (ours)."""
    control: Literal["none", "shuffled", "random"] = field(default="none", metadata=PYTHON)
    """Controls, from which nothing about order can be learnt: none of them, shuffled or random.
    Shuffled: every sequence in a random order, always the same. Random: the targets are another sequence's."""
    options: Mapping[str, Any] = field(default_factory=dict, metadata=PYTHON)
    """Settings of an objective that another package adds, by name."""

    def __post_init__(self) -> None:
        require_between(self, mask_ratio=(0.01, 0.99))
        require_at_least(self, span_length=1, joint_weight=0.0)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)?")


def seconds_of(text: str) -> float:
    """A budget of time in seconds.

    Raises:
        SettingError: it cannot be read as a time.

    >>> seconds_of("90s"), seconds_of("10m"), seconds_of("1.5h")
    (90.0, 600.0, 5400.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)", text.strip())
    if match is None or not 0 < float(match[1]) <= MOST:
        raise SettingError("budget", repr(text), "is not a time; write 90s, 10m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "min": 60, "h": 3600}[match[2]]


def time_for(seconds: float) -> str:
    """A budget that holds so much time.

    >>> time_for(50), time_for(124), time_for(30000)
    ('1m', '3m', '9h')
    """
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < LONG_MINUTES else f"{math.ceil(minutes / 60)}h"


@dataclass(frozen=True)
class Duration:
    """A length of training: steps, epochs, or per cent of a phase."""

    amount: float
    unit: Literal["steps", "epochs", "%"]

    @classmethod
    def parse(cls, text: str) -> "Duration | None":
        """What ``text`` says; None where it says nothing.

        >>> Duration.parse("20epochs"), Duration.parse("soon")
        (Duration(amount=20.0, unit='epochs'), None)
        """
        match = _DURATION.fullmatch(text)
        if match is None or float(match[1]) > MOST:
            return None
        unit = match[2] or "steps"
        return cls(float(match[1]), "%" if unit == "%" else "epochs" if unit.startswith("epoch") else "steps")

    def steps(self, *, epoch: float, whole: float = 0) -> float:
        """In optimiser steps, with so many steps in an epoch and in the whole phase.

        >>> Duration(5, "%").steps(epoch=10, whole=200), Duration(2, "epochs").steps(epoch=2.5)
        (10.0, 5.0)
        """
        return self.amount * {"steps": 1.0, "epochs": epoch, "%": whole / 100}[self.unit]


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """One phase of training."""

    duration: str
    """Length of the phase, such as 800steps (or just 800) or 20epochs."""
    batch_size: int = 64
    """Number of sequences per step; limited to the size of the training set."""
    warmup: str = field(default="5%", metadata=RARE)
    """Linear warm-up of the learning rate: 100steps, 1epochs or 5% of the phase (5%: ours)."""
    schedule: Literal["constant", "cosine"] = field(default="constant", metadata=RARE)
    """Learning rate after the warm-up (constant: Amos et al.)."""
    optimizer: Literal["adamw", "sgd", "muon"] = field(default="adamw", metadata=RARE)
    """adamw; sgd with momentum; or muon for the matrices of the blocks, and AdamW for the rest."""
    weight_decay: float = field(default=0.0, metadata=RARE)
    """Weight decay of matrices; biases, norms and embeddings have none."""
    evaluate_every: str = field(default="10%", metadata=RARE)
    """How often to validate: 50steps, 1epochs or 10% of the phase."""
    patience: int | None = field(default=None, metadata=RARE)
    """Stop after this many validations without improvement. If not given, always train to the end.
    The best weights are restored in both cases."""

    def __post_init__(self) -> None:
        require_at_least(self, batch_size=1, weight_decay=0.0, patience=1)
        for name in ("duration", "warmup", "evaluate_every"):
            parsed = Duration.parse(text := getattr(self, name))
            is_empty = parsed is None or (name != "warmup" and parsed.amount == 0)
            if is_empty or (name == "duration" and text.endswith("%")):
                known = "800steps or 20epochs" if name == "duration" else "800steps, 20epochs or 5%"
                raise SettingError(name, repr(text), f"is no duration; write {known}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What both phases and all arms share."""

    lr: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Grid of learning rates. With every seed, every arm trains with all of them, and the one that is best on
    validation data is reported. The rate of self-pretraining is picked by its own held-out loss, without labels."""
    clip: float | None = field(default=1.0, metadata=RARE)
    """Largest gradient norm (ours; Amos et al. do not clip)."""
    precision: Literal["float32", "bfloat16"] = field(default="float32", metadata=RARE)
    """bfloat16 runs the model under autocast; weights and optimiser stay in float32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto: CUDA, then MPS, then the CPU."""
    threads: int = field(default=1, metadata=RARE)
    """CPU threads per training. Results can differ in the last bit, so a training with another number of threads counts
    as a different training."""
    recompute: bool = field(default=False, metadata=PYTHON)
    """Compute the activations of each block again in the backward pass instead of keeping them.
    Less memory, a third more time, the same numbers."""
    snapshots: int = field(default=8, metadata=PYTHON)
    """Weights that a reported training keeps, evenly spaced, for diagnose to look along it (ours); 0: none."""
    checkpoint_seconds: float = field(default=10.0, metadata=RARE)
    """Seconds between checkpoints: the most work that a power cut can cost a training."""

    def __post_init__(self) -> None:
        if isinstance(self.lr, Real):
            object.__setattr__(self, "lr", (self.lr,))
        if not isinstance(self.lr, tuple | list) or not all(isinstance(lr, Real) for lr in self.lr):
            raise SettingError("lr", self.lr, "is no grid; give rates like (1e-3, 3e-3)")
        if len(self.lr) > MAX_RATES:
            raise SettingError("lr", f"of {len(self.lr)} rates", f"is too large a grid; give at most {MAX_RATES}")
        if not self.lr or any(not 0 < lr < 10 for lr in self.lr):
            raise SettingError("lr", self.lr, "is no grid; give one or more rates above 0 and below 10, like 1e-3,3e-3")
        if len({f"{lr:g}" for lr in self.lr}) < len(self.lr):
            raise SettingError("lr", self.lr, "names a rate twice")
        require_at_least(self, threads=1, clip=1e-6, snapshots=0, checkpoint_seconds=0.0)


FITTED = 0.9
"""Clean training accuracy from which the training set counts as fitted (ours)."""
LEARNT = 0.02
"""Share of the loss without context by which self-pretraining must be below it, to count as having learnt (ours)."""
GAIN = 0.03
"""A lead below 3 points counts as none, where a rival or a claim of a study is judged (ours)."""
BLIND = 0.1
"""Below this share of the reconstruction's signal the label's counts as far weaker (ours)."""
SIGNAL = 0.03
"""Of the labels' variance, what gradients have to explain beyond chance to count as a signal (ours)."""
NEAR = 1.5
"""Attention on near positions, relative to uniform, from which a head favours them (ours; at the start it is 1)."""
MIN_SEEDS, MAX_SEEDS = 3, 1000
"""No verdict from fewer, and no request for more (ours)."""
MAX_RATES = 100
"""In a grid (ours)."""


def looks_of(seeds: str) -> tuple[int, ...]:
    """The numbers of seeds at which an answer is looked at: of a range the fewest, half of the most, and the most.

    Raises:
        SettingError: it is neither a number nor a range.

    >>> looks_of("5"), looks_of("3-10"), looks_of("4-6")
    ((5,), (3, 5, 10), (4, 6))
    """
    match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", seeds.strip())
    if match is None:
        raise SettingError("seeds", seeds, "is no number of seeds; write 5, or 3-10")
    fewest, most = int(match[1]), int(match[2] or match[1])
    if match[2] and not MIN_SEEDS <= fewest < most:
        raise SettingError("seeds", seeds, f"is no range; write FEWEST-MOST, like 3-10, with {MIN_SEEDS} at least")
    return tuple(sorted({fewest, max(fewest, most // 2), most}))


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Arms x seeds on one task, paired by seed: the request of ``selfpretrain compare``."""

    arms: tuple[str, ...] = ("usual",)
    """Arms (ways to train) to compare, separated by commas; see below."""
    seeds: int = field(default=5, metadata={"text": True})
    """Number of seeds, which is the number of reported runs of each arm. With fewer than three, no verdict is given.
    With a range such as 3-10, the result is checked after 3, 5 and 10 seeds, and training stops once it is clear."""
    looks: tuple[int, ...] = field(default=(), metadata=PYTHON)
    """Where ``seeds`` was given as a range: the numbers of seeds at which the answer is looked at."""
    metric: MetricName = "accuracy"
    """What decides: it picks checkpoints, learning rates and models on validation, and the verdict is about it.
    Plateaus and causes are about accuracy all the same. The report has all metrics."""
    class_weights: ClassWeights = "none"
    """balanced: in the label loss every class counts alike, however rare it is; in classical models, too."""
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    pretrain: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="800steps"))
    label: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="300steps"))
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if isinstance(self.arms, str) or not self.arms:
            raise SettingError("arms", repr(self.arms), "names no arms; give several names")
        if len(set(self.arms)) < len(self.arms):
            raise SettingError("arms", ",".join(self.arms), "names an arm twice")
        if isinstance(self.seeds, str):
            looks = looks_of(self.seeds)
            object.__setattr__(self, "seeds", looks[-1])
            object.__setattr__(self, "looks", looks if len(looks) > 1 else ())
        require_between(self, seeds=(1, MAX_SEEDS))
        if self.looks and (self.seeds not in self.looks or self.looks != looks_of(f"{self.looks[0]}-{self.looks[-1]}")):
            raise SettingError("seeds", self.seeds, f"does not go with looks={self.looks}; give a range like '3-10'")
        if self.causal and self.model.pooling == "cls":
            raise SettingError("pooling", "cls", "sees nothing under causal attention; use mean, max or last")

    @property
    def seeds_at_looks(self) -> tuple[int, ...]:
        """Numbers of seeds at which the answer is looked at: those of a range, or just one."""
        return self.looks or (self.seeds,)

    @property
    def causal(self) -> bool:
        """Whether attention may look only back; the same for every arm of a comparison."""
        return self.model.causal or self.objective.objective == "causal"


SAMPLE, LARGE_SAMPLE, LEAST_SAMPLE = 256, 1000, 16
"""Sequences of a diagnosis's sample and of its large one where nothing else is asked for, and the least (ours)."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseConfig:
    """How a finished comparison is looked at: the request of ``selfpretrain diagnose``."""

    sections: tuple[str, ...] | None = None
    """Sections to compute, separated by commas (see below). If not given, all of them.
    Transplants train models and take the longest, but only they can identify a cause."""
    sample: int | None = None
    """Number of training sequences on which gradients and losses are followed during training; always the same ones.
    If not given: 256, or fewer if the task has fewer or the sequences are long (our choice)."""
    large_sample: int | None = field(default=None, metadata=PYTHON)
    """Training sequences behind attention patterns, score gradients at the main stages and linear probes.
    None: 1000, which keeps the position part of the scores nearly unbiased, or fewer as for --sample (ours)."""
    curvature_sample: int = field(default=32, metadata=PYTHON)
    """Sequences of the sample behind Hessians, which need many passes (ours)."""
    max_lag: int = 4
    """Largest lag, in positions (or patches), that counts as near (our choice)."""
    grid: tuple[int, ...] | None = None
    """HEIGHT,WIDTH of images that are read row by row as sequences, in patches where there are any. Distances are then
    also measured in the image."""
    transplant_seeds: int | None = None
    """Number of seeds per transplant, taken from the first seeds of the comparison. If not given, all of them.
    With fewer than three, no claim is made."""
    cells: tuple[str, ...] | None = field(default=None, metadata=PYTHON)
    """Transplants to make, separated by commas, like spt.query-key.free,spt.all-but-query-key.free; None: all.
    Donor, what is taken, and whether it may learn: the names of the folders in transplants/, without the seed."""

    def __post_init__(self) -> None:
        for name in ("sections", "cells"):
            if isinstance(value := getattr(self, name), str):
                raise SettingError(name, repr(value), f"is no tuple; give ({value!r},)")
        require_at_least(
            self, sample=LEAST_SAMPLE, large_sample=LEAST_SAMPLE, curvature_sample=4, max_lag=1, transplant_seeds=1
        )
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise SettingError("grid", ",".join(map(str, self.grid)), "is no image; give two numbers, HEIGHT,WIDTH")
