"""What everything that is registered promises, whoever added it."""

import inspect
import subprocess
import sys
from dataclasses import fields

import pytest
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from conftest import ragged_task, tiny_config, tiny_training
from selfpretrain.arms.builtin import contrasts_of
from selfpretrain.comparison.request import Request
from selfpretrain.data.kinds import KINDS
from selfpretrain.drawing import Picture
from selfpretrain.explain.section import Section
from selfpretrain.options import _field_docstrings
from selfpretrain.registry import ARMS, OBJECTIVES, PRESETS, SECTIONS, SHELVES, STUDIES, TASKS
from selfpretrain.studies import ground


def each(shelf):
    return pytest.mark.parametrize("name", list(shelf))


@pytest.mark.parametrize("sort", SHELVES)
def test_things_have_the_names_and_the_sort_of_their_shelf(sort):
    assert len(SHELVES[sort]) > 0
    for name, thing in SHELVES[sort].items():
        assert (thing.name, thing.sort) == (name, sort)


@each(ARMS)
def test_an_arm_says_what_it_is_looks_like_no_other_and_is_set_against_arms_there_are(name):
    arm = ARMS[name]
    assert arm.title[0].isupper() and arm.says
    assert is_color_like(arm.colour)
    assert Figure().subplots().plot([0], [0], arm.marker)[0].get_marker() == arm.marker
    others = [other for other in ARMS.values() if other is not arm]
    assert arm.colour not in {other.colour for other in others}
    assert arm.marker not in {other.marker for other in others}
    against = [versus.against for versus in contrasts_of(name)]
    assert len(set(against)) == len(against) and set(against) <= {other.name for other in others}
    assert all(versus.matched for versus in contrasts_of(name))


@each(ARMS)
def test_an_arm_trains_labels_under_a_key_that_stays_or_fits(name, tiny_task):
    arm = ARMS[name]
    assert (arm.recipe is None) != (arm.fit is None)
    if arm.recipe is None:
        return
    training = tiny_training(tiny_task, name)
    assert training.phase == "label" and training.task == tiny_task.fingerprint
    assert OBJECTIVES[training.objective].phase == "label"
    assert training.key == tiny_training(tiny_task, name).key
    others = (tiny_training(tiny_task, name, seed=1), tiny_training(tiny_task, name, lr=1e-3))
    assert len({training.key, *(other.key for other in others)}) == 3


@each(TASKS)
def test_a_task_is_described_without_its_data(name, tmp_path, monkeypatch):
    cls = TASKS[name]

    def read(*given):
        raise AssertionError("describing reads no data")

    for method in ("build", "rows"):
        monkeypatch.setattr(cls, method, read)
    task = cls()  # its defaults are options that it takes
    assert (inspect.getdoc(cls) or "").splitlines()[0].rstrip().endswith((".", ":"))
    assert cls.size and cls.licence and cls.preset in PRESETS
    described = {name for base in inspect.getmro(cls)[:-1] for name in _field_docstrings(base)}
    assert described >= {field.name for field in fields(task)}
    state, wanted = cls.state(tmp_path)
    assert state in ("made", "missing") and bool(wanted) == (state == "missing")
    assert cls.sample_size(2000) > 0
    assert cls.small is None or issubclass(TASKS[cls.small], cls)
    assert all(record.model and record.source and record.status for record in cls.published())


@each(OBJECTIVES)
@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_an_objective_is_made_from_the_settings_that_a_request_gives(name, kind):
    task = ragged_task(kind)
    cls = OBJECTIVES[name]
    request = Request(tiny_config(), task)
    made = request.labels(0, 1e-2, objective=name) if cls.phase == "label" else request.pretraining(0, 1e-2)
    objective = cls(inputs=task.inputs, **cls.settings(request.config.objective, KINDS[kind]))
    assert objective.step_flops(made.model, task, 4) > 0
    assert inspect.getdoc(cls)


@each(SECTIONS)
def test_a_section_says_what_it_is_and_how_it_is_drawn(name):
    section = SECTIONS[name]
    assert section.says and section.cost > 0
    assert all(isinstance(picture, Picture) and picture.title for picture in section.pictures())
    assert (section.conduct is None) != (section.measure is Section.measure)


@each(STUDIES)
@pytest.mark.parametrize("profile", ["small", "full"])
def test_a_studys_cases_decide_its_claims_and_every_claim_can_be_refuted(name, profile):
    study = STUDIES[name]
    assert study.question.endswith("?") and study.expected
    assert 0 < study.minutes <= (90 if name in ("domains", "paper") else 20)
    cases = study.cases_on(ground(profile))
    names = {case.name for case in cases}
    for claim in study.claims:
        assert claim.wrong(cases) is None
        assert set(claim.rests_on(cases)) <= names and claim.rests_on(cases)
        assert claim.text and claim.refuted_by and claim.unit


@each(PRESETS)
@pytest.mark.parametrize("kind", ["symbols", "values"])
def test_a_preset_makes_a_request(name, kind):
    request = Request.of(ragged_task(kind), PRESETS[name].config)
    lr = request.config.train.lr[0]
    assert request.pretraining(0, lr).plan.steps > 0 and request.labels(0, lr).plan.steps > 0


@pytest.mark.whole
@pytest.mark.parametrize(
    "homes",
    [
        ("selfpretrain.explain.section", "selfpretrain.studies.builtin", "selfpretrain.arms.builtin"),
        ("selfpretrain.explain.files", "selfpretrain.comparison.summary", "selfpretrain.comparison.folder"),
        ("selfpretrain.report.page", "selfpretrain.studies.folder", "selfpretrain.explain.pictures"),
    ],
    ids=["what is registered", "what reads folders", "what draws reports"],
)
def test_knowing_and_reading_need_no_torch(homes):
    code = f"import sys, {', '.join(homes)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
