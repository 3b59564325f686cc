"""Tasks that need no file. Each function gives sequences and labels before the split.

| task      | sequences                        | label                              | what it is for                  |
|-----------|----------------------------------|------------------------------------|---------------------------------|
| proximity | symbols, a chain of local steps  | direction of the step              | the effect, at its smallest     |
| digits    | 64 grey values of an 8x8 image   | the digit                          | small real data                 |
| noise     | uniform symbols                  | drawn without looking              | the null: nothing helps         |
| skew      | values, exponential AR process   | sign of the third cumulant         | labels blind to pair statistics |
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfpretrain.config import Kind

Made = tuple[Kind, tuple[str, ...], NDArray[Any], NDArray[np.int64]]
"""kind, class names, x (N, T) or (N, T, C), y (N,)."""


def proximity(generator: np.random.Generator, *, symbols: int, length: int, probability: float, sequences: int) -> Made:
    """A chain whose label is the direction of its local steps.

    ``x[t+1] = x[t] + s (mod K)`` with probability p, else uniform; s = +1 for class "up", -1 for "down". Both
    classes have uniform marginals, so the label is invisible without comparing neighbours. For example (K=8):

        class   sequence (a dot marks a uniform draw)
        up      3 4 5 .1 2 .6 7 0
        down    3 2 1 .5 4 .0 7 6

    Source: our construction; the minimal setup of Coser et al. (2026) was not available to us.
    """
    y = np.arange(sequences, dtype=np.int64) % 2
    step = np.where(y == 0, 1, -1)
    x = generator.integers(symbols, size=(sequences, length))
    local = generator.random((sequences, length)) < probability
    for t in range(1, length):
        x[:, t] = np.where(local[:, t], (x[:, t - 1] + step) % symbols, x[:, t])
    return "symbols", ("up", "down"), x, y


def digits(generator: np.random.Generator) -> Made:
    """The 1,797 handwritten digits of scikit-learn, 8x8 pixels row by row as 64 values. ``generator`` is unused."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return "values", tuple("0123456789"), x[:, :, None].astype(np.float32), y.astype(np.int64)


def noise(generator: np.random.Generator, *, symbols: int, length: int, sequences: int) -> Made:
    """Uniform symbols and labels drawn without looking at them: no method can beat chance."""
    x = generator.integers(symbols, size=(sequences, length))
    return "symbols", ("a", "b"), x, generator.permutation(np.arange(sequences, dtype=np.int64) % 2)


def skew(generator: np.random.Generator, *, length: int, sequences: int, correlation: float) -> Made:
    """Two classes with the same mean and autocovariance and opposite third cumulants.

    ``x = y z``, y = +-1, with the stationary AR(1) process ``z[t+1] = r z[t] + sqrt(1 - r^2) e[t]`` driven by
    ``e ~ Exp(1) - 1``, on a ring (circular convolution), so that no position is special. ``x x^T`` does not depend
    on y: everything a label sees of pairs is the same in both classes.
    """
    y = np.arange(sequences, dtype=np.int64) % 2
    drive = generator.exponential(size=(sequences, length)) - 1.0
    kernel = correlation ** np.arange(length, dtype=np.float64)
    kernel /= np.linalg.norm(kernel)
    z = np.fft.irfft(np.fft.rfft(drive) * np.fft.rfft(kernel), n=length)
    x = np.where(y == 0, 1.0, -1.0)[:, None] * z
    return "values", ("right", "left"), x[:, :, None].astype(np.float32), y


MAKERS: dict[str, Callable[..., Made]] = {
    "proximity": proximity,
    "digits": digits,
    "noise": noise,
    "skew": skew,
}
