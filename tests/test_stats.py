"""Intervals and p-values against scipy, by hand, and by simulated coverage."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from selfpretrain.diagnostics.gradients import gradient_snr
from selfpretrain.stats import (
    Crossed,
    Interval,
    Times,
    chance_snr,
    clustered,
    concordance,
    crossed_interval,
    doublings,
    expected_half_width,
    holm,
    log_rank_tails,
    t_interval,
    with_shared_error,
)


def test_the_paired_interval_equals_scipys():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 7))
    ours = t_interval(a - b)
    theirs = stats.ttest_rel(a, b)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.p) == pytest.approx((low, high, theirs.pvalue), rel=1e-12)
    assert ours.mean == pytest.approx((a - b).mean())


def test_edges():
    assert t_interval([0.3]).low is t_interval([0.3]).p is None
    same = t_interval([0.5, 0.5, 0.5])
    assert (same.low, same.high, same.p) == (0.5, 0.5, 0.0)
    assert t_interval([0.0, 0.0]).p == 1.0
    assert not t_interval([0.3]).above(0)
    assert not t_interval([0.3]).within(1)


@pytest.mark.parametrize("p", [[0.02], [0.04, 0.01, 0.02], [0.6, 0.5], [0.03, 0.01, 0.03, 0.2, 0.0, 1.0]])
def test_holm_equals_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == []


def components(seed, n_seeds, n, seed_spread, sequence_spread, rest=0.5, mean=0.0):
    """Scores with effects of seeds, of sequences, and of both together."""
    chance = np.random.default_rng(seed)
    row, column = chance.normal(0, seed_spread, (n_seeds, 1)), chance.normal(0, sequence_spread, (1, n))
    return mean + row + column + chance.normal(0, rest, (n_seeds, n))


def crossed_by_loops(d):
    """The crossed interval by plain loops over plain numbers."""
    s, n = len(d), len(d[0])
    m = sum(map(sum, d)) / (s * n)
    r = [sum(row) / n for row in d]
    c = [sum(row[e] for row in d) / s for e in range(n)]
    ms_s = n * sum((x - m) ** 2 for x in r) / (s - 1)
    ms_e = s * sum((x - m) ** 2 for x in c) / (n - 1)
    ms_r = sum((d[i][e] - r[i] - c[e] + m) ** 2 for i in range(s) for e in range(n)) / ((s - 1) * (n - 1))
    v = max(ms_s + ms_e - ms_r, ms_s, ms_e) / (s * n)
    df = (v * s * n) ** 2 / (ms_s**2 / (s - 1) + ms_e**2 / (n - 1) + ms_r**2 / ((s - 1) * (n - 1)))
    half = stats.t.ppf(0.975, df) * math.sqrt(v)
    return m, m - half, m + half, 2 * stats.t.sf(abs(m) / math.sqrt(v), df)


@pytest.mark.parametrize("spreads", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.8), (0.4, 0.6)])
@pytest.mark.parametrize(("n_seeds", "n"), [(2, 2), (3, 40), (10, 7)])
def test_the_crossed_interval_equals_its_formula(n_seeds, n, spreads):
    a, b = components(1, n_seeds, n, *spreads, mean=0.2), components(2, n_seeds, n, *spreads)
    interval = crossed_interval(a, b)
    expected = crossed_by_loops((a - b).tolist())
    assert (interval.mean, interval.low, interval.high, interval.p) == pytest.approx(expected, rel=1e-9)
    assert interval.n == n_seeds


def test_the_crossed_interval_has_the_error_of_a_mixed_model():
    """Balanced, with positive components: restricted maximum likelihood gives the same components and error."""
    import pandas as pd
    import statsmodels.api as sm

    d = components(3, 6, 30, 0.5, 0.7, mean=0.3)
    table = pd.DataFrame(
        {"d": d.ravel(), "seed": np.repeat(range(6), 30), "sequence": np.tile(range(30), 6), "all": np.ones(180)}
    )
    random = {"seed": "0 + C(seed)", "sequence": "0 + C(sequence)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.MixedLM.from_formula("d ~ 1", groups="all", vc_formula=random, re_formula="0", data=table).fit()
    squares = Crossed.of(d)
    v = (squares.seeds + squares.sequences - squares.rest) / d.size
    assert fit.bse["Intercept"] == pytest.approx(math.sqrt(v), rel=1e-3)
    assert fit.fe_params["Intercept"] == pytest.approx(crossed_interval(d).mean, rel=1e-9)
    assert fit.vcomp == pytest.approx(
        [(squares.seeds - squares.rest) / 30, (squares.sequences - squares.rest) / 6], rel=1e-2
    )


@pytest.mark.parametrize("sizes", [[1] * 40, [5] * 8, [1, 2, 30, 7, 3]])
def test_groups_have_the_error_of_a_regression_with_clustered_errors(sizes):
    import statsmodels.api as sm

    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    d = np.random.default_rng(2).integers(-1, 2, (1, len(groups)))
    own = clustered(d, groups)[0]
    clusters = {"groups": groups, "use_correction": True}
    theirs = sm.OLS(d[0], np.ones(len(groups))).fit(cov_type="cluster", cov_kwds=clusters)
    assert own.mean() == pytest.approx(theirs.params[0], rel=1e-12, abs=1e-12)
    assert own.std(ddof=1) / math.sqrt(len(own)) == pytest.approx(theirs.bse[0], rel=1e-9)


def test_rows_by_themselves_stay_what_they_are():
    d = np.random.default_rng(3).integers(0, 2, (3, 20))
    assert (clustered(d, None) == d).all()
    np.testing.assert_allclose(clustered(d, np.arange(20)), d, atol=1e-12)
    assert (clustered(np.ones((3, 20)), np.arange(20) % 7) == 1).all()


@pytest.mark.parametrize("sizes", [[4, 4, 4], [2, 4, 10]])
def test_groups_that_score_all_alike_are_no_certainty(sizes):
    """Right in one of two classes everywhere, against right in both: every group of rows leads by a half."""
    groups = np.repeat(np.arange(3), sizes)
    lead = np.tile(np.concatenate([np.tile([0, 1], size // 2) for size in sizes]), (5, 1))
    interval = crossed_interval(clustered(lead, groups))
    u = 1 - 0.025 ** (1 / 3)
    assert interval.bounds == pytest.approx((max(-1, 0.5 - u), 1.0)) and interval.p == 0.25


def test_losses_that_are_all_alike_have_no_interval():
    """Such as those of a model that gives all of ten classes the same probability."""
    interval = crossed_interval(np.full((3, 20), -math.log(10)))
    assert interval.bounds == (None, None) and interval.p is None and interval.mean == pytest.approx(-math.log(10))


def test_an_interval_over_groups_covers_what_one_over_their_rows_does_not():
    """No effect on average, but every group has one of its own, which its 20 rows share."""
    generator, wrong = np.random.default_rng(4), {True: 0, False: 0}
    groups, n = np.repeat(np.arange(15), 20), 400
    for _ in range(n):
        of_group = generator.normal(0, 0.1, 15)[groups]
        d = of_group + generator.normal(0, 0.02, (5, 1)) + generator.normal(0, 0.4, (5, 300))
        for by_group in wrong:
            interval = crossed_interval(clustered(d, groups if by_group else None))
            wrong[by_group] += not interval.low <= 0 <= interval.high
    assert wrong[True] <= 0.05 * n + 2 * math.sqrt(n * 0.05 * 0.95)
    assert wrong[False] > 0.2 * n


def test_seeds_that_share_everything_leave_the_interval_over_sequences():
    d = np.tile(np.random.default_rng(0).integers(-1, 2, 200), (5, 1))
    interval = crossed_interval(d)
    low, high = stats.ttest_1samp(d[0], 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_sequences_that_share_everything_leave_the_interval_over_seeds():
    d = np.tile(np.random.default_rng(0).normal(0.1, 1, (7, 1)), (1, 50))
    interval, expected = crossed_interval(d), t_interval(d[:, 0])
    assert (interval.low, interval.high, interval.p) == pytest.approx((expected.low, expected.high, expected.p))


def test_hits_that_are_all_alike_have_an_exact_interval_and_of_one_seed_or_sequence_there_is_none():
    assert crossed_interval(np.ones((1, 5))) == Interval(1.0, None, None, None, 1)
    assert crossed_interval(np.ones((4, 1))) == Interval(1.0, None, None, None, 4)
    for hits in (np.ones((3, 40)), np.zeros((3, 40))):
        exact = stats.binomtest(int(hits[0].sum()), 40).proportion_ci(0.95, method="exact")
        interval = crossed_interval(hits).clipped(0, 1)
        assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))
    sure, same = crossed_interval(np.ones((3, 9)), np.zeros((3, 9))), crossed_interval(np.ones((3, 9)), np.ones((3, 9)))
    assert sure.p == pytest.approx(stats.binomtest(9, 9).pvalue) and same.p == 1.0
    assert (same.mean, -same.low) == (0.0, same.high) and same.high == pytest.approx(1 - 0.025 ** (1 / 9))
    assert not crossed_interval(np.ones((1, 5))).above(0)


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(2, 9))
def test_the_order_of_seeds_and_sequences_and_the_side_change_nothing(seed, n_seeds, n):
    chance = np.random.default_rng(seed)
    a, b = chance.random((2, n_seeds, n)) < 0.6
    interval, back = crossed_interval(a, b), crossed_interval(b, a)
    rows, columns = chance.permutation(n_seeds), chance.permutation(n)
    mixed = crossed_interval(a[rows][:, columns], b[rows][:, columns])
    assert (mixed.mean, mixed.low, mixed.high) == pytest.approx(
        (interval.mean, interval.low, interval.high), rel=1e-9, abs=1e-12
    )
    assert (back.mean, back.low, back.high) == pytest.approx(
        (-interval.mean, -interval.high, -interval.low), rel=1e-9, abs=1e-12
    )
    assert interval.low <= interval.mean <= interval.high
    assert 0 <= interval.p <= 1


def test_the_seeds_that_are_needed_do():
    """With components as estimated, so many seeds exclude 0 and one fewer does not; and real ones about as often."""
    squares = Crossed.of(components(4, 3, 400, 0.05, 0.1, mean=0.08))
    assert squares.interval().p > 0.05
    needed = squares.seeds_needed(0.05)
    assert needed > 3
    assert squares.with_seeds(needed).interval().p < 0.05 <= squares.with_seeds(needed - 1).interval().p
    assert squares.seeds_needed(0.01) > needed
    assert Crossed.of(components(5, 3, 20, 0.0, 1.0, mean=0.01)).seeds_needed(0.05) is None  # sequences are lacking


def test_the_components_of_more_seeds_are_those_of_fewer():
    few, many = (Crossed.of(components(6, s, 3000, 0.2, 0.3)) for s in (40, 80))
    guess = few.with_seeds(80)
    for name in ("seeds", "sequences", "rest"):
        assert getattr(guess, name) == pytest.approx(getattr(many, name), rel=0.4), name


def test_the_expected_half_width_falls_with_seeds_and_sequences():
    def width(seeds, sequences):
        return expected_half_width(seeds, sequences, sequences)

    widths = [width(*sizes) for sizes in ((3, 100), (3, 1000), (10, 1000), (10, 100_000))]
    assert widths == sorted(widths, reverse=True)
    assert 0.02 < width(5, 600) < 0.06
    assert width(1, 600) == math.inf


def test_the_expected_half_width_rises_as_sequences_share_groups():
    widths = [expected_half_width(5, 600, groups) for groups in (600, 100, 20, 3)]
    assert widths == sorted(widths)
    assert expected_half_width(5, 600, 1) == math.inf


def test_an_interval_is_cut_to_what_the_mean_can_be():
    assert Interval(0.9, 0.7, 1.1, 0.0, 3).clipped(0, 1) == Interval(0.9, 0.7, 1.0, 0.0, 3)
    assert t_interval([0.3]).clipped(0, 1) == t_interval([0.3])


@pytest.mark.parametrize("directions", [1, 8])
def test_chance_is_twice_the_most_that_an_estimate_without_signal_scatters(directions):
    """The estimate's standard deviation is sqrt(2 / directions) / n: for a single one half of what is called chance."""
    n, repeats = 50, 4000
    shape = (n, repeats, directions)
    interval = gradient_snr(torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert interval.std().item() == pytest.approx(chance_snr(n) / 2 / math.sqrt(directions), rel=0.1)
    assert (interval > chance_snr(n)).double().mean() < 0.06


def test_the_p_value_of_any_mean_is_scipys_and_that_of_an_end_is_five_per_cent():
    numbers = np.random.default_rng(0).normal(0.3, 1.0, size=9)
    interval = t_interval(numbers)
    for bound in (-0.5, 0.0, 0.3, 2.0):
        assert interval.p_at(bound) == pytest.approx(stats.ttest_1samp(numbers, bound).pvalue)
    crossed = crossed_interval(np.random.default_rng(1).random((4, 50)) < 0.8)
    exact = crossed_interval(np.ones((3, 40), dtype=bool))
    for some in (interval, crossed, exact):
        ends = [some.p_at(end) for end in some.bounds if abs(end) < 1]
        assert ends == pytest.approx([0.05] * len(ends)) and ends
    assert t_interval([1.0]).p_at(0.5) is None


def times(*steps, limit=math.inf, every=0.0):
    """Runs that need so many steps, of which none makes more than ``limit``, validated so often; 0: at every moment."""
    needed = np.array(steps, dtype=float)
    shown = np.ceil(needed / every) * every if every else needed
    reached = shown <= limit
    until = np.minimum(shown, limit)
    return Times(until, np.where(reached, until - every, until), reached)


def p_of(one, two):
    return doublings(one, two).p


def observed_less_expected(runs, chosen):
    """Of the chosen runs: how many came to it, less how many would have if all were alike."""
    total = 0.0
    for time in sorted({step for step, reached in runs if reached}):
        at_risk = [i for i, (step, _) in enumerate(runs) if step >= time]
        events = [i for i, (step, reached) in enumerate(runs) if reached and step == time]
        total += len(set(events) & set(chosen)) - len(events) * len(set(at_risk) & set(chosen)) / len(at_risk)
    return total


@pytest.mark.parametrize("limit", [math.inf, 6.0, 3.0])
@pytest.mark.parametrize("sizes", [(3, 3), (5, 4), (2, 6)])
def test_the_log_rank_test_equals_all_divisions_of_the_runs_by_loops(sizes, limit):
    chance = np.random.default_rng(sum(sizes))
    one, two = (
        times(*chance.integers(low, low + 6, size), limit=limit) for low, size in zip((1, 3), sizes, strict=True)
    )
    runs = [*zip(one.steps, one.reached, strict=True), *zip(two.steps, two.reached, strict=True)]
    ours = observed_less_expected(runs, range(sizes[0]))
    every = [observed_less_expected(runs, chosen) for chosen in itertools.combinations(range(sum(sizes)), sizes[0])]
    early, late = (np.mean([sign * other >= sign * ours - 1e-9 for other in every]) for sign in (1, -1))
    assert log_rank_tails(one.steps, one.reached, two.steps, two.reached) == pytest.approx((early, late))
    assert p_of(one, two) == pytest.approx(min(1.0, 2 * min(early, late)))
    reference = stats.logrank(*(stats.CensoredData(t.steps[t.reached], right=t.steps[~t.reached]) for t in (one, two)))
    assert np.sign(round(ours, 9)) == np.sign(round(reference.statistic, 9))


def test_many_runs_are_divided_at_random_and_agree_with_the_large_sample_test():
    chance = np.random.default_rng(0)
    one, two = times(*chance.exponential(1.0, 40), limit=1.5), times(*chance.exponential(1.7, 40), limit=1.5)
    reference = stats.logrank(*(stats.CensoredData(t.steps[t.reached], right=t.steps[~t.reached]) for t in (one, two)))
    early, late = log_rank_tails(one.steps, one.reached, two.steps, two.reached)
    assert 2 * min(early, late) == pytest.approx(reference.pvalue, abs=0.01)


def test_a_factor_is_unbounded_where_the_slow_side_never_comes_to_it():
    fast = times(100, 110, 120, 130, 140)
    never = doublings(times(*[2000] * 5, limit=1000), fast)
    assert (never.high, never.p) == (math.inf, pytest.approx(2 / 252))
    # With one of the fast later than the slow are known to be, 6 of 252 divisions are as extreme, with two 36.
    assert never.p_at(math.log2(1000 / 135)) == pytest.approx(12 / 252)
    assert 2**never.low == pytest.approx(1000 / 130)
    assert doublings(fast, times(*[2000] * 5, limit=1000)).low == -math.inf
    with_three = doublings(times(400, 500, 600), times(100, 110, 120))
    assert with_three.p == pytest.approx(0.1)  # too few to decide anything
    assert (with_three.low, with_three.high) == (-math.inf, math.inf)


def test_where_all_runs_of_a_side_show_it_at_one_validation_the_factor_lies_between_validations():
    """From (30, 40] against (10, 20], and against (0, 10], which may be as early as one likes."""
    slow = times(*[40] * 5, every=10)
    factor = doublings(slow, times(*[20] * 5, every=10))
    assert (factor.p, 2**factor.mean, 2**factor.low, 2**factor.high) == pytest.approx((2 / 252, 2, 1.5, 4))
    first = doublings(slow, times(*[10] * 5, every=10))
    assert (first.p, 2**first.low, first.high) == (pytest.approx(2 / 252), pytest.approx(3), math.inf)
    same = doublings(slow, slow)
    assert same.p == 1.0
    assert same.low < 0 < same.high


@given(st.floats(0.1, 10), st.integers(0, 100))
def test_other_units_and_sides_leave_a_factor_what_it_is(unit, seed):
    chance = np.random.default_rng(seed)
    slow, fast = times(*chance.lognormal(1, 1, 5), limit=9), times(*chance.lognormal(0, 1, 5), limit=9)
    scaled = doublings(*(Times(t.steps * unit, t.since * unit, t.reached) for t in (slow, fast)))
    factor, turned = doublings(slow, fast), doublings(fast, slow)
    assert (scaled.mean, scaled.low, scaled.high) == pytest.approx((factor.mean, factor.low, factor.high), abs=1e-8)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-factor.mean, -factor.high, -factor.low))


@pytest.mark.parametrize(("limit", "every"), [(math.inf, 0.0), (5.0, 0.0), (10.0, 0.5), (10.0, 1.0)])
def test_the_interval_of_a_factor_covers_it_and_no_difference_is_seldom_claimed(limit, every):
    """Also where the fast side solves it within one or two validations."""
    chance = np.random.default_rng(1)
    covered, claimed = [], []
    for _ in range(400):
        slow, fast = chance.lognormal(0, 0.5, (2, 5))
        factor = doublings(times(*(3 * slow), limit=limit, every=every), times(*fast, limit=limit, every=every))
        covered.append(factor.low <= math.log2(3) <= factor.high)
        equal = doublings(times(*slow, limit=limit, every=every), times(*fast, limit=limit, every=every))
        claimed.append(equal.p < 0.05)
    assert np.mean(covered) > 0.95 - 2 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(claimed) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


def test_the_rank_correlation_is_scipys_and_its_p_value_that_of_all_orders_of_the_things():
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(3, 5)), chance.integers(0, 3, (3, 5)).astype(float)  # with ties
    result = concordance(x, y)

    def mean_tau(order):
        return np.mean([stats.kendalltau(a, b[order]).statistic for a, b in zip(x, y, strict=True)])

    every = np.array([mean_tau(list(order)) for order in itertools.permutations(range(5))])
    assert result.mean == pytest.approx(every[0])
    assert result.p == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-9))
    by_seed = [stats.kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)]
    assert result.bounds == pytest.approx(t_interval(by_seed).bounds)
    with pytest.raises(ValueError, match="no order"):
        concordance(x, np.zeros_like(y))


def test_unrelated_things_are_seldom_called_related_however_alike_the_seeds_are():
    chance, claimed = np.random.default_rng(0), []
    for _ in range(200):
        x, y = (chance.normal(size=6) + 0.05 * chance.normal(size=(5, 6)) for _ in range(2))
        claimed.append(concordance(x, y).p < 0.05)
    assert np.mean(claimed) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)


def test_an_error_that_all_seeds_share_is_in_the_interval():
    """Seeds with an own error of 1 and a shared one of 1: the t-interval alone would cover about half."""
    chance, covered, alone = np.random.default_rng(0), [], []
    for _ in range(1000):
        seeds = chance.normal() + chance.normal(size=5)
        covered.append(abs(with_shared_error(seeds, 1.0).mean) < with_shared_error(seeds, 1.0).high - seeds.mean())
        alone.append(t_interval(seeds).low < 0 < t_interval(seeds).high)
    assert np.mean(covered) > 0.95 - 2 * math.sqrt(0.05 * 0.95 / 1000)
    assert np.mean(alone) < 0.8
