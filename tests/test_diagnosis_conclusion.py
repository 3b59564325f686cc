"""Planted causes in tables of accuracies: each gets its conclusion, and doubtful tables get none."""

import numpy as np
import pytest

from selfpretrain.diagnosis.conclusion import Evidence, conclude
from selfpretrain.diagnosis.transplants import cells

GROUPS = ("embedding", "query-key", "value-output", "feedforward", "norms")
SEEDS = 3


def accuracies(level, seed=0, noise=0.01):
    return (level + noise * np.random.default_rng(seed).standard_normal(SEEDS)).tolist()


def evidence(recovers, *, outcome="helps", noise=0.01, n_seeds=SEEDS, **facts):
    """Scratch at .5, SPT at 1; a cell recovers the gain where ``recovers(cell)``, which may also give a share."""
    table = {
        cell.name: accuracies(0.5 + 0.5 * float(recovers(cell)), seed=number, noise=noise)[:n_seeds]
        for number, cell in enumerate(cells(GROUPS))
    }
    proximity = {"toeplitz": [0.7, 0.75, 0.8], "slope": [-0.09, -0.1, -0.08], "blindness": [0.01, -0.01, 0.0]}
    return Evidence(
        scratch=accuracies(0.5, 100, noise)[:n_seeds],
        spt=accuracies(1.0, 101, noise)[:n_seeds],
        cells=table,
        outcome=outcome,
        **(proximity | facts),
    )


def carried_by(group, *, handmade=True):
    def recovers(cell):
        return (group in cell.taken and cell.donor == "spt") or (cell.donor == "handmade" and handmade)

    return recovers


@pytest.mark.parametrize("group", GROUPS)
def test_a_planted_carrier_is_named(group):
    found = conclude(evidence(carried_by(group)))
    assert found.carrier == group
    assert f"carried by the {group} weights" in found.sentences[0]
    # The mechanism of proximity belongs to queries and keys alone.
    assert found.mechanism == ("proximity from absolute positions" if group == "query-key" else None)


def test_without_a_gain_nothing_carries_whatever_the_cells_say():
    found = conclude(evidence(carried_by("query-key"), outcome="no detectable effect"))
    assert (found.carrier, found.mechanism, list(found.recoveries)) == ("none", None, [])
    assert "no detectable gain" in found.sentences[0]


def test_two_groups_each_enough_are_several():
    found = conclude(evidence(lambda cell: not {"query-key", "embedding"}.isdisjoint(cell.taken)))
    assert found.carrier == "several"


def test_two_groups_only_enough_together_are_several():
    found = conclude(evidence(lambda cell: {"query-key", "embedding"} <= set(cell.taken)))
    assert found.carrier == "several"


def test_seeds_that_disagree_decide_nothing():
    assert conclude(evidence(carried_by("query-key"), noise=0.6)).carrier in ("undecided", "several")
    assert conclude(evidence(carried_by("query-key"), n_seeds=2)).carrier == "undecided"


def test_half_of_the_gain_is_undecided():
    found = conclude(evidence(lambda cell: 0.5))
    assert {r.answer for r in found.recoveries} == {"undecided"}


@pytest.mark.parametrize("donor", ["random", "shuffled"])
def test_a_control_that_recovers_takes_the_mechanism_away(donor):
    """If noise, or weights that saw no order, do as well, then proximity is not what matters."""
    found = conclude(evidence(lambda c: carried_by("query-key")(c) or (c.donor == donor and c.says == "query-key")))
    assert found.carrier == "query-key"
    assert found.mechanism is None
    assert any("does not clearly fail" in sentence for sentence in found.sentences)


def test_a_hand_made_bias_that_fails_takes_the_mechanism_away():
    found = conclude(evidence(carried_by("query-key", handmade=False)))
    assert found.mechanism is None
    assert any("proximity alone is not shown to be enough" in sentence for sentence in found.sentences)


def test_scores_without_a_lag_pattern_take_the_mechanism_away():
    assert conclude(evidence(carried_by("query-key"), toeplitz=[0.1, 0.0, 0.05])).mechanism is None
    assert conclude(evidence(carried_by("query-key"), slope=[0.1, 0.1, 0.09])).mechanism is None
    assert conclude(evidence(carried_by("query-key"), toeplitz=None, slope=None)).mechanism is None


def test_relative_codes_teach_no_absolute_positions():
    assert conclude(evidence(carried_by("query-key"), absolute_positions=False)).mechanism == "proximity"


def test_a_failed_seed_is_left_out_of_its_cell():
    table = evidence(carried_by("query-key"))
    table.cells["spt.norms.free"][1] = float("nan")
    recovery = next(r for r in conclude(table).recoveries if r.cell == "spt.norms.free")
    assert recovery.interval.n == SEEDS - 1
    assert recovery.answer == "undecided"  # two seeds are no claim


def test_without_transplants_no_carrier_is_named():
    found = conclude(Evidence(scratch=[], spt=[], cells={}, outcome="helps"))
    assert found.carrier is None


def test_blindness_is_said_with_its_caution():
    said = " ".join(conclude(evidence(carried_by("norms"))).sentences)
    assert "Locally blind is not the same as cannot learn" in said
    said = " ".join(conclude(evidence(carried_by("norms"), blindness=[0.9, 1.1, 1.0])).sentences)
    assert "not shown to be blind" in said


def test_a_label_that_could_see_is_warned_of():
    assert any("could see" in s for s in conclude(evidence(carried_by("norms"), label_sees=0.4)).sentences)
    assert not any("could see" in s for s in conclude(evidence(carried_by("norms"), label_sees=0.0)).sentences)
