"""Every interval and p-value. Seeds and test sequences are both samples."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
ROUNDING = 1e-20
"""Mean squares below are rounding (ours; scores are of the order of 1)."""
DIVISIONS = 50_000
"""Ways to divide runs, or orders of things, that a permutation test looks at: all of those of nine runs a side, or of
eight things (ours)."""
ROUNDING_OF_SUMS, TIE_DECIMALS = 1e-9, 9
"""Sums of scores that differ by less are equal, and so are times, or their logarithms, to so many decimals."""
MOST_SEEDS = 100
"""Beyond so many seeds nobody is told to go (ours)."""
DISAGREEMENT, SEED_SPREAD, GROUP_CORRELATION = 0.2, 0.015, 0.1
"""What is supposed of two arms before they have run: share of sequences they answer differently, standard deviation of
one arm's accuracy over seeds, and correlation of such differences within a group of sequences (ours, a guess)."""


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided interval and the p-value of "the mean is 0".

    ``low``, ``high`` and ``p`` are None where one number alone was given; ``df`` is None for an exact interval, too.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int
    df: float | None = None

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return self.low, self.high

    def above(self, bound: float) -> bool:
        """Whether the whole interval lies above ``bound``."""
        return self.low is not None and self.low > bound

    def below(self, bound: float) -> bool:
        """Whether the whole interval lies below ``bound``."""
        return self.high is not None and self.high < bound

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies within ``+-margin``."""
        return self.above(-margin) and self.below(margin)

    def p_at(self, bound: float) -> float | None:
        """The two-sided p-value of "the mean is ``bound``"; None where there is no interval.

        >>> interval = t_interval([1.0, 2.0, 3.0])
        >>> interval.p_at(0.0) == interval.p, round(interval.p_at(interval.high), 4)
        (True, 0.05)
        """
        if self.low is None or self.high is None or self.p is None:
            return None
        distance = abs(self.mean - bound)
        if self.df is not None:
            error = (self.high - self.low) / 2 / float(stats.t.ppf(0.5 + LEVEL / 2, self.df))
            return float(2 * stats.t.sf(distance / error, self.df)) if error else float(distance == 0)
        share = max(self.high - self.mean, self.mean - self.low)  # of ``all_alike``: 1 - 0.025^(1/n)
        n = math.log(0.5 - LEVEL / 2) / math.log1p(-share) if 0 < share < 1 else 1.0
        return float(min(1.0, 2 * max(0.0, 1 - distance) ** n))

    def subtracted_from(self, bound: float) -> "Interval":
        """The interval of ``bound`` less the mean.

        >>> t_interval([1.0, 2.0, 3.0]).subtracted_from(5.0).mean
        3.0
        """
        if self.low is None or self.high is None:
            return replace(self, mean=bound - self.mean, p=None)
        return replace(self, mean=bound - self.mean, low=bound - self.high, high=bound - self.low, p=self.p_at(bound))

    def clipped(self, low: float, high: float) -> "Interval":
        """The same, cut to what the mean can be."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high))


def t_interval(numbers: Sequence[float] | NDArray[np.float64]) -> Interval:
    """Mean and 95 % t-interval: ``m +- t_{.975, n-1} s / sqrt(n)``; p of the one-sample t-test against 0.

    On paired differences over seeds this is the paired t-interval. Up to some ten seeds it covers what it should
    (.955, .965 and .943 for n = 3, 5, 10 on normal data, by simulation), where a percentile bootstrap does not
    (.77, .83, .90).

    >>> interval = t_interval([1.0, 2.0, 3.0])
    >>> round(interval.low, 4), round(interval.high, 4), round(interval.p, 4)
    (-0.4841, 4.4841, 0.0742)
    """
    x = np.asarray(numbers, dtype=np.float64)
    mean, n = float(x.mean()), len(x)
    if n < 2:
        return Interval(mean, None, None, None, n)
    return _student(mean, float(x.std(ddof=1)) / math.sqrt(n), n - 1, n)


def _student(mean: float, error: float, df: float, n: int) -> Interval:
    """``mean +- t_{.975, df} error``."""
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, df)) if error else float(mean == 0)
    return Interval(mean, mean - half, mean + half, p, n, df)


def all_alike(mean: float, n_seeds: int, n: int) -> Interval:
    """The exact interval around hits, differences of hits, or shares of them by seed, that are all alike.

    A share of 0 of ``n`` sequences, or groups, that score otherwise is below ``u = 1 - 0.025^(1/n)`` (Clopper and
    Pearson). p is that of the sign test.

    >>> [round(bound, 3) for bound in all_alike(1.0, 3, 40).bounds]
    [0.912, 1.0]
    """
    u = float(1 - (0.5 - LEVEL / 2) ** (1 / n))
    return Interval(mean, max(-1.0, mean - u), min(1.0, mean + u), min(1.0, 2 * 0.5**n) if mean else 1.0, n_seeds)


@dataclass(frozen=True)
class Crossed:
    """Mean squares of scores of S seeds on N sequences, both drawn at random: two-way random effects.

    With ``d`` (S, N), its mean ``m``, row means ``r_s`` and column means ``c_e``::

        seeds     = N sum (r_s - m)^2 / (S - 1)
        sequences = S sum (c_e - m)^2 / (N - 1)
        rest      = sum (d - r_s - c_e + m)^2 / ((S - 1) (N - 1))

    Source: the method of moments for a crossed design; Searle, Casella and McCulloch (1992), chapter 4.
    """

    mean: float
    n_seeds: int
    n_sequences: int
    seeds: float
    sequences: float
    rest: float

    @classmethod
    def of(cls, d: NDArray[Any]) -> "Crossed | None":
        """The mean squares of scores (S, N); None for fewer than two seeds or sequences: they show no spread."""
        n_seeds, n = d.shape
        if n_seeds < 2 or n < 2:
            return None
        d = np.asarray(d, dtype=np.float64)
        m, r, c = d.mean(), d.mean(axis=1, keepdims=True), d.mean(axis=0, keepdims=True)
        return cls(
            mean=float(m),
            n_seeds=n_seeds,
            n_sequences=n,
            seeds=float(n * np.square(r - m).sum() / (n_seeds - 1)),
            sequences=float(n_seeds * np.square(c - m).sum() / (n - 1)),
            rest=float(np.square(d - r - c + m).sum() / ((n_seeds - 1) * (n - 1))),
        )

    def interval(self) -> Interval:
        """``m +- t_{.975, df} sqrt(V)``, and p of "the mean is 0".

        ``V = (seeds + sequences - rest) / (S N)``, at least ``max(seeds, sequences) / (S N)``; df by Satterthwaite.
        Scores that are all alike have no spread: the interval is then exact (``all_alike``), and there is none where
        they lie beyond 1, as losses do.
        """
        s, n = self.n_seeds, self.n_sequences
        total = max(self.seeds + self.sequences - self.rest, self.seeds, self.sequences)
        if total < ROUNDING:
            is_share = abs(self.mean) < 1 + math.sqrt(ROUNDING)
            return all_alike(self.mean, s, n) if is_share else Interval(self.mean, None, None, None, s)
        parts = ((self.seeds, s - 1), (self.sequences, n - 1), (self.rest, (s - 1) * (n - 1)))
        df = total**2 / sum(square**2 / freedom for square, freedom in parts)
        return _student(self.mean, math.sqrt(total / (s * n)), df, s)

    def with_seeds(self, n_seeds: int) -> "Crossed":
        """What so many seeds would show, if mean and components of variance stay what they are estimated to be."""
        of_sequences = max(0.0, self.sequences - self.rest) / self.n_seeds
        return replace(
            self, n_seeds=n_seeds, seeds=max(self.seeds, self.rest), sequences=self.rest + n_seeds * of_sequences
        )

    def seeds_needed(self, alpha: float) -> int | None:
        """The fewest seeds, more than there are, with which the mean would differ from 0 at ``alpha``.

        None where ``MOST_SEEDS`` would not do: then more test sequences are lacking, or there is no difference.
        """
        more = range(self.n_seeds + 1, MOST_SEEDS + 1)
        return next((s for s in more if (self.with_seeds(s).interval().p or 0.0) < alpha), None)


def clustered(d: NDArray[Any], groups: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Scores of rows (S, N) as scores of the groups that they belong to (S, G), with the same mean.

    With the mean ``m_s`` of a seed, the sum ``t_sg`` of a group's scores and its ``n_g`` rows, a group scores
    ``m_s + (t_sg - n_g m_s) G / N``. Groups as the sample, the variance of the mean is then that of a ratio of sums, or
    that of a regression with clustered errors: ``G / (G - 1) sum_g (t_g - n_g m)^2 / N^2``.

    Args:
        groups: (N,); None leaves every row by itself.

    Source: Liang and Zeger (1986), Biometrika 73; Cochran (1977), Sampling Techniques, chapter 2.

    >>> clustered(np.array([[1, 1, 0, 1]]), np.array([0, 0, 0, 1])).tolist()  # 3/4 + (2 - 9/4) / 2, 3/4 + (1 - 3/4) / 2
    [[0.625, 0.875]]
    """
    d = np.asarray(d, dtype=np.float64)
    if groups is None:
        return d
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(of_row, weights=row) for row in d])
    mean = d.mean(axis=1, keepdims=True)
    of_groups: NDArray[np.float64] = mean + (sums - sizes * mean) * (len(sizes) / len(groups))
    return of_groups


def crossed_interval(correct_a: NDArray[Any], correct_b: NDArray[Any] | float = 0.0) -> Interval:
    """Mean difference of two arms' scores and its 95 % interval: would other seeds *and* other test sequences say so?

    Bounds and p are None for fewer than two seeds or two sequences. See ``Crossed`` for the formula.

    Args:
        correct_a: (S, N) hits, or any score of a sequence, of one arm: a row for each seed.
        correct_b: (S, N) of the other; 0 for the first alone.

    Here the mean squares are 0, 1/3 and 1/3, so V = 1/24, df = 3/2 and the interval 1/2 +- 6.016 sqrt(1/24):

    >>> interval = crossed_interval(np.array([[1, 1, 0, 1], [1, 0, 1, 1]]), np.array([[0, 1, 0, 0], [0, 0, 0, 1]]))
    >>> interval.mean, round(interval.low, 3), round(interval.high, 3), interval.n
    (0.5, -0.728, 1.728, 2)
    """
    d = np.asarray(correct_a, dtype=np.float64) - np.asarray(correct_b, dtype=np.float64)
    crossed = Crossed.of(d)
    return Interval(float(d.mean()), None, None, None, len(d)) if crossed is None else crossed.interval()


def expected_half_width(n_seeds: int, n_sequences: int, n_groups: int) -> float:
    """Half the interval to expect of a difference in accuracy, before anything has run.

    Supposes that two arms answer ``DISAGREEMENT`` of the sequences differently, independently from seed to seed in
    half of them, that seeds alone scatter by ``SEED_SPREAD``, and that sequences of one group are correlated by
    ``GROUP_CORRELATION``.
    """
    size = n_sequences / n_groups
    of_group = DISAGREEMENT / 2 * (1 + (size - 1) * GROUP_CORRELATION) / size
    crossed = Crossed(
        mean=0.0,
        n_seeds=n_seeds,
        n_sequences=n_groups,
        seeds=of_group + n_groups * 2 * SEED_SPREAD**2,
        sequences=of_group * (1 + n_seeds),
        rest=of_group,
    )
    return (crossed.interval().high or 0.0) if min(n_seeds, n_groups) > 1 else math.inf


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    The k-th smallest of m becomes ``max over j <= k of (m - j + 1) p_(j)``, at most 1.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Times:
    """When runs came to something, as far as validations show it.

    Attributes:
        steps: (n,) of the first validation that shows it, or of the last one.
        since: (n,) of the validation before: they came to it after that one. Of those that did not, ``steps``.
        reached: (n,) whether they did; if not, all that is known is that they need more than ``steps``.
    """

    steps: NDArray[np.float64]
    since: NDArray[np.float64]
    reached: NDArray[np.bool_]


def log_rank_tails(
    one: NDArray[np.float64], one_reached: NDArray[np.bool_], two: NDArray[np.float64], two_reached: NDArray[np.bool_]
) -> tuple[float, float]:
    """How often the first side would come to it as early as it does, and as late, if both sides were alike.

    A run scores ``reached - H(time)``, where ``H`` is the hazard up to its time as all runs together show it (Nelson
    and Aalen). The sums of the scores of one side are compared over all ways to divide the runs between the two, or
    ``DIVISIONS`` of them: the log-rank test. Only the order of times matters.

    Source: Peto and Peto (1972), Journal of the Royal Statistical Society A 135; Aalen (1978), Annals of Statistics 6.

    All of the first come first: one of the 20 ways to divide 6 runs is so extreme.

    >>> reached = np.array([True, True, True])
    >>> log_rank_tails(np.array([1.0, 2.0, 3.0]), reached, np.array([4.0, 5.0, 6.0]), ~reached)
    (0.05, 1.0)
    """
    times = np.round(np.concatenate((one, two)), TIE_DECIMALS)
    reached = np.concatenate((one_reached, two_reached))
    at_risk = (times >= times[:, None]).sum(axis=1)
    scores = reached - ((reached / at_risk) * (times <= times[:, None])).sum(axis=1)
    sums, ours = scores[_divisions(len(one), len(two))].sum(axis=1), scores[: len(one)].sum()
    return float((sums >= ours - ROUNDING_OF_SUMS).mean()), float((sums <= ours + ROUNDING_OF_SUMS).mean())


@functools.cache
def _divisions(n: int, m: int) -> NDArray[np.int64]:
    """Which ``n`` of ``n + m`` runs are taken for the first side's: all ways, or many at random, and the true one."""
    if math.comb(n + m, n) <= DIVISIONS:
        return np.array(list(itertools.combinations(range(n + m), n)))
    drawn = np.random.default_rng(0).permuted(np.tile(np.arange(n + m), (DIVISIONS, 1)), axis=1)[:, :n]
    return np.concatenate((np.arange(n)[None], drawn))


@dataclass(frozen=True)
class Doublings(Interval):
    """How many times as many steps ``slow`` needs as ``fast``, as a binary logarithm; see ``doublings``.

    An end is infinite where nothing bounds it: where too few runs of a side came to it at all, or so early that the
    first validation shows it.
    """

    slow: Times | None = None
    fast: Times | None = None

    def p_at(self, bound: float) -> float | None:
        """The p-value of "2^bound times as many", by the log-rank test.

        Runs came to it somewhere between two validations: each tail is taken where it is largest.
        """
        if self.slow is None or self.fast is None:
            return None
        return min(1.0, 2 * min(_earlier(self.slow, self.fast, bound), _earlier(self.fast, self.slow, -bound)))


def doublings(slow: Times, fast: Times) -> Doublings:
    """The factor between the steps that two sides need, as a binary logarithm, with its 95 % interval.

    The interval holds every factor by which the slow side's steps can be divided so that the log-rank test does not
    tell the sides apart, wherever between two validations the runs came to it. The estimate is the median ratio over
    all pairs, at the validations that show it. Runs that never came to it count with the steps that they made, which
    is too low a factor where they are slow ones, and too high where they are fast ones.

    Source: Wei and Gail (1983), Journal of the American Statistical Association 78; Hodges and Lehmann (1963).

    >>> reached, steps = np.ones(5, bool), np.array([100.0, 110, 120, 130, 140])
    >>> factor = doublings(Times(4 * steps, 4 * steps, reached), Times(steps, steps, reached))
    >>> factor.mean, round(2**factor.low, 2), round(2**factor.high, 2), round(factor.p, 4)
    (2.0, 3.33, 4.8, 0.0079)
    """
    pairs = _log(slow.steps)[:, None] - _log(fast.steps)
    result = Doublings(float(np.median(pairs)), None, None, None, min(pairs.shape), None, slow, fast)
    return replace(result, low=-_most(fast, slow), high=_most(slow, fast), p=result.p_at(0.0))


def _log(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log2(steps)


def _most(slow: Times, fast: Times) -> float:
    """The most doublings by which ``slow`` can be divided and not be told apart as earlier than ``fast``.

    ``slow`` is as late as its validations allow, and ``fast`` as early.
    The order of runs, and so the test, changes at the ratios between the two sides alone.
    """
    pairs = np.unique(np.round(_log(slow.steps)[:, None] - _log(fast.since), TIE_DECIMALS))
    ratios = [float(ratio) for ratio in pairs if np.isfinite(ratio)]
    if not ratios:
        return math.inf
    # At each ratio, and beside it up to the next one, to which what holds between them extends.
    places = [(ratios[0] - 1, ratios[0])]
    for ratio, after in zip(ratios, [*ratios[1:], math.inf], strict=True):
        places += [(ratio, ratio), (min((ratio + after) / 2, ratio + 1), after)]
    return max(end for place, end in places if _earlier(slow, fast, place) >= (1 - LEVEL) / 2)


def _earlier(one: Times, two: Times, bound: float) -> float:
    """The tail of "the first side, divided by 2^bound, is earlier", where it is largest.

    That is with the first side as late, and the second as early, as validations allow.
    """
    return log_rank_tails(_log(one.steps) - bound, one.reached, _log(two.since), two.reached)[0]


def concordance(x: NDArray[np.float64], y: NDArray[np.float64]) -> Interval:
    """Kendall's rank correlation (tau-b) of n things, measured S times: x and y are (S, n).

    Mean and interval are over the S (Student's t; none where all are equal). p is that of "no relation between the
    things": the mean against all orders of y, or ``DIVISIONS`` of them, so that the things are the sample.

    Raises:
        ValueError: in one of them x or y is the same for all things.

    >>> x = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]])
    >>> result = concordance(x, x)
    >>> result.mean, result.bounds, round(result.p, 4)  # one of 24 orders
    (1.0, (None, None), 0.0417)
    """
    signs_x, signs_y = (np.sign(values[:, :, None] - values[:, None, :]) for values in (x, y))
    sizes = np.sqrt((signs_x**2).sum((1, 2)) * (signs_y**2).sum((1, 2)))
    if not sizes.all():
        raise ValueError("all things are equal, so there is no order to compare")
    n = x.shape[1]
    if math.factorial(n) <= DIVISIONS:
        orders = np.array(list(itertools.permutations(range(n))))
    else:
        drawn = np.random.default_rng(0).permuted(np.tile(np.arange(n), (DIVISIONS, 1)), axis=1)
        orders = np.concatenate((np.arange(n)[None], drawn))
    means = np.zeros(len(orders))
    for a, b, size in zip(signs_x, signs_y, sizes, strict=True):
        means += (a * b[orders[:, :, None], orders[:, None, :]]).sum((1, 2)) / size / len(x)
    p = float((np.abs(means) >= abs(means[0]) - ROUNDING_OF_SUMS).mean())
    taus = (signs_x * signs_y).sum((1, 2)) / sizes
    if np.ptp(taus) < ROUNDING_OF_SUMS:
        return Interval(float(taus.mean()), None, None, p, len(taus))
    return replace(t_interval(taus), p=p)


def with_shared_error(numbers: Sequence[float], variance: float) -> Interval:
    """The t-interval of numbers that share an error of this variance, as seeds that are looked at on the same rows.

    ``m +- t_{.975, df} sqrt(s^2 / n + variance)``, with df by Satterthwaite, where the shared part has no spread; and
    never narrower than the t-interval without it, which more degrees of freedom would otherwise make it.

    >>> [round(bound, 4) for bound in with_shared_error([1.0, 2.0, 3.0], 0.01).bounds]  # as t_interval
    [-0.4841, 4.4841]
    """
    own = t_interval(numbers)
    if own.n < 2:
        return own
    part = float(np.var(numbers, ddof=1)) / own.n
    df = (own.n - 1) * (1 + variance / part) ** 2 if part else math.inf
    shared = _student(own.mean, math.sqrt(part + variance), df, own.n)
    return max(own, shared, key=lambda interval: interval.high or 0.0)


def accuracy_error(accuracy: float, n: int) -> float:
    """Standard error of an accuracy from ``n`` sequences, ``sqrt(p (1 - p) / n)``, with p moved off 0 and 1.

    ``p = (n accuracy + 2) / (n + 4)``: two hits and two misses added, so that a perfect score is not taken for
    certainty, and one mistake lies within one error of it.

    Source: Agresti and Coull (1998), The American Statistician 52.

    >>> round(accuracy_error(0.5, 100), 4), round(accuracy_error(1.0, 96), 4)  # sqrt(.25 / 100), sqrt(.98 * .02 / 96)
    (0.05, 0.0143)
    """
    p = (n * accuracy + 2) / (n + 4)
    return math.sqrt(p * (1 - p) / n)


def chance_snr(n: int) -> float:
    """Below this, ``2 sqrt(2) / n``, a signal-to-noise ratio estimated from ``n`` examples may be chance.

    Without a signal the estimate's standard deviation is ``sqrt(2 ||Cov||_F^2) / (n tr Cov)``, at most ``sqrt(2) / n``
    (a single direction); this is twice that.
    """
    return 2 * math.sqrt(2) / n
