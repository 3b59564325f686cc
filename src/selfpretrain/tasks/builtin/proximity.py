"""The effect of self-pretraining, at its smallest."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfpretrain.errors import SettingError, require_at_least, require_between
from selfpretrain.tasks.builtin.base import BuiltinTask, Made

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from selfpretrain.tasks.task import Posterior


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
    size = "4,000 x 80"
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

    @property
    def posterior(self) -> "Posterior":
        """Of the chain, exactly."""
        return self.log_probabilities

    def log_probabilities(self, x: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """By the forward-backward algorithm for each direction, weighted by how well it explains what is seen."""
        import numpy as np

        seen = np.where(x[..., None] < 0, 1.0, np.arange(self.symbols) == x[..., None])  # (N, T, K)
        marginals, evidence = zip(*(self._forward_backward(seen, step) for step in (1, -1)), strict=True)
        weights = np.exp(np.array(evidence) - np.logaddexp.reduce(evidence))
        mixed: NDArray[np.float64] = (weights[:, :, None, None] * np.array(marginals)).sum(0)
        with np.errstate(divide="ignore"):
            return np.log(mixed)

    def _forward_backward(
        self, seen: "NDArray[np.float64]", step: int
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Of one direction: probabilities of symbols (N, T, K), and the log likelihood of what is seen (N,)."""
        import numpy as np

        def onward(mass: "NDArray[np.float64]", shift: int) -> "NDArray[np.float64]":
            local: NDArray[np.float64] = self.probability * np.roll(mass, shift, axis=-1)
            uniform: NDArray[np.float64] = mass.mean(-1, keepdims=True)
            return local + (1 - self.probability) * uniform

        def scaled(mass: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
            total = np.maximum(mass.sum(-1, keepdims=True), np.finfo(float).tiny)  # 0: what is seen cannot be
            return mass / total, np.log(total[:, 0])

        before, after, evidence = np.empty_like(seen), np.ones_like(seen), np.zeros(len(seen))
        prior = np.full_like(seen[:, 0], 1 / self.symbols)
        for t in range(seen.shape[1]):
            before[:, t], added = scaled(prior * seen[:, t])
            evidence += added
            prior = onward(before[:, t], step)
        for t in range(seen.shape[1] - 2, -1, -1):
            after[:, t], _ = scaled(onward(after[:, t + 1] * seen[:, t + 1], -step))
        both = before * after
        return both / np.maximum(both.sum(-1, keepdims=True), np.finfo(float).tiny), evidence
