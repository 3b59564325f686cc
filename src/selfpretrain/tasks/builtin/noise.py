"""The null: nothing helps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfpretrain.errors import require_at_least
from selfpretrain.tasks.builtin.base import BuiltinTask, Made

if TYPE_CHECKING:
    import numpy as np


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
        require_at_least(self, symbols=2, length=2, sequences=8)

    def build(self, generator: "np.random.Generator") -> Made:
        """Draw both, independently."""
        import numpy as np

        x = generator.integers(self.symbols, size=(self.sequences, self.length))
        y = generator.permutation(np.arange(self.sequences, dtype=np.int64) % 2)
        return Made("symbols", ("a", "b"), x, y)
