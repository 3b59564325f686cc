"""Contrasts of two arms, and what may be claimed of several together: planted effects, nulls, orders and looks."""

from dataclasses import replace

import numpy as np
import pytest

from made_up import LABEL, N_TEST, ROWS, made_up, planted
from selfpretrain.comparison.claims import ALPHA, PLANNED, claim, contrast_of, look_at
from selfpretrain.stats import Crossed, Interval


def with_p(p, mean=0.02, *, primary):
    return replace(planted(0.0, 0.0), primary=primary, test=Interval(mean, mean - 0.01, mean + 0.01, p, 5))


def outcomes(contrasts, level=ALPHA):
    return [contrast.outcome for contrast in claim(contrasts, level)]


def test_planted_nulls_claim_at_most_their_share():
    claims = sum(outcomes([planted(0.0, 0.0, seed=seed)]) != ["no detectable effect"] for seed in range(200))
    assert claims <= 200 * 0.05 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_an_accident_of_the_test_set_is_no_effect():
    """All seeds agree on the same few test sequences: certain over seeds, chance over sequences."""
    generator = np.random.default_rng(3)
    a, b = generator.random(N_TEST) < 0.53, generator.random(N_TEST) < 0.5
    runs = {"spt": [], "scratch": []}
    for seed in range(5):
        ahead = a.copy()
        if seed < 4:  # a little spread over seeds
            ahead[np.flatnonzero(a)[seed]] = False
        runs["spt"].append(made_up("spt", seed, ahead, best_train_sample_acc=0.5))
        runs["scratch"].append(made_up("scratch", seed, b, best_train_sample_acc=0.5))
    contrast = contrast_of("spt", LABEL, runs, ROWS)
    assert np.std(contrast.leads) < 0.01 < abs(contrast.test.mean)  # certain over seeds
    assert contrast.test.low < 0 < contrast.test.high
    assert outcomes([contrast]) == ["no detectable effect"]


def test_a_failed_run_is_left_out_with_its_partner_and_without_any_pair_there_is_no_contrast():
    generator = np.random.default_rng(0)
    hits = list(generator.random((4, N_TEST)) < 0.5)

    def runs(arm, order):
        return [made_up(arm, seed, hits[k], flops=10 + seed, best_train_sample_acc=0.5) for seed, k in enumerate(order)]

    failed = [made_up("spt", seed, failure="loss") for seed in range(4)]
    spt = runs("spt", range(4))
    every = {"spt": [*spt[:2], failed[2], spt[3]], "scratch": runs("scratch", (3, 2, 1, 0))}
    contrast = contrast_of("spt", LABEL, every, ROWS)
    assert (contrast.test.n, contrast.compute_ratio) == (3, 1.0)
    leads = [hits[k].mean() - hits[3 - k].mean() for k in (0, 1, 3)]
    assert contrast.leads == pytest.approx(leads)
    assert contrast.test.mean == pytest.approx(np.mean(leads))
    assert contrast.squares == Crossed.of(np.array([hits[k].astype(float) - hits[3 - k] for k in (0, 1, 3)]))
    assert contrast_of("spt", LABEL, {**every, "spt": failed}, ROWS) is None


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_test_nothing(n):
    assert outcomes([planted(0.4, 0.4, n_seeds=n)]) == ["not tested"]


def test_primary_claims_share_a_level_and_neither_waits_for_the_other():
    both = claim([with_p(0.04, primary=True), with_p(0.02, primary=True)])
    assert [(c.outcome, c.p_adjusted) for c in both] == [("helps", 0.04)] * 2
    neither = claim([with_p(0.04, primary=True), with_p(0.03, primary=True)])
    assert [(c.outcome, c.p_adjusted) for c in neither] == [("no detectable effect", 0.06)] * 2
    second = claim([with_p(0.06, primary=True), with_p(0.001, primary=True)])
    assert [(c.outcome, c.p_adjusted) for c in second] == [("no detectable effect", 0.06), ("helps", 0.002)]


@pytest.mark.parametrize(
    ("half", "p", "outcome"),
    [(0.009, 0.9, "equal"), (0.021, 0.9, "no detectable effect"), (0.009, 0.01, "helps")],
)
def test_equal_takes_an_interval_within_the_margin_and_no_difference_that_shows(half, p, outcome):
    test = Interval(0.005, 0.005 - half, 0.005 + half, p, 5)
    assert outcomes([replace(planted(0.0, 0.0), test=test)]) == [outcome]


def test_secondary_claims_share_a_level_and_take_nothing_from_primary_ones():
    some = claim([with_p(0.04, primary=True), with_p(0.04, primary=False), with_p(0.03, -0.02, primary=False)])
    assert [c.outcome for c in some] == ["helps", "no detectable effect", "no detectable effect"]
    assert [c.p_adjusted for c in some] == pytest.approx([0.04, 0.06, 0.06])
    assert outcomes([with_p(0.04, -0.02, primary=False)]) == ["loses"]


def test_what_has_no_p_claims_nothing():
    nothing = replace(with_p(0.01, primary=True), test=Interval(0.1, None, None, None, 5))
    first, second = claim([nothing, with_p(0.01, primary=True)])
    assert (first.outcome, first.p_adjusted) == ("no detectable effect", None)
    assert (second.outcome, second.p_adjusted) == ("helps", 0.02)


PLAN = (3, 5, 10)


@pytest.mark.parametrize(
    ("looks", "levels"),
    [
        ([(3, (3,)), (4, (4,)), (5, (5,)), (4, (4,))], [0.05, 0.025, 0.0125, 0.025]),  # not planned: each halves it
        ([(3, PLAN), (5, PLAN), (10, PLAN)], [0.01, 0.015, 0.025]),
        # A plan that was made after a look is none, and a look keeps its level.
        ([(3, (3,)), (3, PLAN), (5, PLAN), (10, PLAN)], [0.05, 0.05, 0.025, 0.0125]),
        ([(3, (3, 6)), (6, (3, 6)), (3, (3, 6, 12)), (12, (3, 6, 12))], [0.02, 0.03, 0.02, 0.0125]),
        ([(3, PLAN), (3, (3,)), (5, (5,)), (10, PLAN)], [0.01, 0.01, 0.025, 0.0125]),
    ],
)
def test_the_level_of_a_look_follows_from_those_before_it_and_from_the_plan(looks, levels):
    """Each look: at how many seeds, and where looks were planned."""
    taken, found = [], []
    for n_seeds, planned in looks:
        look = look_at(n_seeds, taken, planned)
        taken += [] if look in taken else [look]
        found.append(look.level)
    assert found == levels
    assert all(sum(shares) == pytest.approx(ALPHA) for shares in PLANNED.values())
    assert outcomes([with_p(0.03, primary=True)], 0.05) == ["helps"]
    assert outcomes([with_p(0.03, primary=True)], 0.025) == ["no detectable effect"]
