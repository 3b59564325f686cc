"""The search for learning rates: in which order what is tried, and what is picked from which numbers."""

import pytest

from conftest import tiny_config
from selfpretrain.comparison.plan import Plan
from selfpretrain.comparison.request import Request
from selfpretrain.comparison.search import Picked
from selfpretrain.config import TrainConfig
from selfpretrain.metrics import Metrics
from selfpretrain.train.training import TrainingResult

GRID = (1e-3, 3e-2, 1e-2)
NONE = TrainingResult(failure="loss")


def search_of(task, arm):
    plan = Plan.of(Request(tiny_config(arms=(arm,), seeds=1, train=TrainConfig(lr=GRID)), task))
    return plan.searches[arm, 0]


def labelled(acc, loss=1.0):
    return NONE if acc is None else TrainingResult(val=Metrics(acc=acc, loss=loss))


def pretrained(loss):
    return NONE if loss is None else TrainingResult(val_reconstruction=loss)


@pytest.mark.parametrize(
    ("results", "picked"),
    [
        ([(0.5, 1.0), (0.6, 9.0), (0.4, 0.1)], 3e-2),  # accuracy first
        ([(0.6, 1.0), (0.6, 0.9), (0.6, 0.8)], 1e-2),  # of equals the lower loss, wherever it stands in the grid
        ([(0.6, 1.0), (0.6, 1.0), (0.6, 1.0)], 1e-3),  # of equals in both the lower rate
        ([(0.5, 1.0), (None,), (0.4, 1.0)], 1e-3),
        ([(None,), (None,), (0.1, 1.0)], 1e-2),
        ([(None,), (None,), (None,)], 1e-3),  # which then says why the run failed
    ],
)
def test_label_rates_are_picked_by_validation_accuracy_then_loss(tiny_task, results, picked):
    search = search_of(tiny_task, "scratch")
    by_rate = {lr: labelled(*result) for lr, result in zip(GRID, results, strict=True)}
    assert {training.plan.lr for training in search.step(lambda training: None)} == set(GRID)
    end = search.step(lambda training: by_rate[training.plan.lr])
    assert isinstance(end, Picked)
    assert (end.training.plan.lr, end.pretrain) == (picked, {})
    assert end.label == {lr: result.val for lr, result in by_rate.items()}
    assert set(end.trials) == {training.key for training in search.left(lambda training: None)}


@pytest.mark.parametrize(
    ("losses", "picked"),
    [((1.0, 0.5, 0.7), 3e-2), ((0.0, 0.5, 0.7), 1e-3), ((None, 0.5, 0.5), 1e-2), ([None] * 3, 1e-3)],
)
def test_the_rate_of_self_pretraining_is_picked_by_its_own_loss_and_labels_go_on_from_there(tiny_task, losses, picked):
    search = search_of(tiny_task, "spt")
    sources = search.step(lambda training: None)
    assert [(t.phase, t.plan.lr) for t in sources] == [("pretrain", lr) for lr in GRID]
    known = {t.key: pretrained(loss) for t, loss in zip(sources, losses, strict=True)}
    del known[sources[1].key]  # as long as one is missing no label training begins
    assert search.step(lambda training: known.get(training.key)) == [sources[1]]
    known[sources[1].key] = pretrained(losses[1])
    trials = search.step(lambda training: known.get(training.key))
    assert [(t.phase, t.plan.lr, t.source.plan.lr) for t in trials] == [("label", lr, picked) for lr in GRID]
    known |= {t.key: labelled(t.plan.lr) for t in trials}
    end = search.step(lambda training: known.get(training.key))
    assert (end.training.plan.lr, end.training.source.plan.lr) == (max(GRID), picked)
    assert end.pretrain == dict(zip(GRID, losses, strict=True))
    assert set(end.trials) == {t.key for t in (*sources, *trials)}


@pytest.mark.parametrize(("arm", "trainings"), [("scratch", 3), ("spt", 6)])
def test_what_is_left_is_as_much_as_will_be_done(tiny_task, arm, trainings):
    search = search_of(tiny_task, arm)
    known = {}
    for done in range(trainings):
        assert len(search.left(lambda training: known.get(training.key))) == trainings - done
        step = search.step(lambda training: known.get(training.key))[0]
        known[step.key] = labelled(0.5) if step.phase == "label" else pretrained(1.0)
    assert search.left(lambda training: known.get(training.key)) == []
