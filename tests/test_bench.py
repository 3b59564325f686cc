"""What bench measures: the contestants do what they are said to do, and the parts of a comparison add up."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import tiny_config
from selfpretrain import cli
from selfpretrain.bench import bench as benching
from selfpretrain.bench.answer import Answer, Clocked, ClockedEngine, _parts
from selfpretrain.bench.bench import Bench
from selfpretrain.bench.contestants import CONTESTANTS, IGNORED, Size, collate, floor, ours, plain
from selfpretrain.bench.steps import StepTimes, _timed, sizes
from selfpretrain.comparison.request import Request
from selfpretrain.errors import RequestError
from selfpretrain.train.training import TrainingResult


@pytest.fixture
def size(tiny_task):
    return Size("tiny", Request.of(tiny_task, tiny_config()))


def rows(*sequences):
    return [{"input_ids": np.array(sequence), "label": number % 2} for number, sequence in enumerate(sequences)]


def test_a_batch_hides_real_positions_alone_and_asks_for_those():
    torch.manual_seed(0)
    batch = collate(rows([0, 1, 2, 0, 1, 2, 0], [1, 1]), vocabulary=5, mask_ratio=0.5, padded=True)
    assert batch["attention_mask"].sum(1).tolist() == [7, 2]
    hidden = batch["input_ids"] == 4
    assert hidden.any() and not hidden[1, 2:].any() and (batch["input_ids"][1, 2:] == 3).all()
    assert torch.equal(hidden, batch["labels"] != IGNORED)
    assert batch["labels"][0][hidden[0]].tolist() == torch.tensor([0, 1, 2, 0, 1, 2, 0])[hidden[0]].tolist()
    assert collate(rows([0], [1]), 4, None, padded=False)["labels"].tolist() == [0, 1]


@pytest.mark.parametrize("phase", ["pretrain", "label"])
@pytest.mark.parametrize("make", [ours, plain, floor])
def test_contestants_make_as_many_steps_as_they_are_asked_for(size, phase, make, monkeypatch):
    made = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *rest: (made.append(1), step(self, *rest))[1])
    assert make(size, phase)(3) > 0
    assert len(made) == (0 if make is floor else 3)


def test_a_plain_loop_learns(size, monkeypatch):
    """It is no straw man that only looks like training."""
    losses = []
    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional,
        "cross_entropy",
        lambda *arguments, **named: losses.append(cross_entropy(*arguments, **named)) or losses[-1],
    )
    plain(size, "pretrain")(80)
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_steps_are_timed_in_turn_and_compared_round_by_round(size, monkeypatch):
    called = []
    for number, name in enumerate(CONTESTANTS):

        def steps(n, name=name, seconds=1.0 + number):
            called.append(name)
            return seconds * n

        monkeypatch.setitem(CONTESTANTS, name, lambda size, phase, steps=steps: steps)
    times = _timed(size, "label", rounds=2, seconds=4.0)
    assert called[-8:] == [*CONTESTANTS, *CONTESTANTS]
    assert times.ratios("Trainer") == [2.0, 2.0]


def test_every_size_is_what_its_name_says():
    known = {size.name: size for size in sizes()}
    assert known["demo"].task.inputs.length == 80 and known["demo"].request.model.width == 32
    assert known["small"].task.inputs.length == 128 and known["small"].request.model.depth == 2
    assert known["image"].task.inputs.length == 1024 and known["image"].request.model.width == 64
    assert len(set(known["listops"].task.train.lengths)) > 20 and known["listops"].is_ragged


class Slept:
    """A job as far as the parts of a comparison go."""

    def __init__(self, key, shorter=None):
        self.key, self.shorter = key, shorter


def test_the_parts_of_a_comparison_add_up_and_no_step_counts_twice(monkeypatch):
    """Two cores from 0 to 20; a training of 4 s goes on for 3 s more, and counts 7 s; by hand."""
    from selfpretrain.bench import answer

    class Training(Slept):
        pass

    monkeypatch.setattr(answer, "TrainJob", Training)
    short, long = Training("short"), Training("long", shorter=Slept("short"))
    engine = ClockedEngine.__new__(ClockedEngine)
    engine.began = 1.0
    engine.done = [
        answer.Done(TrainingResult(seconds=4.0, step_seconds=3.0), short, 3.0, 8.0, "a"),
        answer.Done(TrainingResult(seconds=7.0, step_seconds=5.0), long, 8.0, 12.0, "a"),
        answer.Done(None, Slept("test"), 4.0, 6.0, "b"),
    ]
    parts = _parts(engine, 2, 0.0, judged=15.0, ended=20.0)
    assert parts == {
        "steps": 5.0,
        "validation": 2.0,
        "setting up, testing the selected checkpoint, saving": 2.0,
        "test split and classical models": 2.0,
        "loading and planning": 2.0,
        "starting the workers": 5.0,
        "judging": 6.0,
        "drawing the report": 10.0,
        "idle cores": 6.0,
    }
    assert sum(parts.values()) == 2 * 20


def test_a_clocked_job_is_the_job_it_clocks():
    class Job:
        key, after, saves = "k", ("a",), False

        def perform(self, shared, tell, stop):
            return shared + 1

    clocked = Clocked(Job())
    assert (clocked.key, clocked.after, clocked.saves) == ("k", ("a",), False)
    done = clocked.perform(1, None, None)
    assert done.result == 2 and done.seconds >= 0


def test_missing_rivals_are_named_with_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["bench"]) == 2
    assert "pip install 'selfpretrain[bench]'" in capsys.readouterr().err
    with pytest.raises(RequestError, match="transformers and accelerate"):
        benching.bench(quick=True, watch=print)


def test_bench_prints_its_tables_or_json(monkeypatch, capsys):
    measured = Bench(
        environment={"packages": {"torch": "2.13.0"}},
        steps=[StepTimes("demo", "label", {name: [0.01, 0.02, 0.03] for name in CONTESTANTS})],
        answer=Answer(seeds=5, cores=2, seconds=100.0, parts={"steps": 150.0, "idle cores": 50.0}, trainer_seconds=250),
    )
    monkeypatch.setattr(benching, "bench", lambda quick, watch: replace(measured))
    assert cli.main(["bench"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "20.0 ms" in printed and "75.0%" in printed and "2.5 times as long" in printed
    assert cli.main(["bench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"]["seconds"] == 100.0
