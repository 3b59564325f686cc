"""The effect of self-pretraining, at its smallest."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfpretrain.errors import SettingError, require_at_least, require_between
from selfpretrain.tasks.builtin.base import BuiltinTask, Made

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Proximity(BuiltinTask):
    """A chain of symbols whose label is the direction of its local steps.

    ``x[t+1] = x[t] + s (mod K)`` with probability p, else uniform; s = +1 for class "up", -1 for "down". Both
    classes have uniform marginals, so the label is invisible without comparing neighbours. For example (K=8):

        class   sequence (a dot marks a uniform draw)
        up      3 4 5 .1 2 .6 7 0
        down    3 2 1 .5 4 .0 7 6

    Source: our construction; the minimal setup of Coser et al. (2026) was not available to us.
    """

    name = "proximity"
    symbols: int = 8
    """Number of symbols K."""
    length: int = 80
    """Sequence length T."""
    probability: float = 0.5
    """Probability p that a symbol is its neighbour's step rather than uniform."""
    sequences: int = 4000
    """Number of sequences N, before the split."""

    def __post_init__(self) -> None:
        require_at_least(self, symbols=2, length=2, sequences=8)
        require_between(self, probability=(0.0, 1.0))
        if self.symbols < 3:
            raise SettingError("symbols", self.symbols, "makes both directions the same step; give 3 or more")

    def build(self, generator: "np.random.Generator") -> Made:
        """Draw the chains."""
        import numpy as np

        y = np.arange(self.sequences, dtype=np.int64) % 2
        step = np.where(y == 0, 1, -1)
        x = generator.integers(self.symbols, size=(self.sequences, self.length))
        local = generator.random((self.sequences, self.length)) < self.probability
        for t in range(1, self.length):
            x[:, t] = np.where(local[:, t], (x[:, t - 1] + step) % self.symbols, x[:, t])
        return Made("symbols", ("up", "down"), x, y)
