"""Planted causes in tables of accuracies: each gets its conclusion, and doubtful tables get none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from selfpretrain.diagnosis.conclusion import conclude, plain
from selfpretrain.diagnosis.evidence import Evidence, Pairs, Shape, Signals
from selfpretrain.diagnosis.transplants import cells

GROUPS = ("embedding", "query-key", "value-output", "feedforward", "norms")
SEEDS = 5
START = [Shape(1 + 0.01 * seed, 0.2 + 0.01 * seed, -0.0001) for seed in range(SEEDS)]
NEAR = [(start, Shape(4 + 0.1 * seed, 0.7 + 0.01 * seed, -0.1 + 0.01 * seed)) for seed, start in enumerate(START)]
BLIND = [Signals(label, 0.05, 0.8, 0.003, 1000) for label in (0.0003, -0.0004, 0.0001, -0.0002, 0.0)]


def accuracies(level, seed=0, noise=0.01):
    return (level + noise * np.random.default_rng(seed).standard_normal(SEEDS)).tolist()


def evidence(recovers, *, outcome="helps", noise=0.01, n_seeds=SEEDS, **facts):
    """Scratch at .5, SPT at 1; a cell recovers the gain where ``recovers(cell)``, which may also give a share."""
    table = {
        cell.name: accuracies(0.5 + 0.5 * float(recovers(cell)), seed=number, noise=noise)[:n_seeds]
        for number, cell in enumerate(cells(GROUPS))
    }
    return Evidence(
        outcome=outcome,
        n_seeds=n_seeds,
        scratch=accuracies(0.5, 100, noise)[:n_seeds],
        spt=accuracies(1.0, 101, noise)[:n_seeds],
        cells=table,
        **({"shapes": NEAR, "signals": BLIND, "pairs": Pairs(1.0, 0.5, 600)} | facts),
    )


def carried_by(group, *, handmade=True):
    def recovers(cell):
        return (group in cell.taken and cell.donor == "spt") or (cell.donor == "handmade" and handmade)

    return recovers


def said(found):
    return " ".join(found.sentences)


@pytest.mark.parametrize("group", GROUPS)
def test_a_planted_carrier_is_named(group):
    found = conclude(evidence(carried_by(group)))
    assert found.carrier == group
    assert f"carried by the {group} weights" in found.sentences[0]
    # The mechanism of proximity belongs to queries and keys alone.
    assert found.mechanism == ("proximity from absolute positions" if group == "query-key" else None)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"outcome": "no detectable effect"}, "no detectable gain"),
        ({"outcome": "hurts"}, "hurts here"),
        ({"outcome": "not compared"}, "has not both arms"),
        ({"outcome": "no detectable effect", "n_seeds": 2}, "fewer than 3 seeds"),
    ],
)
def test_without_a_gain_nothing_carries_whatever_the_cells_say(facts, words):
    found = conclude(evidence(carried_by("query-key"), **facts))
    assert (found.carrier, found.mechanism, list(found.recoveries)) == ("none", None, [])
    assert words in found.sentences[0]


def test_two_groups_each_enough_and_not_missed_are_several():
    found = conclude(evidence(lambda cell: not {"query-key", "embedding"}.isdisjoint(cell.taken)))
    assert found.carrier == "several"
    assert "none is both enough alone and missed" in found.sentences[0]


def test_two_groups_only_enough_together_are_several():
    found = conclude(evidence(lambda cell: {"query-key", "embedding"} <= set(cell.taken)))
    assert found.carrier == "several"


def test_two_groups_both_enough_and_missed_are_said_to_be():
    """Possible where either alone does it but the rest gets in the way."""
    both = ("query-key", "norms")
    found = conclude(evidence(lambda c: c.taken in [(group,) for group in both]))
    assert found.carrier == "several"
    assert "Each of query-key, norms is enough alone" in found.sentences[0]


def test_seeds_that_disagree_decide_nothing():
    swinging = evidence(lambda cell: False)
    for cell in swinging.cells:
        swinging.cells[cell][:] = [0.4, 1.1, 0.5, 1.0, 0.7]
    found = conclude(swinging)
    assert found.carrier == "undecided"
    assert {r.answer for r in found.recoveries} == {"undecided"}


def test_two_seeds_are_no_claim():
    found = conclude(evidence(carried_by("query-key"), n_seeds=2))
    assert found.carrier == "undecided"
    assert "takes 3 seeds" in found.sentences[0]


def test_half_of_the_gain_is_undecided():
    found = conclude(evidence(lambda cell: 0.5))
    assert {r.answer for r in found.recoveries} == {"undecided"}


@pytest.mark.parametrize("donor", ["random", "shuffled"])
def test_a_control_that_recovers_takes_the_mechanism_away(donor):
    """If noise, or weights that saw no order, do as well, then proximity is not what matters."""
    found = conclude(evidence(lambda c: carried_by("query-key")(c) or (c.donor == donor and c.says == "query-key")))
    assert found.carrier == "query-key"
    assert found.mechanism is None
    assert "does not clearly fail" in said(found)


def test_a_hand_made_bias_that_fails_takes_the_mechanism_away():
    found = conclude(evidence(carried_by("query-key", handmade=False)))
    assert found.mechanism is None
    assert "proximity alone is not shown to be enough" in said(found)


@pytest.mark.parametrize("what", [{"near_mass": 1.05}, {"toeplitz": 0.1}, {"slope": 0.1}])
def test_attention_that_does_not_look_near_by_position_takes_the_mechanism_away(what):
    shapes = [(start, after._replace(**what)) for start, after in NEAR]
    assert conclude(evidence(carried_by("query-key"), shapes=shapes)).mechanism is None
    assert conclude(evidence(carried_by("query-key"), shapes=())).mechanism is None


def test_what_the_start_has_already_was_not_learnt():
    """A mimetic start looks near before anything has been trained."""
    before = [
        (after._replace(near_mass=after.near_mass + 0.01 * (-1) ** seed), after) for seed, (_, after) in enumerate(NEAR)
    ]
    found = conclude(evidence(carried_by("query-key"), shapes=before))
    assert (found.carrier, found.mechanism) == ("query-key", None)
    assert "have learnt no clear preference" in said(found)


def test_relative_codes_teach_no_absolute_positions():
    assert conclude(evidence(carried_by("query-key"), absolute_positions=False)).mechanism == "proximity"


def test_a_failed_seed_is_left_out_of_its_cell():
    table = evidence(carried_by("query-key"))
    table.cells["spt.norms.free"][1:4] = [math.nan] * 3
    found = conclude(table)
    recovery = next(r for r in found.recoveries if r.cell == "spt.norms.free")
    assert (recovery.interval.n, recovery.answer) == (2, "undecided")  # two seeds are no claim
    table.cells["spt.norms.free"][:] = [math.nan] * SEEDS
    recovery = next(r for r in conclude(table).recoveries if r.cell == "spt.norms.free")
    assert (recovery.interval.n, recovery.answer) == (0, "undecided")
    assert (
        next(r for r in plain(conclude(table), table)["recoveries"] if r["cell"] == "spt.norms.free")["share"] is None
    )


def test_without_transplants_no_carrier_is_named():
    assert conclude(Evidence(outcome="helps", n_seeds=5, cells={})).carrier is None


def test_frozen_query_key_is_told_of():
    found = conclude(evidence(lambda c: carried_by("query-key")(c) and not c.frozen))
    frozen = "Share of the gain with query-key frozen, so that labels cannot change it: the hand-made bias over"
    assert frozen in said(found)


def test_blindness_is_said_with_its_caution():
    blind = said(conclude(evidence(carried_by("norms"))))
    assert "Locally blind is not the same as cannot learn" in blind
    assert "About direction, ahead or back, their signal-to-noise ratios are 0.8 and 0.003." in blind
    seeing = [s._replace(label=0.05 + 0.001 * seed) for seed, s in enumerate(BLIND)]
    assert "not shown to be blind" in said(conclude(evidence(carried_by("norms"), signals=seeing)))


@pytest.mark.parametrize("reconstruction", [-0.001, 0.0, 0.001])
def test_without_a_signal_of_the_reconstruction_nobody_is_called_blind(reconstruction):
    """A ratio over noise may be anything, and very negative; it says nothing about the label."""
    faint = [s._replace(label=0.02, reconstruction=reconstruction) for s in BLIND]
    assert "cannot be judged" in said(conclude(evidence(carried_by("norms"), signals=faint)))


def test_a_label_that_could_see_is_warned_of_and_single_positions_are_not_local_structure():
    for pairs, sees in (
        (Pairs(0.9, 0.5, 600), True),
        (Pairs(0.97, 0.97, 600), False),
        (Pairs(0.56, 0.33, 18), False),  # ten against six sequences
        (Pairs(0.56, 0.33, 600), True),
    ):
        assert ("could see" in said(conclude(evidence(carried_by("norms"), pairs=pairs)))) == sees


def holm_by_hand(p_values):
    """Step-down: the k-th smallest times what is left, never below the one before."""
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = worst
    return corrected


def test_every_family_is_corrected_for_itself():
    """What decides about the carrier, the controls, and the rest: t-tests of the lead over half the gain."""
    table = evidence(carried_by("query-key"), noise=0.1)
    half = (np.array(table.spt) - table.scratch) / 2
    p = {
        cell: stats.ttest_1samp(np.array(accuracy) - table.scratch - half, 0).pvalue
        for cell, accuracy in table.cells.items()
    }
    carrier = [f"spt.{what}{group}.free" for group in GROUPS for what in ("", "all-but-")]
    controls = [cell for cell in p if not cell.startswith("spt.") and cell.endswith(".free")]
    rest = [cell for cell in p if cell not in (*carrier, *controls)]
    assert (len(carrier), len(controls)) == (10, 4)
    found = {recovery.cell: recovery.p_holm for recovery in conclude(table).recoveries}
    for family in (carrier, controls, rest):
        expected = holm_by_hand([p[cell] for cell in family])
        np.testing.assert_allclose([found[cell] for cell in family], expected, rtol=1e-9)


def test_a_share_is_of_the_gain_of_the_seeds_that_there_are():
    table = replace(evidence(carried_by("norms")), scratch=[0.5] * 5, spt=[1.0, 1.0, 1.0, 0.6, 0.6])
    table.cells["spt.norms.free"][:] = [0.75, 0.75, 0.75, math.nan, math.nan]
    (recovery,) = [r for r in conclude(table).recoveries if r.cell == "spt.norms.free"]
    assert recovery.share == pytest.approx(0.5)
    assert recovery.percent == "50%"


def test_frozen_and_free_are_not_confused():
    found = conclude(evidence(lambda c: 0.2 if c.frozen else carried_by("query-key")(c), noise=1e-6))
    assert "query-key alone 20%; everything taken, with query-key frozen 20%" in said(found)


@pytest.mark.parametrize(("scatters", "judged"), [(1.5, False), (2.5, True)])
def test_a_signal_is_what_exceeds_twice_the_scatter(scatters, judged):
    n = 1000
    signals = [s._replace(label=1e-6, reconstruction=scatters * math.sqrt(2) / n, n=n) for s in BLIND]
    assert ("cannot be judged" not in said(conclude(evidence(carried_by("norms"), signals=signals)))) == judged
