"""Every setting and every default of the project, once.

Precedence: the default below < the preset < what the caller gives. For example ``--preset small --depth 3`` is the
preset ``small`` (two layers) with three layers. The docstring under a field is its help text on the command line,
where task, model, objective and train lose their name and the two phases keep theirs (``--depth 3``,
``--label.duration 800steps``). ``None`` means off, or "found out from the data" where the docstring says so.
"""

import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tyro.conf import OmitArgPrefixes, Positional

from selfpretrain.errors import RequestError

Kind = Literal["symbols", "bytes", "values"]
Arm = Literal["scratch", "spt", "scratch-long", "joint", "mimetic", "linear"]
ARMS: tuple[Arm, ...] = typing.get_args(Arm)
QKInit = Literal["independent", "tied", "mimetic"]

BUILTIN_TASKS: dict[str, dict[str, int | float]] = {
    # K, L, p and N as in the papers' words: symbols, length, probability of a local step, sequences.
    "proximity": {"symbols": 8, "length": 80, "probability": 0.5, "sequences": 4000},
    "digits": {},
    "noise": {"symbols": 8, "length": 64, "sequences": 2000},
    "skew": {"length": 64, "sequences": 4000, "correlation": 0.7},
}
"""Built-in tasks with the options that belong to each and their defaults (ours)."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _at_least(config: Any, **least: float) -> None:
    for name, bound in least.items():
        value = getattr(config, name)
        if value is not None and not bound <= value < math.inf:
            wrong = "too small" if value < bound else "no number to work with"
            raise RequestError(f"{_flag(name)} {value} is {wrong}; the least is {bound:g}")


def _between(config: Any, **bounds: tuple[float, float]) -> None:
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise RequestError(f"{_flag(name)} {value} is out of range; it lies between {low:g} and {high:g}")


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """Which sequences, and how to read them."""

    data: Positional[str] = "proximity"
    """A built-in task (proximity, digits, noise, skew) or a file: .csv, .tsv, .parquet, .jsonl, .npz."""
    sequence: str | None = None
    """File: the column that holds the sequence; a list a,b,c or a pattern like 't*' for one column per step."""
    label: str | None = None
    """File: the column that holds the class."""
    split: str | None = None
    """File: the column that says train, val or test (found by the name 'split')."""
    kind: Kind | None = None
    """File: how to read a sequence: symbols, bytes or values; guessed and printed when not given."""
    test: Path | None = None
    """File: a second file with the test sequences, columns as in the first."""
    max_length: int = 1024
    """Longer sequences are cut to this many positions, and the count is printed."""
    allow_missing: bool = False
    """Replace missing or infinite values by the channel's training mean instead of refusing them."""
    data_seed: int = 0
    """Seed of generated data and of the split; independent of the training seeds."""
    symbols: int | None = None
    """proximity, noise: number of symbols K."""
    length: int | None = None
    """proximity, noise, skew: sequence length L."""
    probability: float | None = None
    """proximity: probability p that a symbol is its neighbour's step rather than uniform."""
    sequences: int | None = None
    """proximity, noise, skew: number of sequences N, before the split."""
    correlation: float | None = None
    """skew: correlation of neighbouring positions."""

    def __post_init__(self) -> None:
        _at_least(self, max_length=1, data_seed=0, symbols=2, length=2, sequences=8)
        _between(self, probability=(0.0, 1.0), correlation=(0.0, 0.99))

    def builtin_options(self) -> dict[str, int | float]:
        """The options of the built-in task ``data``, defaults filled in.

        Raises:
            RequestError: an option was given that does not belong to this task.
        """
        defaults = BUILTIN_TASKS[self.data]
        every = sorted({name for options in BUILTIN_TASKS.values() for name in options})
        given = {name: getattr(self, name) for name in every if getattr(self, name) is not None}
        of_files = ("sequence", "label", "split", "kind", "test")
        strangers = [n for n in (*given, *of_files) if n not in defaults and getattr(self, n) is not None]
        if strangers:
            valid = ", ".join(map(_flag, (*defaults, "data_seed"))) or "none"
            raise RequestError(f"{_flag(strangers[0])} does not apply to the task '{self.data}'; its options: {valid}")
        if self.data == "proximity" and given.get("symbols", 3) < 3:
            raise RequestError("--symbols 2 makes both directions the same step; the task proximity needs 3 or more")
        return {**defaults, **given}

    def file_options(self) -> None:
        """Refuse options of built-in tasks when ``data`` is a file."""
        for name in sorted({name for options in BUILTIN_TASKS.values() for name in options}):
            if getattr(self, name) is not None:
                raise RequestError(f"{_flag(name)} applies to built-in tasks only, and DATA is the file {self.data}")


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
    """Slope of a fixed bias -slope |i - j| on the scores of every head, beside the position code and instead of
    ALiBi's slopes; 0: none."""
    pooling: Literal["mean", "max", "cls", "last"] = "mean"
    """How positions become one vector for the label head."""
    label_head: Literal["linear", "mlp"] = "linear"
    """Label head: one linear layer, or two with a ReLU."""
    qk_init: QKInit = "independent"
    """Start of the query and key weights: independent; tied (equal, as in the code of Amos et al.); mimetic
    (near a scaled identity, after Trockman and Kolter 2023)."""
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Attention kernel: torch's fused one, or explicit scores (equal to rounding)."""

    def __post_init__(self) -> None:
        _at_least(self, depth=1, width=2, heads=1, ff_factor=0.01, proximity_bias=0.0)
        _between(self, dropout=(0.0, 0.99))
        if self.width % self.heads:
            raise RequestError(f"--heads {self.heads} does not divide --width {self.width}")
        if self.width % 2:
            raise RequestError(f"--width {self.width} is odd; position codes need an even width")
        if self.positions == "rotary" and (self.width // self.heads) % 2:
            raise RequestError(
                f"rotary positions need an even width per head, not {self.width // self.heads}: change --heads"
            )

    @property
    def hidden_width(self) -> int:
        """Hidden width of the feed-forward layer."""
        return max(1, round(self.width * self.ff_factor))


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What self-pretraining fills in."""

    objective: Literal["masked", "span", "causal"] = "masked"
    """masked: positions masked independently; span: runs of positions; causal: predict the next position, with
    causal attention in every arm."""
    mask_ratio: float = 0.5
    """Expected share of masked positions (.5: Amos et al. for images)."""
    span_length: int = 8
    """Mean length of a masked run, for span (ours)."""
    value_loss: Literal["l1", "l2"] = "l1"
    """Reconstruction loss for values (l1: Amos et al. for images)."""
    joint_weight: float = 1.0
    """Weight of the masked loss beside the label loss in the arm joint (ours)."""

    def __post_init__(self) -> None:
        _between(self, mask_ratio=(0.01, 0.99))
        _at_least(self, span_length=1, joint_weight=0.0)

    @property
    def causal(self) -> bool:
        """Whether attention may look only back; the same for every arm of a comparison."""
        return self.objective == "causal"


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)?")


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
    weight_decay: float = 0.0
    """AdamW weight decay of matrices; biases, norms and embeddings have none."""
    evaluate_every: str = "10%"
    """How often to validate: 50steps, 1epochs or 10% of the phase."""
    patience: int | None = None
    """Stop after this many validations without improvement; None: always train to the end. The best weights are
    restored either way."""

    def __post_init__(self) -> None:
        _at_least(self, batch_size=1, weight_decay=0.0, patience=1)
        for name in ("duration", "warmup", "evaluate_every"):
            match = _DURATION.fullmatch(getattr(self, name))
            nothing = match is not None and name != "warmup" and float(match[1]) == 0
            if match is None or nothing or (name == "duration" and match[2] == "%"):
                raise RequestError(
                    f"{_flag(name)} {getattr(self, name)!r} is no duration; write 800steps or 20epochs"
                    + ("" if name == "duration" else " or 5%")
                )

    def steps(self, name: Literal["duration", "warmup", "evaluate_every"], n_rows: int) -> int:
        """A duration of this phase in optimiser steps, for ``n_rows`` training sequences.

        >>> PhaseConfig(duration="2epochs", batch_size=10).steps("duration", n_rows=25)
        5
        >>> PhaseConfig(duration="200", warmup="5%").steps("warmup", n_rows=1000)
        10
        """
        match = _DURATION.fullmatch(getattr(self, name))
        assert match is not None, "checked in __post_init__"
        amount, unit = float(match[1]), match[2] or "steps"
        if unit == "%":
            amount *= self.steps("duration", n_rows) / 100
        elif unit.startswith("epoch"):
            amount *= n_rows / min(self.batch_size, n_rows)
        return max(0 if name == "warmup" else 1, round(amount))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What both phases and all arms share."""

    lr: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """The grid from which every arm's learning rate is picked on validation; an arm with two phases uses one value
    for both, so that each arm gets equally many trials (ours)."""
    tune_seeds: int = 1
    """Seeds that try each learning rate; they are not among the reported seeds."""
    clip: float | None = 1.0
    """Largest gradient norm (ours; Amos et al. do not clip)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 runs the model under autocast; weights and optimiser stay in float32."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto: CUDA, then MPS, then the CPU."""
    threads: int = 1
    """CPU threads of one run. Part of the request, because it can change the last bit."""
    snapshots: int = 8
    """Weights that a reported run keeps of each phase, evenly spaced, for ``diagnose`` to look along the training;
    0 keeps none (ours)."""
    checkpoint_seconds: float = 10.0
    """Seconds between checkpoints: the most work that a power cut can cost a run."""

    def __post_init__(self) -> None:
        if not self.lr or any(not 0 < lr < 10 for lr in self.lr):
            raise RequestError(f"--lr {self.lr}: give one or more rates above 0 and below 10, like 1e-3,3e-3")
        if len({f"{lr:g}" for lr in self.lr}) < len(self.lr):
            raise RequestError(f"--lr {self.lr} names a rate twice")
        _at_least(self, tune_seeds=1, threads=1, clip=1e-6, snapshots=0, checkpoint_seconds=0.0)


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Arms x seeds on one task, paired by seed: the request of ``selfpretrain compare``."""

    task: OmitArgPrefixes[TaskConfig] = field(default_factory=TaskConfig)
    arms: tuple[Arm, ...] = ("scratch", "spt", "scratch-long")
    """Ways to train, separated by commas: scratch, spt, scratch-long (scratch with SPT's extra compute as label
    steps), joint (both losses together), mimetic (no SPT, query-key near a scaled identity), linear (a classical
    baseline)."""
    seeds: int = 5
    """Reported runs of each arm. No verdict is given below three."""
    model: OmitArgPrefixes[ModelConfig] = field(default_factory=ModelConfig)
    objective: OmitArgPrefixes[ObjectiveConfig] = field(default_factory=ObjectiveConfig)
    pretrain: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="800steps"))
    label: PhaseConfig = field(default_factory=lambda: PhaseConfig(duration="300steps"))
    train: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms:
            raise RequestError(f"--arms: unknown arm '{', '.join(unknown)}'; the arms are {', '.join(ARMS)}")
        if len(set(self.arms)) < len(self.arms):
            raise RequestError(f"--arms {','.join(self.arms)} names an arm twice")
        _at_least(self, seeds=1)
        if self.objective.causal and self.model.pooling == "cls":
            raise RequestError("--pooling cls sees nothing under causal attention; use mean, max or last")
        if self.objective.causal and "joint" in self.arms:
            raise RequestError("--arms joint needs --objective masked or span: its loss fills in masked positions")


@dataclass(frozen=True, kw_only=True)
class TransplantConfig:
    """What a label training that asks for the cause takes into the fresh start of its seed."""

    name: str
    """Name of the cell in the matrix of transplants."""
    groups: tuple[str, ...] = ()
    """Groups of weights to take; the rest stays fresh."""
    source: Path | None = None
    """Run whose self-pretrained weights are the donor's, relative to this run's folder."""
    random: bool = False
    """Take noise instead, of the norm that each of the donor's tensors has."""
    frozen: tuple[str, ...] = ()
    """Groups of weights to leave as they start."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One arm with one seed and one learning rate: everything a run depends on besides its task."""

    arm: Arm
    seed: int
    lr: float
    purpose: Literal["report", "tune"]
    """A run that tunes sees validation data only; the test data are for reported runs."""
    pretrain_steps: int
    label_steps: int
    model: ModelConfig
    objective: ObjectiveConfig
    pretrain: PhaseConfig
    label: PhaseConfig
    train: TrainConfig
    transplant: TransplantConfig | None = None

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        what = self.arm if self.transplant is None else self.transplant.name
        return f"{what}-seed{self.seed}" + (f"-lr{self.lr:g}" if self.purpose == "tune" else "")


Part = Literal["data", "attention", "gradients", "landscape", "representation", "transplants"]
PARTS: tuple[Part, ...] = typing.get_args(Part)
IMAGE_GRIDS: dict[str, tuple[int, int]] = {"digits": (8, 8)}
"""Built-in tasks whose sequences are images read row by row: height and width in pixels."""


PROBE, SEQUENCES, LEAST_PROBE = 256, 1000, 16
"""Sequences of a diagnosis's probe and of its larger sample where nothing else is asked for, and the least (ours)."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseConfig:
    """How a finished comparison is looked at: the request of ``selfpretrain diagnose``."""

    parts: tuple[Part, ...] = PARTS
    """What to look at, separated by commas: data, attention, gradients, landscape, representation, transplants. The
    last one trains, takes longest, and is what can name a cause."""
    probe: int | None = None
    """Training sequences on which gradients and losses are looked at along training, always the same ones; None: 256,
    or fewer where the task has fewer or they are long (ours)."""
    sequences: int | None = None
    """Training sequences behind attention patterns, score gradients at the main stages and linear probes; None: 1000,
    which keeps the position part of the scores nearly unbiased, or fewer as for --probe (ours)."""
    curvature_probe: int = 32
    """Sequences of the probe behind Hessians, which need many passes (ours)."""
    max_lag: int = 4
    """Longest lag that counts as near, in positions (ours)."""
    grid: tuple[int, ...] | None = None
    """HEIGHT,WIDTH of sequences that are images read row by row: distances are then measured on the image, too."""
    transplant_seeds: int | None = None
    """Seeds of every transplant, the first ones of the comparison; None: all of them. No claim is made below three."""

    def __post_init__(self) -> None:
        if isinstance(self.parts, str):
            raise RequestError(f"parts={self.parts!r}: give a tuple, as in ({self.parts!r},)")
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts:
            raise RequestError(f"--parts: unknown part '{', '.join(unknown)}'; the parts are {', '.join(PARTS)}")
        _at_least(self, probe=LEAST_PROBE, sequences=LEAST_PROBE, curvature_probe=4, max_lag=1, transplant_seeds=1)
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise RequestError(f"--grid {','.join(map(str, self.grid))}: give two numbers, HEIGHT,WIDTH")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as JSON types: nested dictionaries, tuples as lists, paths as strings."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return plain


ConfigT = TypeVar("ConfigT")


def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """The inverse of ``to_dict``.

    Raises:
        RequestError: an unknown key; the message lists the valid ones.

    >>> from_dict(ModelConfig, to_dict(ModelConfig(depth=3))).depth
    3
    """
    types_of = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(types_of))
    if unknown:
        raise RequestError(f"unknown setting '{unknown[0]}' of {cls.__name__}; valid: {', '.join(types_of)}")
    return cls(**{key: _as_type(types_of[key], value) for key, value in values.items()})


def _as_type(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if value is None:
        return None
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value)  # type: ignore[arg-type]
    if typing.get_origin(kind) is tuple:
        return tuple(value)
    return Path(value) if kind is Path else value


def fingerprint(*parts: Any) -> str:
    """Short SHA-256 of JSON-able parts; configurations count by their settings."""
    plain = [to_dict(part) if dataclasses.is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
