"""Labels that are blind to everything pairs of positions say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfpretrain.errors import require_at_least, require_between
from selfpretrain.tasks.builtin.base import BuiltinTask, Made

if TYPE_CHECKING:
    import numpy as np


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

    def build(self, generator: "np.random.Generator") -> Made:
        """Filter exponential noise."""
        import numpy as np

        y = np.arange(self.sequences, dtype=np.int64) % 2
        drive = generator.exponential(size=(self.sequences, self.length)) - 1.0
        kernel = self.correlation ** np.arange(self.length, dtype=np.float64)
        kernel /= np.linalg.norm(kernel)
        z = np.fft.irfft(np.fft.rfft(drive) * np.fft.rfft(kernel), n=self.length)
        return Made("values", ("right", "left"), np.where(y == 0, 1.0, -1.0)[:, None] * z, y)
