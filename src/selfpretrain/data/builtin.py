"""Built-in tasks: what one is, and those that need no file.

| task      | sequences                       | label                      | what it is for             |
|-----------|---------------------------------|----------------------------|----------------------------|
| proximity | symbols, a chain of local steps | the law of the steps       | the effect, at its smallest |
| digits    | 64 grey values of an 8x8 image  | the digit                  | small real data            |
| noise     | uniform symbols                 | drawn independently        | the null: nothing helps    |
| skew      | values, exponential AR process  | sign of the third cumulant | labels blind to pairs      |

The Long Range Arena and its stand-ins are in the folder ``arena``.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from selfpretrain.errors import SettingError, require_at_least, require_between
from selfpretrain.files import require_absent
from selfpretrain.registry import register
from selfpretrain.watch import Watch, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.data.rows import Rows
    from selfpretrain.data.task import Posterior


VARIABLE, FOLDER = "SELFPRETRAIN_DATA", Path("data")
"""Environment variable that names the folder of downloaded data, and the folder where it does not."""


MOST_SYMBOLS = 2**16
"""Of a task that is made here (ours)."""


def data_folder(asked: Path | None) -> Path:
    """Location of downloaded data: the option ``--data-dir``, else ``$SELFPRETRAIN_DATA``, else ``./data``."""
    return asked or Path(os.environ.get(VARIABLE) or FOLDER)


class Source(NamedTuple):
    """What a task is made with: the seed of its data, the folder of downloaded data, and processes to draw with."""

    data_seed: int = 0
    folder: Path = FOLDER
    workers: int = 1
    watch: Watch = ignore


class Published(NamedTuple):
    """A published test accuracy."""

    model: str
    percent: str | None
    """As printed; None: the model stayed at chance, or was not run."""
    source: str
    status: str
    """Whether the source itself was read, or another that quotes it."""


@dataclass(frozen=True, kw_only=True)
class BuiltinTask:
    """A rule that makes a task; the fields of a subclass are its options, with their defaults (ours)."""

    sort: ClassVar[str] = "task"
    name: ClassVar[str]
    size: ClassVar[str] = ""
    """Rows x positions with the defaults, for the reader."""
    preset: ClassVar[str] = "minimal"
    """The preset with which it is compared unless another is named."""
    small: ClassVar[str | None] = None
    """Name of its short sister, which ``--profile small`` takes."""
    licence: ClassVar[str] = "generated here by a rule, so none is needed"
    grid: ClassVar[tuple[int, int] | None] = None
    """Height and width, if the sequences are images read row by row."""
    reads_folder: ClassVar[bool] = False
    """Whether it looks into the folder of downloaded data."""

    def build(self, generator: "np.random.Generator") -> "Rows":
        """The rows, see ``rows.made``; every random number comes from ``generator``."""
        raise NotImplementedError

    def rows(self, source: Source) -> "Rows":
        from selfpretrain.streams import numpy_stream  # here, so that --help does not wait for NumPy

        return self.build(numpy_stream(source.data_seed, "data"))

    @property
    def posterior(self) -> "Posterior | None":
        """The law of hidden symbols, as in ``task.Posterior``, for symbols 0, 1, ... K-1; None if unknown."""
        return None

    @property
    def positions(self) -> int:
        """Positions of all of its sequences, at most."""
        sequences: int = getattr(self, "sequences", 0)
        return sequences * getattr(self, "length", getattr(self, "max_tokens", 1))

    @classmethod
    def state(cls, folder: Path) -> tuple[str, str]:
        """A word for ``data list`` ("made", "ready" or "missing"), and what to get where something is missing."""
        return "made", ""

    @classmethod
    def sample_size(cls, most: int) -> int:
        """Sequences that ``data describe`` looks at, at most."""
        return most

    def make_file(self, source: Source, out: Path, write: "Callable[..., str]") -> str:
        """Make the file ``out`` by ``write(rows, **more)``, see ``catalogue.make_file``.

        Raises:
            SettingError: it is there.
        """
        require_absent(out)
        return write(self.rows(source))

    @classmethod
    def published(cls) -> Sequence[Published]:
        """What others report on it."""
        return ()


class Chain(NamedTuple):
    """``x[t] = x[t - lag] + step (mod K)`` with a probability, else uniform."""

    step: int
    probability: float
    lag: int = 1


WEAKER = 0.4
"""Probability of the second class in the law strength, as a share of the first's: 0.2 against 0.5 (ours)."""


@register
@dataclass(frozen=True, kw_only=True)
class Proximity(BuiltinTask):
    """A chain of symbols whose label is the law of its local steps.

    ``x[t+1] = x[t] + s (mod K)`` with probability p, else uniform; by the law mirror s = +1 for class "up", -1 for
    "down". All classes have uniform marginals, so the label is invisible without comparing positions. For example, with
    K = 8:

        class   sequence (a dot marks a uniform draw)
        up      3 4 5 .1 2 .6 7 0
        down    3 2 1 .5 4 .0 7 6

    The classes of mirror are mirror images of each other, so that whatever treats ahead and back alike cancels in the
    label's gradient. Its sister laws have no such symmetry.

    Source: our construction; the minimal setup of Coser et al. (2026) was not available to us.
    """

    name = "proximity"
    preset = "demo"
    size = "4,000 x 80"
    symbols: int = 8
    """Number of symbols K."""
    length: int = 80
    """Sequence length T."""
    probability: float = 0.5
    """Probability p that a symbol is its neighbour's step rather than uniform."""
    law: Literal["mirror", "steps", "strength", "lag"] = "mirror"
    """What differs between the classes. mirror: step +1 or -1; steps: +1 or --step; strength: p or 0.4 p;
    lag: a step from the position before, or from the one before that."""
    step: int = 2
    """The second class's step in the law steps."""
    sequences: int = 4000
    """Number of sequences N, before the split."""

    def __post_init__(self) -> None:
        require_at_least(self, length=2, sequences=8)
        require_between(self, symbols=(2, MOST_SYMBOLS), probability=(0.0, 1.0))
        if self.symbols < 3:
            raise SettingError("symbols", self.symbols, "makes both directions the same step; give 3 or more")
        if self.law == "steps" and self.step % self.symbols == 1:
            raise SettingError("step", self.step, "is the step of both classes; give another")

    @property
    def chains(self) -> dict[str, Chain]:
        """The law of each class, by its name."""
        first = Chain(1, self.probability)
        return {
            "mirror": {"up": first, "down": Chain(-1, self.probability)},
            "steps": {"+1": first, f"{self.step:+d}": Chain(self.step, self.probability)},
            "strength": {"strong": first, "weak": Chain(1, WEAKER * self.probability)},
            "lag": {"near": first, "far": Chain(1, self.probability, lag=2)},
        }[self.law]

    def build(self, generator: "np.random.Generator") -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made

        y = np.arange(self.sequences, dtype=np.int64) % 2
        step, probability, lag = (np.array(of_classes)[y] for of_classes in zip(*self.chains.values(), strict=True))
        x = generator.integers(self.symbols, size=(self.sequences, self.length))
        local = generator.random((self.sequences, self.length)) < probability[:, None]
        rows = np.arange(self.sequences)
        for t in range(1, self.length):
            is_local = local[:, t] & (lag <= t)
            x[:, t] = np.where(is_local, (x[rows, t - lag] + step) % self.symbols, x[:, t])
        return made("symbols", tuple(self.chains), x, y)

    @property
    def posterior(self) -> "Posterior":
        return self._log_probabilities

    def _log_probabilities(self, x: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """By the forward-backward algorithm for each class, weighted by how well it explains what is seen."""
        import numpy as np

        seen = np.where(x[..., None] < 0, 1.0, np.arange(self.symbols) == x[..., None])  # (N, T, K)
        marginals, evidence = zip(*(self._explained(seen, chain) for chain in self.chains.values()), strict=True)
        weights = np.exp(np.array(evidence) - np.logaddexp.reduce(evidence))
        mixed: NDArray[np.float64] = (weights[:, :, None, None] * np.array(marginals)).sum(0)
        with np.errstate(divide="ignore"):
            return np.log(mixed)

    def _explained(
        self, seen: "NDArray[np.float64]", chain: Chain
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """By the law of one class: probabilities of symbols (N, T, K), and the log likelihood of what is seen (N,).

        With a lag of two the positions of even and of odd number are chains by themselves.
        """
        import numpy as np

        marginals, evidence = np.empty_like(seen), np.zeros(len(seen))
        for first in range(min(chain.lag, seen.shape[1])):
            marginals[:, first :: chain.lag], added = self._forward_backward(seen[:, first :: chain.lag], chain)
            evidence += added
        return marginals, evidence

    def _forward_backward(
        self, seen: "NDArray[np.float64]", chain: Chain
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """The same of positions that follow each other in the chain."""
        import numpy as np

        def onward(mass: "NDArray[np.float64]", shift: int) -> "NDArray[np.float64]":
            local: NDArray[np.float64] = chain.probability * np.roll(mass, shift, axis=-1)
            uniform: NDArray[np.float64] = mass.mean(-1, keepdims=True)
            return local + (1 - chain.probability) * uniform

        def scaled(mass: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
            total = np.maximum(mass.sum(-1, keepdims=True), np.finfo(float).tiny)  # 0: what is seen cannot be
            return mass / total, np.log(total[:, 0])

        before, after, evidence = np.empty_like(seen), np.ones_like(seen), np.zeros(len(seen))
        prior = np.full_like(seen[:, 0], 1 / self.symbols)
        for t in range(seen.shape[1]):
            before[:, t], added = scaled(prior * seen[:, t])
            evidence += added
            prior = onward(before[:, t], chain.step)
        for t in range(seen.shape[1] - 2, -1, -1):
            after[:, t], _ = scaled(onward(after[:, t + 1] * seen[:, t + 1], -chain.step))
        both = before * after
        return both / np.maximum(both.sum(-1, keepdims=True), np.finfo(float).tiny), evidence


@register
@dataclass(frozen=True, kw_only=True)
class Digits(BuiltinTask):
    """The 1,797 handwritten digits of scikit-learn, 8x8 pixels row by row as 64 values."""

    name = "digits"
    size = "1,797 x 64"
    licence = "BSD 3-clause, with scikit-learn"
    grid = (8, 8)

    def build(self, generator: "np.random.Generator") -> "Rows":
        import numpy as np
        from sklearn.datasets import load_digits

        from selfpretrain.data.rows import made

        x, y = load_digits(return_X_y=True)
        return made("values", tuple("0123456789"), x, y.astype(np.int64))


@register
@dataclass(frozen=True, kw_only=True)
class Noise(BuiltinTask):
    """Uniform symbols and labels drawn without looking at them: no method can beat chance."""

    name = "noise"
    size = "2,000 x 64"
    symbols: int = 8
    """Number of symbols K."""
    length: int = 64
    """Sequence length T."""
    sequences: int = 2000
    """Number of sequences N, before the split."""

    def __post_init__(self) -> None:
        require_at_least(self, length=2, sequences=8)
        require_between(self, symbols=(2, MOST_SYMBOLS))

    def build(self, generator: "np.random.Generator") -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made

        x = generator.integers(self.symbols, size=(self.sequences, self.length))
        y = generator.permutation(np.arange(self.sequences, dtype=np.int64) % 2)
        return made("symbols", ("a", "b"), x, y)


@register
@dataclass(frozen=True, kw_only=True)
class Skew(BuiltinTask):
    """Two classes with the same mean and autocovariance and opposite third cumulants.

    ``x = y z``, y = +-1, with the stationary AR(1) process ``z[t+1] = r z[t] + sqrt(1 - r^2) e[t]`` driven by
    ``e ~ Exp(1) - 1``, on a ring (circular convolution), so that no position is special. ``x x^T`` does not depend
    on y: everything a label sees of pairs is the same in both classes.
    """

    name = "skew"
    size = "4,000 x 64"
    length: int = 64
    """Sequence length T."""
    sequences: int = 4000
    """Number of sequences N, before the split."""
    correlation: float = 0.7
    """Correlation r of neighbouring positions."""

    def __post_init__(self) -> None:
        require_at_least(self, length=2, sequences=8)
        require_between(self, correlation=(0.0, 0.99))

    def build(self, generator: "np.random.Generator") -> "Rows":
        import numpy as np

        from selfpretrain.data.rows import made

        y = np.arange(self.sequences, dtype=np.int64) % 2
        drive = generator.exponential(size=(self.sequences, self.length)) - 1.0
        kernel = self.correlation ** np.arange(self.length, dtype=np.float64)
        kernel /= np.linalg.norm(kernel)
        z = np.fft.irfft(np.fft.rfft(drive) * np.fft.rfft(kernel), n=self.length)
        return made("values", ("right", "left"), np.where(y == 0, 1.0, -1.0)[:, None] * z, y)
