"""A study that runs: what it leaves in its folder, what it refuses before anything is written, and one's own file."""

import csv
import errno
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from conftest import TINY_FLAGS, tiny_config
from selfpretrain.cli import main
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.config import ModelConfig, TaskConfig, TrainConfig
from selfpretrain.data.load import load_task
from selfpretrain.errors import RequestError
from selfpretrain.registry import STUDIES
from selfpretrain.report.study import StudyContent, render_study
from selfpretrain.report.terminal import print_study
from selfpretrain.report.write import write_report
from selfpretrain.studies import Ahead, Case, Changes, Study, ground
from selfpretrain.studies import run as running
from selfpretrain.studies.builtin import few_labels
from selfpretrain.studies.folder import StudyFolder
from selfpretrain.studies.run import run_study, study_named
from selfpretrain.watch import Done, Note, Planned

pytestmark = pytest.mark.whole
GUIDE = (Path(__file__).parents[1] / "docs/extending.md").read_text()
GUIDE_STUDY = next(code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "STUDY = " in code)
NAMED_DEPTH = """
from selfpretrain.studies import Ahead, Study
claims = (Ahead(text="it is ahead", case="a-1"),)
STUDY = Study(name="depth", question="Why?", expected="So.", minutes=1, claims=claims, cases=list)
"""
ONE_RATE = TrainConfig(lr=(1e-2,))
TASK = TaskConfig(options={"symbols": 5, "length": 12, "sequences": 200})


def ahead(case, **settings):
    return Ahead(text="it is ahead", case=case, **settings)


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


@pytest.fixture(autouse=True)
def a_shelf_of_ones_own(monkeypatch):
    """What a file registers is forgotten after its test."""
    list(STUDIES)
    monkeypatch.setattr(STUDIES, "_things", dict(STUDIES._things))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    events = []
    return run_study(TINY, out=tmp_path_factory.mktemp("study") / "o", watch=events.append), events


@pytest.fixture
def copy(ran, tmp_path):
    """A copy of the finished study's folder: what is run in it trains nothing that was trained before."""
    return shutil.copytree(ran[0].folder, tmp_path / "copy")


def page(folder):
    """The page of the study alone: its comparisons' pages take longer to draw."""
    return render_study(StudyContent.read(StudyFolder(folder)))


def test_what_two_comparisons_share_is_trained_once_and_the_same_command_trains_nothing(ran):
    result, events = ran
    done = [event.job for event in events if isinstance(event, Done)]
    assert sum(" pretrain " in job for job in done) == 3
    assert len(done) == 3 + 2 * 2 * 3  # three self-pretrainings; two cases, two arms, three seeds
    again = []
    assert run_study(TINY, out=result.folder, watch=again.append).answer == result.answer
    assert not [event for event in again if isinstance(event, Done)]


def test_the_time_left_is_that_of_the_whole_study(ran):
    planned = [event for event in ran[1] if isinstance(event, Planned)]
    last = [sum(event.costs.values()) for event in planned if any(job.startswith("steps-9") for job in event.costs)]
    first = next(event for event in planned if event.costs and all(job.startswith("steps-6") for job in event.costs))
    assert first.later == pytest.approx(sum(last))


def test_it_is_declared_before_it_runs(ran):
    assert [event.text for event in ran[1][:4] if isinstance(event, Note)] == TINY.declaration


def test_the_table_has_a_row_for_each_run_and_the_page_leads_to_the_comparisons(ran):
    folder = ran[0].folder
    rows = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 3
    assert set(rows[0]) >= {"study", "comparison", "steps", "task", "arm", "seed", "lr", "test_acc", "flops", "seconds"}
    summary = StudyFolder(folder).case("steps-9").summary
    in_table = [float(row["test_acc"]) for row in rows if (row["comparison"], row["arm"]) == ("steps-9", "spt")]
    assert in_table == list(summary.arms["spt"].test_acc)
    assert [claim.claim for claim in ran[0].answer.claims] == [claim.text for claim in TINY.claims]
    assert "Is it tiny?" in write_report(folder).read_text()
    assert (folder / "steps-6/report.html").exists()


def test_what_answers_another_request_is_no_answer(copy, monkeypatch):
    """A study file that was edited between two runs: old comparisons are done again, and until then do not count."""
    answers = []

    def stop(task, config, **how):
        answers.append(StudyFolder(copy).answer)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "compare", stop)
    edited = replace(TINY, cases=lambda ground: [replace(c, config=replace(c.config, seeds=4)) for c in tiny_cases()])
    with pytest.raises(KeyboardInterrupt):
        run_study(edited, out=copy)
    assert [claim.outcome for claim in answers[0].claims] == ["undecided", "undecided"]
    assert all(claim.why.endswith("has no answer") for claim in answers[0].claims)


def test_a_comparison_that_fails_is_recorded_and_the_others_go_on(ran, copy, monkeypatch):
    real = running.compare

    def sometimes(task, config, **how):
        if config.label.duration == "6":
            raise ZeroDivisionError("planted")
        return real(task, config, **how)

    shutil.rmtree(copy / "steps-6")
    with monkeypatch.context() as patch:
        patch.setattr(running, "compare", sometimes)
        answer = run_study(TINY, out=copy).answer
    assert [case.failure for case in answer.cases] == ["ZeroDivisionError: planted", None]
    assert "Traceback" in (copy / "steps-6/error.txt").read_text()
    assert "Comparisons without an answer: 1." in answer.answer
    assert "ZeroDivisionError: planted" in page(copy)
    # Once mended, the same command does what is missing.
    assert run_study(TINY, out=copy).answer == ran[0].answer
    assert not (copy / "steps-6/error.txt").exists()


def test_a_note_of_somebody_called_error_txt_stays(copy):
    (copy / "steps-6/error.txt").write_text("mine")
    run_study(TINY, out=copy)
    assert (copy / "steps-6/error.txt").read_text() == "mine"


def test_a_full_disk_ends_a_study(ran, copy, monkeypatch):
    """What is done stays, and no later comparison is begun whose results could not be kept either."""
    asked = []

    def full(task, config, **how):
        asked.append(config)
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.rmtree(copy / "steps-6")
    with monkeypatch.context() as patch:
        patch.setattr(running, "compare", full)
        with pytest.raises(OSError, match="No space left"):
            run_study(TINY, out=copy)
    assert len(asked) == 1
    assert run_study(TINY, out=copy).answer == ran[0].answer


def test_a_damaged_comparison_has_no_answer_until_it_is_mended(ran, copy):
    (copy / "steps-6/summary.json").write_text("{}")
    assert "not finished" in page(copy)
    assert run_study(TINY, out=copy).answer == ran[0].answer


def test_a_damaged_answer_is_refused_with_the_cure_and_the_study_mends_it(ran, copy):
    (copy / "study.json").write_text('{"study": 1}')
    with pytest.raises(RequestError, match=r"study.json: missing or damaged; its study command again mends it"):
        page(copy)
    events = []
    assert run_study(TINY, out=copy, watch=events.append).answer == ran[0].answer
    assert not [event for event in events if isinstance(event, Done)]


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


def test_data_that_are_not_at_hand_are_left_out_with_the_cure_and_the_rest_goes_on(copy):
    cure = "nowhere.csv is not there; get it"
    missing = Case({"steps": 1}, tiny_config(), TaskConfig(data="nowhere.csv"), left_out=cure)
    study = replace(TINY, cases=lambda ground: [missing, *tiny_cases()], claims=(ahead("steps-1"), *TINY.claims))
    notes = []
    answer = run_study(study, out=copy, watch=notes.append).answer
    assert [case.left_out for case in answer.cases] == [cure, None, None]
    assert answer.claims[0].outcome == "undecided"
    assert "without an answer" not in answer.answer
    assert any("left out: nowhere.csv" in note.text for note in notes if isinstance(note, Note))
    assert cure in page(copy)


def test_a_declaration_that_was_changed_after_results_says_so(copy):
    answer = run_study(replace(TINY, expected="Something else."), out=copy).answer
    assert answer.changed_after == 2
    assert "The declaration was changed after 2 comparisons had finished." in answer.answer
    assert run_study(TINY, out=copy).answer.changed_after == 2  # once seen, always seen


def test_a_study_can_be_asked_about_own_data_and_one_with_tasks_of_its_own_refuses(tmp_path):
    tasks, own = [], TaskConfig(options={"symbols": 4, "length": 10, "sequences": 150})

    def cases(ground):
        tasks.append(ground.task)
        return [replace(case, left_out="for a quick test") for case in tiny_cases()]

    run_study(replace(TINY, own_data=True, cases=cases), "small", own, out=tmp_path / "o")
    assert tasks == [own]
    with pytest.raises(RequestError, match="is about tasks of its own"):
        run_study(TINY, "small", own, out=tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_study_that_diagnoses_refuses_pairs_before_anything_is_trained(tmp_path):
    lines = [json.dumps({"a": [i % 3, 1], "b": [1, i % 2], "label": str(i % 2)}) for i in range(40)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    task = TaskConfig(data=str(tmp_path / "p.jsonl"), sequence="a", pair="b", kind="symbols")
    with pytest.raises(RequestError, match="the study transfer diagnoses, and diagnose cannot look at rows that are"):
        run_study(study_named("transfer"), "small", task, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


CAUSAL = tiny_config(arms=("joint",), objective=replace(tiny_config().objective, objective="causal"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claims": [ahead("steps-7")]}, "there is no case steps-7; the cases are steps-6, steps-9"),
        ({"claims": [ahead("steps-6", against="bias")]}, "the case steps-6 has no arm bias"),
        ({"claims": [Changes(text="it rises", axis="depth")]}, "needs two different numbers above 0"),
        ({"cases": lambda ground: tiny_cases() * 2}, "two cases of one name"),
        ({"cases": list}, "tiny, line ?: TypeError"),
        (
            {"cases": lambda _: [*tiny_cases(), Case({"n": 0}, tiny_config(), TaskConfig(data="proximty"))]},
            "did you mean proximity?",
        ),
        ({"cases": lambda ground: [*tiny_cases(), Case({"steps": 0}, CAUSAL, TASK)]}, "joint"),
        ({"cases": lambda _: [*tiny_cases(), Case({"n": 0}, tiny_config(), TaskConfig(data="no.csv"))]}, "no.csv"),
    ],
)
def test_what_cannot_be_decided_or_planned_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(RequestError, match=re.escape(message)):
        run_study(replace(TINY, **changes), out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_the_study_of_the_guide_has_cases_that_its_claims_fit(tmp_path):
    (tmp_path / "heads.py").write_text(GUIDE_STUDY)
    cases = study_named(str(tmp_path / "heads.py")).cases_on(ground())
    assert [(case.name, case.config.model.heads) for case in cases] == [("heads-1", 1), ("heads-2", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = z\n", "line 2: NameError: name 'z' is not defined"),
        ("x = (\n", "line 1: SyntaxError"),
        ("x = 1\n", "defines no STUDY"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        (GUIDE_STUDY.replace('name="heads"', 'name="depth"'), "called 'depth'; rename one"),
        (NAMED_DEPTH, "is that of a built-in study"),
        ("from selfpretrain.studies import Study\n\nSTUDY = Study()\n", "line 3: TypeError"),
    ],
)
def test_a_file_with_an_error_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(RequestError, match=re.escape(message)):
        study_named(str(tmp_path / "mine.py"))


def test_an_error_in_the_cases_names_the_line(tmp_path):
    (tmp_path / "mine.py").write_text(GUIDE_STUDY.replace("ground.along", "grounds.along"))
    line = 1 + GUIDE_STUDY[: GUIDE_STUDY.index("ground.along")].count("\n")
    with pytest.raises(RequestError, match=f"mine.py, line {line}: NameError"):
        study_named(str(tmp_path / "mine.py")).cases_on(ground())


def test_what_lies_beside_the_file_can_be_imported(tmp_path):
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'mine'\n")
    text = GUIDE_STUDY.replace('name="heads"', "name=NAME")
    (tmp_path / "mine.py").write_text(f"from helper_of_mine import NAME\n{text}")
    assert study_named(str(tmp_path / "mine.py")).name == "mine"


def test_the_command_lists_refuses_and_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(STUDIES)
    for name, message in (("depht", "did you mean depth?"), ("mine.py", "there is no such file")):
        assert main(["study", name]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


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
    result = run_study(STUDIES["why-scratch-fails"], "small", task, out=tmp_path / "o", workers=2)
    assert result.answer.answer.startswith(word)


def test_compare_with_shares_of_the_labels_is_the_study_of_few_labels(tmp_path, monkeypatch, capsys):
    """With the arms and the settings that were given, and the same runs where all labels are there."""
    monkeypatch.chdir(tmp_path)
    flags = [flag for flag in TINY_FLAGS if flag != "--seeds=3"]
    words = ["compare", *flags, "--seeds=1", "--arms=scratch,mimetic", "--workers=1"]
    assert main([*words, "--label-fractions=1,0.5", "--out=o"]) == 0
    assert "With 50% of the training labels self-pretraining beats scratch" in " ".join(capsys.readouterr().err.split())
    folder = StudyFolder(tmp_path / "o")
    assert [case.name for case in folder.answer.cases] == ["labels-0.5", "labels-1.0"]
    half, whole = (folder.case(case.name).summary for case in folder.answer.cases)
    assert list(half.arms) == ["scratch", "spt", "classical", "mimetic"]
    assert main([*words, "--out=p"]) == 0
    alone = StudyFolder(tmp_path).case("p").summary.arms["scratch"]
    assert (alone.test_acc, alone.lr) == (whole.arms["scratch"].test_acc, whole.arms["scratch"].lr)


def test_a_factor_is_shown_as_such_in_every_place(ran, copy, capsys):
    claim = replace(
        ran[0].answer.claims[0], unit="times the label steps", effect=2.0, ci95=(1.0, None), outcome="holds", why=None
    )
    answer = replace(ran[0].answer, claims=(claim, replace(claim, ci95=(1.0, 3.0))))
    folder = StudyFolder(copy)
    html = render_study(replace(StudyContent.read(folder), answer=answer))
    print_study(Console(file=sys.stdout, width=200), answer)
    for text in (html, capsys.readouterr().out):
        assert "at least 2.0" in text and "2.0 to 8.0" in text and "times the label steps" in text


def test_the_preset_of_a_study_is_that_of_its_comparisons(tmp_path):
    config = replace(tiny_config(arms=("scratch", "spt")), model=ModelConfig(width=8, heads=2, patch=0))
    result = run_study(few_labels([1.0]), task=TASK, config=config, out=tmp_path / "o")
    assert result.answer.cases[0].failure is None
    assert "Layers: 1; width: 8; 12 steps of self-pretraining" in result.answer.answer


def test_a_budget_multiplies_the_steps_of_what_is_compared_on_the_same_data(tmp_path, monkeypatch):
    """Two cases on one data set get as much time as one on another, and keep their proportions."""

    def cases(ground=None):
        config = tiny_config(arms=("scratch", "spt"), train=ONE_RATE)
        config = replace(config, pretrain=replace(config.pretrain, duration="100steps"))
        two, three = (replace(config, label=replace(config.label, duration=f"{n}steps")) for n in (200, 300))
        noise = Case({"steps": "noise"}, two, replace(TASK, data="noise"))
        return [Case({"steps": 2}, two, TASK), Case({"steps": 3}, three, TASK), noise]

    def flops(cases):
        """Of all trainings; shared ones count once."""
        plans = [Plan.of(Request.of(load_task(case.task), case.config)) for case in cases]
        return sum({key: plan.cost(one) for plan in plans for key, one in plan.trainings.items()}.values())

    speed = flops(cases()) / 400_000  # FLOPs a second, of a machine that takes so many seconds for the study as it is

    def timed(plan, **_):
        return replace(plan, seconds=plan.total_cost / speed)

    monkeypatch.setattr("selfpretrain.studies.budget.timed", timed)
    study = replace(TINY, claims=(ahead("steps-2"), ahead("steps-3")), cases=cases)
    run = {"study": study, "out": tmp_path / "o", "budget": "50000s"}
    answer = run_study(**run).answer
    part = 0.8 * 50_000 / 2 * speed  # a fifth stays free
    for data, on_it in (("proximity", cases()[:2]), ("noise", cases()[2:])):
        assert answer.shares[data] * flops(on_it) == pytest.approx(part, rel=0.001)  # less what reading the data took
    folder, share = StudyFolder(tmp_path / "o"), answer.shares["proximity"]
    configs = [folder.case(name).record.request for name in ("steps-2", "steps-3")]
    assert [config.pretrain.duration for config in configs] == 2 * [f"{round(100 * share)}steps"]
    assert [config.label.duration for config in configs] == [f"{round(n * share)}steps" for n in (200, 300)]
    again = []
    monkeypatch.setattr("selfpretrain.studies.budget.timed", None)  # the same budget again goes on, and times nothing
    assert run_study(**run, watch=again.append).answer == answer
    assert not [event for event in again if isinstance(event, Done)]
    with pytest.raises(TypeError, match="NoneType"):  # other cases are timed anew
        run_study(**run | {"study": replace(study, cases=lambda ground: cases()[:2])})


def test_a_budget_that_is_too_short_for_a_study_is_refused_with_what_it_needs(tmp_path):
    with pytest.raises(RequestError, match=r"budget 1s is too short: the study needs about \d.* at least"):
        run_study(TINY, out=tmp_path / "p", budget="1s")
    assert not (tmp_path / "p").exists()
