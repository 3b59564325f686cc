"""What a conclusion rests on, and planted causes in tables of accuracies: doubtful tables get no conclusion."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from selfpretrain.comparison.summary import ArmSummary, ContrastSummary, Summary
from selfpretrain.explain.cells import (
    HANDMADE,
    HANDMADE_FROZEN,
    MAPS,
    NOISE,
    SHUFFLED,
    Cell,
    all_but,
    alone,
    cells,
    everything,
)
from selfpretrain.explain.conclude import Evidence, LabelTest, Pairs, Shape, Signals, conclude, gather, plain
from selfpretrain.explain.table import Measurement, tidy
from selfpretrain.files import from_dict
from stand_in import made

# What a conclusion rests on is taken from the right arm, stage, loss and seed.


def row(name, values, seed=None, arm="scratch", stage="start", axes=(), **fields):
    return Measurement(name=name, values=values, unit="1", axes=axes, seed=seed, arm=arm, stage=stage, **fields)


def summary_of(comparisons=(), **test_acc):
    arms = {arm.replace("_", "-"): made(ArmSummary, test_acc=accuracies) for arm, accuracies in test_acc.items()}
    return made(Summary, arms=arms, comparisons=comparisons)


def gathered(rows, summary=None):
    return gather(summary or summary_of(), tidy("a section", rows), absolute_positions=True)


def test_the_start_is_the_one_that_scratch_and_spt_share():
    gradients = [
        row(name, value + more, seed, arm=arm, loss=loss, n=100)
        for seed in range(3)
        for arm, shift in (("scratch", 0.0), ("mimetic", 5.0), ("joint", 5.0))
        for loss, value in (("label", shift + 0.1), ("reconstruction", shift + 0.2))
        for name, more in (("proximity_snr", 0.0), ("direction_snr", 1.0))
    ]
    found = gathered(gradients)
    assert found.signals == [Signals(0.1, 0.2, 1.1, 1.2, 100)] * 3
    assert found.outcome == "not compared"


def test_the_shape_is_of_the_head_that_looks_nearest():
    names = ("position_window_mass_relative", "position_toeplitz_r2", "position_slope")
    models = {
        ("scratch", "start"): ([[1.1, 1.0]], [[0.1, 0.3]], [[0.001, -0.001]]),
        ("mimetic", "start"): ([[9.0, 9.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
        ("spt", "after-pretrain"): ([[1.0, 5.0]], [[0.9, 0.6]], [[0.2, -0.1]]),
        ("spt", "after-label"): ([[8.0, 8.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
        ("joint", "after-pretrain"): ([[7.0, 7.0]], [[0.9, 0.9]], [[-1.0, -1.0]]),
    }
    rows = [
        row(name, value, 0, *model, axes=("layer", "head"))
        for model, values in models.items()
        for name, value in zip(names, values, strict=True)
    ]
    assert gathered(rows).shapes == [(Shape(1.1, 0.1, 0.001), Shape(5.0, 0.6, -0.1))]


def of_cells(by_cell):
    return [
        row("transplant_test_acc", value, seed, arm=None, stage=None, cell=cell.name)
        for cell, by_seed in by_cell.items()
        for seed, value in by_seed.items()
    ]


def test_the_gain_is_that_of_spt_over_scratch_and_cells_are_matched_by_seed():
    """Transplants are of seeds 0 and 2, in any order, and one of them failed."""
    contrasts = (
        made(ContrastSummary, arm="spt", against="scratch-long", outcome="loses", n_seeds=5),
        made(ContrastSummary, arm="spt", against="scratch", outcome="helps", n_seeds=2),
    )
    summary = summary_of(contrasts, spt=(0.7, 0.8, 0.9), scratch_long=(0.4, 0.4, 0.4), scratch=(0.1, None, 0.3))
    frozen = alone("norms", frozen=True)
    rows = of_cells({frozen: {2: 0.32, 0: 0.12}, alone("norms"): {0: 0.15, 2: math.nan}})
    found = gathered(rows, summary)
    assert (found.outcome, found.n_seeds) == ("helps", 2)
    assert (found.scratch, found.spt) == ([0.1, 0.3], [0.7, 0.9])
    assert list(found.cells) == [frozen, alone("norms")]
    np.testing.assert_equal(list(found.cells.values()), [[0.12, 0.32], [0.15, math.nan]])


@pytest.mark.parametrize("failed", ["scratch", "spt"])
def test_a_failed_run_is_no_accuracy_of_zero(failed):
    """With zero for the seed that failed, what transplants lead by and what there is to gain would both be wrong."""
    ends = {"scratch": [0.5, 0.52, 0.48, 0.51], "spt": [0.9, 0.92, 0.88, 0.91]}
    ends[failed][3] = None
    contrast = made(ContrastSummary, arm="spt", against="scratch", outcome="helps", n_seeds=3)
    cell = alone("query-key")
    rows = of_cells({cell: dict(enumerate((0.9, 0.92, 0.88, 0.91)))})
    found = gathered(rows, summary_of((contrast,), **ends))
    np.testing.assert_equal(getattr(found, failed), [math.nan if acc is None else acc for acc in ends[failed]])
    recovery = of(conclude(found), cell)
    assert (recovery.interval.n, recovery.interval.mean) == (3, pytest.approx(0.2))
    assert recovery.share == pytest.approx(1.0)
    content = plain(conclude(found), found)
    assert content["ends"] == ends
    json.dumps(content, allow_nan=False)


def test_pairs_are_those_in_order_first():
    rows = [row("pair_classifier_shuffled", 0.5, n=60), row("pair_classifier", 0.9, n=60)]
    assert gathered(rows).pairs == (0.9, 0.5, 60)
    assert gathered(rows[:1]).pairs is None
    undefined = [
        row(name, math.nan, n=60) for name in ("pair_classifier", "pair_classifier_shuffled")
    ]  # of one class there is nothing to tell apart
    assert gathered(undefined).pairs is None


# What follows.


GROUPS = ("embedding", "query-key", "value-output", "feedforward", "norms")
SEEDS = 5
START = [Shape(1 + 0.01 * seed, 0.2 + 0.01 * seed, -0.0001) for seed in range(SEEDS)]
NEAR = [(start, Shape(4 + 0.1 * seed, 0.7 + 0.01 * seed, -0.1 + 0.01 * seed)) for seed, start in enumerate(START)]
# What is observed beside the carrier is answered in sentences alone; these words tell the answers apart.
SEES, BLIND, NOT_BLIND, UNJUDGED = "could see", "Locally blind", "not shown to be blind", "cannot be judged"
FAINT = [Signals(label, 0.05, 0.8, 0.003, 1000) for label in (0.0003, -0.0004, 0.0001, -0.0002, 0.0)]


def accuracies(level, seed=0, noise=0.01):
    return (level + noise * np.random.default_rng(seed).standard_normal(SEEDS)).tolist()


def evidence(recovers, *, outcome="helps", noise=0.01, n_seeds=SEEDS, **facts):
    """Scratch at .5, SPT at 1; a cell recovers the gain where ``recovers(cell)``, which may also give a share."""
    table = {
        cell: accuracies(0.5 + 0.5 * float(recovers(cell)), seed=number, noise=noise)[:n_seeds]
        for number, cell in enumerate(cells(GROUPS))
    }
    return Evidence(
        outcome=outcome,
        n_seeds=n_seeds,
        scratch=accuracies(0.5, 100, noise)[:n_seeds],
        spt=accuracies(1.0, 101, noise)[:n_seeds],
        cells=table,
        **({"shapes": NEAR, "signals": FAINT, "pairs": Pairs(1.0, 0.5, 600)} | facts),
    )


def carried_by(group):
    return lambda cell: (group in cell.taken and cell.donor == "spt") or cell.donor == "handmade"


def said(found):
    return " ".join(found.sentences)


def of(found, cell):
    (recovery,) = [recovery for recovery in found.recoveries if recovery.cell == cell]
    return recovery


@pytest.mark.parametrize("group", GROUPS)
def test_a_planted_carrier_is_named(group):
    found = conclude(evidence(carried_by(group), noise=1e-6))
    assert found.carrier == group
    assert f"the {group} weights" in found.sentences[0]
    assert re.findall(r"\d+%", found.sentences[0]) == ["100%", "0%"]  # alone, and everything else
    # The mechanism of proximity belongs to queries and keys alone.
    assert found.mechanism == ("proximity from absolute positions" if group == "query-key" else None)


def test_without_a_gain_it_is_said_what_attention_has_learnt():
    flat = [
        (start, start._replace(near_mass=start.near_mass + 0.01 * (-1) ** seed)) for seed, start in enumerate(START)
    ]

    def said(shapes):
        sentences = conclude(Evidence(outcome="equal", n_seeds=SEEDS, cells={}, shapes=shapes)).sentences
        return [sentence for sentence in sentences if sentence.startswith("After self-pretraining attention")]

    (learnt,), (not_learnt,) = said(NEAR), said(flat)
    assert re.search(r"favours near positions more than at the start: .* 4\.\d times .* \(1\.0 before\)", learnt)
    assert "is not shown to favour near positions more than at the start" in not_learnt
    assert said([]) == []


def test_without_a_gain_nothing_carries_whatever_the_cells_say():
    reasons = set()
    for outcome in ("no detectable effect", "loses", "not tested", "not compared"):
        found = conclude(evidence(carried_by("query-key"), outcome=outcome))
        assert (found.carrier, found.mechanism, list(found.recoveries)) == ("none", None, [])
        assert SEES in found.sentences[0]  # what the data say comes first
        reasons.add(found.sentences[1])
    few = conclude(evidence(carried_by("query-key"), outcome="no detectable effect", n_seeds=2))
    assert few.carrier == "none"
    assert len(reasons | {few.sentences[1]}) == 5  # to each outcome its own reason, and to too few seeds


@pytest.mark.parametrize(
    "recovers",
    [
        lambda cell: not {"query-key", "embedding"}.isdisjoint(cell.taken),
        lambda cell: {"query-key", "embedding"} <= set(cell.taken),
    ],
    ids=["each enough and not missed", "only enough together"],
)
def test_two_groups_are_several(recovers):
    assert conclude(evidence(recovers)).carrier == "several"


def test_two_groups_both_enough_and_missed_are_said_to_be():
    """Possible where either alone does it but the rest gets in the way."""
    both = ("query-key", "norms")
    found = conclude(evidence(lambda c: c.taken in [(group,) for group in both]))
    assert found.carrier == "several"
    assert {group for group in GROUPS if group in found.sentences[0]} == set(both)


@pytest.mark.parametrize("swing", [(0.4, 1.1, 0.5, 1.0, 0.7), None])
def test_seeds_that_disagree_and_half_of_the_gain_decide_nothing(swing):
    table = evidence(lambda cell: 0.5)
    if swing is not None:
        table = replace(table, cells=dict.fromkeys(table.cells, swing))
    found = conclude(table)
    assert found.carrier == "undecided"
    assert {r.answer for r in found.recoveries} == {"undecided"}


def test_two_seeds_are_no_claim():
    clear = [conclude(evidence(carried_by("query-key"), noise=1e-9, n_seeds=n)) for n in (2, 3)]
    assert [found.carrier for found in clear] == ["undecided", "query-key"]
    assert {(r.interval.n, r.answer) for r in clear[0].recoveries} == {(2, "undecided")}


@pytest.mark.parametrize("control", [NOISE, SHUFFLED, HANDMADE])
def test_without_controls_that_fail_and_a_hand_made_bias_that_recovers_there_is_no_mechanism(control):
    """If noise, or weights that saw no order, do as well, then proximity is not what matters."""
    by_query_key = carried_by("query-key")
    found = conclude(evidence(lambda cell: by_query_key(cell) != (cell == control)))
    assert (found.carrier, found.mechanism) == ("query-key", None)
    assert (of(found, HANDMADE).percent if control == HANDMADE else control.words) in found.sentences[1]
    untried = evidence(by_query_key)
    del untried.cells[control]
    assert (conclude(untried).carrier, conclude(untried).mechanism) == ("query-key", None)


# A mimetic start looks near before anything has been trained, so that nothing is left to be learnt.
MIMETIC = [
    (after._replace(near_mass=after.near_mass + 0.01 * (-1) ** seed), after) for seed, (_, after) in enumerate(NEAR)
]
FAR = [
    [(start, after._replace(**what)) for start, after in NEAR]
    for what in ({"near_mass": 1.05}, {"toeplitz": 0.1}, {"slope": 0.1})
]


@pytest.mark.parametrize("shapes", [*FAR, MIMETIC, ()])
def test_attention_that_has_not_learnt_to_look_near_by_position_takes_the_mechanism_away(shapes):
    found = conclude(evidence(carried_by("query-key"), shapes=shapes))
    assert (found.carrier, found.mechanism) == ("query-key", None)


def test_relative_codes_teach_no_absolute_positions():
    assert conclude(evidence(carried_by("query-key"), absolute_positions=False)).mechanism == "proximity"


def test_a_failed_seed_is_left_out_of_its_cell_and_of_the_gain_that_it_has_a_share_of():
    table = replace(evidence(carried_by("norms")), scratch=[0.5] * 5, spt=[1.0, 1.0, 0.6, 0.6, 0.6])
    table.cells[alone("norms")][:] = [0.75, 0.75, *[math.nan] * 3]
    recovery = of(conclude(table), alone("norms"))
    assert (recovery.share, recovery.percent) == (pytest.approx(0.5), "50%")
    assert (recovery.interval.n, recovery.answer) == (2, "undecided")  # two seeds are no claim
    table.cells[alone("norms")][:] = [math.nan] * SEEDS
    recovery = of(conclude(table), alone("norms"))
    assert (recovery.interval.n, recovery.answer) == (0, "undecided")


def test_every_recovery_is_there_as_json_types_with_the_whole_cell():
    table, failed = evidence(carried_by("query-key"), noise=1e-6), alone("norms")
    table.cells[failed][:] = [math.nan] * SEEDS
    found = conclude(table)
    content = plain(found, table)
    assert content["ends"] == {"scratch": table.scratch, "spt": table.spt}
    assert (content["carrier"], content["mechanism"]) == (found.carrier, found.mechanism)
    by_cell = {from_dict(Cell, row["cell"]): row for row in content["recoveries"]}
    assert list(by_cell) == list(table.cells)
    for cell, row in by_cell.items():
        assert (row["answer"], row["p_holm"]) == (of(found, cell).answer, of(found, cell).p_holm)
        expected = None if cell == failed else np.mean(table.cells[cell]) - 0.5
        assert row["share"] == (None if expected is None else pytest.approx(2 * expected, abs=1e-4))


@pytest.mark.parametrize(
    ("shares", "words", "told"),
    [
        ({MAPS: 0.7}, "attention maps", ["70%"]),
        ({NOISE: 0.1, SHUFFLED: 0.3, everything(GROUPS, "shuffled"): 0.9}, "Controls", ["10%", "30%", "90%"]),
        (
            {
                HANDMADE_FROZEN: 0.2,
                alone("query-key", frozen=True): 0.3,
                everything(GROUPS, frozen=("query-key",)): 0.4,
            },
            "query-key frozen",
            ["20%", "30%", "40%"],
        ),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_other_cells_recover_is_told(shares, words, told):
    found = conclude(evidence(lambda cell: shares.get(cell, carried_by("query-key")(cell)), noise=1e-6))
    (sentence,) = [sentence for sentence in found.sentences if words in sentence]
    assert re.findall(r"\d+%", sentence) == told


def test_blindness_is_said_with_its_caution():
    blind = said(conclude(evidence(carried_by("norms"))))
    assert "not the same as cannot learn" in blind
    assert re.search(r"direction.* 0\.8 and 0\.003", blind)
    seeing = [s._replace(label=0.05 + 0.001 * seed) for seed, s in enumerate(FAINT)]
    assert NOT_BLIND in said(conclude(evidence(carried_by("norms"), signals=seeing)))


@pytest.mark.parametrize(
    ("label", "scatters", "judged"),
    [(1e-6, 1.5, False), (1e-6, 2.5, True), *((0.02, scatters, False) for scatters in (-1, 0, 1))],
)
def test_without_a_signal_of_the_reconstruction_beyond_twice_the_scatter_nobody_is_called_blind(
    label, scatters, judged
):
    """A ratio over noise may be anything, and very negative; it says nothing about the label."""
    n = 1000
    signals = [s._replace(label=label, reconstruction=scatters * math.sqrt(2) / n, n=n) for s in FAINT]
    words = said(conclude(evidence(carried_by("norms"), signals=signals)))
    assert (UNJUDGED not in words, BLIND in words) == (judged, judged)


def test_a_label_that_could_see_is_warned_of_and_single_positions_are_not_local_structure():
    for pairs, sees in (
        (Pairs(0.9, 0.5, 600), True),
        (Pairs(0.97, 0.97, 600), False),
        (Pairs(0.56, 0.33, 18), False),  # ten against six sequences
        (Pairs(0.56, 0.33, 600), True),
    ):
        assert (SEES in said(conclude(evidence(carried_by("norms"), pairs=pairs)))) == sees


def holm_by_hand(p_values):
    """Step-down: the k-th smallest times what is left, never below the one before."""
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        corrected[index] = worst
    return corrected


def test_of_some_transplants_alone_no_more_is_said_than_they_show():
    def some(group, *asked):
        table = evidence(carried_by(group))
        return conclude(replace(table, cells={cell: table.cells[cell] for cell in asked}))

    pair = (alone("query-key"), all_but("query-key", GROUPS))
    found = some("query-key", *pair)
    assert (found.carrier, found.mechanism) == ("query-key", None)
    assert "was not tried" in said(found)
    assert some("norms", *pair).carrier == "several"
    for asked in ((), pair[:1], pair[1:]):
        assert some("query-key", *asked).carrier is None


def test_every_family_is_corrected_for_itself():
    """What decides about the carrier, the controls, and the rest: t-tests of the lead over half the gain."""
    table = evidence(carried_by("query-key"), noise=0.1)
    half = (np.array(table.spt) - table.scratch) / 2
    p = {
        cell: stats.ttest_1samp(np.array(accuracy) - table.scratch - half, 0).pvalue
        for cell, accuracy in table.cells.items()
    }
    carrier = [cell for group in GROUPS for cell in (alone(group), all_but(group, GROUPS))]
    controls = [cell for cell in p if cell.donor != "spt" and not cell.frozen]
    rest = [cell for cell in p if cell not in (*carrier, *controls)]
    assert (len(carrier), len(controls)) == (10, 5)
    found = {recovery.cell: recovery.p_holm for recovery in conclude(table).recoveries}
    for family in (carrier, controls, rest):
        expected = holm_by_hand([p[cell] for cell in family])
        np.testing.assert_allclose([found[cell] for cell in family], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        (
            (0.2, 0.22, 0.21),
            "say something about labels (21.0% of their variance beyond chance, 95% interval 18.5 to 23.5",
        ),
        ((0.001, -0.001, 0.0), "say next to nothing about labels (0.0% of their variance"),
        ((0.0, 0.04, 0.1), "do not decide whether gradients on query-key weights say anything"),
    ],
)
@pytest.mark.parametrize("gain", [True, False])
def test_what_gradients_say_about_labels_is_told_with_a_gain_and_without(excess, words, gain):
    tests = {
        "bias": [LabelTest(0.9, 0.06, 0.001, 9999)] * 3,
        "spt": [LabelTest(0.06 + e, 0.06, 0.5, 9999) for e in excess],
    }
    known = evidence(carried_by("query-key"), label_tests=tests)
    assert words in said(conclude(known if gain else replace(known, outcome="equal")))


def test_tests_of_labels_are_gathered_by_arm_and_seed():
    rows = [
        row(f"label_signal_{name}", value + seed / 10, seed, arm=arm, loss="label", group="query-key", n=100)
        for seed in (2, 0, 1)
        for arm in ("scratch", "bias")
        for name, value in (("share", 0.3), ("chance", 0.06), ("p", 0.5))
    ]
    tests = gathered(rows).label_tests
    assert set(tests) == {"bias", "scratch"}
    assert [test.share for test in tests["scratch"]] == pytest.approx([0.3, 0.4, 0.5])
