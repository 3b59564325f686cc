"""A request that fits a budget of time, on a machine on which every step takes 10 ms."""

import collections
import json
import re
import time
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest

from conftest import tiny_config
from selfpretrain.arguments import compare_arguments
from selfpretrain.arms import classical
from selfpretrain.comparison import budget
from selfpretrain.comparison import compare as compare_module
from selfpretrain.comparison.budget import CHOSEN, CLOSING_SECONDS
from selfpretrain.comparison.caveats import hurry
from selfpretrain.comparison.compare import compare, planned
from selfpretrain.comparison.folder import ComparisonFolder
from selfpretrain.comparison.request import Request
from selfpretrain.config import CompareConfig, ModelConfig, PhaseConfig, TrainConfig, seconds_of
from selfpretrain.data.load import load_task
from selfpretrain.engines.engine import Engine
from selfpretrain.errors import SettingError
from selfpretrain.train.timing import Timing
from selfpretrain.watch import Done, Note, ignore
from stand_in import made
from test_comparison_plan import ONE_RATE, Always

THREE_RATES = TrainConfig(lr=(1e-3, 3e-3, 1e-2))


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (Always(), 0.0))


def within(task, config, text, keep=(), *, spent=0.0, workers=1):
    begun = time.monotonic() - spent
    return budget.within(Request.of(task, config), text, keep, begun=begun, workers=workers, watch=ignore)


@pytest.mark.parametrize(("seconds", "seeds"), [(60, 5), (200, 10), (3000, 10)])
def test_a_budget_is_filled_with_seeds_and_rates_first(tiny_task, seconds, seeds):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt", "scratch-long"))
    plan = within(tiny_task, config, f"{seconds}s", workers=2)
    assert plan.seconds == pytest.approx(seconds - CLOSING_SECONDS, rel=0.05)
    assert plan.request.config.seeds == seeds
    assert plan.steps("pretrain") / plan.steps("label") == pytest.approx(12 / 9, rel=0.1)  # as in the request


def test_a_small_budget_says_what_it_left_out(tiny_task):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt"))
    plan = within(tiny_task, replace(config, label=replace(config.label, duration="900")), "40s")
    assert (plan.request.config.seeds, plan.request.config.train.lr) == (3, (3e-3,))
    assert plan.left_out[:2] == ["2 of 5 seeds", "2 of 3 rates"]
    assert plan.left_out[2].endswith("% of the preset's steps")
    assert "left out for the budget" in plan.lines[3]


def test_rates_are_tried_where_there_is_time_for_half_of_the_steps(tiny_task):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt"))
    config = replace(config, label=replace(config.label, duration="900"))
    plans = {seconds: within(tiny_task, config, f"{seconds}s") for seconds in (300, 500)}
    assert [len(plan.request.config.train.lr) for plan in plans.values()] == [1, 3]
    assert 0.5 <= plans[500].shortened.share < 0.8 and plans[500].shortened.rates == 0
    assert "steps" in plans[500].left_out[-1] and "rates" not in str(plans[500].left_out)


def test_what_was_asked_for_stays(tiny_task):
    asked = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt"))
    for name in CHOSEN:
        config = within(tiny_task, asked, "300s", {name}).request.config
        same = {chosen for chosen in CHOSEN if attrgetter(chosen)(config) == attrgetter(chosen)(asked)}
        assert same == {name, "train.lr", "model.patch"}  # short sequences have no patches
    long = replace(asked, label=replace(asked.label, duration="900"))
    config = within(tiny_task, long, "40s", {"train.lr"}).request.config
    assert (config.seeds, config.train) == (3, THREE_RATES)
    asked = tiny_config(seeds="3-10", arms=("scratch",))
    assert within(tiny_task, asked, "100s").request.config.looks == asked.looks


@pytest.mark.parametrize(
    ("seconds", "patch"),
    [
        (300, 1),  # single positions have time enough
        (150, 2),
        (80, 4),  # the smallest that leaves three seeds, all rates and half of the steps
        (40, 4),  # 8 would leave fewer than 32 tokens
    ],
)
def test_long_sequences_are_read_in_the_smallest_patches_that_fit(monkeypatch, seconds, patch):
    """Every step takes 0.1 ms a token; 140 positions are 35 tokens of four."""
    timed = []

    def times(task, trainings, **how):
        tokens = -(-task.length // next(iter(trainings)).model.patch)
        timed.append(tokens)
        timing = Timing(step=tokens * 1e-4, validation=0.0, sequence=0.0)
        return collections.defaultdict(lambda: timing), 0.0

    monkeypatch.setattr(budget, "time_trainings", times)
    task = load_task("proximity", symbols=4, length=140, sequences=120)
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt"), model=ModelConfig(width=8, heads=2))
    config = replace(config, label=PhaseConfig(duration="900"), pretrain=PhaseConfig(duration="900"))
    plan = within(task, config, f"{seconds}s")
    assert plan.request.config.model.patch == patch
    assert timed == [140, 70, 35][: {1: 1, 2: 2, 4: 3}[patch]]
    said = f"; {patch} positions read as one" in plan.lines[1]
    assert said == (patch > 1)
    assert (plan.shortened.patch if plan.shortened else 1) == patch
    if patch > 1:
        assert f" --patch {patch} trains the whole preset" in hurry(plan.shortened).cure
    lengths = np.where(np.arange(len(task.train)) == 0, 140, 9)  # one long sequence among short ones
    mostly_short = replace(task, train=replace(task.train, lengths=lengths))
    assert within(mostly_short, config, f"{seconds}s").request.config.model.patch == 1
    kept = within(task, config, "80s", {"model.patch"})
    assert kept.request.config.model.patch == 1


@pytest.mark.parametrize(
    ("config", "settings", "kept"),
    [
        (CompareConfig(seeds=5), {}, set()),
        (CompareConfig(), {"seeds": 5}, {"seeds"}),  # given, though it is the default
        (CompareConfig(train=ONE_RATE), {"label": PhaseConfig(duration="7")}, {"train.lr", "label.duration"}),
    ],
)
def test_what_is_given_in_python_is_asked_for(tiny_task, monkeypatch, config, settings, kept):
    def within(request, budget, keep, **how):
        raise LookupError(keep)

    monkeypatch.setattr(compare_module, "within", within)
    with pytest.raises(LookupError) as caught:
        compare(tiny_task, config, budget="10m", **settings)
    assert caught.value.args == (kept,)


def test_what_is_given_on_the_command_line_is_asked_for():
    arguments = compare_arguments(["--seeds=5", "--lr=1e-3", "--label.duration=300steps", "--width=32"])
    assert set(arguments.given) == {"seeds", "train.lr", "label.duration", "model.width"}


def test_what_was_spent_before_is_taken_off(tiny_task):
    plan = within(tiny_task, tiny_config(arms=("scratch", "spt")), "100s", spent=50)
    assert plan.seconds == pytest.approx(50 - CLOSING_SECONDS, rel=0.05)


@pytest.mark.parametrize("text", ["", "ten", "10", "0m", "-3m", "3d"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SettingError, match="is not a time; write 90s, 10m or 1h"):
        seconds_of(text)


def test_a_refusal_leaves_nothing_behind_and_touches_no_test_data(tmp_path, tiny_task, monkeypatch):
    touched = []

    def watched(task):
        touched.append("fitted")
        return made(classical.Fitted, probabilities=lambda split: touched.append("tested"))

    monkeypatch.setattr(classical, "fit_classical", watched)
    with pytest.raises(SettingError, match=r"6s is too short: the minimum .* takes about \d+ s; give 1m, or"):
        compare(tiny_task, tiny_config(arms=("scratch", "classical")), out=tmp_path / "o", budget="6s")
    assert touched == []  # what is hopeless is refused before classical models are fitted
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_goes_on_with_the_plan_that_was_made(tmp_path, tiny_task):
    """Also after a kill at its start, before anything is planned again."""
    config, events = tiny_config(arms=("scratch",), train=ONE_RATE), []
    folder, budgeted = ComparisonFolder(tmp_path / "o"), {"budget": "20s", "keep": ()}

    def compared(task=tiny_task, watch=events.append):
        return compare(task, config, out=folder.path, **budgeted, watch=watch).summary

    def killed(event):
        raise KeyboardInterrupt

    first, record = compared(), folder.record
    assert record.request.label.duration != config.label.duration
    plan = planned(tiny_task, config, out=folder.path, **budgeted)  # --plan shows what compare would do
    assert (plan.request.config, plan.left_out) == (record.request, ())
    assert plan.seconds > CLOSING_SECONDS
    other = planned(tiny_task, config, out=folder.path, budget="20s", keep=("label.duration",))
    assert other.request.config.label == config.label
    assert any("plan: scratch" in event.text for event in events if isinstance(event, Note))
    with pytest.raises(KeyboardInterrupt):
        compared(replace(tiny_task, notes=("word",)), killed)
    assert folder.record == record
    budget.time_trainings = pytest.fail  # put back by the fixture
    events.clear()
    assert compared() == first
    assert [event for event in events if isinstance(event, Done)] == []
    assert folder.record == record


def seconds_in(text):
    """Of a duration as it is printed, like 1 min 20 s."""
    unit = {"h": 3600, "min": 60, "s": 1}
    return sum(float(number) * unit[name] for number, name in re.findall(r"([\d.]+) (h|min|s)", text))


def test_a_refusal_names_all_that_would_help_and_how_much(tiny_task):
    config = tiny_config(train=THREE_RATES, seeds=5, arms=("scratch", "spt", "scratch-long"))
    big = replace(config, model=ModelConfig(width=64, heads=4, depth=2))
    with pytest.raises(SettingError) as caught:
        within(tiny_task, big, "6s", {"seeds", "train.lr"})
    text = str(caught.value)
    needed = seconds_in(re.search(r"takes about ([^;]+);", text)[1])
    found = re.findall(r"(?:: |, )([^:()]+?) \(about ([^)]+)\)", text)
    shares = {way: seconds_in(duration) / needed for way, duration in found}
    ways = ["--max-length 4", "--arms scratch,spt", "the model of --preset minimal", "--seeds 3", "--lr with one rate"]
    assert list(shares) == ways
    assert shares["--seeds 3"] == pytest.approx(0.6, abs=0.06)
    assert shares["--lr with one rate"] == pytest.approx(0.33, abs=0.06)
    assert 0.5 < shares["--max-length 4"] < 1  # what a step takes besides its FLOPs stays


def test_what_no_machine_can_do_is_refused_before_anything_is_timed(tiny_task, monkeypatch):
    monkeypatch.setattr(budget, "time_trainings", pytest.fail)
    config = tiny_config(label=PhaseConfig(duration="1000000000"), arms=("scratch",))
    with pytest.raises(SettingError, match="is too short: the minimum that makes sense here takes about"):
        within(tiny_task, config, "10s", {"label.duration"})


class Simulated(Engine):
    """Two workers on a clock of their own: a training takes what was timed, times the pace of the hour."""

    now, slowness, timing = 0.0, staticmethod(lambda now: 1.0), Timing(step=0.4, validation=0.1, sequence=0.001)

    def __exit__(self, *exception):
        pass

    def _begin(self, job):
        work = self.timing.seconds(job.training, self._shared.tasks[job.training.task]) if job.saves else 0.0
        end = Simulated.now
        while work > 0:
            end, work = end + 0.1, work - 0.1 / Simulated.slowness(end)
        self._jobs = {**getattr(self, "_jobs", {}), job.key: (job, end)}
        return job.key

    def _ended(self):
        first = min(self._running, key=lambda key: self._jobs[key][1])
        Simulated.now = max(Simulated.now, self._jobs[first][1])
        return [first]

    def _result(self, handle):
        return self._jobs[handle][0].perform(self._shared, self._watch, lambda: False)


@pytest.mark.parametrize(
    ("slowness", "seeds", "took"),
    [
        (lambda now: 1.0, (3, 4, 5), (0.75, 1.1)),
        (lambda now: 2.0 if now > 45 else 1.0, (3, 4), (0.8, 1.2)),  # half the speed from the middle on
        (lambda now: 0.3, (10,), (0.4, 1.1)),  # much faster than timed: more seeds, up to ten
    ],
)
def test_the_number_of_seeds_follows_the_clock(tmp_path, tiny_task, monkeypatch, slowness, seeds, took):
    timings = collections.defaultdict(lambda: Simulated.timing)
    monkeypatch.setattr(budget, "time_trainings", lambda *rest, **how: (timings, 0.0))
    monkeypatch.setattr(Simulated, "now", 0.0)
    monkeypatch.setattr(Simulated, "slowness", staticmethod(slowness))
    monkeypatch.setattr(time, "monotonic", lambda: Simulated.now)
    config, notes = tiny_config(train=ONE_RATE, seeds=5, arms=("scratch", "spt")), []
    config = replace(config, pretrain=PhaseConfig(duration="800"), label=PhaseConfig(duration="800"))
    how = {"out": tmp_path / "o", "budget": "90s", "keep": (), "workers": 2, "engine": Simulated}
    done = compare(tiny_task, config, **how, watch=notes.append)
    count = len(done.answer.arms["scratch"].test_acc)
    assert count in seeds
    assert took[0] * 90 < Simulated.now < took[1] * 90
    assert all(len(entry.test_acc) == len(entry.lr) == count for entry in done.answer.arms.values())
    assert ComparisonFolder(done.folder).record.request.seeds == count
    said = [event.text for event in notes if isinstance(event, Note) and "the budget was enough for" in event.text]
    assert len(said) <= 1
    again = compare(tiny_task, config, **how)  # what is there is what was decided, whatever the time
    assert again.summary == done.summary


@pytest.mark.slow
def test_long_series_are_compared_within_five_minutes(cli, tmp_path):
    """443 made-up power curves of 448 steps in 11 classes, as an appliance's plug records them."""
    generator = np.random.default_rng(0)
    lines = ["sequence,label"]
    for row in range(443):
        appliance = row % 11
        period, duty = 20 + 9 * appliance, 0.2 + 0.06 * appliance
        phase = (np.arange(448) + generator.integers(period)) % period / period
        power = (40 + 15 * appliance) * (phase < duty) + generator.normal(scale=20, size=448)
        lines.append(f"{' '.join(f'{watts:.1f}' for watts in power)},appliance {appliance}")
    (tmp_path / "power.csv").write_text("\n".join(lines) + "\n")
    ended = cli("compare", "power.csv", "--budget", "5m", "--out", "runs/power", "--json", timeout=600)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert all(len(answer["arms"][arm]["test_acc"]) >= 3 for arm in ("scratch", "spt", "scratch-long"))
    assert "16 positions read as one" in ended.stderr  # 28 tokens; 32 at most
