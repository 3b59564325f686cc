"""Every setting and every default of the project, once; a built-in task keeps its own beside its rule.

Precedence: the default below < the preset < what the caller gives. For example ``--preset small --depth 3`` is the
preset ``small`` (two layers) with three layers. The docstring under a field is its help text on the command line,
where task, model, objective and train lose their name and the two phases keep theirs (``--depth 3``,
``--label.duration 800steps``). ``None`` means off, or "found out from the data" where the docstring says so.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, Suppress
from tyro.constructors import PrimitiveConstructorSpec

from selfpretrain.errors import SettingError, require_at_least, require_between

Kind = Literal["symbols", "bytes", "values"]
Init = Literal["default", "tied", "mimetic-qk", "mimetic", "impulse"]
PhaseName = Literal["pretrain", "label"]
ObjectiveName = Literal["labels", "cutmix", "smoothing", "masked-labels", "reconstruction", "joint", "joint-corrupted"]
"""What a training minimises; each is a class in ``objectives``."""
ABSOLUTE = ("sinusoidal", "learned")
"""Position codes that are added to the embedding."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which sequences, and how to read them."""

    data: Positional[str] = "proximity"
    """A built-in task (see below) or a file: .csv, .tsv, .parquet, .jsonl, .npz."""
    sequence: str | None = None
    """File: the column that holds the sequence; a list a,b,c or a pattern like 't*' for one column per step."""
    pair: str | None = None
    """File: the column of a second sequence, where a row is a pair and its class is about both."""
    label: str | None = None
    """File: the column that holds the class."""
    split: str | None = None
    """File: the column that says train, val or test (found by the name 'split')."""
    series: str | None = None
    """File with a row for each time step: the column that names the sequence to which a row belongs."""
    time: str | None = None
    """File with a row for each time step: the column that orders the rows of a sequence; None: as in the file."""
    kind: Kind | None = None
    """File: how to read a sequence: symbols, bytes or values; guessed and printed when not given."""
    test: Path | None = None
    """File: a second file with the test sequences, columns as in the first."""
    max_length: int | None = None
    """Longer sequences are cut to this many positions, and the count is printed.
    None: 1,024 for files, and never for built-in tasks."""
    allow_missing: bool = False
    """Replace missing or infinite values by the channel's training mean instead of refusing them."""
    data_dir: Path | None = None
    """Folder of data that somebody has to get (lra-image, lra-text; the studies domains and paper).
    None: what SELFPRETRAIN_DATA names, or data."""
    data_seed: int = 0
    """Seed of generated data and of the split; independent of the training seeds."""
    fraction: float = 1.0
    """Share of the training sequences that is used; a smaller share is part of a larger one. Test stays whole."""
    random_labels: bool = False
    """Control: the sequences of each split get each other's labels at random, so that they can only be memorised."""
    options: Suppress[dict[str, Any]] = field(default_factory=dict)
    """Options of a built-in task, by name; each task has its own."""

    def __post_init__(self) -> None:
        require_at_least(self, max_length=1, data_seed=0)
        require_between(self, fraction=(1e-6, 1.0))
        if self.time is not None and self.series is None:
            raise SettingError("time", self.time, "orders the rows of a series; name the series with --series")
        if self.pair is not None and self.series is not None:
            raise SettingError("pair", self.pair, "does not go with --series; put a whole sequence into each cell")
        for name in ("test", "data_dir"):
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
    ff_factor: float = 2.0
    """Hidden width of the feed-forward layer, in multiples of the width."""
    dropout: float = 0.0
    """Dropout after the embedding and on both residual branches. Amos et al. use 0."""
    positions: Literal["sinusoidal", "learned", "rotary", "alibi", "none"] = "sinusoidal"
    """Position code: absolute (sinusoidal, learned), relative (rotary, alibi) or none."""
    proximity_bias: float = 0.0
    """Slope of a fixed bias -slope |i - j| on the scores of every head; 0: none.
    It stands beside the position code, and instead of ALiBi's slopes."""
    pooling: Literal["mean", "max", "cls", "last"] = "mean"
    """How positions become one vector for the label head."""
    label_head: Literal["linear", "mlp"] = "linear"
    """Label head: one linear layer, or two with a ReLU."""
    position_scale: float = 1.0
    """Factor on the sinusoidal code, or on the start of learned positions."""
    init: Init = "default"
    """How attention starts: torch's default, tied, mimetic-qk, mimetic or impulse.
    Tied: query and key equal, as in the code of Amos et al. Mimetic-qk: both near a scaled identity.
    Mimetic: values and outputs, too, as published by Trockman and Kolter (2023).
    Impulse: each head looks at one offset, as published by Zheng et al. (2025); needs absolute positions."""
    causal: bool = False
    """Attention looks back only. Always so where the next position is predicted (objective causal)."""
    attention_block: int | None = None
    """Block-local attention: a position sees its own block of so many positions and both neighbours; None: all.
    Time and memory then grow with the length. Amos et al.: 4096 for 16,384 positions, 8192 for 65,536."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention kernel: torch's fused one, or explicit scores (equal to rounding)."""

    def __post_init__(self) -> None:
        require_at_least(self, depth=1, width=2, heads=1, ff_factor=0.01, proximity_bias=0.0, position_scale=0.0)
        require_at_least(self, attention_block=1)
        require_between(self, dropout=(0.0, 0.99))
        if self.width % self.heads:
            raise SettingError("heads", self.heads, f"does not divide the width {self.width}")
        if self.width % 2:
            raise SettingError("width", self.width, "is odd; position codes need an even width")
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            each = self.width // self.heads
            raise SettingError(
                "heads", self.heads, f"leaves {each} of the width to each head; rotary needs an even one"
            )

        if self.attention_block is not None and self.pooling == "cls":
            raise SettingError("pooling", "cls", "would see its own block alone; use mean, max or last")
        if self.init == "impulse" and (self.positions not in ABSOLUTE or self.pooling == "cls"):
            said = "looks at offsets of absolute positions; use sinusoidal or learned ones, and no class token"
            raise SettingError("init", self.init, said)

    @property
    def hidden_width(self) -> int:
        """Hidden width of the feed-forward layer."""
        return max(1, round(self.width * self.ff_factor))


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What self-pretraining fills in."""

    objective: Literal["masked", "span", "causal"] = "masked"
    """masked: positions masked independently; span: stretches of positions; causal: predict the next position.
    The last comes with causal attention in every arm."""
    mask_ratio: float = 0.5
    """Expected share of masked positions (.5: Amos et al. for images)."""
    span_length: int = 8
    """Mean length of a masked run, for span (ours)."""
    value_loss: Literal["l1", "l2"] = "l1"
    """Reconstruction loss for values (l1: Amos et al. for images)."""
    joint_weight: float = 1.0
    """Weight of the masked loss beside the label loss in the arm joint (ours)."""
    control: Literal["none", "shuffled", "random"] = "none"
    """Controls, from which nothing about order can be learnt: none of them, shuffled or random.
    Shuffled: every sequence in a random order, always the same. Random: what is asked for is another sequence's."""

    def __post_init__(self) -> None:
        require_between(self, mask_ratio=(0.01, 0.99))
        require_at_least(self, span_length=1, joint_weight=0.0)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)?")


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
        if match is None:
            return None
        unit = match[2] or "steps"
        return cls(float(match[1]), "%" if unit == "%" else "epochs" if unit.startswith("epoch") else "steps")

    def steps(self, *, epoch: float, whole: float = 0) -> float:
        """In optimiser steps.

        Args:
            epoch: steps of an epoch.
            whole: steps of the phase, of which per cent are.

        >>> Duration(5, "%").steps(epoch=10, whole=200), Duration(2, "epochs").steps(epoch=2.5)
        (10.0, 5.0)
        """
        return self.amount * {"steps": 1.0, "epochs": epoch, "%": whole / 100}[self.unit]


@dataclass(frozen=True, kw_only=True)
class PhaseConfig:
    """One phase of training."""

    duration: str
    """How long: 800steps (or just 800) or 20epochs."""
    batch_size: int = 64
    """Sequences a step; at most the training set."""
    warmup: str = "5%"
    """Linear warm-up of the learning rate: 100steps, 1epochs or 5% of the phase (5%: ours)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up (constant: Amos et al.)."""
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    """adamw; sgd with momentum; or muon for the matrices of the blocks, and AdamW for the rest."""
    weight_decay: float = 0.0
    """Weight decay of matrices; biases, norms and embeddings have none."""
    evaluate_every: str = "10%"
    """How often to validate: 50steps, 1epochs or 10% of the phase."""
    patience: int | None = None
    """Stop after this many validations without improvement; None: always train to the end.
    The best weights are restored either way."""

    def __post_init__(self) -> None:
        require_at_least(self, batch_size=1, weight_decay=0.0, patience=1)
        for name in ("duration", "warmup", "evaluate_every"):
            text = getattr(self, name)
            parsed = Duration.parse(text)
            nothing = parsed is not None and name != "warmup" and parsed.amount == 0
            if parsed is None or nothing or (name == "duration" and parsed.unit == "%"):
                known = "800steps or 20epochs" + ("" if name == "duration" else " or 5%")
                raise SettingError(name, repr(text), f"is no duration; write {known}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What both phases and all arms share."""

    lr: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """The grid from which every arm's learning rate is picked on validation.
    An arm with two phases uses one value for both, so that each arm gets equally many trials (ours)."""
    tune_seeds: int = 1
    """Seeds that try each learning rate; they are not among the reported seeds."""
    clip: float | None = 1.0
    """Largest gradient norm (ours; Amos et al. do not clip)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the model under autocast; weights and optimiser stay in float32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto: CUDA, then MPS, then the CPU."""
    threads: int = 1
    """CPU threads of one training. They can change the last bit, so trainings with other threads are others."""
    recompute: bool = False
    """Compute the activations of each block again in the backward pass instead of keeping them.
    Less memory, a third more time, the same numbers."""
    snapshots: int = 8
    """Weights that a reported training keeps, evenly spaced, for diagnose to look along it (ours); 0: none."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints: the most work that a power cut can cost a training."""

    def __post_init__(self) -> None:
        if not self.lr or any(not 0 < lr < 10 for lr in self.lr):
            raise SettingError("lr", self.lr, "is no grid; give one or more rates above 0 and below 10, like 1e-3,3e-3")
        if len({f"{lr:g}" for lr in self.lr}) < len(self.lr):
            raise SettingError("lr", self.lr, "names a rate twice")
        require_at_least(self, tune_seeds=1, threads=1, clip=1e-6, snapshots=0, checkpoint_seconds=0.0)


FITTED = 0.9
"""Clean training accuracy from which the training set counts as fitted (ours)."""
MIN_SEEDS, MAX_SEEDS = 3, 1000
"""No verdict from fewer, and no request for more (ours); tuning seeds begin far above."""


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


SEEDS = PrimitiveConstructorSpec[Any](  # a word, which __post_init__ reads
    nargs=1,
    metavar="N|FEWEST-MOST",
    instance_from_str=lambda words: words[0],
    is_instance=lambda value: isinstance(value, int),
    str_from_instance=lambda seeds: [str(seeds)],
)


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Arms x seeds on one task, paired by seed: the request of ``selfpretrain compare``."""

    arms: tuple[str, ...] = ("scratch", "spt", "scratch-long", "classical")
    """Ways to train, separated by commas (see below)."""
    seeds: Annotated[int, SEEDS] = 5
    """Reported runs of each arm. No verdict is given below three.
    A range like 3-10 looks at the answer after 3, 5 and 10 seeds, and stops as soon as it is clear."""
    looks: Suppress[tuple[int, ...]] = ()
    """Where ``seeds`` was given as a range: the numbers of seeds at which the answer is looked at."""
    model: OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    objective: OmitArgPrefixes[ObjectiveConfig] = field(default_factory=ObjectiveConfig)
    pretrain: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="800steps"))
    label: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="300steps"))
    train: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)

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
    def stages(self) -> "list[CompareConfig]":
        """The request at each of its looks: one, unless seeds are a range."""
        return [replace(self, seeds=n) for n in self.looks or (self.seeds,)]

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
    """What to look at, separated by commas (see below); None: everything.
    Transplants train, take longest, and are what can name a cause."""
    sample: int | None = None
    """Training sequences on which gradients and losses are looked at along training, always the same ones.
    None: 256, or fewer where the task has fewer or they are long (ours)."""
    large_sample: int | None = None
    """Training sequences behind attention patterns, score gradients at the main stages and linear probes.
    None: 1000, which keeps the position part of the scores nearly unbiased, or fewer as for --sample (ours)."""
    curvature_sample: int = 32
    """Sequences of the sample behind Hessians, which need many passes (ours)."""
    max_lag: int = 4
    """Longest lag that counts as near, in positions (ours)."""
    grid: tuple[int, ...] | None = None
    """HEIGHT,WIDTH of sequences that are images read row by row: distances are then measured on the image, too."""
    transplant_seeds: int | None = None
    """Seeds of every transplant, the first ones of the comparison; None: all of them. No claim is made below three."""
    cells: tuple[str, ...] | None = None
    """Transplants to make, separated by commas, like spt.query-key.free,spt.all-but-query-key.free; None: all.
    Donor, what is taken, and whether it may learn: the names of the folders in transplants/, without the seed."""

    def __post_init__(self) -> None:
        if isinstance(self.sections, str):
            raise SettingError("sections", repr(self.sections), f"is no tuple; give ({self.sections!r},)")
        if isinstance(self.cells, str):
            raise SettingError("cells", repr(self.cells), f"is no tuple; give ({self.cells!r},)")
        require_at_least(
            self, sample=LEAST_SAMPLE, large_sample=LEAST_SAMPLE, curvature_sample=4, max_lag=1, transplant_seeds=1
        )
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise SettingError("grid", ",".join(map(str, self.grid)), "is no image; give two numbers, HEIGHT,WIDTH")
