"""An arm, a task and a section of the diagnosis, each defined here and run through to the report.

docs/extending.md shows these three in full.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain.arms import registry as arms
from selfpretrain.arms.arm import Arm, Versus
from selfpretrain.comparison.compare import compare
from selfpretrain.config import TrainConfig
from selfpretrain.drawing import Picture
from selfpretrain.explain import registry as sections
from selfpretrain.explain.diagnose import diagnose
from selfpretrain.explain.measurement import Measurement
from selfpretrain.explain.section import Section, each_run
from selfpretrain.report.write import write_report
from selfpretrain.tasks.builtin import base as tasks
from selfpretrain.tasks.load import load_task

pytestmark = pytest.mark.whole


# An arm: nine lines.


def train_flat(setting, seed, lr):
    """Labels with the attention of a uniform average: query and key stay as they start."""
    return setting.labels(seed, lr, frozen=("query-key",))


FLAT = Arm(
    name="flat",
    title="Training with frozen queries and keys",
    says="labels only, query-key weights frozen",
    colour="#56B4E9",
    marker="*",
    contrasts=(Versus("scratch", "label compute"),),
    train=train_flat,
)


# A task: its options are its fields.


@dataclass(frozen=True, kw_only=True)
class Ramp(tasks.BuiltinTask):
    """Values that rise or fall, with noise."""

    name = "ramp"
    length: int = 12
    """Sequence length T."""
    sequences: int = 120
    """Number of sequences N, before the split."""

    def build(self, generator):
        """Draw the noise."""
        y = np.arange(self.sequences, dtype=np.int64) % 2
        slope = np.where(y == 0, 1.0, -1.0)[:, None] * np.linspace(-1, 1, self.length)
        return tasks.Made("values", ("rises", "falls"), slope + generator.normal(size=slope.shape), y)


# A section of the diagnosis: what is measured, and how it is drawn.


def measure_norms(subject, part):
    """The norm of every run's weights at each stage."""
    run = next(run for run in subject.runs if run.name in part)
    for stage in run.stages:
        norm = sum(float(weight.detach().square().sum()) for weight in subject.model(run, stage).parameters()) ** 0.5
        yield Measurement(name="norm", values=norm, unit="weight", stage=stage.name, step=stage.step, **run.where)


def paint_norms(view, figure):
    """Norms as dots."""
    norms = view.arrays("norms", "norm")
    figure.subplots().plot(norms, "o")
    return bool(norms)


NORMS = Section(
    name="norms",
    says="how large weights are",
    parts=each_run,
    measure=measure_norms,
    pictures=lambda: [Picture("How large weights are", paint_norms, "A dot for every stage of every run.")],
)


@pytest.fixture
def registered(monkeypatch):
    """All three, for one test."""
    for registry, name, thing in (
        (arms._ARMS, "flat", FLAT),
        (tasks._TASKS, "ramp", Ramp),
        (sections._SECTIONS, "norms", NORMS),
    ):
        monkeypatch.setitem(registry, name, thing)


def test_all_three_run_through_to_the_report(registered, tmp_path):
    config = tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch", "flat", "spt"))
    result = compare(load_task("ramp", length=10), config, out=tmp_path / "o")
    assert result.summary["task"]["name"] == "ramp"
    assert ("flat", "scratch") in {(c["arm"], c["against"]) for c in result.summary["comparisons"]}
    found = diagnose(tmp_path / "o", sample=20, large_sample=20, max_lag=2, sections=("norms",)).content
    assert len(found["sections"]["norms"]) == 3 * (2 + 2 + 3)
    page = write_report(tmp_path / "o").read_text()
    for words in (FLAT.says, FLAT.colour.lower(), "flat - scratch", "How large weights are"):
        assert words in page, words
    assert "Does self-pretraining help on ramp?" in page


def test_a_verdict_can_be_about_it(registered, tmp_path):
    """The first contrast is its own where spt was not asked for: no private list of arms knows its title."""
    config = tiny_config(train=TrainConfig(lr=(1e-2,)), arms=("scratch", "flat"))
    verdict = compare(load_task("ramp"), config, out=tmp_path / "o").summary["verdict"]
    assert verdict.startswith(FLAT.title)


def test_registering_makes_it_known(monkeypatch):
    monkeypatch.setattr(arms, "_ARMS", dict(arms._ARMS))
    arms.register(FLAT)
    assert arms.arm_named("flat") is FLAT
    monkeypatch.setattr(sections, "_SECTIONS", dict(sections._SECTIONS))
    sections.register(NORMS)
    assert sections.sections_named(("norms",)) == [NORMS]
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    tasks.register(Ramp)
    assert load_task("ramp", sequences=60).kind == "values"
