"""Tune, pick, report: the same grid and seeds for everyone, and the rule that picks."""

from dataclasses import replace

import pytest

from conftest import tiny_training
from selfpretrain.arms.tuning import FIRST_TUNING_SEED, Candidate, pick_lr, tune_and_train, tuning_seeds
from selfpretrain.config import TrainConfig
from selfpretrain.engines.local import LocalEngine
from selfpretrain.events import Note, Planned
from selfpretrain.results import Metrics, TrainingResult
from selfpretrain.training.laboratory import Laboratory
from selfpretrain.training.perform import Workshop
from selfpretrain.training.store import Store


def trial(acc):
    return TrainingResult(failure="loss") if acc is None else TrainingResult(val=Metrics(acc=acc, loss=1.0))


@pytest.mark.parametrize(
    ("accuracies", "n_val", "picked"),
    [
        ((0.52, 0.5, None), 100, 1e-2),  # within one error (.05) of the best, and in the middle
        ((0.52, 0.5, None), 10_000, 1e-3),
        ((0.9, 0.8, 0.1), 100, 1e-3),
        ((0.1, 0.8, 0.9), 100, 3e-2),
        ((None, None, None), 100, 1e-2),
    ],
)
def test_the_rate_is_picked_on_validation(accuracies, n_val, picked):
    grid = (1e-3, 1e-2, 3e-2)
    tuned = pick_lr(grid, [(lr, trial(acc)) for lr, acc in zip(grid, accuracies, strict=True)], n_val)
    assert tuned.lr == picked
    assert tuned.tried == dict(zip(grid, accuracies, strict=True))


def test_several_tuning_seeds_are_averaged_and_one_failure_spoils_a_rate():
    trials = [(1e-3, trial(0.6)), (1e-3, trial(0.8)), (1e-2, trial(0.9)), (1e-2, trial(None))]
    tuned = pick_lr((1e-3, 1e-2), trials, 1000)
    assert tuned.tried == {1e-3: pytest.approx(0.7), 1e-2: None}
    assert tuned.lr == 1e-3


def test_one_rate_needs_no_trials():
    assert tuning_seeds(TrainConfig(lr=(1e-2,), tune_seeds=3)) == []
    assert tuning_seeds(TrainConfig(lr=(1e-3, 1e-2), tune_seeds=2)) == [FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1]
    assert pick_lr((1e-2,), [], 100).lr == 1e-2


class Nothing:
    """What follows a training, here: it is there at once."""

    is_done = True

    def perform(self, shop, tell, stop):
        pass


@pytest.mark.parametrize("arm", ["scratch", "spt"])
def test_every_candidate_tries_the_same_rates_with_seeds_that_are_not_reported(tmp_path, tiny_task, arm):
    settings, events, asked = TrainConfig(lr=(1e-3, 1e-2), tune_seeds=2), [], []

    def train(seed, lr):
        asked.append((seed, lr))
        return tiny_training(tiny_task, arm, seed=seed, lr=lr)

    shop = Workshop({tiny_task.fingerprint: tiny_task}, Store(tmp_path))
    with Laboratory(
        shop, settings=settings, device="cpu", workers=1, engine=LocalEngine, watch=events.append
    ) as laboratory:

        def run():
            return tune_and_train(
                laboratory,
                [Candidate("one", train, (0, 1))],
                settings=settings,
                n_val=18,
                snapshots=2,
                evaluate=lambda candidate, seed, training: (f"{candidate.name} {seed}", Nothing()),
                watch=events.append,
            )

        tuned = run()
        trials = {(seed, lr) for seed, lr in asked if seed >= FIRST_TUNING_SEED}
        assert trials == {(FIRST_TUNING_SEED + k, lr) for k in range(2) for lr in (1e-3, 1e-2)}
        reported = [train(seed, tuned["one"].lr) for seed in (0, 1)]
        for seed, training in enumerate(reported):
            assert training.seed == seed
            assert shop.store.finished(training).snapshots  # what is reported can be looked at along the way
        assert shop.store.finished(train(FIRST_TUNING_SEED, 1e-3)).snapshots == []
        events.clear()
        assert run() == tuned
    total = (4 + 2) * (2 if arm == "spt" else 1)
    assert f"{total} of {total} trainings are there" in [event.text for event in events if isinstance(event, Note)]


def test_what_candidates_share_is_counted_once_in_the_time_left(tmp_path, tiny_task):
    spt = tiny_training(tiny_task, "spt")
    settings, events = TrainConfig(lr=(1e-3, 1e-2)), []
    candidates = [
        Candidate(str(len(frozen)), lambda seed, lr, frozen=frozen: replace(spt, seed=seed, frozen=frozen), (0,))
        for frozen in ((), ("query-key",), ("norms",))
    ]
    with Laboratory(
        Workshop({tiny_task.fingerprint: tiny_task}, Store(tmp_path)),
        settings=settings,
        device="cpu",
        workers=1,
        engine=LocalEngine,
        watch=events.append,
    ) as laboratory:
        tune_and_train(
            laboratory,
            candidates,
            settings=settings,
            n_val=18,
            snapshots=0,
            evaluate=lambda candidate, seed, training: (f"{candidate.name} {seed}", Nothing()),
            watch=events.append,
        )
        expected = laboratory.cost(spt.source) + 3 * laboratory.cost(spt)
    first = next(event for event in events if isinstance(event, Planned))
    assert first.later == pytest.approx(expected)
