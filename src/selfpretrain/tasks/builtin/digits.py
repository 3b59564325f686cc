"""Small real data that come with scikit-learn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfpretrain.tasks.builtin.base import BuiltinTask, Made

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Digits(BuiltinTask):
    """The 1,797 handwritten digits of scikit-learn, 8x8 pixels row by row as 64 values."""

    name = "digits"
    size = "1,797 x 64"
    licence = "BSD 3-clause, with scikit-learn"
    grid = (8, 8)

    def build(self, generator: "np.random.Generator") -> Made:
        """Read them; ``generator`` is unused."""
        import numpy as np
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        return Made("values", tuple("0123456789"), x, y.astype(np.int64))
