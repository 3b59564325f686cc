"""Studies: what is claimed, what a run of comparisons leaves, and everybody's own file."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain.cli import STUDYS_OWN, _data_of_study
from selfpretrain.config import DiagnoseConfig, TaskConfig, TrainConfig
from selfpretrain.errors import RequestError
from selfpretrain.events import Done, Note, Planned
from selfpretrain.explain.conclusion import conclude
from selfpretrain.explain.evidence import Evidence, Shape, Signals
from selfpretrain.explain.transplants.cells import alone
from selfpretrain.report.study import StudyContent
from selfpretrain.report.write import write_report
from selfpretrain.results import StudyAnswer
from selfpretrain.stats import t_interval
from selfpretrain.studies import Ground, conduct, ground
from selfpretrain.studies.case import Case
from selfpretrain.studies.claims import Ahead, Blind, Changes, Fits, Generalises, LooksNear, Recovers
from selfpretrain.studies.claims.claim import Diagnosed, Finding
from selfpretrain.studies.claims.decide import decide
from selfpretrain.studies.conduct import run_study
from selfpretrain.studies.folder import StudyFolder
from selfpretrain.studies.real_data import VOWELS
from selfpretrain.studies.registry import known_studies, study_named
from selfpretrain.studies.study import Study

ONE_RATE = TrainConfig(lr=(1e-2,))
TASK = TaskConfig(options={"symbols": 5, "length": 12, "sequences": 200})
GUIDE = (Path(__file__).parents[1] / "docs/extending.md").read_text()
GUIDE_STUDY = next(code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "STUDY = " in code)


# What is claimed.


def summary_of(everything, scratch, spt, *, p=0.001, outcome="helps", half_width=0.01):
    """The answer of a comparison in which two arms scored so by seed."""
    answer = everything[0].answer
    arms = {name: replace(answer.arms[name], test_acc=acc) for name, acc in (("scratch", scratch), ("spt", spt))}
    effect = float(np.mean(spt) - np.mean(scratch))
    contrast = replace(
        answer.contrast("spt", "scratch"),
        effect=effect,
        ci95=(effect - half_width, effect + half_width),
        p=p,
        n_seeds=len(spt),
        outcome=outcome,
    )
    return replace(answer, arms=arms, comparisons=(contrast,))


def ahead(case="a", **settings):
    return Ahead(text="it is ahead", case=case, **settings)


def decided(claims, found, axis="case", values=None):
    """What is said of claims about cases of these answers."""
    values = values or {name: name for name in found}
    cases = [Case({axis: value}, tiny_config(arms=("scratch", "spt")), TASK) for value in values.values()]
    names = {case.name: name for case, name in zip(cases, values, strict=True)}
    renamed = {case: Finding(found[name]) for case, name in names.items() if name in found}
    claims = [
        replace(claim, case=f"{axis}-{claim.case}", other=None if claim.other is None else f"{axis}-{claim.other}")
        if isinstance(claim, Ahead)
        else claim
        for claim in claims
    ]
    return decide(claims, cases, renamed)


FLAT = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("spt", "settings", "outcome"),
    [
        ((0.7, 0.72, 0.68), {}, "holds"),
        ((0.7, 0.72, 0.68), {"p": 0.2, "half_width": 0.3}, "undecided"),
        (FLAT, {"p": 1.0}, "does not hold"),  # the interval leaves out 3 points
        (FLAT, {"p": 1.0, "half_width": 0.05}, "undecided"),
        ((0.4, 0.41, 0.39), {}, "does not hold"),
        ((0.52, 0.52, 0.52), {"half_width": 0.005}, "does not hold"),  # a lead, but a small one
        ((0.7, 0.7), {}, "undecided"),  # two seeds
        (FLAT, {"p": 1.0, "outcome": "not tested"}, "undecided"),
    ],
)
def test_a_lead_holds_does_not_hold_or_is_undecided(everything, spt, settings, outcome):
    found = {"a": summary_of(everything, FLAT[: len(spt)], spt, **settings)}
    assert [each.outcome for each in decided([ahead()], found)] == [outcome]


def test_where_learning_nothing_is_an_answer_it_counts(everything):
    found = {"a": summary_of(everything, FLAT, FLAT, p=1.0, outcome="not tested")}
    assert [each.outcome for each in decided([ahead(), ahead(even_untested=True)], found)] == [
        "undecided",
        "does not hold",
    ]


def test_of_two_cases_seeds_are_paired(everything):
    one = summary_of(everything, (0.6, 0.7, 0.8), (0.6, 0.7, 0.8))
    two = summary_of(everything, (0.5, 0.58, 0.72), (0.9, 0.9, 0.9))
    (answer,) = decided([ahead("one", arm="scratch", other="two")], {"one": one, "two": two})
    expected = t_interval([0.1, 0.12, 0.08])
    assert (answer.effect, *answer.ci95) == pytest.approx((expected.mean, *expected.bounds))
    assert answer.outcome == "holds"


def test_the_slope_of_the_gain_is_points_for_each_doubling(everything):
    values = {"four": 4, "eight": 8, "more": 32}
    gains = {"four": 0.10, "eight": 0.12, "more": 0.16}  # 2 points a doubling
    noise = np.array([0.0, 0.001, -0.001])
    found = {name: summary_of(everything, FLAT, tuple(0.5 + gain + noise)) for name, gain in gains.items()}
    rises = Changes(text="it rises", axis="size")
    (answer,) = decided([rises], found, "size", values)
    assert answer.effect == pytest.approx(0.02)
    assert answer.outcome == "holds"
    (answer,) = decided([replace(rises, falls=True)], found, "size", values)
    assert (answer.effect, answer.outcome) == (pytest.approx(-0.02), "does not hold")
    in_vain = found | {"more": summary_of(everything, FLAT, FLAT, outcome="not tested")}
    (answer,) = decided([rises], in_vain, "size", values)
    assert (answer.effect, answer.outcome, answer.why) == (
        None,
        "undecided",
        "self-pretraining has learnt nothing in size-32",
    )
    del found["more"]
    (answer,) = decided([rises], found, "size", values)
    assert (answer.effect, answer.outcome, answer.why) == (None, "undecided", "size-32 has no answer")


def test_two_claims_are_primary_in_their_order_and_the_others_share_a_level(everything):
    spt = (0.7, 0.72, 0.68)
    found = {name: summary_of(everything, FLAT, spt, p=p) for name, p in {"a": 0.04, "b": 0.01, "c": 0.03}.items()}
    answers = decided([ahead("a"), ahead("b"), ahead("c"), ahead("c")], found)
    assert [each.p_adjusted for each in answers] == pytest.approx([0.04, 0.04, 0.06, 0.06])
    assert [each.primary for each in answers] == [True, True, False, False]
    assert [each.outcome for each in answers] == ["holds", "holds", "undecided", "undecided"]


def test_claims_of_a_family_share_a_level_of_their_own(everything):
    spt = (0.7, 0.72, 0.68)
    found = {name: summary_of(everything, FLAT, spt, p=p) for name, p in {"a": 0.001, "b": 0.01, "c": 0.03}.items()}
    claims = [ahead("a"), ahead("a"), ahead("b", family="x"), ahead("c", family="x"), ahead("c", family="y")]
    answers = decided(claims, found)
    assert [each.p_adjusted for each in answers] == pytest.approx([0.001, 0.001, 0.02, 0.03, 0.03])


@pytest.mark.parametrize("first", [(0.3, 0.31, 0.29), (0.52, 0.52, 0.52)])
def test_a_second_claim_needs_a_first_that_holds(everything, first):
    found = {"a": summary_of(everything, FLAT, first, half_width=0.005), "b": summary_of(everything, FLAT, (0.7,) * 3)}
    assert [each.outcome for each in decided([ahead("a"), ahead("b")], found)] == ["does not hold", "undecided"]


def test_a_claim_is_made_at_the_level_of_its_looks(everything):
    late = replace(summary_of(everything, FLAT, (0.7, 0.72, 0.68), p=0.03), level=0.025)
    assert [each.outcome for each in decided([ahead()], {"a": late})] == ["undecided"]


@pytest.mark.fast
@pytest.mark.parametrize("profile", ["small", "full"])
@pytest.mark.parametrize("study", known_studies().values(), ids=lambda study: study.name)
def test_every_claim_of_a_built_in_study_is_about_its_cases(study, profile):
    cases = {case.name: case for case in study.cases_on(ground(profile))}
    assert study.minutes <= (90 if study.name == "paper" else 20)
    for claim in study.claims:
        assert claim.wrong(list(cases.values())) is None
        assert set(claim.rests_on(list(cases.values()))) <= set(cases)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (ahead("steps-7"), "there is no case steps-7; the cases are steps-6, steps-9"),
        (ahead("steps-6", against="bias"), "the case steps-6 has no arm bias"),
        (Changes(text="it rises", axis="depth"), "needs two different numbers above 0"),
    ],
)
def test_a_claim_that_no_case_can_decide_is_refused_before_anything_runs(tmp_path, claim, said):
    with pytest.raises(RequestError, match=re.escape(said)):
        run_study(replace(TINY, claims=(claim,)), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"data": "../y"}, "is no folder's name"),
        ({"data": "a/b.csv"}, "is no folder's name"),
        ({"n": "x" * 200}, "is no folder's name"),
        ({}, "is no folder's name"),
        ({"lr": 3}, "has the name of a column"),
    ],
)
def test_a_case_has_a_name_for_a_folder_and_axes_of_their_own(axes, said):
    with pytest.raises(ValueError, match=said):
        Case(axes, tiny_config(), TASK)


@pytest.mark.fast
def test_a_range_of_seeds_is_no_number_for_a_study():
    with pytest.raises(ValueError, match="range of seeds"):
        Case({"n": 1}, tiny_config(seeds="3-10"), TASK)


# Claims about one case.


def one_case(claim, finding, **settings):
    """What is said of a claim about a case."""
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK, **settings)
    assert claim.wrong([case]) is None
    (answer,) = decide([claim], [case], {"n-1": finding})
    return answer


@pytest.mark.parametrize(
    ("best", "outcome"),
    [((0.98, 0.97, 0.99), "holds"), ((0.6, 0.61, 0.62), "does not hold"), ((0.8, 0.9, 1.0), "undecided")],
)
def test_what_fits_its_training_labels_is_reliably_above_nine_in_ten(everything, best, outcome):
    answer = everything[0].answer
    arms = {**answer.arms, "scratch": replace(answer.arms["scratch"], best_train_acc=best)}
    said = one_case(Fits(text="it fits", case="n-1"), Finding(replace(answer, arms=arms)))
    assert (said.outcome, said.effect) == (outcome, pytest.approx(np.mean(best) - 0.9))


def test_a_lead_can_be_one_of_training_accuracy(everything):
    answer = summary_of(everything, FLAT, FLAT)
    reached = {"scratch": (0.5, 0.51, 0.52), "spt": (0.6, 0.62, 0.61)}
    arms = {name: replace(answer.arms[name], best_train_acc=acc) for name, acc in reached.items()}
    found = Finding(replace(answer, arms=arms))
    said = one_case(Ahead(text="it fits better", case="n-1", split="train"), found)
    assert (said.outcome, said.effect, said.unit) == ("holds", pytest.approx(0.1), "points of training accuracy")


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [((0.0, 0.001, -0.001), "holds"), ((0.2, 0.21, 0.19), "does not hold"), ((0.0, 0.03, 0.06), "undecided")],
)
def test_what_generalises_has_a_gap_below_three_points(everything, gaps, outcome):
    answer = everything[0].answer
    entry = replace(answer.arms["scratch"], train_acc=tuple(0.7 + gap for gap in gaps), test_acc=(0.7, 0.7, 0.7))
    found = Finding(replace(answer, arms={**answer.arms, "scratch": entry}))
    said = one_case(Generalises(text="it does", case="n-1"), found)
    assert (said.outcome, said.effect) == (outcome, pytest.approx(0.03 - np.mean(gaps)))


def diagnosed(everything, shares, *, outcome="helps", **seen):
    """A finding in which transplants have so much of a gain of 40 points, with small differences between seeds."""
    noise = np.array([0.0, 0.002, -0.002])
    scratch = np.array([0.5, 0.5, 0.5])
    evidence = Evidence(
        outcome=outcome,
        n_seeds=3,
        scratch=scratch,
        spt=scratch + 0.4,
        cells={cell: scratch + 0.4 * share + noise for cell, share in shares.items()},
        **seen,
    )
    return Finding(everything[0].answer, Diagnosed(evidence, conclude(evidence)))


def test_a_transplant_recovers_the_gain_or_does_not_and_without_a_gain_it_is_open(everything):
    shares = {alone("query-key"): 0.9, alone("norms"): 0.1}
    found = diagnosed(everything, shares)
    for cell, fails, outcome, effect in (
        ("query-key", False, "holds", 0.16),
        ("query-key", True, "does not hold", -0.16),
        ("norms", False, "does not hold", -0.16),
        ("norms", True, "holds", 0.16),
    ):
        claim = Recovers(text="it does", case="n-1", cell=f"spt.{cell}.free", fails=fails)
        said = one_case(claim, found, diagnosis=DiagnoseConfig(sections=("transplants",)))
        assert (said.outcome, said.effect) == (outcome, pytest.approx(effect))
    claim = Recovers(text="it does", case="n-1")
    for finding, why in (
        (diagnosed(everything, shares, outcome="no detectable effect"), "there is no gain to carry in n-1"),
        (diagnosed(everything, {}), "there is no transplant spt.query-key.free in n-1"),
        (Finding(everything[0].answer), "n-1 is not diagnosed"),
    ):
        said = one_case(claim, finding, diagnosis=DiagnoseConfig(sections=("transplants",)))
        assert (said.outcome, said.why) == ("undecided", why)


def test_near_attention_and_blind_labels_are_measured_over_seeds(everything):
    flat = Shape(1.0, 0.1, 0.0)
    near = [(flat, Shape(mass, 0.9, -1.0)) for mass in (3.0, 3.1, 2.9)]
    said = one_case(
        LooksNear(text="near", case="n-1"),
        diagnosed(everything, {}, shapes=near),
        diagnosis=DiagnoseConfig(sections=("attention",)),
    )
    assert (said.outcome, said.effect) == ("holds", pytest.approx(1.5))
    far = [(flat, Shape(mass, 0.9, -1.0)) for mass in (1.0, 1.1, 0.9)]
    said = one_case(
        LooksNear(text="near", case="n-1"),
        diagnosed(everything, {}, shapes=far),
        diagnosis=DiagnoseConfig(sections=("attention",)),
    )
    assert said.outcome == "does not hold"
    signals = [Signals(0.001 * k, 0.5, 0.0, 0.0, 256) for k in range(3)]
    blind = Blind(text="blind", case="n-1")
    said = one_case(
        blind, diagnosed(everything, {}, signals=signals), diagnosis=DiagnoseConfig(sections=("gradients",))
    )
    assert (said.outcome, said.effect) == ("holds", pytest.approx(0.1 - 0.002))
    said = one_case(blind, diagnosed(everything, {}), diagnosis=DiagnoseConfig(sections=("gradients",)))
    assert (said.outcome, "not above chance" in said.why) == ("undecided", True)


@pytest.mark.parametrize("claim", [Recovers, LooksNear, Blind])
def test_a_claim_about_a_diagnosis_needs_one(claim):
    case = Case({"n": 1}, tiny_config(arms=("scratch", "spt")), TASK)
    assert "is not diagnosed with" in claim(text="it does", case="n-1").wrong([case])


# Why scratch fails: planted.


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            ("does not hold", "holds", "undecided", "holds", "undecided"),
            "Optimisation: within its steps scratch does not",
        ),
        (("does not hold", "does not hold", "undecided", "holds", "undecided"), "nor within 10 times the steps"),
        (
            ("holds", "holds", "holds", "does not hold", "undecided"),
            "Generalisation: scratch fits its training labels, and",
        ),
        (("holds", "holds", "undecided", "holds", "undecided"), "Scratch does not fail"),
        (("undecided", "holds", "holds", "holds", "holds"), "Open"),
    ],
)
def test_the_reading_of_why_scratch_fails(everything, outcomes, said):
    study = known_studies()["why-scratch-fails"]
    (claim,) = decided([ahead()], {"a": summary_of(everything, FLAT, FLAT)})
    answers = [replace(claim, outcome=outcome) for outcome in outcomes]
    assert said in study.reading(answers)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "word"), [("plateau", "Optimisation"), ("overfit", "Generalisation")])
def test_a_plateau_and_an_overfit_that_were_planted_are_told_apart(tmp_path, rule, word):
    """Proximity is never fitted in so few steps; what is told by a symbol of each row alone is learnt by heart."""
    generator = np.random.default_rng(0)
    path = tmp_path / "planted.jsonl"
    if rule == "overfit":
        rows = []  # a training row is told by a symbol of its own; elsewhere the symbols of all are mixed
        for part, n in (("train", 40), ("val", 60), ("test", 400)):
            for number in range(n):
                mixed = [f"s{k}" for k in generator.integers(0, 40, 8)]
                x, y = ([f"s{number}"] * 8, number % 2) if part == "train" else (mixed, int(generator.integers(2)))
                rows.append({"sequence": x, "label": y, "split": part})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = TaskConfig(data=str(path))
    else:
        task = TaskConfig()
    result = run_study(known_studies()["why-scratch-fails"], "small", task, out=tmp_path / "o", workers=2)
    assert result.answer.answer.startswith(word)


# Everybody's data.


def test_a_study_can_be_asked_about_own_data_and_one_with_tasks_of_its_own_refuses(tmp_path):
    own = TaskConfig(options={"symbols": 4, "length": 10, "sequences": 150})
    seen = []
    asks = replace(TINY, own_data=True, cases=lambda ground: (seen.append(ground.task), tiny_cases())[1])
    run_study(asks, "small", own, out=tmp_path / "o")
    assert seen == [own]
    with pytest.raises(RequestError, match="is about tasks of its own"):
        run_study(TINY, "small", own, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.fast
def test_real_data_are_looked_for_where_one_says_and_left_out_where_they_are_not(tmp_path, monkeypatch):
    named, by_variable = tmp_path / "named", tmp_path / "variable"
    monkeypatch.setenv("SELFPRETRAIN_DATA", str(by_variable))
    config = tiny_config(arms=("scratch", "spt"))
    case = ground(data_dir=named).real(VOWELS, config, axes={"with": "all"})
    assert (case.name, case.task.data) == ("data-vowels-with-all", str(named / "vowels.jsonl"))
    assert case.left_out.startswith(f"{named / 'vowels.jsonl'} is not there: examples/real_data.py makes it")
    assert ground().real(VOWELS, config).task.data == str(by_variable / "vowels.jsonl")
    named.mkdir()
    (named / "vowels.jsonl").touch()
    assert ground(data_dir=named).real(VOWELS, config).left_out is None
    with pytest.raises(RequestError, match="elsewhere is no folder; name the one with the files"):
        run_study(TINY, out=tmp_path / "o", data_dir=tmp_path / "elsewhere")
    monkeypatch.delenv("SELFPRETRAIN_DATA")
    assert ground().real(VOWELS, config).task.data == "data/vowels.jsonl"


def test_data_that_are_not_at_hand_are_left_out_with_the_cure_and_the_rest_goes_on(tmp_path):
    missing = Case(
        {"steps": 1}, tiny_config(), TaskConfig(data="nowhere.csv"), left_out="nowhere.csv is not there; get it"
    )
    study = replace(TINY, cases=lambda ground: [missing, *tiny_cases()], claims=(ahead("steps-1"), *TINY.claims))
    notes = []
    answer = run_study(study, out=tmp_path / "o", watch=notes.append).answer
    assert [case.left_out for case in answer.cases] == [missing.left_out, None, None]
    assert answer.claims[0].outcome == "undecided"
    assert "without an answer" not in answer.answer
    assert any("left out: nowhere.csv" in note.text for note in notes if isinstance(note, Note))
    assert "nowhere.csv is not there; get it" in write_report(tmp_path / "o").read_text()


@pytest.mark.fast
def test_options_of_data_without_data_are_refused():
    assert _data_of_study(TaskConfig(data=STUDYS_OWN)) is None
    assert _data_of_study(TaskConfig(data="my.csv", label="y")) == TaskConfig(data="my.csv", label="y")
    with pytest.raises(RequestError, match="is of no use without DATA"):
        _data_of_study(TaskConfig(data=STUDYS_OWN, label="y"))


def test_families_of_claims_stand_beside_each_other(everything):
    """Claims without the name of their family in the rows, a family a column."""
    found = {name: summary_of(everything, FLAT, (0.7, 0.72, 0.68)) for name in ("a", "b")}
    claims = [replace(ahead(name), text=f"On {name} it is ahead", family=name) for name in found]
    claims.append(replace(ahead("b"), text="On b it is needed", family="b"))
    answers = tuple(decided(claims, found))
    answer = replace(run_of_tiny_answer(), claims=answers)
    content = StudyContent(answer, {})
    assert content.families == ["a", "b"]
    assert content.matrix == {"it is ahead": [answers[0], answers[1]], "it is needed": [None, answers[2]]}
    assert StudyContent(replace(answer, claims=answers[:1]), {}).families == []


def run_of_tiny_answer():
    """An answer without anything in it."""
    words = dict.fromkeys(("study", "question", "expected", "version", "declared", "answer"), "")
    return StudyAnswer(**words, profile="small", changed_after=None, claims=(), cases=())


# What a run leaves.


def tiny_cases(ground=None):
    """Two label budgets, which share their self-pretraining."""
    config = tiny_config(arms=("scratch", "spt"), train=ONE_RATE)
    return [Case({"steps": n}, replace(config, label=replace(config.label, duration=str(n))), TASK) for n in (6, 9)]


TINY = Study(
    name="tiny",
    question="Is it tiny?",
    expected="Yes.",
    minutes=1,
    claims=(ahead("steps-6"), ahead("steps-9", arm="scratch", other="steps-6")),
    cases=tiny_cases,
)
pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    events = []
    return run_study(TINY, out=tmp_path_factory.mktemp("study") / "o", watch=events.append), events


def test_what_two_comparisons_share_is_trained_once_and_the_same_command_trains_nothing(ran):
    result, events = ran
    done = [event.job for event in events if isinstance(event, Done)]
    assert sum(job.endswith("pretrain") for job in done) == 3
    assert len(done) == 3 + 2 * 2 * 3  # three self-pretrainings; two cases, two arms, three seeds
    again = []
    assert run_study(TINY, out=result.folder, watch=again.append).answer == result.answer
    assert not [event for event in again if isinstance(event, Done)]


def test_the_time_left_is_that_of_the_whole_study(ran):
    planned = [event for event in ran[1] if isinstance(event, Planned)]
    last = [sum(event.costs.values()) for event in planned if any(job.startswith("steps-9") for job in event.costs)]
    of_first = next(event for event in planned if event.costs and all(job.startswith("steps-6") for job in event.costs))
    assert of_first.later == pytest.approx(sum(last))


def test_it_is_declared_before_it_runs(ran):
    said = [event.text for event in ran[1] if isinstance(event, Note)]
    first = next(place for place, event in enumerate(ran[1]) if isinstance(event, Planned))
    assert said[:4] == TINY.declaration
    assert all(isinstance(event, Note) for event in ran[1][:4])
    assert first > 4


def test_the_table_has_a_row_for_each_run_and_the_answer_its_claims(ran):
    result = ran[0]
    rows = list(csv.DictReader((result.folder / "table.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 3
    assert set(rows[0]) >= {"study", "comparison", "steps", "task", "arm", "seed", "lr", "test_acc", "flops", "seconds"}
    summary = StudyFolder(result.folder).case("steps-9").summary
    found = [float(row["test_acc"]) for row in rows if (row["comparison"], row["arm"]) == ("steps-9", "spt")]
    assert found == list(summary.arms["spt"].test_acc)
    assert [claim.claim for claim in result.answer.claims] == [claim.text for claim in TINY.claims]
    page = write_report(result.folder).read_text()
    assert "Is it tiny?" in page
    assert (result.folder / "steps-6/report.html").exists()


def test_a_comparison_that_fails_is_recorded_and_the_others_go_on(tmp_path, monkeypatch):
    real = conduct.compare

    def sometimes(task, config, **how):
        if config.label.duration == "6":
            raise ZeroDivisionError("planted")
        return real(task, config, **how)

    monkeypatch.setattr(conduct, "compare", sometimes)
    answer = run_study(TINY, out=tmp_path / "o").answer
    assert [case.failure for case in answer.cases] == ["ZeroDivisionError: planted", None]
    assert "Traceback" in (tmp_path / "o/steps-6/error.txt").read_text()
    assert "Comparisons without an answer: 1." in answer.answer
    assert "ZeroDivisionError: planted" in write_report(tmp_path / "o").read_text()
    # Once mended, the same command does what is missing.
    monkeypatch.setattr(conduct, "compare", real)
    answer = run_study(TINY, out=tmp_path / "o").answer
    assert [case.failure for case in answer.cases] == [None, None]
    assert not (tmp_path / "o/steps-6/error.txt").exists()


def test_a_study_that_diagnoses_refuses_pairs_before_anything_is_trained(tmp_path):
    lines = [json.dumps({"a": [i % 3, 1], "b": [1, i % 2], "label": str(i % 2)}) for i in range(40)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    task = TaskConfig(data=str(tmp_path / "p.jsonl"), sequence="a", pair="b", kind="symbols")
    with pytest.raises(RequestError, match="the study transfer diagnoses, and diagnose cannot look at rows that are"):
        run_study(study_named("transfer"), "small", task, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_planned_is_refused_before_anything_is_written(tmp_path):
    causal = tiny_config(arms=("joint",), objective=replace(tiny_config().objective, objective="causal"))
    for case in (Case({"steps": 0}, causal, TASK), Case({"steps": 0}, tiny_config(), TaskConfig(data="nowhere.csv"))):
        with pytest.raises(RequestError):
            run_study(replace(TINY, cases=lambda ground, case=case: [*tiny_cases(), case]), out=tmp_path / "o")
    with pytest.raises(RequestError, match="two cases of one name"):
        run_study(replace(TINY, cases=lambda ground: tiny_cases() * 2), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_what_answers_another_request_is_no_answer(ran, tmp_path, monkeypatch):
    """A study file that was edited between two runs: old comparisons are done again, and until then do not count."""
    folder = shutil.copytree(ran[0].folder, tmp_path / "o")
    seen = []

    def stop(task, config, **how):
        seen.append(StudyFolder(folder).answer)
        raise KeyboardInterrupt

    monkeypatch.setattr(conduct, "compare", stop)
    edited = replace(TINY, cases=lambda ground: [replace(c, config=replace(c.config, seeds=4)) for c in tiny_cases()])
    with pytest.raises(KeyboardInterrupt):
        run_study(edited, out=folder)
    assert [claim.outcome for claim in seen[0].claims] == ["undecided", "undecided"]
    assert all(claim.why.endswith("has no answer") for claim in seen[0].claims)


def test_a_declaration_that_was_changed_after_results_says_so(ran, tmp_path):
    folder = shutil.copytree(ran[0].folder, tmp_path / "o")
    answer = run_study(replace(TINY, expected="Something else."), out=folder).answer
    assert answer.changed_after == 2
    assert "The declaration was changed after 2 comparisons had finished." in answer.answer
    assert run_study(TINY, out=folder).answer.changed_after == 2  # once seen, always seen


def test_a_damaged_comparison_has_no_answer_until_it_is_mended(ran, tmp_path):
    folder = shutil.copytree(ran[0].folder, tmp_path / "o")
    (folder / "steps-6/summary.json").write_text("{}")
    assert "not finished" in write_report(folder).read_text()
    assert run_study(TINY, out=folder).answer == ran[0].answer


def test_two_at_once_in_one_folder_are_refused(ran):
    with StudyFolder(ran[0].folder).claimed("tiny", "small"), pytest.raises(RequestError, match="is at work there"):
        run_study(TINY, out=ran[0].folder)


def test_a_folder_of_something_else_is_refused(ran, tmp_path):
    with pytest.raises(RequestError, match="belongs to the study tiny"):
        run_study(replace(TINY, name="other"), out=ran[0].folder)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match="holds something else"):
        run_study(TINY, out=tmp_path)
    with pytest.raises(RequestError, match="cannot be written to"):
        run_study(TINY, out=tmp_path / "file")


def test_a_damaged_answer_is_said_with_the_cure_and_the_study_mends_it(ran, tmp_path):
    folder = shutil.copytree(ran[0].folder, tmp_path / "o")
    (folder / "study.json").write_text('{"study": 1}')
    with pytest.raises(RequestError, match=r"study.json: missing or damaged; its study command again mends it"):
        write_report(folder)
    events = []
    assert run_study(TINY, out=folder, watch=events.append).answer == ran[0].answer
    assert not [event for event in events if isinstance(event, Done)]


# Everybody's own.


def test_the_guide_is_followed_word_by_word(tmp_path, monkeypatch):
    (tmp_path / "heads.py").write_text(GUIDE_STUDY)
    tiny = Ground("small", tiny_config(arms=("scratch", "spt"), train=ONE_RATE), TASK)
    monkeypatch.setattr(conduct, "ground", lambda *asked: tiny)
    result = run_study(study_named(str(tmp_path / "heads.py")), out=tmp_path / "o")
    assert [case.name for case in result.answer.cases] == ["heads-1", "heads-2"]
    assert result.answer.claims[0].outcome == "undecided"  # self-pretraining of so few steps has learnt nothing
    assert "Does the gain of self-pretraining need two heads?" in write_report(tmp_path / "o").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = z\n", "line 2: NameError: name 'z' is not defined"),
        ("x = (\n", "line 1: SyntaxError"),
        ("x = 1\n", "defines no STUDY"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        (GUIDE_STUDY.replace('name="heads"', 'name="depth"'), "is that of a built-in study"),
        ("from selfpretrain.studies import Study\n\nSTUDY = Study()\n", "line 3: TypeError"),
    ],
)
def test_a_file_with_an_error_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(RequestError, match=re.escape(said)):
        study_named(str(tmp_path / "mine.py"))


def test_an_error_in_the_cases_names_the_line_and_leaves_no_folder(tmp_path):
    (tmp_path / "mine.py").write_text(GUIDE_STUDY.replace("ground.along", "grounds.along"))
    study = study_named(str(tmp_path / "mine.py"))
    line = 1 + GUIDE_STUDY[: GUIDE_STUDY.index("ground.along")].count("\n")
    with pytest.raises(RequestError, match=f"mine.py, line {line}: NameError"):
        run_study(study, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_what_lies_beside_the_file_can_be_imported(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'mine'\n")
    text = GUIDE_STUDY.replace('name="heads"', "name=NAME")
    (tmp_path / "mine.py").write_text(f"from helper_of_mine import NAME\n{text}")
    assert study_named(str(tmp_path / "mine.py")).name == "mine"


def test_the_command_lists_refuses_and_leaves_no_folder(cli, tmp_path):
    listed = cli("study", "list")
    assert listed.returncode == 0
    assert len(listed.stdout.splitlines()) == len(known_studies())
    for asked, said in (("depht", "did you mean depth?"), ("mine.py", "there is no such file")):
        refused = cli("study", asked)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert not list(tmp_path.glob("runs*"))
